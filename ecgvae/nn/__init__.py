"""Building blocks in plain torch: convolutions, attention, quantizers, Gaussians and discriminators."""
