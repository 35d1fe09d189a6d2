"""ECG-like signals for tests."""

import numpy as np

from ecgvae.signal import INDEPENDENT_8, LEADS_12, Record, lead_expansion

EIGHT_TO_TWELVE = lead_expansion(LEADS_12, INDEPENDENT_8)


def einthoven(seed: int = 0, samples: int = 1000, rate: float = 100, leads=LEADS_12) -> Record:
    """A smooth 12-lead record that obeys Einthoven's law."""
    steps = np.random.default_rng(seed).normal(size=(8, samples))
    signal = EIGHT_TO_TWELVE @ np.cumsum(steps, axis=1) / 10
    return Record(signal[[LEADS_12.index(lead) for lead in leads]], rate, leads, name="rec")
