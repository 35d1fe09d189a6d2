"""A linear probe: how well a linear classifier predicts PTB-XL's superclasses from a frozen model's features."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecgvae import metrics
from ecgvae.data import splits
from ecgvae.data.conditions import column_labels
from ecgvae.data.fingerprints import TrainingRecords
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import batches, full_precision, split_rows
from ecgvae.evaluation.provenance import count_seen
from ecgvae.models import Autoencoder

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")       # superclasses of PTB-XL; a record may have several
C_GRID = 10.0 ** np.arange(-4, 3)                   # inverse regularization strengths of the logistic regression
N_FOLDS = 4
N_BOOTSTRAP = 1000
Corrupt = Callable[[Tensor], Tensor]                # adds noise to coded leads (b, c, t) in mV


@dataclass(frozen=True)
class Probe:
    """The result of a probe.

    Attributes:
        auc: Area under the ROC curve, averaged over the classes.
        low, high: Its 95 % bootstrap interval.
        classes: The AUC of each class.
        C: The inverse regularization strength that was chosen.
        records: Number of records that were scored.
        seen_in_training: How many of them the model was trained on; None if that is unknown.
    """

    auc: float
    low: float
    high: float
    classes: dict[str, float]
    C: float
    records: int
    seen_in_training: int | None = None


def probe(model: Autoencoder, store: Store, split: str = "validation", corrupt: Corrupt | None = None,
          seed: int = 0, trained_on: TrainingRecords | None = None) -> Probe:
    """Fits one logistic regression per class on standardized features of the training split, and scores a split.

    C is chosen on the validation split. If that is the split to score, C is chosen by cross-validation within the
    training split. Records without a superclass are not used.

    Args:
        model: The model whose features are used.
        store: The records, with a column `superclass`.
        split: The split to score.
        corrupt: Adds noise to the scored records.
        seed: Seed of the bootstrap.
        trained_on: The model's training records, see `checkpoint.training_records`.

    Raises:
        ValueError: The store has no superclasses, or no records in a split that is needed.
    """
    train_rows, scored_rows = labelled_rows(store, "train"), labelled_rows(store, split)
    x, y = pooled_features(model, store, train_rows), labels(store, train_rows)
    if split == "validation":
        C = best_C(*cross_validated_scores(x, y, patients(store, train_rows)))
    else:
        rows = labelled_rows(store, "validation")
        validation = pooled_features(model, store, rows)
        C = best_C([log_odds(x, y, validation, C) for C in C_GRID], labels(store, rows))
    target, scores = labels(store, scored_rows), log_odds(x, y, pooled_features(model, store, scored_rows, corrupt), C)
    auc = metrics.auc(target, scores)
    low, high = bootstrap_interval(target, scores, seed)
    return Probe(float(auc.mean()), low, high, dict(zip(CLASSES, auc.tolist(), strict=True)), C, len(target),
                 count_seen(trained_on, store, scored_rows, model.signal))


def pooled_features(model: Autoencoder, store: Store, rows: np.ndarray, corrupt: Corrupt | None = None) -> np.ndarray:
    """The pooled features (n, 2 d) of the given rows of a store, in their order (see `pool`)."""
    sums: dict[int, metrics.Moments] = {}
    for batch in batches(model, store, rows):
        with full_precision():
            features = model.features(batch.x if corrupt is None else corrupt(batch.x)).double().cpu().numpy()
        for row, piece, frames in zip(batch.rows.tolist(), batch.pieces, features, strict=True):
            own = frames[:, piece.frames(store.rate, model, model.hop)]
            moments = metrics.Moments.of(own, own)
            sums[row] = sums[row] + moments if row in sums else moments
    return np.stack([np.concatenate([sums[row].means[0], np.sqrt(sums[row].squares[0] / sums[row].samples)])
                     for row in rows.tolist()])


def pool(model: Autoencoder, x: Tensor) -> np.ndarray:
    """Mean and standard deviation over frames of a model's features: (b, c, t) in mV to (b, 2 d)."""
    frames = model.features(x).double()
    return torch.cat([frames.mean(-1), frames.std(-1, correction=0)], dim=1).cpu().numpy()


def labelled_rows(store: Store, split: str) -> np.ndarray:
    """The rows of a split that have a superclass."""
    if "superclass" not in store.records:
        raise ValueError(f"{store.path} has no column superclass; wanted a store with the labels of PTB-XL")
    rows = split_rows(store, split)
    return rows[labels(store, rows).any(axis=1)]


def labels(store: Store, rows: np.ndarray) -> np.ndarray:
    """A boolean array (n, classes): whether each row has each superclass."""
    superclasses = column_labels(store, "superclass")
    return np.array([[name in superclasses[row] for name in CLASSES] for row in rows], bool)


def patients(store: Store, rows: np.ndarray) -> np.ndarray:
    """The patient of each row, or its record if patients are unknown, as groups for cross-validation."""
    column = "patient" if "patient" in store.records else "name"
    if store.records[column].isna().any():
        return np.array(splits.patients(store.records))[rows]
    return store.records[column].iloc[rows].to_numpy()


def cross_validated_scores(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores of all rows for each C, from models that were fitted on the other folds; and the labels.

    Rows of one group are in the same fold.
    """
    from sklearn.model_selection import GroupKFold

    scores = [np.empty(y.shape) for _ in C_GRID]
    for train, held_out in GroupKFold(N_FOLDS).split(x, y, groups):
        for table, C in zip(scores, C_GRID, strict=True):
            table[held_out] = log_odds(x[train], y[train], x[held_out], C)
    return scores, y


def best_C(scores: list[np.ndarray], target: np.ndarray) -> float:
    """The C whose scores have the largest mean AUC; `scores` has a table for each of `C_GRID`."""
    return float(C_GRID[np.argmax([metrics.auc(target, table).mean() for table in scores])])


def log_odds(x: np.ndarray, y: np.ndarray, scored: np.ndarray, C: float) -> np.ndarray:
    """Log-odds (n, classes) of the scored rows, by one logistic regression per class on standardized x and labels y."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    x, scored = scaler.transform(x), scaler.transform(scored)
    return np.stack([LogisticRegression(C=C, max_iter=1000).fit(x, target).decision_function(scored)
                     for target in y.T], axis=1)


def bootstrap_interval(target: np.ndarray, scores: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval of the mean AUC over resampled records; classes without an AUC in a resample are left out."""
    random = np.random.default_rng(seed)
    resamples = (random.integers(len(target), size=len(target)) for _ in range(N_BOOTSTRAP))
    low, high = np.percentile([np.nanmean(metrics.auc(target[rows], scores[rows])) for rows in resamples],
                              [2.5, 97.5])
    return float(low), float(high)
