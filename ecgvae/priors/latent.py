"""Latent diffusion: a transformer that turns noise into the continuous latent of an autoencoder (Rombach et al. 2022).

Latents are standardized in each channel. Frames that are given come in without noise and with a mark, in training too,
so that the rest is drawn under them, whether it is a continuation or a gap.

Shapes: b batch, d channels of the latent, n frames.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ecgvae.codebooks import LatentSpec
from ecgvae.models.backbone import Width
from ecgvae.nn.modulated import ModulatedTransformer
from ecgvae.priors.embedding import ConditionEmbedding
from ecgvae.priors.prior import LatentPrior, PriorSettings
from ecgvae.priors.processes import PROCESSES
from ecgvae.priors.sampling import DEFAULT_SAMPLING, SamplingSettings

MIN_STD = 1e-6      # of a channel that does not vary


class LatentSettings(PriorSettings):
    """A flow ("flow") or Gaussian diffusion ("ddpm") over frames of a latent, by a transformer.

    Attributes:
        process: Of `ecgvae.priors.processes.PROCESSES`.
        times: Distribution of the times of training; "logit-normal" has few near data and noise (Esser et al. 2024,
            eq. 19).
        window: Frames on either side that a frame attends to.
        embedding_width: Channels of the embedding of time and condition.
        given_frames: Share of the training latents of which all frames are given but those of a random span.
    """

    kind: Literal["latent"] = "latent"
    process: Literal["flow", "ddpm"] = "flow"
    times: Literal["logit-normal", "uniform"] = "logit-normal"
    width: Width = 160
    layers: int = Field(6, ge=1, le=64)
    heads: int = Field(5, ge=1, le=64)
    window: int = Field(128, ge=1, le=4096)
    embedding_width: Width = 64
    dropout: float = Field(0.0, ge=0, lt=1)
    given_frames: float = Field(0.2, ge=0, le=1)


class LatentDiffusionPrior(LatentPrior):
    """A diffusion or flow over latents, which `prepare` standardizes before training."""

    options = frozenset({"temperature", "guidance", "steps", "solver"})
    mean: Tensor
    std: Tensor

    def __init__(self, settings: LatentSettings, latent: LatentSpec):
        super().__init__(settings, latent)
        self.process = PROCESSES[settings.process]
        self.register_buffer("mean", torch.zeros(latent.channels, 1))
        self.register_buffer("std", torch.ones(latent.channels, 1))
        self.condition_embedding = ConditionEmbedding(settings.condition, settings.embedding_width)
        self.network = ModulatedTransformer(latent.channels + 1, latent.channels, settings.width, settings.layers,
                                            settings.heads, settings.window, settings.embedding_width,
                                            settings.dropout)

    @torch.no_grad()
    def prepare(self, z: Float[Tensor, "b d n"]) -> None:
        """Measures mean and standard deviation of every channel, once before training.

        Args:
            z: Latents of training records, some thousand frames or more.
        """
        self.check_latents(z)
        self.mean.copy_(z.mean((0, 2)).unsqueeze(1))
        self.std.copy_(z.std((0, 2), correction=0).clamp(min=MIN_STD).unsqueeze(1))

    def loss(self, z: Float[Tensor, "b d n"], condition: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        """The mean squared error of the network's target over the frames that are not given, at random times."""
        self.check_latents(z)
        x_0 = (z - self.mean) / self.std
        t, noise = self.training_times(len(z)), torch.randn_like(x_0)
        x_t, target = self.process.noised(x_0, noise, t)
        given = self.training_given(len(z), z.shape[2]).unsqueeze(1)
        error = self.predict(x_t, t, self.training_condition(condition), given, x_0) - target
        return error.square().masked_fill(given, 0).sum() / ((~given).sum() * z.shape[1])

    def training_times(self, count: int) -> Float[Tensor, "b"]:
        """Random times, spread evenly over the items of a batch (Kingma et al. 2021, appendix I.1)."""
        u = (torch.rand((), device=self.device) + torch.arange(count, device=self.device) / count) % 1
        return self.process.time(u if self.settings.times == "uniform" else torch.special.ndtri(u).sigmoid())

    def training_given(self, count: int, frames: int) -> Bool[Tensor, "b n"]:
        """The given frames of training: of some items all but a span. Half of the spans reach to the last frame."""
        device = self.device
        first, last = (torch.rand(2, count, 1, device=device) * frames).floor().sort(0).values
        last = last.where(torch.rand(count, 1, device=device) < 0.5, frames)
        frame = torch.arange(frames, device=device)
        share = self.settings.given_frames if self.training else 0
        return ((frame < first) | (frame > last)) & (torch.rand(count, 1, device=device) < share)

    def predict(self, x: Float[Tensor, "b d n"], t: Float[Tensor, "b"], condition: Float[Tensor, "b k"] | None,
                given: Bool[Tensor, "b 1 n"], x_0: Float[Tensor, "b d n"]) -> Float[Tensor, "b d n"]:
        """The network's output for noised latents x and the given frames of x_0."""
        inputs = torch.cat([x_0.where(given, x), given.to(x)], 1).mT
        return self.network(inputs, t, self.condition_embedding(condition, len(x))).mT.to(x)

    @torch.inference_mode()
    def sample(self, count: int, frames: int, condition: Float[Tensor, "b k"] | None = None,
               generator: torch.Generator | None = None, settings: SamplingSettings = DEFAULT_SAMPLING,
               given: Float[Tensor, "b d m"] | None = None) -> Float[Tensor, "b d n"]:
        """Draws latents; a temperature scales all noise, which is exact for Gaussian latents.

        Evaluations of the network number `settings.steps` or, of Heun's method, one fewer if that is even. Given
        frames that are NaN are drawn, as are all after those given.
        """
        solver, steps = self.solver(settings)
        z, is_given = self.given_frames(count, frames, given)
        x_0, generators = (z - self.mean) / self.std, sample_generators(count, generator)

        def draw_noise() -> Tensor:
            noise = [torch.randn(z.shape[1:], generator=generator) for generator in generators]
            return settings.temperature * torch.stack(noise).to(z)

        network = self.guided(condition, settings.guidance, is_given, x_0)
        x = self.process.sample(network, draw_noise, solver, steps)
        return z.where(is_given, x * self.std + self.mean)

    def guided(self, condition: Float[Tensor, "b k"] | None, guidance: float, given: Bool[Tensor, "b 1 n"],
               x_0: Float[Tensor, "b d n"]) -> Callable[[Tensor, float], Tensor]:
        """The network as a function of x and t, moved away from itself without condition (Ho and Salimans 2022, eq. 6).
        """
        def network(x: Tensor, t: float) -> Tensor:
            return self.predict(x, x.new_full((len(x),), t), condition, given, x_0)
        if guidance == 1 or condition is None:
            return network
        conditions = torch.cat([condition, torch.zeros_like(condition)])
        given, x_0 = given.repeat(2, 1, 1), x_0.repeat(2, 1, 1)

        def doubled(x: Tensor, t: float) -> Tensor:
            times = x.new_full((2 * len(x),), t)
            conditional, unconditional = self.predict(x.repeat(2, 1, 1), times, conditions, given, x_0).chunk(2)
            return unconditional + guidance * (conditional - unconditional)
        return doubled

    def solver(self, settings: SamplingSettings) -> tuple[str, int]:
        """The solver and the number of its network evaluations; ValueError if the process has no such solver."""
        solvers, process = self.process.solvers, self.settings.process
        solver = settings.solver or next(iter(solvers))
        if solver not in solvers:
            raise ValueError(f"solver {solver} for a prior with process {process}; wanted {' or '.join(solvers)}")
        steps = settings.steps or solvers[solver]
        if steps > self.process.max_steps:
            raise ValueError(f"{steps} steps of {solver}; wanted at most {self.process.max_steps}")
        return solver, steps

    def given_frames(self, count: int, frames: int, given: Float[Tensor, "b d m"] | None
                     ) -> tuple[Float[Tensor, "b d n"], Bool[Tensor, "b 1 n"]]:
        """Latents that have the given frames and zeros elsewhere, and where these frames are."""
        if count < 1 or frames < 1:
            raise ValueError(f"{count} samples of {frames} frames; wanted 1 or more")
        z = self.mean.new_full((count, self.latent.channels, frames), torch.nan)
        if given is not None:
            if given.shape[:2] != z.shape[:2] or given.shape[2] > frames:
                raise ValueError(f"given latents of shape {tuple(given.shape)}; wanted {tuple(z.shape)} or fewer "
                                 "frames")
            z[..., :given.shape[2]] = given
        is_given = ~z.isnan().any(1, keepdim=True)
        if bool((~z.isnan() & ~is_given).any() | z.isinf().any()):
            raise ValueError("given latents have infinite numbers or frames with some of their numbers; wanted whole "
                             "frames, and NaN for those to draw")
        if bool(is_given.any()) and not self.settings.given_frames:
            raise ValueError("given latents for a prior trained without them (given_frames is 0)")
        return z.nan_to_num(), is_given

    def check_latents(self, z: Float[Tensor, "b d n"]) -> None:
        """Raises ValueError unless these are frames of the latent that the prior is over."""
        if z.ndim != 3 or z.shape[1] != self.latent.channels or not z.numel():
            raise ValueError(f"latents of shape {tuple(z.shape)}; wanted (batch, {self.latent.channels}, frames)")


def sample_generators(count: int, generator: torch.Generator | None) -> list[torch.Generator]:
    """A generator for each sample, so that a sample does not depend on how many are drawn."""
    seeds = torch.randint(1 << 62, (count,), generator=generator)
    return [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
