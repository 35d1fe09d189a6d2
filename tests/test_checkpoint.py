"""A model on disk comes back as it was; whatever else is on disk is refused in one line."""

import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ecgvae import checkpoint


@pytest.fixture(scope="module")
def model(tiny, learned):
    return learned(tiny(signal={"leads": ("I", "II", "III", "V1"), "scale": 0.5}))


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


def refused(folder) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        checkpoint.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_round_trip_gives_the_same_model(model, folder):
    back = checkpoint.load(folder)
    x = torch.randn(2, 3, 100)
    with torch.inference_mode():
        assert all(map(torch.equal, back.tokenize(x), model.tokenize(x)))
        assert torch.equal(back.decode(back.encode(x), 100), model.decode(model.encode(x), 100))
        assert torch.equal(back.all_leads(x), model.all_leads(x))
    assert checkpoint.identity(back) == checkpoint.identity(model)
    assert back.settings == model.settings
    assert not back.training
    assert all(parameter.requires_grad for parameter in back.parameters())
    values = checkpoint.config(folder)
    assert (values["training"], values["metrics"]) == ({"store": "here"}, {"prdn": 9.5})
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_identity_is_that_of_settings_and_weights(model, folder, tiny, learned):
    same = checkpoint.identity(model)
    other = checkpoint.load(folder)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    seen = {same, checkpoint.identity(other), checkpoint.identity(learned(tiny()))}
    rewrite(folder, "model", "signal", "scale", value=0.25)
    seen.add(checkpoint.identity(checkpoint.load(folder)))
    assert len(seen) == 4
    rewrite(folder, "model", "signal", "scale", value=0.5)
    rewrite(folder, "versions", "torch", value="9.9")
    assert checkpoint.identity(checkpoint.load(folder)) == same


@pytest.mark.parametrize("damage", ["empty", "truncated", "pickle", "text", "missing"])
def test_damaged_weights_are_refused(folder, damage):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.unlink()
    if damage == "pickle":
        torch.save({"encoder.layers.0.pointwise.weight": torch.zeros(3)}, path)
    elif damage != "missing":
        path.write_bytes({"empty": b"", "truncated": whole[:len(whole) // 2], "text": b"weights\n" * 99}[damage])
    assert "model.safetensors" in refused(folder)


class Burglar:
    def __reduce__(self):
        return os.mkdir, ("burgled",)


def test_no_pickle_is_ever_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model.safetensors", "config.json"):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps(Burglar()))
        refused(folder)
        (folder / name).write_bytes(original)
    assert not (tmp_path / "burgled").exists()


@pytest.mark.parametrize("change", ["lost", "extra", "shape", "type"])
def test_weights_must_all_be_there_and_fit(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "encoder.project.weight"
    if change == "lost":
        del weights[name]
    elif change == "extra":
        name = "encoder.more"
        weights[name] = torch.zeros(3)
    elif change == "shape":
        weights[name] = weights[name][:-1].clone()
    else:
        weights[name] = weights[name].double()
    save_file(weights, path)
    assert name in refused(folder)


@pytest.mark.parametrize(("keys", "value", "said"), [
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
def test_wrong_settings_are_refused_before_memory_is_taken(folder, monkeypatch, keys, value, said):
    rewrite(folder, *keys, value=value)
    taken = []
    monkeypatch.setattr(torch.nn.Module, "to_empty", lambda *a, **k: taken.append(a))
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = refused(folder)
    assert said in message and len(message) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000     # KiB; the claims are GiB
    assert not taken


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1}', "\x00\xff", "[" * 100_000])
def test_a_config_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json is damaged; wanted JSON with format and model" in refused(folder)


def test_a_folder_without_config_and_no_folder_are_said(folder, tmp_path):
    (folder / "config.json").unlink()
    assert refused(folder).endswith("is not an ecgvae model: it has no config.json")
    with pytest.raises(FileNotFoundError, match=r"^no model nothing; wanted a checkpoint folder or one of "):
        checkpoint.load("nothing")


def test_a_path_wins_over_a_shipped_name(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "shipped")
    assert checkpoint.pretrained() == []
    shutil.copytree(folder, tmp_path / "shipped" / "small")
    assert checkpoint.pretrained() == ["small"]
    monkeypatch.chdir(tmp_path)
    assert checkpoint.locate("small") == tmp_path / "shipped" / "small"
    assert checkpoint.identity(checkpoint.load("small")) == checkpoint.identity(checkpoint.load(folder))
    shutil.copytree(folder, tmp_path / "small")
    assert str(checkpoint.locate("small")) == "small"


@pytest.mark.parametrize("at", ["safetensors.torch.save", "ecgvae.checkpoint.os.replace", "json.dumps"])
def test_an_interrupted_save_leaves_the_old_model(model, folder, tiny, learned, monkeypatch, at):
    old, other = checkpoint.identity(model), learned(tiny(), seed=1)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(at, interrupted)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(other, folder)
    assert checkpoint.identity(checkpoint.load(folder)) == old
    checkpoint.save(other, folder)
    assert checkpoint.identity(checkpoint.load(folder)) == checkpoint.identity(other)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_when_the_new_model_cant_be_put_in_place_the_old_one_returns(model, folder, tiny, learned, monkeypatch):
    rename = os.replace

    def failing(source, target):
        if str(source).endswith(".partial"):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr("ecgvae.checkpoint.os.replace", failing)
    with pytest.raises(OSError, match="no"):
        checkpoint.save(learned(tiny()), folder)
    assert checkpoint.identity(checkpoint.load(folder)) == checkpoint.identity(model)


def test_only_a_model_is_replaced(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("thesis", "file"):
        with pytest.raises(FileExistsError, match="exists and is no model; wanted a new name"):
            checkpoint.save(model, tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").exists()
