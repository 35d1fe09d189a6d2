"""The precision of matrix products in a training."""

import torch


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context with matrix products in bfloat16 for "bf16", and for "auto" on a GPU that supports it."""
    supported = device.type == "cuda" and torch.cuda.is_bf16_supported()
    enabled = precision == "bf16" or (precision == "auto" and supported)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
