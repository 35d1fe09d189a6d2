"""Metrics of reconstructions, of sets of signals, of classifiers and of code usage."""

from ecgvae.metrics.arithmetic import summary
from ecgvae.metrics.classification import auc
from ecgvae.metrics.codes import bits_per_second, code_usage, count_codes, entropy, entropy_of_counts, perplexity
from ecgvae.metrics.generation import frechet
from ecgvae.metrics.neighbours import Neighbours
from ecgvae.metrics.reconstruction import Moments, correlation, prdn, prdn_to_snr, rmse, snr
from ecgvae.metrics.spectrum import power_distance, power_spectrum, spectrum_distance

__all__ = [
    "Moments",
    "Neighbours",
    "auc",
    "bits_per_second",
    "code_usage",
    "correlation",
    "count_codes",
    "entropy",
    "entropy_of_counts",
    "frechet",
    "perplexity",
    "power_distance",
    "power_spectrum",
    "prdn",
    "prdn_to_snr",
    "rmse",
    "snr",
    "spectrum_distance",
    "summary",
]
