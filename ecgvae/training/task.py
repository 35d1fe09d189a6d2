"""What the training loop does not know: the network, its data, its loss, its validation and its checkpoint."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ecgvae.settings import Settings
from ecgvae.training.recipe import TrainingSettings
from ecgvae.training.state import State


class Task(ABC):
    """A training of one kind. The constructor checks that the recipe fits the data.

    Attributes:
        recipe: All settings.
        settings: Those of the loop and its optimizer.
        fingerprint: A hash of all that decides the result besides the recipe: the training data and other models.
        criterion: The value of a validation whose smallest decides which weights are saved, and when a training
            ends early; None saves the last ones.
    """

    recipe: Settings
    settings: TrainingSettings
    fingerprint: str
    criterion: str | None = None

    @abstractmethod
    def init_state(self) -> State:
        """The state before the first step; random numbers come from torch's global generator, which is seeded."""

    @abstractmethod
    def load(self, state: State, run: Path) -> None:
        """Loads the training and validation data; pictures go to the folder of the run."""

    @abstractmethod
    def draw(self, generator: torch.Generator) -> Any:
        """A batch, with a CPU generator as the source of all random numbers."""

    @abstractmethod
    def loss(self, state: State, network: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and values to log.

        Args:
            state: The state, at the step that is taken.
            network: The state's model, possibly compiled or wrapped for several processes.
            batch: A batch of `draw`.
        """

    @abstractmethod
    def validate(self, average: nn.Module, step: int) -> tuple[dict[str, float], Path | None]:
        """Values of a validation by name, none without validation data, and the path of a picture or None."""

    @abstractmethod
    def save(self, average: nn.Module, folder: Path, metrics: dict[str, float]) -> None:
        """Saves the trained network with facts about its training."""
