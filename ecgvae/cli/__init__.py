"""The command line: one file for each group of commands; each command parses, calls and prints."""

# isort: off
# `ecgvae --help` lists the commands in this order.
from ecgvae.cli import demo, data, tokens, detokenize, extract, sample, training, evaluation, evaluate_samples  # noqa: F401
from ecgvae.cli import catalogue, inspection, plot  # noqa: F401
from ecgvae.cli.app import app, main

__all__ = ["app", "main"]
