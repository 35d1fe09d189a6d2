"""Measures what few network evaluations cost: Fréchet distances of a latent prior's samples, by solver and steps.

    python recipes/ptbxl/solver_steps.py runs/prior_latent ptbxl.store

There are as many samples as records in the split, drawn under their conditions and decoded. The features are those of
`ecgvae.evaluation.samples`: the mean and the standard deviation over frames of a shipped encoder's features.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from ecgvae import checkpoint
from ecgvae.cli.terminal import show_table
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import split_rows
from ecgvae.evaluation.probe import pool, pooled_features
from ecgvae.evaluation.samples import DEFAULT_ENCODER
from ecgvae.evaluation.solver_steps import SolverSteps, frechet_by_steps
from ecgvae.priors import LatentPrior

STEPS = (5, 10, 20, 50, 200)


def measure(prior: LatentPrior, autoencoder, store: Store, split: str, seconds: float) -> list[SolverSteps]:
    """The Fréchet distances of every solver of the prior's process, with each of `STEPS`."""
    encoder, rows, samples = checkpoint.load(DEFAULT_ENCODER), split_rows(store, split), round(seconds * store.rate)
    train = pooled_features(encoder, store, split_rows(store, "train"))
    mean, deviation = train.mean(0), train.std(0).clip(min=1e-9)
    condition = condition_vectors(store, prior.condition)[rows] if prior.condition else None

    @torch.inference_mode()
    def features(z: torch.Tensor) -> np.ndarray:
        return (pool(encoder, autoencoder.decode(z, samples)) - mean) / deviation
    real = (pooled_features(encoder, store, rows) - mean) / deviation
    return [row for solver in prior.process.solvers
            for row in frechet_by_steps(prior, real, features, -(-samples // prior.hop), STEPS, solver, condition)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", type=Path, help="folder of a latent prior or of its training run")
    parser.add_argument("store", type=Path, help="PTB-XL store (datasets/ptbxl/prepare.py)")
    parser.add_argument("--split", default="validation", help="split of the store to compare with (default validation)")
    parser.add_argument("--seconds", type=float, default=10, help="length of the samples (default 10)")
    args = parser.parse_args()
    prior = checkpoint.load_prior(args.prior)
    if not isinstance(prior, LatentPrior):
        parser.error(f"{args.prior} is a prior over codes; wanted one over a latent")
    autoencoder = checkpoint.load(checkpoint.prior_autoencoder(args.prior))
    rows = measure(prior, autoencoder, Store(args.store), args.split, args.seconds)
    best = {row.solver: row.frechet for row in rows}        # with the most steps
    show_table(["solver", "steps", "Fréchet distance", f"of that with {STEPS[-1]}", "seconds a sample"],
               [[row.solver, str(row.steps), f"{row.frechet:.3f}", f"{row.frechet / best[row.solver]:.2f}",
                 f"{row.seconds:.3f}"] for row in rows])


if __name__ == "__main__":
    main()
