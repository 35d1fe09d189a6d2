"""Prepared signals on disk, windows of them for training, and token files."""
