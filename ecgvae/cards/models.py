"""The card of a model, from what its folder holds and from the description of its data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgvae import checkpoint
from ecgvae.cards.common import (
    TrainingFacts,
    compose,
    data_items,
    describe_codebooks,
    identity_items,
    rate_limit,
    read_description,
    training_facts,
)
from ecgvae.cards.markdown import bullet, listed, wrap
from ecgvae.cards.reconstruction import describe_report
from ecgvae.codebooks import CodebookSpec
from ecgvae.evaluation.reports import Report, read_reports
from ecgvae.inspection import describe_model, model_facts
from ecgvae.metrics import bits_per_second

FAMILIES = {"ae": "An autoencoder", "vae": "A variational autoencoder", "cvae": "A conditional variational autoencoder",
            "vqvae": "A VQ-VAE", "vqvae2": "A VQ-VAE-2"}
BACKBONES = {"conv": ", convolutional", "transformer": " with transformers as encoder and decoder"}
PRIOR_NOTE = ("Its latent follows time: draws of N(0, I) have no rhythm and no beats. To generate ECG, a prior over "
              "the frames must be learned first.")
COARSE_NOTE = "Fewer codebooks than those of the coarser levels decode too, but it is not trained for that."
OTHER_LOSSES = {"vqvae": ("nll", "kl", "kl_warmup"), "vae": ("commitment", "codebook", "usage_loss", "evenness")}
ALWAYS_LIMITS = ("Errors are largest where the signal is small or noisy (see the 95th percentile).",
                 "This is not a medical device: do not measure or diagnose from decoded ECG.")


def model_card(model: str | Path, dataset: str | None = None) -> str:
    """The card of a model as Markdown.

    Args:
        model: A shipped name, a model folder or a run folder.
        dataset: Name of the data set with whose description the card ends; by default the one that config.json names.

    Raises:
        ValueError: The model's folder is damaged.
        FileNotFoundError: There is no such model or data set.
    """
    facts, config, reports = describe_model(model), checkpoint.config(model), read_reports(model)
    training = training_facts(checkpoint.locate(model), config)
    description = read_description(dataset or training.dataset)
    unused_losses = OTHER_LOSSES["vqvae" if facts["family"].startswith("vqvae") else "vae"]
    identity = identity_items(training, facts["identity"], checkpoint.earlier_identities(model))
    items = [*map(bullet, data_items(training, config, unused_losses)), *description.get("Data", []),
             *map(bullet, identity)]
    limits = [rate_limit(facts["rate"]), *description.get("Limits", []), *map(bullet, ALWAYS_LIMITS)]
    sections = ["## Reconstruction", *results(model, facts, training, reports)]
    return compose(facts["name"], summary(model, facts), items, sections, limits)


def summary(model: str | Path, facts: dict[str, Any]) -> str:
    """What the model is, in a few sentences."""
    settings, specs = checkpoint.config(model)["model"], model_facts(checkpoint.locate(model))["codebooks"]
    family, leads, coded = facts["family"], facts["leads"], facts["coded_leads"]
    kind = FAMILIES.get(family, f"A model of family {family}")
    if family == "vqvae" and len(specs) > 1:
        kind = "A residual VQ-VAE"
    latent = describe_tokens(specs, facts["rate"]) if specs else facts["latent"]
    derived = [lead for lead in leads if lead not in coded]
    encodes = f"It encodes {listed(coded)} in millivolts" + (f" and derives {listed(derived)}." if derived else ".")
    notes = [PRIOR_NOTE] if family in ("vae", "cvae") and settings.get("span", 1) == 1 else []
    notes += [COARSE_NOTE] if family == "vqvae2" else []
    backbone = BACKBONES.get(settings.get("backbone", {}).get("kind", "conv"), "")
    return " ".join([f"{kind} for {len(leads)}-lead ECG at {facts['rate']:g} Hz{backbone}: {latent}.", encodes, *notes])


def describe_tokens(specs: Sequence[CodebookSpec], rate: float) -> str:
    """Codebooks from the coarsest to the finest, and their range of bit rates."""
    low, high = bits_per_second(specs[:1], rate), bits_per_second(specs, rate)
    rates = f"{low:.0f} to {high:,.0f} bit/s" if len(specs) > 1 else f"{high:,.0f} bit/s"
    return f"{describe_codebooks(specs, rate)}; {rates}"


def results(model: str | Path, facts: dict[str, Any], training: TrainingFacts,
            reports: dict[str, Report]) -> list[str]:
    """The sections of all reports, the test split first; without reports, the validation of the training."""
    if reports:
        specs, leads = model_facts(checkpoint.locate(model))["codebooks"], len(facts["leads"])
        return [section for split in sorted(reports)
                for section in describe_report(reports[split], training.splits.get(split), specs, leads)]
    values = [f"{name.removeprefix('prdn_')}: {value:.1f} %" for name, value in facts["validation"].items()
              if name.startswith("prdn_") and isinstance(value, int | float)]
    known = f" Mean PRDN at the end of its training, by number of codebooks: {', '.join(values)}." if values else ""
    return [wrap(f"Not evaluated yet: `ecgvae evaluate MODEL STORE --save`.{known}")]
