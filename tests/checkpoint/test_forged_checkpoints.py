"""Damaged and forged checkpoints and runs: each ends in an error of one line, or describes and loads what it says."""

import hashlib
import json
import os
import shutil
import socket
import time

import pytest
import torch
from commands import mistake
from forging import FUZZ, ODD_VALUES, check_refused_or_read, every_key, forge
from hypothesis import given
from hypothesis import strategies as st

from ecgvae import checkpoint
from ecgvae.checkpoint.files import read_config
from ecgvae.inspection import describe
from ecgvae.tokenizer import Tokenizer


@pytest.fixture
def folder(model, tmp_path):
    return shutil.copytree(model, tmp_path / "model")


@pytest.fixture
def run(model, tmp_path):
    """A run with a model, as `train` writes it."""
    run = tmp_path / "run"
    shutil.copytree(model, run / "model")
    (run / "recipe.json").write_text(json.dumps({"model": {"family": "ae"}, "training": {"steps": 20}}))
    (run / "log.csv").write_text("step,loss,prdn\n10,2.5,30\n20,1.5,\n")
    (run / "validation.csv").write_text("step,prdn_1\n20,9.5\n")
    return run


@FUZZ
@given(data=st.data())
def test_any_forged_value_of_the_config_is_refused_or_read(folder, data):
    original = (folder / "config.json").read_text()
    values = json.loads(original) | {"earlier_identities": ["0123456789abcdef"], "metrics": {"prdn_1": 3.5}}
    forge(values, data.draw(st.sampled_from(sorted(every_key(values), key=str))), data.draw(ODD_VALUES))
    (folder / "config.json").write_text(json.dumps(values))
    try:
        for read in (describe, checkpoint.load, Tokenizer.load, checkpoint.identity, checkpoint.earlier_identities):
            check_refused_or_read(read, folder)
    finally:
        (folder / "config.json").write_text(original)


@FUZZ
@given(data=st.data(), name=st.sampled_from(["config.json", "model.safetensors"]))
def test_any_damage_is_refused_or_has_no_effect(folder, data, name):
    path = folder / name
    original = path.read_bytes()
    path.write_bytes(damage(original, data))
    try:
        for read in (describe, checkpoint.load):
            check_refused_or_read(read, folder)
    finally:
        path.write_bytes(original)


def damage(content: bytes, data) -> bytes:
    """The content without its end, or with a changed byte or inserted text."""
    position = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["end", "byte", "text"]))
    if kind == "end":
        return content[:position]
    if kind == "text":
        return content[:position] + data.draw(st.sampled_from([b"\n", b",", b"[" * 2000, b"\xff", b"\0", b"9" * 5000,
                                                               b'"', b"{", b"}", b"nan", b"-"])) + content[position:]
    return content[:position] + bytes([data.draw(st.integers(0, 255))]) + content[position + 1:]


@FUZZ
@given(data=st.data(), name=st.sampled_from(["recipe.json", "log.csv", "validation.csv"]), finished=st.booleans())
def test_a_damaged_run_is_refused_or_described(run, data, name, finished):
    path, model = run / name, run / "model"
    original = path.read_bytes()
    path.write_bytes(damage(original, data))
    if not finished:
        model.rename(run / "elsewhere")
    try:
        check_refused_or_read(describe, run)
    finally:
        path.write_bytes(original)
        if not finished:
            (run / "elsewhere").rename(model)


@pytest.mark.parametrize(("changes", "expected"), [
    ({"backbone": {"kind": "transformer", "width": 1 << 14, "layers": 64, "heads": 1, "window": 4096}},
     "model.backbone: window is 4096 with 16384 channels of a head; wanted a product of at most"),
    ({"backbone": {"kind": "transformer", "width": 1 << 14, "layers": 64, "heads": 64, "window": 4096}},
     "does not fit its config.json"),
    ({"signal": {"leads": [f"X{index}" for index in range(5000)]}}, "model.signal.leads: Tuple should have at most"),
    ({"signal": {"leads": ["I", "II", "III", *(f"X{index}" for index in range(253))]}}, "does not fit its config.json"),
    ({"codebooks": 64, "codebook_size": 1 << 20, "latent": 1 << 14}, "does not fit its config.json"),
    ({"family": "vqvae2", "codebooks": 64, "codebook_size": 1 << 20, "latent": 1 << 14,
      "coarse": [{"ratio": 2, "codebooks": 64, "codebook_size": 1 << 20}] * 4}, "does not fit its config.json"),
])
def test_a_config_does_not_decide_time_and_memory(folder, changes, expected):
    resource = pytest.importorskip("resource")
    values = json.loads((folder / "config.json").read_text())
    values["model"] |= changes
    (folder / "config.json").write_text(json.dumps(values))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError) as error:
        checkpoint.load(folder)
    assert expected in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 600
    assert time.process_time() - start < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000      # KiB; the settings ask for TiB


def test_a_file_of_weights_that_is_too_large_is_not_read(folder):
    os.truncate(folder / "model.safetensors", 1 << 40)      # a sparse file of 1 TiB
    with pytest.raises(ValueError, match="model.safetensors has 1,099,511,627,776 bytes; wanted weights of at most"):
        checkpoint.load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device", "a folder"])
def test_what_is_no_file_is_not_opened(folder, monkeypatch, name, kind):
    monkeypatch.chdir(folder)
    os.unlink(name)
    if kind == "a named pipe":
        os.mkfifo(name)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    elif kind == "a device":
        os.symlink("/dev/zero", name)
    else:
        os.mkdir(name)
    for read in (checkpoint.load, describe):
        with pytest.raises(ValueError, match=f"{name}|folder"):
            read(folder)
    with pytest.raises(ValueError, match=f"{name} is {kind}; wanted "):
        checkpoint.load(folder)


def test_facts_that_are_not_those_of_the_model_are_refused(folder):
    values = read_config(folder / "config.json")
    for name, value in (("hop", 12), ("latent", 9), ("parameters", 1), ("codebooks", [{"hop": 6, "size": 32}])):
        forged = values | {"facts": values["facts"] | {name: value}}
        (folder / "config.json").write_text(json.dumps(forged))
        with pytest.raises(ValueError, match=rf"config.json is damaged: facts.{name} is .*, and the model has "):
            checkpoint.load(folder)
    (folder / "config.json").write_text(json.dumps(values | {"facts": values["facts"] | {"parameters": 10**9}}))
    with pytest.raises(ValueError, match=r"is damaged: its weights are [0-9]+ numbers; wanted 1000000000"):
        describe(folder)


def test_facts_of_later_versions_are_kept(folder, model):
    """Keys that this version does not know, in any block but the model's."""
    values = read_config(folder / "config.json")
    values |= {"amplitude": {"largest_mv": 9.5}, "facts": values["facts"] | {"flops": 3}, "training": {"seen": [[1]]}}
    (folder / "config.json").write_text(json.dumps(values))
    assert checkpoint.config(folder) == values and describe(folder)["kind"] == "model"
    x = torch.zeros(1, 8, 60)
    assert torch.equal(checkpoint.load(folder).reconstruct(x), checkpoint.load(model).reconstruct(x))


@pytest.mark.parametrize("device", ["meta", "xla", "hpu", "cuda:-1", "cpu:x", "", "a\nb", "vulkan", "x" * 999])
def test_a_device_that_computes_nothing_is_refused(folder, device):
    with pytest.raises(ValueError) as error:
        checkpoint.load(folder, device)
    assert str(error.value).startswith("device ") and "\n" not in str(error.value) and len(str(error.value)) < 250


def test_every_command_refuses_the_device_meta(model, store, records, tokens, tmp_path):
    for words in (("demo", tmp_path / "demo"), ("evaluate", model, store), ("plot", records / "a", "--out",
                  tmp_path / "a.png", "--model", model), ("tokenize", records, "--out", tmp_path / "t.parquet"),
                  ("detokenize", tokens, "--out", tmp_path / "decoded", "--model", model)):
        options = ("--model", model) if words[0] in ("demo", "tokenize") else ()
        assert "device meta: " in mistake(*words, *options, "--device", "meta")


def test_a_forged_checkpoint_is_one_line_in_every_command(folder, store, records, tokens, tmp_path):
    values = json.loads((folder / "config.json").read_text())
    values["model"]["signal"]["leads"] = [f"X{index}" for index in range(5000)]
    (folder / "config.json").write_text(json.dumps(values))
    for words in (("info", folder), ("evaluate", folder, store), ("demo", tmp_path / "demo", "--model", folder),
                  ("tokenize", records, "--out", tmp_path / "t.parquet", "--model", folder),
                  ("plot", records / "a", "--out", tmp_path / "a.png", "--model", folder),
                  ("detokenize", tokens, "--out", tmp_path / "decoded", "--model", folder)):
        assert "config.json" in mistake(*words) and "model.signal.leads" in mistake(*words)


def test_the_checksum_of_forged_weights_can_be_forged_too(folder):
    """Weights of other shapes with a matching checksum are still refused."""
    from safetensors.torch import save

    content = save({"encoder.project.weight": torch.zeros(10**6)})
    (folder / "model.safetensors").write_bytes(content)
    values = read_config(folder / "config.json") | {"weights_sha256": hashlib.sha256(content).hexdigest()}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="does not fit its config.json"):
        checkpoint.load(folder)
