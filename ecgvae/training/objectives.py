"""Reconstruction losses: relative errors of the signal, of its first differences and of its spectrogram.

Each term computes one error per record, as a fraction (0.2 is 20 %), from the true signals x and the reconstructions
y in mV. The loss of a term is a mean of logarithms of these errors; log.csv has the errors in %.
"""

import torch
from jaxtyping import Float
from torch import Tensor

FLOOR_MV = 0.01     # keeps relative errors of (nearly) flat leads finite
STFT_SIZES = (16, 32, 64)       # windows of the short-time Fourier transform, in samples


def relative_error(error: Float[Tensor, "... t"], reference: Float[Tensor, "... t"],
                   floor: float) -> Float[Tensor, "..."]:
    """Root mean square of the error over that of the reference; smooth, and finite for a flat reference."""
    floor = floor**2
    return ((error.square().mean(-1) + 1e-3 * floor) / (reference.square().mean(-1) + floor)).sqrt()


def prdn(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
    """PRDN as in evaluation, but as a fraction: RMS error over RMS deviation from the mean, averaged over leads."""
    return relative_error(x - y, x - x.mean(-1, keepdim=True), FLOOR_MV).mean(1)


def derivative(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
    """The relative error of first differences, which gives the QRS complex the largest weight."""
    return relative_error((x - y).diff(dim=-1), x.diff(dim=-1), FLOOR_MV / 5).mean(1)


def spectral(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
    """The relative error of short-time magnitudes, averaged over `STFT_SIZES` (Yamamoto et al. 2020, eq. 4)."""
    return torch.stack([stft_error(x, y, size) for size in STFT_SIZES]).mean(0)


def stft_error(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"], size: int) -> Float[Tensor, "b"]:
    """The relative error of the magnitudes of a short-time Fourier transform with Hann windows of `size` samples."""
    window = torch.hann_window(size, device=x.device)
    def transform(signal: Tensor) -> Tensor:
        return torch.stft(signal.flatten(0, 1), size, size // 4, window=window, return_complex=True)
    spectrum_x, spectrum_y = transform(x), transform(y)
    magnitude = (spectrum_y.real.square() + spectrum_y.imag.square() + 1e-8).sqrt()
    error = (spectrum_x.abs() - magnitude).unflatten(0, x.shape[:2]).flatten(2)
    return relative_error(error, spectrum_x.abs().unflatten(0, x.shape[:2]).flatten(2), FLOOR_MV).mean(1)


TERMS = {"prdn": prdn, "derivative": derivative, "spectral": spectral}


def reconstruction_losses(x: Tensor, y: Tensor, weights: dict[str, float], groups: int) -> dict[str, Tensor]:
    """The loss of every term whose weight is not zero.

    Args:
        x: True signals (b, c, t) in mV.
        y: Reconstructions (b, c, t) in mV.
        weights: The weight of each term.
        groups: The number of groups in the batch, see `group_mean_log`.
    """
    return {name: group_mean_log(term(x, y), groups) for name, term in TERMS.items() if weights[name]}


def group_mean_log(errors: Float[Tensor, "b"], groups: int) -> Float[Tensor, ""]:
    """The logarithm of each group's mean error, averaged over groups; item i belongs to group i mod `groups`.

    The items of a group are reconstructed from the same number of codebooks. With the logarithm, a relative change of
    the error counts the same for every number; in a plain mean the smallest number, with the largest error, would
    dominate.
    """
    return torch.stack([errors[group::groups].mean() for group in range(min(groups, len(errors)))]).log().mean()


def error_percent(mean_log: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The geometric mean over groups of the error in %, from the result of `group_mean_log`."""
    return 100 * mean_log.exp()
