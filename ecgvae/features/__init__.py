"""Features: the layers of a pretrained encoder, pooled, for classifiers of ECG."""

from ecgvae.features.extractor import Extractor, RecordFeatures
from ecgvae.features.pooling import POOLINGS

__all__ = ["POOLINGS", "Extractor", "RecordFeatures"]
