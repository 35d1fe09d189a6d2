import json

import heartbeats
import numpy as np

from ecgvae.evaluation.generation.physiology import compare_physiology, measure_physiology
from ecgvae.signal import LEADS_12


def test_sections_of_the_comparison():
    records = [heartbeats.record(heartbeats.regular(0.7 + 0.05 * seed), heartbeats.axes(seed), noise=0.01, seed=seed)
               for seed in range(4)]
    real = measure_physiology(np.stack(records), 100, LEADS_12)
    generated = measure_physiology(np.stack([*records[:3], np.zeros_like(records[0])]), 100, LEADS_12)
    result = json.loads(json.dumps(compare_physiology(real, generated)))
    assert set(result) == {"undelineated", "intervals", "beats", "waveforms"}
    assert result["undelineated"] == {"real": 0, "generated": 0.25}
    assert result["intervals"]["qrs"]["generated_values"] == 3
    assert result["beats"]["generated_regular"] == 0.75
    ratio = result["beats"]["variance_ratio"]
    assert ratio["low"] <= ratio["value"] <= ratio["high"] and 0 <= result["intervals"]["qrs"]["ks"]["low"]
