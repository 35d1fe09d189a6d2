"""What the header comments of a generated record say about it."""

from collections.abc import Sequence
from typing import TypedDict

CONDITION = "ecgvae: condition:"


class Condition(TypedDict):
    """The condition of a generated record: a column of labels, the labels that were asked for, age in years, and sex.

    The column is empty, and age and sex are None, where the condition does not name them.
    """

    column: str
    labels: tuple[str, ...]
    age: float | None
    sex: str | None


def read_condition(comments: Sequence[str]) -> Condition:
    """The condition in comments, such as `ecgvae: condition: superclass MI, CD; age 60; sex female`.

    Args:
        comments: The comments of a record's header. Without such a line the condition is unknown.

    Raises:
        ValueError: An age is not a number.
    """
    condition = Condition(column="", labels=(), age=None, sex=None)
    for line in comments:
        parts = line.removeprefix(CONDITION).split(";") if line.startswith(CONDITION) else ()
        for name, _, values in (part.strip().partition(" ") for part in parts):
            if name == "age":
                condition["age"] = _parse_age(values)
            elif name == "sex":
                condition["sex"] = values.strip()
            elif name:
                condition["column"] = name
                condition["labels"] = tuple(label.strip() for label in values.split(",") if label.strip())
    return condition


def _parse_age(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a condition has the age {text!r:.60}; wanted years") from None
