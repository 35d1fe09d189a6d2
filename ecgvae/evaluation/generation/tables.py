"""The tables of a report on generated ECGs: the numbers that are printed, and that the card of a prior has."""

from collections.abc import Mapping

Table = dict[str, dict[str, float | None]]      # a row for each set
INTERVALS = ("heart_rate", "pr", "qrs", "qt")
HELD_OUT = "held_out_"


def distance_table(rows: Mapping[str, dict], areas: Mapping[str, dict]) -> Table:
    """The distances in a feature space, with the AUC of the discriminator as `discriminator`."""
    return {row: {**values_of(rows.get(row, {})), "discriminator": value_of(areas.get(row))}
            for row in dict.fromkeys((*rows, *areas))}


def physiology_table(rows: Mapping[str, dict]) -> Table:
    """Distances of intervals and waveforms, and the variance of beats; those of single leads are averaged."""
    return {row: physiology_row(values) for row, values in rows.items()}


def physiology_row(values: dict) -> dict[str, float | None]:
    ranges = [of_lead["ks"]["value"] for name, of_lead in values["intervals"].items() if name.startswith("range_")]
    intervals = {name: values["intervals"][name]["ks"] for name in INTERVALS}
    waveforms = {name: value for name, value in values["waveforms"].items() if not name.startswith("amplitude_")}
    return {**values_of(intervals), "range": sum(ranges) / len(ranges),
            "beats": value_of(values["beats"]["variance_ratio"]), **waveforms,
            "undelineated": values["undelineated"]["generated"]}


def memorisation_table(rows: Mapping[str, dict]) -> Table:
    """Distances to the nearest training records; the row `reference` has those of the held-out records."""
    if not rows:
        return {}
    first = next(iter(rows.values()))
    held_out = {name.removeprefix(HELD_OUT): value for name, value in first.items() if name.startswith(HELD_OUT)}
    own = {row: {name: value for name, value in values.items() if not name.startswith(HELD_OUT)}
           for row, values in rows.items()}
    return {**own, "reference": held_out}


def utility_table(rows: Mapping[str, dict]) -> Table:
    """What the sets are worth as training data, and how far labels agree with the classifier's."""
    return {row: values_of(values) for row, values in rows.items()}


def values_of(metrics: Mapping[str, dict | float | None]) -> dict[str, float | None]:
    """Metrics without their intervals."""
    return {name: value_of(metric) for name, metric in metrics.items()}


def value_of(metric: dict | float | None) -> float | None:
    """A metric without its interval; None if it was not measured."""
    return metric["value"] if isinstance(metric, dict) else metric
