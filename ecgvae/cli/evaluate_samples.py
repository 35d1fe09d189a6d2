"""The command evaluate-samples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from ecgvae.cli.app import GENERATION, Json, Overwrite, Quiet, app, examples
from ecgvae.cli.completion import shipped_models, shipped_priors
from ecgvae.cli.paths import check_exists, check_file_output, check_model, check_prior, check_records, check_store
from ecgvae.cli.terminal import Progress, remark, show_json
from ecgvae.cli.text import to_json

if TYPE_CHECKING:
    from ecgvae.evaluation.generation.latents import LatentAutoencoder
    from ecgvae.evaluation.generation.sampling import Sampling
    from ecgvae.tokenizer import Tokenizer


@app.command(rich_help_panel=GENERATION,
             epilog=examples("ecgvae evaluate-samples new store",
                             "ecgvae evaluate-samples new store --split test --out report.json --figures page.png",
                             "ecgvae evaluate-samples new store --split test --save runs/prior",
                             "ecgvae evaluate-samples new store --tokenizer ptbxl-vqvae-conv --codebooks 4"))
def evaluate_samples(
    samples: Annotated[Path, Argument(metavar="SAMPLES", help="Generated ECGs: a folder of WFDB records, a store or a "
                                                              "token file (.parquet).")],
    store: Annotated[Path, Argument(metavar="STORE", help="Store of real ECGs, with a training split.")],
    split: Annotated[Literal["validation", "test"], Option(help="Real records to compare with.")] = "validation",
    tokenizer: Annotated[str | None, Option(help="Tokenizer whose decoded tokens of real ECGs are measured too. "
                                                 "Default: that of the prior (--save), else the one "
                                                 "that the samples name.",
                                            autocompletion=shipped_models, show_default=False)] = None,
    codebooks: Annotated[int | None, Option(min=1, help="Number of its first codebooks. Default: those of the prior or "
                                                        "of the samples, else all.", show_default=False)] = None,
    out: Annotated[Path | None, Option(help="JSON file to which the report is also written. Default: none.")] = None,
    figures: Annotated[Path | None, Option(help="Page of figures to write: .png, .pdf or .svg. Default: none.")] = None,
    save: Annotated[str | None, Option(metavar="PRIOR", help="Prior that generated the samples, a name or a folder, in "
                                                             "whose folder the report is kept, for its card.",
                                       autocompletion=shipped_priors, show_default=False)] = None,
    cache: Annotated[Path | None, Option(help="Folder of the classifiers that have been trained for stores. Default: "
                                              "the user's cache.", show_default=False)] = None,
    seed: Annotated[int, Option(min=0, help="Seed of the networks and of all that is drawn.")] = 0,
    as_json: Json = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measures how near generated ECGs are to real ones.

    The same is measured for other real ECGs and for decoded ones, which shows what can be reached.
    The first time a classifier is trained on the store, which takes some minutes.
    Intervals and the shape of beats need neurokit2: pip install "ecgvae\\[delineation]".
    """
    check_store(store)
    check_samples(samples)
    check_outputs(out, figures, (samples, store), overwrite)
    if tokenizer:
        check_model(tokenizer)
    sampling = check_saving(save, samples) if save is not None else None
    from ecgvae.cli.samples_report import show_report
    from ecgvae.data.store import Store
    from ecgvae.evaluation.generation import gather, measure
    from ecgvae.evaluation.sample_reports import save_sample_report
    from ecgvae.files import write_atomically
    from ecgvae.plotting import plot_report

    known, codebooks = choose_tokenizer(samples, tokenizer, codebooks, save)
    with StagedProgress() as progress:
        material = gather(samples, Store(store), split, known, codebooks, cache, seed, progress)
        report = {"samples": str(samples), **measure(material, progress)}
    if out:     # before printing, which a closed pipe ends
        write_atomically(out, lambda path: path.write_text(to_json(report) + "\n", encoding="utf-8"))
    if save is not None and sampling is not None:
        remark(f"the report is in {save_sample_report(save, report, sampling)}")
    if figures:
        plot_report(material, report, figures, overwrite)
    if as_json:
        show_json(report)
    else:
        show_report(report)


def check_samples(samples: Path) -> None:
    """Checks that there are records or a token file."""
    if samples.suffix == ".parquet":
        check_exists(samples, "a token file")
    else:
        check_records([samples], "a record, a folder of records, a store or a token file")


def check_outputs(out: Path | None, figures: Path | None, inputs: tuple[Path, ...], overwrite: bool) -> None:
    """Checks that the report and the page can be written, before any work."""
    if out:
        check_file_output(out, overwrite, ".json", inputs)
    if figures:
        from ecgvae.plotting.files import check_destination

        check_destination(figures, overwrite)
        check_file_output(figures, overwrite, "", inputs, (out,) if out else ())


def check_saving(prior: str, samples: Path) -> "Sampling":
    """Checks, before any work, that the report on samples can be kept in a prior's folder; how it has drawn them."""
    check_prior(prior)
    from ecgvae.evaluation.generation.sampling import read_sampling
    from ecgvae.evaluation.sample_reports import sample_report_file

    sample_report_file(prior).check_writable()
    return read_sampling(samples, prior)


def choose_tokenizer(samples: Path, tokenizer: str | None, codebooks: int | None, prior: str | None
                     ) -> "tuple[Tokenizer | LatentAutoencoder | None, int | None]":
    """The autoencoder that is given, else that of the prior, else the one that the samples name, and the number of its
    codebooks to use.
    """
    from ecgvae import checkpoint
    from ecgvae.evaluation.generation.latents import LatentAutoencoder
    from ecgvae.evaluation.generation.origin import find_tokenizer, of_prior
    from ecgvae.tokenizer import Tokenizer

    found: tuple[Tokenizer | LatentAutoencoder, int | None] | None
    if tokenizer:
        has_tokens = checkpoint.saved_facts(checkpoint.locate(tokenizer)).get("codebooks")
        found = (Tokenizer.load(tokenizer, "cpu") if has_tokens else LatentAutoencoder.load(tokenizer)), None
    else:
        found = find_tokenizer(samples) if prior is None else of_prior(prior)
    if found and isinstance(found[0], Tokenizer):
        return found[0], found[0].check_codebooks(codebooks or found[1])
    if codebooks:
        raise ValueError(f"--codebooks {codebooks} without a tokenizer; wanted --tokenizer too" if found is None else
                         f"--codebooks {codebooks}: {found[0].name} has no codebooks")
    return found or (None, None)


class StagedProgress:
    """Progress of a job in stages, each of which counts something else."""

    def __init__(self) -> None:
        self.current: Progress | None = None

    def __enter__(self) -> "StagedProgress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.current:
            self.current.__exit__(*error)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.current is None or self.current.unit != stage:
            before, self.current = self.current, Progress(stage)
            if before:
                before.__exit__()
                self.current.last_line = before.last_line
        self.current(done, total)
