"""Which frames a masked prior hides in training, and in which order and how many at a time it draws them.

Shapes: b batch, n frames, s slots of a frame, k steps.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

GOLDEN_RATIO = (5 ** 0.5 - 1) / 2
POWER = 2.0         # a share of x of the steps draws x to this power of the frames: few while little is known


def stratified(count: int, device: torch.device) -> Float[Tensor, "b"]:
    """Numbers that are each uniform on (0, 1], one in every interval of length 1 / count (Kingma et al. 2021, I.1)."""
    return 1 - (torch.rand(1, device=device) + torch.arange(count, device=device) / count) % 1


def spread_keys(frames: int, shift: Float[Tensor, "b"]) -> Float[Tensor, "b n"]:
    """A number of [0, 1) for each frame; frames whose numbers lie in an interval are evenly spread over time.

    Multiples of the golden ratio have this property for intervals of any length (three-distance theorem), so that
    neither the frames drawn so far nor those of one step are close to each other.
    """
    multiples = torch.arange(frames, dtype=torch.float64, device=shift.device) * GOLDEN_RATIO
    return (multiples + shift.double().unsqueeze(1)) % 1


def first_frames(keys: Float[Tensor, "b n"], allowed: Bool[Tensor, "b n"], counts: Int[Tensor, "b"]
                 ) -> Bool[Tensor, "b n"]:
    """Marks the allowed frames with the smallest keys, `counts` of them in each row."""
    ranks = keys.masked_fill(~allowed, torch.inf).argsort(1).argsort(1)
    return (ranks < counts.unsqueeze(1)) & allowed


def step_counts(frames: Int[Tensor, "b"], steps: int) -> Int[Tensor, "b k"]:
    """How many of a number of frames are drawn in each step: at least one while any is left, and ever more.

    Raises:
        ValueError: There are no steps.
    """
    if steps < 1:
        raise ValueError(f"{steps} steps; wanted at least 1")
    step = torch.arange(1, steps + 1, device=frames.device)
    drawn = (frames.unsqueeze(1) * (step.double() / steps) ** POWER).round().long()
    drawn = torch.minimum(torch.maximum(drawn, step), frames.unsqueeze(1))
    return drawn.diff(dim=1, prepend=torch.zeros_like(drawn[:, :1]))


def random_given(shape: torch.Size, share: float, device: torch.device) -> Bool[Tensor, "b n s"]:
    """Marks codes as given in a share of the records: all outside of a random span, or the first slots of all frames.

    At least one code of a record is not given.
    """
    b, n, s = shape
    ends = (torch.rand(b, 2, device=device) * n).long().sort(1).values.unsqueeze(-1)
    frame = torch.arange(n, device=device)
    is_outside = (frame < ends[:, 0]) | (frame > ends[:, 1])
    is_first = torch.arange(s, device=device) < (torch.rand(b, 1, device=device) * s).long()
    choice = torch.rand(b, 1, 1, device=device)
    return (choice < share) & torch.where(choice < share / 2, is_outside.unsqueeze(2), is_first.unsqueeze(1))
