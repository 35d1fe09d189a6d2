"""The noise of electrodes, muscles and mains, at an exact ratio to the signal.

Every source gives noise (b, c, t) in units of its own from a generator, on the generator's device.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.noise.diffusion import level
from ecgvae.noise.recordings import Recordings

Shape = tuple[int, int, int]
Source = Callable[[Shape, torch.Generator], Tensor]
Corruption = Callable[[Tensor, float | Tensor, torch.Generator], Tensor]       # of signals (b, c, t), at an SNR in dB

SLOW = 0.05, 0.5            # Hz of baseline wander
SINES = 8                   # of baseline wander
MUSCLE = 20.0, 150.0        # Hz
DEVIATION = 0.05            # Hz that mains may be off
HARMONICS = 1, 3, 5
PAUSE = 4.0                 # s between jumps of an electrode, on average
RISE, DECAY = 0.05, (0.2, 1.0)      # s of such a jump


def at_snr(x: Float[Tensor, "b c t"], noise: Float[Tensor, "b c t"],
           snr_db: float | Float[Tensor, "b"]) -> Float[Tensor, "b c t"]:
    """x with noise of exactly this signal-to-noise ratio in dB, in each record over all its leads.

    Means count neither as signal nor as noise: each lead's is taken from the noise and kept in the signal.
    """
    noise = noise - noise.mean(-1, keepdim=True)
    ratio = torch.as_tensor(snr_db, device=x.device, dtype=x.dtype).reshape(-1, 1, 1)
    silent = torch.finfo(x.dtype).tiny
    return x + noise * (level(x) / level(noise).clamp(min=silent) * 10 ** (-ratio / 20))


def wander(shape: Shape, generator: torch.Generator, rate: float) -> Float[Tensor, "b c t"]:
    """Baseline wander: slow sines, the slower the higher, at the same frequencies in all leads."""
    records, leads, samples = shape
    frequency = math.log(SLOW[0]) + math.log(SLOW[1] / SLOW[0]) * uniform((records, SINES, 1), generator)
    angle = 2 * math.pi / rate * frequency.exp() * torch.arange(samples, device=generator.device)
    height = normal((records, leads, 2 * SINES), generator) / frequency.exp().sqrt().repeat(1, 2, 1).mT
    return height @ torch.cat([angle.sin(), angle.cos()], dim=1)


def muscle(shape: Shape, generator: torch.Generator, rate: float) -> Float[Tensor, "b c t"]:
    """Muscle artefact: white noise between 20 and 150 Hz, or as much of that as the rate allows."""
    if rate <= 2 * MUSCLE[0]:
        raise ValueError(f"muscle noise at a rate of {rate:g} Hz; wanted more than {2 * MUSCLE[0]:g} Hz")
    spectrum = torch.fft.rfft(normal(shape, generator))
    frequency = torch.fft.rfftfreq(shape[-1], 1 / rate, device=generator.device)
    return torch.fft.irfft(spectrum * ((MUSCLE[0] <= frequency) & (frequency <= MUSCLE[1])), n=shape[-1])


def electrode(shape: Shape, generator: torch.Generator, rate: float) -> Float[Tensor, "b c t"]:
    """Electrode motion: jumps of the baseline that die away, at the same times in all leads."""
    records, leads, samples = shape
    jumps = max(1, round(samples / rate / PAUSE))
    place = torch.randint(-(-3 * samples // 4), (records, 1, jumps), generator=generator, device=generator.device)
    height = normal((records, leads, jumps), generator)
    impulses = torch.zeros(shape, device=generator.device).scatter_add_(-1, place.expand_as(height), height)
    time = torch.arange(samples, device=generator.device) / rate
    decay = DECAY[0] + (DECAY[1] - DECAY[0]) * uniform((records, 1, 1), generator)
    jump = (1 - torch.exp(-time / RISE)) * torch.exp(-time / decay)
    padded = 2 * samples        # so that nothing comes round from the end to the beginning
    spectrum = torch.fft.rfft(impulses, n=padded) * torch.fft.rfft(jump, n=padded)
    return torch.fft.irfft(spectrum, n=padded)[..., :samples]


def mains(shape: Shape, generator: torch.Generator, rate: float, frequency: int) -> Float[Tensor, "b c t"]:
    """Mains hum, within 0.05 Hz of its frequency, with those odd harmonics that the rate can hold.

    At half the rate (50 Hz at 100 Hz) it appears as samples of alternating sign that swell and fade with the
    deviation. Above that a recorder's filter takes it out: a rate too low for the frequency is a ValueError.
    """
    if rate < 2 * frequency:
        raise ValueError(f"mains hum of {frequency} Hz at a rate of {rate:g} Hz; wanted {2 * frequency} Hz or more")
    records, leads, samples = shape
    exact = frequency + DEVIATION * (2 * uniform((records, 1, 1), generator) - 1)
    turns = exact / rate * torch.arange(samples, device=generator.device)
    kept = [harmonic for harmonic in HARMONICS if harmonic * frequency <= rate / 2]
    start = uniform((records, 1, len(kept)), generator)
    hum = sum(torch.sin(2 * math.pi * (harmonic * turns + start[..., index:index + 1])) / harmonic
              for index, harmonic in enumerate(kept))
    return normal((records, leads, 1), generator) * hum


def drop_out(x: Float[Tensor, "b c t"], generator: torch.Generator) -> Float[Tensor, "b c t"]:
    """x with one lead of each record flat at 0 mV for a tenth of its length or more; there is no SNR to it."""
    records, leads, samples = x.shape
    lost = torch.randint(leads, (records, 1, 1), generator=generator, device=generator.device)
    share = 0.1 + 0.9 * uniform((records, 1, 1), generator)
    start = (1 - share) * uniform((records, 1, 1), generator)
    time = (torch.arange(samples, device=generator.device) + 0.5) / samples
    flat = (torch.arange(leads, device=generator.device)[:, None] == lost) & (time >= start) & (time < start + share)
    return x.masked_fill(flat, 0)


SYNTHETIC: dict[str, Callable[..., Tensor]] = {
    "wander": wander, "muscle": muscle, "electrode": electrode,
    "mains-50": partial(mains, frequency=50), "mains-60": partial(mains, frequency=60)}
KINDS = (*SYNTHETIC, "drop-out")


def corruptions(kinds: Iterable[str], rate: float, recordings: Recordings | None = None) -> dict[str, Corruption]:
    """Functions (x, SNR in dB, generator) -> noisy x for some of KINDS, from recordings where there are any.

    x (b, c, t) has this rate in Hz and lies on the generator's device; ValueError where a kind can't exist at it.
    """
    return {kind: corruption(kind, rate, recordings) for kind in kinds}


def corruption(kind: str, rate: float, recordings: Recordings | None) -> Corruption:
    if kind == "drop-out":
        return lambda x, snr_db, generator: drop_out(x, generator)
    recorded = recordings is not None and kind in recordings.signals
    source: Source = partial(recordings.crops, kind) if recorded else partial(SYNTHETIC[kind], rate=rate)
    source((1, 1, 2), torch.Generator(recordings.signals[kind].device if recorded else "cpu"))      # may it exist?
    return lambda x, snr_db, generator: at_snr(x, source(x.shape, generator), snr_db)


def normal(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def uniform(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)
