"""What is measured of sets of records, and what is left out with its reason."""

import sys
from dataclasses import replace

import heartbeats
import numpy as np
import pytest

from ecgvae.evaluation.generation import measurements
from ecgvae.evaluation.generation.measurements import measure_records
from ecgvae.evaluation.generation.memorisation import nearest
from ecgvae.evaluation.generation.physiology import measure_physiology
from ecgvae.evaluation.generation.sets import EcgSet
from ecgvae.signal import LEADS_12


def people(seeds: range) -> EcgSet:
    """A record of 4 s of each person."""
    records = [heartbeats.record(heartbeats.regular(0.6 + 0.01 * seed, 4), heartbeats.axes(seed), seconds=4, noise=0.01,
                                 seed=seed) for seed in seeds]
    return EcgSet("people", np.stack(records), 100, LEADS_12, None, np.array([str(seed) for seed in seeds]))


@pytest.fixture(scope="module")
def sets() -> dict[str, EcgSet]:
    return {"samples": people(range(9, 15)), "reference": people(range(20, 23)), "training": people(range(12))}


def test_records_are_measured_and_compared_with_training_records(sets, monkeypatch):
    monkeypatch.setattr(measurements, "MAX_RECORDS", 4)
    done = []
    measured = measure_records(sets, stage=lambda *arguments: done.append(arguments))
    assert measured.missing == {} and set(measured.physiology) == set(sets)
    assert [len(of_set.intervals.values["qrs"]) for of_set in measured.physiology.values()] == [4, 3, 4]
    assert set(measured.nearest) == {"samples", "reference"}    # all samples, and the training records as they are
    expected = nearest(sets["samples"].signals, sets["training"].signals, 100, LEADS_12)
    np.testing.assert_array_equal(measured.nearest["samples"].index, expected.index)
    assert (measured.nearest["samples"].distance < 1e-3).tolist() == [True] * 3 + [False] * 3
    for stage, total in (("records measured", 11), ("records compared with training records", 9)):
        counts = [count for name, count, _ in done if name == stage]
        assert counts == sorted(counts) and counts[-1] == total


def test_without_the_extra_the_rest_is_measured(sets, monkeypatch):
    monkeypatch.setitem(sys.modules, "neurokit2", None)
    measured = measure_records(sets)
    assert measured.physiology == {} and set(measured.nearest) == {"samples", "reference"}
    assert list(measured.missing) == ["physiology"] and "ecgvae[delineation]" in measured.missing["physiology"]


def test_short_records_are_not_measured(sets):
    measured = measure_records({name: ecgs.cut(150) for name, ecgs in sets.items()})
    assert measured.physiology == measured.nearest == {}
    assert measured.missing["physiology"] == "records of 1.5 s at 100 Hz; wanted 2 s at 40 Hz or more"
    assert "wanted equal lengths of at least 2 s" in measured.missing["memorisation"]


def test_a_low_rate_has_no_physiology(sets):
    signals = sets["samples"].signals
    with pytest.raises(ValueError, match="records of 13.3333 s at 30 Hz; wanted 2 s at 40 Hz or more"):
        measure_physiology(signals, 30, LEADS_12)
    slow = {name: replace(ecgs, rate=30.0) for name, ecgs in sets.items()}
    assert list(measure_records(slow).missing) == ["physiology"]
