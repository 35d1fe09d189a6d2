"""Prepares PTB-XL as a store with folds and labels."""

import argparse
import ast
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.wording import count_is, one_line

if TYPE_CHECKING:
    import pandas

FILE_SETS = ((100, "filename_lr"), (500, "filename_hr"))  # rate in Hz, column of the table
DATABASE, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
NUMBERS = {"fold": "strat_fold", "patient": "patient_id", "age": "age"}  # column of the table
DATABASE_COLUMNS = ("ecg_id", "scp_codes", "sex", "filename_lr", "filename_hr", *NUMBERS.values())
STATEMENTS_COLUMNS = ("diagnostic", "diagnostic_class", "diagnostic_subclass")
RECORD_FOLDERS = ("records100", "records500")
MAX_CELL, MAX_NAME = 10_000, 200  # characters
SEXES = {0: "male", 1: "female"}


def find_root(source: Path) -> Path | None:
    """PTB-XL's folder, from itself, `records100`, `records500` or a folder below these; None for other folders."""
    source = Path(os.path.abspath(source))
    if (source / DATABASE).is_file():
        return source
    return next((root for folder, root in zip((source, *source.parents), source.parents, strict=False)
                 if folder.name in RECORD_FOLDERS and (root / DATABASE).is_file()), None)


def recognize(folder: Path) -> bool:
    """Whether a folder is PTB-XL's, or one of those within it that have its records."""
    return find_root(folder) is not None


def read_table(root: Path) -> "pandas.DataFrame":
    """The files and the labels of each record, from PTB-XL's two tables.

    Raises:
        FileNotFoundError: A table is missing.
        ValueError: A table lacks a column, or has impossible values.
    """
    import pandas

    columns = {DATABASE: DATABASE_COLUMNS, STATEMENTS: STATEMENTS_COLUMNS}
    table, statements = (read_csv(root / name, wanted) for name, wanted in columns.items())
    table = table.set_index("ecg_id")
    diagnostic = statements[statements["diagnostic"] == 1].set_index(statements.columns[0])
    superclasses = diagnostic["diagnostic_class"].to_dict()
    subclasses = diagnostic["diagnostic_subclass"].to_dict()
    try:
        codes = [scp_codes(cell) for cell in table["scp_codes"]]
        numbers = {name: table[column].astype("Int64") for name, column in NUMBERS.items()}
        check_filenames([*table["filename_lr"], *table["filename_hr"]])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{root / DATABASE}: {one_line(error, 200)}") from None
    return pandas.DataFrame({
        "filename_lr": table["filename_lr"],
        "filename_hr": table["filename_hr"],
        **numbers,
        "sex": table["sex"].map(SEXES),
        "superclass": [classes(record_codes, superclasses) for record_codes in codes],
        "subclass": [classes(record_codes, subclasses) for record_codes in codes],
        "statements": [list(record_codes) for record_codes in codes],
    })


def read_csv(path: Path, columns: Sequence[str]) -> "pandas.DataFrame":
    """A table with at least these columns."""
    import pandas

    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; wanted the folder of PTB-XL")
    try:
        table = pandas.read_csv(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a table (CSV): {one_line(error)}") from None
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{path} has no columns {', '.join(missing)}")
    return table


def scp_codes(cell: object) -> dict[str, float]:
    """The statements in a cell, such as {'NORM': 100.0, 'SR': 0.0}, with their likelihoods."""
    try:
        codes = ast.literal_eval(cell) if isinstance(cell, str) and len(cell) <= MAX_CELL else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        codes = None
    if not isinstance(codes, dict) or not all(isinstance(code, str) for code in codes):
        raise ValueError(f"scp_codes has {cell!r:.60}; wanted statements such as {{'NORM': 100.0}}")
    return codes


def check_filenames(names: Sequence[object]) -> None:
    """Raises ValueError if names of records are not paths within PTB-XL's folder."""
    for name in names:
        is_path = isinstance(name, str) and 0 < len(name) <= MAX_NAME and "\0" not in name
        if not is_path or name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"a file name is {name!r:.60}; wanted a path such as records100/00000/00001_lr")


def classes(codes: Mapping[str, float], class_of: Mapping[Any, str]) -> list[str]:
    """The classes of the diagnostic statements among a record's codes, at any likelihood."""
    return sorted({class_of[code] for code in codes if code in class_of})


def choose_files(root: Path, table: "pandas.DataFrame", rate: float, folder: str = "") -> list[str | None]:
    """A file for each record: the one with the lowest rate that is not below `rate`, else the one with the highest.

    Args:
        root: PTB-XL's folder.
        table: The columns filename_lr and filename_hr.
        rate: The wanted rate in Hz.
        folder: The beginning of the names of the files to choose from, such as "records100/"; by default all.

    Returns:
        The name of the file. A record without files has the name of the first choice; None if no name is in `folder`.
    """
    above = [column for file_rate, column in FILE_SETS if file_rate >= rate]
    below = [column for file_rate, column in reversed(FILE_SETS) if file_rate < rate]
    chosen = []
    for names in table[[*above, *below]].itertuples(index=False):
        possible = [name for name in names if name.startswith(folder)]
        existing = (name for name in possible if (root / f"{name}.hea").is_file())
        chosen.append(next(existing, possible[0] if possible else None))
    return chosen


def prepare(source: Path, out: Path, rate: float = 100, **options: Any) -> Store:
    """Builds a store of PTB-XL.

    Records of its table without a file are skipped, or left out if `source` is a subfolder.

    Args:
        source: PTB-XL's folder, with `ptbxl_database.csv`; or `records100`, `records500` or a folder below these, of
            which only the records are taken.
        out: The folder of the store.
        rate: The sampling rate of the store in Hz.
        **options: Further options of `build_store`.

    Raises:
        FileNotFoundError: The tables are missing.
        ValueError: An option is wrong, or no record can be used.
    """
    source = Path(source)
    root = find_root(source) or source
    table = read_table(root)
    within = Path(os.path.abspath(source)).relative_to(root).as_posix() if root != source else "."
    folder = "" if within == "." else f"{within}/"
    table = table.assign(file=choose_files(root, table, rate, folder)).dropna(subset="file")
    names = [name.removeprefix(folder) for name in table["file"]]
    labels = table.drop(columns=["filename_lr", "filename_hr", "file"]).set_axis(names)
    records = sorted(source / name for name in names if not folder or (source / f"{name}.hea").is_file())
    remarks = unknown_records(source, folder, {*table["filename_lr"], *table["filename_hr"]})
    return build_store(source, out, rate=rate, labels=labels, records=records, remarks=remarks, **options)


def unknown_records(source: Path, folder: str, known: set[str]) -> list[str]:
    """A remark if there are records that PTB-XL's table does not have, which are left out."""
    names = (f"{folder}{path.relative_to(source).with_suffix('').as_posix()}" for path in source.rglob("*.hea"))
    unknown = sum(name not in known for name in names)
    return [f"{count_is(unknown, 'record')} left out, which {DATABASE} does not have"] if unknown else []


def show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} records", end="\n" if done == total else "", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder of PTB-XL, with ptbxl_database.csv")
    parser.add_argument("out", type=Path, help="folder of the store to create")
    parser.add_argument("--rate", type=float, default=100, help="sampling rate of the store in Hz")
    parser.add_argument("--workers", type=int, help="number of processes; by default one per CPU")
    parser.add_argument("--overwrite", action="store_true", help="replace a store that exists")
    options = parser.parse_args()
    try:
        store = prepare(**vars(options), progress=show_progress)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    skipped = store.manifest["skipped"]
    print(f"{len(store)} records at {store.rate:g} Hz in {store.path}; {skipped} skipped, see skipped.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
