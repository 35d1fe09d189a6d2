import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.signal import (
    INDEPENDENT_8,
    LEADS_12,
    canonical_lead,
    check_lead_map,
    fit_leads,
    independent_leads,
    lead_expansion,
    parse_lead_map,
    parse_leads,
    standardize_lead_map,
)
from ecgvae.signal.leads import LIMB, lead_rows


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
    weights, undetermined = fit_leads(tuple(order), INDEPENDENT_8)
    coded = weights @ signal[[LEADS_12.index(lead) for lead in order]]
    assert undetermined == ()
    np.testing.assert_allclose(lead_expansion(LEADS_12, INDEPENDENT_8) @ coded, signal, atol=1e-9)


@pytest.mark.parametrize("first", LIMB)
@pytest.mark.parametrize("second", LIMB)
def test_any_two_limb_leads_give_all_others(first, second):
    weights, undetermined = fit_leads((first, second, "V1"), LEADS_12[:7])
    if first == second:
        assert set(undetermined) == set(LIMB) - {first}
    else:
        signal = twelve_leads(1)
        coded = weights @ signal[[LEADS_12.index(lead) for lead in (first, second, "V1")]]
        np.testing.assert_allclose(coded, signal[:7], atol=1e-9)


@given(st.integers(0, 99))
def test_fit_is_least_squares(seed):
    noisy = np.random.default_rng(seed).normal(size=(6, 20))
    weights, _ = fit_leads(LEADS_12[:6], ("I", "II"))
    expected, *_ = np.linalg.lstsq(lead_expansion(LEADS_12[:6], ("I", "II")), noisy, rcond=None)
    np.testing.assert_allclose(weights @ noisy, expected, atol=1e-9)


def test_undetermined_leads_have_no_weights():
    weights, undetermined = fit_leads(("III", "V1"), ("I", "II", "V1"))
    assert undetermined == ("I", "II")
    np.testing.assert_array_equal(weights, [[0, 0], [0, 0], [0, 1]])


def test_kept_leads_are_themselves_and_chest_leads_never_derived():
    weights, undetermined = fit_leads(LEADS_12[:7], LEADS_12[:8], keep=True)
    assert undetermined == ("V2",)
    np.testing.assert_array_equal(weights, np.eye(8, 7))


@pytest.mark.parametrize("number", range(1, 7))
def test_chest_leads_have_iec_names_too(number):
    for name in (f"C{number}", f"c{number}", f"ECG C{number}", f"lead c{number}"):
        assert canonical_lead(name) == f"V{number}"
    assert canonical_lead(f"C{number + 6}") == f"C{number + 6}"


def test_lead_maps_are_parsed():
    assert parse_lead_map("MLII=II,C1=V1,ECG 1=I") == {"MLII": "II", "C1": "V1", "ECG 1": "I"}
    assert parse_lead_map(" a = avr , ") == {"a": "aVR"}


letters = st.characters(exclude_characters=",=", exclude_categories=["Cs"])
plain = st.text(letters, min_size=1).map(str.strip).filter(bool)


@given(st.dictionaries(plain, st.sampled_from([*LEADS_12, "v1", "lead ii", "mcl1", "X"]), min_size=1))
def test_any_lead_map_is_parsed(leads):
    text = ",".join(f"{name}={lead}" for name, lead in leads.items())
    assert parse_lead_map(text) == {name: canonical_lead(lead) for name, lead in leads.items()}


@given(st.text())
def test_any_text_is_a_lead_map_or_one_line(text):
    try:
        lead_map = parse_lead_map(text)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert lead_map and parse_lead_map(",".join(map("=".join, lead_map.items()))) == lead_map


@pytest.mark.parametrize("text, message", [
    ("", "wanted NAME=LEAD pairs like MLII=II,C1=V1"), ("II", "wanted NAME=LEAD"), ("a=", "wanted NAME=LEAD"),
    ("=II", "wanted NAME=LEAD"), ("a=b=c", "wanted NAME=LEAD"), ("a=I,b", "wanted NAME=LEAD"),
    ("a=I,b=II, a = V1", "has a more than once; wanted every name once"),
])
def test_broken_lead_maps_are_refused(text, message):
    with pytest.raises(ValueError, match=f"^lead map '.*{message}"):
        parse_lead_map(text)


@pytest.mark.parametrize("lead_map", ["MLII=II", {"a": 1}, {1: "II"}, {"": "II"}, {"a": " "}, [("a", "II")]])
def test_what_is_no_lead_map_is_refused(lead_map):
    with pytest.raises(ValueError, match=r"^lead map [^\n]*wanted [^\n]*'MLII'[^\n]*$"):
        standardize_lead_map(lead_map)


def test_mapped_channels_come_first_by_name_then_in_any_case():
    assert lead_rows(("MLII", "V1", "DII")) == {"II": 0, "V1": 1}
    assert lead_rows(("x", "Ecg1", "ECG1"), {"ECG1": "I", "Ecg1": "V2"}) == {"x": 0, "V2": 1, "I": 2}
    assert lead_rows(("DIII", "ch 2"), {"CH 2": "II"}) == {"III": 0, "II": 1}
    assert lead_rows(("I", "II"), {"I": "II", "II": "I"}) == {"I": 1, "II": 0}
    with pytest.raises(ValueError, match="a and B are both mapped to II; wanted one of them"):
        lead_rows(("a", "B"), {"A": "II", "b": "II"})
    with pytest.raises(ValueError, match="ch 2 is mapped to II, which DII is; wanted one of them"):
        lead_rows(("DII", "ch 2"), {"CH 2": "II"})


def test_a_lead_map_of_no_record_is_refused():
    read = []

    def channels():
        for name, leads in (("r0", ("MLII", "V5")), ("r1", ("ECG 1",)), ("r2", ("ECG 2",))):
            read.append(name)
            yield name, leads

    check_lead_map(channels(), {"ecg 1": "I", "other": "II"})
    assert read == ["r0", "r1"]
    check_lead_map([], {"a": "I"})
    message = "^no record has a channel a, b, which the lead map names; the first, r0, has MLII, V5$"
    with pytest.raises(ValueError, match=message):
        check_lead_map(channels(), {"a": "I", "b": "II"})
