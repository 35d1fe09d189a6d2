"""Which frames are hidden and when they are drawn: counts, spread over time, random parts that are given."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecgvae.priors.unmasking import first_frames, random_given, spread_keys, step_counts, stratified


@given(st.lists(st.integers(0, 400), min_size=1, max_size=4), st.integers(1, 200))
def test_steps_draw_all_frames_and_none_is_idle(frames, steps):
    counts = step_counts(torch.tensor(frames), steps)
    assert counts.shape == (len(frames), steps)
    for total, row in zip(frames, counts.tolist(), strict=True):
        assert sum(row) == total and min(row) >= 0
        assert all(count > 0 for count in row[:min(steps, total)])


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="0 steps; wanted at least 1"):
        step_counts(torch.tensor([3]), 0)


def test_first_steps_draw_fewer_frames_than_the_last():
    counts = step_counts(torch.tensor([125]), 16)[0].tolist()
    assert counts[:2] == [1, 1] and counts[-1] > 10


@given(st.integers(1, 500), st.floats(0, 1))
def test_frames_of_an_interval_of_keys_are_spread(frames, shift):
    """A prefix of the order has gaps of at most 3 times the mean, and no two frames closer than a third of it."""
    keys = spread_keys(frames, torch.tensor([shift]))[0]
    assert ((keys >= 0) & (keys < 1)).all() and len(keys.unique()) == frames
    for count in {max(1, frames // 8), max(1, frames // 3)}:
        drawn = keys.argsort()[:count].sort().values
        assert drawn.diff().max() <= 3 * frames / count if count > 1 else True
        assert drawn.diff().min() >= frames / count / 3 if count > 1 else True


def test_first_frames_are_the_allowed_ones_with_the_smallest_keys():
    keys = torch.tensor([[.5, .1, .3, .2], [.5, .1, .3, .2]])
    allowed = torch.tensor([[True, False, True, True], [True, True, False, False]])
    marked = first_frames(keys, allowed, torch.tensor([2, 3]))
    assert marked.tolist() == [[False, False, True, True], [True, True, False, False]]


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_stratified_numbers_are_one_in_each_interval(count):
    torch.manual_seed(count)
    numbers = stratified(count, torch.device("cpu"))
    assert ((numbers > 0) & (numbers <= 1)).all()
    assert (numbers.double() * count - 1e-5).floor().sort().values.tolist() == list(range(count))


def test_each_stratified_number_alone_is_uniform():
    torch.manual_seed(0)
    numbers = torch.stack([stratified(3, torch.device("cpu")) for _ in range(4000)])
    assert torch.allclose(numbers.mean(0), torch.full((3,), .5), atol=.03)
    assert torch.allclose((numbers < .25).float().mean(0), torch.full((3,), .25), atol=.03)


def test_given_parts_are_outside_of_a_span_or_first_slots():
    torch.manual_seed(0)
    parts = random_given(torch.Size((2000, 6, 3)), 0.5, torch.device("cpu"))
    assert not parts.flatten(1).all(1).any()
    kinds = {"none": 0, "span": 0, "slots": 0}
    for part in parts:
        hidden = ~part
        if (part == part[:1]).all() and (part[0, :-1] >= part[0, 1:]).all():     # every frame alike, a prefix of slots
            kinds["slots" if part.any() else "none"] += 1
        else:
            frames = hidden.all(1).nonzero().flatten()
            assert (hidden.any(1) == hidden.all(1)).all() and (frames.diff() == 1).all()
            kinds["span"] += 1
    assert 0.15 < kinds["span"] / 2000 < 0.3 and 0.1 < kinds["slots"] / 2000 < 0.25 and kinds["none"] > 1000
    assert not random_given(torch.Size((50, 6, 3)), 0, torch.device("cpu")).any()
