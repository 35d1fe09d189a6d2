"""How well a linear classifier tells generated ECGs from real ones: an AUC of 0.5 is perfect."""

from collections import defaultdict

import numpy as np
from jaxtyping import Float

from ecgvae.evaluation.generation.distances import Estimate
from ecgvae.evaluation.generation.linear import estimate_auc, ridge_scores
from ecgvae.evaluation.generation.sets import EcgSet

N_FOLDS = 5
MAX_RECORDS = 1000      # of each set, for the time it takes
MAX_CHOICES = 5         # of records and folds


def discriminate(real: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m d"], real_groups: np.ndarray,
                 generated_groups: np.ndarray, seed: int = 0) -> Estimate:
    """The cross-validated AUC of a ridge classifier of real against generated features, with a bootstrap interval.

    Records of one group (patient) are in the same fold. Scores are ranked within their fold, since those of two folds
    come from two classifiers.

    Args:
        real: Standardized features of real records.
        generated: Standardized features of generated records.
        real_groups: The group of each real record.
        generated_groups: The group of each generated record.
        seed: Seed of the folds and of the bootstrap.

    Raises:
        ValueError: A set has fewer records than there are folds.
    """
    from scipy.stats import rankdata
    from sklearn.model_selection import StratifiedGroupKFold

    if min(len(real), len(generated)) < N_FOLDS:
        raise ValueError(f"{len(real)} real and {len(generated)} generated records; wanted {N_FOLDS} or more of each")
    x = np.concatenate([real, generated])
    is_generated = np.arange(len(x)) >= len(real)
    groups = np.concatenate([real_groups.astype(str), generated_groups.astype(str)])
    ranks = np.empty(len(x))
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    for train, held_out in folds.split(x, is_generated, groups):
        scores = ridge_scores(x[train], is_generated[train, None], x[held_out])
        ranks[held_out] = rankdata(scores[:, 0]) / len(held_out)
    return estimate_auc(is_generated[:, None], ranks[:, None], seed)


def discriminate_sets(sets: tuple[EcgSet, EcgSet], features: tuple[np.ndarray, np.ndarray], seed: int = 0) -> Estimate:
    """The AUC of a discriminator of a real and a generated set, with as many records of each; see `matched_rows`.

    It is the mean over several choices of records and folds, of at most `MAX_RECORDS` in all: for 267 records of two
    real sets each choice gives an AUC of .5 with a standard deviation of .03. The interval is the mean one.

    Args:
        sets: The real and the generated set.
        features: Their standardized features (n, d).
        seed: Seed of the choices, of the folds and of the bootstrap.
    """
    estimates: list[Estimate] = []
    choices = 1
    while len(estimates) < choices:
        drawn = seed + len(estimates)
        real, generated = matched_rows(*sets, drawn)
        choices = max(1, min(MAX_CHOICES, MAX_RECORDS // len(real)))
        estimates.append(discriminate(features[0][real], features[1][generated], sets[0].groups[real],
                                      sets[1].groups[generated], drawn))
    return Estimate(*(float(np.mean([getattr(estimate, name) for estimate in estimates]))
                      for name in ("value", "low", "high")))


def matched_rows(real: EcgSet, generated: EcgSet, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two sets, equally many, at random and at most `MAX_RECORDS` of each; with the same labels if known.

    For each combination of labels there are as many rows as the set has that has fewer of them. Sets that share fewer
    than `N_FOLDS` rows are not matched.
    """
    random = np.random.default_rng(seed)
    if real.labels is not None and generated.labels is not None:
        rows = rows_of_equal_labels(real.labels, generated.labels, random)
        if len(rows[0]) >= N_FOLDS:
            return rows
    count = min(len(real), len(generated), MAX_RECORDS)
    return random.permutation(len(real))[:count], random.permutation(len(generated))[:count]


def rows_of_equal_labels(real: np.ndarray, generated: np.ndarray, random: np.random.Generator
                         ) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two tables of labels (n, classes) that have the same labels, at random."""
    rows: tuple[list[int], list[int]] = [], []
    by_labels = [rows_by_labels(labels, random) for labels in (real, generated)]
    for combination in sorted(by_labels[0].keys() & by_labels[1].keys()):
        count = min(len(table[combination]) for table in by_labels)
        for own, table in zip(rows, by_labels, strict=True):
            own += table[combination][:count]
    kept = random.permutation(len(rows[0]))[:MAX_RECORDS]
    return np.array(rows[0], int)[kept], np.array(rows[1], int)[kept]


def rows_by_labels(labels: np.ndarray, random: np.random.Generator) -> dict[tuple[bool, ...], list[int]]:
    """The rows that have each combination of labels, in random order."""
    rows: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for row in random.permutation(len(labels)).tolist():
        rows[tuple(labels[row].tolist())].append(row)
    return rows
