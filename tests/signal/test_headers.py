import os
import time
import tracemalloc

import pytest
import wfdb
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecgvae.signal import open_record, read_record
from ecgvae.signal.headers import parse_header

# Each has one error in "r 1 100 4", whose r.dat holds 4 samples.
HOSTILE = {
    "absolute path": "r 1 100 4\n/etc/passwd 16\n",
    "path above": "r 1 100 4\n../r.dat 16\n",
    "folder": "r 1 100 4\n. 16\n",
    "link out of the folder": "r 1 100 4\nlink.dat 16\n",
    "pipe": "r 1 100 4\npipe.dat 16\n",
    "too many samples": "r 1 100 5\nr.dat 16\n",
    "far too many samples": "r 1 100 1000000000000000\nr.dat 16\n",
    "absurdly many samples": "r 1 100 " + "9" * 400 + "\nr.dat 16\n",
    "offset beyond the end": "r 1 100 4\nr.dat 16+1000000000000\n",
    "far too many in format 212": "r 1 100 1000000000000000\nr.dat 212\n",
    "far too many in FLAC": "r 1 100 1000000000000000\nr.dat 516\n",
    "FLAC that claims to be long": "r 1 100 60000000000\nlong.flac 516\n",
    "FLAC of unknown length": "r 1 100\nlong.flac 516\n",
    "million of signals": "r 1000000 100 4\nr.dat 16\n",
    "many signals": "r 2000 100 0\n" + "r.dat 16\n" * 2000,
    "no signals": "r 0 100 4\n",
    "negative signals": "r -1 100 4\nr.dat 16\n",
    "negative samples": "r 1 100 -4\nr.dat 16\n",
    "negative rate": "r 1 -100 4\nr.dat 16\n",
    "no rate": "r 1 0 4\nr.dat 16\n",
    "infinite rate": "r 1 " + "9" * 400 + " 4\nr.dat 16\n",
    "no samples": "r 1 100 0\nr.dat 16\n",
    "many samples a frame": "r 1 100 4\nr.dat 16x1000000000\n",
    "no samples a frame": "r 1 100 4\nr.dat 16x0\n",
    "long skew": "r 1 100 4\nr.dat 16:1000000000000\n",
    "unknown format": "r 1 100 4\nr.dat 17\n",
    "two formats": "r 2 100 1\nr.dat 16\nr.dat 212\n",
    "infinite gain": "r 1 100 4\nr.dat 16 1e999\n",
    "broken gain": "r 1 100 4\nr.dat 16 e-\n",
    "huge baseline": "r 1 100 4\nr.dat 16 200(" + "9" * 300 + ")\n",
    "empty": "",
    "only comments": "# a\n# b\n",
    "zero byte": "r 1 100 4\nr.dat 16 200 16 0 0 0 0 I\0\n",
    "binary": bytes(range(1, 256)) * 40,
    "huge": b"#" * 10_000_000,
    "long line of digits": "1" * 900_000,
    "long line of letters": "r 1 100 4\n" + "a" * 900_000,
    "segment of itself": "r/1 1 100 4\nr 4\n",
    "segment above": "r/1 1 100 4\n../r 4\n",
    "missing segment": "r/1 1 100 4\nx 4\n",
    "no segments": "r/0 1 100 4\n",
    "only a gap": "r/1 1 100 1000000000000000\n~ 1000000000000000\n",
    "segment that is shorter": "r/1 1 100 5\ngood 5\n",
    "segments that are shorter": "r/2 1 100 9\ngood 4\ngood 4\n",
    "nearly only a gap": "r/2 1 100 1000000000004\ngood 4\n~ 1000000000000\n",
    "endless repetition": "r/20000 1 100\n" + "good 4\n" * 20_000,
    "another rate": "r/1 1 200 4\ngood 4\n",
    "other leads": "r/2 1 100 8\ngood 4\nother 4\n",
    "segment with segments": "r/1 1 100 4\nlong 4\n",
}  # fmt: skip


@pytest.fixture
def hostile_folder(write_raw_record, tmp_path):
    """A folder with an innocent record, and files to which a header could point."""
    folder = tmp_path / "records"
    write_raw_record(tmp_path, "outside", "outside 1 100 4\noutside.dat 16\n", [1, 2, 3, 4])
    write_raw_record(folder, "good", "good 1 100 4\ngood.dat 16 200 16 0 0 0 0 I\n", [1, 2, 3, 4])
    write_raw_record(folder, "other", "other 1 100 4\ngood.dat 16 200 16 0 0 0 0 II\n")
    write_raw_record(folder, "long", "long/1 1 100 4\ngood 4\n")
    write_raw_record(folder, "r", "", [1, 2, 3, 4])
    info = bytes.fromhex("ffffffff000000000000") + ((1 << 36) - 1 + (15 << 36)).to_bytes(8, "big") + bytes(16)
    (folder / "long.flac").write_bytes(b"fLaC" + bytes([0x80, 0, 0, 34]) + info)
    (folder / "link.dat").symlink_to(tmp_path / "outside.dat")
    (folder / "linked.hea").symlink_to(tmp_path / "outside.hea")
    os.mkfifo(folder / "pipe.dat")
    os.mkfifo(folder / "pipe.hea")
    return folder


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header_gives_one_line_at_once(write_raw_record, hostile_folder, kind):
    path = write_raw_record(hostile_folder, "r", HOSTILE[kind])
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises((ValueError, OSError)) as error:
            open_record(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 2
    assert peak < 40e6
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000
    assert "outside" not in str(error.value)


@pytest.mark.parametrize("name", ["linked", "pipe", "new\nline", "zero\0byte"])
def test_a_hostile_path_gives_one_line(hostile_folder, name):
    with pytest.raises((ValueError, OSError), match=r"^[^\n]+$"):
        read_record(hostile_folder / name)


def test_a_large_header_is_not_read(write_raw_record, tmp_path):
    with pytest.raises(ValueError, match="r.hea has 1000001 bytes; a header has at most 1000000"):
        open_record(write_raw_record(tmp_path, "r", b" " * 1_000_001))


def test_links_within_a_folder_are_followed(write_raw_record, hostile_folder):
    (hostile_folder / "r.dat").unlink()
    (hostile_folder / "r.dat").symlink_to("good.dat")
    assert read_record(write_raw_record(hostile_folder, "r", "r 1 100 4\nr.dat 16\n")).samples == 4


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
@example(b"r 1 100\nr.dat 16 1(")
@example("r 1 \u0661\u0660\u0660\nr.dat 16".encode())
def test_any_bytes_parse_or_give_one_line(content):
    try:
        header = parse_header(content)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert header.rate > 0
        assert header.channels or header.segments


tokens = st.sampled_from(
    [
        "r",
        "r.dat",
        "16",
        "212",
        "x2",
        ":3",
        "+24",
        "/",
        "2",
        "1",
        "100",
        "360.5",
        "(",
        ")",
        "-",
        "5e3",
        "e",
        "0",
    ]
    + ["mV", "\u00b5V", "\u0661", "#", "~", "12:30:05", "1/2/2003", " ", "  ", "\t", "\n", "\r\n"]
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tokens, max_size=25).map("".join), st.lists(tokens, max_size=25).map("".join))
def test_headers_mean_what_they_mean_to_wfdb(tmp_path, line, rest):
    content = f"r 1 {line}\nr.dat 16{rest}".encode()
    try:
        header = parse_header(content)
    except ValueError:
        return
    (tmp_path / "r.hea").write_bytes(content)
    try:
        reference = wfdb.rdheader(str(tmp_path / "r"))
    except ValueError:  # times and checksums, which are of no use here
        return
    assert header.rate == pytest.approx(reference.fs, abs=1e-8)
    assert header.samples == reference.sig_len
    assert header.comments == tuple(reference.comments) or not content.isascii()
    (channel,) = header.channels
    assert (channel.file, channel.format) == ("r.dat", reference.fmt[0])
    assert channel.samples_per_frame == reference.samps_per_frame[0]
    assert (channel.skew, channel.byte_offset) == (reference.skew[0] or 0, reference.byte_offset[0] or 0)
    assert (channel.gain, channel.baseline) == (reference.adc_gain[0], reference.baseline[0])
    assert channel.unit == reference.units[0] or "µ" in content.decode()
    assert channel.name == (reference.sig_name[0] or "") or "µ" in content.decode()
