"""Prepares PTB-XL as a store with folds and labels."""

import argparse
import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store

if TYPE_CHECKING:
    import pandas

FILE_SETS = ((100, "filename_lr"), (500, "filename_hr"))  # rate in Hz, column of the table
SEXES = {0: "male", 1: "female"}


def read_table(source: Path) -> "pandas.DataFrame":
    """The files and the labels of each record, from PTB-XL's two tables; FileNotFoundError if one is missing."""
    import pandas

    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        if not (source / name).is_file():
            raise FileNotFoundError(f"{source / name} is not there; wanted the folder of PTB-XL")
    table = pandas.read_csv(source / "ptbxl_database.csv", index_col="ecg_id")
    statements = pandas.read_csv(source / "scp_statements.csv", index_col=0)
    diagnostic = statements[statements["diagnostic"] == 1]
    superclasses = diagnostic["diagnostic_class"].to_dict()
    subclasses = diagnostic["diagnostic_subclass"].to_dict()
    codes = [ast.literal_eval(cell) for cell in table["scp_codes"]]
    return pandas.DataFrame({
        "filename_lr": table["filename_lr"],
        "filename_hr": table["filename_hr"],
        "fold": table["strat_fold"].astype("Int64"),
        "patient": table["patient_id"].astype("Int64"),
        "age": table["age"].astype("Int64"),
        "sex": table["sex"].map(SEXES),
        "superclass": [classes(record_codes, superclasses) for record_codes in codes],
        "subclass": [classes(record_codes, subclasses) for record_codes in codes],
        "statements": [list(record_codes) for record_codes in codes],
    })


def classes(codes: Mapping[str, float], class_of: Mapping[Any, str]) -> list[str]:
    """The classes of the diagnostic statements among a record's codes, at any likelihood."""
    return sorted({class_of[code] for code in codes if code in class_of})


def choose_files(source: Path, table: "pandas.DataFrame", rate: float) -> list[str]:
    """A file for each record: the one with the lowest rate that is not below `rate`, else the one with the highest.

    A record without files gets the name of the first choice.
    """
    above = [column for file_rate, column in FILE_SETS if file_rate >= rate]
    below = [column for file_rate, column in reversed(FILE_SETS) if file_rate < rate]
    chosen = []
    for names in table[[*above, *below]].itertuples(index=False):
        existing = (name for name in names if (source / f"{name}.hea").is_file())
        chosen.append(next(existing, names[0]))
    return chosen


def prepare(source: Path, out: Path, rate: float = 100, **options: Any) -> Store:
    """Builds a store of PTB-XL. Records of its table without a file are skipped.

    Args:
        source: PTB-XL's folder, with `ptbxl_database.csv`.
        out: The folder of the store.
        rate: The sampling rate of the store in Hz.
        **options: Further options of `build_store`.

    Raises:
        FileNotFoundError: The tables are missing.
        ValueError: An option is wrong, or no record can be used.
    """
    source = Path(source)
    table = read_table(source)
    files = choose_files(source, table, rate)
    labels = table.drop(columns=["filename_lr", "filename_hr"]).set_axis(files)
    records = sorted(source / name for name in files)
    return build_store(source, out, rate=rate, labels=labels, records=records, **options)


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
