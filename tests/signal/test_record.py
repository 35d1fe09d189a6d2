"""What a record checks, and how records and specs look in one line."""

from datetime import UTC, time

import numpy as np
import pytest
import torch

from ecgvae.signal import LEADS_12, Record, SignalSpec, conform, open_record, resample, write_record


@pytest.mark.parametrize("fields, message", [
    ({"signal": [["a", "b"]]}, "r has samples of type <U1; wanted an array of real numbers"),
    ({"signal": [[1, 2], [3]]}, "r has samples of type list; wanted an array of real numbers"),
    ({"signal": None}, "r has samples of type NoneType; wanted an array"),
    ({"signal": np.zeros((1, 5), complex)}, "r has samples of type complex128"),
    ({"signal": torch.zeros(1, 5, requires_grad=True)}, "r has samples of type Tensor"),
    ({"signal": np.zeros((5, 1))}, r"r has a signal \(5, 1\); wanted \(1 leads, samples\)"),
    ({"rate": "500"}, "r has a rate of '500' Hz; wanted a number above 0"),
    ({"rate": None}, "r has a rate of None Hz"),
    ({"rate": True}, "r has a rate of True Hz"),
    ({"rate": float("inf")}, "r has a rate of inf Hz"),
    ({"rate": -1}, "r has a rate of -1 Hz"),
    ({"rate": 10**400}, "r has a rate of 10000"),
    ({"rate": np.zeros((9, 9))}, r"r has a rate of array\(\[\[0., 0., .* Hz; wanted a number above 0"),
    ({"leads": {"I"}}, r"r has leads {'I'}; wanted a list of texts"),
    ({"leads": ["\x1b[31m"] * 2, "signal": np.zeros((2, 5))}, r"r has leads \\x1b\[31m, \\x1b\[31m; wanted every name"),
    ({"name": "r\n\x1b[31m", "leads": 1}, r"r\\n\\x1b\[31m has leads 1; wanted a list of texts"),
    ({"start_time": time(1, tzinfo=UTC)}, "r has the start time .*; wanted a datetime or a time without a time zone"),
    ({"start_time": "12:00"}, "r has the start time '12:00'; wanted a datetime or a time"),
    ({"leads": "I"}, "r has leads 'I'; wanted a list of texts"),
    ({"leads": 1}, "r has leads 1; wanted a list of texts"),
    ({"leads": (1,)}, r"r has leads \(1,\); wanted a list of texts"),
    ({"comments": "Age: 61"}, "r has comments 'Age: 61'; wanted a list of texts"),
    ({"name": 100}, "a record's name is 100; wanted a text"),
])
def test_a_record_refuses_in_one_line_what_is_none(fields, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        Record(**{"signal": np.zeros((1, 5)), "rate": 100, "leads": ("I",), "name": "r", **fields})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, bool])
def test_masked_samples_are_missing(dtype):
    signal = np.ma.masked_array(np.ones((2, 4), dtype), [[0, 1, 0, 0], [0, 0, 0, 0]])
    record = Record(signal, 100, ("I", "II"))
    assert type(record.signal) is np.ndarray and record.signal.dtype == np.float32
    np.testing.assert_array_equal(record.signal, [[1, np.nan, 1, 1], [1, 1, 1, 1]])


@pytest.mark.parametrize("signal", [
    [[1, 2, 3]], np.array([[1, 2, 3]], np.int16), torch.tensor([[1.0, 2, 3]]), np.array([[1, 2, 3]], np.float64),
])
@pytest.mark.parametrize("rate", [100, 100.0, np.float32(100), np.int64(100)])
def test_a_record_takes_any_real_numbers(signal, rate):
    record = Record(signal, rate, ["I"])
    assert record.signal.dtype == np.float32 and record.signal.tolist() == [[1, 2, 3]]
    assert type(record.rate) is float and record.rate == 100 and record.leads == ("I",)


@pytest.mark.parametrize("arguments, message", [
    (([["a"]], 100, 50), "the signal has samples of type <U1"),
    ((np.zeros(5), 100, 50), r"the signal has shape \(5,\); wanted \(leads, samples\)"),
    ((np.zeros((1, 5)), "100", 50), "'100' Hz to 50 Hz; wanted numbers"),
    ((np.zeros((1, 5)), [100], 50), r"\[100\] Hz to 50 Hz; wanted numbers"),
    ((np.zeros((1, 5)), 100, None), "100 Hz to None Hz; wanted numbers"),
    ((np.zeros((1, 5)), 100, 10**400), "100 Hz to 1000.* Hz; wanted numbers above 0"),
])
def test_resampling_refuses_in_one_line_what_is_no_signal(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        resample(*arguments)


@pytest.mark.parametrize("arguments, message", [
    ((np.zeros((1, 5)), "out"), "write_record got ndarray; wanted a Record, as from read_record"),
    ((Record(np.zeros((1, 5)), 100, ("I",)), None), "the folder is None; wanted a path"),
    ((Record(np.zeros((1, 5)), 100, ("I",)), "out", 100), "100 is not a path; wanted a text or a Path"),
])
def test_writing_refuses_in_one_line_what_is_no_record(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_record(*arguments)
    assert not list(tmp_path.iterdir())


def test_records_and_specs_are_one_line(tmp_path):
    record = Record(np.zeros((12, 1000)), 100, LEADS_12, name="00001")
    assert repr(record) == "Record('00001', 12 leads, 10 s at 100 Hz)"
    assert repr(Record(np.zeros((1, 3)), 360, ("II",))) == "Record('record', 1 lead, 0.00833333 s at 360 Hz)"
    assert repr(open_record(write_record(record, tmp_path))) == "RecordFile('00001', 12 leads, 10 s at 100 Hz)"
    assert repr(SignalSpec(leads=("I", "V1"), rate=250)) == "SignalSpec(I, V1 at 250 Hz in mV, scale 1)"
    assert repr(SignalSpec(leads=[*LEADS_12, "V7"])) == "SignalSpec(13 leads at 100 Hz in mV, scale 1)"
    assert repr(conform(record, SignalSpec())).startswith("Conformed(8 leads, 1000 samples, ")


def test_an_unknown_key_of_a_spec_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown key 'lead'; did you mean leads"):
        SignalSpec.model_validate({"lead": ["I"]})


@pytest.mark.parametrize(
    ("signal", "rate", "leads"),
    [
        (np.zeros(5), 100, ("I",)),
        (np.zeros((2, 5)), 100, ("I",)),
        (np.zeros((2, 5)), 100, ("I", "I")),
        (np.zeros((1, 5)), 0, ("I",)),
        (np.zeros((1, 5)), float("nan"), ("I",)),
    ],
)
def test_a_record_is_whole(signal, rate, leads):
    with pytest.raises(ValueError, match=r"^record has [^\n]*wanted"):
        Record(signal, rate, leads)


def test_leads_are_selected_by_name():
    record = Record([[1, 1], [2, 2], [3, 3]], 2, ("avr", "MLII", "II"))
    np.testing.assert_array_equal(record.select(("II", "aVR")).signal, [[3, 3], [1, 1]])
    assert record.select(["AVR"]).leads == ("AVR",)
    first, second = Record([[1], [2]], 2, ("MLII", "DII")), Record([[1], [2]], 2, ("DII", "MLII"))
    assert first.select(["II"]).signal == second.select(["II"]).signal == [[1]]
    assert (record.samples, record.duration) == (2, 1.0)
    with pytest.raises(ValueError, match="record has leads avr, MLII, II; wanted V1"):
        record.select(("V1",))


def test_a_spec_knows_its_coded_leads_and_survives_json():
    spec = SignalSpec(leads=("i", "II", "avf", "V1"), rate=250)
    assert spec.leads == ("I", "II", "aVF", "V1")
    assert spec.coded == ("I", "II", "V1")
    np.testing.assert_array_equal(spec.expansion[2], [-0.5, 1, 0])
    assert SignalSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    "field",
    [{"leads": ()}, {"leads": ("I", "i")}, {"rate": 0}, {"unit": "uV"}, {"filters": ("x",)}, {"gain": 1}],
)
def test_a_spec_refuses_what_it_does_not_know(field):
    with pytest.raises(ValueError):
        SignalSpec(**field)
