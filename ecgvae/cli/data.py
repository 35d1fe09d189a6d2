"""The command prepare."""

import csv
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ecgvae.cli.app import (
    SIGNALS,
    AnyAmplitude,
    Comments,
    LeadMap,
    MissingLeads,
    Overwrite,
    Quiet,
    Strict,
    app,
    examples,
)
from ecgvae.cli.completion import dataset_names
from ecgvae.cli.paths import check_exists, check_output, check_records
from ecgvae.cli.remarks import count_skipped, list_remarks, list_skipped
from ecgvae.cli.terminal import Progress, end_strict, remark, show
from ecgvae.wording import count, count_of

if TYPE_CHECKING:
    from ecgvae.data.store import Store

NO_DATASET = "none"     # a value of --dataset


@app.command(rich_help_panel=SIGNALS,
             epilog=examples("ecgvae prepare recordings store",
                             "ecgvae prepare recordings store --table labels.csv",
                             "ecgvae prepare recordings store --rate 250 --leads I,II,V1 --window 10",
                             "ecgvae prepare ptb-xl store",
                             "ecgvae prepare ptb-xl/records500 store --rate 500"))
def prepare(
    source: Annotated[Path, Argument(metavar="SOURCE", help="Folder of WFDB records, at any depth.")],
    out: Annotated[Path, Argument(metavar="OUT", help="Folder of the store to create.")],
    dataset: Annotated[str | None, Option(help="Name of the data set in SOURCE, such as ptbxl. Its labels, patients "
                                               "and folds go into the store. Default: recognized by its files; none "
                                               "leaves it out.",
                                          autocompletion=dataset_names)] = None,
    table: Annotated[Path | None, Option(help="CSV file with a row for each record. Its columns (labels, "
                                              "patient, split) go into the store. Default: none.")] = None,
    rate: Annotated[float, Option(help="Sampling rate of the store in Hz.")] = 100,
    leads: Annotated[str, Option(help="Leads of the store: standard-12, or names such as I,II,V1.")] = "standard-12",
    lead_map: LeadMap = None,
    window: Annotated[float | None, Option(help="Length of the windows that records are cut into, in seconds. "
                                                "Default: records stay whole.")] = None,
    missing_leads: MissingLeads = "error",
    any_amplitude: AnyAmplitude = False,
    comments: Comments = True,
    workers: Annotated[int | None, Option(min=1, help="Number of processes. Default: one for each CPU.")] = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Makes a store from WFDB records.

    Training and evaluation read stores. All signals of a store have the same leads and sampling rate.
    PTB-XL is recognized by its ptbxl_database.csv: its labels, patients and folds go into the store.
    """
    build = find_builder(source, dataset, table)
    check_output(out, overwrite)
    from ecgvae.signal import parse_leads

    options: dict[str, Any] = {"leads": parse_leads(leads), "window": window, "missing": missing_leads}
    if not comments:
        options["comments"] = False
    if any_amplitude:
        options["any_amplitude"] = True
    if lead_map:
        from ecgvae.signal import parse_lead_map

        options["lead_map"] = parse_lead_map(lead_map)
    from ecgvae.data.errors import NoUsableRecords

    try:
        with Progress("records") as progress, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* named like PTB-XL's")  # the remarks of the store say the same
            store = build(source, out, rate=rate, workers=workers, overwrite=overwrite, progress=progress, **options)
    except NoUsableRecords as error:
        list_skipped(error.skipped)
        raise
    skipped = report(store, window)
    if table:
        remark_on_table(store)
    if not comments:
        remark_on_labels(store, table)
    end_strict(strict, skipped)


def find_builder(source: Path, dataset: str | None, table: Path | None) -> "Callable[..., Store]":
    """The function that builds the store: that of a data set's script, or `build_store`, with a table if given.

    A data set is recognized if neither its name nor a table is given.
    """
    if dataset not in (None, NO_DATASET):
        if table:
            raise ValueError("--dataset and --table exclude each other; wanted only one of them")
        check_exists(source, "the folder of a data set")
        from ecgvae.resources import load_prepare

        return with_known_options(load_prepare(dataset), dataset)
    if dataset is None and table is None:
        from ecgvae.resources import recognize_dataset

        if recognized := recognize_dataset(source):
            return recognized_builder(source, recognized)
    check_records([source], "a folder of WFDB records")
    from functools import partial

    from ecgvae.data.prepare import build_store

    if table is None:
        return build_store
    check_exists(table, "a CSV file")
    from ecgvae.data.splits import table_folds
    from ecgvae.data.table import read_table

    labels = read_table(table)
    try:
        table_folds(labels)     # before the work
    except ValueError as error:
        raise ValueError(f"{table} has {error}") from None
    return partial(build_store, labels=labels)


def recognized_builder(source: Path, dataset: str) -> "Callable[..., Store]":
    """The function `prepare` of a recognized data set; the user is told about it, and how to do without."""
    from ecgvae.resources import load_prepare

    build = with_known_options(load_prepare(dataset), dataset)
    remark(f"{source} is recognized as the data set {dataset}: its labels, patients and folds are taken "
           "(--dataset none leaves them out)")

    def build_or_advise(*arguments: Any, **options: Any) -> "Store":
        try:
            return build(*arguments, **options)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; --dataset none prepares the records without labels, patients and folds"
                                    ) from None

    return build_or_advise


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


def report(store: "Store", window: float | None) -> int:
    """Prints a summary of a new store, and lists skipped records, notes and unmatched labels.

    Returns:
        The number of skipped records.
    """
    with open(store.path / "skipped.csv", newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    notes = [(name, text) for name, text, *kind in rows if kind == ["note"]]
    skipped = [(name, text) for name, text, *kind in rows if kind in ([], ["skipped"])]
    list_skipped(skipped)
    list_remarks("notes", notes, limit=5)
    for text in store.remarks:
        remark(text)
    if unmatched := store.manifest.get("unmatched_rows"):
        remark(f"{count(unmatched, 'row')} of the table without a record")
    if unlabelled := store.manifest.get("unlabelled_records"):
        remark(f"{count(unlabelled, 'record')} without a row of the table")
    if shared := store.manifest.get("patients_in_several_splits"):
        remark(f"{count(shared, 'patient')} with records in several splits: evaluation will be too optimistic")
    if without := len(store) - sum(len(store.split(name)) for name in ("train", "validation", "test")):
        remark(f"{count(without, 'record' if window is None else 'window')} in no split")
    used = store.records["name"].nunique()
    records = count_of(used, used + len(skipped), "record")
    windows = "" if window is None else f"{count(len(store), 'window')} of "
    show(f"{windows}{records} with {count(len(store.leads), 'lead')} at {store.rate:g} Hz in {store.path}"
         f"{count_skipped(skipped)}")
    return len(skipped)


def remark_on_table(store: "Store") -> None:
    """Says where the folds of PTB-XL's records come from, if a table was given."""
    from ecgvae.data.remarks import count_ptbxl

    if count_ptbxl(store.records["name"]) and store.manifest.get("random_split") is None:
        remark("the records are named like PTB-XL's: their splits come from the table")


def remark_on_labels(store: "Store", table: Path | None) -> None:
    """Says which columns of a table are in the store, such as age and sex, although comments are left out."""
    from ecgvae.data.table import STORE_COLUMNS

    others = (*STORE_COLUMNS, *store.manifest.get("origin_columns", ()))
    if labels := [name for name in store.records if name not in others]:
        remedy = "without --table" if table else f"with --dataset {NO_DATASET}"
        remark(f"--no-comments leaves out comments of headers; {', '.join(labels)} come from the table and stay in "
               f"the store ({remedy} they are left out)")
