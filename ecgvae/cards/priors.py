"""The card of a prior, from what its folder and that of its autoencoder hold, and from its data set's description."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

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
from ecgvae.cards.samples import EXPLANATION, describe_report
from ecgvae.checkpoint.files import read_prior_head
from ecgvae.checkpoint.schema import ConditionHead
from ecgvae.codebooks import CodebookSpec
from ecgvae.evaluation.sample_reports import SampleReport, read_sample_reports
from ecgvae.inspection import describe_prior
from ecgvae.settings import describe_error

KINDS = {"autoregressive": "An autoregressive prior", "pixelcnn": "A PixelCNN prior",
         "masked": "A prior by masked discrete diffusion", "flow": "A prior by flow matching",
         "ddpm": "A prior by Gaussian diffusion (DDPM)"}
BOUNDED = ("masked",)       # kinds whose loss is a bound of the negative log-likelihood
ALWAYS_LIMITS = ("It generates ECG like that of its training data, and shares their limits.",
                 "A label that is asked for is not sure to be seen in the ECG: see how labels agree with a classifier.",
                 "Generated ECG is of no patient. Records, token files and pictures say that it is generated.",
                 "This is not a medical device: do not diagnose from generated ECG.")


class Validation(BaseModel):
    """The metrics at the end of a training: the loss, and the bit rate that it means for codes."""

    model_config = ConfigDict(extra="ignore")

    loss: float | None = None
    bits_per_second: float | None = None
    step: int | None = None


def prior_card(prior: str | Path, dataset: str | None = None) -> str:
    """The card of a prior as Markdown.

    Args:
        prior: A shipped name, a prior's folder or a run folder.
        dataset: Name of the data set with whose description the card ends; by default the one that config.json names,
            or that of the autoencoder if it was trained on the same store.

    Raises:
        ValueError: The folder of the prior or of its autoencoder is damaged.
        FileNotFoundError: There is no such prior or data set, or its autoencoder is not there.
    """
    facts, config, reports = describe_prior(prior), checkpoint.prior_config(prior), read_sample_reports(prior)
    folder = checkpoint.locate_prior(prior)
    training, condition = prior_training(folder, config), read_prior_head(folder / "config.json").condition
    description = read_description(dataset or training.dataset)
    own = [describe_condition(condition), *data_items(training, config),
           *validation_items(folder, config, facts, condition)]
    items = [*map(bullet, own), *description.get("Data", []), *map(bullet, identity_items(training, facts["identity"]))]
    limits = [rate_limit(facts["rate"]), *description.get("Limits", []), *map(bullet, ALWAYS_LIMITS)]
    sections = ["## Samples", *results(training, reports)]
    return compose(facts["name"], summary(facts, config), items, sections, limits)


def prior_training(folder: Path, config: dict[str, Any]) -> TrainingFacts:
    """The facts about a prior's training; those of its autoencoder say what the data are if it had the same ones."""
    source = checkpoint.prior_autoencoder(folder)
    own, other = training_facts(folder, config), training_facts(source, checkpoint.config(source))
    if own.fingerprint is None or own.fingerprint != other.fingerprint:
        return own
    return own.model_copy(update={name: getattr(own, name) or getattr(other, name)
                                  for name in ("dataset", "data", "splits")})


def summary(facts: dict[str, Any], config: dict[str, Any]) -> str:
    """What the prior is, in two sentences."""
    kind = facts["prior_kind"]
    process = config["prior"].get("process") if kind == "latent" else kind
    over = f"`{facts['autoencoder']}` ({facts['autoencoder_identity']})"
    if codebooks := config["autoencoder"].get("codebooks"):
        tokens = describe_codebooks([CodebookSpec(**spec) for spec in codebooks], facts["rate"])
        over = f"the tokens of {over}: {tokens}; {facts['bits_per_second']:,.0f} bit/s"
    else:
        over = f"the latent of {over}: {facts['latent']}"
    frame = 1000 * config["facts"]["hop"] / facts["rate"]
    leads = facts["leads"]
    return (f"{KINDS.get(str(process), f'A prior of kind {kind}')} over {over}. It has {facts['parameters']:,} "
            f"parameters, and generates {len(leads)}-lead ECG at {facts['rate']:g} Hz ({listed(leads)}) in millivolts, "
            f"in frames of {frame:g} ms.")


def describe_condition(condition: ConditionHead | None) -> str:
    """An item on what the prior can be asked for."""
    if condition is None:
        return "**Conditions:** none: no labels, age or sex can be asked for."
    columns = [condition.column] if isinstance(condition.column, str) else condition.column
    labels = [f"labels of {'the column' if len(columns) == 1 else 'the columns'} {listed(columns)}"]
    parts = [*(labels if condition.labels else []), *(name for name in ("age", "sex") if getattr(condition, name))]
    names = f" The labels are {', '.join(condition.labels)}." if condition.labels else ""
    return f"**Conditions:** {'; '.join(parts)}; each may be unknown.{names}"


def validation_items(folder: Path, config: dict[str, Any], facts: dict[str, Any], condition: ConditionHead | None
                     ) -> list[str]:
    """An item on the loss at the end of the training, and the bit rate of an ideal entropy coder that it means."""
    try:
        found = Validation.model_validate(config.get("metrics", {}))
    except ValidationError as error:
        raise ValueError(f"{folder / 'config.json'} is damaged: {describe_error(error, 'metrics')}") from None
    if found.loss is None:
        return []
    after = f" after {found.step:,} steps" if found.step else ""
    if found.bits_per_second is None:
        return [f"**Loss on validation records:** {found.loss:.4g}{after}."]
    bound = "at most " if facts["prior_kind"] in BOUNDED else ""
    known = ", given the condition of each record" if condition else ""
    return [f"**Bit rate on validation records:** {bound}{found.bits_per_second:,.0f} bit/s for an ideal entropy coder "
            f"with the prior's probabilities{known}; the codes alone have {facts['bits_per_second']:,.0f} bit/s "
            f"(loss {found.loss:.4g} nats a code{after})."]


def results(training: TrainingFacts, reports: dict[str, SampleReport]) -> list[str]:
    """The sections of all reports, the test split first, and what their numbers mean."""
    if not reports:
        return [wrap("Not evaluated yet: `ecgvae evaluate-samples SAMPLES STORE --save PRIOR`.")]
    return [*(section for split in sorted(reports)
              for section in describe_report(reports[split], training.splits.get(split))), wrap(EXPLANATION)]
