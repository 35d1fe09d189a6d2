"""How a prior has drawn samples, as their comments state it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ecgvae import checkpoint
from ecgvae.data.collection import Collection
from ecgvae.data.tokens import open_tokens
from ecgvae.evaluation.generation.reading import MAX_RECORDS
from ecgvae.signal.generated import continues_prompt, generated_note, read_options, read_origin
from ecgvae.wording import plain


@dataclass(frozen=True)
class Sampling:
    """How samples were drawn.

    Attributes:
        options: Number of samples by their options, "" for the defaults.
        prompted: Number of samples that begin with a given record.
    """

    options: dict[str, int]
    prompted: int


def read_sampling(samples: str | Path, prior: str | Path) -> Sampling:
    """How a prior has drawn samples.

    The identity of a prior counts, not its name, which is that of its folder. Records that can't be opened, which are
    not measured either, do not count.

    Args:
        samples: A record, a folder of records, a store or a token file (.parquet).
        prior: The name of a shipped prior, its folder or that of its run.

    Raises:
        FileNotFoundError: There are no samples at the path, or no such prior.
        ValueError: There is a sample that does not say that this prior generated it.
    """
    identity = checkpoint.prior_config(prior)["identity"]
    wanted = f"wanted samples of {checkpoint.prior_name(prior)} ({identity})"
    options: Counter[str] = Counter()
    prompted = 0
    for name, comments in islice(open_comments(Path(samples)), MAX_RECORDS):
        origin = read_origin(comments)
        if origin is None or origin.identity != identity:
            says = generated_note(comments) or "not said to be generated"
            raise ValueError(f"{plain(name)} of {samples} is {plain(says)}; {wanted}")
        options[plain(read_options(comments))] += 1
        prompted += continues_prompt(comments)
    if not options:
        raise ValueError(f"{samples} has no usable samples; {wanted}")
    return Sampling(dict(options.most_common()), prompted)


def open_comments(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name and comments of each sample at a path."""
    if path.suffix == ".parquet":
        for tokens in open_tokens(path):
            yield tokens.name, tokens.comments
        return
    collection = Collection([path])
    for entry in collection.entries:
        try:
            record = collection.open(entry)
        except (ValueError, OSError):
            continue
        yield entry.name, record.comments
