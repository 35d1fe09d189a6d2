"""Fingerprints recognize an ECG at any rate and in any blocks, and no other ECG."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import write_store

from ecgvae import checkpoint, read_record, simulate
from ecgvae.data.fingerprints import BITS, MAX_DIFFERENT_BITS, TrainingRecords, fingerprints, random_signs
from ecgvae.data.prepare import build_store
from ecgvae.data.training_data import measure_training_data, record_fingerprints
from ecgvae.signal import Record, SignalSpec, resample

SPEC = SignalSpec()
PROJECTION_START = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]


def different_bits(one: np.ndarray, other: np.ndarray) -> int:
    return int((np.unpackbits(one) != np.unpackbits(other)).sum())


@pytest.fixture(scope="module")
def records():
    return [simulate("normal", 25, 500, seed) for seed in range(12)]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 2400), max_size=6), st.integers(10, 4000))
def test_blocks_do_not_matter(cuts, length):
    signal = np.random.default_rng(length).standard_normal((2, length)).astype(np.float32)
    blocks = np.split(signal, sorted({cut for cut in cuts if cut < length}), axis=1)
    assert np.array_equal(fingerprints(blocks, 100), fingerprints([signal], 100))
    assert len(fingerprints([signal], 100)) == max(1, length // 1000)


def test_the_same_ecg_is_recognized_at_another_rate_and_others_are_not(records):
    known = [record_fingerprints(record, SPEC) for record in records]
    assert [len(hashes) for hashes in known] == [2] * len(records)
    for index, record in enumerate(records):
        other_rate = Record(resample(record.signal, 500, 360), 360, record.leads)
        hashes = record_fingerprints(other_rate, SPEC)
        assert max(map(different_bits, hashes, known[index])) <= MAX_DIFFERENT_BITS / 2
        others = TrainingRecords(np.concatenate(known[:index] + known[index + 1:]))
        assert hashes in TrainingRecords(np.concatenate(known))
        assert hashes not in others


def test_a_part_that_begins_at_a_segment_is_recognized(records):
    known = TrainingRecords(record_fingerprints(records[0], SPEC))
    assert record_fingerprints(records[0].read(5000, 10000), SPEC) in known
    assert record_fingerprints(records[1].read(5000, 10000), SPEC) not in known


def test_offset_and_baseline_wander_hardly_change_a_fingerprint(records):
    time = np.arange(records[0].samples) / 500
    wandering = Record(records[0].signal + 0.3 * np.sin(2 * np.pi * 0.2 * time) + 5, 500, records[0].leads)
    pairs = zip(record_fingerprints(wandering, SPEC), record_fingerprints(records[0], SPEC), strict=True)
    assert max(different_bits(*pair) for pair in pairs) <= MAX_DIFFERENT_BITS


def test_flat_records_have_no_fingerprint():
    assert fingerprints([np.full((2, 1500), 0.5, np.float32)], 100).shape == (0, BITS // 8)
    assert np.zeros((0, BITS // 8), np.uint8) not in TrainingRecords(np.zeros((3, BITS // 8), np.uint8))


def test_the_projection_never_changes():
    assert random_signs(5)[0, :8].tolist() == PROJECTION_START
    assert abs(random_signs(1000).mean()) < 0.01


def test_training_data_of_a_store(records, tmp_path):
    signals = np.stack([resample(record.signal, 500, 100)[:, :1000] for record in records])
    store = write_store(tmp_path / "store", signals, records[0].leads)
    data = measure_training_data(store, range(4), SPEC)
    known = TrainingRecords(data.fingerprints)
    assert [record_fingerprints(store.record(row), SPEC) in known for row in range(12)] == [True] * 4 + [False] * 8
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
            recognized = [record_fingerprints(read_record(path), SPEC) in known for path in paths]
            assert set(recognized) == {fold == 1}


def test_the_same_records_at_500_hz_are_recognized(data, tmp_path):
    folder = data / "ptb-xl-subset"
    paths = sorted((folder / "records500").rglob("*.hea"))[:40]
    store = build_store(folder, tmp_path / "store", records=[path.with_suffix("") for path in paths], workers=1)
    known = TrainingRecords(measure_training_data(store, range(20), SPEC).fingerprints)
    at_100 = [str(path).replace("records500", "records100").replace("_hr", "_lr") for path in paths]
    assert [record_fingerprints(read_record(path), SPEC) in known for path in at_100] == [True] * 20 + [False] * 20
