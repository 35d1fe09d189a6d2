"""A 12-lead ECG simulator for the demo and the tests: every lead is a projection of one heart vector.

The vector is a sum of Gaussian waves in each beat, P, Q, R, S and T (McSharry et al. 2003, IEEE Trans Biomed Eng
50:289), each with a direction in space (Sameni et al. 2007, EURASIP J Adv Signal Process 43407).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecgvae.signal import INDEPENDENT_8, LEADS_12, Record, lead_expansion, write_record
from ecgvae.signal.record import is_positive

# I, II, V1-V6 from the Frank leads: x to the left, y to the feet, z to the back (Dower et al. 1980, Clin
# Cardiol 3:87; the matrix that Edenbrandt and Pahlm 1988, J Electrocardiol 21:361, inverted).
DOWER = np.array([
    [0.632, -0.235, 0.059],
    [0.235, 1.066, -0.132],
    [-0.515, 0.157, -0.917],
    [0.044, 0.164, -1.387],
    [0.882, 0.098, -1.277],
    [1.213, 0.127, -0.601],
    [1.125, 0.127, -0.086],
    [0.831, 0.076, 0.230],
])  # fmt: skip
BREATHING_HZ, MAYER_HZ = 0.25, 0.1

# A wave is (time of its peak in s, standard deviation in s, x, y, z of the vector at the peak in mV). Time 0 is the R
# wave; times of repolarization are for 60 beats per minute. Amplitudes and directions were set by hand to resemble
# typical clinical records.
Waves = tuple[tuple[float, float, float, float, float], ...]
P: Waves = ((-0.165, 0.018, 0.06, 0.07, -0.03), (-0.138, 0.020, 0.07, 0.05, 0.03))
SEPTUM = (-0.025, 0.010, -0.12, -0.04, -0.20)
FREE_WALL = (0.000, 0.010, 1.12, 0.58, 0.30)
BASE = (0.019, 0.011, -0.05, 0.02, 0.62)
QRS: Waves = (SEPTUM, FREE_WALL, BASE, (0.037, 0.009, -0.14, -0.10, 0.08))
T: Waves = ((0.20, 0.055, 0.12, 0.05, -0.12), (0.26, 0.035, 0.20, 0.12, -0.08))

Rhythm = Callable[[float, np.random.Generator], float]  # time in s -> next RR interval relative to the mean


def sinus(time: float, random: np.random.Generator) -> float:
    """A sinus rhythm, whose rate changes with breathing and the Mayer wave."""
    phase = 2 * np.pi * time
    return 1 + 0.03 * np.sin(BREATHING_HZ * phase) + 0.02 * np.sin(MAYER_HZ * phase) + 0.005 * random.normal()


def irregular(time: float, random: np.random.Generator) -> float:
    """The rhythm of atrial fibrillation: random intervals, limited by the refractory period of the AV node."""
    return max(0.55, random.lognormal(-0.03, 0.24))


def paced(time: float, random: np.random.Generator) -> float:
    """The rhythm of a pacemaker: equal intervals."""
    return 1.0


@dataclass(frozen=True)
class Heart:
    """A heart: its rate and rhythm, and the waves of its beats."""

    rate: float = 72  # beats per minute
    rhythm: Rhythm = sinus
    atria: Waves = P
    conduction: float = 0.0  # prolongation of the PR interval in seconds
    ventricles: Waves = QRS
    recovery: Waves = T
    fibrillation: tuple[float, float, float] = (0.0, 0.0, 0.0)  # amplitude of f waves: x, y, z in mV
    ectopic: "Heart | None" = None  # premature ventricular beats, each in place of every fourth or fifth beat

    def waves(self, interval: float) -> np.ndarray:
        """The waves of a beat that lasts `interval` seconds, with repolarization scaled by its square root (Bazett)."""
        atria = np.array(self.atria).reshape(-1, 5) - [self.conduction, 0, 0, 0, 0]
        stretch = np.sqrt(min(interval, 1.2))
        return np.concatenate([atria, self.ventricles, np.array(self.recovery) * [stretch, stretch, 1, 1, 1]])


ECTOPIC = Heart(
    atria=(),
    ventricles=((-0.045, 0.018, 0.25, 0.45, 0.10), (0.000, 0.026, 0.45, 1.25, 0.75), (0.045, 0.022, 0.10, 0.50, 0.70)),
    recovery=((0.17, 0.045, -0.10, -0.20, -0.25), (0.26, 0.050, -0.25, -0.45, -0.40)),
)

HEARTS: dict[str, Heart] = {
    "normal": Heart(),
    "sinus bradycardia": Heart(rate=44),
    "sinus tachycardia": Heart(rate=128),
    "atrial fibrillation": Heart(rate=95, rhythm=irregular, atria=(), fibrillation=(-0.02, 0.045, -0.07)),
    "premature ventricular beats": Heart(rate=75, ectopic=ECTOPIC),
    "first-degree atrioventricular block": Heart(rate=66, conduction=0.13),
    "right bundle branch block": Heart(
        ventricles=(
            SEPTUM,
            FREE_WALL,
            (0.019, 0.010, -0.10, 0.02, 0.35),
            (0.052, 0.016, -0.44, -0.08, -0.60),
            (0.085, 0.014, -0.25, 0.02, -0.25),
        ),
        recovery=((0.21, 0.050, 0.08, 0.04, 0.10), (0.27, 0.035, 0.18, 0.12, 0.12)),
    ),
    "left bundle branch block": Heart(
        ventricles=(
            (-0.022, 0.013, 0.54, 0.42, 0.75),
            (0.008, 0.015, 0.42, 0.40, 1.45),
            (0.042, 0.015, 0.52, 0.22, 1.10),
            (0.072, 0.014, 0.14, -0.10, 0.40),
        ),
        recovery=((0.18, 0.060, -0.18, -0.06, -0.26), (0.28, 0.040, -0.16, -0.02, -0.34)),
    ),
    "left ventricular hypertrophy": Heart(
        ventricles=((-0.032, 0.010, -0.12, -0.05, -0.22), (0.000, 0.012, 2.10, 0.62, 0.62),
                    (0.022, 0.013, 0.15, 0.02, 1.15)),
        recovery=((0.13, 0.045, -0.09, -0.03, -0.08), (0.25, 0.040, -0.28, -0.08, -0.26)),
    ),
    "anterior ST elevation": Heart(
        rate=86,
        ventricles=((-0.028, 0.011, -0.05, -0.04, 0.14), (0.000, 0.010, 0.85, 0.70, 0.42), BASE),
        recovery=((0.075, 0.030, 0.10, -0.07, -0.20), (0.150, 0.045, 0.15, -0.08, -0.28),
                  (0.250, 0.045, 0.22, 0.02, -0.36)),
    ),
    "inferior ST elevation": Heart(
        rate=58,
        ventricles=((-0.028, 0.011, -0.02, -0.26, -0.20), (0.000, 0.010, 1.00, 0.78, 0.26), BASE),
        recovery=((0.075, 0.030, -0.04, 0.19, 0.05), (0.150, 0.045, -0.06, 0.25, 0.06),
                  (0.250, 0.045, 0.06, 0.36, -0.04)),
    ),
    "ventricular pacing": Heart(
        rate=70,
        rhythm=paced,
        atria=(),
        ventricles=(
            (-0.072, 0.001, 0.35, -0.70, 0.30),
            (-0.035, 0.018, 0.02, -0.25, 0.35),
            (0.005, 0.022, -0.10, -0.75, 0.85),
            (0.048, 0.022, -0.16, -0.55, 0.40),
        ),
        recovery=((0.20, 0.060, 0.04, 0.16, -0.20), (0.30, 0.045, 0.06, 0.26, -0.26)),
    ),
}
CONDITIONS: tuple[str, ...] = tuple(HEARTS)


def simulate(condition: str, seconds: float = 10, rate: float = 500, seed: int = 0) -> Record:
    """Simulates a 12-lead record.

    Args:
        condition: One of CONDITIONS.
        seconds: Length of the record.
        rate: Sampling rate in Hz.
        seed: An integer from 0. Each seed is a different person, and always gives the same record.

    Raises:
        ValueError: The condition is unknown, or a number is impossible.

    Example:
        >>> simulate("atrial fibrillation", seconds=10, rate=500)
        Record('atrial_fibrillation', 12 leads, 10 s at 500 Hz)
    """
    if condition not in HEARTS:
        raise ValueError(f"condition {condition!r:.60}; wanted one of {', '.join(CONDITIONS)}")
    samples = round(seconds * rate) if is_positive(seconds) and is_positive(rate) else 0
    if samples < 1:
        raise ValueError(f"{seconds!r:.60} s at {rate!r:.60} Hz; wanted at least one sample")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed {seed!r:.60}; wanted a whole number from 0")
    random = np.random.default_rng([seed, CONDITIONS.index(condition)])
    vector = _heart_vector(HEARTS[condition], samples, rate, random)
    signal = DOWER @ _rotation(random) @ vector * random.lognormal(0, 0.06) + _noise(samples, rate, random)
    return Record(
        signal=(lead_expansion(LEADS_12, INDEPENDENT_8) @ signal).astype(np.float32),
        rate=rate,
        leads=LEADS_12,
        name=condition.replace(" ", "_").replace("-", "_"),
        comments=(f"condition: {condition}", f"simulated, seed {seed}"),
    )


def write_demo_records(folder: str | Path, count: int = 12, overwrite: bool = False) -> list[Path]:
    """Writes `count` simulated WFDB records of 10 s: one of each condition, then again with the next seed.

    Returns their paths without suffix.
    """
    paths = []
    for index in range(count):
        seed, condition = divmod(index, len(CONDITIONS))
        record = simulate(CONDITIONS[condition], seed=seed)
        record = replace(record, name=f"{index + 1:02d}_{record.name}")
        paths.append(write_record(record, folder, overwrite=overwrite))
    return paths


def _beats(heart: Heart, seconds: float, random: np.random.Generator) -> Iterator[tuple[float, np.ndarray]]:
    """The time in seconds of the R wave of each beat, and the waves of the beat."""
    mean_interval = 60 / heart.rate * random.uniform(0.95, 1.05)
    time, until_ectopic = -random.uniform(0, mean_interval), 3
    while time < seconds + 1:
        interval = mean_interval * heart.rhythm(time, random)
        until_ectopic -= 1
        if heart.ectopic is None or until_ectopic:
            yield time, heart.waves(interval)
        else:
            yield time - 0.42 * mean_interval, heart.ectopic.waves(mean_interval)
            until_ectopic = int(random.integers(4, 6))
        time += interval


def _heart_vector(heart: Heart, samples: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """The heart vector over time, (3, t) in mV."""
    seconds = samples / rate
    vector = np.outer(heart.fibrillation, _fibrillation(samples, rate, random))
    for beat, waves in _beats(heart, seconds, random):
        amplitude = 1 + 0.02 * np.sin(2 * np.pi * BREATHING_HZ * beat) + 0.01 * random.normal()
        for peak, width, *direction in waves:
            width = max(width, 0.5 / rate)  # an anti-aliasing filter widens a pacing spike
            centre, half_width = beat + peak, 5 * width
            start, stop = (np.clip([centre - half_width, centre + half_width], 0, seconds) * rate).astype(int)
            time = np.arange(start, stop) / rate - centre
            vector[:, start:stop] += np.outer(direction, amplitude * np.exp(-0.5 * (time / width) ** 2))
    return vector


def _fibrillation(samples: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """Fibrillatory waves, (t,): a sawtooth of varying frequency and amplitude (Stridh and Sörnmo 2001)."""
    time = np.arange(samples) / rate
    offset = random.uniform(0, 2 * np.pi, 4)
    angle = 2 * np.pi * time
    phase = random.uniform(5.5, 7.5) * angle + offset[0]
    phase += 2.5 * np.sin(0.3 * angle + offset[1]) + 0.9 * np.sin(1.3 * angle + offset[2])
    amplitude = 0.8 + 0.3 * np.sin(0.4 * angle + offset[3]) + 0.3 * np.sin(1.7 * angle + offset[1])
    return amplitude * sum(np.sin(harmonic * phase) / harmonic for harmonic in (1, 2, 3))


def _rotation(random: np.random.Generator) -> np.ndarray:
    """A rotation matrix (3, 3) by a few degrees, since the position of hearts in the chest differs."""
    x, y, z = random.normal(0, np.radians(4), 3)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    half = np.eye(3) - skew / 2
    return np.linalg.solve(half, np.eye(3) + skew / 2)  # Cayley transform: orthogonal for any angles


def _noise(samples: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """Baseline wander by breathing and at lower frequencies, and muscle noise, of 8 leads: (8, t) in mV."""
    leads = len(INDEPENDENT_8)
    time = np.arange(samples) / rate
    noise = np.zeros((leads, samples))
    for frequency, amplitude in ((BREATHING_HZ, 0.02), (0.11, 0.02), (0.05, 0.03)):
        angle = 2 * np.pi * frequency * time + random.uniform(0, 2 * np.pi)
        noise += amplitude * random.normal(size=(leads, 1)) * np.sin(angle)
    return noise + random.normal(0, 0.006, noise.shape)
