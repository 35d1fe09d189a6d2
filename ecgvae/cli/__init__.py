"""The command line: one file a group of verbs; each verb parses, calls and prints."""

from ecgvae.cli import data, evaluation, inspection, tokens, training  # noqa: F401  (they register their verbs)
from ecgvae.cli.app import app, main

__all__ = ["app", "main"]
