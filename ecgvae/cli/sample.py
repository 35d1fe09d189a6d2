"""The command sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from ecgvae.cli.app import GENERATION, Device, Quiet, app, examples
from ecgvae.cli.completion import shipped_priors
from ecgvae.cli.paths import check_record, check_store
from ecgvae.cli.terminal import Progress, remark, show
from ecgvae.wording import count

if TYPE_CHECKING:
    import ecgvae.generation
    from ecgvae.generation import Condition

DEFAULT_COUNT = 16
DEFAULT_KEEP = 5.0          # seconds of a prompt


@app.command(rich_help_panel=GENERATION,
             epilog=examples("ecgvae sample --out new", "ecgvae sample --out new --count 64 --labels MI --age 60",
                             "ecgvae sample runs/prior --out new --like my.store --split train",
                             "ecgvae sample --out new --prompt records/100 --keep 5"))
def sample(
    out: Annotated[Path, Option(help="Folder to write: records, labels.csv, tokens.parquet and sheet.png.")],
    prior: Annotated[str | None, Argument(metavar="PRIOR", autocompletion=shipped_priors, show_default=False,
                                          help="A shipped prior, or the folder of a prior or of its run. Default: the "
                                               "shipped one.")] = None,
    number: Annotated[int | None, Option("--count", min=1, help="Number of records. Default: 16; with --like one for "
                                                                "each row.")] = None,
    labels: Annotated[str | None, Option(help="Labels of the records, separated by commas: MI,LBBB. Nothing is known "
                                              "of the others. Default: none are asked for.")] = None,
    age: Annotated[float | None, Option(help="Age in years. Default: unknown.")] = None,
    sex: Annotated[str | None, Option(help="male or female. Default: unknown.")] = None,
    like: Annotated[Path | None, Option(help="Store: a record for each row, with its labels, age and sex. Default: "
                                             "none.")] = None,
    split: Annotated[Literal["train", "validation", "test", "all"] | None,
                     Option(help="With --like: rows of the store. Default: train.")] = None,
    seconds: Annotated[float, Option(help="Length of the records in seconds.")] = 10,
    guidance: Annotated[float, Option(help="Weight of the condition; more than 1 exaggerates it.")] = 1,
    temperature: Annotated[float, Option(help="Below 1 records are more typical and less diverse.")] = 1,
    top_k: Annotated[int | None, Option(help="Draw from the k most probable codes. Default: from all.")] = None,
    top_p: Annotated[float, Option(help="Draw from the most probable codes with this share of the probability.")] = 1,
    steps: Annotated[int | None, Option(help="Number of evaluations, of priors that draw several codes at a time. "
                                             "Default: the prior's own.")] = None,
    order: Annotated[Literal["uniform", "confidence"], Option(help="Which codes such a prior draws first.")
                     ] = "uniform",
    solver: Annotated[Literal["ddpm", "ddim", "euler", "heun"] | None,
                      Option(help="Solver of a prior over a latent. Default: the prior's own.")] = None,
    prompt: Annotated[Path | None, Option(help="WFDB record whose beginning all records continue. Default: none.")
                      ] = None,
    keep: Annotated[float | None, Option(help="With --prompt: seconds of it that are kept. Default: 5.")] = None,
    seed: Annotated[int, Option(help="The same seed gives the same records.")] = 0,
    batch_size: Annotated[int, Option(min=1, help="Records that are drawn together on a GPU; on a CPU always 32.")
                          ] = 256,
    device: Device = "auto",
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a folder of generated records.")] = False,
    quiet: Quiet = False,
) -> None:
    """Generates 12-lead ECG records.

    Their headers say that they are generated, by what and under which condition; labels.csv has the conditions.
    """
    from ecgvae import checkpoint
    from ecgvae.data.errors import check_folder

    check_folder(out, overwrite)
    name = checkpoint.default_prior() if prior is None else prior
    checkpoint.prior_config(name)
    check_alone("--like", like, {"--labels": labels, "--age": age, "--sex": sex})
    check_needed("--like", like, {"--split": split})
    check_needed("--prompt", prompt, {"--keep": keep})
    if like:
        check_store(like)
    if prompt:
        check_record(prompt)
    from ecgvae.batch.sample import check_replaced, sample_files
    from ecgvae.generation import Prior, SampleRequest, sampling_settings
    from ecgvae.signal import open_record

    check_replaced(out, overwrite)
    options: dict[str, Any] = {"guidance": guidance, "temperature": temperature, "top_k": top_k, "top_p": top_p,
                               "steps": steps, "order": order, "solver": solver}
    settings = sampling_settings(**options)
    loaded = Prior.load(name, device)
    conditions = (conditions_of_rows(loaded, like, split or "train", number) if like else
                  (asked_condition(loaded, labels, age, sex),) * (number or DEFAULT_COUNT))
    request = SampleRequest(conditions, seconds, seed, settings, open_record(prompt) if prompt else None,
                            DEFAULT_KEEP if keep is None else keep)
    with Progress("records") as progress:
        summary = sample_files(loaded, request, out, batch_size=batch_size, overwrite=overwrite, progress=progress)
    show(f"{count(summary.records, 'record')}, {summary.seconds:,.0f} s of ECG, generated by {loaded.name} "
         f"({loaded.identity}), in {out}")


def check_alone(option: str, value: object, others: dict[str, object]) -> None:
    """Raises ValueError if an option came with another one that it replaces."""
    if value is not None and (given := [name for name, other in others.items() if other is not None]):
        raise ValueError(f"{option} came with {given[0]}; wanted one of them")


def check_needed(option: str, value: object, others: dict[str, object]) -> None:
    """Raises ValueError if an option came without the one that it belongs to."""
    if value is None and (given := [name for name, other in others.items() if other is not None]):
        raise ValueError(f"{given[0]} came without {option}; wanted both")


def asked_condition(prior: "ecgvae.generation.Prior", labels: str | None, age: float | None, sex: str | None
                    ) -> "Condition":
    """The condition that the options ask for; a remark says what a synonym means."""
    from ecgvae.data.conditions import parse_sex
    from ecgvae.generation import Condition

    names = tuple(filter(None, (label.strip() for label in (labels or "").split(","))))
    if labels is not None and not names:
        raise ValueError(f"--labels {labels!r:.60} names no label; wanted some, separated by commas")
    asked = Condition(names, age, None if sex is None else parse_sex(sex) or sex)
    condition = prior.check_condition(asked)
    for name in names:
        found = prior.check_condition(Condition((name,))).labels[0]
        if found.upper() != name.upper():
            remark(f"{name} is {found} in {prior.name}")
    return condition


def conditions_of_rows(prior: "ecgvae.generation.Prior", path: Path, split: str, number: int | None
                       ) -> "tuple[Condition, ...]":
    """The conditions of the rows of a store's split, or of the first ones."""
    from ecgvae.data.store import Store

    conditions = prior.conditions_like(Store(path), split)
    if not conditions or (number or 0) > len(conditions):
        raise ValueError(f"the split {split} of {path} has {count(len(conditions), 'row')}; wanted {number or 1}")
    return tuple(conditions[:number])
