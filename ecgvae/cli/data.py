"""The command prepare."""

import csv
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ecgvae.cli.app import SIGNALS, LeadMap, MissingLeads, Overwrite, Quiet, app, examples
from ecgvae.cli.completion import dataset_names
from ecgvae.cli.paths import check_exists, check_output, check_records
from ecgvae.cli.terminal import Progress, count, list_skipped, remark

if TYPE_CHECKING:
    from ecgvae.data.store import Store


@app.command(rich_help_panel=SIGNALS,
             epilog=examples("ecgvae prepare recordings store",
                             "ecgvae prepare recordings store --table labels.csv",
                             "ecgvae prepare recordings store --rate 250 --leads I,II,V1 --window 10",
                             "ecgvae prepare ptb-xl store --dataset ptbxl"))
def prepare(
    source: Annotated[Path, Argument(metavar="SOURCE", help="Folder of WFDB records, at any depth.")],
    out: Annotated[Path, Argument(metavar="OUT", help="Folder of the store to create.")],
    dataset: Annotated[str | None, Option(help="Name of the data set in SOURCE, such as ptbxl. Its labels, patients "
                                               "and folds go into the store. Default: none.",
                                          autocompletion=dataset_names)] = None,
    table: Annotated[Path | None, Option(help="CSV file with a row for each record. Its columns (labels, "
                                              "patient, split) go into the store. Default: none.")] = None,
    rate: Annotated[float, Option(help="Sampling rate of the store in Hz.")] = 100,
    leads: Annotated[str, Option(help="Leads of the store: standard-12, or names such as I,II,V1.")] = "standard-12",
    lead_map: LeadMap = None,
    window: Annotated[float | None, Option(help="Length of the windows that records are cut into, in seconds. "
                                                "Default: records stay whole.")] = None,
    missing_leads: MissingLeads = "error",
    workers: Annotated[int | None, Option(min=1, help="Number of processes. Default: one for each CPU.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Makes a store from WFDB records.

    Training and evaluation read stores. All signals of a store have the same leads and sampling rate.
    """
    if dataset and table:
        raise ValueError("--dataset and --table exclude each other; wanted only one of them")
    if dataset:
        check_exists(source, "the folder of a data set")
    else:
        check_records([source], "a folder of WFDB records")
    check_output(out, overwrite)
    build = find_builder(dataset, table)
    from ecgvae.signal import parse_leads

    options: dict[str, Any] = {"leads": parse_leads(leads), "window": window, "missing": missing_leads}
    if lead_map:
        from ecgvae.signal import parse_lead_map

        options["lead_map"] = parse_lead_map(lead_map)
    with Progress("records") as progress:
        store = build(source, out, rate=rate, workers=workers, overwrite=overwrite, progress=progress, **options)
    report(store, window)


def find_builder(dataset: str | None, table: Path | None) -> "Callable[..., Store]":
    """The function that builds the store: that of a data set's script, or `build_store`, with a table if given."""
    if dataset:
        from ecgvae.resources import load_prepare

        return with_known_options(load_prepare(dataset), dataset)
    from functools import partial

    from ecgvae.data.prepare import build_store

    if table is None:
        return build_store
    check_exists(table, "a CSV file")
    from ecgvae.data.table import read_table

    return partial(build_store, labels=read_table(table))


def with_known_options(prepare: "Callable[..., Store]", dataset: str) -> "Callable[..., Store]":
    """Wraps the function `prepare` of a data set's script, which may lack options of `build_store`.

    Such an option is dropped if it has its default value, else it is refused with ValueError.
    """
    from ecgvae.data.prepare import build_store

    parameters = inspect.signature(prepare).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return prepare
    defaults = {name: parameter.default for name, parameter in inspect.signature(build_store).parameters.items()}

    def build(source: Path, out: Path, **options: Any) -> "Store":
        unknown = [name for name in options if name not in parameters and name != "progress"]
        if refused := [name for name in unknown if options[name] != defaults.get(name)]:
            raise ValueError(f"the script of data set {dataset} has no option {', '.join(refused)}")
        return prepare(source, out, **{name: value for name, value in options.items() if name in parameters})

    return build


def report(store: "Store", window: float | None) -> None:
    """Prints a summary of a new store, and lists skipped records and unmatched labels."""
    with open(store.path / "skipped.csv", newline="") as file:
        _, *skipped = csv.reader(file)
    list_skipped([(name, reason) for name, reason, *kind in skipped if kind != ["note"]])
    if unmatched := store.manifest.get("unmatched_rows"):
        remark(f"{count(unmatched, 'row')} of the table without a record")
    if unlabelled := store.manifest.get("unlabelled_records"):
        remark(f"{count(unlabelled, 'record')} without a row of the table")
    if shared := store.manifest.get("patients_in_several_splits"):
        remark(f"{count(shared, 'patient')} with records in several splits: evaluation will be too optimistic")
    if without := len(store) - sum(len(store.split(name)) for name in ("train", "validation", "test")):
        remark(f"{count(without, 'record' if window is None else 'window')} in no split")
    rows = count(len(store), "record" if window is None else "window")
    ending = f"; {count(len(skipped), 'record')} skipped" if skipped else ""
    print(f"{rows} with {count(len(store.leads), 'lead')} at {store.rate:g} Hz in {store.path}{ending}")
