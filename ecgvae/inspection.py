"""Facts about models, priors, runs, token files, stores and records."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae import checkpoint
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.table import STORE_COLUMNS
from ecgvae.data.token_facts import describe_codebooks, describe_tokens
from ecgvae.files import read_json
from ecgvae.wording import count

if TYPE_CHECKING:
    from ecgvae.checkpoint.schema import ConditionHead


def describe(item: str | Path) -> dict[str, Any]:
    """The facts of a model, prior, run, token file, store or record.

    Args:
        item: A path, or the name of a shipped model or prior. A path that exists comes first.

    Returns:
        Facts by name. `kind` is "model", "prior", "run", "tokens", "store" or "record".

    Raises:
        FileNotFoundError: There is no such path, record, shipped model or shipped prior.
        ValueError: It is something else, or it is damaged.
    """
    path = Path(item)
    if path.is_dir():
        return describe_folder(path)
    if is_parquet(path):
        return describe_tokens(path)
    shipped = checkpoint.pretrained()
    if str(item) in shipped:
        return describe_model(item)
    if str(item) in checkpoint.pretrained_priors():
        return describe_prior(item)
    headers = path, path.with_suffix(".hea"), Path(f"{item}.hea")
    if not any(header.exists() for header in headers):
        raise FileNotFoundError(f"no {item}; wanted a model, prior, run, token file, store or record "
                                f"(models that come with ecgvae: {', '.join(shipped) or 'none'})")
    return describe_record(path)


def describe_folder(path: Path) -> dict[str, Any]:
    """The facts of a model, prior, store or run in a folder; ValueError if it is none of them."""
    for file, describe_as in (("config.json", describe_checkpoint), ("manifest.json", describe_store),
                              ("recipe.json", describe_run)):
        if (path / file).is_file():
            return describe_as(path)
    if (path / "model" / "config.json").is_file():
        return describe_checkpoint(path / "model")
    check_no_folder_of_records(path)
    raise ValueError(f"{path} is a folder, but neither a model (config.json), a store (manifest.json) nor a run "
                     "(recipe.json)")


def check_no_folder_of_records(path: Path) -> None:
    """Raises ValueError if a path is that of a folder with WFDB records."""
    if headers := sorted(path.rglob("*.hea")):
        raise ValueError(f"{path} is a folder with {count(len(headers), 'WFDB header')}; wanted one record, such as "
                         f"{headers[0].with_suffix('')}")


def is_parquet(path: Path) -> bool:
    """Whether a path is that of a Parquet file, such as a token file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def describe_checkpoint(folder: Path) -> dict[str, Any]:
    """The facts of the model or the prior in a folder."""
    from ecgvae.checkpoint.files import config_kind, read_config

    is_prior = config_kind(read_config(folder / "config.json", None)) == "prior"
    return describe_prior(folder) if is_prior else describe_model(folder)


def describe_prior(prior: str | Path) -> dict[str, Any]:
    """The facts of a prior, read without torch if the config.json of its autoencoder has them."""
    from ecgvae.checkpoint.files import count_weights, read_head, read_prior_head

    folder = checkpoint.locate_prior(prior)
    config = checkpoint.prior_config(folder)
    facts, autoencoder, source = config["facts"], config["autoencoder"], checkpoint.prior_autoencoder(folder)
    if (weights := count_weights(folder)) < facts["parameters"]:
        raise ValueError(f"{folder} is damaged: its weights are {weights} numbers; wanted {facts['parameters']}")
    signal, training = read_head(source / "config.json").signal, config.get("training", {})
    settings = read_prior_head(folder / "config.json")
    return {
        "kind": "prior", "name": checkpoint.prior_name(folder), "identity": config["identity"],
        "prior_kind": settings.kind, "parameters": facts["parameters"],
        "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
        "autoencoder": autoencoder["name"], "autoencoder_identity": autoencoder["identity"],
        "autoencoder_folder": str(source), "rate": signal.rate, "leads": list(signal.leads),
        **describe_over(autoencoder, signal.rate), "condition": describe_condition(settings.condition),
        "trained_on": {key: training[key] for key in ("store", "fingerprint", "records") if key in training},
        "validation": config.get("metrics", {}), "versions": config.get("versions", {}),
    }


def describe_over(autoencoder: dict[str, Any], rate: float) -> dict[str, Any]:
    """The codebooks and bit rate, or the latent, that a prior is over."""
    if latent := autoencoder.get("latent"):
        return describe_latent({"codebooks": (), "latent": latent["channels"], "hop": latent["hop"]}, rate)
    return describe_codebooks(tuple(CodebookSpec(**spec) for spec in autoencoder["codebooks"]), rate)


def describe_condition(condition: "ConditionHead | None") -> dict[str, Any]:
    """What a prior can be asked for: labels by column, age and sex."""
    if condition is None:
        return {}
    columns = [condition.column] if isinstance(condition.column, str) else condition.column
    labels = {" and ".join(columns): condition.labels} if condition.labels else {}
    return {**labels, "also": [name for name in ("age", "sex") if getattr(condition, name)]}


def describe_model(model: str | Path) -> dict[str, Any]:
    """The facts of a model, read without torch if its config.json has them."""
    from ecgvae.checkpoint.files import count_weights, read_head

    folder = checkpoint.locate(model)
    config, facts = checkpoint.config(folder), model_facts(folder)
    if (weights := count_weights(folder)) < facts["parameters"]:
        raise ValueError(f"{folder} is damaged: its weights are {weights} numbers; wanted {facts['parameters']}")
    head, training = read_head(folder / "config.json"), config.get("training", {})
    signal = head.signal
    return {
        "kind": "model", "name": checkpoint.model_name(folder), "identity": facts["identity"],
        "family": head.family, "parameters": facts["parameters"],
        "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
        "rate": signal.rate, "leads": list(signal.leads), "coded_leads": list(signal.coded),
        **describe_latent(facts, signal.rate),
        "trained_on": {key: training[key] for key in ("store", "fingerprint", "records") if key in training},
        **describe_training_data(folder),
        "validation": config.get("metrics", {}), "versions": config.get("versions", {}),
    }


def describe_training_data(folder: Path) -> dict[str, Any]:
    """Percentiles of the amplitudes that a model was trained on, and how many segments of 5 s it would recognize."""
    amplitudes, records = checkpoint.amplitudes(folder), checkpoint.training_records(folder)
    percentiles = {f"{name}_mv": list(values.values()) for name, values in
                   (("rms", amplitudes.rms_mv.model_dump()), ("peak", amplitudes.peak_mv.model_dump()))
                   } if amplitudes else {}
    return {"amplitudes_1_50_99_percent": percentiles,
            "known_training_segments": len(records.fingerprints) if records else None}


def model_facts(folder: Path) -> dict[str, Any]:
    """Identity, number of parameters, hop, latent width and codebooks of a model.

    They are read from config.json; a checkpoint of an earlier version, which lacks them, is loaded.
    """
    facts = checkpoint.saved_facts(folder)
    codebooks = tuple(CodebookSpec(spec["hop"], spec["size"]) for spec in facts["codebooks"])
    return {"identity": checkpoint.identity(folder), **facts, "codebooks": codebooks}


def describe_latent(facts: dict[str, Any], rate: float) -> dict[str, Any]:
    """The codebooks and bit rate of a tokenizer, or the latent of another model."""
    if facts["codebooks"]:
        return describe_codebooks(facts["codebooks"], rate)
    latent, hop = facts["latent"], facts["hop"]
    return {"latent": f"{latent} numbers every {1000 * hop / rate:g} ms", "latent_per_second": latent * rate / hop}


def describe_run(path: Path) -> dict[str, Any]:
    """The progress of a run, its last validation, and the facts of its model if it is finished."""
    from pydantic import ValidationError

    from ecgvae.settings import describe_error
    from ecgvae.training.folder import RunRecipe

    try:
        steps = RunRecipe.model_validate(read_json(path / "recipe.json", "the recipe of a run")).training.steps
    except ValidationError as error:
        raise ValueError(f"{path / 'recipe.json'} is damaged: {describe_error(error)}") from None
    log, validation = (last_row(path / f"{name}.csv") for name in ("log", "validation"))
    finished = (path / "model" / "config.json").is_file()
    step = max((int(row["step"]) for row in (log, validation) if row), default=0)
    model = describe_checkpoint(path / "model") if finished else {"model": "none yet"}
    return {"kind": "run", "name": path.resolve().name, "path": str(path), "step": steps if finished else step,
            "steps": steps, **{key: value for key, value in model.items() if key not in ("kind", "name")},
            "validation": validation}


def last_row(path: Path) -> dict[str, float]:
    """The numbers in the last complete row of a CSV file, without empty cells; empty if there is no row.

    Raises:
        ValueError: It is not a table of numbers by step.
    """
    from ecgvae.training.table import read_table

    columns, rows = read_table(path)
    cells = zip(columns, rows[-1], strict=True) if rows else ()
    return {name: float(value) for name, value in cells if value}


def describe_store(path: Path) -> dict[str, Any]:
    """The facts of a store."""
    from ecgvae.data.store import Store

    store = Store(path)
    table = store.records
    own_columns = {*STORE_COLUMNS, *store.manifest.get("origin_columns", ())}
    resampled = {f"{rate:g} Hz": number for rate, number in sorted(store.resampled.items())}
    return {
        "kind": "store", "path": str(path), "source": store.manifest["source"], "records": len(store),
        "skipped": store.manifest["skipped"], "seconds": float(table["length"].sum() / store.rate), "rate": store.rate,
        **({"resampled": resampled} if resampled else {}),
        "window": store.manifest["window"], "leads": list(store.leads),
        "labels": [str(column) for column in table if column not in own_columns],
        **{key: store.manifest[key] for key in ("unmatched_rows", "unlabelled_records") if key in store.manifest},
        "splits": {name: len(store.split(name)) for name in ("train", "validation", "test")},
        **({"remarks": list(store.remarks)} if store.remarks else {}),
        "fingerprint": store.fingerprint,
    }


def describe_record(path: Path) -> dict[str, Any]:
    """The facts of a WFDB record."""
    from ecgvae.signal import open_record
    from ecgvae.signal.start_time import format_start_time

    record = open_record(path)
    return {
        "kind": "record", "path": str(record.path), "leads": list(record.leads), "rate": record.rate,
        "samples": record.samples, "seconds": record.duration,
        "start_time": format_start_time(record.start_time) or None, "skipped_channels": list(record.skipped_channels),
        "invented_leads": list(record.invented_leads), "comments": list(record.comments),
    }
