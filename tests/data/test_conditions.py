"""Conditions from a store's table, written down by hand."""

from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import torch

from ecgvae.conditions import ConditionSettings
from ecgvae.data.conditions import condition_vectors

TABLE = pandas.DataFrame({
    "superclass": [np.array(["MI", "STTC"], object), np.array([], object), None, np.array(["NORM"], object)],
    "rhythm": ["sinus", None, "flutter", "sinus"],
    "age": pandas.array([50, None, 300, 25], "Int64"),
    "sex": pandas.array(["female", "male", None, "M"], "string"),
})


def table_store(table=TABLE):
    """A store of which only the table of records matters."""
    return type("Table", (SimpleNamespace,), {"__len__": lambda self: len(table)})(path="store", records=table)


def test_labels_age_and_sex():
    condition = ConditionSettings(labels=("NORM", "MI"), age=True, sex=True)
    expected = [[0, 1, 1, 0.0, 1, 1, 1],
                [0, 0, 0, 0.0, 0, 0, 1],
                [0, 0, 0, 0.8, 1, 0, 0],
                [1, 0, 1, -0.5, 1, 0, 1]]
    torch.testing.assert_close(condition_vectors(table_store(), condition), torch.tensor(expected))


def test_one_label_a_record():
    vectors = condition_vectors(table_store(), ConditionSettings(labels=("flutter", "sinus"), column="rhythm"))
    assert vectors.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize("values", [[1, 0, np.nan, 0], [1.0, 0.0, 7.0, 0.0], ["Female", "m", "?", " male"]])
def test_ways_to_write_a_sex(values):
    vectors = condition_vectors(table_store(pandas.DataFrame({"sex": values})), ConditionSettings(sex=True))
    assert vectors.tolist() == [[1, 1], [0, 1], [0, 0], [0, 1]]


def test_given_leads_need_no_table():
    assert condition_vectors(table_store(pandas.DataFrame({"name": ["a", "b"]})),
                             ConditionSettings(leads=("II",))).shape == (2, 0)


@pytest.mark.parametrize("condition, message", [
    ({"labels": ("NORM",), "column": "class"}, "store has no column class, which the model's condition needs"),
    ({"labels": ("NORM", "HYP")}, "store has no HYP in superclass; it has MI, NORM, STTC"),
])
def test_what_a_store_lacks_is_said(condition, message):
    with pytest.raises(ValueError, match=message):
        condition_vectors(table_store(), ConditionSettings(**condition))


@pytest.mark.parametrize("age", ["fifty", [50], float("inf"), {"years": 50}])
def test_what_is_no_age_is_refused_in_one_line(age):
    ages = pandas.DataFrame({"age": pandas.Series([30, age, None, 1], dtype=object)})
    with pytest.raises(ValueError, match=r"^store has the age [^\n]*; wanted years$"):
        condition_vectors(table_store(ages), ConditionSettings(age=True))


def test_odd_labels_and_sexes_are_unknown_or_texts():
    table = pandas.DataFrame({"superclass": [np.array([1, None], object), "MI", 3.5, True],
                              "sex": [np.array([0, 1]), {}, None, 1]})
    vectors = condition_vectors(table_store(table), ConditionSettings(labels=("MI", "1"), sex=True))
    assert vectors.tolist() == [[0, 1, 1, 0, 0], [1, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 1]]
