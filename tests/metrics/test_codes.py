from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats

from ecgvae import metrics


@dataclass(frozen=True)
class CodebookSpec:
    hop: int
    size: int


def test_code_statistics():
    codes = np.array([[0, 0, 1], [1, 3, 0]])
    assert metrics.code_usage(codes, 4) == 0.75
    assert metrics.entropy(codes, 4) == pytest.approx(scipy.stats.entropy([3, 2, 1], base=2))
    assert metrics.perplexity(codes, 4) == pytest.approx(np.exp(scipy.stats.entropy([3, 2, 1])))
    assert metrics.perplexity(np.arange(512), 512) == pytest.approx(512)
    assert metrics.entropy([7, 7], 8) == 0


def test_no_codes():
    assert metrics.code_usage([], 4) == 0
    assert np.isnan(metrics.entropy([], 4))


@pytest.mark.parametrize("codes", [[-1, 0], [4]])
def test_codes_outside_the_codebook(codes):
    with pytest.raises(ValueError, match="codes from -?[0-4] to [0-4]; wanted 0 to 3"):
        metrics.code_usage(codes, 4)


def test_bits_per_second():
    codebooks = [CodebookSpec(8, 1024), CodebookSpec(8, 1024), CodebookSpec(32, 1000)]
    assert metrics.bits_per_second(codebooks, 100) == pytest.approx(12.5 * 10 * 2 + 3.125 * 10)
    assert metrics.bits_per_second(codebooks, 100, bits=[9, 8, 4]) == pytest.approx(12.5 * 17 + 12.5)
    with pytest.raises(ValueError):
        metrics.bits_per_second(codebooks, 100, bits=[9])
