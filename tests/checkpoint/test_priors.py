"""Saving and loading priors; damaged, forged and wrong files are refused with one line."""

import hashlib
import json
import os
import shutil

import pytest
import torch
from forging import FUZZ, ODD_VALUES, check_refused_or_read, every_key, forge
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ecgvae import checkpoint
from ecgvae.checkpoint import folders
from ecgvae.checkpoint.files import read_config
from ecgvae.codebooks import CodebookSpec, LatentSpec
from ecgvae.generation import Prior
from ecgvae.inspection import describe
from ecgvae.priors import LatentPrior, PriorSettings

CODEBOOK = CodebookSpec(6, 32)


@pytest.fixture
def folder(prior, tmp_path):
    return shutil.copytree(prior, tmp_path / "prior")


def rewrite(folder, *keys, value):
    values = json.loads((folder / "config.json").read_text())
    forge(values, keys, value)
    (folder / "config.json").write_text(json.dumps(values))


def error_of(function, *arguments) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", ["autoregressive", "pixelcnn"])
def test_round_trip_gives_the_same_prior(kind, model, random_prior, tmp_path):
    changes = {} if kind == "autoregressive" else {"kind": kind, "max_dilation": 2}
    saved = pixelcnn(changes) if changes else random_prior((CODEBOOK,) * 3)
    folder = checkpoint.save_prior(saved, tmp_path / kind, model, {"store": "here"}, {"nats": 3.5})
    loaded = checkpoint.load_prior(folder)
    samples = [prior.sample(2, 5, generator=torch.Generator().manual_seed(3)) for prior in (saved, loaded)]
    assert torch.equal(*samples)
    assert loaded.settings == saved.settings and not loaded.training
    assert loaded.layout.codebooks == (CODEBOOK,) * 3
    values = checkpoint.prior_config(folder)
    assert (values["training"], values["metrics"]) == ({"store": "here"}, {"nats": 3.5})
    assert values["autoencoder"]["identity"] == checkpoint.identity(model)
    assert [path.name for path in tmp_path.iterdir()] == [kind]


def pixelcnn(changes):
    from ecgvae.priors import build_prior, parse_prior_settings

    return build_prior(parse_prior_settings({"width": 16, "code_width": 8, "depth_width": 16, **changes}),
                       (CODEBOOK,) * 3).eval()


def test_the_folder_of_a_prior_needs_no_other_files(folder, model, tmp_path):
    moved = folder.rename(tmp_path / "elsewhere")
    assert checkpoint.prior_autoencoder(moved) == moved / "autoencoder"
    assert checkpoint.model_name(moved / "autoencoder") == checkpoint.model_name(model) == "tiny"
    assert checkpoint.identity(moved / "autoencoder") == checkpoint.identity(model)
    loaded = Prior.load(moved, "cpu")
    assert (loaded.name, loaded.decoder.name) == ("elsewhere", "tiny")


def test_a_shipped_autoencoder_is_not_copied(model, random_prior, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "PRETRAINED", tmp_path / "pretrained")
    shutil.copytree(model, tmp_path / "pretrained" / "shipped-model")
    folder = checkpoint.save_prior(random_prior((CODEBOOK,)), tmp_path / "pretrained" / "priors" / "first",
                                   "shipped-model")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert checkpoint.pretrained_priors() == ["first"] and checkpoint.pretrained() == ["shipped-model"]
    assert checkpoint.default_prior() == "first"
    assert Prior.load(device="cpu").decoder.name == "shipped-model"
    shutil.rmtree(tmp_path / "pretrained" / "shipped-model")
    assert "stands on the model 'shipped-model', which does not come with this version" in error_of(Prior.load, "first")
    assert Prior.load("first", "cpu", autoencoder=model).decoder.name == "tiny"


def test_a_prior_is_found_in_its_run(folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text('{"training": {"steps": 20}}')
    assert "is a run without a prior yet" in error_of(checkpoint.load_prior, run)
    folder.rename(run / "model")
    assert checkpoint.locate_prior(run) == run / "model" and checkpoint.prior_name(run) == "run"
    assert describe(run / "model")["kind"] == "prior"


def test_models_and_priors_are_not_confused(folder, model, monkeypatch, tmp_path):
    assert error_of(checkpoint.load, folder) == f"{folder} is a prior; wanted a model"
    assert error_of(checkpoint.load_prior, model) == f"{model} is a model; wanted a prior"
    assert error_of(Prior.load, "ptbxl-vqvae-conv").startswith("ptbxl-vqvae-conv is a model; wanted a prior")
    monkeypatch.setattr(folders, "PRETRAINED", tmp_path / "pretrained")
    shutil.copytree(folder, tmp_path / "pretrained" / "priors" / "first")
    assert error_of(checkpoint.load, "first") == "first is a prior; wanted a model: a checkpoint folder"
    assert error_of(checkpoint.load_prior, "second") == "no prior second; wanted a checkpoint folder or one of first"


def test_without_a_shipped_prior_there_is_no_default(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "PRETRAINED", tmp_path)
    assert error_of(Prior.load) == "no prior comes with this version; wanted the folder of one"


def test_save_replaces_only_priors(folder, model, random_prior, tmp_path):
    prior = random_prior((CODEBOOK,), seed=1)
    with pytest.raises(FileExistsError, match="exists and is not a prior; wanted a new name"):
        checkpoint.save_prior(prior, shutil.copytree(model, tmp_path / "model"), model)
    with pytest.raises(FileExistsError, match="exists and is not a model; wanted a new name"):
        checkpoint.save(checkpoint.load(model), folder)
    checkpoint.save_prior(prior, folder, folder / "autoencoder")
    assert checkpoint.prior_config(folder)["autoencoder"]["name"] == "tiny"
    assert len(checkpoint.load_prior(folder).layout.codebooks) == 1


@pytest.mark.parametrize("function", ["safetensors.torch.save", "os.replace", "json.dumps", "shutil.copyfile"])
def test_an_interrupted_save_leaves_the_old_prior(folder, model, random_prior, monkeypatch, function):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    before = checkpoint.prior_config(folder)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(function, interrupted)
        checkpoint.save_prior(random_prior((CODEBOOK,), seed=1), folder, model)
    assert checkpoint.prior_config(folder) == before
    checkpoint.load_prior(folder)


def test_a_prior_must_fit_its_autoencoder(model, random_prior, tmp_path, tiny_settings, random_model):
    for codebooks in ((CODEBOOK,) * 4, (CodebookSpec(6, 16),), (CodebookSpec(12, 32),)):
        message = error_of(checkpoint.save_prior, random_prior(codebooks), tmp_path / "prior", model)
        assert "the prior is over codebooks of" in message and "has codebooks of 32 codes at hop 6" in message
    vae = checkpoint.save(random_model(tiny_settings("vae")), tmp_path / "vae")
    assert "has no codebooks" in error_of(checkpoint.save_prior, random_prior((CODEBOOK,)), tmp_path / "prior", vae)
    with pytest.raises(ValueError, match="got Conv1d; wanted a prior"):
        checkpoint.save_prior(torch.nn.Conv1d(1, 1, 1), tmp_path / "prior", model)
    assert not (tmp_path / "prior").exists()


def test_another_autoencoder_is_refused(folder, model, tiny_settings, random_model, tmp_path):
    other = checkpoint.save(random_model(tiny_settings(), seed=1), tmp_path / "other")
    message = f"stands on the model {checkpoint.identity(model)} (tiny); {other} is {checkpoint.identity(other)}"
    assert message in error_of(Prior.load, folder, "cpu", other)
    shutil.rmtree(folder / "autoencoder")
    shutil.copytree(other, folder / "autoencoder")
    assert "stands on the model" in error_of(Prior.load, folder)
    assert "stands on the model" in error_of(describe, folder)


def test_identity_depends_on_settings_weights_and_autoencoder(folder, model, random_prior, tiny_settings, random_model,
                                                              tmp_path):
    other = checkpoint.save(random_model(tiny_settings(), seed=1), tmp_path / "other")
    same = checkpoint.save_prior(checkpoint.load_prior(folder), tmp_path / "same", model, {"steps": 3})
    priors = [folder, checkpoint.save_prior(random_prior((CODEBOOK,) * 2, seed=1), tmp_path / "a", model),
              checkpoint.save_prior(random_prior((CODEBOOK,) * 2, partial_labels=0.5), tmp_path / "b", model),
              checkpoint.save_prior(random_prior((CODEBOOK,) * 2), tmp_path / "c", other)]
    identities = [checkpoint.prior_config(path)["identity"] for path in (same, *priors)]
    assert len(set(identities)) == 4 and identities[0] == identities[1]


class ScaledNoise(LatentPrior):
    """A prior over a latent that draws scaled noise."""

    options = frozenset({"steps"})

    def __init__(self, settings, latent):
        super().__init__(settings, latent)
        self.scale = torch.nn.Parameter(torch.full((latent.channels, 1), 2.0))

    def prepare(self, z):
        pass

    def loss(self, z, condition=None):
        return (z - self.scale).square().mean()

    def sample(self, count, frames, condition=None, generator=None, settings=None, given=None):
        z = torch.randn(count, self.latent.channels, frames, generator=generator) * self.scale
        return z if given is None else torch.cat([given, z[..., given.shape[-1]:]], -1)


class ScaledNoiseSettings(PriorSettings):
    kind: str = "noise"


@pytest.fixture
def latent_prior(monkeypatch, tiny_settings, random_model, tmp_path):
    """The folder of a prior over the latent of a VAE."""
    from ecgvae import priors

    monkeypatch.setitem(priors.KINDS, "noise", (ScaledNoiseSettings, ScaledNoise))
    vae = checkpoint.save(random_model(tiny_settings("vae")), tmp_path / "vae")
    return checkpoint.save_prior(ScaledNoise(ScaledNoiseSettings(), LatentSpec(6, 8)), tmp_path / "noise", vae)


def test_a_prior_over_a_latent(latent_prior):
    loaded = checkpoint.load_prior(latent_prior)
    assert isinstance(loaded, ScaledNoise) and loaded.latent == LatentSpec(6, 8) and loaded.hop == 6
    assert checkpoint.prior_config(latent_prior)["autoencoder"]["latent"] == {"hop": 6, "channels": 8}
    assert describe(latent_prior)["latent"] == "8 numbers every 60 ms"
    with pytest.raises(ValueError, match="the prior is over LatentSpec"):
        checkpoint.save_prior(ScaledNoise(ScaledNoiseSettings(), LatentSpec(6, 9)), latent_prior, latent_prior /
                              "autoencoder")


def test_a_latent_prior_generates_records_without_tokens(latent_prior, records):
    from ecgvae.generation import Condition, SampleRequest
    from ecgvae.signal import open_record

    prior = Prior.load(latent_prior, "cpu")
    record, other = prior.sample(2, seconds=1.5)
    assert record.signal.shape == (12, 150) and not (record.signal == other.signal).all()
    assert next(prior.draw(SampleRequest((Condition(),), 1.0))).tokens is None
    assert "is over a continuous latent" in error_of(prior.log_prob, record)
    assert "has no option temperature; it has steps" in error_of(lambda: prior.sample(1, temperature=0.5))
    prompt = open_record(records / "a")
    kept = prior.sample(1, seconds=3, prompt=prompt, keep=2)[0]
    z = prior.decoder.encode(prompt.read(), 33)
    assert z.shape == (1, 8, 33) and kept.comments[-1] == "ecgvae: prompt: 0 to 1.98 s are real, from the record a"


@FUZZ
@given(data=st.data())
def test_any_forged_value_of_the_config_is_refused_or_read(folder, data):
    path = folder / "config.json"
    original = path.read_bytes()
    values = json.loads(original)
    forge(values, data.draw(st.sampled_from(list(every_key(values)))), data.draw(ODD_VALUES))
    path.write_text(json.dumps(values))
    try:
        for read in (describe, checkpoint.load_prior):
            check_refused_or_read(read, folder)
    finally:
        path.write_bytes(original)


@FUZZ
@given(data=st.data())
def test_any_flipped_bit_of_the_weights_is_noticed(folder, data):
    path = folder / "model.safetensors"
    original = path.read_bytes()
    content = bytearray(original)
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        assert "its checksum is not that in config.json" in error_of(checkpoint.load_prior, folder)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "type", "nan"])
def test_weights_must_be_complete_and_fit_the_settings(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(name for name, value in weights.items() if value.ndim == 2)
    if change == "missing":
        del weights[name]
    elif change == "extra":
        name = "more"
        weights[name] = torch.zeros(3)
    elif change == "nan":
        weights[name][0, 0] = torch.nan
    else:
        weights[name] = weights[name][:-1].clone() if change == "shape" else weights[name].double()
    save_file(weights, path)
    rewrite(folder, "weights_sha256", value=hashlib.sha256(path.read_bytes()).hexdigest())
    assert name in error_of(checkpoint.load_prior, folder)


@pytest.mark.parametrize(("keys", "value", "expected"), [
    (("format",), 2, "has prior format 2; this version reads format 1"),
    (("prior", "kind"), "gan", "prior.kind is 'gan'; wanted one of"),
    (("prior", "colour"), "red", "prior.colour: unknown key"),
    (("prior", "width"), 10**9, "prior.width"),
    (("prior", "width"), 1 << 14, "does not fit its config.json"),
    (("autoencoder", "codebooks"), [{"hop": 1 << 32, "size": 4}, {"hop": 1, "size": 4}], "wanted at most 4096"),
    (("autoencoder", "codebooks"), [{"hop": 6, "size": 1 << 32}] * 2, "does not fit its config.json"),
    (("autoencoder", "codebooks"), [], "autoencoder"),
    (("autoencoder", "codebooks"), [{"hop": 7, "size": 32}, {"hop": 6, "size": 32}], "wanted divisors"),
    (("autoencoder", "latent"), {"hop": 6, "channels": 3}, "autoencoder"),
    (("facts", "parameters"), 1, "facts.parameters is 1, and the prior has"),
    (("identity",), None, "identity"),
])
def test_wrong_values_are_refused_before_memory_is_allocated(folder, keys, value, expected):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rewrite(folder, *keys, value=value)
    message = error_of(checkpoint.load_prior, folder)
    assert expected in message and str(folder) in message and len(message) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000     # KiB; the settings ask for GiB


def test_the_name_of_the_autoencoder_is_no_path(folder):
    """A forged name reads nothing outside of the package."""
    shutil.rmtree(folder / "autoencoder")
    rewrite(folder, "autoencoder", "name", value="../../../model")
    assert "which does not come with this version" in error_of(Prior.load, folder)


def test_no_pickle_is_executed(folder, tmp_path, monkeypatch):
    import pickle

    class Malicious:
        def __reduce__(self):
            return os.mkdir, ("executed",)

    monkeypatch.chdir(tmp_path)
    for name in ("model.safetensors", "config.json", "autoencoder/config.json", "autoencoder/model.safetensors"):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps(Malicious()))
        error_of(Prior.load, folder)
        (folder / name).write_bytes(original)
    assert not (tmp_path / "executed").exists()


def test_a_prior_knows_its_training_data(random_prior, model, tmp_path):
    from ecgvae.data.training_data import TrainingData
    from ecgvae.signal.amplitudes import Amplitudes

    quantiles = {"q01": 0.1, "q50": 0.2, "q99": 0.5}
    fingerprints = torch.randint(256, (7, 32), dtype=torch.uint8).numpy()
    data = TrainingData(Amplitudes.model_validate({"rms_mv": quantiles, "peak_mv": quantiles}), fingerprints)
    folder = checkpoint.save_prior(random_prior((CODEBOOK,)), tmp_path / "prior", model, data=data)
    assert (checkpoint.training_records(folder).fingerprints == fingerprints).all()
    assert read_config(folder / "config.json", "prior")["amplitudes"]["rms_mv"]["q50"] == 0.2


def test_facts_of_a_prior_are_read_without_torch(folder):
    import subprocess
    import sys

    code = f"import sys; from ecgvae.inspection import describe; print(describe({str(folder)!r})); "
    code += "assert 'torch' not in sys.modules"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'kind': 'prior'" in output and "'autoencoder': 'tiny'" in output
