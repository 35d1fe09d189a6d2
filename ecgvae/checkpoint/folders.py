"""The folder of a model: by path or name, and what it says without loading the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.checkpoint.files import read_config, read_training_records

if TYPE_CHECKING:
    from ecgvae.data.fingerprints import TrainingRecords
    from ecgvae.signal.amplitudes import Amplitudes

PRETRAINED = Path(__file__).parents[1] / "pretrained"


def pretrained() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(model: str | Path) -> Path:
    """The folder of a model.

    Args:
        model: A checkpoint folder, the folder of a training run, or the name of a shipped model. A folder that
            exists comes before a name.

    Raises:
        FileNotFoundError: There is neither such a folder nor such a name.
    """
    folder = Path(model)
    if folder.is_dir():
        inside_run = folder / "model"
        return inside_run if not (folder / "config.json").exists() and (inside_run / "config.json").exists() else folder
    if str(model) in pretrained():
        return PRETRAINED / str(model)
    names = pretrained()
    raise FileNotFoundError(f"no model {model}; wanted a checkpoint folder or one of {', '.join(names)}")


def model_name(model: str | Path) -> str:
    """The display name of a model: that of its folder, or of its run folder."""
    folder = locate(model).resolve()
    is_of_run = folder.name == "model" and (folder.parent / "recipe.json").exists()
    return folder.parent.name if is_of_run else folder.name


def config(model: str | Path) -> dict[str, Any]:
    """The checked config.json of a model given by folder or name.

    Raises:
        ValueError: It is missing, damaged or of another format.
    """
    folder = locate(model)
    try:
        return read_config(folder / "config.json")
    except FileNotFoundError:
        if (folder / "recipe.json").exists():
            raise ValueError(f"{folder} is a run without a model yet; finish it with train --resume") from None
        raise ValueError(f"{folder} is not an ecgvae model: it has no config.json") from None


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
