"""ecgvae: ECG to tokens and back, and encoders to learn from."""

import importlib

__version__ = "0.1.0"

_HOMES = {      # public names and where they live; a module is imported when one of its names is first used
    "ecgvae.signal": ("LEADS_12", "Record", "RecordFile", "SignalSpec", "find_records", "open_record", "read_record",
                      "resample", "write_record"),
    "ecgvae.synthetic": ("CONDITIONS", "simulate"),
    "ecgvae.checkpoint": ("load", "pretrained", "save"),
    "ecgvae.data.store": ("Store",),
    "ecgvae.data.tokens": ("Tokens", "open_tokens", "write_tokens"),
    "ecgvae.tokenizer": ("Tokenizer",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
