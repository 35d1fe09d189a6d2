
import pandas as pd
import pytest

from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.signal import write_record
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.training.recipe import Recipe
from ecgvae.training.validation import Validation


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Twelve records of 10 s, ten of them to learn from."""
    folder = tmp_path_factory.mktemp("training")
    for seed in range(12):
        condition = list(CONDITIONS)[seed % len(CONDITIONS)]
        write_record(simulate(condition, seconds=10, rate=100, seed=seed), folder / "records", f"{seed:02}")
    labels = pd.DataFrame({"fold": [1 + min(seed, 8) if seed < 10 else 9 for seed in range(12)]},
                          index=[f"{seed:02}" for seed in range(12)])
    return build_store(folder / "records", folder / "store", workers=1, labels=labels)


@pytest.fixture(scope="module")
def recipe(tiny_settings) -> Recipe:
    """Twelve steps, with everything that draws random numbers switched on."""
    return Recipe(model=tiny_settings(quantizer={"dead_code_threshold": 0.5}),
                  augment={"gain": 0.2, "mixing": 0.05, "stretch": 0.1}, loss={"derivative": 0.1, "spectral": 0.1},
                  training={"steps": 12, "batch_size": 6, "window": 2, "warmup": 3, "log_every": 3,
                            "validate_every": 5, "save_every": 4, "precision": "fp32"})


@pytest.fixture
def without_pictures(monkeypatch):
    monkeypatch.setattr(Validation, "draw_picture", lambda *_: None)
