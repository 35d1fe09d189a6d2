"""Models and priors on disk: a folder with config.json and model.safetensors, nothing that could run code."""

from ecgvae.checkpoint.checks import facts
from ecgvae.checkpoint.folders import (
    amplitudes,
    config,
    find_kind,
    locate,
    locate_prior,
    model_name,
    pretrained,
    pretrained_priors,
    prior_config,
    prior_name,
    training_records,
)
from ecgvae.checkpoint.identities import earlier_identities, identity, saved_facts
from ecgvae.checkpoint.loading import load, select_device
from ecgvae.checkpoint.priors import default_prior, load_prior, prior_autoencoder, save_prior
from ecgvae.checkpoint.saving import save

__all__ = ["amplitudes", "config", "default_prior", "earlier_identities", "facts", "find_kind", "identity", "load",
           "load_prior", "locate", "locate_prior", "model_name", "pretrained", "pretrained_priors", "prior_autoencoder",
           "prior_config", "prior_name", "save", "save_prior", "saved_facts", "select_device", "training_records"]
