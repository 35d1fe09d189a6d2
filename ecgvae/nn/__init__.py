"""Building blocks in plain torch: convolutions and quantizers."""
