"""Multi-lead ECG to tokens or latents and back.

Names are imported when they are first used, so that `import ecgvae` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgvae.checkpoint import load, pretrained, save
    from ecgvae.data.store import Store
    from ecgvae.data.tokens import Tokens, open_tokens, write_tokens
    from ecgvae.features.classifier import Classifier
    from ecgvae.features.extract import extract
    from ecgvae.features.sklearn import FeatureExtractor
    from ecgvae.generation import Prior
    from ecgvae.signal import (
        LEADS_12,
        Record,
        RecordFile,
        SignalSpec,
        find_records,
        open_record,
        read_record,
        resample,
        write_record,
    )
    from ecgvae.synthetic import CONDITIONS, simulate
    from ecgvae.tokenizer import Tokenizer

__version__ = "0.1.0"

__all__ = [
    "CONDITIONS",
    "LEADS_12",
    "Classifier",
    "FeatureExtractor",
    "Prior",
    "Record",
    "RecordFile",
    "SignalSpec",
    "Store",
    "Tokenizer",
    "Tokens",
    "extract",
    "find_records",
    "load",
    "open_record",
    "open_tokens",
    "pretrained",
    "read_record",
    "resample",
    "save",
    "simulate",
    "write_record",
    "write_tokens",
]

if not TYPE_CHECKING:       # hidden from type checkers, which would otherwise accept any attribute
    _MODULES = {
        "ecgvae.signal": ("LEADS_12", "Record", "RecordFile", "SignalSpec", "find_records", "open_record",
                          "read_record", "resample", "write_record"),
        "ecgvae.synthetic": ("CONDITIONS", "simulate"),
        "ecgvae.checkpoint": ("load", "pretrained", "save"),
        "ecgvae.data.store": ("Store",),
        "ecgvae.data.tokens": ("Tokens", "open_tokens", "write_tokens"),
        "ecgvae.features.classifier": ("Classifier",),
        "ecgvae.features.extract": ("extract",),
        "ecgvae.features.sklearn": ("FeatureExtractor",),
        "ecgvae.generation": ("Prior",),
        "ecgvae.tokenizer": ("Tokenizer",),
    }
    _MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return [*__all__, "__version__"]
