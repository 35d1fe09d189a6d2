"""The errors of reconstructions in the card of a model, as Markdown."""

from collections.abc import Sequence
from itertools import groupby

from ecgvae.cards.markdown import number, table, wrap
from ecgvae.codebooks import CodebookSpec
from ecgvae.evaluation.reports import Bounds, PriorRate, Rate, Report
from ecgvae.wording import count

ERRORS = ("mean PRDN %", "median", "95th pct.", "RMSE µV", "SNR dB", "correlation", "spectrum dB")


def describe_report(report: Report, description: str | None, specs: Sequence[CodebookSpec], leads: int
                    ) -> list[str]:
    """The sections of a report: heading, table, usage of the codebooks, and likelihood.

    Args:
        report: The report.
        description: What its split is.
        specs: The model's codebooks.
        leads: The model's number of leads.
    """
    sections = [wrap(heading(report, description, leads)), errors(report)]
    if specs:
        sections.append(wrap(usage(report, specs)))
    if report.prior:
        sections.append(wrap(prior_rate(report.prior)))
    if report.likelihood:
        sections.append(wrap(likelihood(report.likelihood)))
    return sections


def heading(report: Report, description: str | None, leads: int) -> str:
    """What was measured."""
    name = f"{description[0].upper()}{description[1:]}" if description else f"The {report.split} split"
    texts = [f"{report.records:,} records of `{report.store}`", f"all {leads} leads"]
    if report.seen_in_training is not None:
        texts.append(f"{report.seen_in_training or 'none'} of the records are in the training data")
    if report.seen_in_training:
        texts.append("**so the errors are too low**")
    if report.records_with_missing_leads:
        texts.append(f"{report.records_with_missing_leads:,} records lack leads, which do not count")
    if report.derived_leads:
        texts.append(f"{', '.join(report.derived_leads)} are derived from other leads")
    return f"{name} ({'; '.join(texts)}):"


def errors(report: Report) -> str:
    """A table of the errors at every rate."""
    is_tokenizer = bool(report.codebooks)
    columns = (*(("codebooks", "bit/s", "entropy bit/s") if is_tokenizer else ("numbers a second",)), *ERRORS)
    rows = [[*(rate_cells(rate) if is_tokenizer else [number(rate.latent_per_second, 0)]), *error_cells(rate)]
            for rate in report.rows]
    return table(columns, rows)


def rate_cells(rate: Rate) -> list[str]:
    return [str(rate.codebooks), number(rate.bits_per_second, 0), number(rate.entropy_bits_per_second, 0)]


def error_cells(rate: Rate) -> list[str]:
    prdn = rate.prdn
    return [f"**{number(prdn.mean, 1)}**", number(prdn.median, 1), number(prdn.p95, 1), number(rate.rmse_uv.mean, 1),
            number(rate.snr_db.mean, 1), number(rate.correlation.mean, 3), number(rate.spectrum_db, 2)]


def usage(report: Report, specs: Sequence[CodebookSpec]) -> str:
    """How evenly the codes are used, by the hop of the codebooks."""
    texts = []
    for (hop, size), group in groupby(zip(specs, report.codebooks, strict=True),
                                      lambda item: (item[0].hop, item[0].size)):
        codebooks = [codebook for _, codebook in group]
        used = span([100 * codebook.usage for codebook in codebooks], 1)
        entropy = span([codebook.entropy or 0 for codebook in codebooks], 2)
        texts.append(f"codebooks with a code every {1000 * hop / report.model_rate:g} ms: {used} % of the codes are "
                     f"used, entropy {entropy} of {(size - 1).bit_length()} bits")
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}."


def prior_rate(prior: PriorRate) -> str:
    """The bit rate under a prior."""
    share = number(None if prior.share is None else 100 * prior.share, 1)
    texts = [f"{number(prior.bits_per_second, 0)} bit/s for {count(prior.codebooks, 'codebook')} with an ideal entropy "
             f"coder and the prior `{prior.name}` ({prior.identity})",
             f"{share} % of their entropy of {number(prior.entropy_bits_per_second, 0)} bit/s"]
    if prior.condition:
        texts.append("labels, age and sex of the records are known")
    if prior.seen_in_training:
        texts.append(f"**too low, as {prior.seen_in_training} of the records are in the prior's training data**")
    return f"{'; '.join(texts)}."


def span(values: Sequence[float], digits: int) -> str:
    """The smallest and the largest value."""
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def likelihood(bounds: Bounds) -> str:
    """The bounds of the likelihood."""
    elbo, iwae, kl = (number(None if value is None else value / bounds.seconds, 0)
                      for value in (bounds.elbo, bounds.iwae, bounds.kl))
    return (f"ELBO {elbo}, IWAE with {bounds.samples} samples {iwae}, KL {kl} nats a second (densities of the coded "
            f"leads in mV, over {bounds.seconds:g} s); {bounds.active_units} of {bounds.units} units active.")
