"""The tokenizer of a token file."""

from dataclasses import replace
from pathlib import Path

from ecgvae import checkpoint
from ecgvae.data.tokens import TokenFile
from ecgvae.tokenizer.tokenizer import Tokenizer


def load_tokenizer(file: TokenFile, model: str | Path | None = None, device: str = "auto") -> Tokenizer:
    """Loads the tokenizer of a token file.

    Args:
        file: The token file.
        model: The tokenizer's name or folder; by default the name in the file.
        device: A device by torch's name, or "auto" for a GPU if there is one.

    Raises:
        ValueError: The name in the file is unknown, or the file is of another tokenizer.
    """
    try:
        tokenizer = Tokenizer.load(model or file.header.model, device)
    except FileNotFoundError:
        if model:
            raise
        raise ValueError(f"{file.path} is from {file.header.model}, which is no shipped tokenizer; "
                         "give its folder with --model") from None
    identities = [tokenizer.identity, *checkpoint.earlier_identities(model or file.header.model)]
    if file.header.tokenizer not in identities:
        raise ValueError(f"{file.path} is from the tokenizer {file.header.tokenizer} ({file.header.model}); "
                         f"{tokenizer.name} is {tokenizer.identity}")
    expected = tokenizer.header(len(file.header.codebooks))
    if file.header != replace(expected, model=file.header.model, tokenizer=file.header.tokenizer):
        raise ValueError(f"{file.path} is damaged: its header differs from that of its tokenizer")
    return tokenizer
