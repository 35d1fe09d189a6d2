"""The autoencoder that samples were decoded by, as their files name it."""

from collections.abc import Sequence
from pathlib import Path

from ecgvae import checkpoint
from ecgvae.data.collection import Collection
from ecgvae.data.tokens import open_tokens
from ecgvae.evaluation.generation.latents import LatentAutoencoder
from ecgvae.metrics import bits_per_second
from ecgvae.signal.generated import read_origin
from ecgvae.tokenizer import Tokenizer, load_tokenizer
from ecgvae.tokenizer.decoding import DECODED

Known = tuple[Tokenizer, int] | tuple[LatentAutoencoder, None]      # a tokenizer with its number of codebooks


def find_tokenizer(path: str | Path) -> Known | None:
    """The tokenizer that samples were decoded by, and the number of its codebooks that were used; None if unknown.

    A token file names it, and so does the header of each decoded record; the first record counts. Records of a prior
    over latents name an autoencoder instead.

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
    comments = collection.open(collection.entries[0]).comments
    return decoder_of(comments) or autoencoder_of(comments)


def of_prior(prior: str | Path) -> Known:
    """The autoencoder of a prior, with the number of its codebooks that the prior is over.

    Raises:
        FileNotFoundError: There is no such prior, or its autoencoder is not there.
        ValueError: One of them is damaged.
    """
    folder = checkpoint.prior_autoencoder(prior)
    if codebooks := checkpoint.prior_config(prior)["autoencoder"].get("codebooks"):
        return Tokenizer.load(folder, "cpu"), len(codebooks)
    return LatentAutoencoder.load(folder), None


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


def autoencoder_of(comments: Sequence[str]) -> tuple[LatentAutoencoder, None] | None:
    """The autoencoder that generated records name as that of their prior; None if it isn't here.

    Records that were decoded from tokens name their tokenizer too, so this one's latents were drawn.
    """
    if (origin := read_origin(comments)) is None:
        return None
    try:
        if origin.autoencoder_identity == checkpoint.identity(checkpoint.locate(origin.autoencoder)):
            return LatentAutoencoder.load(origin.autoencoder), None
    except (ValueError, OSError):
        pass
    return None
