"""The state of a run between two steps, and its file state.pt, which is checked when it is read."""

import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from ecgvae.files import check_regular, write_atomically
from ecgvae.legacy import rename_weights
from ecgvae.settings import describe_error
from ecgvae.training.adversarial import Adversary

# What zipfile and torch.load raise for a damaged file.
LOAD_ERRORS = (zipfile.BadZipFile, struct.error, RuntimeError, UnpicklingError, EOFError, ValueError, TypeError,
               AttributeError, LookupError, OverflowError, AssertionError, ImportError)
ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")      # of torch.optim.Adam
MUON_KERNEL_STATE, MUON_VECTOR_STATE = ("momentum",), ("step", "first", "second")


class OptimizerState(BaseModel):
    """The state dict of an optimizer. Its `param_groups` are not used: the recipe has their values."""

    model_config = ConfigDict(arbitrary_types_allowed=True, strict=True)

    state: dict[int, dict[str, Tensor]]


class AdversaryState(BaseModel):
    """The state dict of an adversary."""

    model_config = ConfigDict(arbitrary_types_allowed=True, strict=True)

    discriminators: dict[str, Tensor]
    optimizer: OptimizerState


class BestState(BaseModel):
    """The best weights so far, see `Best`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, strict=True)

    value: float
    step: int = Field(ge=1)
    weights: dict[str, Tensor]


class SavedState(BaseModel):
    """The values in state.pt."""

    model_config = ConfigDict(arbitrary_types_allowed=True, strict=True)

    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: OptimizerState
    store: str
    step: int = Field(ge=1)
    adversary: AdversaryState | None = None
    best: BestState | None = None


@dataclass(frozen=True)
class Best:
    """The averaged weights with the lowest value of a validation."""

    value: float
    step: int
    weights: dict[str, Tensor]


@dataclass
class State:
    """The state of a run between two steps."""

    model: nn.Module
    average: nn.Module          # exponential moving average of the model, which is validated and saved
    optimizer: torch.optim.Optimizer
    store: str                  # fingerprint of the training data, see `Task.fingerprint`
    adversary: Adversary | None = None
    step: int = 0
    best: Best | None = None

    def values(self) -> dict[str, Any]:
        """The values in state.pt."""
        components: dict[str, Any] = {"model": self.model, "average": self.average, "optimizer": self.optimizer}
        if self.adversary:
            components["adversary"] = self.adversary
        best = {"best": vars(self.best)} if self.best else {}
        return {name: part.state_dict() for name, part in components.items()} | best | {"store": self.store,
                                                                                       "step": self.step}

    def keep_best(self, value: float) -> None:
        """Keeps a copy of the averaged weights if a value of their validation is the lowest so far."""
        if self.best is None or value < self.best.value:
            weights = {name: tensor.clone() for name, tensor in self.average.state_dict().items()}
            self.best = Best(value, self.step, weights)

    def check_finite(self) -> None:
        """Raises ValueError if any number of the state is NaN or infinite: the training has diverged."""
        if name := nonfinite(self.values()):
            raise ValueError(f"the training has diverged: {name} has NaN or infinity after step {self.step}, which is "
                             "not saved; wanted a lower learning_rate")

    def save(self, path: Path) -> None:
        """Writes the state atomically.

        Raises:
            OSError: It can't be written.
            ValueError: A number of it is not finite. The file that is there stays.
        """
        self.check_finite()
        values = self.values()
        try:
            write_atomically(path, lambda partial: torch.save(values, partial))
        except RuntimeError as error:   # what torch raises on a full disk
            raise OSError(f"{path} can't be written; is the disk full? ({str(error).splitlines()[0]})") from error

    def load(self, path: Path, steps: int) -> None:
        """Loads a saved state, of this version or an earlier one.

        Args:
            path: The file.
            steps: The number of steps of the whole run.

        Raises:
            ValueError: The file is damaged, or of another recipe or store, or of a training that diverged.
        """
        saved = read_state(path)
        if saved.store != self.store:
            raise ValueError(f"{path} is of other data; wanted those that the run was started with")
        if saved.step > steps:
            raise ValueError(f"{path} has step {saved.step}; wanted one of the run's {steps}")
        try:
            self.restore(saved)
        except ValueError as error:
            raise ValueError(f"{path} is damaged, or not of this recipe: {error}") from None
        if name := nonfinite(self.values()):
            raise ValueError(f"{path} has {name} with NaN or infinity: the training diverged; start it again with a "
                             "lower learning_rate")

    def restore(self, saved: SavedState) -> None:
        """Takes the values of a saved state; ValueError, which names the first value that does not fit."""
        for name, module in (("model", self.model), ("average", self.average)):
            restore_module(module, rename_weights(getattr(saved, name)), name)
        restore_optimizer(self.optimizer, saved.optimizer, "optimizer")
        if (self.adversary is None) != (saved.adversary is None):
            raise ValueError("only one of the recipe and the state has an adversary")
        if self.adversary and saved.adversary:
            restore_module(self.adversary.discriminators, saved.adversary.discriminators, "discriminators")
            restore_optimizer(self.adversary.optimizer, saved.adversary.optimizer, "optimizer of the adversary")
        if saved.best:
            restore_module(self.average, saved.best.weights, "best.weights")    # checks them
            self.best = Best(saved.best.value, saved.best.step, saved.best.weights)
            restore_module(self.average, rename_weights(saved.average), "average")
        self.step = saved.step


def read_state(path: Path) -> SavedState:
    """The values in a file state.pt; ValueError if it is damaged. Nothing in it is executed.

    The file is a ZIP archive with a checksum of each of its entries, which torch does not look at.
    """
    check_regular(path, "the state of a run")
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("torch does not compress")
            if damaged := archive.testzip():
                raise ValueError(f"wrong checksum of {damaged}")
        values = torch.load(path, weights_only=True, map_location="cpu")
    except LOAD_ERRORS:
        raise ValueError(f"{path} is damaged; wanted the state of this run") from None
    try:
        return SavedState.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {describe_error(error)}") from None


def restore_module(module: nn.Module, saved: Mapping[str, Tensor], name: str) -> None:
    """Copies weights and buffers into a module; ValueError unless they have its names, shapes and types."""
    own = module.state_dict()
    check_names(own, saved, name)
    for key, value in own.items():
        check_like(saved[key], value, f"{name}.{key}")
    module.load_state_dict(dict(saved))


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: OptimizerState, name: str) -> None:
    """Takes the statistics of an optimizer; ValueError unless they have the names and shapes for its parameters."""
    parameters = [(parameter, statistic_names(group)) for group in optimizer.param_groups
                  for parameter in group["params"]]
    for index, statistics in saved.state.items():
        if not 0 <= index < len(parameters):
            raise ValueError(f"{name} has parameter {index} of {len(parameters)}")
        parameter, names = parameters[index]
        check_names(names, statistics, f"{name}.{index}")
        for key, value in statistics.items():
            check_like(value, torch.zeros(()) if key == "step" else parameter, f"{name}.{index}.{key}")
    optimizer.load_state_dict({"state": saved.state, "param_groups": optimizer.state_dict()["param_groups"]})


def statistic_names(group: Mapping[str, Any]) -> tuple[str, ...]:
    """What Muon, or Adam for discriminators, keeps for each parameter of a group."""
    if "kernels" not in group:
        return ADAM_STATE
    return MUON_KERNEL_STATE if group["kernels"] else MUON_VECTOR_STATE


def check_names(wanted: Any, received: Mapping[str, Any], name: str) -> None:
    """Raises ValueError if the names of some values differ from those wanted."""
    if different := sorted(set(wanted) ^ set(received)):
        raise ValueError(f"{name} {'lacks' if different[0] in wanted else 'has the unknown'} {different[0]:.60}")


def check_like(value: Tensor, wanted: Tensor, name: str) -> None:
    """Raises ValueError unless a value is a plain tensor of the shape and type of another."""
    if value.shape != wanted.shape or value.dtype != wanted.dtype:
        raise ValueError(f"{name} is {value.dtype} {tuple(value.shape)}; wanted {wanted.dtype} {tuple(wanted.shape)}")
    if value.is_meta or value.layout != torch.strided:
        raise ValueError(f"{name} holds no numbers")


def nonfinite(values: Mapping[str, Any]) -> str | None:
    """The dotted name of the first tensor in nested dictionaries that holds NaN or infinity."""
    tensors = ((name, value) for name, value in named_tensors(values) if value.is_floating_point())
    return next((name for name, value in tensors if not bool(value.isfinite().all())), None)


def named_tensors(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested dictionaries with their dotted names."""
    for key, value in values.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from named_tensors(value, f"{prefix}{key}.")
