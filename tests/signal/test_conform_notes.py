"""What is said when a record becomes a model's input: recorded and invented leads, resampling, unused channels."""

from dataclasses import replace

import numpy as np
import pytest
from signals import einthoven

from ecgvae.signal import INDEPENDENT_8, LEADS_12, Record, SignalSpec, conform, conform_stream, recorded_leads


def test_recorded_leads_are_those_of_the_file_that_no_model_invented():
    record = Record(np.zeros((4, 10)), 100, ("MLII", "v1", "ECG2", "aVR"), invented_leads=("v1",))
    assert recorded_leads(record, LEADS_12) == ("II", "aVR")
    assert recorded_leads(record, ("V5", "II", "V1"), {"ECG2": "v5"}) == ("V5", "II")
    assert recorded_leads(record, ("V6",)) == ()
    with pytest.raises(ValueError, match="both mapped to V5"):
        recorded_leads(record, LEADS_12, {"ECG2": "V5", "v1": "V5"})


def test_an_invented_lead_is_noted_where_it_is_used():
    record = replace(einthoven(), invented_leads=("V1", "V6"))
    assert conform(record, SignalSpec(leads=("II", "V1"))).notes == (
        "V1 is invented by a model", "channels V2, V3, V4, V5, V6 are not used")
    assert conform(record, SignalSpec(leads=("II", "V2"))).notes == ("channels V1, V3, V4, V5, V6 are not used",)


def test_resampling_is_noted():
    record = einthoven(rate=360)
    assert conform(record, SignalSpec()).notes == ("resampled from 360 Hz to 100 Hz",)
    assert conform(record, SignalSpec(rate=500)).notes == ("upsampled from 360 Hz to 500 Hz: nothing above 180 Hz",)
    *blocks, last = conform_stream(record, SignalSpec(), seconds=1)
    assert last.notes == ("resampled from 360 Hz to 100 Hz",) and not any(block.notes for block in blocks)
    assert conform(record, SignalSpec(rate=360)).notes == ()


@pytest.mark.parametrize("rate", [50, 128, 257])
def test_every_ecg_may_be_upsampled(rate):
    assert conform(einthoven(rate=rate), SignalSpec(rate=1000)).signal.shape[1] == -(-1000 * 1000 // rate)


def test_what_no_ecg_is_sampled_at_is_not_upsampled():
    with pytest.raises(ValueError, match="^rec has a rate of 0.6 Hz; wanted 20 Hz or more$"):
        conform(einthoven(rate=0.6), SignalSpec())
    assert conform(einthoven(rate=10), SignalSpec(rate=10)).notes == ()


@pytest.mark.parametrize("names, skipped, note", [
    ((*LEADS_12, "vx", "vy", "vz"), (), "channels vx, vy, vz are not used"),
    ((*LEADS_12, "i"), (), "channel i (a duplicate) is not used"),
    ((*LEADS_12, "-aVR", "Abl.I"), ("ABP (mmHg)",), "channels -aVR, Abl.I, ABP (mmHg) are not used"),
    (LEADS_12, ("ABP (mmHg)",), "channel ABP (mmHg) is not used"),
    ((*LEADS_12, *(f"x{number}" for number in range(20))), (),
     f"channels {', '.join(f'x{number}' for number in range(12))} and 8 more are not used"),
])
def test_channels_that_are_not_used_are_noted(names, skipped, note):
    twelve = einthoven()
    extra = np.ones((len(names) - 12, twelve.samples), np.float32)
    record = Record(np.concatenate([twelve.signal, extra]), twelve.rate, names, skipped_channels=skipped)
    for refit in (True, False):
        conformed = conform(record, SignalSpec(), refit=refit)
        assert conformed.notes == (note,)
        expected = conform(twelve, SignalSpec(), refit=refit).signal
        np.testing.assert_allclose(conformed.signal, expected, atol=1e-6)


def test_ordinary_records_have_no_note_about_channels():
    for leads in (LEADS_12, LEADS_12[:6], INDEPENDENT_8):
        record = einthoven().select(leads)
        notes = conform(record, SignalSpec(), "zero").notes
        assert not any("not used" in note for note in notes)
    assert conform(einthoven(), SignalSpec(leads=INDEPENDENT_8), refit=False).notes == ()
