"""How near samples are to real ECG, in the card of a prior, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from ecgvae.cards.markdown import number, table, wrap
from ecgvae.evaluation.generation.report import ROW_NAMES
from ecgvae.evaluation.sample_reports import SampleReport, Table
from ecgvae.wording import count

SPACE_NAMES = {"random": "random network", "classifier": "classifier"}
SETS = ("samples", "decoded", "validation", "training")
DEFAULTS = "the defaults"
EXPLANATION = (
    "The columns of real ECGs show what a perfect generator reaches, that of decoded ones what a perfect prior does. "
    "Fréchet distances are divided by that of other real records (floor). The discriminator tells a set from real "
    "records, or samples from decoded ones, by features of a network: .5 is perfect. TSTR is the macro-AUC of a "
    "linear classifier of superclasses that was trained on the set and tested on real records, TRTR of one that was "
    "trained on as many real ones. KS is the Kolmogorov–Smirnov distance to the real records.")


@dataclass(frozen=True)
class Line:
    """A line of the table: a metric, and the number of each set with so many digits."""

    name: str
    rows: Table
    metric: str
    digits: int = 3

    def cell(self, row: str) -> str:
        return number(self.rows.get(row, {}).get(self.metric), self.digits)


def describe_report(report: SampleReport, description: str | None) -> list[str]:
    """The sections of a report: heading, table, and sentences on what else was found.

    Args:
        report: The report.
        description: What its split is.
    """
    sets = [name for name in SETS if any(name in rows for rows in report.distances.values())]
    notes = [memorisation(report), *(f"Not measured: {section} ({reason})."
                                     for section, reason in sorted(report.missing.items()))]
    return [wrap(heading(report, description)), metrics(report, sets), wrap(" ".join(filter(None, notes)))]


def heading(report: SampleReport, description: str | None) -> str:
    """What was measured."""
    name = f"{description[0].upper()}{description[1:]}" if description else f"The {report.split} split"
    records = report.records
    texts = [f"{records.samples:,} samples of {report.seconds:g} s", f"options of sampling: {describe_options(report)}"]
    if report.prompted:
        texts.append(f"**{report.prompted:,} of the samples begin with a given record, so the distances are too low**")
    if report.labelled < records.samples:
        texts.append(f"{count(records.samples - report.labelled, 'sample')} without superclasses")
    texts += [f"{records.reference:,} real records of `{report.store}`", f"{report.compared:,} compared at a time"]
    if report.left_out:
        texts.append(f"{count(report.left_out, 'record')} left out")
    if used := report.tokenizer:
        what = count(used.codebooks, "codebook") if used.codebooks else "latents that are not quantized"
        texts.append(f"decoded real records are the training split by `{used.name}` ({used.identity}) with {what}")
    return f"{name} ({'; '.join(texts)}):"


def describe_options(report: SampleReport) -> str:
    """The options that differ from the defaults, with the number of samples if not all have the same."""
    if len(report.options) == 1:
        return next(iter(report.options)) or DEFAULTS
    return "; ".join(f"{options or DEFAULTS} ({samples:,})" for options, samples in report.options.items())


def metrics(report: SampleReport, sets: Sequence[str]) -> str:
    """The table: a line for each metric, a column for each set."""
    lines = [line for space, rows in report.distances.items() for line in distance_lines(space, rows, sets)]
    rows = [[line.name, *map(line.cell, sets)] for line in lines]
    if report.utility:
        rows += utility_rows(report.utility, sets)
    if report.physiology:
        rows += [[line.name, *map(line.cell, sets)] for line in physiology_lines(report.physiology)]
    return table(["", *(ROW_NAMES[name] for name in sets)], rows)


def distance_lines(space: str, rows: Table, sets: Sequence[str]) -> list[Line]:
    """The lines of a feature space."""
    name = SPACE_NAMES.get(space, space)
    lines = [Line(f"{name}: Fréchet / floor", rows, "frechet_ratio", 2),
             *(Line(f"{name}: {metric}", rows, metric) for metric in ("precision", "recall", "coverage")),
             Line(f"{name}: discriminator, AUC", rows, "discriminator")]
    if against := rows.get("samples_against_decoded"):
        lines.append(Line(f"{name}: discriminator from decoded real, AUC", {"samples": against}, "discriminator"))
    return lines


def utility_rows(rows: Table, sets: Sequence[str]) -> list[list[str]]:
    """What the sets are worth as training data, and whether labels agree with the classifier's."""
    tstr, trtr, agreement = (Line("", rows, metric) for metric in ("tstr", "trtr", "agreement"))
    pairs = [f"{tstr.cell(row)} / {trtr.cell(row)}" if row in ("samples", "decoded") else number(None, 0)
             for row in sets]
    return [["TSTR / TRTR", *pairs],
            [f"labels agree with the classifier, AUC (real: {agreement.cell('reference')})",
             *map(agreement.cell, sets)]]


def physiology_lines(rows: Table) -> list[Line]:
    """The lines of heart rate, intervals and beats."""
    return [Line("heart rate, KS", rows, "heart_rate"), Line("QRS duration, KS", rows, "qrs"),
            Line("QT interval, KS", rows, "qt"), Line("variance of beats within a record / real", rows, "beats", 2)]


def memorisation(report: SampleReport) -> str:
    """Whether samples are copies of training records, in a sentence."""
    found = report.memorisation.get("samples", {})
    nearer, below = found.get("nearer"), found.get("below_p1")
    if nearer is None or below is None:
        return ""
    return (f"Memorisation: a sample is nearer to its nearest training record of `{report.store}` than a real record "
            f"of this split is to its own with a probability of {nearer:.2f} (0.5 if it is as new, 1 for copies), and "
            f"{100 * below:.1f} % of the samples are nearer than all but 1 % of those real records.")
