"""Small real and generated ECGs: two leads, of which the classes differ in what they oscillate like."""

import numpy as np
import pytest
from stores import write_store

from ecgvae.evaluation.generation import classifier, discriminator, distances, linear, measurements, random_network
from ecgvae.evaluation.generation.sets import EcgSet
from ecgvae.evaluation.probe import CLASSES

LEADS, RATE, SAMPLES = ("I", "II", "V1"), 50, 200


def draw_labels(count: int, random: np.random.Generator) -> np.ndarray:
    """One class, in turn, and sometimes another one."""
    return (np.eye(len(CLASSES), dtype=bool)[np.arange(count) % len(CLASSES)]
            | (random.random((count, len(CLASSES))) < 0.05))


def draw_signals(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Noise, and for each class of an ECG a wave of its own frequency with a random phase."""
    time = np.arange(SAMPLES) / RATE
    phases = random.uniform(0, 2 * np.pi, (*labels.shape, len(LEADS), 1))
    waves = np.sin(2 * np.pi * np.arange(1, 6)[:, None, None] * time + phases) * labels[..., None, None]
    return (0.4 * waves.sum(axis=1) + random.normal(0, 0.3, (len(labels), len(LEADS), SAMPLES))).astype(np.float32)


@pytest.fixture(scope="package", autouse=True)
def small_networks():
    """Smaller networks, fewer resamples and measured records, for the time they take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "WIDTHS", (16, 24, 32, 32))
        patch.setattr(random_network, "MAX_DILATIONS", 4)
        patch.setattr(random_network, "THRESHOLDS", 2)
        patch.setattr(measurements, "MAX_RECORDS", 8)
        patch.setattr(discriminator, "MAX_CHOICES", 1)
        for module in (linear, distances):
            patch.setattr(module, "N_BOOTSTRAP", 100)
        patch.setattr(distances, "N_BOOTSTRAP_FRECHET", 20)
        yield


@pytest.fixture(scope="session")
def draw_set():
    """Makes a set of ECGs that are drawn as the store's."""
    def draw(count: int, seed: int, name: str = "samples") -> EcgSet:
        random = np.random.default_rng(seed)
        labels = draw_labels(count, random)
        groups = np.array([f"{name} {index}" for index in range(count)])
        return EcgSet(name, draw_signals(labels, random), RATE, LEADS, labels, groups)
    return draw


@pytest.fixture(scope="session")
def ecg_store(tmp_path_factory):
    """A store of 120 training, 45 validation and 40 test records of 4 s."""
    random = np.random.default_rng(0)
    labels = draw_labels(205, random)
    names = [[name for name, has in zip(CLASSES, row, strict=True) if has] for row in labels]
    return write_store(tmp_path_factory.mktemp("generation") / "store", draw_signals(labels, random), LEADS, RATE,
                       fold=np.repeat([1, 9, 10], [120, 45, 40]), superclass=names, patient=np.arange(205) // 2)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder of trained classifiers."""
    return tmp_path_factory.mktemp("cache")
