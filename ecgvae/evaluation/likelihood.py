"""The likelihood of a store's records under a variational model, and the active units of its latent."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ecgvae import checkpoint
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.dataset import load_signals
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import split_rows
from ecgvae.evaluation.provenance import describe_data
from ecgvae.models import CVAE, VAE, Autoencoder, Conditioning
from ecgvae.nn.gaussian import ACTIVE_UNIT_VARIANCE
from ecgvae.signal import MICROVOLTS_PER_MV


def likelihood(model: str | Path, store: Store, split: str = "validation", seconds: float = 10.0, samples: int = 16,
               batch_size: int = 64, device: str = "cpu", seed: int = 0,
               progress: Callable[[int, int], None] | None = None) -> dict:
    """Lower bounds on the log-density of the first `seconds` of a split's records, in nats, averaged over records.

    The density is that of the coded leads in mV, so only models with the same leads, rate and `seconds` can be
    compared. A conditional model gets all conditions that the store has, and its given leads.

    Args:
        model: A vae or cvae: a shipped name or a folder.
        store: The records.
        split: The split to use.
        seconds: Length of the first part of each record that is used.
        samples: Number of latents drawn for each record.
        batch_size: Records in a batch.
        device: Device of the model.
        seed: Seed of the draws.
        progress: Called with the number of records done and their total.

    Returns:
        Facts about model and data (see `provenance.describe_data`). `elbo`, a mean over `samples` draws; `iwae`, the
        importance-weighted bound with the same number of draws; and `kl`: each also per second, as in
        `elbo_per_second`. `active_units`, `units` and their ratio `active_share`: an active unit is a latent channel
        whose posterior mean has a variance above 0.01 over records and frames (Burda et al. 2016, section 5).

    Raises:
        ValueError: The model has no likelihood, or the store has another rate or no records in the split.
    """
    network = load_vae(model, store, device)
    rows = split_rows(store, split)
    facts = describe_data(model, network.signal, store, split, rows)     # first, as it may refuse the model
    vectors = known_conditions(network, store)
    generator = torch.Generator().manual_seed(seed)
    totals, means = torch.zeros(3, dtype=torch.float64), ChannelVariance()
    for indices in np.split(np.arange(len(rows)), range(batch_size, len(rows), batch_size)):
        x = first_windows(store, rows[indices], seconds, network.signal.coded).to(network.expansion.device)
        condition = None if vectors is None else Conditioning(vectors[rows[indices]].to(x.device))
        with torch.inference_mode():
            q = network.posterior(x, condition)
            bounds = (network.elbo(x, samples, generator, condition), network.iwae(x, samples, generator, condition))
            totals += torch.stack([*bounds, q.kl().sum((1, 2))]).double().sum(1).cpu()
            means.add(q.mean.cpu())
        if progress:
            progress(int(indices[-1]) + 1, len(rows))
    nats = dict(zip(("elbo", "iwae", "kl"), (totals / len(rows)).tolist(), strict=True))
    units, active_units = network.settings.latent, int((means.variance() > ACTIVE_UNIT_VARIANCE).sum())
    return {**facts, "seconds": seconds, "samples": samples, **nats,
            **{f"{name}_per_second": value / seconds for name, value in nats.items()},
            "active_units": active_units, "units": units, "active_share": active_units / units}


def first_windows(store: Store, rows: np.ndarray, seconds: float, coded: tuple[str, ...]) -> torch.Tensor:
    """The first part of each row, as coded leads (b, c, t) in mV; shorter rows are padded with zeros."""
    length = round(seconds * store.rate)
    joined = load_signals(store, rows, np.full(len(rows), length), coded)
    return torch.from_numpy(joined).unflatten(1, (len(rows), length)).transpose(0, 1).float() / MICROVOLTS_PER_MV


def load_vae(name: str | Path, store: Store, device: str) -> VAE:
    """Loads a model; ValueError if it has no likelihood, or another rate than the store."""
    network: Autoencoder = checkpoint.load(name, device)
    if not isinstance(network, VAE):
        raise ValueError(f"{name} is a model of family {network.settings.family}, which has no likelihood; "
                         "wanted a vae or a cvae")
    if store.rate != network.signal.rate:
        raise ValueError(f"{store.path} has a rate of {store.rate:g} Hz; {name} wants {network.signal.rate:g}")
    return network


def known_conditions(network: VAE, store: Store) -> torch.Tensor | None:
    """The condition vector of every row of the store; None for a model without such conditions."""
    if isinstance(network, CVAE) and network.condition.part_widths:
        return condition_vectors(store, network.condition)
    return None


class ChannelVariance:
    """The variance of each channel of latents (b, d, n), which are added batch by batch."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = self.sum_of_squares = torch.zeros((), dtype=torch.float64)

    def add(self, z: torch.Tensor) -> None:
        z = z.double()
        self.count += len(z) * z.shape[-1]
        self.sum, self.sum_of_squares = self.sum + z.sum((0, 2)), self.sum_of_squares + z.square().sum((0, 2))

    def variance(self) -> torch.Tensor:
        return self.sum_of_squares / self.count - (self.sum / self.count).square()
