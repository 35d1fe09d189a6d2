"""The sets and features that a report on generated ECGs measures, gathered once for all of its sections."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ecgvae.data.store import Store
from ecgvae.evaluation.batches import split_rows
from ecgvae.evaluation.generation.classifier import Classifier
from ecgvae.evaluation.generation.classifier_cache import cached_classifier
from ecgvae.evaluation.generation.latents import LatentAutoencoder, reconstruct_real
from ecgvae.evaluation.generation.measurements import Measurements, Stage, map_sets, measure_records, no_stage
from ecgvae.evaluation.generation.random_network import RandomNetwork
from ecgvae.evaluation.generation.reading import read_samples
from ecgvae.evaluation.generation.sets import SECONDS, EcgSet, decode_real, store_set
from ecgvae.evaluation.generation.spaces import FeatureSpace, Network
from ecgvae.metrics.neighbours import K
from ecgvae.tokenizer import Tokenizer

MIN_RECORDS = K + 2     # of a set, for its nearest neighbours
RANDOM, CLASSIFIER = "random", "classifier"


@dataclass(frozen=True, eq=False)
class Material:
    """What the sections of a report measure.

    Attributes:
        sets: `samples`; `reference`, the real records to compare with; `training`, the real records of the training
            split; `decoded`, what the tokens of the training records decode to, if a tokenizer is known; and
            `validation`, if the reference is the test split.
        spaces: The feature spaces `random` and, if the store has labels, `classifier`.
        features: The features (n, d) of each set in each space.
        classifier: The network of the space `classifier`.
        measurements: The physiology of each set, and distances to the nearest training records.
        count: Number of records of each set that are compared at a time.
        seed: Seed of all that is drawn.
        facts: Names of the store, of the reference's split, and of the tokenizer.
    """

    sets: dict[str, EcgSet]
    spaces: dict[str, FeatureSpace]
    features: dict[str, dict[str, np.ndarray]]
    classifier: Classifier | None
    measurements: Measurements
    count: int
    seed: int
    facts: dict

    @property
    def rows(self) -> list[str]:
        """The sets that are compared with the reference, the samples first."""
        return [name for name in ("samples", "decoded", "validation", "training") if name in self.sets]

    def standardized(self, space: str, name: str) -> Float[np.ndarray, "n d"]:
        """The standardized features of a set."""
        return self.spaces[space].standardize(self.features[space][name])

    def projected(self, space: str, name: str) -> Float[np.ndarray, "n p"]:
        """The principal components of the features of a set."""
        return self.spaces[space].project(self.features[space][name])


def gather(samples: str | Path | EcgSet, store: Store, split: str = "validation",
           tokenizer: Tokenizer | LatentAutoencoder | None = None, codebooks: int | None = None,
           cache: Path | None = None, seed: int = 0, stage: Stage = no_stage) -> Material:
    """Reads the sets, trains or loads the classifier, computes all features, and measures the records.

    All ECGs are cut to ten seconds, or to the most frequent length of the samples or of the reference if it is shorter.

    Args:
        samples: The generated ECGs: records, a store or a token file (see `read_samples`), or a set.
        store: Real records, with a training split. Labels are in its column `superclass`.
        split: The split to compare with.
        tokenizer: The tokenizer whose decoded tokens, or the autoencoder whose decoded latents, are measured too.
        codebooks: Number of its first codebooks to use; by default all.
        cache: The folder of trained classifiers; by default the user's cache.
        seed: Seed of the random network, the classifier, and all that is drawn.
        stage: Called with what is counted, the number done and their total.

    Raises:
        ValueError: The samples can't be used, or there are fewer than `MIN_RECORDS` of them or in a split.
    """
    sets = read_sets(samples, store, split, tokenizer if isinstance(tokenizer, Tokenizer) else None, stage)
    if isinstance(tokenizer, Tokenizer):
        sets["decoded"] = decode_real(sets["training"], tokenizer, codebooks, partial(stage, "records decoded"))
    elif tokenizer is not None:
        sets["decoded"] = reconstruct_real(sets["training"], tokenizer, partial(stage, "records decoded"))
    classifier = train_or_load(sets["training"], cache, seed, stage)
    networks: dict[str, Network] = {RANDOM: RandomNetwork.fit(sets["training"].signals, seed)}
    if classifier is not None:
        networks[CLASSIFIER] = classifier
    features = {space: extract(network, sets, partial(stage, f"records through the {space} network"))
                for space, network in networks.items()}
    measurements = measure_records(sets, seed, stage)
    spaces = {space: FeatureSpace.fit(features[space]["training"], seed) for space in networks}
    used = None if tokenizer is None else {
        "name": tokenizer.name, "identity": tokenizer.identity,
        "codebooks": tokenizer.check_codebooks(codebooks) if isinstance(tokenizer, Tokenizer) else None}
    facts = {"store": store.path.name, "split": split, "tokenizer": used}
    return Material(sets, spaces, features, classifier, measurements, min(map(len, sets.values())), seed, facts)


def read_sets(samples: str | Path | EcgSet, store: Store, split: str, tokenizer: Tokenizer | None, stage: Stage
              ) -> dict[str, EcgSet]:
    """The samples and the real sets, all of one length; see `gather`."""
    seconds = min(SECONDS, typical_seconds(store, split_rows(store, split)))
    if not isinstance(samples, EcgSet):
        samples = read_samples(samples, store.leads, store.rate, seconds, tokenizer, partial(stage, "samples read"))
    elif (samples.leads, samples.rate) != (store.leads, store.rate):
        raise ValueError(f"{samples.name} has {', '.join(samples.leads)} at {samples.rate:g} Hz; the store has "
                         f"{', '.join(store.leads)} at {store.rate:g} Hz")
    samples = samples.cut(min(samples.signals.shape[2], round(seconds * store.rate)))
    parts = {"reference": split, "training": "train", **({"validation": "validation"} if split == "test" else {})}
    sets = {"samples": samples, **{name: store_set(store, split_rows(store, part), f"{part} records", samples.seconds)
                                   for name, part in parts.items()}}
    for name, ecgs in sets.items():
        if len(ecgs) < MIN_RECORDS:
            raise ValueError(f"{len(ecgs)} {name if name == 'samples' else ecgs.name}; wanted {MIN_RECORDS} or more")
    return sets


def typical_seconds(store: Store, rows: np.ndarray) -> float:
    """The most frequent length of some rows of a store in seconds."""
    lengths, counts = np.unique(store.spans[rows, 1], return_counts=True)
    return float(lengths[counts.argmax()]) / store.rate


def train_or_load(training: EcgSet, cache: Path | None, seed: int, stage: Stage) -> Classifier | None:
    """The classifier of the training records; None if too few of them have a class."""
    if training.labels is None or training.labels.any(axis=1).sum() < 2:
        return None
    return cached_classifier(training, cache, seed, partial(stage, "epochs of the classifier"))


def extract(network: Network, sets: dict[str, EcgSet], progress: Callable[[int, int], object]
            ) -> dict[str, np.ndarray]:
    """The features of each set."""
    return map_sets(sets, lambda ecgs, progress: network.features(ecgs.signals, progress), progress)
