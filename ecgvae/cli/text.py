"""Text that is safe to print: nothing in a file name, comment or message acts on the terminal."""

import json
import math
import re
import unicodedata
from typing import Any

ESCAPED_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")     # control and format characters, surrogates, line ends
SHAPING = "\u00ad\u061c\u200c\u200d\u200e\u200f"        # format characters of ordinary text, such as Persian and emoji
NOT_ASCII_OR_CONTROL = re.compile(r"[^ -~]")


def acts(char: str) -> bool:
    """Whether a character moves the cursor, changes colours or reverses the text beside it, or can't be encoded."""
    return char not in SHAPING and unicodedata.category(char) in ESCAPED_CATEGORIES


def printable(text: str) -> str:
    """The text with escapes, such as \\x1b, in place of characters that act on the terminal; it may have lines."""
    return NOT_ASCII_OR_CONTROL.sub(lambda match: ascii(match[0])[1:-1] if match[0] not in "\n\t" and acts(match[0])
                                    else match[0], text)


def printable_line(text: str) -> str:
    """As `printable`, in one line."""
    return printable(text).replace("\n", "\\n")


def to_json(values: Any) -> str:
    """The values as JSON with escapes in place of characters that act on the terminal."""
    text = json.dumps(replace_nonfinite(values), indent=2, ensure_ascii=False)
    return NOT_ASCII_OR_CONTROL.sub(lambda match: json.dumps(match[0])[1:-1] if match[0] != "\n" and acts(match[0])
                                    else match[0], text)


def replace_nonfinite(values: Any) -> Any:
    """The values with None in place of nan and infinity, which JSON does not have."""
    if isinstance(values, dict):
        return {key: replace_nonfinite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [replace_nonfinite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
