"""What a codebook's codes are like, as token files, bit rates and priors need to know it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CodebookSpec:
    """A codebook: its codes come one every `hop` samples and are numbers below `size`."""

    hop: int
    size: int

    def __post_init__(self) -> None:
        whole = isinstance(self.hop, int) and isinstance(self.size, int)
        if not whole or self.hop < 1 or not 1 <= self.size <= 1 << 32:
            raise ValueError(f"a codebook of hop {self.hop!r} and {self.size!r} codes; wanted positive numbers")

    def length(self, samples: int) -> int:
        """Number of codes of a signal of so many samples."""
        return -(-samples // self.hop)
