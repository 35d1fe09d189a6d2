"""The card of a model as Markdown, from what its folder holds and from the description of its data set."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ecgvae import checkpoint, resources
from ecgvae.cards.tables import describe_report
from ecgvae.codebooks import CodebookSpec
from ecgvae.evaluation.reports import Report, read_reports
from ecgvae.inspection import describe_model, model_facts
from ecgvae.metrics import bits_per_second
from ecgvae.settings import describe_error

WIDTH = 120
MIN_LATE_POTENTIALS_HZ = 500        # the sampling rate that late potentials want
FAMILIES = {"ae": "An autoencoder", "vae": "A variational autoencoder", "cvae": "A conditional variational autoencoder",
            "vqvae": "A VQ-VAE", "vqvae2": "A VQ-VAE-2"}
BACKBONES = {"conv": ", convolutional", "transformer": " with transformers as encoder and decoder"}
PRIOR_NOTE = ("Its latent follows time: draws of N(0, I) have no rhythm and no beats. To generate ECG, a prior over "
              "the frames must be learned first.")
COARSE_NOTE = "Fewer codebooks than those of the coarser levels decode too, but it is not trained for that."
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
OTHER_LOSSES = {"vqvae": ("nll", "kl", "kl_warmup"), "vae": ("commitment", "codebook", "usage_loss", "evenness")}
ALWAYS_LIMITS = ("Errors are largest where the signal is small or noisy (see the 95th percentile).",
                 "This is not a medical device: do not measure or diagnose from decoded ECG.")


class TrainingLength(BaseModel):
    """The block `training` of a recipe, as far as a card states it."""

    steps: int | None = None
    batch_size: int | None = None
    window: float | None = None


class TrainingFacts(BaseModel):
    """What a config.json says about the training of its model.

    Attributes:
        store, fingerprint, records: The training data.
        training, loss, augment: Blocks of the recipe.
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
    dataset: str | None = None
    data: str | None = None
    splits: dict[str, str] = {}
    weights_licence: str | None = None


def model_card(model: str | Path, dataset: str | None = None) -> str:
    """The card of a model as Markdown.

    Args:
        model: A shipped name, a model folder or a run folder.
        dataset: Name of the data set with whose description the card ends; by default the one that config.json names.

    Raises:
        ValueError: The model's folder is damaged.
        FileNotFoundError: There is no such model or data set.
    """
    facts, training, reports = describe_model(model), training_facts(model), read_reports(model)
    description = read_description(dataset or training.dataset)
    data = [*map(bullet, data_items(model, training)), *description.get("Data", []),
            *map(bullet, identity_items(model, training))]
    limits = [bullet(rate_limit(facts["rate"])), *description.get("Limits", []), *map(bullet, ALWAYS_LIMITS)]
    sections = [f"# {facts['name']}", wrap(summary(model, facts)), "\n".join(data),
                "## Reconstruction", *results(model, facts, training, reports), "## Limits", "\n".join(limits)]
    return "\n\n".join(section for section in sections if section) + "\n"


def training_facts(model: str | Path) -> TrainingFacts:
    """The facts about a model's training in its config.json."""
    folder = checkpoint.locate(model)
    try:
        return TrainingFacts.model_validate(checkpoint.config(folder).get("training", {}))
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


def summary(model: str | Path, facts: dict[str, Any]) -> str:
    """What the model is, in a few sentences."""
    settings, specs = checkpoint.config(model)["model"], model_facts(checkpoint.locate(model))["codebooks"]
    family, leads, coded = facts["family"], facts["leads"], facts["coded_leads"]
    kind = FAMILIES.get(family, f"A model of family {family}")
    if family == "vqvae" and len(specs) > 1:
        kind = "A residual VQ-VAE"
    latent = describe_codebooks(specs, facts["rate"]) if specs else facts["latent"]
    derived = [lead for lead in leads if lead not in coded]
    encodes = f"It encodes {listed(coded)} in millivolts" + (f" and derives {listed(derived)}." if derived else ".")
    notes = [PRIOR_NOTE] if family in ("vae", "cvae") and settings.get("span", 1) == 1 else []
    notes += [COARSE_NOTE] if family == "vqvae2" else []
    backbone = BACKBONES.get(settings.get("backbone", {}).get("kind", "conv"), "")
    return " ".join([f"{kind} for {len(leads)}-lead ECG at {facts['rate']:g} Hz{backbone}: {latent}.", encodes, *notes])


def describe_codebooks(specs: Sequence[CodebookSpec], rate: float) -> str:
    """Codebooks from the coarsest to the finest, and their range of bit rates."""
    groups = [(spec, len(list(group))) for spec, group in groupby(specs)]
    texts = [f"{count} codebook{'s' * (count > 1)} of {spec.size:,} codes, one code every {1000 * spec.hop / rate:g} ms"
             for spec, count in groups]
    low, high = bits_per_second(specs[:1], rate), bits_per_second(specs, rate)
    rates = f"{low:.0f} to {high:,.0f} bit/s" if len(specs) > 1 else f"{high:,.0f} bit/s"
    return f"{', then '.join(texts)}; {rates}"


def data_items(model: str | Path, training: TrainingFacts) -> list[str]:
    """Items on the training data and the training."""
    data = [training.data or (f"`{training.store}`" if training.store else "")]
    data += [f"{training.records:,} records"] if training.records else []
    items = [f"**Training data:** {'; '.join(filter(None, data))}."] if any(data) else []
    if amplitudes := checkpoint.amplitudes(model):
        rms, peak = amplitudes.rms_mv, amplitudes.peak_mv
        items.append(f"**Amplitudes of the training data:** leads have an RMS of {rms.q01:.2g} to {rms.q99:.2g} mV "
                     f"(median {rms.q50:.2g}) and peaks of {peak.q01:.2g} to {peak.q99:.2g} mV (median "
                     f"{peak.q50:.2g}), from the 1st to the 99th percentile.")
    length, family = training.training, checkpoint.config(model)["model"]["family"]
    unused = OTHER_LOSSES["vqvae" if family.startswith("vqvae") else "vae"]
    if length.steps:
        known = length.batch_size and length.window
        windows = [f"of {length.batch_size} windows of {length.window:g} s"] if known else []
        weights = [f"{name} {values}" for name, values in (("losses", terms(training.loss, unused)),
                                                           ("augmentation", terms(training.augment))) if values]
        text = "; ".join([" ".join([f"{length.steps:,} steps", *windows]), *weights])
        items.append(f"**Training:** {text}. All settings: `config.json`.")
    return items


def identity_items(model: str | Path, training: TrainingFacts) -> list[str]:
    """Items on the weights and the identity."""
    items = [f"**Licence of the weights:** {training.weights_licence}."] if training.weights_licence else []
    earlier = ", ".join(f"`{name}`" for name in checkpoint.earlier_identities(model))
    note = f" (earlier versions: {earlier}; their token files decode)" if earlier else ""
    return [*items, f"**Identity:** `{checkpoint.identity(model)}`{note}"]


def results(model: str | Path, facts: dict[str, Any], training: TrainingFacts,
            reports: dict[str, Report]) -> list[str]:
    """The sections of all reports, the test split first; without reports, the validation of the training."""
    if reports:
        specs, leads = model_facts(checkpoint.locate(model))["codebooks"], len(facts["leads"])
        return [section for split in sorted(reports)
                for section in describe_report(reports[split], training.splits.get(split), specs, leads, wrap)]
    values = [f"{name.removeprefix('prdn_')}: {value:.1f} %" for name, value in facts["validation"].items()
              if name.startswith("prdn_") and isinstance(value, int | float)]
    known = f" Mean PRDN at the end of its training, by number of codebooks: {', '.join(values)}." if values else ""
    return [wrap(f"Not evaluated yet: `ecgvae evaluate MODEL STORE --save`.{known}")]


def rate_limit(rate: float) -> str:
    """What is lost at a sampling rate in Hz."""
    lost = ": no late potentials, no pacing spikes" if rate < MIN_LATE_POTENTIALS_HZ else ""
    return f"At {rate:g} Hz nothing above {rate / 2:g} Hz is kept{lost}."


def terms(weights: dict[str, float], unused: Iterable[str] = ()) -> str:
    """The weights that are used and not 0."""
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items() if weight and name not in unused)


def listed(names: Iterable[str]) -> str:
    """Names as "I, II and V1–V6"."""
    *others, last = ", ".join(names).replace(", ".join(CHEST_LEADS), "V1–V6").split(", ")
    return f"{', '.join(others)} and {last}" if others else last


def bullet(text: str) -> str:
    """An item of a list."""
    return wrap(f"- {text}", "  ")


def wrap(text: str, indent: str = "") -> str:
    """The text in lines of at most 120 characters; the lines after the first are indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
