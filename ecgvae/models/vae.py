"""Continuous latents: the plain autoencoder, and the variational one."""

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ecgvae.models.autoencoder import Autoencoder, Reconstruction, Settings
from ecgvae.models.backbone import Width
from ecgvae.nn import gaussian
from ecgvae.nn.fold import Fold, Unfold
from ecgvae.nn.gaussian import Gaussian

LONGEST_SPAN = 4096         # frames
START = -4.0                # log variance of the posterior before training: narrow, so that latents are worth using
FIRST_DEVIATION = 0.05      # mV, of a learned likelihood


class AESettings(Settings):
    """An autoencoder; one vector of its latent covers `span` frames of the backbone.

    With 1 the latent follows time; with 125 (10 s at 12.5 frames a second) one vector tells it all. Frames have
    `squeeze` channels on their way to and from vectors of several.
    """

    family: Literal["ae"] = "ae"
    span: int = Field(1, ge=1, le=LONGEST_SPAN)
    squeeze: Width = 32


class AE(Autoencoder):
    """A plain autoencoder with a continuous latent.

    Its subclasses see x, and the latent they decode, under a condition; here it is None.
    """

    def __init__(self, settings: AESettings, outputs: int = 1, context: int = 0):
        """`outputs` numbers for every one of the latent's, and `context` channels of a condition for the decoder."""
        super().__init__(settings)
        leads, backbone, span = len(settings.signal.coded), settings.backbone, settings.span
        self.channels = settings.latent if span == 1 else settings.squeeze
        self.hop = self.total_hop = backbone.hop * span
        self.encoder = backbone.build_encoder(leads, self.channels)
        self.fold = Fold(self.channels, outputs * settings.latent, span)
        self.unfold = Unfold(settings.latent, self.channels, span)
        self.decoder = backbone.build_decoder(self.channels + context, leads)
        self.context = self.encoder.context, math.ceil(self.decoder.context / span) * self.hop

    @property
    def last_layer(self) -> nn.Parameter:
        return self.decoder.last_layer

    def see(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Float[Tensor, "b f m"]:
        """The encoder's frames."""
        return self.encoder(self.whole_frames(x) / self.signal.scale)

    def tell(self, z: Float[Tensor, "b d n"], condition: Any = None) -> Float[Tensor, "b f m"]:
        """The decoder's frames."""
        return self.unfold(z)

    def encode(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Float[Tensor, "b d n"]:
        return self.fold(self.see(x, condition))

    def decode(self, z: Float[Tensor, "b d n"], samples: int | None = None,
               condition: Any = None) -> Float[Tensor, "b c t"]:
        return self.decoder(self.tell(z, condition))[..., :samples] * self.signal.scale

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Any = None) -> Reconstruction:
        return Reconstruction(self.decode(self.encode(x, condition), x.shape[-1], condition).float())


class VAESettings(AESettings):
    """A VAE; its likelihood is Gaussian with a standard deviation in mV, or with one learned for each lead.

    What is learned needs a recipe that weighs nll, however little.
    """

    family: Literal["vae"] = "vae"
    deviation: float | None = Field(None, ge=1e-4, le=1e3, allow_inf_nan=False)
    free_bits: float = Field(0.0, ge=0)     # nats per latent channel and frame


class VAE(AE):
    """A variational autoencoder (Kingma and Welling 2014): z ~ N(0, I), x | z ~ N(decode(z), deviation^2 I).

    Trained on the negative ELBO, KL(q(z|x) || p(z)) - E_q log p(x|z) (eq. 3), by one sample. The likelihood is of
    the coded leads in mV.
    """

    def __init__(self, settings: VAESettings, context: int = 0):
        super().__init__(settings, outputs=2, context=context)
        log_variances = self.fold.map.weight[settings.latent:], self.fold.map.bias[settings.latent:]
        with torch.no_grad():
            log_variances[0].zero_()
            log_variances[1].fill_(START)
        learned = settings.deviation is None
        first = 2 * math.log(FIRST_DEVIATION if learned else settings.deviation)
        log_variance = torch.full((len(settings.signal.coded), 1), first, device=None if learned else "cpu")
        if learned:
            self.log_variance = nn.Parameter(log_variance)
        else:
            self.register_buffer("log_variance", log_variance, persistent=False)

    def given(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Any:
        """The condition with what can be told from x filled in."""
        return condition

    def posterior(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Gaussian:
        """q(z|x), (b, d, n)."""
        return Gaussian.of(self.fold(self.see(x, self.given(x, condition))))

    def encode(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Float[Tensor, "b d n"]:
        """The posterior's mean."""
        return self.posterior(x, condition).mean

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Any = None) -> Reconstruction:
        """Losses in nats per sample and lead: nll + kl is the negative ELBO over c t, so a weight of kl is its beta.

        Free bits (Kingma et al. 2016, eq. 15) hold a channel's kl, averaged over records and frames, at or above
        `free_bits`: below it nothing pulls the channel towards the prior. The statistics have the true one.
        """
        condition = self.given(x, condition)
        q = self.posterior(x, condition)
        signal = self.decode(q.sample(), x.shape[-1], condition).float()
        kl = q.kl().mean((0, 2))
        frames, elements = q.mean.shape[-1], x[0].numel()
        losses = {"nll": -self.log_likelihood(x if target is None else target, signal).mean() / elements,
                  "kl": kl.clamp(min=self.settings.free_bits).sum() * frames / elements}
        seconds = x.shape[-1] / self.signal.rate
        stats = {"nats_per_second": kl.sum() * frames / seconds, "active_units": gaussian.active(q.mean)}
        return Reconstruction(signal, losses, stats)

    def log_likelihood(self, x: Float[Tensor, "b c t"], mean: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
        """log p(x|z) of every record, `mean` being what z decodes to."""
        return gaussian.log_density(x, mean, self.log_variance).sum((1, 2))

    @torch.no_grad()
    def elbo(self, x: Float[Tensor, "b c t"], count: int, generator: torch.Generator | None = None,
             condition: Any = None) -> Float[Tensor, "b"]:
        """The evidence lower bound of every record in nats, its likelihood averaged over `count` samples."""
        condition = self.given(x, condition)
        q = self.posterior(x, condition)
        likelihoods = [self.log_likelihood(x, self.decode(q.sample(generator), x.shape[-1], condition))
                       for _ in range(count)]
        return torch.stack(likelihoods).mean(0) - q.kl().sum((1, 2))

    @torch.no_grad()
    def iwae(self, x: Float[Tensor, "b c t"], count: int, generator: torch.Generator | None = None,
             condition: Any = None) -> Float[Tensor, "b"]:
        """The importance-weighted bound of every record in nats (Burda et al. 2016, eq. 8)."""
        condition = self.given(x, condition)
        q, weights = self.posterior(x, condition), []
        for _ in range(count):
            z = q.sample(generator)
            prior_to_posterior = (gaussian.log_density(z) - q.log_density(z)).sum((1, 2))
            weights.append(self.log_likelihood(x, self.decode(z, x.shape[-1], condition)) + prior_to_posterior)
        return torch.stack(weights).logsumexp(0) - math.log(count)

    @torch.no_grad()
    def sample(self, count: int, samples: int, generator: torch.Generator | None = None,
               condition: Any = None) -> Float[Tensor, "n c t"]:
        """Signals in mV that draws of N(0, I) decode to, without the likelihood's noise.

        Where one vector covers a signal, it is an ECG as the model knows it. Where the latent follows time, N(0, I)
        has each frame by itself, with no rhythm and no beats: an ECG needs a prior learned over the frames.
        """
        frames = math.ceil(samples / self.hop)
        shape = self.expansion.new_empty(count, self.settings.latent, frames)
        return self.decode(gaussian.normal(shape, generator), samples, condition)
