"""Fingerprints recognize an ECG at any rate and in any blocks, and no other ECG."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import write_store

from ecgvae import checkpoint, read_record, simulate
from ecgvae.data.fingerprints import BITS, MAX_DIFFERENT_BITS, TrainingRecords, fingerprints, random_signs
from ecgvae.data.prepare import build_store
from ecgvae.data.training_data import conformed_blocks, is_training_record, measure_training_data
from ecgvae.signal import Record, SignalSpec, resample

SPEC = SignalSpec()
PROJECTION_START = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]


def hashes_of(record: Record) -> np.ndarray:
    return fingerprints(conformed_blocks(record, SPEC), SPEC.rate)


def different_bits(one: np.ndarray, other: np.ndarray) -> int:
    return int((np.unpackbits(one) != np.unpackbits(other)).sum())


@pytest.fixture(scope="module")
def records():
    return [simulate("atrial fibrillation", 25, 500, seed) for seed in range(12)]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 2400), max_size=6), st.integers(10, 4000))
def test_blocks_do_not_matter(cuts, length):
    signal = np.random.default_rng(length).standard_normal((2, length)).astype(np.float32)
    blocks = np.split(signal, sorted({cut for cut in cuts if cut < length}), axis=1)
    assert np.array_equal(fingerprints(blocks, 100), fingerprints([signal], 100))
    assert len(fingerprints([signal], 100)) == max(1, length // 500)


def test_the_same_ecg_is_recognized_at_another_rate_and_others_are_not(records):
    known = [hashes_of(record) for record in records]
    assert [len(hashes) for hashes in known] == [5] * len(records)
    for index, record in enumerate(records):
        other_rate = Record(resample(record.signal, 500, 360), 360, record.leads)
        pairs = list(zip(hashes_of(other_rate), known[index], strict=True))
        assert max(different_bits(*pair) for pair in pairs) <= MAX_DIFFERENT_BITS / 2
        others = TrainingRecords(np.concatenate(known[:index] + known[index + 1:]))
        for shifted in (True, False):
            assert is_training_record(other_rate, SPEC, TrainingRecords(np.concatenate(known)), shifted)
            assert not is_training_record(other_rate, SPEC, others, shifted)


@pytest.mark.parametrize("start, stop, recognized", [
    (0, 2500, True), (5000, 7500, True),            # windows of 5 s from a segment on
    (5, 5005, True), (185, 5400, True), (3330, 9999, True), (1250, 6250, True),     # 10 s or more from anywhere
    (1250, 3750, False),                            # 5 s without a whole segment
])
def test_parts_are_recognized(records, start, stop, recognized):
    known = TrainingRecords(hashes_of(records[0]))
    assert is_training_record(records[0].read(start, stop), SPEC, known) == recognized
    assert not is_training_record(records[1].read(start, stop), SPEC, known)


def test_short_records_are_recognized_if_they_are_as_short(records):
    known = TrainingRecords(hashes_of(records[0].read(0, 1600)))
    assert is_training_record(records[0].read(0, 1600), SPEC, known)
    assert not is_training_record(records[1].read(0, 1600), SPEC, known)


def test_offset_and_baseline_wander_hardly_change_a_fingerprint(records):
    time = np.arange(records[0].samples) / 500
    wandering = Record(records[0].signal + 0.3 * np.sin(2 * np.pi * 0.2 * time) + 5, 500, records[0].leads)
    assert is_training_record(wandering, SPEC, TrainingRecords(hashes_of(records[0])))


def test_flat_records_have_no_fingerprint():
    assert fingerprints([np.full((2, 1500), 0.5, np.float32)], 100).shape == (0, BITS // 8)
    assert not TrainingRecords(np.zeros((3, BITS // 8), np.uint8)).include(np.full((2, 1500), 0.5, np.float32), 100)
    assert not TrainingRecords(np.zeros((0, BITS // 8), np.uint8)).include(np.ones((2, 1500), np.float32), 100)


def test_the_projection_never_changes():
    assert random_signs(5)[0, :8].tolist() == PROJECTION_START
    assert abs(random_signs(1000).mean()) < 0.01


def test_training_data_of_a_store(records, tmp_path):
    signals = np.stack([resample(record.signal, 500, 100)[:, :1000] for record in records])
    store = write_store(tmp_path / "store", signals, records[0].leads)
    data = measure_training_data(store, range(4), SPEC)
    known = TrainingRecords(data.fingerprints)
    assert [is_training_record(store.record(row), SPEC, known) for row in range(12)] == [True] * 4 + [False] * 8
    peaks = np.abs(np.stack([store.record(row).select(SPEC.coded).signal for row in range(4)])).max(2)
    assert data.amplitudes.peak_mv.q50 == pytest.approx(np.median(peaks), abs=1e-3)


def test_shipped_models_know_their_training_records_and_no_others(data, tmp_path):
    folder = data / "ptb-xl-subset"
    import pandas

    table = pandas.read_csv(folder / "ptbxl_database.csv")
    seen = {fold: [folder / name for name in table[table.strat_fold == fold].filename_lr[:20]] for fold in (1, 9, 10)}
    for name in checkpoint.pretrained():
        known = checkpoint.training_records(name)
        assert known is not None
        for fold, paths in seen.items():
            recognized = [is_training_record(read_record(path), SPEC, known) for path in paths]
            assert set(recognized) == {fold == 1}


def test_the_same_records_at_500_hz_are_recognized(data, tmp_path):
    folder = data / "ptb-xl-subset"
    paths = sorted((folder / "records500").rglob("*.hea"))[:40]
    store = build_store(folder, tmp_path / "store", records=[path.with_suffix("") for path in paths], workers=1)
    known = TrainingRecords(measure_training_data(store, range(20), SPEC).fingerprints)
    at_100 = [str(path).replace("records500", "records100").replace("_hr", "_lr") for path in paths]
    assert [is_training_record(read_record(path), SPEC, known) for path in at_100] == [True] * 20 + [False] * 20
