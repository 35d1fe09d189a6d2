"""ECG artefacts (baseline wander, muscle, electrode motion, mains) at an exact signal-to-noise ratio.

A noise source draws noise (b, c, t) of any scale from a generator, on the generator's device.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.noise.diffusion import rms
from ecgvae.noise.recordings import NoiseRecordings

Shape = tuple[int, int, int]
NoiseSource = Callable[[Shape, torch.Generator], Tensor]
Corruption = Callable[[Tensor, float | Tensor, torch.Generator], Tensor]       # (x, SNR in dB, generator) -> noisy x

WANDER_BAND_HZ = 0.05, 0.5
N_WANDER_SINES = 8
MUSCLE_BAND_HZ = 20.0, 150.0
MAX_MAINS_DEVIATION_HZ = 0.05
MAINS_HARMONICS = 1, 3, 5
MEAN_JUMP_INTERVAL_S = 4.0          # of electrode motion
JUMP_RISE_S, JUMP_DECAY_S = 0.05, (0.2, 1.0)
MIN_DROPOUT_SHARE = 0.1             # of a record's length


def add_noise(x: Float[Tensor, "b c t"], noise: Float[Tensor, "b c t"],
              snr_db: float | Float[Tensor, "b"]) -> Float[Tensor, "b c t"]:
    """Adds noise to each record, scaled to an exact signal-to-noise ratio over all its leads.

    The mean of a lead is neither signal nor noise: it is removed from the noise and stays in the signal.

    Args:
        x: The signals.
        noise: Noise of any scale.
        snr_db: Signal-to-noise ratio in dB, one for all records or one for each.
    """
    noise = noise - noise.mean(-1, keepdim=True)
    ratio = torch.as_tensor(snr_db, device=x.device, dtype=x.dtype).reshape(-1, 1, 1)
    smallest = torch.finfo(x.dtype).tiny      # so that zero noise stays zero
    return x + noise * (rms(x) / rms(noise).clamp(min=smallest) * 10 ** (-ratio / 20))


def baseline_wander(shape: Shape, generator: torch.Generator, rate: float) -> Float[Tensor, "b c t"]:
    """Slow sines, with larger amplitudes at lower frequencies, and the same frequencies in all leads."""
    records, leads, samples = shape
    low, high = WANDER_BAND_HZ
    log_frequency = math.log(low) + math.log(high / low) * uniform((records, N_WANDER_SINES, 1), generator)
    frequency = log_frequency.exp()
    angle = 2 * math.pi / rate * frequency * torch.arange(samples, device=generator.device)
    amplitude = normal((records, leads, 2 * N_WANDER_SINES), generator) / frequency.sqrt().repeat(1, 2, 1).mT
    return amplitude @ torch.cat([angle.sin(), angle.cos()], dim=1)


def muscle_artefact(shape: Shape, generator: torch.Generator, rate: float) -> Float[Tensor, "b c t"]:
    """White noise between 20 and 150 Hz, or up to half the sampling rate."""
    low, high = MUSCLE_BAND_HZ
    if rate <= 2 * low:
        raise ValueError(f"muscle noise at a rate of {rate:g} Hz; wanted more than {2 * low:g} Hz")
    spectrum = torch.fft.rfft(normal(shape, generator))
    frequency = torch.fft.rfftfreq(shape[-1], 1 / rate, device=generator.device)
    return torch.fft.irfft(spectrum * ((low <= frequency) & (frequency <= high)), n=shape[-1])


def electrode_motion(shape: Shape, generator: torch.Generator, rate: float) -> Float[Tensor, "b c t"]:
    """Jumps of the baseline that decay exponentially, at the same times in all leads."""
    records, leads, samples = shape
    jumps = max(1, round(samples / rate / MEAN_JUMP_INTERVAL_S))
    onset = torch.randint(-(-3 * samples // 4), (records, 1, jumps), generator=generator, device=generator.device)
    amplitude = normal((records, leads, jumps), generator)
    impulses = torch.zeros(shape, device=generator.device).scatter_add_(-1, onset.expand_as(amplitude), amplitude)
    time = torch.arange(samples, device=generator.device) / rate
    shortest, longest = JUMP_DECAY_S
    decay = shortest + (longest - shortest) * uniform((records, 1, 1), generator)
    jump = (1 - torch.exp(-time / JUMP_RISE_S)) * torch.exp(-time / decay)
    padded = 2 * samples        # so that the circular convolution does not wrap around
    spectrum = torch.fft.rfft(impulses, n=padded) * torch.fft.rfft(jump, n=padded)
    return torch.fft.irfft(spectrum, n=padded)[..., :samples]


def mains_hum(shape: Shape, generator: torch.Generator, rate: float, frequency: int) -> Float[Tensor, "b c t"]:
    """Mains interference within 0.05 Hz of its frequency, with the odd harmonics up to half the sampling rate.

    At exactly half the sampling rate (50 Hz at 100 Hz) its samples alternate in sign, and their amplitude varies
    slowly with the deviation.

    Raises:
        ValueError: The rate is below twice the mains frequency; a recorder's anti-aliasing filter would remove the hum.
    """
    if rate < 2 * frequency:
        raise ValueError(f"mains hum of {frequency} Hz at a rate of {rate:g} Hz; wanted {2 * frequency} Hz or more")
    records, leads, samples = shape
    exact = frequency + MAX_MAINS_DEVIATION_HZ * (2 * uniform((records, 1, 1), generator) - 1)
    cycles = exact / rate * torch.arange(samples, device=generator.device)
    harmonics = [harmonic for harmonic in MAINS_HARMONICS if harmonic * frequency <= rate / 2]
    phase = uniform((records, 1, len(harmonics)), generator)
    hum = torch.zeros(records, 1, samples, device=generator.device)
    for index, harmonic in enumerate(harmonics):
        hum = hum + torch.sin(2 * math.pi * (harmonic * cycles + phase[..., index:index + 1])) / harmonic
    return normal((records, leads, 1), generator) * hum


def drop_lead(x: Float[Tensor, "b c t"], generator: torch.Generator) -> Float[Tensor, "b c t"]:
    """Sets one lead of each record to 0 mV for at least a tenth of its length."""
    records, leads, samples = x.shape
    dropped = torch.randint(leads, (records, 1, 1), generator=generator, device=generator.device)
    share = MIN_DROPOUT_SHARE + (1 - MIN_DROPOUT_SHARE) * uniform((records, 1, 1), generator)
    start = (1 - share) * uniform((records, 1, 1), generator)
    time = (torch.arange(samples, device=generator.device) + 0.5) / samples
    is_dropped = torch.arange(leads, device=generator.device)[:, None] == dropped
    zeroed = is_dropped & (time >= start) & (time < start + share)
    return x.masked_fill(zeroed, 0)


SYNTHETIC: dict[str, Callable[..., Tensor]] = {
    "wander": baseline_wander, "muscle": muscle_artefact, "electrode": electrode_motion,
    "mains-50": partial(mains_hum, frequency=50), "mains-60": partial(mains_hum, frequency=60)}
KINDS = (*SYNTHETIC, "drop-out")


def corruptions(kinds: Iterable[str], rate: float, recordings: NoiseRecordings | None = None) -> dict[str, Corruption]:
    """Functions (x, SNR in dB, generator) -> noisy x, by kind.

    Args:
        kinds: Some of `KINDS`.
        rate: Sampling rate of the signals in Hz.
        recordings: Recorded noise, for the kinds that it has; the noise of other kinds is synthetic.

    Returns:
        Functions of signals (b, c, t) on the generator's device. "drop-out" ignores the SNR.

    Raises:
        ValueError: The rate is too low for one of the kinds.

    Example:
        >>> corrupt = corruptions(["muscle"], rate=100)["muscle"]
        >>> noisy = corrupt(x, 10.0, torch.Generator().manual_seed(0))
    """
    return {kind: _corruption(kind, rate, recordings) for kind in kinds}


def _corruption(kind: str, rate: float, recordings: NoiseRecordings | None) -> Corruption:
    if kind == "drop-out":
        return lambda x, snr_db, generator: drop_lead(x, generator)
    if recordings is not None and kind in recordings.signals:
        source: NoiseSource = partial(recordings.crops, kind)
        device = recordings.signals[kind].device
    else:
        source, device = partial(SYNTHETIC[kind], rate=rate), torch.device("cpu")
    source((1, 1, 2), torch.Generator(device))      # raises ValueError if the rate is too low
    return lambda x, snr_db, generator: add_noise(x, source((len(x), x.shape[1], x.shape[2]), generator), snr_db)


def normal(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def uniform(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)
