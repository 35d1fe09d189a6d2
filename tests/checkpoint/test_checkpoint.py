"""Saving and loading models; damaged and wrong files are refused with one line."""

import hashlib
import json
import os
import pickle
import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ecgvae import checkpoint
from ecgvae.checkpoint import files as checkpoint_files
from ecgvae.checkpoint import folders


@pytest.fixture(scope="module")
def model(tiny_settings, random_model):
    return random_model(tiny_settings(signal={"leads": ("I", "II", "III", "V1"), "scale": 0.5}))


@pytest.fixture
def folder(model, tmp_path):
    return checkpoint.save(model, tmp_path / "model", {"store": "here"}, {"prdn": 9.5})


def rewrite(folder, *keys, value):
    values = json.loads((folder / "config.json").read_text())
    block = values
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    (folder / "config.json").write_text(json.dumps(values))


def load_error(folder) -> str:
    """The message of the error that loading a folder raises."""
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        checkpoint.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_round_trip_gives_the_same_model(model, folder):
    loaded = checkpoint.load(folder)
    x = torch.randn(2, 3, 100)
    with torch.inference_mode():
        assert all(map(torch.equal, loaded.tokenize(x), model.tokenize(x)))
        assert torch.equal(loaded.decode(loaded.encode(x), 100), model.decode(model.encode(x), 100))
        assert torch.equal(loaded.all_leads(x), model.all_leads(x))
    assert checkpoint.identity(loaded) == checkpoint.identity(model)
    assert loaded.settings == model.settings
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    values = checkpoint.config(folder)
    assert (values["training"], values["metrics"]) == ({"store": "here"}, {"prdn": 9.5})
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_identity_depends_on_settings_and_weights_only(model, folder, tiny_settings, random_model):
    original = checkpoint.identity(model)
    changed = checkpoint.load(folder)
    with torch.no_grad():
        next(changed.parameters()).view(-1)[0] += 1e-3
    identities = {original, checkpoint.identity(changed), checkpoint.identity(random_model(tiny_settings()))}
    rewrite(folder, "model", "signal", "scale", value=0.25)
    identities.add(checkpoint.identity(checkpoint.load(folder)))
    assert len(identities) == 4
    rewrite(folder, "model", "signal", "scale", value=0.5)
    rewrite(folder, "versions", "torch", value="9.9")
    assert checkpoint.identity(checkpoint.load(folder)) == original


@pytest.mark.parametrize("damage", ["empty", "truncated", "pickle", "text", "missing"])
def test_damaged_weights_are_refused(folder, damage):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "pickle":
        torch.save({"encoder.layers.0.pointwise.weight": torch.zeros(3)}, path)
    elif damage != "missing":
        path.write_bytes({"empty": b"", "truncated": content[:len(content) // 2], "text": b"weights\n" * 99}[damage])
    assert "model.safetensors" in load_error(folder)


class MaliciousPickle:
    """An object that creates a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_no_pickle_is_executed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model.safetensors", "config.json"):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps(MaliciousPickle()))
        load_error(folder)
        (folder / name).write_bytes(original)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "type", "nan", "infinity"])
def test_weights_must_be_complete_and_fit_the_settings(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "encoder.project.weight"
    if change == "missing":
        del weights[name]
    elif change == "extra":
        name = "encoder.more"
        weights[name] = torch.zeros(3)
    elif change == "shape":
        weights[name] = weights[name][:-1].clone()
    elif change == "type":
        weights[name] = weights[name].double()
    else:
        weights[name].view(-1)[3] = float(change)
    save_file(weights, path)
    assert "its checksum is not that in config.json" in load_error(folder)
    rewrite(folder, "weights_sha256", value=hashlib.sha256(path.read_bytes()).hexdigest())
    assert name in load_error(folder)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_the_weights_is_noticed(folder, data):
    path = folder / "model.safetensors"
    original = path.read_bytes()
    content = bytearray(original)
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        assert "its checksum is not that in config.json" in load_error(folder)
    finally:
        path.write_bytes(original)


def test_a_model_that_diverged_is_not_saved(model, folder, tiny_settings, random_model):
    diverged = random_model(tiny_settings())
    with torch.no_grad():
        next(diverged.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match=r"^encoder.*weight has NaN or infinity; wanted a model with finite weights$"):
        checkpoint.save(diverged, folder)
    assert checkpoint.identity(checkpoint.load(folder)) == checkpoint.identity(model)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(("keys", "value", "expected"), [
    (("format",), 3, "has model format 3; this version reads formats 1 and 2"),
    (("format",), None, "format"),
    (("model",), [], "model is []"),
    (("model", "family"), "gan", "model.family is 'gan'; wanted one of ae, vae, cvae, vqvae, vqvae2"),
    (("model", "family"), {}, "model.family is {}"),
    (("model", "colour"), "red", "model.colour: unknown key; wanted one of family"),
    (("model", "latent"), 10**9, "model.latent: Input should be less than or equal to 16384"),
    (("model", "latent"), "a\nb" * 999, "model.latent"),
    (("model", "codebook_size"), 1 << 20, "does not fit its config.json"),
    (("model", "backbone", "encoder", "widths"), [1 << 14, 1 << 14], "does not fit its config.json"),
    (("model", "backbone", "encoder", "widths"), [10**12, 4], "model.backbone.encoder.widths.0"),
    (("model", "backbone", "strides"), [2] * 1000, "model.backbone.strides"),
    (("model", "signal", "rate"), -1, "model.signal.rate"),
])
def test_wrong_settings_are_refused_before_memory_is_allocated(folder, monkeypatch, keys, value, expected):
    rewrite(folder, *keys, value=value)
    allocated = []
    monkeypatch.setattr(torch.nn.Module, "to_empty", lambda *a, **k: allocated.append(a))
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = load_error(folder)
    assert expected in message and len(message) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000     # KiB; the settings ask for GiB
    assert not allocated


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1}', "\x00\xff", "[" * 100_000])
def test_a_damaged_config_is_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json is damaged" in load_error(folder)


def test_errors_of_a_folder_without_config_and_of_an_unknown_name(folder, tmp_path):
    (folder / "config.json").unlink()
    assert load_error(folder).endswith("is not an ecgvae model: it has no config.json")
    with pytest.raises(FileNotFoundError, match=r"^no model nothing; wanted a checkpoint folder or one of "):
        checkpoint.load("nothing")


def test_a_folder_comes_before_a_shipped_model_of_that_name(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "PRETRAINED", tmp_path / "shipped")
    assert checkpoint.pretrained() == []
    shutil.copytree(folder, tmp_path / "shipped" / "small")
    assert checkpoint.pretrained() == ["small"]
    monkeypatch.chdir(tmp_path)
    assert checkpoint.locate("small") == tmp_path / "shipped" / "small"
    assert checkpoint.identity(checkpoint.load("small")) == checkpoint.identity(checkpoint.load(folder))
    shutil.copytree(folder, tmp_path / "small")
    assert str(checkpoint.locate("small")) == "small"


@pytest.mark.parametrize("function", ["safetensors.torch.save", "os.replace", "json.dumps"])
def test_an_interrupted_save_leaves_the_old_model(model, folder, tiny_settings, random_model, monkeypatch, function):
    identity, other = checkpoint.identity(model), random_model(tiny_settings(), seed=1)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(function, interrupted)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(other, folder)
    assert checkpoint.identity(checkpoint.load(folder)) == identity
    checkpoint.save(other, folder)
    assert checkpoint.identity(checkpoint.load(folder)) == checkpoint.identity(other)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_the_old_model_stays_if_the_new_one_cannot_be_renamed(model, folder, tiny_settings, random_model, monkeypatch):
    rename = os.replace

    def failing(source, target):
        if str(source).endswith(".partial"):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr("os.replace", failing)
    with pytest.raises(OSError, match="no"):
        checkpoint.save(random_model(tiny_settings()), folder)
    assert checkpoint.identity(checkpoint.load(folder)) == checkpoint.identity(model)


def test_save_replaces_only_models(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("thesis", "file"):
        with pytest.raises(FileExistsError, match="exists and is not a model; wanted a new name"):
            checkpoint.save(model, tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_a_checkpoint_knows_its_training_data(model, tmp_path):
    from ecgvae.data.training_data import TrainingData
    from ecgvae.signal.amplitudes import Amplitudes

    quantiles = {"q01": 0.1, "q50": 0.2, "q99": 0.5}
    amplitudes = Amplitudes.model_validate({"rms_mv": quantiles, "peak_mv": quantiles})
    fingerprints = torch.randint(256, (7, 32), dtype=torch.uint8).numpy()
    folder = checkpoint.save(model, tmp_path / "known", data=TrainingData(amplitudes, fingerprints))
    known = checkpoint.training_records(folder)
    assert known is not None and (known.fingerprints == fingerprints).all()
    assert checkpoint.amplitudes(folder) == amplitudes
    assert checkpoint.identity(folder) == checkpoint.identity(model)


def test_models_of_earlier_versions_know_nothing_of_their_training_data(folder):
    assert checkpoint.training_records(folder) is None
    assert checkpoint.amplitudes(folder) is None


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 8, (1 << 62).to_bytes(8, "little")])
def test_damaged_training_records_are_one_line(folder, content):
    (folder / checkpoint_files.TRAINING_RECORDS).write_bytes(content)
    with pytest.raises(ValueError, match="damaged; wanted the fingerprints"):
        checkpoint.training_records(folder)


@pytest.mark.parametrize("tensors", [{}, {"fingerprints": torch.zeros(3, 32)}, {"fingerprints": torch.zeros(3).byte()},
                                     {"other": torch.zeros(3, 32).byte()}])
def test_training_records_of_another_kind_are_one_line(folder, tensors):
    save_file(tensors, folder / checkpoint_files.TRAINING_RECORDS)
    with pytest.raises(ValueError, match="fingerprints|wanted uint8"):
        checkpoint.training_records(folder)


@pytest.mark.parametrize("value", [[], 3, {}, {"rms_mv": {"q01": -1}}, {"rms_mv": None, "peak_mv": None}])
def test_damaged_amplitudes_are_one_line(folder, value):
    rewrite(folder, "amplitudes", value=value)
    with pytest.raises(ValueError, match="config.json is damaged: amplitudes"):
        checkpoint.amplitudes(folder)
