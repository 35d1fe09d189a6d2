"""Settings of models and trainings: immutable, checked, and read with their former names."""

import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

MAX_MESSAGE_CHARACTERS = 300
UNION_KEYS = ("backbone", "quantizer")      # settings of several kinds, of which pydantic names the one it tried


class Settings(BaseModel):
    """A block of settings. It is immutable, and a key it does not know is an error that suggests the nearest.

    `former_names` maps keys of earlier versions to those of today, so that old files stay readable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    former_names: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _rename_former_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        renamed: dict[Any, Any] = {}
        for key, value in values.items():
            name = cls.former_names.get(key, key) if isinstance(key, str) else key
            if name not in cls.model_fields:
                raise PydanticCustomError("unknown_key", "unknown key '{key}'{hint}",
                                          {"key": str(key), "hint": suggest_name(key, list(cls.model_fields))})
            if name in renamed:
                former = next(given for given in values if cls.former_names.get(given) == name)
                raise ValueError(f"{former} is the former name of {name}; wanted only one of them")
            if has_bool(value) and not takes_bool(cls.model_fields[name].annotation):
                raise PydanticCustomError("bool_value", "wanted no true or false (got {value})",
                                          {"key": name, "value": reprlib.repr(value)})
            renamed[name] = value
        return renamed


AnySettings = TypeVar("AnySettings", bound=Settings)


def parse_block(values: Any, block: str, key: str, classes: Mapping[str, type[AnySettings]]) -> AnySettings:
    """The settings in a block of YAML or JSON, one key of which decides their class.

    Args:
        values: A dict of settings; keys that are left out have their defaults.
        block: The name of the block, for messages.
        key: The key that decides.
        classes: The class for each of its values.

    Raises:
        ValueError: The first setting that is wrong, in one line.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{block} is {reprlib.repr(values)}; it must be a block of settings")
    name = values.get(key)
    if not isinstance(name, str) or name not in classes:
        raise ValueError(f"{block}.{key} is {reprlib.repr(name)}{suggest_name(name, list(classes))}")
    try:
        return classes[name].model_validate(values)
    except ValidationError as error:
        raise ValueError(describe_error(error, block)) from None


def has_bool(value: Any) -> bool:
    """Whether a value is true or false, or a list with one of them, which pydantic would read as the number 1 or 0."""
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(has_bool, value)))


def takes_bool(annotation: Any) -> bool:
    """Whether a field with this annotation may be true or false."""
    return annotation in (bool, Any) or any(map(takes_bool, get_args(annotation)))


def suggest_name(name: object, known: list[str]) -> str:
    """The end of an error message about an unknown name: the nearest known name, or all of them."""
    matches = get_close_matches(name.lower()[:100], known, n=1) if isinstance(name, str) else []
    return f"; did you mean {matches[0]}?" if matches else f"; wanted one of {', '.join(known)}"


def describe_error(error: ValidationError, *block: str) -> str:
    """The first error of a validation in one line that begins with the key it is about."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    keys = [key for before, key in pairwise(("", *first["loc"])) if before not in UNION_KEYS]
    if first["type"] in ("unknown_key", "bool_value"):
        keys.append(reprlib.repr(first["ctx"]["key"]).strip("'"))
        message = message.replace(f" '{first['ctx']['key']}'", "", 1)
    key_path = ".".join(map(str, (*block, *keys)))
    if first["type"] == "value_error" and message.startswith(key_path):     # it names the key by itself
        key_path = ""
    if len(message) > MAX_MESSAGE_CHARACTERS:       # pydantic repeats some values whole
        message = f"{message[:MAX_MESSAGE_CHARACTERS]}..."
    received = "" if isinstance(first["input"], dict) else f" (got {reprlib.repr(first['input'])})"
    return " ".join(f"{key_path}: {message}{received}".removeprefix(": ").split())
