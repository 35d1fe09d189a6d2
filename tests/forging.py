"""Forged files: odd values in place of those of a JSON file, and what reading them may do."""

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
DEEP = json.loads("[" * 90 + "]" * 90)
ODD_VALUES = st.sampled_from([None, True, False, -1, 0, 1, 2**31, 10**30, 10**400, 1e-300, 1e300, float("nan"),
                              float("inf"), "", "text", "a\nb", "\x1b[31m", "é" * 999, "conv", "vq", [], [[]], [None],
                              [1] * 999, {}, {"a": {}}, {"kind": "fsq"}, DEEP])


def every_key(values, path=()):
    """The paths of all keys in nested dictionaries and lists."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from every_key(value, (*path, key))


def forge(values, path, value):
    *blocks, key = path
    for block in blocks:
        values = values[block]
    values[key] = value


def check_refused_or_read(read, folder) -> None:
    """Whatever is in the folder, reading it gives a result or an error of one line that names a file."""
    try:
        read(folder)
    except (ValueError, FileNotFoundError) as error:
        assert "\n" not in str(error) and len(str(error)) < 700 and str(folder) in str(error), str(error)
