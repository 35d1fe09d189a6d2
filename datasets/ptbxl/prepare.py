"""Turn PTB-XL's own folder into a store with folds and labels: python datasets/ptbxl/prepare.py SOURCE OUT."""

import argparse
import ast
import sys
from pathlib import Path

import pandas

from ecgvae.data.prepare import build_store

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
FILE_SETS = ((100, "filename_lr"), (500, "filename_hr"))


def read_labels(source: Path) -> pandas.DataFrame:
    """PTB-XL's table with parsed statements, indexed by ecg_id."""
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        if not (source / name).is_file():
            raise FileNotFoundError(f"{source / name} is missing; wanted PTB-XL's own folder")
    table = pandas.read_csv(source / "ptbxl_database.csv", index_col="ecg_id")
    statements = pandas.read_csv(source / "scp_statements.csv", index_col=0)
    diagnostic = statements[statements["diagnostic"] == 1]
    codes = table["scp_codes"].map(ast.literal_eval)
    return pandas.DataFrame({
        "filename_lr": table["filename_lr"],
        "filename_hr": table["filename_hr"],
        "fold": table["strat_fold"],
        "patient": table["patient_id"].astype("Int64"),
        "age": table["age"].astype("Int64"),
        "sex": table["sex"].map({0: "male", 1: "female"}),
        "statements": codes.map(list),
        "subclass": codes.map(lambda keys: classes(keys, diagnostic["diagnostic_subclass"])),
        "superclass": codes.map(lambda keys: classes(keys, diagnostic["diagnostic_class"])),
    })


def classes(codes: dict, groups: pandas.Series) -> list[str]:
    """The groups of the diagnostic statements among `codes`, whatever their likelihood, in order, each once."""
    return list(dict.fromkeys(groups[code] for code in codes if code in groups.index))


def choose_files(source: Path, table: pandas.DataFrame, rate: float) -> pandas.Series:
    """Each record's file: of the sets there at or above `rate` the slowest, else the fastest."""
    chosen = pandas.Series(pandas.NA, index=table.index, dtype="object")
    above = [column for own, column in FILE_SETS if own >= rate]
    below = [column for own, column in reversed(FILE_SETS) if own < rate]
    for column in (*above, *below):
        there = table[column].map(lambda name: (source / f"{name}.hea").is_file())
        chosen = chosen.where(chosen.notna() | ~there, table[column])
    return chosen.dropna()


def prepare(source: Path, out: Path, rate: float = 100, workers: int | None = None, overwrite: bool = False,
            progress=lambda done, total: None):
    """Build the store of the records that are there and return it."""
    table = read_labels(source)
    files = choose_files(source, table, rate)
    labels = table.loc[files.index].set_index(files.to_numpy()).drop(columns=["filename_lr", "filename_hr"])
    return build_store(source, out, rate=rate, workers=workers, labels=labels, overwrite=overwrite,
                       records=[source / name for name in files], progress=progress)


def show(done: int, total: int) -> None:
    print(f"\r{done} of {total} records", end="\n" if done == total else "", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder with ptbxl_database.csv and records100 or records500")
    parser.add_argument("out", type=Path, help="folder of the store to make")
    parser.add_argument("--rate", type=float, default=100, help="sampling rate of the store in Hz")
    parser.add_argument("--workers", type=int, help="processes (default: one a processor)")
    parser.add_argument("--overwrite", action="store_true", help="replace a store that is there")
    options = parser.parse_args()
    try:
        store = prepare(options.source, options.out, options.rate, options.workers, options.overwrite, show)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; run again to go on", file=sys.stderr)
        return 130
    print(f"{len(store)} records at {store.rate:g} Hz in {options.out}, {store.manifest['skipped']} skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
