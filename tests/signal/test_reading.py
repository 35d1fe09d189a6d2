import subprocess
import sys

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecgvae.signal import conform_stream, find_records, open_record, read_record, segments
from ecgvae.signal.record import SignalSpec

MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "v": 1e3}


def by_wfdb(path):
    """Signal (c, t) float32 in mV and names of the voltages, as wfdb reads them."""
    record = wfdb.rdrecord(str(path))
    rows = [i for i, unit in enumerate(record.units) if unit.lower() in MILLIVOLTS]
    scale = [MILLIVOLTS[record.units[i].lower()] for i in rows]
    with np.errstate(over="ignore"):
        signal = (record.p_signal[:, rows] * scale).T.astype(np.float32)
    return signal, [record.sig_name[i] for i in rows], record


channel = st.tuples(
    st.sampled_from(
        ["", "0", "200", "1000", "1000.0", "7247", "1.052e+04", "3.7", "-50", "0.001", "1e-42", "16777217"]
    ),
    st.sampled_from(["", "(0)", "(-7)", "(32768)", "(33554433)"]),
    st.sampled_from(["", "/mV", "/uV", "/V", "/mv"]),
    st.sampled_from(
        ["", " 16", " 16 0", " 16 -20", " 16 1024 5 -3 0", " 16 0 5 -3 0 lead", " 12 0 -1 2 0 a  b"]
    ),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(channel, min_size=1, max_size=14),
    st.integers(1, 40),
    st.sampled_from(["", "+0", "+24"]),
    st.sampled_from([" 100", " 360 ", " 257.5", " 500/1000(3)"]),
    st.booleans(),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=9), max_size=3),
    st.integers(0, 2**32),
)
def test_format_16_is_read_as_wfdb_reads_it(
    write_raw_record, tmp_path, channels, samples, offset, rate, length, comments, seed
):
    stored = np.random.default_rng(seed).integers(-32768, 32768, (samples, len(channels)))
    stored[0, 0] = -32768
    lines = [f"r {len(channels)}{rate}" + (f" {samples}" if length else "")]
    for gain, baseline, unit, rest in channels:
        lines.append(f"r.dat 16{offset} {gain}{baseline}{unit}{rest}" if gain else f"r.dat 16{offset}")
    lines += [f"# {comment}" for comment in comments]
    write_raw_record(
        tmp_path,
        "r",
        "\n".join(lines),
        np.concatenate([np.zeros(len(offset) and int(offset[1:]) // 2), stored.ravel()]),
    )
    opened = open_record(tmp_path / "r")
    record = opened.read()
    expected, names, reference = by_wfdb(tmp_path / "r")
    np.testing.assert_array_equal(record.signal, expected)
    assert np.isnan(record.signal[0, 0])
    assert record.rate == reference.fs
    assert record.comments == tuple(comment.strip(" \t#") for comment in comments)
    assert [lead.partition("#")[0] for lead in record.leads] == [
        name or f"channel {i}" for i, name in enumerate(names, 1)
    ]
    start, stop = sorted(np.random.default_rng(seed).integers(0, samples + 1, 2).tolist())
    np.testing.assert_array_equal(opened.read(start, stop).signal, expected[:, start:stop])


@pytest.mark.parametrize(
    "scale",
    ["200", "1000(0)", "7247(-5000000)", "10000(33554433)", "16777217(-3)", "1.052e+04(12)", "3.7(1)/V"],
)
def test_every_stored_value_is_read_as_wfdb_reads_it(write_raw_record, tmp_path, scale):
    path = write_raw_record(tmp_path, "r", f"r 1 100 65536\nr.dat 16 {scale}\n", np.arange(-32768, 32768))
    np.testing.assert_array_equal(read_record(path).signal, by_wfdb(path)[0])


def test_the_plain_reader_is_used_for_plain_records_only(write_raw_record, tmp_path, monkeypatch):
    path = write_raw_record(
        tmp_path, "r", "r 2 100 2\nr.dat 16 200 16 0 0 0 0 I\nr.dat 16 200 16 0 0 0 0 II\n", [[1, 2], [3, 4]]
    )
    skewed = write_raw_record(tmp_path, "s", "s 1 100 2\ns.dat 16:1 200 16 0 0 0 0 I\n", [[1], [3]])
    monkeypatch.setattr(wfdb, "rdrecord", None)
    np.testing.assert_array_equal(read_record(path).signal, np.float32([[1, 3], [2, 4]]) / np.float32(200))
    with pytest.raises(ValueError, match="can't be read by wfdb"):
        read_record(skewed)


def test_a_record_is_found_by_any_of_its_files(write_raw_record, tmp_path):
    write_raw_record(tmp_path, "a.b", "r 1 100 1\nr.mat 16 200 16 0 0 0 0 I\n", [1], file="r.mat")
    write_raw_record(tmp_path, "r", "r 1 100 1\nr.mat 16 200 16 0 0 0 0 I\n")
    for path in (tmp_path / "r", tmp_path / "r.hea", tmp_path / "r.mat", str(tmp_path / "a.b")):
        assert read_record(path).samples == 1
    for path in (tmp_path, tmp_path / "x", tmp_path / "x.hea", tmp_path / "x.dat"):
        with pytest.raises(FileNotFoundError):
            read_record(path)


def test_units_become_millivolts_and_others_are_left_out(write_raw_record, tmp_path):
    units = ["mV", "µV", "uV", "V", "mmHg"]
    lines = [f"r.dat 16 10/{unit} 16 0 0 0 0 lead {i}" for i, unit in enumerate(units)]
    for number, encoding in enumerate(["utf-8", "latin-1"]):
        header = "\n".join([f"r {len(units)} 100 1", *lines, "# 5 µV"]).encode(encoding)
        record = read_record(write_raw_record(tmp_path / str(number), "r", header, [[50] * 5], file="r.dat"))
        np.testing.assert_allclose(record.signal[:, 0], [5, 0.005, 0.005, 5000])
        assert record.leads == ("lead 0", "lead 1", "lead 2", "lead 3")
        assert record.skipped_channels == ("lead 4 (mmHg)",)
        assert record.comments == ("5 µV",)


def test_a_record_without_voltages_is_refused(write_raw_record, tmp_path):
    path = write_raw_record(tmp_path, "r", "r 1 100 1\nr.dat 16 10/mmHg 16 0 0 0 0 ABP\n", [1])
    with pytest.raises(ValueError, match=r"r.hea has no voltages but ABP \(mmHg\); wanted mV, uV or V"):
        read_record(path)


def test_repeated_lead_names_are_numbered(write_raw_record, tmp_path):
    header = "r 3 100 1\n" + "r.dat 16 200 16 0 0 0 0 ECG\n" * 3
    assert read_record(write_raw_record(tmp_path, "r", header, [[1, 2, 3]])).leads == ("ECG", "ECG#2", "ECG#3")


@pytest.fixture
def long_record(write_raw_record, tmp_path):
    """A record of variable layout: I and II, then a gap, then II alone in µV, then I and II again."""
    write_raw_record(tmp_path, "s_layout", "s_layout 2 100 0\n~ 0 1000/mV 16 0 0 0 0 I\n~ 0 1000/mV 16 0 0 0 0 II\n")
    both = "{0} 2 100 3\n{0}.dat 16 1000 16 0 0 0 0 I\n{0}.dat 16 1000 16 0 0 0 0 II\n"
    write_raw_record(tmp_path, "s1", both.format("s1"), [[1, 2], [3, 4], [5, 6]])
    write_raw_record(tmp_path, "s2", "s2 1 100 2\ns2.dat 16 1/uV 16 0 0 0 0 II\n", [[7], [8]])
    return write_raw_record(tmp_path, "m", "m/5 2 100 10\ns_layout 0\ns1 3\n~ 2\ns2 2\ns1 3\n")


def test_segments_are_joined_and_gaps_are_missing(long_record):
    nan = np.nan
    expected = np.float32(
        [[1, 3, 5, nan, nan, nan, nan, 1, 3, 5], [2, 4, 6, nan, nan, 7, 8, 2, 4, 6]]
    ) / np.float32(1000)
    opened = open_record(long_record)
    np.testing.assert_allclose(opened.read().signal, expected)
    for start in range(10):
        for stop in range(start, 11):
            np.testing.assert_allclose(opened.read(start, stop).signal, expected[:, start:stop])


def test_only_whole_records_are_found(write_raw_record, long_record, tmp_path):
    write_raw_record(tmp_path / "b", "s1", "s1 1 100 1\ns1.dat 16\n", [1])
    write_raw_record(tmp_path / "a", "bad", "\0")
    write_raw_record(tmp_path / "a", ".hidden", "")
    names = [path.relative_to(tmp_path).as_posix() for path in find_records(tmp_path)]
    assert names == ["a/bad", "b/s1", "m"]
    assert find_records(str(long_record)) == find_records(f"{long_record}.hea") == [long_record]


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no WFDB records \(.hea\) under "):
        find_records(tmp_path)
    with pytest.raises(FileNotFoundError):
        find_records(tmp_path / "nowhere")


def odd_records(data):
    return sorted(path.with_suffix("") for path in (data / "wfdb-odd").rglob("*.hea"))


def test_all_odd_forms_are_read_as_wfdb_reads_them_or_refused(data):
    refused = set()
    for path in odd_records(data):
        try:
            opened = open_record(path)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)
            refused.add(path.name)
            continue
        expected, names, _ = by_wfdb(path)
        np.testing.assert_array_equal(opened.read().signal, expected, err_msg=path.name)
        assert opened.leads == tuple(names)
        middle = opened.samples // 2 + 1
        if opened.samples < 1e6:
            np.testing.assert_array_equal(opened.read(middle).signal, expected[:, middle:], err_msg=path.name)
    without_files = {"100", "100-no-len", "100skew", "p000878-2137-10-26-16-57"}
    without_voltages = {"3269321_0001", "s25047-2704-05-04-10-44n"}
    assert refused == {"3269321_layout", "3234460_layout"} | without_files | without_voltages


def test_odd_forms_are_found_without_their_segments(data):
    names = {path.name for path in find_records(data / "wfdb-odd")}
    assert len(names) == 19
    assert not any(name.startswith(("3269321", "3234460", "041s0")) for name in names)


def test_half_an_hour_streams_as_it_reads(data):
    opened = open_record(data / "mitdb-8" / "100")
    spec = SignalSpec(leads=("II",))
    blocks = [block.signal for block in conform_stream(opened, spec, seconds=120)]
    (whole,) = conform_stream(opened.read(), spec, seconds=float("inf"))
    assert len(blocks) == 16
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole.signal)


def test_importing_a_record_loads_nothing_slow():
    code = "import sys; from ecgvae.signal import Record; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "wfdb", "scipy", "pandas"} & set(modules)


def test_flac_is_measured_by_its_own_header(data):
    path = data / "wfdb-odd" / "flac_3_constant.dat"
    assert segments._flac_samples(str(path), path.stat().st_size, 3) == 5_600_000
