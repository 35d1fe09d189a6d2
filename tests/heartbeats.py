"""Records made of Gaussian waves at known times."""

import numpy as np

from ecgvae.signal import INDEPENDENT_8, LEADS_12, lead_expansion

WAVES = {"p": (-0.16, 0.02, 0.12), "q": (-0.025, 0.008, -0.1), "r": (0.0, 0.011, 1.0), "s": (0.028, 0.009, -0.25),
         "t": (0.28, 0.04, 0.3)}  # time from R in s, width in s, height in mV
EXPANSION = lead_expansion(LEADS_12, INDEPENDENT_8)


def axes(seed: int) -> np.ndarray:
    """How large each wave is in each of the eight independent leads (8, waves)."""
    return np.random.default_rng(seed).uniform(0.5, 1.2, (8, len(WAVES)))


def beat(time: np.ndarray, weights: np.ndarray, **shifts: float) -> np.ndarray:
    """A beat with its R wave at 0 s, in eight leads; keywords delay waves by so many seconds."""
    shapes = [height * np.exp(-0.5 * ((time - centre - shifts.get(name, 0)) / width) ** 2)
              for name, (centre, width, height) in WAVES.items()]
    return weights @ np.array(shapes)


def record(times, weights, rate: float = 100, seconds: float = 10, noise: float = 0, seed: int = 0, **shifts: float
           ) -> np.ndarray:
    """A 12-lead record (12, t) in mV with R waves at `times` in s; `weights` are those of each beat, or of all."""
    at = np.arange(round(rate * seconds)) / rate
    every = weights if isinstance(weights, list) else [weights] * len(times)
    signal = sum(beat(at - time, own, **shifts) for time, own in zip(times, every, strict=True))
    signal = signal + noise * np.random.default_rng(seed).normal(size=signal.shape)
    return (EXPANSION @ signal).astype(np.float32)


def regular(interval: float = 0.8, seconds: float = 10, start: float = 0.4) -> np.ndarray:
    """Times of R waves at equal intervals."""
    return np.arange(start, seconds, interval)
