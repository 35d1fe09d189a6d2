"""Models on disk: a folder with config.json and model.safetensors, nothing that could run code."""

from ecgvae.checkpoint.checks import facts
from ecgvae.checkpoint.folders import amplitudes, config, locate, model_name, pretrained, training_records
from ecgvae.checkpoint.identities import earlier_identities, identity
from ecgvae.checkpoint.loading import load, select_device
from ecgvae.checkpoint.saving import save

__all__ = ["amplitudes", "config", "earlier_identities", "facts", "identity", "load", "locate", "model_name",
           "pretrained", "save", "select_device", "training_records"]
