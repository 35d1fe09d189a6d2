"""A 12-lead ECG simulator: one moving heart vector seen by every lead, for the demo and the tests.

The vector is a sum of Gaussian waves a beat, P, Q, R, S and T (McSharry et al. 2003, IEEE Trans Biomed Eng
50:289), each with a direction in space (Sameni et al. 2007, EURASIP J Adv Signal Process 43407).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecgvae.signal import INDEPENDENT_8, LEADS_12, Record, lead_expansion, write_record

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
BREATHING, MAYER = 0.25, 0.1  # Hz

# A wave is its peak's time and its width (one standard deviation) in seconds, then the vector's x, y, z in mV
# at the peak. Time 0 is the R wave; repolarization is timed for 60 beats a minute. Amplitudes and directions
# were set by hand, near those of typical clinical records.
Waves = tuple[tuple[float, float, float, float, float], ...]
P: Waves = ((-0.165, 0.018, 0.06, 0.07, -0.03), (-0.138, 0.020, 0.07, 0.05, 0.03))
SEPTUM = (-0.025, 0.010, -0.12, -0.04, -0.20)
FREE_WALL = (0.000, 0.010, 1.12, 0.58, 0.30)
BASE = (0.019, 0.011, -0.05, 0.02, 0.62)
QRS: Waves = (SEPTUM, FREE_WALL, BASE, (0.037, 0.009, -0.14, -0.10, 0.08))
T: Waves = ((0.20, 0.055, 0.12, 0.05, -0.12), (0.26, 0.035, 0.20, 0.12, -0.08))


Rhythm = Callable[[float, np.random.Generator], float]  # a time in s to the next interval over the mean one


def sinus(time: float, random: np.random.Generator) -> float:
    """Faster and slower with breathing and the Mayer wave."""
    turn = 2 * np.pi * time
    return 1 + 0.03 * np.sin(BREATHING * turn) + 0.02 * np.sin(MAYER * turn) + 0.005 * random.normal()


def irregular(time: float, random: np.random.Generator) -> float:
    """No interval like the one before, none so short that the ventricles could not conduct it."""
    return max(0.55, random.lognormal(-0.03, 0.24))


def paced(time: float, random: np.random.Generator) -> float:
    """All intervals equal."""
    return 1.0


@dataclass(frozen=True)
class Heart:
    """A heart: beats a minute, the waves of a beat, `conduction` seconds more of PR, and what else there is.

    `ectopic` ventricular waves replace a beat in every few, early; `fibrillation` is the vector of f waves.
    """

    rate: float = 72
    rhythm: Rhythm = sinus
    atria: Waves = P
    conduction: float = 0.0
    ventricles: Waves = QRS
    recovery: Waves = T
    fibrillation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ectopic: "Heart | None" = None

    def waves(self, interval: float) -> np.ndarray:
        """The waves of a beat that lasts `interval` seconds, repolarization scaled by its root (Bazett)."""
        atria = np.array(self.atria).reshape(-1, 5) - [self.conduction, 0, 0, 0, 0]
        stretch = np.sqrt(min(interval, 1.2))
        return np.concatenate([atria, self.ventricles, np.array(self.recovery) * [stretch, stretch, 1, 1, 1]])


ECTOPIC = Heart(
    atria=(),
    ventricles=(
        (-0.045, 0.018, 0.25, 0.45, 0.10),
        (0.000, 0.026, 0.45, 1.25, 0.75),
        (0.045, 0.022, 0.10, 0.50, 0.70),
    ),
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
        ventricles=(
            (-0.032, 0.010, -0.12, -0.05, -0.22),
            (0.000, 0.012, 2.10, 0.62, 0.62),
            (0.022, 0.013, 0.15, 0.02, 1.15),
        ),
        recovery=((0.13, 0.045, -0.09, -0.03, -0.08), (0.25, 0.040, -0.28, -0.08, -0.26)),
    ),
    "anterior ST elevation": Heart(
        rate=86,
        ventricles=((-0.028, 0.011, -0.05, -0.04, 0.14), (0.000, 0.010, 0.85, 0.70, 0.42), BASE),
        recovery=(
            (0.075, 0.030, 0.10, -0.07, -0.20),
            (0.150, 0.045, 0.15, -0.08, -0.28),
            (0.250, 0.045, 0.22, 0.02, -0.36),
        ),
    ),
    "inferior ST elevation": Heart(
        rate=58,
        ventricles=((-0.028, 0.011, -0.02, -0.26, -0.20), (0.000, 0.010, 1.00, 0.78, 0.26), BASE),
        recovery=(
            (0.075, 0.030, -0.04, 0.19, 0.05),
            (0.150, 0.045, -0.06, 0.25, 0.06),
            (0.250, 0.045, 0.06, 0.36, -0.04),
        ),
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
    """A 12-lead record of one of CONDITIONS, the same for the same seed; another seed is another person."""
    if condition not in HEARTS:
        raise ValueError(f"condition {condition!r}; one of {', '.join(CONDITIONS)} is wanted")
    samples = round(seconds * rate)
    if samples < 1:
        raise ValueError(f"{seconds} s at {rate} Hz; at least one sample is wanted")
    random = np.random.default_rng([seed, CONDITIONS.index(condition)])
    heart = _heart_vector(HEARTS[condition], samples, rate, random)
    signal = DOWER @ _rotation(random) @ heart * random.lognormal(0, 0.06) + _noise(samples, rate, random)
    return Record(
        signal=(lead_expansion(LEADS_12, INDEPENDENT_8) @ signal).astype(np.float32),
        rate=rate,
        leads=LEADS_12,
        name=condition.replace(" ", "_").replace("-", "_"),
        comments=(f"condition: {condition}", f"simulated, seed {seed}"),
    )


def write_demo_records(folder: str | Path, count: int = 12, overwrite: bool = False) -> list[Path]:
    """Write `count` simulated WFDB records of 10 s, one a condition and then over again with another seed."""
    paths = []
    for index in range(count):
        seed, condition = divmod(index, len(CONDITIONS))
        record = simulate(CONDITIONS[condition], seed=seed)
        record = replace(record, name=f"{index + 1:02d}_{record.name}")
        paths.append(write_record(record, folder, overwrite=overwrite))
    return paths


def _beats(
    condition: Heart, seconds: float, random: np.random.Generator
) -> Iterator[tuple[float, np.ndarray]]:
    """The time of every beat's R wave and the waves around it."""
    pace = 60 / condition.rate * random.uniform(0.95, 1.05)
    time, until_ectopic = -random.uniform(0, pace), 3
    while time < seconds + 1:
        interval = pace * condition.rhythm(time, random)
        until_ectopic -= 1
        if condition.ectopic is None or until_ectopic:
            yield time, condition.waves(interval)
        else:
            yield time - 0.42 * pace, condition.ectopic.waves(pace)
            until_ectopic = int(random.integers(4, 6))
        time += interval


def _heart_vector(condition: Heart, samples: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """The vector over time, (3, t) in mV."""
    seconds = samples / rate
    vector = np.outer(condition.fibrillation, _fibrillation(samples, rate, random))
    for beat, waves in _beats(condition, seconds, random):
        strength = 1 + 0.02 * np.sin(2 * np.pi * BREATHING * beat) + 0.01 * random.normal()
        for peak, width, *direction in waves:
            width = max(width, 0.5 / rate)  # as an anti-aliasing filter leaves a pacing spike
            centre, reach = beat + peak, 5 * width
            start, stop = (np.clip([centre - reach, centre + reach], 0, seconds) * rate).astype(int)
            time = np.arange(start, stop) / rate - centre
            vector[:, start:stop] += np.outer(direction, strength * np.exp(-0.5 * (time / width) ** 2))
    return vector


def _fibrillation(samples: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """Fibrillatory waves, (t,): a sawtooth of wandering pitch and height (Stridh and Sörnmo 2001)."""
    time = np.arange(samples) / rate
    start = random.uniform(0, 2 * np.pi, 4)
    turn = 2 * np.pi * time
    phase = random.uniform(5.5, 7.5) * turn + start[0]
    phase += 2.5 * np.sin(0.3 * turn + start[1]) + 0.9 * np.sin(1.3 * turn + start[2])
    height = 0.8 + 0.3 * np.sin(0.4 * turn + start[3]) + 0.3 * np.sin(1.7 * turn + start[1])
    return height * sum(np.sin(harmonic * phase) / harmonic for harmonic in (1, 2, 3))


def _rotation(random: np.random.Generator) -> np.ndarray:
    """A heart lying a few degrees differently in the chest: a (3, 3) rotation."""
    x, y, z = random.normal(0, np.radians(4), 3)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    half = np.eye(3) - skew / 2
    return np.linalg.solve(half, np.eye(3) + skew / 2)  # Cayley's form: orthogonal whatever the angles


def _noise(samples: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """Baseline wander with breathing and slower, and muscle noise, in the independent leads: (8, t) in mV."""
    leads = len(INDEPENDENT_8)
    time = np.arange(samples) / rate
    noise = np.zeros((leads, samples))
    for frequency, height in ((BREATHING, 0.02), (0.11, 0.02), (0.05, 0.03)):
        angle = 2 * np.pi * frequency * time + random.uniform(0, 2 * np.pi)
        noise += height * random.normal(size=(leads, 1)) * np.sin(angle)
    return noise + random.normal(0, 0.006, noise.shape)
