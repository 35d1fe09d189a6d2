"""What is to be sampled, and a sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from ecgvae.data.tokens import Tokens
from ecgvae.generation.conditions import Condition
from ecgvae.priors import SamplingSettings
from ecgvae.settings import describe_error
from ecgvae.signal import Record, RecordFile
from ecgvae.signal.record import is_positive
from ecgvae.wording import quote

MAX_SECONDS = 3600.0        # of a generated record
LOOKAHEAD_SECONDS = 10.0    # of a prompt, beyond the context of the models
CPU_BLOCK = 32              # records that are drawn together on a CPU
GPU_BLOCK = 256


@dataclass(frozen=True)
class SampleRequest:
    """What is to be sampled.

    Records are drawn in blocks of `block` records, always whole ones, each with its own seed: record i depends on
    neither their number nor the memory.

    Attributes:
        conditions: The condition of each record.
        seconds: Length of each record.
        seed: Seed of the first block, from which those of the others follow.
        settings: Options of sampling.
        prompt: A record whose beginning is kept in every sample.
        keep: Seconds of the prompt that are kept, up to a whole number of frames.

    Raises:
        ValueError: A value is not of its kind, or out of range.
    """

    conditions: tuple[Condition, ...]
    seconds: float = 10.0
    seed: int = 0
    settings: SamplingSettings = SamplingSettings()
    prompt: Record | RecordFile | None = None
    keep: float = 5.0

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError("no records to sample; wanted at least one")
        if not is_positive(self.seconds) or self.seconds > MAX_SECONDS:
            raise ValueError(f"seconds is {quote(self.seconds)}; wanted more than 0 and at most {MAX_SECONDS:g}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed is {quote(self.seed)}; wanted a whole number from 0 to 2^63 - 1")
        if self.prompt is not None:
            self._check_prompt(self.prompt)

    def _check_prompt(self, prompt: object) -> None:
        if not isinstance(prompt, Record | RecordFile):
            raise ValueError(f"prompt is {quote(prompt)}; wanted a record, as from read_record")
        if not is_positive(self.keep) or self.keep >= self.seconds:
            raise ValueError(f"keep is {quote(self.keep)} s of {self.seconds:g} s; wanted more than 0 and less")
        if prompt.duration < self.keep:
            raise ValueError(f"{prompt.name} is {prompt.duration:g} s long; wanted {self.keep:g} s to keep")

    @property
    def kept_part(self) -> Record:
        """The part of the prompt that is encoded, which goes beyond what is kept: the encoder looks ahead."""
        assert self.prompt is not None
        return self.prompt.read(0, math.ceil((self.keep + LOOKAHEAD_SECONDS) * self.prompt.rate))


@dataclass(frozen=True, eq=False)
class Sample:
    """A generated record, its condition, and its tokens if it is from a prior over tokens."""

    record: Record
    condition: Condition
    tokens: Tokens | None = None


def sampling_settings(**options: Any) -> SamplingSettings:
    """The options of sampling; ValueError, in one line, for a value that is out of range."""
    try:
        return SamplingSettings(**options)
    except ValidationError as error:
        raise ValueError(describe_error(error)) from None


def as_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels as a tuple; ValueError for a single text, which is a sequence of letters, and for what is no list."""
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise ValueError(f"labels are {quote(labels)}; wanted a list of texts")
    return tuple(labels)


def as_seed(seed: int | torch.Generator) -> int:
    """A seed, or one that is drawn from a generator."""
    if isinstance(seed, torch.Generator):
        return int(torch.randint(1 << 62, (), generator=seed, device=seed.device))
    return seed


def block_generator(seed: int, first: int) -> torch.Generator:
    """The generator of the block of records that begins with the record `first`."""
    state = np.random.SeedSequence((seed, first)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def as_conditions(count: int | None, conditions: Sequence[Condition] | None, one: Condition
                  ) -> tuple[Condition, ...]:
    """The condition of each record: of a list, or one condition for `count` records.

    Raises:
        ValueError: Both came, or the numbers differ, or the count is not a whole number above 0.
    """
    if conditions is None:
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"count is {quote(count)}; wanted a whole number above 0")
        return (one,) * count
    if one != Condition():
        raise ValueError("conditions= came with labels, age or sex; wanted either")
    if not all(isinstance(condition, Condition) for condition in conditions):
        raise ValueError(f"conditions are {quote(conditions)}; wanted a list of Condition")
    if count not in (None, len(conditions)):
        raise ValueError(f"count is {quote(count)} with {len(conditions)} conditions; wanted equal numbers")
    return tuple(conditions)
