"""What evaluate-samples prints of a report on generated ECGs."""

from collections.abc import Iterable, Mapping, Sequence

from ecgvae.cli.remarks import list_remarks
from ecgvae.cli.terminal import remark, show, show_table
from ecgvae.evaluation.generation.report import ROW_NAMES
from ecgvae.wording import count, count_is

SPACE_NAMES = {"random": "random network", "classifier": "classifier of superclasses"}
DISTANCES = {"frechet": "Fréchet", "frechet_ratio": "/ floor", "precision": "precision", "recall": "recall",
             "density": "density", "coverage": "coverage", "clipped_density": "c. density",
             "clipped_coverage": "c. coverage"}
UTILITY = {"tstr": "TSTR", "trtr": "TRTR", "ratio": "TSTR / TRTR", "trts": "TRTS", "agreement": "agreement"}
INTERVALS = {"heart_rate": "heart rate", "pr": "PR", "qrs": "QRS", "qt": "QT"}
WAVEFORMS = {"spectrum_db_1_5": "1-5 Hz", "spectrum_db_5_15": "5-15 Hz", "spectrum_db_15_45": "15-45 Hz",
             "lead_correlation": "leads"}
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
        show_distances(SPACE_NAMES[space], rows, sections["discriminator"][space])
    if sections["utility"]:
        show("\nSuperclasses: macro-AUC of training on the set and testing on real (TSTR), and the reverse (TRTS)")
        show_rows(UTILITY, sections["utility"])
    if sections["physiology"]:
        show_physiology(sections["physiology"])
    if sections["memorisation"]:
        show_memorisation(sections["memorisation"])
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


def show_distances(space: str, rows: Mapping[str, dict], areas: Mapping[str, dict]) -> None:
    """Prints the distances in a feature space, and what a discriminator makes of it."""
    show(f"\nFeatures of a {space} (c.: clipped; discr.: a discriminator's, .5 is perfect)")
    names = [*rows, *(row for row in areas if row not in rows)]
    show_rows(DISTANCES | {"discriminator": "discr. AUC"},
              {row: {**rows.get(row, {}), "discriminator": areas.get(row)} for row in names})


def show_physiology(rows: Mapping[str, dict]) -> None:
    """Prints distances of intervals and waveforms, and how much beats vary."""
    show("\nPhysiology: Kolmogorov-Smirnov distances of intervals and of the range of leads; variance of beats within\n"
         "a record / real; distances of spectra in dB, and of correlations of leads; share that is not delineated")
    columns = {**INTERVALS, "range": "range", "beats": "beats", **WAVEFORMS, "undelineated": "not del."}
    show_rows(columns, {row: physiology_cells(values) for row, values in rows.items()})


def physiology_cells(values: dict) -> dict:
    """The numbers of a row: those of single leads are averaged."""
    ranges = [of_lead["ks"]["value"] for name, of_lead in values["intervals"].items() if name.startswith("range_")]
    return {**{name: values["intervals"][name]["ks"] for name in INTERVALS}, "range": sum(ranges) / len(ranges),
            "beats": values["beats"]["variance_ratio"], **values["waveforms"],
            "undelineated": values["undelineated"]["generated"]}


def show_memorisation(rows: Mapping[str, dict]) -> None:
    """Prints the distances to the nearest training records, with those of the reference."""
    show("\nMemorisation: distances to the nearest training record (0: a copy), and divided by the second one;\n"
         "probability to be nearer than the reference; share below the reference's 1st percentile, and below all of it")
    first = next(iter(rows.values()))
    reference = {name.removeprefix("held_out_"): value for name, value in first.items() if name.startswith("held_out_")}
    show_rows(MEMORISATION, {**rows, "reference": reference})


def show_rows(columns: Mapping[str, str], rows: Mapping[str, Mapping]) -> None:
    """Prints a table with a row for each set."""
    show_table(["", *columns.values()], [cells(ROW_NAMES[row], (values.get(name) for name in columns))
                                         for row, values in rows.items()])


def cells(name: str, values: Iterable[dict | float | None]) -> Sequence[str]:
    """A row of a table."""
    return [name, *map(cell, values)]


def cell(value: dict | float | None) -> str:
    """A metric in a table, with or without an interval; a dash if it was not measured."""
    number = value["value"] if isinstance(value, dict) else value
    if number is None or number != number:
        return "-"
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}" if abs(number) >= 10 else f"{number:.3f}"
