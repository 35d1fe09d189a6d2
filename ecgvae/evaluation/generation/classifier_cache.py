"""Trained classifiers in a folder, so that each is trained once for the same ECGs."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgvae.evaluation.generation.classifier import Classifier, train_classifier
from ecgvae.evaluation.generation.sets import EcgSet
from ecgvae.files import write_atomically

VERSION = 1             # of the classifier and its training; a new one trains anew


def cache_folder() -> Path:
    """The user's folder for files that can be made again: XDG_CACHE_HOME/ecgvae, else ~/.cache/ecgvae."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecgvae"


def cached_classifier(training: EcgSet, folder: Path | None = None, seed: int = 0,
                      progress: Callable[[int, int], object] = lambda done, total: None) -> Classifier:
    """The classifier of a set, from the folder if it was trained before, else trained and kept there.

    Args:
        training: The ECGs to train on.
        folder: The folder; by default `cache_folder()`. It is created.
        seed: As for `train_classifier`.
        progress: As for `train_classifier`.
    """
    folder = folder or cache_folder()
    path = folder / f"classifier-{VERSION}-{fingerprint(training, seed)}.safetensors"
    if path.is_file() and (known := load_classifier(path, training)) is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)       # before the training, which takes minutes
    classifier = train_classifier(training, seed, progress=progress)
    save_classifier(classifier, path)
    return classifier


def fingerprint(training: EcgSet, seed: int) -> str:
    """A hash of all that decides a classifier: signals, labels, leads, rate and seed."""
    digest = hashlib.sha256(repr((training.leads, training.rate, training.signals.shape, seed)).encode())
    for array in (training.signals, training.labels):
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def save_classifier(classifier: Classifier, path: Path) -> None:
    """Writes the weights of a classifier as safetensors."""
    from safetensors.torch import save

    weights = save({name: value.contiguous() for name, value in classifier.state_dict().items()})
    write_atomically(path, lambda temporary: temporary.write_bytes(weights))


def load_classifier(path: Path, training: EcgSet) -> Classifier | None:
    """The classifier in a file; None if the file is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    classes = 0 if training.labels is None else training.labels.shape[1]
    classifier = Classifier(len(training.leads), classes)
    try:
        classifier.load_state_dict(load(path.read_bytes()))
    except (SafetensorError, RuntimeError, ValueError, KeyError):
        return None
    return classifier.eval()
