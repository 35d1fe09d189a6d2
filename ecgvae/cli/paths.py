"""Checks of paths before anything slow is imported: a wrong path is reported without loading torch."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

OTHER_FORMATS = frozenset((".arrow", ".csv", ".edf", ".feather", ".h5", ".hdf5", ".hea", ".json", ".jsonl", ".npy",
                           ".npz", ".parquet", ".pickle", ".pkl", ".pt", ".tsv", ".txt", ".xlsx", ".yaml", ".yml"))


def check_output(path: Path, overwrite: bool, suffix: str = "") -> None:
    """Refuses an output that exists, and a name that ends like a file of another format than `suffix` says.

    Names without a suffix, or with one that is no format's (`run-1.5`), are allowed.
    """
    if suffix and path.suffix.lower() in OTHER_FORMATS - {suffix}:
        raise ValueError(f"{path} ends in {path.suffix}; wanted a name that ends in {suffix}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; use --overwrite")


def check_run(folder: Path, resume: bool) -> None:
    """Refuses to start a run in the folder of another, and to resume a run that does not exist."""
    if os.environ.get("RANK", "0") != "0":      # the first process may have created the folder
        return
    if (folder / "log.csv").exists() and not resume:
        raise FileExistsError(f"{folder} holds a run; use --resume to go on with it or another --out")
    if resume and not (folder / "recipe.json").exists():
        raise FileNotFoundError(f"{folder} holds no run to resume")


def check_model(model: str) -> None:
    """Checks that there is a model of that name or in that folder, with a config.json of a known format."""
    from ecgvae.checkpoint import config

    config(model)


def check_records(sources: Iterable[Path], wanted: str = "a record, a folder of records or a store") -> None:
    """Checks that each source is a record, a store, or a folder with records below it."""
    for source in sources:
        if not source.is_dir():
            check_record(source, wanted)
        elif not is_store(source) and next(source.rglob("*.hea"), None) is None:
            from ecgvae.signal import find_records

            find_records(source)        # raises an error that names other formats


def check_record(path: Path, wanted: str = "a record") -> None:
    """Checks that a path, with or without suffix, is that of a WFDB record."""
    if any(os.path.isfile(header) for header in (f"{path}.hea", path.with_suffix(".hea"))):
        return
    if not path.exists() and not any(path.parent.glob(f"{glob.escape(path.name)}.*")):
        raise FileNotFoundError(f"{path} is not there; wanted {wanted}")
    from ecgvae.signal import find_records

    try:
        find_records(path)      # raises an error that names other formats
    except FileNotFoundError:
        raise ValueError(f"{path} is not WFDB; wanted {wanted}") from None


def check_store(path: Path) -> None:
    """Checks that a path is that of a store."""
    check_exists(path, "a store")
    if not is_store(path):
        raise ValueError(f"{path} is not an ecgvae store: it has no valid manifest.json")


def check_exists(path: Path, wanted: str) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; wanted {wanted}")


def is_store(path: Path) -> bool:
    return (path / "manifest.json").is_file()
