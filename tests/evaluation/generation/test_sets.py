"""Sets of ECGs from stores and tokenizers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stores import write_store

from ecgvae.evaluation.generation.sets import EcgSet, decode_real, store_set
from ecgvae.evaluation.probe import CLASSES
from ecgvae.tokenizer import Tokenizer


def test_a_set_has_the_beginnings_of_rows(ecg_store):
    rows = np.array([7, 3, 180])
    ecgs = store_set(ecg_store, rows, "three", seconds=2.5)
    assert ecgs.signals.shape == (3, 3, 125) and ecgs.seconds == 2.5 and ecgs.leads == ("I", "II", "V1")
    for signal, row in zip(ecgs.signals, rows, strict=True):
        np.testing.assert_array_equal(signal, ecg_store.signal(row)[:, :125])
    wanted = [[name in ecg_store.records["superclass"][row] for name in CLASSES] for row in rows]
    assert ecgs.labels.tolist() == wanted and ecgs.groups.tolist() == ["3", "1", "90"]
    assert repr(ecgs) == "EcgSet('three', 3 records, 3 leads, 2.5 s at 50 Hz)"


def test_short_records_and_absent_leads_are_left_out(tmp_path):
    signals = np.random.default_rng(0).normal(size=(3, 2, 300))
    store = write_store(tmp_path / "store", signals, ("I", "V1"), length=[300, 250, 300],
                        notes=[[], [], ["V1 is missing, set to 0 mV"]])
    ecgs = store_set(store, np.arange(3), "records", seconds=3)
    assert len(ecgs) == 1 and ecgs.labels is None
    assert ecgs.left_out == (("r1", "2.5 s long; wanted 3 s"), ("r2", "lacks V1"))
    with pytest.raises(ValueError, match="has no record of 10 s with all leads among the records"):
        store_set(store, np.arange(3), "records")


def test_rows_and_cuts_of_a_set(draw_set):
    ecgs = draw_set(6, 0)
    part = ecgs.take(np.array([4, 0])).cut(10)
    np.testing.assert_array_equal(part.signals, ecgs.signals[[4, 0], :, :10])
    np.testing.assert_array_equal(part.labels, ecgs.labels[[4, 0]])
    assert part.groups.tolist() == ["samples 4", "samples 0"]


@pytest.mark.parametrize(("change", "message"), [
    ({"signals": np.zeros((4, 2, 9), np.float32)}, r"has signals \(4, 2, 9\); wanted \(n, 3 leads, samples\)"),
    ({"signals": np.full((4, 3, 9), np.nan, np.float32)}, "samples that are not numbers; wanted mV"),
    ({"labels": np.zeros((3, 5), bool)}, "has 4 signals; wanted as many groups and labels"),
    ({"groups": np.arange(5)}, "has 4 signals; wanted as many groups and labels"),
])
def test_what_is_no_set(draw_set, change, message):
    with pytest.raises(ValueError, match=message):
        replace(draw_set(4, 0), **change)


def test_decoded_ecgs_are_those_of_the_model(draw_set, tiny_settings, random_model):
    model = random_model(tiny_settings(signal={"leads": ("I", "II", "V1"), "rate": 50}))
    real, done = draw_set(70, 0), []
    decoded = decode_real(real, Tokenizer(model), 2, progress=lambda count, total: done.append((count, total)))
    with torch.inference_mode():
        x = torch.from_numpy(real.signals)
        expected = model.detokenize(model.tokenize(x, 2), x.shape[-1]).numpy()
    np.testing.assert_allclose(decoded.signals, expected, atol=0.003)      # rounded to microvolts
    assert isinstance(decoded, EcgSet) and decoded.labels is real.labels and done == [(64, 70), (70, 70)]
