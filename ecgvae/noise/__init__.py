"""Noise for ECG: diffusion noise with the signal added back, and the artefacts of electrodes, muscles and mains."""

from ecgvae.noise.artefacts import KINDS, Corruption, add_noise, corruptions
from ecgvae.noise.diffusion import (
    SCHEDULES,
    TIMESTEP_POWERS,
    add_x0,
    alpha_bars,
    q_sample,
    rms,
    sample_timesteps,
    snr,
    white_noise,
)
from ecgvae.noise.recordings import NoiseRecordings

__all__ = ["KINDS", "SCHEDULES", "TIMESTEP_POWERS", "Corruption", "NoiseRecordings", "add_noise", "add_x0",
           "alpha_bars", "corruptions", "q_sample", "rms", "sample_timesteps", "snr", "white_noise"]
