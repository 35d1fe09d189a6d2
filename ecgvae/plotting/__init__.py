"""Figures: ECG on paper with reconstructions or tokens, contact sheets, curves, noise schedules, generation."""

from ecgvae.plotting.contact_sheet import plot_contact_sheet
from ecgvae.plotting.curves import plot_curves, plot_noise
from ecgvae.plotting.generation import plot_generation, plot_report
from ecgvae.plotting.records import plot_comparison, plot_record
from ecgvae.plotting.tokens import plot_tokens

__all__ = ["plot_comparison", "plot_contact_sheet", "plot_curves", "plot_generation", "plot_noise", "plot_record",
           "plot_report", "plot_tokens"]
