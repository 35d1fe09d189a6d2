"""Continuous latents: the plain autoencoder and the variational autoencoder."""

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ecgvae.models.autoencoder import Autoencoder, ModelSettings, Reconstruction, encoder_outputs
from ecgvae.models.backbone import Decoder, Encoder, Width
from ecgvae.nn import gaussian
from ecgvae.nn.frames import MergeFrames, SplitFrames
from ecgvae.nn.gaussian import Gaussian

MAX_SPAN = 4096                     # frames
INITIAL_LOG_VARIANCE = -4.0         # of the posterior: narrow, so that the decoder learns to use the latent
INITIAL_LIKELIHOOD_STD = 0.05       # mV, where it is learned


class AESettings(ModelSettings):
    """An autoencoder; one vector of its latent covers `span` frames of the backbone.

    With a span of 1 the latent follows time; with 125 (10 s at 12.5 frames a second) one vector describes 10 s.
    With a span above 1, frames have `frame_channels` channels between the backbone and the latent.
    """

    former_names: ClassVar[dict[str, str]] = {"squeeze": "frame_channels"}

    family: Literal["ae"] = "ae"
    span: int = Field(1, ge=1, le=MAX_SPAN)
    frame_channels: Width = 32


class AE(Autoencoder):
    """A plain autoencoder with a continuous latent.

    `condition_frames` and `decode_frames` take the condition of conditional subclasses; here it is None.
    """

    encoder: Encoder
    decoder: Decoder

    def __init__(self, settings: AESettings, outputs: int = 1, condition_channels: int = 0):
        """Builds the layers, with `outputs` numbers for each number of the latent (a VAE has 2)."""
        super().__init__(settings)
        leads, backbone, span = len(settings.signal.coded), settings.backbone, settings.span
        self.channels = settings.latent if span == 1 else settings.frame_channels
        self.hop = self.total_hop = backbone.hop * span
        self.encoder = backbone.build_encoder(leads, self.channels)
        self.merge_frames = MergeFrames(self.channels, outputs * settings.latent, span)
        self.split_frames = SplitFrames(settings.latent, self.channels, span)
        self.decoder = backbone.build_decoder(self.channels + condition_channels, leads)
        self.context = self.encoder.context, math.ceil(self.decoder.context / span) * self.hop

    @property
    def last_layer(self) -> nn.Parameter:
        return self.decoder.last_layer

    def encode_frames(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Float[Tensor, "b f m"]:
        """The encoder's frames under a condition."""
        return self.condition_frames(self.encoder(self.to_model_input(x)), condition)

    def condition_frames(self, frames: Float[Tensor, "b f m"], condition: Any = None) -> Float[Tensor, "b f m"]:
        """The encoder's frames under a condition."""
        return frames

    def decode_frames(self, z: Float[Tensor, "b d n"], condition: Any = None) -> Float[Tensor, "b f m"]:
        """The decoder's input frames."""
        return self.split_frames(z)

    def encode(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Float[Tensor, "b d n"]:
        return self.latent(self.encode_frames(x, condition))

    def latent(self, frames: Float[Tensor, "b f m"]) -> Float[Tensor, "b d n"]:
        """The latent of the encoder's frames."""
        return self.merge_frames(frames)

    def layer_outputs(self, x: Float[Tensor, "b c t"]) -> Iterator[tuple[str, Float[Tensor, "b _ _"]]]:
        frames = yield from encoder_outputs(self.encoder, self.to_model_input(x))
        yield "latent", self.latent(self.condition_frames(frames, self.given_condition(x)))

    def given_condition(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Any:
        """The condition, completed by the part of it that x determines."""
        return condition

    def decode(self, z: Float[Tensor, "b d n"], samples: int | None = None,
               condition: Any = None) -> Float[Tensor, "b c t"]:
        return self.decoder(self.decode_frames(z, condition))[..., :samples] * self.signal.scale

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Any = None) -> Reconstruction:
        return Reconstruction(self.decode(self.encode(x, condition), x.shape[-1], condition).float())


class VAESettings(AESettings):
    """A VAE with a Gaussian likelihood.

    `likelihood_std` is its standard deviation in mV; None learns one for each lead, which needs a recipe whose
    weight of `nll` is above 0. `free_bits` is in nats per latent channel and frame.
    """

    former_names: ClassVar[dict[str, str]] = {**AESettings.former_names, "deviation": "likelihood_std"}

    family: Literal["vae"] = "vae"  # type: ignore[assignment]
    likelihood_std: float | None = Field(None, ge=1e-4, le=1e3)
    free_bits: float = Field(0.0, ge=0, le=1e9)


class VAE(AE):
    """A variational autoencoder (Kingma and Welling 2014): z ~ N(0, I), x | z ~ N(decode(z), likelihood_std^2 I).

    The loss is the negative ELBO, KL(q(z|x) || p(z)) - E_q log p(x|z) (eq. 3), estimated by one sample. The
    likelihood is of the coded leads in mV.
    """

    log_variance: Tensor

    def __init__(self, settings: VAESettings, condition_channels: int = 0):
        super().__init__(settings, outputs=2, condition_channels=condition_channels)
        with torch.no_grad():
            self.merge_frames.linear.weight[settings.latent:].zero_()
            self.merge_frames.linear.bias[settings.latent:].fill_(INITIAL_LOG_VARIANCE)
        learned = settings.likelihood_std is None
        std = INITIAL_LIKELIHOOD_STD if settings.likelihood_std is None else settings.likelihood_std
        shape, device = (len(settings.signal.coded), 1), None if learned else "cpu"
        log_variance = torch.full(shape, 2 * math.log(std), device=device)
        if learned:
            self.log_variance = nn.Parameter(log_variance)
        else:
            self.register_buffer("log_variance", log_variance, persistent=False)

    def posterior(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Gaussian:
        """q(z|x), (b, d, n)."""
        return Gaussian.from_output(self.merge_frames(self.encode_frames(x, self.given_condition(x, condition))))

    def encode(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Float[Tensor, "b d n"]:
        """The mean of the posterior."""
        return self.posterior(x, condition).mean

    def latent(self, frames: Float[Tensor, "b f m"]) -> Float[Tensor, "b d n"]:
        return Gaussian.from_output(self.merge_frames(frames)).mean

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Any = None) -> Reconstruction:
        """Losses in nats per sample and lead: nll + kl is the negative ELBO over c t, so the weight of kl is beta.

        Free bits (Kingma et al. 2016, eq. 15) keep the kl of a channel, averaged over records and frames, at
        `free_bits` or above: below it the channel is not drawn to the prior. The statistics hold the true kl.
        """
        condition = self.given_condition(x, condition)
        q = self.posterior(x, condition)
        signal = self.decode(q.sample(), x.shape[-1], condition).float()
        kl = q.kl().mean((0, 2))
        frames, elements = q.mean.shape[-1], x[0].numel()
        losses = {"nll": -self.log_likelihood(x if target is None else target, signal).mean() / elements,
                  "kl": kl.clamp(min=self.settings.free_bits).sum() * frames / elements}
        seconds = x.shape[-1] / self.signal.rate
        stats = {"nats_per_second": kl.sum() * frames / seconds, "active_units": gaussian.active_units(q.mean)}
        return Reconstruction(signal, losses, stats)

    def log_likelihood(self, x: Float[Tensor, "b c t"], mean: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
        """log p(x|z) of every record, where `mean` is the decoded z."""
        return gaussian.log_density(x, mean, self.log_variance).sum((1, 2))

    @torch.no_grad()
    def elbo(self, x: Float[Tensor, "b c t"], count: int, generator: torch.Generator | None = None,
             condition: Any = None) -> Float[Tensor, "b"]:
        """The evidence lower bound of every record in nats, its likelihood averaged over `count` samples."""
        condition = self.given_condition(x, condition)
        q = self.posterior(x, condition)
        likelihoods = [self.log_likelihood(x, self.decode(q.sample(generator), x.shape[-1], condition))
                       for _ in range(count)]
        return torch.stack(likelihoods).mean(0) - q.kl().sum((1, 2))

    @torch.no_grad()
    def iwae(self, x: Float[Tensor, "b c t"], count: int, generator: torch.Generator | None = None,
             condition: Any = None) -> Float[Tensor, "b"]:
        """The importance-weighted bound of every record in nats (Burda et al. 2016, eq. 8)."""
        condition = self.given_condition(x, condition)
        q, log_weights = self.posterior(x, condition), []
        for _ in range(count):
            z = q.sample(generator)
            log_ratio = (gaussian.log_density(z) - q.log_density(z)).sum((1, 2))        # prior over posterior
            log_weights.append(self.log_likelihood(x, self.decode(z, x.shape[-1], condition)) + log_ratio)
        return torch.stack(log_weights).logsumexp(0) - math.log(count)

    @torch.no_grad()
    def sample(self, count: int, samples: int, generator: torch.Generator | None = None,
               condition: Any = None) -> Float[Tensor, "n c t"]:
        """Decodes draws of N(0, I) to signals in mV, without the noise of the likelihood.

        If one vector covers the signal, the result is a sample of the model. If the latent follows time, the frames
        of N(0, I) are independent and have no rhythm and no beats: an ECG needs a prior learned over the frames.

        Args:
            count: Number of signals.
            samples: Length of each.
            generator: Source of randomness; the global one by default.
            condition: `Conditioning` of a conditional model.

        Returns:
            Coded leads in mV.
        """
        frames = math.ceil(samples / self.hop)
        shape = self.expansion.new_empty(count, self.settings.latent, frames)
        return self.decode(gaussian.standard_normal(shape, generator), samples, condition)
