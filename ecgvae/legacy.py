"""Files of earlier versions: names of weights, the identity of a checkpoint of format 1, leads of tokens and stores."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic_core import to_json

Weights = TypeVar("Weights")

LEADS_12 = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
FORMER_COMPONENTS = {       # of the dotted names of weights
    "queries_keys_values": "qkv", "feed_norm": "feed_forward_norm", "feed": "feed_forward",
    "levels": "quantizers", "enter": "project_in", "leave": "project_out",
    "book": "codebook", "codes": "embeddings", "use": "cluster_size", "started": "initialized",
    "centre": "running_mean", "observer": "lead_encoder", "embed": "condition_embedding",
}
FORMER_PREFIXES = {
    r"fold\.map\.": "merge_frames.linear.", r"unfold\.map\.": "split_frames.linear.", r"join\.": "frame_projection.",
    r"(coarse\.\d+)\.join\.": r"\1.pre_quantize.", r"(coarse\.\d+)\.merge\.": r"\1.post_quantize.",
}


def rename_weights(weights: Mapping[str, Weights]) -> dict[str, Weights]:
    """The weights of a model under current names; those that have them already stay as they are."""
    names = set(weights)
    return {current_name(name, names): value for name, value in weights.items()}


def current_name(name: str, names: set[str]) -> str:
    """The current name of a weight of a model with these names."""
    module, _, parameter = name.rpartition(".")
    parent, _, layer = module.rpartition(".")
    if layer == "mix":      # of a residual unit, or of a change of the sampling rate
        layer = "pointwise" if f"{parent}.spread.{parameter}" in names else "conv"
        return current_name(f"{parent}.{layer}.{parameter}", names)
    if layer == "spread":
        return current_name(f"{parent}.dilated.{parameter}", names)
    if parameter == "spread":
        return current_name(f"{module}.running_deviation", names)
    if module.endswith("book") and parameter == "map":
        return current_name(f"{module}.projection", names)
    for former, current in FORMER_PREFIXES.items():
        name = re.sub(f"^{former}", current, name)
    return ".".join(FORMER_COMPONENTS.get(component, component) for component in name.split("."))


FORMER_KEYS = {"revive": "dead_code_threshold", "drop": "dropout", "squeeze": "frame_channels",
               "deviation": "likelihood_std"}

# Defaults of format 1, whose identities hash only the settings that differ from them.
SCALES: dict[str, Any] = {"widths": [128, 192], "dilations": [[1], [1, 3]]}
CONV: dict[str, Any] = {"kind": "conv", "strides": [4, 2], "encoder": SCALES, "decoder": SCALES}
TRANSFORMER: dict[str, Any] = {"kind": "transformer", "hop": 8, "width": 144, "layers": 2, "heads": 3, "window": 32}
SIMVQ = {"kind": "simvq", "code_dim": None, "normalize": False, "gradient": "straight-through"}
VQ = {"kind": "vq", "code_dim": None, "normalize": False, "decay": 0.99, "revive": 0.5, "gradient": "straight-through"}
COARSE = {"ratio": 4, "codebooks": 1, "codebook_size": 1024}
SIGNAL = {"leads": LEADS_12, "rate": 100.0, "unit": "mV", "scale": 1.0, "filters": []}
CONDITION = {"labels": [], "column": "superclass", "age": False, "sex": False, "leads": [], "drop": 0.1, "channels": 32}
LABELLED = CONDITION | {"labels": ["NORM", "MI", "STTC", "CD", "HYP"], "age": True, "sex": True}
BLOCKS: dict[str, dict[str, Any]] = {"conv": CONV, "transformer": TRANSFORMER, "vq": VQ, "simvq": SIMVQ,
                                     "fsq": {"kind": "fsq"}}
BASE: dict[str, Any] = {"signal": SIGNAL, "backbone": CONV, "latent": 64}
AE = BASE | {"span": 1, "squeeze": 32}
VAE = AE | {"deviation": None, "free_bits": 0.0}
VQVAE = BASE | {"codebooks": 8, "codebook_size": 1024, "quantizer": VQ}
FAMILIES: dict[str, dict[str, Any]] = {"ae": AE, "vae": VAE, "cvae": VAE | {"condition": LABELLED}, "vqvae": VQVAE,
            "vqvae2": VQVAE | {"codebooks": 1, "coarse": [COARSE]}}


def format_1_identity(settings: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> str:
    """The identity that the version that wrote a checkpoint of format 1 gave it.

    Args:
        settings: All settings of the model with current names, as JSON values.
        weights: Its weights under the names they have in the file.
    """
    family = settings["family"]
    text = to_json(without_defaults(settings, FAMILIES[family])).decode()
    return hash_weights(f"{family} {text}", sorted(weights.items()))


def without_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults of format 1, under its names and in its order."""
    changed = {}
    for key, default in defaults.items():
        value = values[FORMER_KEYS.get(key, key) if FORMER_KEYS.get(key) in values else key]
        if with_current_keys(value) == with_current_keys(default):
            continue
        if isinstance(value, Mapping):
            block = BLOCKS[value["kind"]] if "kind" in value else CONDITION if key == "condition" else default
            value = without_defaults(value, block)
        elif key == "coarse":
            value = [without_defaults(level, COARSE) for level in value]
        changed[key] = value
    return changed


def with_current_keys(value: Any) -> Any:
    """A block of settings with current keys, of which some may be former ones."""
    return {FORMER_KEYS.get(key, key): item for key, item in value.items()} if isinstance(value, Mapping) else value


def leads_set_to_zero(notes: Iterable[str]) -> list[str]:
    """The leads that a record lacked, by the notes in its row of a token file without source leads."""
    matches = (re.fullmatch("(.+) is missing, set to 0 mV", note) for note in notes)
    return [match[1] for match in matches if match]


def leads_not_recorded(notes: Iterable[str]) -> set[str]:
    """The leads that a record lacked, by the notes in its row of a store without source leads."""
    pattern = re.compile("(.+) is (?:missing, (?:set to 0 mV|derived from others)|invented by a model)")
    return {match[1] for match in map(pattern.fullmatch, notes) if match}


def hash_weights(text: str, weights: Iterable[tuple[str, np.ndarray]]) -> str:
    """A short hash of a text and of named arrays, in their order."""
    digest = hashlib.sha256(text.encode())
    for name, value in weights:
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:16]
