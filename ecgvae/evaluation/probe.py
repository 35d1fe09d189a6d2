"""What a linear classifier reads from a frozen model's features: the superclasses of PTB-XL."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecgvae import metrics
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import batches, full_precision, split_rows
from ecgvae.models import Autoencoder

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")       # superclasses of PTB-XL; a record may be of several
STRENGTHS = 10.0 ** np.arange(-4, 3)                # C of the logistic regression, that is 1 / penalty
PARTS = 4                                           # of the cross-validation
RESAMPLES = 1000
Corrupt = Callable[[Tensor], Tensor]                # coded leads (b, c, t) in mV, noisy


@dataclass(frozen=True)
class Probe:
    """Areas under the ROC curve: their mean over the classes, its bootstrap 95 % interval, and each class's."""

    auc: float
    low: float
    high: float
    classes: dict[str, float]
    strength: float
    records: int


def probe(model: Autoencoder, store: Store, split: str = "test", corrupt: Corrupt | None = None,
          seed: int = 0) -> Probe:
    """Standardise and fit one logistic regression a class on the training records; score those of a split.

    C is the best on the validation split, or, where that is what is scored, the best in cross-validation within
    the training split. Records without a superclass are left out. `corrupt` adds noise to the scored records.
    """
    train, scored = labelled(store, "train"), labelled(store, split)
    x, y = features(model, store, train), labels(store, train)
    if split == "validation":
        strength = best(*across(x, y, patients(store, train)))
    else:
        tuning = labelled(store, "validation")
        found = features(model, store, tuning)
        strength = best([scores(x, y, found, c) for c in STRENGTHS], labels(store, tuning))
    true, made = labels(store, scored), scores(x, y, features(model, store, scored, corrupt), strength)
    areas = metrics.auc(true, made)
    low, high = interval(true, made, seed)
    return Probe(float(areas.mean()), low, high, dict(zip(CLASSES, areas.tolist(), strict=True)), strength, len(true))


def features(model: Autoencoder, store: Store, rows: np.ndarray, corrupt: Corrupt | None = None) -> np.ndarray:
    """(n, 2 d): mean and standard deviation over frames of the features of each row's record."""
    table: dict[int, np.ndarray] = {}
    for batch in batches(model, store, rows):
        with full_precision():
            pooled = pool(model, batch.x if corrupt is None else corrupt(batch.x))
        table.update(zip(batch.rows.tolist(), pooled, strict=True))
    return np.stack([table[row] for row in rows.tolist()])


def pool(model: Autoencoder, x: Tensor) -> np.ndarray:
    """Mean and standard deviation over frames: (b, c, t) mV to (b, 2 d)."""
    frames = model.features(x).double()
    return torch.cat([frames.mean(-1), frames.std(-1, correction=0)], dim=1).cpu().numpy()


def labelled(store: Store, split: str) -> np.ndarray:
    """The rows of a split that have a superclass."""
    if "superclass" not in store.records:
        raise ValueError(f"{store.path} has no column superclass; wanted a store with the labels of PTB-XL")
    rows = split_rows(store, split)
    return rows[labels(store, rows).any(axis=1)]


def labels(store: Store, rows: np.ndarray) -> np.ndarray:
    """(n, 5): which of the superclasses each row has."""
    return np.array([[name in found for name in CLASSES] for found in store.records["superclass"].iloc[rows]], bool)


def patients(store: Store, rows: np.ndarray) -> np.ndarray:
    """What must stay on one side in cross-validation."""
    column = "patient" if "patient" in store.records else "name"
    return store.records[column].iloc[rows].to_numpy()


def across(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores of every row for each C, from models of the parts it isn't in; and the labels."""
    from sklearn.model_selection import GroupKFold

    made = [np.empty(y.shape) for _ in STRENGTHS]
    for fitted, held in GroupKFold(PARTS).split(x, y, groups):
        for table, strength in zip(made, STRENGTHS, strict=True):
            table[held] = scores(x[fitted], y[fitted], x[held], strength)
    return made, y


def best(made: list[np.ndarray], true: np.ndarray) -> float:
    """The C whose scores have the largest mean area."""
    return float(STRENGTHS[np.argmax([metrics.auc(true, table).mean() for table in made])])


def scores(x: np.ndarray, y: np.ndarray, wanted: np.ndarray, strength: float) -> np.ndarray:
    """Log-odds (n, classes) of the wanted rows by logistic regressions on x, standardised, and y."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    x, wanted = scaler.transform(x), scaler.transform(wanted)
    return np.stack([LogisticRegression(C=strength, max_iter=1000).fit(x, target).decision_function(wanted)
                     for target in y.T], axis=1)


def interval(true: np.ndarray, made: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % of the mean areas of resampled records, over the classes that a resample has."""
    random = np.random.default_rng(seed)
    drawn = (random.integers(len(true), size=len(true)) for _ in range(RESAMPLES))
    low, high = np.percentile([np.nanmean(metrics.auc(true[rows], made[rows])) for rows in drawn], [2.5, 97.5])
    return float(low), float(high)
