"""Tokens of ECG records, and the header of a token file."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, StrictInt, StrictStr, ValidationError, field_validator

from ecgvae.codebooks import CodebookSpec
from ecgvae.data.token_checks import check_fields
from ecgvae.settings import Settings, describe_error
from ecgvae.signal.start_time import StartTime
from ecgvae.wording import count, listed, plain, quote

FORMAT = 1
MAX_HOP = 1 << 32  # samples
MAX_ROUNDING_SECONDS = 0.2  # one sample of a store of 5 Hz
RATE_TOLERANCE = 1e-4  # ratios of sampling rates are approximated, see `signal.resample`


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
        start_time: Date and time of the first sample, or only its time of day.
        source_leads: Those of the header's leads that the record had; None if unknown.
        prdn: For each of the header's leads, the PRDN in % of the decoded signal; None where the record had no such
            lead, NaN where it is flat. The whole is None if it was not computed.
        rmse_uv: The same in microvolts, as root mean square error.
    """

    codes: tuple[np.ndarray, ...]
    samples: int
    name: str
    source_rate: float
    source_samples: int
    start: int = 0
    comments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    start_time: StartTime = None
    source_leads: tuple[str, ...] | None = None
    prdn: tuple[float | None, ...] | None = None
    rmse_uv: tuple[float | None, ...] | None = None

    def __repr__(self) -> str:
        codes = " + ".join(str(len(codes)) for codes in self.codes) or "no"
        start = f" from {self.start}" if self.start else ""
        return f"Tokens({self.name!r}, {codes} codes, {self.samples} samples{start})"


class CodebookMetadata(Settings):
    """A codebook in the metadata of a token file."""

    hop: Annotated[StrictInt, Field(ge=1, le=MAX_HOP)]
    size: Annotated[StrictInt, Field(ge=1, le=1 << 32)]


class Metadata(Settings):
    """The metadata of a token file: its header as JSON."""

    format: StrictInt
    tokenizer: StrictStr
    model: StrictStr
    rate: float = Field(gt=0, lt=1e9, strict=True)
    leads: tuple[StrictStr, ...]
    streams: tuple[CodebookMetadata, ...]  # format 1 calls codebooks streams

    @field_validator("format")
    @classmethod
    def _check_format(cls, version: int) -> int:
        if version != FORMAT:
            raise ValueError(f"token format {version}; this version reads format {FORMAT}")
        return version


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
        signal = f"{count(len(self.leads), 'lead')} at {self.rate:g} Hz"
        sizes = ", ".join(f"{spec.size} codes at hop {spec.hop}" for spec in self.codebooks)
        return f"TokenHeader({self.model!r}, {signal}, {count(len(self.codebooks), 'codebook')} ({sizes}))"

    def json(self) -> bytes:
        """The header as the metadata of a token file."""
        values = asdict(self)
        values["streams"] = values.pop("codebooks")
        return json.dumps({"format": FORMAT, **values}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "TokenHeader":
        """The header from the metadata of a token file; ValueError for other metadata."""
        try:
            metadata = Metadata.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(describe_error(error)) from None
        codebooks = tuple(CodebookSpec(spec.hop, spec.size) for spec in metadata.streams)
        return cls(metadata.tokenizer, metadata.model, metadata.rate, metadata.leads, codebooks)

    def check(self, tokens: Tokens) -> None:
        """Raises ValueError if codes do not fit the codebooks, or lengths or rates are impossible."""
        if not isinstance(tokens, Tokens):
            raise ValueError(f"got {type(tokens).__name__}; wanted Tokens, as from Tokenizer.encode")
        check_fields(tokens)
        name, source_rate = plain(tokens.name), float(tokens.source_rate)
        seconds, source_seconds = tokens.samples / self.rate, tokens.source_samples / source_rate
        tolerance = MAX_ROUNDING_SECONDS + 2 / self.rate + 2 / source_rate + RATE_TOLERANCE * seconds
        if abs(seconds - source_seconds) > tolerance:
            raise ValueError(f"{name} has {source_seconds:g} s in the source but {seconds:g} s of tokens; "
                             "wanted equal lengths")
        self._check_leads(name, tokens)
        if len(tokens.codes) != len(self.codebooks):
            raise ValueError(f"{name} has {len(tokens.codes)} codebooks; wanted {len(self.codebooks)}")
        for index, (codes, spec) in enumerate(zip(tokens.codes, self.codebooks, strict=True)):
            _check_codes(f"{name}, codebook {index}", codes, spec, tokens.samples)

    def _check_leads(self, name: str, tokens: Tokens) -> None:
        """Raises ValueError if source leads are not leads of the header, or errors are not one number for each lead."""
        if tokens.source_leads is not None and not set(tokens.source_leads) <= set(self.leads):
            raise ValueError(f"{name} has source_leads {quote(tokens.source_leads)}; wanted some of "
                             f"{listed(self.leads)}")
        for field, errors in (("prdn", tokens.prdn), ("rmse_uv", tokens.rmse_uv)):
            if errors is not None and len(errors) != len(self.leads):
                raise ValueError(f"{name} has {len(errors)} values of {field}; "
                                 f"wanted {len(self.leads)}, one for each lead")


def _check_codes(place: str, codes: np.ndarray, spec: CodebookSpec, samples: int) -> None:
    wanted = spec.length(samples)
    if codes.ndim != 1 or codes.dtype.kind not in "iu" or len(codes) != wanted:
        raise ValueError(f"{place}: codes {codes.dtype} {codes.shape}; wanted {wanted} whole numbers "
                         f"for {samples} samples at hop {spec.hop}")
    low, high = (codes.min(), codes.max()) if len(codes) else (0, 0)
    if low < 0 or high >= spec.size:
        raise ValueError(f"{place}: codes from {low} to {high}; wanted 0 to {spec.size - 1}")
