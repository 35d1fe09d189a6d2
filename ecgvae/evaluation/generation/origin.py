"""The tokenizer that samples were decoded by, as their files name it."""

from collections.abc import Sequence
from pathlib import Path

from ecgvae.data.collection import Collection
from ecgvae.data.tokens import open_tokens
from ecgvae.metrics import bits_per_second
from ecgvae.tokenizer import Tokenizer, load_tokenizer
from ecgvae.tokenizer.decoding import DECODED


def find_tokenizer(path: str | Path) -> tuple[Tokenizer, int] | None:
    """The tokenizer that samples were decoded by, and the number of its codebooks that were used; None if unknown.

    A token file names it, and so does the header of each decoded record; the first record counts.

    Args:
        path: A token file, a record, or a folder of records.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: A token file is damaged or its tokenizer is not there, or there are no records.
    """
    if Path(path).suffix == ".parquet":
        file = open_tokens(path)
        return load_tokenizer(file, device="cpu"), len(file.header.codebooks)
    collection = Collection([path])
    return decoder_of(collection.open(collection.entries[0]).comments)


def decoder_of(comments: Sequence[str]) -> tuple[Tokenizer, int] | None:
    """The tokenizer in a comment such as `ecgvae: decoded by NAME (IDENTITY) from 500 bit/s`; None if it isn't here.

    The bit rate says how many of its codebooks were used.
    """
    for line in comments:
        words = line.removeprefix(DECODED).split() if line.startswith(DECODED) else []
        if len(words) != 5:
            continue
        try:
            tokenizer = Tokenizer.load(words[0], "cpu")
        except (ValueError, OSError):
            return None
        specs, rate = tokenizer.model.codebook_specs, tokenizer.model.signal.rate
        counts = [count for count in range(1, len(specs) + 1)
                  if f"{bits_per_second(specs[:count], rate):g}" == words[3]]
        if f"({tokenizer.identity})" == words[1] and counts:
            return tokenizer, counts[0]
    return None
