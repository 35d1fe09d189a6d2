"""Conditions of generated records: labels by name and synonym, vectors, and those of the rows of a store."""

import numpy as np
import pytest
from stores import write_store

from ecgvae.conditions import ConditionSettings
from ecgvae.data.conditions import condition_vectors
from ecgvae.generation import Condition, conditions_like, find_label
from ecgvae.signal import LEADS_12

LABELS = ("NORM", "MI", "CD", "CLBBB", "AFIB")
SETTINGS = ConditionSettings(labels=LABELS, column=("superclass", "statements"), age=True, sex=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of four rows, of which the last one has unknown labels and the third has only others."""
    return write_store(tmp_path_factory.mktemp("stores") / "store", np.zeros((4, 12, 100)), LEADS_12,
                       superclass=[["MI", "CD"], ["NORM"], ["HYP"], []], statements=[["CLBBB"], ["SR"], [], []],
                       age=[60.0, 300.0, np.nan, 20.0], sex=["female", "male", None, "f"], fold=[1, 1, 9, 1])


@pytest.mark.parametrize(("asked", "found"), [("MI", "MI"), ("mi", "MI"), (" cd ", "CD"), ("LBBB", "CLBBB"),
                                              ("lbbb", "CLBBB"), ("AF", "AFIB"), ("AFIB", "AFIB")])
def test_labels_are_found_by_name_and_synonym(asked, found):
    assert find_label(asked, LABELS, "small") == found


def test_an_unknown_label_is_an_error_with_the_nearest():
    for asked, hint in (("NORMAL", "did you mean NORM?"), ("CLBB", "did you mean CLBBB?"),
                        ("RBBB", "did you mean CLBBB?"), ("xyz", "wanted some of NORM, MI, CD, CLBBB, AFIB")):
        with pytest.raises(ValueError) as error:
            find_label(asked, LABELS, "small")
        assert str(error.value) == f"small does not know the label {asked}; {hint}"


@pytest.mark.parametrize(("condition", "message"), [
    (Condition("MI"), "labels are 'MI'; wanted a list of texts"),
    (Condition((3,)), r"labels are \(3,\); wanted a list of texts"),
    (Condition(age=-1), "age is -1; wanted 0 to 120 years"),
    (Condition(age=float("nan")), "age is nan; wanted 0 to 120 years"),
    (Condition(age=True), "age is True; wanted 0 to 120 years"),
    (Condition(age="60"), "age is '60'; wanted 0 to 120 years"),
    (Condition(sex="f"), "sex is 'f'; wanted male or female"),
])
def test_impossible_conditions_are_errors(condition, message):
    with pytest.raises(ValueError, match=message):
        condition.checked(SETTINGS, "small")


def test_what_a_prior_does_not_know_cannot_be_asked_for():
    settings = ConditionSettings(labels=("MI",))
    for condition, name in ((Condition(age=3), "age"), (Condition(sex="male"), "sex")):
        with pytest.raises(ValueError, match=f"{name} came for small, whose condition has no {name}"):
            condition.checked(settings, "small")
    with pytest.raises(ValueError, match="labels came for small, whose condition has no labels"):
        Condition(("MI",)).checked(None, "small")
    assert Condition().checked(None, "small") == Condition()


def test_labels_of_a_user_are_incomplete():
    condition = Condition(("lbbb", "MI", "CLBBB"), 60, "female").checked(SETTINGS, "small")
    assert condition.labels == ("CLBBB", "MI")
    assert condition.vector(SETTINGS) == SETTINGS.vector(("CLBBB", "MI"), 60, "female", complete=False)
    assert Condition().vector(SETTINGS) == [0.0] * SETTINGS.width


def test_labels_are_shown_by_column():
    condition = Condition(("MI", "CLBBB", "NORM"))
    assert condition.columns(SETTINGS) == {"superclass": ("MI", "NORM"), "statements": ("CLBBB",)}
    swapped = ConditionSettings(labels=LABELS, column=("statements", "superclass"))
    assert condition.columns(swapped) == {"superclass": ("MI", "NORM"), "statements": ("CLBBB",)}
    assert condition.columns(ConditionSettings(labels=LABELS, column="finding")) == {"finding": condition.labels}


def test_conditions_like_a_store_have_the_vectors_of_training(store):
    conditions = conditions_like(store, SETTINGS, "all")
    assert conditions[0] == Condition(("MI", "CD", "CLBBB"), 60.0, "female", complete=True)
    assert conditions[1] == Condition(("NORM",), 90.0, "male", complete=True)
    assert conditions[2] == Condition((), None, None, complete=True)       # it has HYP, which the prior does not know
    assert conditions[3] == Condition((), 20.0, "female", complete=False)
    known = SETTINGS.model_copy(update={"labels": ("NORM", "MI", "CD", "CLBBB")})     # the store has no AFIB
    vectors = condition_vectors(store, known).numpy()
    like = [condition.checked(known, "small").vector(known) for condition in conditions_like(store, known, "all")]
    assert np.allclose(like, vectors)
    assert conditions_like(store, SETTINGS, "validation") == conditions[2:3]


def test_a_store_without_a_column_is_refused(store):
    with pytest.raises(ValueError, match="has no column finding"):
        conditions_like(store, SETTINGS.model_copy(update={"column": "finding"}))
