"""Records and arrays to tokens and back, at any length."""

from ecgvae.tokenizer.decoding import STEP_MV
from ecgvae.tokenizer.loading import load_tokenizer
from ecgvae.tokenizer.tokenizer import CHUNK_SAMPLES, CPU_BATCH, Tokenizer

__all__ = ["CHUNK_SAMPLES", "CPU_BATCH", "STEP_MV", "Tokenizer", "load_tokenizer"]
