"""What a reconstruction is trained for; each term is a function of the true signal and the one that came back."""

import torch
from jaxtyping import Float
from torch import Tensor

FLOOR = 0.01    # mV: keeps relative errors of (nearly) flat leads finite
RESOLUTIONS = (16, 32, 64)      # samples


def relative(error: Float[Tensor, "... t"], reference: Float[Tensor, "... t"], floor: float) -> Float[Tensor, "..."]:
    """Root mean square of the error over that of the reference; smooth, and finite at silence."""
    floor = floor**2
    return ((error.square().mean(-1) + 1e-3 * floor) / (reference.square().mean(-1) + floor)).sqrt()


def prdn(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
    """The evaluation's PRDN as a fraction: error over deviation from the mean, by lead, averaged over leads."""
    return relative(x - y, x - x.mean(-1, keepdim=True), FLOOR).mean(1)


def derivative(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
    """The same of the first differences, where QRS edges weigh most."""
    return relative((x - y).diff(dim=-1), x.diff(dim=-1), FLOOR / 5).mean(1)


def spectral(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"]) -> Float[Tensor, "b"]:
    """Relative error of short-time magnitudes, averaged over resolutions (Yamamoto et al. 2020, eq. 4)."""
    return torch.stack([magnitudes(x, y, size) for size in RESOLUTIONS]).mean(0)


def magnitudes(x: Float[Tensor, "b c t"], y: Float[Tensor, "b c t"], size: int) -> Float[Tensor, "b"]:
    window = torch.hann_window(size, device=x.device)
    def transform(signal):
        return torch.stft(signal.flatten(0, 1), size, size // 4, window=window, return_complex=True)
    true, made = transform(x), transform(y)
    magnitude = (made.real.square() + made.imag.square() + 1e-8).sqrt()
    error = (true.abs() - magnitude).unflatten(0, x.shape[:2]).flatten(2)
    return relative(error, true.abs().unflatten(0, x.shape[:2]).flatten(2), FLOOR).mean(1)


TERMS = {"prdn": prdn, "derivative": derivative, "spectral": spectral}


def reconstruction_losses(x: Tensor, y: Tensor, weights: dict[str, float], groups: int) -> dict[str, Tensor]:
    """Every term of non-zero weight; see `even` for the groups."""
    return {name: even(term(x, y), groups) for name, term in TERMS.items() if weights[name]}


def even(errors: Float[Tensor, "b"], groups: int) -> Float[Tensor, ""]:
    """Mean over groups of the logarithm of their mean error; item i belongs to group i mod `groups`.

    The groups are the numbers of codebooks. The logarithm weighs a per cent less error alike at every rate;
    a plain mean would care for the lowest rate most.
    """
    return torch.stack([errors[group::groups].mean() for group in range(min(groups, len(errors)))]).log().mean()
