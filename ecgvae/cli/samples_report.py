"""What evaluate-samples prints of a report on generated ECGs."""

from collections.abc import Mapping

from ecgvae.cli.remarks import list_remarks
from ecgvae.cli.terminal import remark, show, show_table
from ecgvae.evaluation.generation.report import ROW_NAMES
from ecgvae.evaluation.generation.tables import (
    INTERVALS,
    Table,
    distance_table,
    memorisation_table,
    physiology_table,
    utility_table,
)
from ecgvae.wording import count, count_is

SPACE_NAMES = {"random": "random network", "classifier": "classifier of superclasses"}
DISTANCES = {"frechet": "Fréchet", "frechet_ratio": "/ floor", "precision": "precision", "recall": "recall",
             "density": "density", "coverage": "coverage", "clipped_density": "c. density",
             "clipped_coverage": "c. coverage", "discriminator": "discr. AUC"}
UTILITY = {"tstr": "TSTR", "trtr": "TRTR", "ratio": "TSTR / TRTR", "trts": "TRTS", "agreement": "agreement"}
PHYSIOLOGY = {**dict(zip(INTERVALS, ("heart rate", "PR", "QRS", "QT"), strict=True)), "range": "range",
              "beats": "beats", "spectrum_db_1_5": "1-5 Hz", "spectrum_db_5_15": "5-15 Hz",
              "spectrum_db_15_45": "15-45 Hz", "lead_correlation": "leads", "undelineated": "not del."}
MEMORISATION = {"nearer": "P(nearer)", "below_p1": "below 1 %", "below_minimum": "below all",
                "distance_median": "distance", "ratio_median": "/ second"}
FEW_RECORDS = 100       # below which neighbours are far apart


def show_report(report: dict) -> None:
    """Prints a report: what is compared, then a table for each section."""
    list_remarks("left out", [(name, text) for name, text in report["left_out"]])
    list_remarks("notes", [(name, text) for name, text in report["notes"]])
    for line in describe_data(report):
        show(line)
    sections = report["sections"]
    for space, rows in sections["distances"].items():
        show(f"\nFeatures of a {SPACE_NAMES[space]} (c.: clipped; discr.: a discriminator's, .5 is perfect)")
        show_rows(DISTANCES, distance_table(rows, sections["discriminator"][space]))
    if sections["utility"]:
        show("\nSuperclasses: macro-AUC of training on the set and testing on real (TSTR), and the reverse (TRTS)")
        show_rows(UTILITY, utility_table(sections["utility"]))
    if sections["physiology"]:
        show("\nPhysiology: Kolmogorov-Smirnov distances of intervals and of the range of leads; variance of beats "
             "within\na record / real; distances of spectra in dB, and of correlations of leads; share that is not "
             "delineated")
        show_rows(PHYSIOLOGY, physiology_table(sections["physiology"]))
    if sections["memorisation"]:
        show("\nMemorisation: distances to the nearest training record (0: a copy), and divided by the second one;\n"
             "probability to be nearer than the reference; share below the reference's 1st percentile, and below all "
             "of it")
        show_rows(MEMORISATION, memorisation_table(sections["memorisation"]))
    remark("95 % intervals and more are in the report (--json, --out)")


def describe_data(report: dict) -> list[str]:
    """Lines on what a reader must know about the sets of a report."""
    records, samples, compared = report["records"], report["records"]["samples"], report["compared"]
    lines = [f"{count(samples, 'sample')} of {report['seconds']:g} s at {report['rate']:g} Hz against "
             f"{count(records['reference'], 'real record')} ({report['split']}) of {report['store']}; distances are of "
             f"{compared:,} records at a time"]
    if left_out := len(report["left_out"]):
        lines.append(f"{count_is(left_out, 'record')} left out")
    if resampled := sum("sampled from" in note for _, note in report["notes"]):
        lines.append(f"{count_is(resampled, 'record')} resampled to {report['rate']:g} Hz")
    if compared < FEW_RECORDS:
        lines.append(f"distances of so few records are rough; {FEW_RECORDS} or more samples are better")
    if report["labelled"] < samples:
        lines.append(f"{count(samples - report['labelled'], 'sample')} without superclasses, which do not count for "
                     "TSTR, TRTS and agreement")
    if used := report["tokenizer"]:
        what = count(used["codebooks"], "codebook") if used["codebooks"] else "latents that are not quantized"
        lines.append(f"decoded real is the training split by {used['name']} with {what}")
    else:
        lines.append("the samples name no tokenizer that is here, so decoded real ECGs are not measured (--tokenizer)")
    if "classifier" not in report["sections"]["distances"]:
        lines.append("the store has no superclasses, so there is no classifier")
    return lines + [f"{section} is not measured: {reason}" for section, reason in report["missing"].items()]


def show_rows(columns: Mapping[str, str], rows: Table) -> None:
    """Prints a table with a row for each set."""
    show_table(["", *columns.values()], [[ROW_NAMES[row], *(cell(values.get(name)) for name in columns)]
                                         for row, values in rows.items()])


def cell(number: float | None) -> str:
    """A metric in a table; a dash if it was not measured."""
    if number is None or number != number:
        return "-"
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}" if abs(number) >= 10 else f"{number:.3f}"
