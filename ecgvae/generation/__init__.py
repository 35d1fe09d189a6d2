"""Generated ECG: a prior over the tokens or the latent of an autoencoder, with conditions, prompts and headers."""

from ecgvae.generation.conditions import Condition, conditions_like, find_label
from ecgvae.generation.prior import Prior
from ecgvae.generation.request import Sample, SampleRequest, sampling_settings

__all__ = ["Condition", "Prior", "Sample", "SampleRequest", "conditions_like", "find_label", "sampling_settings"]
