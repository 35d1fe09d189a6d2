"""The folder of a model or a prior: by path or name, and what it says without loading it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.checkpoint.files import config_kind, read_config, read_training_records

if TYPE_CHECKING:
    from ecgvae.data.fingerprints import TrainingRecords
    from ecgvae.signal.amplitudes import Amplitudes

PRETRAINED = Path(__file__).parents[1] / "pretrained"
AUTOENCODER = "autoencoder"     # folder in that of a prior with a copy of its autoencoder


def pretrained() -> list[str]:
    """Names of the models that come with the package."""
    return shipped("model")


def pretrained_priors() -> list[str]:
    """Names of the priors that come with the package."""
    return shipped("prior")


def shipped(kind: str) -> list[str]:
    return sorted(path.parent.name for path in shipped_root(kind).glob("*/config.json"))


def shipped_root(kind: str) -> Path:
    """The folder of the models or priors that come with the package."""
    return PRETRAINED if kind == "model" else PRETRAINED / "priors"


def locate(model: str | Path) -> Path:
    """The folder of a model.

    Args:
        model: A checkpoint folder, the folder of a training run, or the name of a shipped model. A folder that
            exists comes before a name.

    Raises:
        FileNotFoundError: There is neither such a folder nor such a name.
        ValueError: It is the name of a shipped prior.
    """
    return find_folder(model, "model")


def locate_prior(prior: str | Path) -> Path:
    """The folder of a prior; arguments and errors as those of `locate`."""
    return find_folder(prior, "prior")


def find_folder(item: str | Path, kind: str) -> Path:
    """The folder of a model or a prior."""
    folder = Path(item)
    if folder.is_dir():
        inside_run = folder / "model"
        return inside_run if not (folder / "config.json").exists() and (inside_run / "config.json").exists() else folder
    names, other = shipped(kind), "prior" if kind == "model" else "model"
    if str(item) in names:
        return shipped_root(kind) / str(item)
    wanted = " or ".join(["a checkpoint folder", *([f"one of {', '.join(names)}"] if names else [])])
    if str(item) in shipped(other):
        raise ValueError(f"{item} is a {other}; wanted a {kind}: {wanted}")
    raise FileNotFoundError(f"no {kind} {item}; wanted {wanted}")


def model_name(model: str | Path) -> str:
    """The display name of a model: that of its folder, or of its run folder; for a copy in a prior, its own name."""
    folder = locate(model).resolve()
    of_prior = folder.parent / "config.json"
    if folder.name == AUTOENCODER and of_prior.is_file():
        return read_config(of_prior, "prior")["autoencoder"]["name"]
    return folder_name(folder)


def prior_name(prior: str | Path) -> str:
    """The display name of a prior: that of its folder, or of its run folder."""
    return folder_name(locate_prior(prior).resolve())


def folder_name(folder: Path) -> str:
    is_of_run = folder.name == "model" and (folder.parent / "recipe.json").exists()
    return folder.parent.name if is_of_run else folder.name


def config(model: str | Path) -> dict[str, Any]:
    """The checked config.json of a model given by folder or name.

    Raises:
        ValueError: It is missing, damaged or of another format, or it is that of a prior.
    """
    return folder_config(locate(model), "model")


def prior_config(prior: str | Path) -> dict[str, Any]:
    """The checked config.json of a prior given by folder or name; errors as those of `config`."""
    return folder_config(locate_prior(prior), "prior")


def folder_config(folder: Path, kind: str | None) -> dict[str, Any]:
    """The checked config.json in the folder of a model or a prior; None for either."""
    wanted = kind or "model or prior"
    try:
        return read_config(folder / "config.json", kind)
    except FileNotFoundError:
        if (folder / "recipe.json").exists():
            raise ValueError(f"{folder} is a run without a {wanted} yet; finish it with train --resume") from None
        raise ValueError(f"{folder} is not an ecgvae {wanted}: it has no config.json") from None


def find_kind(item: str | Path) -> str:
    """Whether a name, a checkpoint folder or the folder of a run is that of a "model" or a "prior".

    Raises:
        FileNotFoundError: There is neither such a folder nor such a name.
        ValueError: Its config.json is missing, damaged or of another format.
    """
    if Path(item).is_dir():
        return config_kind(folder_config(find_folder(item, "model"), None))
    names = {name: kind for kind in ("model", "prior") for name in shipped(kind)}
    if str(item) not in names:
        raise FileNotFoundError(f"no model or prior {item}; wanted a checkpoint folder or one of {', '.join(names)}")
    return names[str(item)]


def training_records(model: str | Path) -> "TrainingRecords | None":
    """The fingerprints of the records that a model was trained on; None if its checkpoint does not have them.

    Raises:
        ValueError: Their file is damaged.
    """
    return read_training_records(locate(model))


def amplitudes(model: str | Path) -> "Amplitudes | None":
    """The amplitudes of the records that a model was trained on; None if its checkpoint does not have them."""
    from ecgvae.signal.amplitudes import Amplitudes

    values = config(model).get("amplitudes")
    return None if values is None else Amplitudes.model_validate(values)
