"""The codes of all codebooks as frames of slots: the only thing that a prior over tokens sees.

A frame lasts as long as a code of the coarsest codebook. Its slots hold the codes of that time: first those of the
coarsest codebooks, then those of the finer ones in the order of time. Codes that a record has no samples for, at the
end of its last frame, are `ABSENT`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Int, Shaped
from torch import Tensor

from ecgvae.codebooks import CodebookSpec

ABSENT = -1


@dataclass(frozen=True)
class Slot:
    """A place in a frame.

    Attributes:
        codebook: The codebook whose code it holds.
        index: Which of that codebook's codes in the frame, in the order of time.
        size: Number of codes of the codebook.
    """

    codebook: int
    index: int
    size: int


class FrameLayout:
    """The order of codes in a frame, derived from the codebooks.

    Attributes:
        codebooks: Hop and size of each codebook.
        hop: Samples of a frame.
        slots: The slots of a frame.
        groups: Numbers of consecutive slots that share hop and index: the codes of a residual quantizer, whose vectors
            add up.
    """

    def __init__(self, codebooks: Sequence[CodebookSpec]):
        self.codebooks = tuple(codebooks)
        if not self.codebooks:
            raise ValueError("a prior over no codebooks; wanted at least one")
        self.hop = max(spec.hop for spec in self.codebooks)
        if uneven := [spec.hop for spec in self.codebooks if self.hop % spec.hop]:
            raise ValueError(f"codebooks have hops of {uneven[0]} and {self.hop} samples; "
                             "wanted divisors of the largest")
        hops = sorted({spec.hop for spec in self.codebooks}, reverse=True)
        self.slots = tuple(Slot(codebook, index, spec.size) for hop in hops for index in range(self.hop // hop)
                           for codebook, spec in enumerate(self.codebooks) if spec.hop == hop)
        self.groups = tuple(sum(spec.hop == hop for spec in self.codebooks) for hop in hops
                            for _ in range(self.hop // hop))

    def frames(self, samples: int) -> int:
        """The number of frames that cover a number of samples."""
        return -(-samples // self.hop)

    def pack(self, codes: Sequence[Int[Tensor, "b _"]]) -> Int[Tensor, "b n s"]:
        """The frames of the codes of all codebooks; the rest of the last frame is `ABSENT`.

        Raises:
            ValueError: The number of codebooks, or the numbers of codes, do not go together.
        """
        if len(codes) != len(self.codebooks):
            raise ValueError(f"codes of {len(codes)} codebooks; the prior has {len(self.codebooks)}")
        n = max(-(-row.shape[1] * spec.hop // self.hop) for row, spec in zip(codes, self.codebooks, strict=True))
        parts = []
        for row, spec in zip(codes, self.codebooks, strict=True):
            per_frame = self.hop // spec.hop
            missing = n * per_frame - row.shape[1]
            if not 0 <= missing < per_frame:
                raise ValueError(f"{row.shape[1]} codes of hop {spec.hop} in {n} frames of hop {self.hop}; wanted "
                                 f"{(n - 1) * per_frame + 1} to {n * per_frame}")
            row = torch.nn.functional.pad(row, (0, missing), value=ABSENT)
            parts.append(rearrange(row, "b (n i) -> b n i", i=per_frame))
        return torch.stack([parts[slot.codebook][..., slot.index] for slot in self.slots], -1)

    def unpack(self, frames: Shaped[Tensor, "b n s"], samples: int) -> tuple[Shaped[Tensor, "b _"], ...]:
        """The codes of each codebook, or other values of the slots, for the samples that the frames cover."""
        codes = []
        for number, spec in enumerate(self.codebooks):
            own = [position for position, slot in enumerate(self.slots) if slot.codebook == number]
            codes.append(frames[..., own].flatten(1)[:, :-(-samples // spec.hop)])
        return tuple(codes)

    def corrupt(self, codes: Int[Tensor, "b n s"], share: float) -> Int[Tensor, "b n s"]:
        """Replaces a random share of the codes by random ones, for training; `ABSENT` stays."""
        if not share:
            return codes
        sizes = torch.tensor([slot.size for slot in self.slots], device=codes.device)
        others = (torch.rand(codes.shape, device=codes.device) * sizes).long()
        is_kept = torch.rand(codes.shape, device=codes.device) >= share
        return codes.where(is_kept | (codes == ABSENT), others)
