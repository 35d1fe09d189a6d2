"""Frames of codes: every code has its slot, coarse before fine, and comes back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecgvae.codebooks import CodebookSpec
from ecgvae.priors import ABSENT, FrameLayout

SPECS = st.lists(st.tuples(st.sampled_from((1, 2, 4, 8)), st.integers(1, 500)), min_size=1, max_size=5)


def random_codes(layout: FrameLayout, samples: int) -> tuple[torch.Tensor, ...]:
    random = np.random.default_rng(0)
    return tuple(torch.from_numpy(random.integers(spec.size, size=(2, spec.length(samples))))
                 for spec in layout.codebooks)


@given(specs=SPECS, samples=st.integers(1, 100))
def test_codes_come_back_from_their_frames(specs, samples):
    layout = FrameLayout([CodebookSpec(hop, size) for hop, size in specs])
    codes = random_codes(layout, samples)
    frames = layout.pack(codes)
    assert frames.shape == (2, layout.frames(samples), sum(layout.hop // hop for hop, _ in specs))
    sizes = torch.tensor([slot.size for slot in layout.slots])
    assert bool((frames < sizes).all()) and int((frames != ABSENT).sum()) == sum(row.numel() for row in codes)
    assert all(torch.equal(*pair) for pair in zip(layout.unpack(frames, samples), codes, strict=True))


def test_coarse_codes_come_before_the_fine_codes_of_the_same_time():
    layout = FrameLayout([CodebookSpec(8, 10), CodebookSpec(2, 20), CodebookSpec(2, 30)])
    assert [(slot.codebook, slot.index) for slot in layout.slots] == [
        (0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2), (1, 3), (2, 3)]
    frames = layout.pack([torch.tensor([[1, 2]]), torch.arange(6)[None], 10 + torch.arange(6)[None]])
    assert frames.tolist() == [[[1, 0, 10, 1, 11, 2, 12, 3, 13], [2, 4, 14, 5, 15] + 4 * [ABSENT]]]


@pytest.mark.parametrize(("codes", "message"), [
    ([torch.zeros(1, 2, dtype=torch.long)], "codes of 1 codebooks; the prior has 2"),
    ([torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 1, dtype=torch.long)],
     "1 codes of hop 2 in 2 frames of hop 4; wanted 3 to 4"),
])
def test_codes_that_do_not_go_together_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        FrameLayout([CodebookSpec(4, 9), CodebookSpec(2, 9)]).pack(codes)


def test_hops_must_divide_the_largest():
    with pytest.raises(ValueError, match="hops of 3 and 8 samples; wanted divisors"):
        FrameLayout([CodebookSpec(8, 9), CodebookSpec(3, 9)])
    with pytest.raises(ValueError, match="over no codebooks"):
        FrameLayout([])
