"""Figures: ECG on paper, reconstructions over it, tokens under it, and training curves."""

from ecgvae.plotting.curves import plot_curves, plot_noise
from ecgvae.plotting.records import plot_comparison, plot_record
from ecgvae.plotting.tokens import plot_tokens

__all__ = ["plot_comparison", "plot_curves", "plot_noise", "plot_record", "plot_tokens"]
