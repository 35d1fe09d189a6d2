"""Adversarial training: discriminators that learn beside the model, and what they add to its loss.

A VQ-VAE trained with it is a VQGAN (Esser et al. 2021); the trained model is the same class with or without.
"""

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, distributed, nn

from ecgvae.nn.discriminator import Discriminators
from ecgvae.signal import SignalSpec

LARGEST = 1e4       # of the adaptive weight, where the adversary's gradient vanishes
TERMS = ("adversarial", "feature_matching", "adaptive_weight", "discriminator")     # in the log
Signals, Loss = Float[Tensor, "b c t"], Float[Tensor, ""]
Maps = list[list[Tensor]]       # of every discriminator, the last its logits


class AdversarialSettings(BaseModel):
    """When and how hard the discriminators press: not at all until step `start`, then more over `ramp` steps.

    They learn from `start` on. `weight` is the adversary's gradient over the reconstruction's, in norm at the
    decoder's last weights; `feature_matching` is that term's weight beside the adversarial one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: float = Field(0.5, gt=0)
    feature_matching: float = Field(4.0, ge=0)
    start: int = Field(2000, ge=0)
    ramp: int = Field(1000, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    width: int = Field(16, ge=1, le=1024)


class Adversary:
    """Discriminators with their optimizer; `challenge` is one step of theirs and gives the model's cost."""

    def __init__(self, signal: SignalSpec, settings: AdversarialSettings, device: torch.device | str = "cpu"):
        self.settings, self.scale = settings, signal.scale
        self.discriminators = Discriminators(len(signal.coded), settings.width).to(device)
        parameters = self.discriminators.parameters()
        self.optimizer = torch.optim.Adam(parameters, settings.learning_rate, betas=(0.5, 0.9))

    def challenge(self, step: int, real: Signals, fake: Signals, reconstruction: Loss,
                  last: nn.Parameter) -> tuple[Loss, dict[str, Tensor]]:
        """What to add to `reconstruction`, the loss of `fake`, and terms by name; the discriminators learn.

        Both sides see them as they were, so one pass through them serves both. No gradient is left behind.
        """
        weight = self.weight(step)
        if not weight:
            zero = reconstruction.new_zeros(())
            return zero, dict.fromkeys(TERMS, zero)
        made = fake.detach().requires_grad_()
        maps = self.discriminators(real / self.scale), self.discriminators(made / self.scale)
        adversarial, matching = generator_hinge(maps[1]), feature_matching(*maps)
        objective = adversarial + self.settings.feature_matching * matching
        gradient, = torch.autograd.grad(objective, made, retain_graph=True)
        balance = adaptive_weight(reconstruction, fake, gradient, last)
        judgement = self.learn(discriminator_hinge(*maps))
        pull = ((fake - made.detach()) * gradient).sum()    # zero, with the objective's gradient
        cost = weight * balance * (objective.detach() + pull)
        terms = (adversarial, matching, balance, judgement)
        return cost, {name: term.detach() for name, term in zip(TERMS, terms, strict=True)}

    def weight(self, step: int) -> float:
        """Zero up to `start`, then linear up to the full weight."""
        return self.settings.weight * min(1.0, max(0, step - self.settings.start) / self.settings.ramp)

    def learn(self, loss: Loss) -> Loss:
        """One step of the discriminators, alike in every process."""
        parameters = list(self.discriminators.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = mean_of_processes(gradient)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def state_dict(self) -> dict:
        return {"discriminators": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.discriminators.load_state_dict(state["discriminators"])
        self.optimizer.load_state_dict(state["optimizer"])


def discriminator_hinge(real: Maps, fake: Maps) -> Loss:
    """Real logits belong above 1 and made ones below -1 (Lim and Ye 2017); the mean of all discriminators."""
    return torch.stack([(1 - ours[-1].float()).relu().mean() + (1 + theirs[-1].float()).relu().mean()
                        for ours, theirs in zip(real, fake, strict=True)]).mean()


def generator_hinge(fake: Maps) -> Loss:
    """The model wants its logits high (Lim and Ye 2017)."""
    return -torch.stack([maps[-1].float().mean() for maps in fake]).mean()


def feature_matching(real: Maps, fake: Maps) -> Loss:
    """Distance of the hidden maps over the real ones' level, as in EnCodec (Défossez et al. 2022)."""
    def distance(ours: Tensor, theirs: Tensor) -> Tensor:
        ours, theirs = ours.detach().float(), theirs.float()
        return (ours - theirs).abs().mean() / (ours.abs().mean() + 1e-6)
    return torch.stack([distance(*pair) for maps in zip(real, fake, strict=True)
                        for pair in list(zip(*maps, strict=True))[:-1]]).mean()


def adaptive_weight(reconstruction: Loss, fake: Signals, gradient: Signals, last: nn.Parameter) -> Loss:
    """Norm of the reconstruction's gradient at `last` over the adversary's (Esser et al. 2021, eq. 7).

    `gradient` is the adversary's at `fake`.
    """
    ours, = torch.autograd.grad(reconstruction, last, retain_graph=True)
    theirs, = torch.autograd.grad(fake, last, gradient, retain_graph=True)
    ratio = mean_of_processes(ours).norm() / (mean_of_processes(theirs).norm() + 1e-6)
    return ratio.clamp(max=LARGEST)


def mean_of_processes(x: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(x)
        x = x / distributed.get_world_size()
    return x
