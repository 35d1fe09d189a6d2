"""Whole collections of records: to tokens and back, resumable, by one process or several; and generated ones."""

from ecgvae.batch.detokenize import DecodedSummary, detokenize_files
from ecgvae.batch.distributed import distributed_state
from ecgvae.batch.sample import SampleSummary, sample_files
from ecgvae.batch.summary import Summary
from ecgvae.batch.tokenize import EncodedSummary, TokenizeJob, tokenize_files

__all__ = ["DecodedSummary", "EncodedSummary", "SampleSummary", "Summary", "TokenizeJob", "detokenize_files",
           "distributed_state", "sample_files", "tokenize_files"]
