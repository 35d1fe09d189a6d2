"""Real ECGs through latents and back, and the autoencoder that generated records name."""

import numpy as np
import pytest
import torch

from ecgvae import checkpoint, simulate, write_record
from ecgvae.evaluation.generation.latents import LatentAutoencoder, reconstruct_real
from ecgvae.evaluation.generation.origin import autoencoder_of, find_tokenizer
from ecgvae.signal.generated import Origin


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory, tiny_settings, random_model) -> LatentAutoencoder:
    """A small VAE of three leads at 50 Hz, saved and loaded."""
    model = random_model(tiny_settings("vae", signal={"leads": ("I", "II", "V1"), "rate": 50}))
    return LatentAutoencoder.load(checkpoint.save(model, tmp_path_factory.mktemp("models") / "vae"))


def test_reconstructed_ecgs_are_those_of_the_model(draw_set, autoencoder):
    real, done = draw_set(70, 0), []
    decoded = reconstruct_real(real, autoencoder, lambda *counts: done.append(counts))
    with torch.inference_mode():
        x = torch.from_numpy(real.signals)
        expected = autoencoder.model.decode(autoencoder.model.encode(x), x.shape[-1]).numpy()
    np.testing.assert_allclose(decoded.signals, expected, atol=0.003)      # rounded to microvolts
    assert decoded.labels is real.labels and done == [(64, 70), (70, 70)]


def test_other_rates_and_leads(draw_set, autoencoder):
    real = draw_set(2, 0)
    fine = np.repeat(real.signals, 2, axis=-1)[..., :-1]
    assert autoencoder.reconstruct(fine, 100, ("V1", "I", "II")).shape == fine.shape
    with pytest.raises(ValueError, match="vae has leads I, II, V1; wanted V2 too"):
        autoencoder.reconstruct(real.signals, 50, ("I", "II", "V2"))


def test_a_model_that_wants_leads(tmp_path, tiny_settings, random_model):
    folder = checkpoint.save(random_model(tiny_settings("cvae")), tmp_path / "cvae")
    with pytest.raises(ValueError, match="decodes with the given leads II; wanted a model without"):
        LatentAutoencoder.load(folder)


def test_generated_records_name_the_autoencoder_of_their_prior(tmp_path):
    identity = checkpoint.identity("ptbxl-vae-conv")
    lines = [Origin("flow", "0123", *of, 0, 3).comment for of in (("ptbxl-vae-conv", identity), ("mine", identity),
                                                                 ("ptbxl-vae-conv", "0123"))]
    record = simulate("normal", seconds=2)
    write_record(type(record)(**vars(record) | {"comments": (lines[0],)}), tmp_path / "new", "a")
    found = find_tokenizer(tmp_path / "new")
    assert found is not None and found[1] is None and found[0].identity == identity
    assert autoencoder_of(lines[1:2]) is None and autoencoder_of(lines[2:]) is None and autoencoder_of([]) is None
