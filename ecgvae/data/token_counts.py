"""Counts of what happened to the records of a token file: resampled, incomplete, repaired, verified."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ecgvae.data.token_header import TokenHeader, Tokens
from ecgvae.metrics import summary
from ecgvae.signal import fit_leads


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
