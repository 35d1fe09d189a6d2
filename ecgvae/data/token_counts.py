"""Counts of what happened to the records of a token file: resampled, incomplete, repaired, verified."""

from collections import Counter
from collections.abc import Iterable
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
    prdn: list[float] = field(default_factory=list)                     # means over the leads of verified records
    rmse_uv: list[float] = field(default_factory=list)

    def add(self, tokens: Tokens, header: TokenHeader) -> None:
        """Adds a row."""
        self.samples += tokens.samples
        self.noted += bool(tokens.notes)
        if tokens.source_rate != header.rate:
            self.source_rates[tokens.source_rate] += 1
        if tokens.source_leads is not None:
            self.incomplete += bool(fit_leads(tokens.source_leads, header.leads, True)[1])
        for errors, means in ((tokens.prdn, self.prdn), (tokens.rmse_uv, self.rmse_uv)):
            if errors is not None:
                means.append(mean(errors))

    def facts(self) -> dict[str, Any]:
        """The facts that are worth saying."""
        resampled = {f"{rate:g} Hz": count for rate, count in sorted(self.source_rates.items())}
        facts: dict[str, Any] = {"resampled": resampled, "records_with_missing_leads": self.incomplete,
                                 "records_with_notes": self.noted}
        if self.prdn:
            facts["verified"] = {"records": len(self.prdn), "prdn": summary(self.prdn),
                                 "rmse_uv": summary(self.rmse_uv)}
        return {name: value for name, value in facts.items() if value}


def mean(errors: Iterable[float | None]) -> float:
    """The mean of the errors that are known."""
    return summary([error for error in errors if error is not None])["mean"]
