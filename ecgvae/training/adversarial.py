"""Adversarial training: discriminators that are trained with the model, and the term that they add to its loss.

A VQ-VAE that is trained this way is a VQGAN (Esser et al. 2021); the trained model is still a VQVAE.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, distributed, nn

from ecgvae.nn.discriminator import Discriminators
from ecgvae.nn.distributed import all_reduce, is_distributed
from ecgvae.settings import Settings
from ecgvae.signal import SignalSpec

MAX_ADAPTIVE_WEIGHT = 1e4       # reached where the gradient of the adversarial loss vanishes
LOG_COLUMNS = ("adversarial", "feature_matching", "adaptive_weight", "discriminator")
Signals: TypeAlias = Float[Tensor, "b c t"]
Loss: TypeAlias = Float[Tensor, ""]
Maps: TypeAlias = list[list[Tensor]]       # the feature maps of each discriminator; its last map has the logits


class AdversarialSettings(Settings):
    """Settings of adversarial training.

    The discriminators are trained after step `start`. The weight of the generator loss is 0 up to that step, then rises
    linearly to `weight` over `ramp` steps.

    Attributes:
        weight: Norm of the generator loss's gradient at the decoder's last layer, relative to that of the other losses.
        feature_matching: Weight of the feature matching term relative to the adversarial term.
        start: Step after which the discriminators are used.
        ramp: Steps in which the weight rises.
        learning_rate: Learning rate of the discriminators (Adam).
        width: Number of channels of a discriminator's first layer.
    """

    weight: float = Field(0.5, gt=0, le=1e9)
    feature_matching: float = Field(4.0, ge=0, le=1e9)
    start: int = Field(2000, ge=0)
    ramp: int = Field(1000, ge=1)
    learning_rate: float = Field(2e-3, gt=0, le=1e3)
    width: int = Field(16, ge=1, le=1024)


class Adversary:
    """The discriminators and their optimizer."""

    def __init__(self, signal: SignalSpec, settings: AdversarialSettings, device: torch.device | str = "cpu"):
        self.settings, self.scale = settings, signal.scale
        self.discriminators = Discriminators(len(signal.coded), settings.width).to(device)
        parameters = self.discriminators.parameters()
        self.optimizer = torch.optim.Adam(parameters, settings.learning_rate, betas=(0.5, 0.9))

    def generator_loss(self, step: int, real: Signals, fake: Signals, reconstruction: Loss,
                       last_layer: nn.Parameter) -> tuple[Loss, dict[str, Tensor]]:
        """Computes the adversarial part of the model's loss, and takes a step of the discriminators on the same batch.

        Both use the same pass through the discriminators, whose step comes after the model's gradient is computed.

        Args:
            step: Number of the training step.
            real: The true signals in mV.
            fake: The model's reconstructions of them in mV.
            reconstruction: The sum of the model's other losses, for the adaptive weight.
            last_layer: The weights of the decoder's last layer.

        Returns:
            The term to add to `reconstruction`, and the values of `LOG_COLUMNS`.
        """
        weight = self.weight(step)
        if not weight:
            zero = reconstruction.new_zeros(())
            return zero, dict.fromkeys(LOG_COLUMNS, zero)
        detached = fake.detach().requires_grad_()
        real_maps, fake_maps = self.discriminators(real / self.scale), self.discriminators(detached / self.scale)
        adversarial, matching = generator_hinge(fake_maps), feature_matching(real_maps, fake_maps)
        objective = adversarial + self.settings.feature_matching * matching
        gradient, = torch.autograd.grad(objective, detached, retain_graph=True)
        balance = adaptive_weight(reconstruction, fake, gradient, last_layer)
        discriminator = self.discriminator_step(discriminator_hinge(real_maps, fake_maps))
        surrogate = ((fake - detached.detach()) * gradient).sum()   # zero, with the objective's gradient
        loss = weight * balance * (objective.detach() + surrogate)
        terms = (adversarial, matching, balance, discriminator)
        return loss, {name: term.detach() for name, term in zip(LOG_COLUMNS, terms, strict=True)}

    def weight(self, step: int) -> float:
        """Weight of the generator loss at a step: zero up to `start`, then a linear rise to the full weight."""
        return self.settings.weight * min(1.0, max(0, step - self.settings.start) / self.settings.ramp)

    def discriminator_step(self, loss: Loss) -> Loss:
        """Takes one optimizer step of the discriminators, the same in every process; returns the loss."""
        parameters = list(self.discriminators.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = all_reduce_mean(gradient)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def state_dict(self) -> dict:
        return {"discriminators": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.discriminators.load_state_dict(state["discriminators"])
        self.optimizer.load_state_dict(state["optimizer"])


def discriminator_hinge(real: Maps, fake: Maps) -> Loss:
    """The hinge loss (Lim and Ye 2017), averaged over discriminators.

    It is zero where real logits are above 1 and fake ones below -1.
    """
    return torch.stack([(1 - real_maps[-1].float()).relu().mean() + (1 + fake_maps[-1].float()).relu().mean()
                        for real_maps, fake_maps in zip(real, fake, strict=True)]).mean()


def generator_hinge(fake: Maps) -> Loss:
    """The generator's loss: minus the mean logit of the fake signals (Lim and Ye 2017)."""
    return -torch.stack([maps[-1].float().mean() for maps in fake]).mean()


def feature_matching(real: Maps, fake: Maps) -> Loss:
    """Mean distance of the hidden maps relative to the magnitude of the real ones (Défossez et al. 2022, EnCodec)."""
    def distance(real_map: Tensor, fake_map: Tensor) -> Tensor:
        real_map, fake_map = real_map.detach().float(), fake_map.float()
        return (real_map - fake_map).abs().mean() / (real_map.abs().mean() + 1e-6)
    return torch.stack([distance(*pair) for maps in zip(real, fake, strict=True)
                        for pair in list(zip(*maps, strict=True))[:-1]]).mean()


def adaptive_weight(reconstruction: Loss, fake: Signals, gradient: Signals, last_layer: nn.Parameter) -> Loss:
    """Ratio of two gradient norms at the last layer, reconstruction to adversary (Esser et al. 2021, eq. 7).

    Args:
        reconstruction: The loss without the adversary.
        fake: The model's output.
        gradient: The gradient of the adversarial objective at `fake`.
        last_layer: The weights of the decoder's last layer.
    """
    reconstruction_gradient, = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)
    adversary_gradient, = torch.autograd.grad(fake, last_layer, gradient, retain_graph=True)
    ratio = all_reduce_mean(reconstruction_gradient).norm() / (all_reduce_mean(adversary_gradient).norm() + 1e-6)
    return ratio.clamp(max=MAX_ADAPTIVE_WEIGHT)


def all_reduce_mean(x: Tensor) -> Tensor:
    """The mean over processes; changes x. A single process gets x itself."""
    all_reduce(x)
    return x / distributed.get_world_size() if is_distributed() else x
