"""Whole collections of records, resumable, by one process or several: tokens and back, features, generated ones."""

from ecgvae.batch.detokenize import DecodedSummary, detokenize_files
from ecgvae.batch.distributed import distributed_state
from ecgvae.batch.extract import ExtractedSummary, extract_files
from ecgvae.batch.sample import SampleSummary, sample_files
from ecgvae.batch.summary import Summary
from ecgvae.batch.tokenize import EncodedSummary, TokenizeJob, tokenize_files

__all__ = ["DecodedSummary", "EncodedSummary", "ExtractedSummary", "SampleSummary", "Summary", "TokenizeJob",
           "detokenize_files", "distributed_state", "extract_files", "sample_files", "tokenize_files"]
