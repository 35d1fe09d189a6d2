"""Verbs about data: prepare."""

import csv
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import Missing, Overwrite, app, examples
from ecgvae.cli.terminal import Progress, count, list_left_out


@app.command(epilog=examples("ecgvae prepare ptb-xl/records100 store",
                             "ecgvae prepare recordings store --rate 250 --leads I,II,V1 --window 10"))
def prepare(
    source: Annotated[Path, Argument(metavar="SOURCE", help="Folder of WFDB records, searched with all below it.")],
    out: Annotated[Path, Argument(metavar="OUT", help="Folder of the store to make.")],
    rate: Annotated[float, Option(help="Sampling rate of the store, Hz.")] = 100,
    leads: Annotated[str, Option(help="standard-12, or names like I,II,V1.")] = "standard-12",
    window: Annotated[float | None, Option(help="Cut records into windows of so many seconds.")] = None,
    missing_leads: Missing = "error",
    workers: Annotated[int | None, Option(min=1, help="Processes; one a processor if not given.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a store of WFDB records.

    A store is what training and evaluation read: signals of one rate and with the same leads.
    """
    from ecgvae.data.prepare import build_store
    from ecgvae.signal import parse_leads

    with Progress("records") as progress:
        store = build_store(source, out, rate=rate, leads=parse_leads(leads), window=window, workers=workers,
                            missing=missing_leads, overwrite=overwrite, progress=progress)
    with open(out / "skipped.csv", newline="") as file:
        _, *skipped = csv.reader(file)
    list_left_out(skipped)
    what = count(len(store), "record" if window is None else "window")
    print(f"{what} with {count(len(store.leads), 'lead')} at {store.rate:g} Hz in {out}")
