"""Early checks of paths: a wrong path is reported before torch is loaded."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

OTHER_FORMATS = frozenset((".arrow", ".csv", ".edf", ".feather", ".h5", ".hdf5", ".hea", ".json", ".jsonl", ".npy",
                           ".npz", ".parquet", ".pickle", ".pkl", ".pt", ".tsv", ".txt", ".xlsx", ".yaml", ".yml"))


def check_output(path: Path, overwrite: bool, suffix: str = "") -> None:
    """Checks that an output does not exist or may be overwritten, and that its suffix is not that of another format.

    Names without a suffix, or with an unknown one (`run-1.5`), are allowed.
    """
    from ecgvae.files import check_free

    if suffix and path.suffix.lower() in OTHER_FORMATS - {suffix}:
        raise ValueError(f"{path} ends in {path.suffix}; wanted a name that ends in {suffix}")
    if suffix and path.is_dir():
        raise ValueError(f"{path} is a folder; wanted a name that ends in {suffix}")
    check_free(path, overwrite)


def check_file_output(path: Path, overwrite: bool, suffix: str, inputs: Iterable[Path] = (),
                      outputs: Iterable[Path] = ()) -> None:
    """Checks an output like `check_output`; it must be another file than the inputs and other outputs, outside these.

    Its folder is created.
    """
    check_output(path, overwrite, suffix)
    for others, role in ((inputs, "an input"), (outputs, "the output")):
        for other in others:
            if path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other)):
                raise ValueError(f"{path} is also {role}; wanted another file")
            if path.resolve().is_relative_to(other.resolve()):
                raise ValueError(f"{path} is in {other}, which is {role}; wanted another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"{path} can't be written")


def check_run(folder: Path, resume: bool) -> None:
    """Checks that the folder of a new run has no other run, or that a run to resume exists."""
    from ecgvae.training.folder import check_run_folder

    if os.environ.get("RANK", "0") == "0":      # for other processes, the first one may have created the folder
        check_run_folder(folder, resume)


def check_model(model: str) -> None:
    """Checks that a model of this name or in this folder exists, with a config.json of a known format."""
    from ecgvae.checkpoint import config

    config(model)


def check_prior(prior: str) -> None:
    """Checks that a prior of this name or in this folder exists, with a config.json of a known format."""
    from ecgvae.checkpoint import prior_config

    prior_config(prior)


def check_model_or_prior(item: str) -> str:
    """Checks that there is a model or a prior of this name or in this folder; returns which of them it is."""
    from ecgvae.checkpoint import find_kind

    return find_kind(item)


def check_records(sources: Iterable[Path], wanted: str = "a record, a folder of records or a store") -> None:
    """Checks that each source is a record, a store, or a folder with records below it."""
    for source in sources:
        if not source.is_dir():
            check_record(source, wanted)
        elif not is_store(source) and next(source.rglob("*.hea"), None) is None:
            from ecgvae.signal import find_records

            find_records(source)        # its error message names other formats


def check_record(path: Path, wanted: str = "a record") -> None:
    """Checks that there is one WFDB record at a path with or without suffix."""
    if any(os.path.isfile(header) for header in (f"{path}.hea", path.with_suffix(".hea"))):
        return
    if not path.exists() and not any(path.parent.glob(f"{glob.escape(path.name)}.*")):
        raise FileNotFoundError(f"{path} is not there; wanted {wanted}")
    from ecgvae.signal import find_records

    if path.is_dir():
        from ecgvae.inspection import check_no_folder_of_records

        check_no_folder_of_records(path)
    try:
        find_records(path)      # its error message names other formats
    except FileNotFoundError:
        raise ValueError(f"{path} is not WFDB; wanted {wanted}") from None


def check_store(path: Path) -> None:
    """Checks that there is a valid store at a path."""
    from ecgvae.data.store import Store

    Store(path)


def check_exists(path: Path, wanted: str) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; wanted {wanted}")


def is_store(path: Path) -> bool:
    return (path / "manifest.json").is_file()
