"""Hop and size of a codebook, which token files, bit rates and priors need."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CodebookSpec:
    """A codebook: it has `size` codes, and a signal has one code every `hop` samples."""

    hop: int
    size: int

    def __post_init__(self) -> None:
        are_integers = isinstance(self.hop, int) and isinstance(self.size, int)
        if not are_integers or self.hop < 1 or not 1 <= self.size <= 1 << 32:
            raise ValueError(f"a codebook of hop {self.hop!r} and {self.size!r} codes; wanted positive numbers")

    def length(self, samples: int) -> int:
        """Number of codes of a signal with this number of samples."""
        return -(-samples // self.hop)


@dataclass(frozen=True)
class LatentSpec:
    """A continuous latent: samples a frame, and numbers in it."""

    hop: int
    channels: int
