"""What generated records are asked to be: labels, age and sex, from a user or like the records of a store."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from ecgvae.conditions import MAX_AGE, SEXES, SUPERCLASSES, ConditionSettings
from ecgvae.data.conditions import column_labels, column_values, parse_age, parse_sex
from ecgvae.data.store import Store
from ecgvae.signal.generated import MAIN_COLUMN
from ecgvae.wording import plain, quote

MAX_ASKED_AGE = 120         # years
MAX_LISTED = 20             # labels in a message
# Common abbreviations, and the statements of PTB-XL (SCP-ECG) that they mean.
SYNONYMS = {"LBBB": "CLBBB", "RBBB": "CRBBB", "AF": "AFIB", "AFL": "AFLT"}


@dataclass(frozen=True)
class Condition:
    """What a generated record is asked to be; all of it may be unknown.

    Attributes:
        labels: Labels that the prior knows.
        age: Years.
        sex: "male" or "female".
        complete: Whether the record has none of the prior's other labels; False if nothing is known of them.
    """

    labels: tuple[str, ...] = ()
    age: float | None = None
    sex: str | None = None
    complete: bool = False

    def vector(self, settings: ConditionSettings) -> list[float]:
        """The numbers that encode it, see `ConditionSettings.vector`."""
        known = self.labels or ("",) * self.complete        # a label that no prior has: none of them, for certain
        return settings.vector(known, self.age, self.sex, self.complete)

    def checked(self, settings: ConditionSettings | None, prior: str) -> "Condition":
        """The condition with the prior's names of its labels.

        Args:
            settings: The condition of the prior, or None.
            prior: The prior's name, for messages.

        Raises:
            ValueError: The prior does not know a label, or knows no labels, age or sex; or one of them is impossible.
        """
        if isinstance(self.labels, str) or not all(isinstance(label, str) for label in self.labels):
            raise ValueError(f"labels are {quote(self.labels)}; wanted a list of texts")
        known = settings.labels if settings else ()
        asked = {"labels": bool(self.labels), "age": self.age is not None, "sex": self.sex is not None}
        for name, is_asked in asked.items():
            if is_asked and not (settings and getattr(settings, name)):
                raise ValueError(f"{name} came for {prior}, whose condition has no {name}")
        if self.age is not None:
            check_age(self.age)
        if self.sex is not None and self.sex not in SEXES:
            raise ValueError(f"sex is {quote(self.sex)}; wanted {' or '.join(SEXES)}")
        labels = tuple(dict.fromkeys(find_label(label, known, prior) for label in self.labels))
        return replace(self, labels=labels)

    def columns(self, settings: ConditionSettings) -> dict[str, tuple[str, ...]]:
        """Its labels by the column of the store that they are from.

        A prior with labels from several columns does not say which is from which: superclasses are from the column
        `superclass`, others from the first of the other columns.
        """
        first, *others = sorted(settings.columns, key=lambda name: name != MAIN_COLUMN)
        if first != MAIN_COLUMN or not others:
            return {first: self.labels}
        return {first: tuple(label for label in self.labels if label in SUPERCLASSES),
                others[0]: tuple(label for label in self.labels if label not in SUPERCLASSES)}


def check_age(age: object) -> None:
    """Raises ValueError unless an age is a possible one in years."""
    is_number = isinstance(age, int | float) and not isinstance(age, bool)
    if not is_number or not 0 <= float(age) <= MAX_ASKED_AGE:  # type: ignore[arg-type]
        raise ValueError(f"age is {quote(age)}; wanted 0 to {MAX_ASKED_AGE} years")


def find_label(label: str, known: Sequence[str], prior: str) -> str:
    """The prior's name of a label: the same, in other case, or what it is a synonym of; see `SYNONYMS`.

    Raises:
        ValueError: The prior does not know it; the message has the nearest label, or all of them.
    """
    by_upper = {name.upper(): name for name in known}
    upper = label.strip().upper()
    for name in (label, by_upper.get(upper, ""), by_upper.get(SYNONYMS.get(upper, ""), "")):
        if name in known:
            return name
    nearest = get_close_matches(upper[:100], by_upper, n=1)
    hint = f"did you mean {by_upper[nearest[0]]}?" if nearest else f"wanted some of {', '.join(known[:MAX_LISTED])}"
    raise ValueError(f"{prior} does not know the label {plain(label)}; {hint}")


def conditions_like(store: Store, settings: ConditionSettings, split: str = "train") -> list[Condition]:
    """The conditions of the rows of a store, whose labels are complete; an empty cell is unknown.

    Args:
        store: The store.
        settings: The condition of a prior.
        split: "train", "validation", "test" or "all".

    Raises:
        ValueError: The store lacks a column that the condition has, or there is no such split.
    """
    rows = store.split(split)
    unknown = [None] * len(store)
    columns = [column_labels(store, column) for column in settings.columns] if settings.labels else []
    ages = [parse_age(value, store) for value in column_values(store, "age")] if settings.age else unknown
    sexes = [parse_sex(value) for value in column_values(store, "sex")] if settings.sex else unknown
    conditions = []
    for row in rows:
        existing = [label for column in columns for label in column[row]]
        labels = tuple(label for label in settings.labels if label in existing)
        age = ages[row]
        age = None if age is None or math.isnan(age) else min(age, float(MAX_AGE))
        conditions.append(Condition(labels, age, sexes[row], complete=bool(existing)))
    return conditions
