"""Prepared signals on disk, windows of them for training, tables of labels, and token files."""
