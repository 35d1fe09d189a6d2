"""What a model, a token file, a store or a record is, in a few facts and in a picture."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ecgvae import checkpoint, metrics
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.store import Store
from ecgvae.data.tokens import open_tokens
from ecgvae.plotting import plot_record, plot_tokens
from ecgvae.plotting.paper import SHOWN
from ecgvae.signal import open_record


def describe(thing: str | Path) -> dict:
    """The facts of whatever a path or a shipped name stands for; `kind` says which it is."""
    path = Path(thing)
    if path.is_dir() and (path / "config.json").is_file():
        return describe_model(path)
    if path.is_dir() and (path / "manifest.json").is_file():
        return describe_store(path)
    if is_parquet(path):
        return describe_tokens(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, but neither a model (config.json) nor a store (manifest.json)")
    if str(thing) in checkpoint.pretrained():
        return describe_model(thing)
    try:
        return describe_record(path)
    except FileNotFoundError as error:
        if path.exists() or Path(f"{thing}.hea").exists():
            raise
        shipped = ", ".join(checkpoint.pretrained()) or "none"
        raise FileNotFoundError(f"no {thing}; wanted a model, token file, store or record "
                                f"(models that come with ecgvae: {shipped})") from error


def is_parquet(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def streams_in_words(streams: Iterable[CodebookSpec], rate: float) -> dict:
    streams = list(streams)
    return {
        "codebooks": [f"{count} of {stream.size} codes, one every {1000 * stream.hop / rate:g} ms"
                    for stream, count in Counter(streams).items()],
        "bits_per_second": metrics.bits_per_second(streams, rate),
    }


def describe_model(model: str | Path) -> dict:
    folder = checkpoint.locate(model)
    module, config = checkpoint.load(folder), checkpoint.config(folder)
    signal, training = module.signal, config.get("training", {})
    return {
        "kind": "model", "name": folder.resolve().name, "identity": checkpoint.identity(module),
        "family": module.settings.family,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
        "rate": signal.rate, "leads": list(signal.leads), "coded_leads": list(signal.coded), **latent_in_words(module),
        "trained_on": {key: training[key] for key in ("store", "fingerprint", "records") if key in training},
        "validation": config.get("metrics", {}), "versions": config.get("versions", {}),
    }


def latent_in_words(module) -> dict:
    """Streams of codes, or numbers."""
    from ecgvae.evaluation.reconstruction import latent

    if module.codebook_specs:
        return streams_in_words(module.codebook_specs, module.signal.rate)
    words = f"{module.settings.latent} numbers every {1000 * module.hop / module.signal.rate:g} ms"
    return {"latent": words, **latent(module)}


def describe_tokens(path: Path) -> dict:
    file = open_tokens(path)
    header = file.header
    samples = [sum(table["samples"].to_pylist()) for table in file.tables()]
    return {
        "kind": "tokens", "path": str(path), "model": header.model, "identity": header.tokenizer,
        "records": len(file), "seconds": sum(samples) / header.rate, "rate": header.rate, "leads": list(header.leads),
        **streams_in_words(header.codebooks, header.rate),
    }


def describe_store(path: Path) -> dict:
    store = Store(path)
    table = store.records
    labels = [column for column in table if column not in ("name", "start", "offset", "length", "rate", "samples",
                                                            "notes", "comments")]
    return {
        "kind": "store", "path": str(path), "source": store.manifest["source"], "records": len(store),
        "skipped": store.manifest["skipped"], "seconds": float(table["length"].sum() / store.rate), "rate": store.rate,
        "window": store.manifest["window"], "leads": list(store.leads), "labels": labels,
        "splits": {name: len(store.split(name)) for name in ("train", "validation", "test")},
        "fingerprint": store.fingerprint,
    }


def describe_record(path: Path) -> dict:
    record = open_record(path)
    return {
        "kind": "record", "path": str(record.path), "leads": list(record.leads), "rate": record.rate,
        "samples": record.samples, "seconds": record.duration, "skipped_channels": list(record.skipped_channels),
        "comments": list(record.comments),
    }


def draw_record(path: Path, out: Path, model: str | None = None, device: str = "auto", overwrite: bool = False) -> None:
    """Draw a record on ECG paper, and over it what comes back from a model."""
    record, overlay = open_record(path), None
    if model:
        from ecgvae.evaluation.batches import restore

        overlay = restore(checkpoint.load(model, device), record.read(0, round(SHOWN * record.rate)))
    plot_record(record, out, overlay, overwrite=overwrite)


def draw_tokens(path: Path, out: Path, name: str | None = None, model: str | None = None, device: str = "auto",
                overwrite: bool = False) -> None:
    """Draw the tokens of a record of a file, by default its first, under the ECG that they decode to."""
    from ecgvae.batch import load_tokenizer

    file = open_tokens(path)
    tokens = next((tokens for tokens in file if name in (None, tokens.name)), None)
    if tokens is None:
        raise ValueError(f"{path} has no record {name or 'at all'}")
    decoded = load_tokenizer(file, model, device).decode(tokens, original=False)
    hops = [stream.hop for stream in file.header.codebooks]
    plot_tokens(decoded, tokens.codes, hops, file.header.rate, out, overwrite=overwrite)
