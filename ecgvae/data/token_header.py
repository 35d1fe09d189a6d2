"""Tokens of ECG records, and the header of a token file."""

import json
from collections.abc import Sized
from dataclasses import asdict, dataclass

import numpy as np

from ecgvae.codebooks import CodebookSpec
from ecgvae.signal.record import is_positive

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Tokens:
    """The codes of one record.

    Args:
        codes: An array (n,) for each codebook.
        samples: Length of the record at the model's sampling rate.
        name: The record's name.
        source_rate: Sampling rate in Hz of the record before it was resampled to the model's.
        source_samples: Length of the record at that rate.
        start: First sample of a window in its record, at the model's rate; 0 for a whole record.
        comments: Lines of text about the record, such as those of a WFDB header.
        notes: The repairs that were made before encoding.
    """

    codes: tuple[np.ndarray, ...]
    samples: int
    name: str
    source_rate: float
    source_samples: int
    start: int = 0
    comments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        codes = " + ".join(str(len(codes)) for codes in self.codes) or "no"
        start = f" from {self.start}" if self.start else ""
        return f"Tokens({self.name!r}, {codes} codes, {self.samples} samples{start})"


@dataclass(frozen=True)
class TokenHeader:
    """What all tokens of a file have in common.

    Args:
        tokenizer: The tokenizer's identity, a hash of its settings and weights.
        model: The tokenizer's name.
        rate: The sampling rate of its signal in Hz.
        leads: The leads of its signal.
        codebooks: Hop and size of each codebook.
    """

    tokenizer: str
    model: str
    rate: float
    leads: tuple[str, ...]
    codebooks: tuple[CodebookSpec, ...]

    def __repr__(self) -> str:
        signal = f"{in_words(self.leads, 'lead')} at {self.rate:g} Hz"
        sizes = ", ".join(f"{spec.size} codes at hop {spec.hop}" for spec in self.codebooks)
        return f"TokenHeader({self.model!r}, {signal}, {in_words(self.codebooks, 'codebook')} ({sizes}))"

    def json(self) -> bytes:
        """The header as the metadata of a token file."""
        values = asdict(self)
        values["streams"] = values.pop("codebooks")  # format 1 calls codebooks streams
        return json.dumps({"format": FORMAT, **values}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "TokenHeader":
        """The header from the metadata of a token file; ValueError, KeyError or TypeError for other metadata."""
        values = json.loads(text)
        if (version := values.pop("format")) != FORMAT:
            raise ValueError(f"token format {version}; this version reads format {FORMAT}")
        codebooks = tuple(CodebookSpec(**spec) for spec in values.pop("streams"))
        return cls(leads=tuple(values.pop("leads")), codebooks=codebooks, **values)

    def check(self, tokens: Tokens) -> None:
        """Raises ValueError if codes do not fit the codebooks, or lengths or rates are impossible."""
        if not isinstance(tokens, Tokens):
            raise ValueError(f"got {type(tokens).__name__}; wanted Tokens, as from Tokenizer.encode")
        counts = (tokens.samples, tokens.start, tokens.source_samples)
        counts_valid = all(isinstance(count, int | np.integer) and count >= 0 for count in counts)
        if not (counts_valid and is_positive(tokens.source_rate)):
            raise ValueError(f"{tokens.name} has samples {counts} at {tokens.source_rate} Hz; wanted positive numbers")
        texts = (tokens.name, *tokens.comments, *tokens.notes)
        if not all(isinstance(text, str) for text in texts) or isinstance(tokens.comments, str):
            raise ValueError(f"{tokens.name} has comments {tokens.comments!r:.60}; wanted a list of texts")
        if len(tokens.codes) != len(self.codebooks):
            raise ValueError(f"{tokens.name} has {len(tokens.codes)} codebooks; wanted {len(self.codebooks)}")
        for index, (codes, spec) in enumerate(zip(tokens.codes, self.codebooks, strict=True)):
            _check_codes(f"{tokens.name}, codebook {index}", codes, spec, tokens.samples)


def _check_codes(place: str, codes: np.ndarray, spec: CodebookSpec, samples: int) -> None:
    if not isinstance(codes, np.ndarray):
        raise ValueError(f"{place}: codes of type {type(codes).__name__}; wanted a NumPy array of whole numbers")
    wanted = spec.length(samples)
    if codes.ndim != 1 or codes.dtype.kind not in "iu" or len(codes) != wanted:
        raise ValueError(f"{place}: codes {codes.dtype} {codes.shape}; wanted {wanted} whole numbers "
                         f"for {samples} samples at hop {spec.hop}")
    low, high = (codes.min(), codes.max()) if len(codes) else (0, 0)
    if low < 0 or high >= spec.size:
        raise ValueError(f"{place}: codes from {low} to {high}; wanted 0 to {spec.size - 1}")


def in_words(items: Sized, noun: str) -> str:
    """A count with its noun, as in "1 lead" or "12 leads"."""
    return f"{len(items)} {noun}" if len(items) == 1 else f"{len(items)} {noun}s"
