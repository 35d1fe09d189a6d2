"""Noise for ECG: diffusion noising with the signal added back, and the noise of electrodes, muscles and mains."""

from ecgvae.noise.artefacts import KINDS, Corruption, at_snr, corruptions
from ecgvae.noise.diffusion import DRAWS, SCHEDULES, alpha_bars, draw_steps, level, mix, q_sample, snr, white
from ecgvae.noise.recordings import Recordings

__all__ = ["DRAWS", "KINDS", "SCHEDULES", "Corruption", "Recordings", "alpha_bars", "at_snr", "corruptions",
           "draw_steps", "level", "mix", "q_sample", "snr", "white"]
