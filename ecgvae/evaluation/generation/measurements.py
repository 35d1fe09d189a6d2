"""What is measured of the records of the sets beside their features: physiology, and the nearest training records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from ecgvae.data.jobs import Progress
from ecgvae.evaluation.generation.arrays import RecordProgress
from ecgvae.evaluation.generation.memorisation import Nearest, nearest
from ecgvae.evaluation.generation.physiology import Physiology, measure_physiology
from ecgvae.evaluation.generation.sets import EcgSet

MAX_RECORDS = 1000      # of each set that are measured, for the time it takes
Stage = Callable[[str, int, int], object]      # called with what is counted, the number done and their total
Measured = TypeVar("Measured")


def no_stage(stage: str, done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """What is measured of the records of sets.

    Attributes:
        physiology: The physiology of each set; empty if it can't be measured.
        nearest: The nearest training records of each set but the training records; empty if they can't be found.
        missing: Why `physiology` or `memorisation` (the nearest records) is empty.
    """

    physiology: dict[str, Physiology]
    nearest: dict[str, Nearest]
    missing: dict[str, str]


def measure_records(sets: Mapping[str, EcgSet], seed: int = 0, stage: Stage = no_stage) -> Measurements:
    """Measures the records of sets.

    Of a larger set `MAX_RECORDS` at random are measured, but the nearest training records are found for all samples,
    since one copy is one too many.

    Args:
        sets: `samples`, `training` and other sets.
        seed: Seed of the choice of records.
        stage: Called with what is counted, the number done and their total.
    """
    random, missing = np.random.default_rng(seed), {}
    drawn = {name: draw(ecgs, random) for name, ecgs in sets.items()}
    physiology: dict[str, Physiology] = {}
    try:
        physiology = map_sets(drawn, lambda ecgs, progress: measure_physiology(
            ecgs.signals, ecgs.rate, ecgs.leads, progress), partial(stage, "records measured"))
    except (ModuleNotFoundError, ValueError) as error:      # neurokit2 is not installed, or records are too short
        missing["physiology"] = str(error)
    found: dict[str, Nearest] = {}
    try:
        others = {name: ecgs for name, ecgs in (drawn | {"samples": sets["samples"]}).items() if name != "training"}
        found = find_nearest(others, sets["training"], partial(stage, "records compared with training records"))
    except ValueError as error:                             # records are too short
        missing["memorisation"] = str(error)
    return Measurements(physiology, found, missing)


def find_nearest(sets: Mapping[str, EcgSet], training: EcgSet, progress: Progress) -> dict[str, Nearest]:
    """The nearest training records of each set."""
    def of_set(ecgs: EcgSet, done: RecordProgress) -> Nearest:
        return nearest(ecgs.signals, training.signals, ecgs.rate, ecgs.leads,
                       lambda shifts, total: done(len(ecgs) * shifts // total))

    return map_sets(sets, of_set, progress)


def draw(ecgs: EcgSet, random: np.random.Generator) -> EcgSet:
    """The set, or `MAX_RECORDS` of its records at random in their order."""
    return ecgs if len(ecgs) <= MAX_RECORDS else ecgs.take(np.sort(random.permutation(len(ecgs))[:MAX_RECORDS]))


def map_sets(sets: Mapping[str, EcgSet], measure: Callable[[EcgSet, RecordProgress], Measured], progress: Progress
             ) -> dict[str, Measured]:
    """What `measure` gives for each set; it is called with a set and a function for the number of its records done."""
    total, before, measured = sum(map(len, sets.values())), 0, {}
    for name, ecgs in sets.items():
        measured[name] = measure(ecgs, partial(_add, progress, before, total))
        before += len(ecgs)
    return measured


def _add(progress: Progress, before: int, total: int, done: int) -> None:
    """Reports progress in a set after others."""
    progress(before + done, total)
