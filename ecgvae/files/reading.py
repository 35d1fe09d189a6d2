"""Reading of files that may be anything: only regular files are opened, and JSON and YAML are bounded."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from ecgvae.wording import one_line

MAX_JSON_BYTES = 1 << 26
MAX_DEPTH = 100             # of nested lists and dictionaries
MAX_INTEGER_BITS = 1024     # the largest float has as many
PLAIN_TYPES = (str, int, float, list, dict, type(None))     # YAML also has dates, sets and bytes
MAX_YAML_BYTES = 1 << 17    # Python's YAML reads 50 KB a second
MAX_YAML_VALUES = 1 << 17
YAML_ERRORS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)     # that PyYAML also raises
KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
         (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))


def special_kind(path: str | Path) -> str | None:
    """What exists at a path if it is no regular file, such as "a folder" or "a named pipe"; else None.

    Symbolic links are followed. Reading a pipe, a socket or a device may wait for ever or change it.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None
    return next((kind for is_kind, kind in KINDS if is_kind(mode)), None)


def check_regular(path: str | Path, wanted: str = "a file") -> Path:
    """Checks that a path is that of a regular file, before it is opened.

    Args:
        path: The path.
        wanted: What was wanted, for the message, such as "a token file".

    Returns:
        The path.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: It is a folder, a named pipe, a socket or a device.
    """
    if kind := special_kind(path):
        raise ValueError(f"{path} is {kind}; wanted {wanted}")
    os.stat(path)       # FileNotFoundError or PermissionError
    return Path(path)


def read_regular_file(path: str | Path, wanted: str = "a file", max_bytes: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: The path.
        wanted: What was wanted, for the message.
        max_bytes: The largest size that is read.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: It is no regular file, or a larger one.
    """
    size = check_regular(path, wanted).stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise ValueError(f"{path} has {size:,} bytes; wanted {wanted} of at most {max_bytes:,}")
    return Path(path).read_bytes()


def read_json(path: str | Path, wanted: str = "JSON", max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The values in a JSON file.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: It is no regular file, too large, or not JSON, such as one nested too deeply.
    """
    content = read_regular_file(path, wanted, max_bytes)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is damaged: it is not JSON; wanted {wanted}") from None
    if problem := excess(values):
        raise ValueError(f"{path} is damaged: it {problem}; wanted {wanted}")
    return values


def read_yaml(path: str | Path, wanted: str = "YAML") -> Any:
    """The values in a YAML file.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: It is no regular file, too large, or not YAML.
    """
    content = read_regular_file(path, wanted, MAX_YAML_BYTES)
    try:
        return parse_yaml(content.decode())
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not YAML: it is not a text file in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from None


def parse_yaml(text: str) -> Any:
    """The values of a text in YAML; ValueError, in one line, if it is not YAML or has more values than are sensible."""
    import yaml

    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, *YAML_ERRORS) as error:
        raise ValueError(f"not YAML: {one_line(error, 300)}") from None
    if problem := excess(values, MAX_YAML_VALUES):
        raise ValueError(f"no plain YAML: it {problem}")
    return values


def excess(values: Any, max_values: int | None = None) -> str | None:
    """What programs would fail on in nested lists and dictionaries: "is nested too deeply", or else None.

    Args:
        values: The values. With the anchors of YAML they may contain themselves, or each other many times.
        max_values: The largest number of values.
    """
    level, count = [values], 0
    for _ in range(MAX_DEPTH):
        below: list = []
        for value in level:
            if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
                return "has a number that is too large"
            if not isinstance(value, PLAIN_TYPES):
                return f"has a value of type {type(value).__name__}"
            below += [*value.keys(), *value.values()] if isinstance(value, dict) else ()
            below += value if isinstance(value, list) else ()
            if max_values is not None and count + len(below) > max_values:
                return f"has more than {max_values:,} values"
        level, count = below, count + len(below)
        if not level:
            return None
    return "is nested too deeply"
