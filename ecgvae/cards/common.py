"""What the cards of models and priors have in common: their order, the training data, and the data set."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ecgvae import resources
from ecgvae.cards.markdown import bullet, wrap
from ecgvae.codebooks import CodebookSpec
from ecgvae.settings import describe_error
from ecgvae.signal.amplitudes import Amplitudes

MIN_LATE_POTENTIALS_HZ = 500        # the sampling rate that late potentials want


class TrainingLength(BaseModel):
    """The block `training` of a recipe, as far as a card states it."""

    steps: int | None = None
    batch_size: int | None = None
    window: float | None = None
    init_from: str | None = None
    frozen: list[str] = []


class TrainingFacts(BaseModel):
    """What a config.json says about the training of its model or prior.

    Attributes:
        store, fingerprint, records: The training data.
        training, loss, augment, adversarial: Blocks of the recipe.
        dataset: Name of the data set, whose folder has a `card.md`.
        data: A description of the training data.
        splits: A description of each split that reports are about.
        weights_licence: The licence of the weights.
    """

    model_config = ConfigDict(extra="ignore")

    store: str | None = None
    fingerprint: str | None = None
    records: int | None = None
    training: TrainingLength = TrainingLength()
    loss: dict[str, float] = {}
    augment: dict[str, float] = {}
    adversarial: dict[str, Any] | None = None
    dataset: str | None = None
    data: str | None = None
    splits: dict[str, str] = {}
    weights_licence: str | None = None


def training_facts(folder: Path, config: dict[str, Any]) -> TrainingFacts:
    """The facts about a training in the config.json of a folder; ValueError, in one line, if they are damaged."""
    try:
        return TrainingFacts.model_validate(config.get("training", {}))
    except ValidationError as error:
        raise ValueError(f"{folder / 'config.json'} is damaged: {describe_error(error, 'training')}") from None


def read_description(dataset: str | None) -> dict[str, list[str]]:
    """The lines of each section of a data set's `card.md`; empty without a data set, or one without such a file."""
    if dataset is None:
        return {}
    folders = resources.datasets()
    path = resources.find_by_name("data set", dataset, folders, f"one of {', '.join(folders)}") / "card.md"
    if not path.is_file():
        return {}
    sections: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            lines = sections.setdefault(line.removeprefix("## "), [])
        elif line.strip() and sections:
            lines.append(line)
    return sections


def compose(name: str, summary: str, items: Sequence[str], results: Sequence[str], limits: Sequence[str]) -> str:
    """A card: its heading, summary and list of items; the sections of its results; and the list of its limits.

    Args:
        name: Name of the model or prior.
        summary: What it is.
        items: Lines of Markdown.
        results: Sections of Markdown, which begin with a heading.
        limits: Lines of Markdown.
    """
    sections = [f"# {name}", wrap(summary), "\n".join(items), *results, "## Limits", "\n".join(limits)]
    return "\n\n".join(section for section in sections if section) + "\n"


def data_items(training: TrainingFacts, config: dict[str, Any], unused_losses: Iterable[str] = ()) -> list[str]:
    """Items on the training data and the training.

    Args:
        training: The facts.
        config: The config.json, which may have the amplitudes of the data.
        unused_losses: Terms of the loss that do not apply.
    """
    data = [training.data or (f"`{training.store}`" if training.store else "")]
    data += [f"{training.records:,} records"] if training.records else []
    items = [f"**Training data:** {'; '.join(filter(None, data))}."] if any(data) else []
    if values := config.get("amplitudes"):
        amplitudes = Amplitudes.model_validate(values)
        rms, peak = amplitudes.rms_mv, amplitudes.peak_mv
        items.append(f"**Amplitudes of the training data:** leads have an RMS of {rms.q01:.2g} to {rms.q99:.2g} mV "
                     f"(median {rms.q50:.2g}) and peaks of {peak.q01:.2g} to {peak.q99:.2g} mV (median "
                     f"{peak.q50:.2g}), from the 1st to the 99th percentile.")
    length = training.training
    if length.steps:
        known = length.batch_size and length.window
        windows = [f"of {length.batch_size} windows of {length.window:g} s"] if known else []
        weights = [f"{name} {values}" for name, values in (("losses", terms(training.loss, unused_losses)),
                                                           ("augmentation", terms(training.augment))) if values]
        text = "; ".join([" ".join([f"{length.steps:,} steps", *windows]), *weights, *origin(training)])
        items.append(f"**Training:** {text}. All settings: `config.json`.")
    return items


def identity_items(training: TrainingFacts, identity: str, earlier: Sequence[str] = ()) -> list[str]:
    """Items on the weights and the identity, with those of earlier versions whose token files decode."""
    items = [f"**Licence of the weights:** {training.weights_licence}."] if training.weights_licence else []
    names = ", ".join(f"`{name}`" for name in earlier)
    note = f" (earlier versions: {names}; their token files decode)" if names else ""
    return [*items, f"**Identity:** `{identity}`{note}"]


def describe_codebooks(specs: Iterable[CodebookSpec], rate: float) -> str:
    """Codebooks from the coarsest to the finest, at a sampling rate in Hz."""
    groups = [(spec, len(list(group))) for spec, group in groupby(specs)]
    texts = [f"{count} codebook{'s' * (count > 1)} of {spec.size:,} codes, one code every {1000 * spec.hop / rate:g} ms"
             for spec, count in groups]
    return ", then ".join(texts)


def origin(training: TrainingFacts) -> list[str]:
    """What a training starts from, what of it is not trained, and whether there are discriminators."""
    length = training.training
    items = [f"starts from `{Path(length.init_from).name}`"] if length.init_from else []
    items += [f"not trained: {', '.join(length.frozen)}"] if length.frozen else []
    return items + (["against discriminators"] if training.adversarial else [])


def terms(weights: dict[str, float], unused: Iterable[str] = ()) -> str:
    """The weights that are used and not 0."""
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items() if weight and name not in unused)


def rate_limit(rate: float) -> str:
    """An item on what is lost at a sampling rate in Hz."""
    lost = ": no late potentials, no pacing spikes" if rate < MIN_LATE_POTENTIALS_HZ else ""
    return bullet(f"At {rate:g} Hz nothing above {rate / 2:g} Hz is kept{lost}.")
