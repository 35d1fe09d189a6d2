from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.data.dataset import Windows
from ecgvae.data.store import Store
from ecgvae.signal import INDEPENDENT_8, LEADS_12


def make_store(lengths, leads=LEADS_12, seed=0):
    """A store in memory whose samples are all different within a lead."""
    lengths = np.asarray(lengths)
    total = int(lengths.sum())
    offsets = np.cumsum(lengths) - lengths
    store = object.__new__(Store)     # Store itself opens a folder
    store.path, store.leads, store.rate = Path("memory"), leads, 100.0
    signals = np.arange(total)[:, None] + 1 + 1000 * np.arange(len(leads))
    if set(leads) >= set(LEADS_12):  # limb leads that obey Einthoven, in even microvolts
        i, ii = 2 * np.random.default_rng(seed).integers(-2000, 2000, (2, total))
        signals[:, :6] = np.stack([i, ii, ii - i, -(i + ii) // 2, i - ii // 2, ii - i // 2], axis=1)
    records = pandas.DataFrame({"name": [f"r{n}" for n in range(len(lengths))], "offset": offsets, "length": lengths})
    store.__dict__.update(signals=signals.astype(np.int16), records=records, absent_leads=lambda row: ())
    return store


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 20), st.data())
def test_every_window_is_a_piece_of_its_row(lengths, length, data):
    store = make_store(lengths, ("V1", "V2"))
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=6, unique=True))
    windows = Windows(store, np.array(rows), length)
    x, origin = windows.batch(20, torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    assert x.shape == (20, 2, length) and x.dtype == torch.float32 and x.is_contiguous()
    assert set(origin.tolist()) <= set(rows)
    for window, row in zip(np.rint(x.numpy() * 1000).astype(int), origin.tolist(), strict=True):
        signal = np.rint(store.signal(row) * 1000).astype(int)
        if lengths[row] < length:
            np.testing.assert_array_equal(window, np.pad(signal, ((0, 0), (0, length - lengths[row]))))
        else:
            start = window[0, 0] - signal[0, 0]
            np.testing.assert_array_equal(window, signal[:, start:start + length])


def test_all_places_are_drawn_and_rows_by_their_length():
    windows = Windows(make_store([12, 36], ("V1",)), np.array([0, 1]), 10)
    x, origin = windows.batch(4000, torch.Generator().manual_seed(0))
    starts = set(torch.round(x[:, 0, 0] * 1000).int().tolist())
    assert starts == {*range(1, 4), *range(13, 40)}
    assert origin.float().mean() == pytest.approx(0.75, abs=0.03)


def test_rows_of_one_sample_have_equal_chances():
    _, origin = Windows(make_store([1, 1, 1], ("V1",)), np.arange(3), 1).batch(900, torch.Generator().manual_seed(0))
    assert all(230 < count < 370 for count in origin.bincount(minlength=3).tolist())


def test_the_generator_alone_decides():
    windows = Windows(make_store([50, 60]), np.arange(2), 10)
    generator = torch.Generator().manual_seed(3)
    first = [windows.batch(5, generator)[0] for _ in range(2)]
    generator.manual_seed(3)
    assert torch.equal(windows.batch(5, generator)[0], first[0])
    state = generator.get_state()
    assert torch.equal(windows.batch(5, generator)[0], first[1])
    generator.set_state(state)
    torch.manual_seed(99)
    assert torch.equal(windows.batch(5, generator)[0], first[1])
    assert not torch.equal(first[0], first[1])


def test_coded_leads_are_the_independent_ones():
    store = make_store([40])
    windows = Windows(store, np.array([0]), 40)
    assert windows.coded == INDEPENDENT_8
    expected = store.signal(0)[[LEADS_12.index(lead) for lead in INDEPENDENT_8]]
    np.testing.assert_allclose(windows.crops(torch.tensor([0]))[0], expected, atol=1e-6)


def test_leads_are_fitted_by_least_squares():
    store = make_store([200])
    noisy = store.signals + np.random.default_rng(1).integers(-90, 90, store.signals.shape)
    store.__dict__["signals"] = noisy.astype(np.int16)
    limb = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])
    expected = np.linalg.lstsq(limb, store.signals[:, :6].T.astype(float), rcond=None)[0]
    x = Windows(store, np.array([0]), 200, ("II", "I")).crops(torch.tensor([0]))[0]
    np.testing.assert_allclose(x.flip(0) * 1000, expected, atol=0.51)


def test_what_cannot_be_is_refused():
    store = make_store([40], ("I", "V1"))
    with pytest.raises(ValueError, match="has leads I, V1; the model wants I, II"):
        Windows(store, np.array([0]), 10, ("I", "II"))
    with pytest.raises(ValueError, match="^0 records"):
        Windows(store, np.array([], int), 10)
    with pytest.raises(ValueError, match="0 samples per window"):
        Windows(store, np.array([0]), 0)
