"""Figures: ECG on paper with reconstructions or tokens, training curves, and noise schedules."""

from ecgvae.plotting.curves import plot_curves, plot_noise
from ecgvae.plotting.records import plot_comparison, plot_record
from ecgvae.plotting.tokens import plot_tokens

__all__ = ["plot_comparison", "plot_curves", "plot_noise", "plot_record", "plot_tokens"]
