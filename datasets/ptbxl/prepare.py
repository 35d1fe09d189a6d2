"""Turn PTB-XL's own folder into a store with folds and labels."""

import argparse
import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store

if TYPE_CHECKING:
    import pandas

FILE_SETS = ((100, "filename_lr"), (500, "filename_hr"))  # rate in Hz, column of the table
SEXES = {0: "male", 1: "female"}


def read_table(source: Path) -> "pandas.DataFrame":
    """The files and labels of each record, from PTB-XL's two tables."""
    import pandas

    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        if not (source / name).is_file():
            raise FileNotFoundError(f"{source / name} is not there; wanted PTB-XL's own folder")
    table = pandas.read_csv(source / "ptbxl_database.csv", index_col="ecg_id")
    statements = pandas.read_csv(source / "scp_statements.csv", index_col=0)
    diagnostic = statements[statements["diagnostic"] == 1]
    codes = table["scp_codes"].map(ast.literal_eval)
    return pandas.DataFrame({
        "filename_lr": table["filename_lr"],
        "filename_hr": table["filename_hr"],
        "fold": table["strat_fold"].astype("Int64"),
        "patient": table["patient_id"].astype("Int64"),
        "age": table["age"].astype("Int64"),
        "sex": table["sex"].map(SEXES),
        "superclass": codes.map(lambda own: groups(own, diagnostic["diagnostic_class"].to_dict())),
        "subclass": codes.map(lambda own: groups(own, diagnostic["diagnostic_subclass"].to_dict())),
        "statements": codes.map(list),
    })


def groups(codes: dict[str, float], group: dict[str, str]) -> list[str]:
    """The groups of the diagnostic statements among the codes, each once, whatever the likelihood."""
    return sorted({group[code] for code in codes if code in group})


def choose_files(source: Path, table: "pandas.DataFrame", rate: float) -> list[str]:
    """A file for each record: of those there the slowest that isn't below `rate`, else the fastest."""
    above = [column for own, column in FILE_SETS if own >= rate]
    below = [column for own, column in reversed(FILE_SETS) if own < rate]
    chosen = []
    for names in table[[*above, *below]].itertuples(index=False):
        there = (name for name in names if (source / f"{name}.hea").is_file())
        chosen.append(next(there, names[0]))
    return chosen


def prepare(source: Path, out: Path, rate: float = 100, **options) -> Store:
    """Build the store; records of the table that aren't there are among the skipped ones."""
    table = read_table(source)
    files = choose_files(source, table, rate)
    labels = table.drop(columns=["filename_lr", "filename_hr"]).set_axis(files)
    records = sorted(source / name for name in files)
    return build_store(source, out, rate=rate, labels=labels, records=records, **options)


def show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} records", end="\n" if done == total else "", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="PTB-XL's own folder, with ptbxl_database.csv")
    parser.add_argument("out", type=Path, help="folder of the store to make")
    parser.add_argument("--rate", type=float, default=100, help="sampling rate of the store in Hz")
    parser.add_argument("--workers", type=int, help="processes; one a processor if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace a store that is there")
    options = parser.parse_args()
    try:
        store = prepare(**vars(options), progress=show)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    skipped = store.manifest["skipped"]
    print(f"{len(store)} records at {store.rate:g} Hz in {store.path}; {skipped} skipped, see skipped.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
