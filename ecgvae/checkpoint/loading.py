"""Loading a model from its folder, with all checks; nothing in it could run code."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ecgvae.checkpoint.checks import check_facts, facts, nonfinite_weight
from ecgvae.checkpoint.files import MAX_HEADER_BYTES, read_weights
from ecgvae.checkpoint.folders import config, locate
from ecgvae.wording import one_line

if TYPE_CHECKING:
    import torch

    from ecgvae.models import Autoencoder

Module = TypeVar("Module", bound="torch.nn.Module")


def load(model: str | Path, device: str = "cpu") -> "Autoencoder":
    """Loads a model of any family, in evaluation mode.

    Memory use is bounded by the file of weights, even if config.json asks for more.

    Args:
        model: The name of a shipped model, a checkpoint folder, or the folder of a training run.
        device: A device by torch's name, or "auto" for a GPU if there is one.

    Raises:
        FileNotFoundError: There is no such model.
        ValueError: It is damaged, its weights do not fit its settings or are not finite, or torch cannot use the
            device.

    Example:
        >>> model = ecgvae.load("ptbxl-vae-conv")
        >>> z = model.encode(torch.zeros(1, 8, 1000))       # (batch, coded leads, samples) in mV
    """
    from ecgvae.legacy import rename_weights
    from ecgvae.models import build

    folder = locate(model)
    settings, target = settings_of(folder), select_device(device)
    module = load_module(folder, lambda: build(settings), rename_weights)
    check_facts(facts(module), config(folder), folder)
    return module.eval().to(target)


def load_module(folder: Path, build: "Callable[[], Module]", rename: Callable[[Any], dict] = dict) -> "Module":
    """Builds a module and gives it the weights in its folder, in memory that is bounded by their file.

    Args:
        folder: The folder.
        build: Builds the module; it is called on the device meta.
        rename: Gives the weights of a file their current names.

    Raises:
        ValueError: The weights are damaged, do not fit the module, or are not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    path = folder / "model.safetensors"
    try:
        with torch.device("meta"):      # takes no memory for weights, however many the settings ask for
            module = build()
        wanted = module.state_dict()
        most_bytes = MAX_HEADER_BYTES + 2 * sum(value.nbytes for value in wanted.values())
        module.load_state_dict(rename(from_bytes(read_weights(folder, most_bytes))), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit its config.json: {one_line(error, 200)}") from None
    for name, value in module.state_dict().items():
        if value.dtype != wanted[name].dtype:
            raise ValueError(f"{path} has {name} in {value.dtype}; wanted {wanted[name].dtype}")
    if bad := nonfinite_weight(module):
        raise ValueError(f"{path} has {bad} with NaN or infinity; wanted finite weights")
    return module


def settings_of(folder: Path) -> Any:
    """The settings of the model in a folder."""
    from ecgvae.models import parse_settings

    try:
        return parse_settings(config(folder)["model"])
    except ValueError as error:
        if str(error).startswith("model"):
            path = folder / "config.json"
            raise ValueError(f"{path} has settings that this version does not know: {error}") from None
        raise


def select_device(device: str) -> "torch.device":
    """The device of a name, where "auto" is a GPU if there is one; ValueError if torch cannot compute on it."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        x = torch.zeros(1, device=device)
        (x + 1).cpu()       # a device without values, such as meta, fails here
    except (RuntimeError, AssertionError, ImportError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"device {one_line(device, 60)}: {one_line(error, 120)}") from None
    return x.device
