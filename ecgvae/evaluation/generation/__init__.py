"""How near generated ECGs are to real ones, beside floors of real and decoded ECGs."""

from ecgvae.evaluation.generation.material import Material, gather
from ecgvae.evaluation.generation.report import measure, measure_samples
from ecgvae.evaluation.generation.sets import EcgSet, decode_real, store_set

__all__ = ["EcgSet", "Material", "decode_real", "gather", "measure", "measure_samples", "store_set"]
