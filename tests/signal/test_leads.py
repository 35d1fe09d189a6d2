import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.signal import (
    INDEPENDENT_8,
    LEADS_12,
    canonical_lead,
    fit_leads,
    independent_leads,
    lead_expansion,
    parse_leads,
)
from ecgvae.signal.leads import LIMB


def twelve_leads(seed: int, samples: int = 50) -> np.ndarray:
    """A signal (12, t) that obeys Einthoven and Goldberger, written out by hand."""
    i, ii, *chest = np.random.default_rng(seed).normal(size=(8, samples))
    return np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2, *chest])


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("AVR", "aVR"),
        ("avl", "aVL"),
        (" v1 ", "V1"),
        ("i", "I"),
        ("MLII", "II"),
        ("Lead II", "II"),
        ("ECG i", "I"),
        ("ECG_lead_V5", "V5"),
        ("DII", "II"),
        ("-aVR", "-aVR"),
        (" Pleth ", "Pleth"),
        ("MCL1", "MCL1"),
        ("ECG", "ECG"),
        ("V", "V"),
        ("", ""),
    ],
)
def test_lead_names_have_one_spelling(name, standard):
    assert canonical_lead(name) == standard


@given(st.text(max_size=30))
def test_canonical_names_are_canonical(name):
    assert canonical_lead(canonical_lead(name)) == canonical_lead(name)
    assert canonical_lead(name) in LEADS_12 or canonical_lead(name) == name.strip()


def test_leads_are_parsed():
    assert parse_leads("Standard-12") == LEADS_12
    assert parse_leads("i, MLII,v1") == ("I", "II", "V1")


@pytest.mark.parametrize("text", ["", " , ", "I,i", "II,MLII"])
def test_empty_and_repeated_leads_are_refused(text):
    with pytest.raises(ValueError, match="standard-12"):
        parse_leads(text)


def test_only_independent_leads_are_coded():
    assert independent_leads(LEADS_12[::-1]) == INDEPENDENT_8
    assert independent_leads(("II", "aVF", "I", "V1")) == ("II", "I", "V1")
    assert independent_leads(("II", "III", "V1")) == ("II", "III", "V1")
    assert independent_leads(("V5",)) == ("V5",)


def test_expansion_is_einthoven_and_goldberger():
    signal = twelve_leads(0)
    coded = signal[[LEADS_12.index(lead) for lead in INDEPENDENT_8]]
    np.testing.assert_allclose(lead_expansion(LEADS_12, INDEPENDENT_8) @ coded, signal, atol=1e-12)


def test_expansion_of_underivable_leads_is_refused():
    with pytest.raises(ValueError, match="aVF, V2 can't be derived from II, V1"):
        lead_expansion(("II", "aVF", "V2"), ("II", "V1"))


@settings(deadline=None, max_examples=30)
@given(st.permutations(LEADS_12), st.integers(0, 99))
def test_consistent_leads_survive_fit_and_expansion_in_any_order(order, seed):
    signal = twelve_leads(seed)
    weights, lost = fit_leads(tuple(order), INDEPENDENT_8)
    coded = weights @ signal[[LEADS_12.index(lead) for lead in order]]
    assert lost == ()
    np.testing.assert_allclose(lead_expansion(LEADS_12, INDEPENDENT_8) @ coded, signal, atol=1e-9)


@pytest.mark.parametrize("first", LIMB)
@pytest.mark.parametrize("second", LIMB)
def test_any_two_limb_leads_give_all_others(first, second):
    weights, lost = fit_leads((first, second, "V1"), LEADS_12[:7])
    if first == second:
        assert set(lost) == set(LIMB) - {first}
    else:
        signal = twelve_leads(1)
        coded = weights @ signal[[LEADS_12.index(lead) for lead in (first, second, "V1")]]
        np.testing.assert_allclose(coded, signal[:7], atol=1e-9)


@given(st.integers(0, 99))
def test_fit_is_least_squares(seed):
    noisy = np.random.default_rng(seed).normal(size=(6, 20))
    weights, _ = fit_leads(LEADS_12[:6], ("I", "II"))
    best, *_ = np.linalg.lstsq(lead_expansion(LEADS_12[:6], ("I", "II")), noisy, rcond=None)
    np.testing.assert_allclose(weights @ noisy, best, atol=1e-9)


def test_undetermined_leads_have_no_weights():
    weights, lost = fit_leads(("III", "V1"), ("I", "II", "V1"))
    assert lost == ("I", "II")
    np.testing.assert_array_equal(weights, [[0, 0], [0, 0], [0, 1]])


def test_kept_leads_are_themselves_and_chest_leads_never_derived():
    weights, lost = fit_leads(LEADS_12[:7], LEADS_12[:8], keep=True)
    assert lost == ("V2",)
    np.testing.assert_array_equal(weights, np.eye(8, 7))
