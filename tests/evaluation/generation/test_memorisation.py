import heartbeats
import numpy as np
import pytest

from ecgvae.evaluation.generation import memorisation as module
from ecgvae.evaluation.generation.memorisation import memorisation, nearest, share_below
from ecgvae.signal import INDEPENDENT_8, LEADS_12


def people(seeds) -> np.ndarray:
    """A record of each person, whose shape of beats, rhythm and rate are the person's own."""
    records = []
    for seed in seeds:
        random = np.random.default_rng([5, seed])
        times = 0.3 + np.cumsum(random.uniform(0.6, 1.1) * random.uniform(0.9, 1.1, 20))
        records.append(heartbeats.record(times, random.normal(size=(8, 5)), noise=0.01, seed=seed))
    return np.stack(records)


@pytest.fixture(scope="module")
def training() -> np.ndarray:
    return people(range(30))


@pytest.fixture(scope="module")
def held_out() -> np.ndarray:
    return people(range(100, 120))


def test_copies_are_found(training, held_out):
    random = np.random.default_rng(0)
    who = random.permutation(30)[:12]
    copies = np.stack([random.uniform(0.7, 1.4) * np.roll(training[index], random.integers(-40, 40), axis=-1)
                       for index in who])
    copies = (copies + 0.01 * random.normal(size=copies.shape)).astype(np.float32)
    result = memorisation(copies, held_out, training, 100, LEADS_12)
    np.testing.assert_array_equal(result.generated.index, who)
    summary = result.summary()
    assert summary["nearer"] == 1 and summary["below_minimum"] == 1 and summary["below_p1"] == 1
    assert summary["ratio_median"] < 0.4 < summary["held_out_ratio_median"]


def test_new_records_are_no_copies(training, held_out):
    summary = memorisation(people(range(200, 230)), held_out, training, 100, LEADS_12).summary()
    assert 0.3 < summary["nearer"] < 0.7 and summary["below_minimum"] <= 0.2


def test_distance_is_what_the_best_shift_and_scale_leave(training, held_out):
    found = nearest(held_out[:3], training, 100, LEADS_12)
    rows = [LEADS_12.index(lead) for lead in INDEPENDENT_8]
    records, others = (module._represent(signals[:, rows], 100) for signals in (held_out[:3], training))
    for record, distance, index in zip(records, found.distance, found.index, strict=True):
        middle, other = record[:, 50:950:3].ravel(), others[index]
        left = []
        for shift in range(101):
            window = other[:, shift:shift + 900:3].ravel()
            scale = max(0, middle @ window / (window @ window))
            left.append(np.linalg.norm(middle - scale * window) / np.linalg.norm(middle))
        assert distance == pytest.approx(min(left), abs=1e-4)


def test_a_record_upside_down_is_no_copy_and_one_record_has_no_second(training):
    found, turned = (nearest(sign * training[:1], training[:1], 100, LEADS_12) for sign in (1, -1))
    assert found.distance[0] < 0.01 and np.isnan(found.second[0]) and found.index[0] == 0
    assert turned.distance[0] > 0.5


def test_blocks_change_nothing(training, held_out, monkeypatch):
    whole = nearest(held_out, training, 100, LEADS_12)
    monkeypatch.setattr(module, "BLOCK_RECORDS", 7)
    parts = nearest(held_out, training, 100, LEADS_12)
    np.testing.assert_array_equal(parts.index, whole.index)
    np.testing.assert_allclose(parts.distance, whole.distance, atol=1e-5)
    np.testing.assert_allclose(parts.second, whole.second, atol=1e-5)


def test_flat_and_missing_records_resemble_nothing(training):
    odd = np.zeros((2, 12, 1000), np.float32)
    odd[1] = np.nan
    np.testing.assert_array_equal(nearest(odd, training, 100, LEADS_12).distance, 1)


def test_lengths_must_agree(training):
    with pytest.raises(ValueError, match="records of 900 and 1000 samples"):
        nearest(training[..., :900], training, 100, LEADS_12)
    with pytest.raises(ValueError, match="at least 2 s"):
        nearest(training[..., :100], training[..., :100], 100, LEADS_12)


def test_share_below_counts_ties_half():
    a, b = np.array([1.0, 2, 3]), np.array([2.0, 4])
    pairs = [(x < y) + 0.5 * (x == y) for x in a for y in b]
    assert share_below(a, b) == np.mean(pairs) == 4.5 / 6
