"""What generated ECGs are worth for a classifier: trained on them and tested on real ones, and the reverse."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ecgvae.evaluation.generation.distances import Estimate
from ecgvae.evaluation.generation.linear import estimate_auc, estimate_ratio, ridge_scores

MIN_RECORDS = 10        # with labels, to train on


@dataclass(frozen=True, eq=False)
class Labelled:
    """Standardized features and classes of ECGs; those without a class are left out."""

    features: Float[np.ndarray, "n d"]
    labels: Bool[np.ndarray, "n k"]

    def __post_init__(self) -> None:
        rows = self.labels.any(axis=1)
        object.__setattr__(self, "features", self.features[rows])
        object.__setattr__(self, "labels", self.labels[rows])

    def __len__(self) -> int:
        return len(self.features)

    def draw(self, count: int, random: np.random.Generator) -> "Labelled":
        """`count` of them at random, in their order."""
        rows = np.sort(random.permutation(len(self))[:count])
        return Labelled(self.features[rows], self.labels[rows])


def utility(real: Labelled, generated: Labelled, reference: Labelled, seed: int = 0) -> dict[str, Estimate]:
    """Macro-AUC of classes by linear classifiers that are trained on as many real or generated ECGs.

    Args:
        real: Real training records.
        generated: Generated ECGs, with the classes that were asked for.
        reference: Real records to test on.
        seed: Seed of the choice of records and of the bootstrap.

    Returns:
        `tstr`: trained on generated, tested on real. `trtr`: trained on real, tested on real. `ratio`: the first
        divided by the second. `trts`: trained on real, tested on generated.

    Raises:
        ValueError: A set has too few ECGs with a class.
    """
    count = min(len(real), len(generated))
    if count < MIN_RECORDS or not len(reference):
        raise ValueError(f"{len(real)} real, {len(generated)} generated and {len(reference)} reference ECGs with a "
                         f"class; wanted {MIN_RECORDS} or more")
    random = np.random.default_rng(seed)
    real, generated = real.draw(count, random), generated.draw(count, random)
    by_real = ridge_scores(real.features, real.labels, reference.features)
    by_generated = ridge_scores(generated.features, generated.labels, reference.features)
    on_generated = ridge_scores(real.features, real.labels, generated.features)
    return {"tstr": estimate_auc(reference.labels, by_generated, seed),
            "trtr": estimate_auc(reference.labels, by_real, seed),
            "ratio": estimate_ratio(reference.labels, by_generated, by_real, seed),
            "trts": estimate_auc(generated.labels, on_generated, seed)}
