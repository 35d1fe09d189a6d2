"""Facts about token files: their codebooks, and how many records were resampled, incomplete, repaired, verified."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgvae.codebooks import CodebookSpec
from ecgvae.data.token_header import TokenHeader, Tokens
from ecgvae.metrics import bits_per_second, summary
from ecgvae.signal import fit_leads


def describe_tokens(path: Path) -> dict[str, Any]:
    """The facts of a token file."""
    from ecgvae.data.tokens import open_tokens

    file, counts = open_tokens(path), TokenCounts()
    header = file.header
    for tokens in file:
        counts.add(tokens, header)
    return {
        "kind": "tokens", "path": str(path), "model": header.model, "identity": header.tokenizer,
        "records": len(file), "seconds": counts.samples / header.rate, "rate": header.rate,
        "leads": list(header.leads), **describe_codebooks(header.codebooks, header.rate), **counts.facts(),
    }


def describe_codebooks(codebooks: Sequence[CodebookSpec], rate: float) -> dict[str, Any]:
    """The codebooks as text, and their bit rate at a sampling rate in Hz."""
    return {
        "codebooks": [f"{count} of {spec.size} codes, one every {1000 * spec.hop / rate:g} ms"
                      for spec, count in Counter(codebooks).items()],
        "bits_per_second": bits_per_second(codebooks, rate),
    }


@dataclass
class TokenCounts:
    """Counts over the rows of a token file, which are added one by one."""

    samples: int = 0
    noted: int = 0
    incomplete: int = 0
    source_rates: Counter[float] = field(default_factory=Counter)       # of resampled records, in Hz
    errors: list[tuple[float, float]] = field(default_factory=list)     # of verified records, see `mean_errors`

    def add(self, tokens: Tokens, header: TokenHeader) -> None:
        """Adds a row."""
        self.samples += tokens.samples
        self.noted += bool(tokens.notes)
        if tokens.source_rate != header.rate:
            self.source_rates[tokens.source_rate] += 1
        if tokens.source_leads is not None:
            self.incomplete += bool(fit_leads(tokens.source_leads, header.leads, True)[1])
        if tokens.prdn is not None:
            self.errors.append(mean_errors(tokens))

    def facts(self) -> dict[str, Any]:
        """The facts that are worth saying."""
        resampled = {f"{rate:g} Hz": count for rate, count in sorted(self.source_rates.items())}
        facts: dict[str, Any] = {"resampled": resampled, "records_with_missing_leads": self.incomplete,
                                 "records_with_notes": self.noted}
        if self.errors:
            prdn, rmse_uv = map(summary, zip(*self.errors, strict=True))
            facts["verified"] = {"records": len(self.errors), "prdn": prdn, "rmse_uv": rmse_uv}
        return {name: value for name, value in facts.items() if value}


def mean_errors(tokens: Tokens) -> tuple[float, float]:
    """The PRDN in % and the RMSE in µV of verified tokens, as means over the leads that are not flat."""
    prdn, rmse_uv = (summary([error for error in errors or () if error is not None])["mean"]
                     for errors in (tokens.prdn, tokens.rmse_uv))
    return prdn, rmse_uv
