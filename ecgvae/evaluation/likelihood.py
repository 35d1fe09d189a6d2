"""How likely a variational model finds a store's records, and how much of its latent it uses."""

from collections.abc import Callable
from pathlib import Path

import torch

from ecgvae import checkpoint
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.dataset import Windows
from ecgvae.data.store import Store
from ecgvae.models import CVAE, VAE
from ecgvae.models.cvae import Conditioning
from ecgvae.nn.gaussian import ACTIVE_UNIT_VARIANCE


def likelihood(model: str | Path, store: Store, split: str = "test", seconds: float = 10.0, samples: int = 16,
               batch_size: int = 64, device: str = "cpu", seed: int = 0,
               progress: Callable[[int, int], None] | None = None) -> dict:
    """Bounds on the log-density of the first `seconds` of a split's records, in nats: means over records.

    The density is of the coded leads in mV, so only models of the same leads, rate and length compare. `elbo` is a
    mean over `samples` draws, `iwae` the importance-weighted bound of as many. An active unit is a latent number
    whose posterior mean has a variance above 0.01 over records and frames (Burda et al. 2016, section 5). A
    conditional model is told all that the store knows, and its given leads.
    """
    network = variational(checkpoint.load(model), model, store).to(device)
    rows = store.split(split)
    if len(rows) == 0:
        raise ValueError(f"{store.path} has no records in its {split} split")
    windows = Windows(store, rows, round(seconds * store.rate), network.signal.coded)
    told = conditions(network, store)
    generator = torch.Generator().manual_seed(seed)
    totals, moments = torch.zeros(3, dtype=torch.float64), Moments()
    for places in torch.arange(len(rows)).split(batch_size):
        x = windows.crops((windows.ends - windows.lengths)[places]).to(device)
        condition = None if told is None else Conditioning(told[windows.rows[places]].to(device))
        with torch.inference_mode():
            q = network.posterior(x, condition)
            bounds = (network.elbo(x, samples, generator, condition), network.iwae(x, samples, generator, condition))
            totals += torch.stack([*bounds, q.kl().sum((1, 2))]).double().sum(1).cpu()
            moments.add(q.mean.cpu())
        if progress:
            progress(int(places[-1]) + 1, len(rows))
    nats = dict(zip(("elbo", "iwae", "kl"), (totals / len(rows)).tolist(), strict=True))
    used = int((moments.variance() > ACTIVE_UNIT_VARIANCE).sum())
    return {"model": str(model), "identity": checkpoint.identity(network), "store": str(store.path), "split": split,
            "fingerprint": store.fingerprint, "records": len(rows), "seconds": seconds, "samples": samples, **nats,
            **{f"{name}_per_second": value / seconds for name, value in nats.items()},
            "active_units": used, "units": network.settings.latent, "active_share": used / network.settings.latent}


def variational(network, name: str | Path, store: Store) -> VAE:
    if not isinstance(network, VAE):
        raise ValueError(f"{name} is a {network.settings.family}; wanted a vae or a cvae, which has a likelihood")
    if store.rate != network.signal.rate:
        raise ValueError(f"{store.path} has a rate of {store.rate:g} Hz; {name} wants {network.signal.rate:g}")
    return network


def conditions(network: VAE, store: Store) -> torch.Tensor | None:
    if isinstance(network, CVAE) and network.condition.widths:
        return condition_vectors(store, network.condition)
    return None


class Moments:
    """Mean and variance of every channel of latents (b, d, n) that come in batches."""

    def __init__(self):
        self.count, self.sum, self.squares = 0, 0.0, 0.0

    def add(self, z: torch.Tensor) -> None:
        z = z.double()
        self.count += len(z) * z.shape[-1]
        self.sum, self.squares = self.sum + z.sum((0, 2)), self.squares + z.square().sum((0, 2))

    def variance(self) -> torch.Tensor:
        return self.squares / self.count - (self.sum / self.count).square()
