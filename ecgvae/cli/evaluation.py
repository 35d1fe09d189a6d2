"""The commands evaluate and card."""

from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ecgvae.cli.app import MODELS, BatchSize, Device, Json, Overwrite, Quiet, app, examples
from ecgvae.cli.completion import models_and_priors, shipped_models, shipped_priors
from ecgvae.cli.paths import check_file_output, check_model, check_model_or_prior, check_prior, check_store
from ecgvae.cli.terminal import Progress, remark, show, show_json, show_table
from ecgvae.cli.text import to_json
from ecgvae.wording import count, count_of


@app.command(rich_help_panel=MODELS,
             epilog=examples("ecgvae evaluate ptbxl-vqvae-conv store",
                             "ecgvae evaluate runs/mine store --split test --out report.json",
                             "ecgvae evaluate runs/mine store --split test --save",
                             "ecgvae evaluate ptbxl-vqvae-conv store --prior runs/prior"))
def evaluate(
    model: Annotated[str, Argument(metavar="MODEL", autocompletion=shipped_models,
                                   help="A shipped model, a model folder or a run folder.")],
    store: Annotated[Path, Argument(metavar="STORE", help="Store to evaluate on.")],
    split: Annotated[Literal["train", "validation", "test", "all"], Option(help="Part of the store.")] = "validation",
    out: Annotated[Path | None, Option(help="JSON file to which the report is also written. Default: none.")] = None,
    save: Annotated[bool, Option("--save", help="Keep the report in the model's folder, for its card.")] = False,
    bounds: Annotated[bool, Option("--likelihood", help="Also bound the likelihood; for a vae or cvae.")] = False,
    prior: Annotated[str | None, Option(help="Prior over the model's tokens, a name or a folder: also the bit rate of "
                                             "an ideal entropy coder with its probabilities.",
                                        autocompletion=shipped_priors, show_default=False)] = None,
    prior_condition: Annotated[bool, Option("--prior-condition",
                                            help="The prior knows the labels, age and sex of the records, which a "
                                                 "decoder would need too.")] = False,
    device: Device = "auto",
    batch_size: BatchSize = 64,
    as_json: Json = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measures the errors of a model's reconstructions.

    Errors are computed for each lead of each record.
    A tokenizer is measured with each number of codebooks, from one to all.
    """
    check_model(model)
    check_store(store)
    if prior is not None:
        check_prior(prior)
    elif prior_condition:
        raise ValueError("--prior-condition without a prior; wanted --prior too")
    if out:
        from ecgvae.checkpoint import locate

        check_file_output(out, overwrite, ".json", (store, locate(model)))
    from ecgvae.data.jobs import write_atomically
    from ecgvae.data.store import Store
    from ecgvae.evaluation.likelihood import likelihood, load_vae
    from ecgvae.evaluation.reconstruction import evaluate as measure
    from ecgvae.evaluation.reports import report_file, save_report

    records = Store(store)
    if save:
        report_file(model).check_writable()
    if bounds:
        load_vae(model, records, "cpu")     # before all the work, that other models have no likelihood
    with Progress("records") as progress:
        report = measure(model, records, split, device, batch_size, progress, prior, prior_condition)
        if bounds:
            report["likelihood"] = likelihood(model, records, split, device=device, progress=progress)
    if out:     # before printing, which a closed pipe ends
        write_atomically(out, lambda path: path.write_text(to_json(report) + "\n", encoding="utf-8"))
    if save:
        remark(f"the report is in {save_report(model, report)}")
    for warning in leakages(report):
        remark(warning)
    if as_json:
        show_json(report)
    else:
        show_report(report)


@app.command(rich_help_panel=MODELS, epilog=examples("ecgvae card ptbxl-vqvae-conv", "ecgvae card runs/prior",
                                                     "ecgvae card runs/mine --out runs/mine/model/README.md"))
def card(
    item: Annotated[str, Argument(metavar="MODEL|PRIOR", autocompletion=models_and_priors,
                                  help="A shipped model or prior, its folder or that of its run.")],
    out: Annotated[Path | None, Option(help="Markdown file to write. Default: the card is printed.")] = None,
    dataset: Annotated[str | None, Option(help="Data set that it was trained on, whose licence and limits are "
                                               "included. Default: the one that its folder names.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Writes the card of a model or prior: what it is, what it was trained on, and what was measured.

    The card of a model has the errors that evaluate --save has kept.
    That of a prior has the distances to real ECG that evaluate-samples --save has kept.
    """
    kind = check_model_or_prior(item)
    if out:
        check_file_output(out, overwrite, ".md")
    from ecgvae.cards import model_card, prior_card
    from ecgvae.data.jobs import write_atomically

    text = (prior_card if kind == "prior" else model_card)(item, dataset)
    if not out:
        show(text.rstrip())
        return
    write_atomically(out, lambda path: path.write_text(text, encoding="utf-8"))
    show(out)


def leakages(report: dict) -> list[str]:
    """The warnings about a report on records that the model or the prior was trained on."""
    lines = [leakage(report)] if report["seen_in_training"] else []
    return [*lines, prior_leakage(report)] if report.get("prior", {}).get("seen_in_training") else lines


def leakage(report: dict) -> str:
    """The warning about a report on records that the model was trained on."""
    seen, records = report["seen_in_training"], report["records"]
    verb = "is" if seen == 1 else "are"
    return f"{count_of(seen, records, 'record')} {verb} in the model's training data: the errors are too low"


def prior_leakage(report: dict) -> str:
    """The warning about a report on records that the prior was trained on."""
    seen, records = report["prior"]["seen_in_training"], report["records"]
    verb = "is" if seen == 1 else "are"
    return f"{count_of(seen, records, 'record')} {verb} in the prior's training data: its bit rate is too low"


def describe_prior(report: dict) -> list[str]:
    """Lines on what a reader must know about the bit rate under a prior."""
    prior = report["prior"]
    known = "labels, age and sex of each record, which a decoder needs too" if prior["condition"] else "no condition"
    lines = [f"prior bit/s: an ideal code with the probabilities of {prior['name']}, given {known}: "
             f"{100 * prior['share']:.1f} % of the entropy of single codes (entropy bit/s)"]
    if prior["codebooks"] > 1:
        lines.append(f"it sends all {prior['codebooks']} codebooks: the probabilities depend on the codes of all of "
                     "them in the frames before")
    if prior["seen_in_training"]:
        lines.append(prior_leakage(report))
    elif prior["seen_in_training"] is None:
        lines.append("unknown: whether the prior was trained on these records (its folder does not say)")
    return lines


def describe_data(report: dict) -> list[str]:
    """Lines on what a reader must know about the records of a report."""
    lines = [leakage(report)] if report["seen_in_training"] else []
    if report["seen_in_training"] is None:
        lines.append("unknown: whether the model was trained on these records (its folder does not say)")
    elif short := report["too_short_to_recognize"]:
        lines.append(f"{count_of(short, report['records'], 'record')} shorter than 5 s, recognized as training data "
                     "only if as short in training")
    rate, model_rate, total = report["store_rate"], report["model_rate"], report["records"]
    other = {source: number for source, number in report["source_rates"].items() if float(source) != rate}
    if other:
        rates = ", ".join(f"{source} Hz" + (f" ({number:,})" if len(other) > 1 else "")
                          for source, number in other.items())
        lines.append(f"{count_of(sum(other.values()), total, 'record')} resampled from {rates} to the store's "
                     f"{rate:g} Hz")
    if rate != model_rate:
        lines.append(f"resampled to the model's {model_rate:g} Hz and back; errors are measured at {rate:g} Hz")
    if lacking := report["records_with_missing_leads"]:
        leads = ", ".join(f"{lead} ({number:,})" for lead, number in report["missing_leads"].items())
        lines.append(f"{count_of(lacking, total, 'record')} without some leads, which do not count: {leads}")
    if derived := report["derived_leads"]:
        lines.append(f"the store has no {', '.join(derived)}: they are derived from others")
    return lines


def show_report(report: dict) -> None:
    """Prints a report: errors with each number of codebooks, and how evenly each codebook's codes are used."""
    errors = ["PRDN %", "median", "95 %", "RMSE µV", "median", "95 %", "SNR dB", "correlation", "spectrum dB"]
    show(f"{report['model']} on {count(report['records'], 'record')} ({report['split']}) of {report['store']}")
    for line in describe_data(report):
        show(line)
    if not report["codebooks"]:
        show_table(["numbers/s", *errors],
                   [[f"{row['latent_per_second']:g}", *format_errors(row)] for row in report["rows"]])
    else:
        show_rates(report, errors)
    if bounds := report.get("likelihood"):
        show(f"\nELBO {bounds['elbo_per_second']:.0f}, IWAE with {bounds['samples']} samples "
             f"{bounds['iwae_per_second']:.0f}, KL {bounds['kl_per_second']:.0f} nats a second; "
             f"{bounds['active_units']} of {bounds['units']} units active")


def show_rates(report: dict, errors: list[str]) -> None:
    """Prints the tables of a tokenizer: errors by number of codebooks, and the codes of each codebook."""
    prior = report.get("prior")
    rates = {"bits_per_second": "bit/s", "entropy_bits_per_second": "entropy bit/s"}
    if prior:
        rates["prior_bits_per_second"] = "prior bit/s"
    show_table(["codebooks", *rates.values(), *errors],
               [[str(row["codebooks"]), *(f"{row[name]:.0f}" if name in row else "-" for name in rates),
                 *format_errors(row)] for row in report["rows"]])
    show("")
    rows = [[str(index), f"{100 * codebook['usage']:.1f}", f"{codebook['entropy']:.2f}",
             f"{codebook['perplexity']:.0f}"] for index, codebook in enumerate(report["codebooks"])]
    if prior:
        for row, code in zip_longest(rows, prior["by_codebook"]):
            row += [f"{code['bits']:.2f}", f"{100 * code['share']:.1f}"] if code else ["-", "-"]
    show_table(["codebook", "codes used %", "entropy bits", "perplexity", *(["prior bits", "of entropy %"] if prior
                                                                            else [])], rows)
    if prior:
        show("")
        for line in describe_prior(report):
            show(line)


def format_errors(row: dict) -> list[str]:
    """The cells of the columns of errors."""
    summaries = [f"{row[name][key]:.{digits}f}" for name, digits in (("prdn", 2), ("rmse_uv", 1))
                 for key in ("mean", "median", "p95")]
    return [*summaries, f"{row['snr_db']['mean']:.2f}", f"{row['correlation']['mean']:.4f}",
            f"{row['spectrum_db']:.2f}"]
