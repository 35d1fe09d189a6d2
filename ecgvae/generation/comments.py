"""The comments of a sample: what generated it, under which condition, with which options, and what of it is real."""

from ecgvae.conditions import ConditionSettings
from ecgvae.generation.conditions import Condition
from ecgvae.generation.request import SampleRequest
from ecgvae.priors import SamplingSettings
from ecgvae.signal.generated import OPTIONS, PROMPT, Origin, condition_comment, is_generated
from ecgvae.wording import plain


def sample_comments(origin: Origin, request: SampleRequest, condition: Condition, settings: ConditionSettings | None,
                    kept_seconds: float) -> tuple[str, ...]:
    """The comments of a sample, see `ecgvae.signal.generated`.

    Args:
        origin: What generates it.
        request: What was requested.
        condition: Its condition.
        settings: The condition of the prior.
        kept_seconds: Seconds of the prompt at its start.
    """
    columns = condition.columns(settings) if settings else {}
    lines = [origin.comment, condition_comment(columns, condition.age, condition.sex)]
    if options := text_of_options(request.settings, condition.complete):
        lines.append(OPTIONS + options)
    if request.prompt is not None:
        kind = "from the generated record" if is_generated(request.prompt.comments) else "real, from the record"
        lines.append(f"{PROMPT}0 to {kept_seconds:g} s are {kind} {plain(request.prompt.name)}")
    return tuple(lines)


def text_of_options(settings: SamplingSettings, is_complete: bool) -> str:
    """The options that differ from their defaults, and whether the labels are complete, as text."""
    changed = [name for name in type(settings).model_fields if name in settings.changed]
    parts = [f"{name} {getattr(settings, name)}" for name in changed]
    return ", ".join([*parts, *(["labels complete"] if is_complete else [])])
