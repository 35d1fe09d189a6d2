"""Records as a model's input: leads by name, gaps repaired, limb leads fitted, resampled, in any blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly
from signals import EIGHT_TO_TWELVE, einthoven

from ecgvae.signal import INDEPENDENT_8, LEADS_12, Record, SignalSpec, conform, conform_stream


def coded(record: Record) -> np.ndarray:
    return record.select(INDEPENDENT_8).signal


def with_gaps(record: Record, gaps: list[tuple[str, int, int]]) -> Record:
    signal = record.signal.copy()
    for lead, start, stop in gaps:
        signal[record.leads.index(lead), start:stop] = np.nan
    return Record(signal, record.rate, record.leads, record.name)


def test_leads_are_matched_in_any_case_and_order():
    record = einthoven()
    order = np.random.default_rng(1).permutation(12)
    shuffled = Record(record.signal[order], 100, tuple(LEADS_12[i].upper() for i in order))
    np.testing.assert_allclose(conform(shuffled, SignalSpec()).signal, coded(record), atol=1e-5)
    assert conform(shuffled, SignalSpec()).notes == ()


def test_limb_leads_are_fitted_by_least_squares():
    record = einthoven()
    signal = record.signal.copy()
    signal[:6] += np.random.default_rng(2).normal(size=(6, 1000), scale=0.1)
    conformed = conform(Record(signal, 100, LEADS_12), SignalSpec())
    best, *_ = np.linalg.lstsq(EIGHT_TO_TWELVE[:6, :2], signal[:6].astype(float), rcond=None)
    np.testing.assert_allclose(conformed.signal[:2], best, atol=1e-5)
    np.testing.assert_array_equal(conformed.signal[2:], signal[6:])
    moved = np.abs(best[0] - signal[0]).max()
    assert f"I is moved by up to {moved:.2f} mV to obey Einthoven's law" in conformed.notes


def test_without_refit_all_leads_stay_as_they_are():
    record = einthoven(leads=LEADS_12[:5] + LEADS_12[6:])
    noisy = Record(record.signal + np.float32(0.1), 100, record.leads)
    conformed = conform(noisy, SignalSpec(), refit=False)
    np.testing.assert_array_equal(np.delete(conformed.signal, 5, axis=0), noisy.signal)
    np.testing.assert_allclose(conformed.signal[5], einthoven().signal[5], atol=0.3)
    assert conformed.notes == ("aVF is missing, derived from others",)


def test_a_model_without_dependent_leads_takes_them_as_they_are():
    record = Record(np.random.default_rng(0).normal(size=(12, 50)), 100, LEADS_12)
    np.testing.assert_array_equal(
        conform(record, SignalSpec(leads=("II", "V1"))).signal, record.signal[[1, 6]]
    )


def test_a_missing_lead_is_an_error_with_both_lists():
    record = Record(np.zeros((2, 10)), 360, ("MLII", "V5"), name="100", skipped_channels=("ABP (mmHg)",))
    with pytest.raises(ValueError) as error:
        conform(record, SignalSpec())
    assert str(error.value) == (
        "100 has leads MLII, V5 (skipped: ABP (mmHg)); wanted I, II, V1, V2, V3, V4, V5, V6"
    )


def test_a_missing_lead_may_be_zero():
    record = einthoven(leads=("II", "V5"))
    conformed = conform(record, SignalSpec(), missing="zero")
    np.testing.assert_array_equal(conformed.signal[[1, 6]], record.signal)
    assert not np.delete(conformed.signal, [1, 6], axis=0).any()
    assert conformed.notes == tuple(
        f"{lead} is missing, set to 0 mV" for lead in ("I", "V1", "V2", "V3", "V4", "V6")
    )
    with pytest.raises(ValueError, match="missing='drop'; wanted error or zero"):
        conform(record, SignalSpec(), missing="drop")


def test_coded_limb_leads_come_from_any_two():
    record = einthoven(leads=("aVR", "III", *LEADS_12[6:]))
    conformed = conform(record, SignalSpec())
    np.testing.assert_allclose(conformed.signal, coded(einthoven()), atol=1e-5)
    assert conformed.notes == ("I is missing, derived from others", "II is missing, derived from others")


def test_short_gaps_are_bridged_by_a_line_and_held_at_the_ends():
    record = einthoven()
    gaps = [("V1", 0, 20), ("V1", 300, 320), ("V2", 990, 1000)]
    conformed = conform(with_gaps(record, gaps), SignalSpec())
    v1, v2 = record.signal[6], record.signal[7]
    np.testing.assert_array_equal(conformed.signal[2, :20], v1[20])
    np.testing.assert_allclose(
        conformed.signal[2, 300:320], np.interp(np.arange(300, 320), [299, 320], v1[[299, 320]]), atol=1e-6
    )
    np.testing.assert_array_equal(conformed.signal[3, 990:], v2[989])
    assert conformed.notes == (
        "V1: 0.20 s missing from 0.00 s, bridged",
        "V1: 0.20 s missing from 3.00 s, bridged",
        "V2: 0.10 s missing from 9.90 s, bridged",
    )


def test_long_gaps_are_zero_or_derived():
    record = einthoven()
    conformed = conform(
        with_gaps(record, [("V1", 100, 121), ("I", 400, 700), ("aVF", 500, 700)]), SignalSpec()
    )
    expected = coded(record).copy()
    expected[2, 100:121] = 0
    np.testing.assert_allclose(conformed.signal, expected, atol=1e-5)
    assert conformed.notes == (
        "V1: 0.21 s missing from 1.00 s, set to 0 mV",
        "I: 3.00 s missing from 4.00 s, derived from others",
        "aVF: 2.00 s missing from 5.00 s, not fitted",
    )


def test_limb_leads_without_two_at_hand_are_zero():
    record = einthoven(leads=("I", "III", *LEADS_12[6:]))
    conformed = conform(with_gaps(record, [("III", 100, 200)]), SignalSpec())
    assert not conformed.signal[1, 100:200].any()
    np.testing.assert_allclose(conformed.signal[0], record.signal[0], atol=1e-5)
    assert "II: 1.00 s missing from 1.00 s, set to 0 mV" in conformed.notes


def test_many_gaps_are_summed_up_and_flat_and_empty_leads_noted():
    record = einthoven()
    signal = record.signal.copy()
    signal[8], signal[9] = 0.5, np.nan
    record = with_gaps(
        Record(signal, 100, LEADS_12), [("V1", start, start + 5) for start in range(100, 600, 100)]
    )
    assert conform(record, SignalSpec()).notes == (
        "V3 is flat",
        "V4: 10.00 s missing from 0.00 s, set to 0 mV",
        "V1: 0.25 s missing in 5 gaps, bridged",
    )


def test_infinite_samples_are_missing():
    signal = einthoven().signal.copy()
    signal[6, 10:15] = np.inf
    assert np.isfinite(conform(Record(signal, 100, LEADS_12), SignalSpec()).signal).all()


def test_rates_are_converted_by_scipys_polyphase_filter():
    record = einthoven(rate=500, samples=5001)
    expected = resample_poly(coded(record), 1, 5, axis=-1, window=("kaiser", 5.0), padtype="edge")
    np.testing.assert_allclose(conform(record, SignalSpec()).signal, expected, atol=1e-4)


def test_a_record_without_samples_is_refused():
    with pytest.raises(ValueError, match="record has no samples"):
        conform(Record(np.zeros((12, 0)), 100, LEADS_12), SignalSpec())


def test_the_given_record_is_not_changed():
    record = with_gaps(einthoven(), [("V1", 10, 15), ("I", 100, 200)])
    before = record.signal.copy()
    conform(record, SignalSpec())
    np.testing.assert_array_equal(record.signal, before)


gap = st.tuples(
    st.sampled_from(LEADS_12),
    st.integers(0, 40),
    st.integers(-3, 3),
    st.sampled_from([1, 5, 70, 72, 73, 300]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([(360, 100), (500, 100), (100, 100), (100, 250), (62.5, 100), (360, 20)]),
    st.integers(1, 3001),
    st.sampled_from([0.1, 0.5, 1.0, 3.3]),
    st.lists(gap, max_size=6),
    st.booleans(),
)
def test_blocks_are_the_whole(rates, samples, seconds, gaps, refit):
    rate_in, rate_out = rates
    spec = SignalSpec(rate=rate_out)
    border = max(1, round(seconds * rate_in))  # gaps begin near the borders of blocks
    places = [
        (lead, max(0, block * border + shift), max(0, block * border + shift) + length)
        for lead, block, shift, length in gaps
    ]
    record = with_gaps(einthoven(samples=samples, rate=rate_in), places)
    whole = conform(record, spec, refit=refit)
    blocks = list(conform_stream(record, spec, seconds=seconds, refit=refit))
    np.testing.assert_array_equal(np.concatenate([block.signal for block in blocks], axis=1), whole.signal)
    assert np.isfinite(whole.signal).all()
    assert blocks[-1].notes == whole.notes
    assert len(blocks) > 1 or samples <= 2 * (border + 25)


def test_a_record_without_any_wanted_lead_is_refused_even_with_zeros():
    record = Record(np.zeros((1, 10)), 100, ("PLETH",), name="finger")
    with pytest.raises(ValueError, match="finger has leads PLETH; wanted I, II"):
        conform(record, SignalSpec(), missing="zero")


def test_a_lead_map_names_the_leads_of_channels():
    record = einthoven()
    channels = tuple(f"ch {index}" for index in range(12))
    renamed = Record(record.signal, 100, channels)
    lead_map = {name.upper() if index % 2 else name: lead
                for index, (name, lead) in enumerate(zip(channels, LEADS_12, strict=True))}
    whole = conform(renamed, SignalSpec(), lead_map=lead_map)
    np.testing.assert_array_equal(whole.signal, conform(record, SignalSpec()).signal)
    blocks = [block.signal for block in conform_stream(renamed, SignalSpec(), seconds=1.3, lead_map=lead_map)]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole.signal)


def test_a_lead_map_comes_before_the_names_of_channels():
    signal = np.float32([[1, 1], [2, 2], [3, 3]])
    record = Record(signal, 100, ("II", "V1", "ECG 2"))
    spec = SignalSpec(leads=("II", "V1"))
    swapped = conform(record, spec, lead_map={"ecg 2": "II", "II": "V2"})
    np.testing.assert_array_equal(swapped.signal, signal[[2, 1]])
    np.testing.assert_array_equal(conform(record, spec, lead_map={"II": "V1", "V1": "II"}).signal, signal[[1, 0]])
    np.testing.assert_array_equal(conform(record, spec, lead_map={"another": "II"}).signal, signal[[0, 1]])


@pytest.mark.parametrize("lead_map, message", [
    ({"II": "V1", "ECG 2": "v1"}, "^rec: II and ECG 2 are both mapped to V1; wanted one of them$"),
    ({"ECG 2": "II"}, "^rec: ECG 2 is mapped to II, which II is; wanted one of them$"),
    ({"II": 2}, "^lead map has 'II' for 2; wanted names like 'MLII' for 'II'$"),
    ("II=V1", "^lead map 'II=V1'; wanted a dictionary like "),
])
def test_a_lead_map_that_cannot_be_is_refused(lead_map, message):
    record = Record(np.zeros((2, 9)), 100, ("II", "ECG 2"), name="rec")
    with pytest.raises(ValueError, match=message):
        conform(record, SignalSpec(leads=("V1",)), lead_map=lead_map)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "1"])
def test_blocks_have_a_length(seconds):
    with pytest.raises(ValueError, match="wanted more than 0"):
        next(conform_stream(einthoven(), SignalSpec(), seconds=seconds))
