import dataclasses
import json
from datetime import UTC, datetime, time

import numpy as np
import pandas
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ecgvae.data import tokens as module
from ecgvae.data.tokens import CodebookSpec, TokenHeader, Tokens, merge_tokens, open_tokens, write_tokens

HEADER = TokenHeader("abc123", "small", 100.0, ("I", "II"), (CodebookSpec(8, 512), CodebookSpec(32, 100_000)))


def make_tokens(name="r", samples=100, header=HEADER, seed=0, **options):
    random = np.random.default_rng(seed)
    codes = tuple(random.integers(0, spec.size, -(-samples // spec.hop)) for spec in header.codebooks)
    return Tokens(codes, samples, name, 5 * header.rate, 5 * samples, **options)


def assert_same(one, other):
    for field in dataclasses.fields(Tokens)[1:]:
        assert getattr(one, field.name) == getattr(other, field.name)
    assert len(one.codes) == len(other.codes)
    for codes, others in zip(one.codes, other.codes, strict=True):
        np.testing.assert_array_equal(codes, others)


start_times = st.none() | st.datetimes() | st.times()
errors = st.none() | st.floats(0, 1e6, width=32)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
codebook = st.builds(CodebookSpec, st.integers(1, 50), st.sampled_from([1, 2, 1024, 65536, 65537, 1 << 32]))


@st.composite
def files(draw):
    header = TokenHeader(draw(text), draw(text), draw(st.floats(1, 1000)), tuple(draw(st.lists(text, unique=True))),
                         tuple(draw(st.lists(codebook, min_size=1, max_size=4))))
    lists_of_errors = st.none() | st.tuples(*[errors] * len(header.leads))
    rows = [make_tokens(draw(text), draw(st.integers(0, 90)), header, seed, start=draw(st.integers(0, 1 << 40)),
                        comments=tuple(draw(st.lists(text, max_size=3))), notes=tuple(draw(st.lists(text, max_size=2))),
                        start_time=draw(start_times), prdn=draw(lists_of_errors), rmse_uv=draw(lists_of_errors),
                        source_leads=draw(st.none() | st.just(header.leads[1:])))
            for seed in range(draw(st.integers(0, 7)))]
    return header, rows


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), st.integers(1, 3), st.sampled_from([10, 1 << 20]))
def test_round_trip_in_any_groups(tmp_path, monkeypatch, file, rows, codes):
    monkeypatch.setattr(module, "GROUP_ROWS", rows)
    monkeypatch.setattr(module, "GROUP_CODES", codes)
    header, wanted = file
    path = write_tokens(tmp_path / "t.parquet", header, iter(wanted), overwrite=True)
    read = open_tokens(path)
    assert read.header == header and len(read) == len(wanted)
    for index, (one, other) in enumerate(zip(read, wanted, strict=True)):
        assert_same(one, other)
        assert_same(read[index], other)
    assert parquet.read_metadata(path).num_row_groups >= len(wanted) / rows


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), st.lists(st.integers(0, 7), max_size=3))
def test_parts_join_to_the_whole(tmp_path, file, cuts):
    header, wanted = file
    edges = [0, *sorted(cuts), len(wanted)]
    parts = [write_tokens(tmp_path / f"{index}", header, wanted[start:stop], overwrite=True)
             for index, (start, stop) in enumerate(zip(edges, edges[1:], strict=False))]
    joined = open_tokens(merge_tokens(parts, tmp_path / "joined", overwrite=True))
    assert joined.header == header
    for one, other in zip(joined, wanted, strict=True):
        assert_same(one, other)


def test_pandas_reads_it(tmp_path):
    wanted = [make_tokens("a/b", seed=1, comments=("Sex: F",)), make_tokens("c", 31, seed=2)]
    frame = pandas.read_parquet(write_tokens(tmp_path / "t.parquet", HEADER, wanted))
    assert frame["record"].tolist() == ["a/b", "c"] and frame["samples"].tolist() == [100, 31]
    assert frame["comments"][0].tolist() == ["Sex: F"] and frame["source_rate"].tolist() == [500, 500]
    assert frame["codes_0"][1].dtype == np.uint16 and frame["codes_1"][1].dtype == np.uint32
    np.testing.assert_array_equal(frame["codes_1"][0], wanted[0].codes[1])
    facts = json.loads(parquet.read_schema(tmp_path / "t.parquet").metadata[b"ecgvae"])
    assert facts["format"] == 1 and facts["tokenizer"] == "abc123" and facts["streams"][0] == {"hop": 8, "size": 512}


def test_tokens_are_written_as_they_come_and_read_group_by_group(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROUP_ROWS", 10)
    written, table = [], module._table

    def spy(header, group):
        written.append((len(group), produced))
        return table(header, group)

    def produce():
        nonlocal produced
        for produced in range(1, 36):
            yield make_tokens(f"r{produced}")

    produced = 0
    monkeypatch.setattr(module, "_table", spy)
    read = open_tokens(write_tokens(tmp_path / "t", HEADER, produce()))
    assert written == [(10, 10), (10, 20), (10, 30), (5, 35)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "GROUP_CODES", 2 * (13 + 4))
        written.clear()
        write_tokens(tmp_path / "t2", HEADER, produce())
    assert written[:2] == [(2, 2), (2, 4)]
    assert [len(group) for group in read.tables()] == [10, 10, 10, 5]
    assert read[-1].name == "r35" and read[10].name == "r11"
    with pytest.raises(IndexError):
        read[35]


def test_small_parts_are_joined_to_large_groups(tmp_path):
    parts = [write_tokens(tmp_path / f"{index}", HEADER, [make_tokens(f"r{index}")]) for index in range(5)]
    assert parquet.read_metadata(merge_tokens(parts, tmp_path / "all")).num_row_groups == 1


def test_files_of_different_tokenizers_are_not_joined(tmp_path):
    other = dataclasses.replace(HEADER, tokenizer="other")
    parts = [write_tokens(tmp_path / name, header, [make_tokens()]) for name, header in (("a", HEADER), ("b", other))]
    with pytest.raises(ValueError, match="another tokenizer"):
        merge_tokens(parts, tmp_path / "all")
    with pytest.raises(ValueError, match="at least one"):
        merge_tokens([], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def codes(first, second, dtype=np.int64):
    return np.asarray(first, dtype), np.asarray(second, dtype)


@pytest.mark.parametrize("wrong, message", [
    (codes([0] * 12, [0] * 4), "r, codebook 0: .* wanted 13 whole numbers for 100 samples at hop 8"),
    (codes([0] * 13, [0] * 5), "r, codebook 1: .* wanted 4"),
    (codes([0] * 12 + [512], [0] * 4), "codebook 0: codes from 0 to 512; wanted 0 to 511"),
    (codes([0] * 12 + [-1], [0] * 4), "codebook 0: codes from -1"),
    (codes([0] * 13, [0, 0, 0, 100_000]), "codebook 1: codes from 0 to 100000"),
    (codes([0] * 13, [0] * 4, float), "float64"),
    (codes([[0]] * 13, [0] * 4), "codebook 0"),
    (codes([0] * 13, [0] * 4)[:1], "1 codebooks; wanted 2"),
])
def test_wrong_codes_are_refused_and_leave_no_file(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_tokens(tmp_path / "t", HEADER, [make_tokens("ok"), Tokens(wrong, 100, "r", 500.0, 500)])
    assert not list(tmp_path.iterdir())


def test_codes_of_a_file_are_checked_on_reading(tmp_path):
    table = parquet.read_table(write_tokens(tmp_path / "t", HEADER, [make_tokens()]))

    def altered(name, values):
        index = table.schema.get_field_index(name)
        column = pa.array(values, table.schema.types[index])
        parquet.write_table(table.set_column(index, table.schema.field(index), column), tmp_path / "altered")
        return list(open_tokens(tmp_path / "altered"))

    assert len(altered("codes_0", [[511] * 13])) == 1
    with pytest.raises(ValueError, match="codes from 0 to 512"):
        altered("codes_0", [[0] * 12 + [512]])
    with pytest.raises(ValueError, match="wanted 13"):
        altered("codes_0", [[0] * 14])
    for name, values in (("samples", [-1000]), ("start", [-1]), ("source_rate", [0.0]), ("source_rate", [np.nan])):
        with pytest.raises(ValueError, match=f"r has {name} .*; wanted a .*number"):
            altered(name, values)
    for name, values in (("codes_0", [None]), ("codes_0", [[None] * 13]), ("record", [None]), ("comments", [None])):
        with pytest.raises(ValueError, match="values are missing"):
            altered(name, values)


def test_what_is_no_token_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "t"
    for content in (b"", b"PAR1", b"PAR1" * 100, b"\0" * 5000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="t is not an ecgvae token file$"):
            open_tokens(path)
    with pytest.raises(ValueError, match="is a folder; wanted a token file$"):
        open_tokens(tmp_path)
    with pytest.raises(FileNotFoundError, match="wanted a token file"):
        open_tokens(tmp_path / "nowhere")
    pandas.DataFrame({"record": ["r"]}).to_parquet(path)
    with pytest.raises(ValueError, match="not an ecgvae token file$"):
        open_tokens(path)


@pytest.mark.parametrize("header, message", [
    (b"[]", "not an ecgvae token file"), (b"\xff", "not an ecgvae"), (b"{}", "not an ecgvae token file"),
    (json.dumps({**json.loads(HEADER.json()), "format": 2}).encode(), "token format 2"),
    (json.dumps({**json.loads(HEADER.json()), "streams": [{"hop": 0, "size": 5}]}).encode(), "hop: .*got 0"),
    (json.dumps({**json.loads(HEADER.json()), "streams": [{"hop": 8}]}).encode(), "not an ecgvae token file"),
    (json.dumps({**json.loads(HEADER.json()), "surprise": 1}).encode(), "not an ecgvae token file"),
    (json.dumps({**json.loads(HEADER.json()), "streams": [{"hop": 8, "size": 9}] * 3}).encode(), "column codes_1"),
])
def test_wrong_headers_are_refused_in_one_line(tmp_path, header, message):
    table = parquet.read_table(write_tokens(tmp_path / "t", HEADER, [make_tokens()]))
    parquet.write_table(table.replace_schema_metadata({b"ecgvae": header}), tmp_path / "wrong")
    with pytest.raises(ValueError, match=message) as caught:
        open_tokens(tmp_path / "wrong")
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
def test_damage_is_an_error_or_harmless(tmp_path, place, bits, cut):
    path = tmp_path / "t"
    if not path.exists():
        write_tokens(path, HEADER, [make_tokens(f"r{seed}", 500, seed=seed) for seed in range(5)])
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= bits
    (tmp_path / "damaged").write_bytes(content[:int(place * len(content))] if cut else content)
    try:
        read = list(open_tokens(tmp_path / "damaged"))
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert not cut
        for one, seed in zip(read, range(5), strict=True):
            assert_same(dataclasses.replace(one, name="", start=0), make_tokens("", 500, seed=seed))


def test_what_exists_is_kept_and_a_failure_leaves_nothing(tmp_path):
    path = write_tokens(tmp_path / "t", HEADER, [make_tokens("old")])
    with pytest.raises(FileExistsError, match="exists; use --overwrite"):
        write_tokens(path, HEADER, [make_tokens("new")])
    with pytest.raises(ZeroDivisionError):
        write_tokens(path, HEADER, (make_tokens(str(1 / 0)) for _ in range(3)), overwrite=True)
    assert open_tokens(path)[0].name == "old" and list(tmp_path.iterdir()) == [path]
    write_tokens(path, HEADER, [make_tokens("new")], overwrite=True)
    assert open_tokens(path)[0].name == "new"


def test_tokens_and_files_are_one_line(tmp_path):
    tokens = make_tokens("00001")
    path = write_tokens(tmp_path / "t.parquet", HEADER, [tokens])
    assert repr(tokens) == "Tokens('00001', 13 + 4 codes, 100 samples)"
    assert repr(make_tokens(start=300)) == "Tokens('r', 13 + 4 codes, 100 samples from 300)"
    assert repr(HEADER) == ("TokenHeader('small', 2 leads at 100 Hz, 2 codebooks "
                            "(512 codes at hop 8, 100000 codes at hop 32))")
    assert repr(open_tokens(path)) == f"TokenFile('{path}', 1 record, 2 codebooks of 'small')"


@pytest.mark.parametrize("changes, message", [
    ({"codes": ([0] * 13, [0] * 4)}, r"r has codes \(\[0, .*; wanted a NumPy array of whole numbers for each codebook"),
    ({"codes": None}, "r has codes None; wanted a NumPy array of whole numbers for each codebook"),
    ({"samples": 100.5}, "r has samples 100.5; wanted a whole number, 0 or more"),
    ({"samples": None}, "r has samples None; wanted a whole number, 0 or more"),
    ({"samples": np.zeros((9, 9))}, r"r has samples array\(\[\[0., .*; wanted a whole number, 0 or more"),
    ({"start": 10**30}, "r has start 1000.*; wanted a whole number, 0 or more"),
    ({"source_rate": "500"}, "r has source_rate '500'; wanted a number above 0"),
    ({"source_rate": 10**400}, "r has source_rate 1000.*; wanted a number above 0"),
    ({"name": ("r",)}, r"a record has name \('r',\); wanted a text"),
    ({"name": "r\udcff"}, r"r\\udcff has name 'r\\udcff'; wanted a text"),
    ({"notes": ("\udcff",)}, r"r has notes \('\\udcff',\); wanted a list of texts"),
    ({"name": "\x1b[31m\n", "notes": 5}, r"\\x1b\[31m\\n has notes 5; wanted a list of texts"),
    ({"start_time": "12:00"}, "r has start_time '12:00'; wanted a datetime or a time without a time zone"),
    ({"start_time": time(1, tzinfo=UTC)}, "r has start_time .*; wanted a datetime or a time without .*"),
    ({"start_time": pandas.NaT}, "r has start_time NaT; wanted a datetime or a time without a time zone"),
    ({"source_leads": 5}, "r has source_leads 5; wanted a list of different leads"),
    ({"source_leads": (["I"],)}, r"r has source_leads \(\['I'\],\); wanted a list of different leads"),
    ({"source_leads": ("I", "I")}, r"r has source_leads \('I', 'I'\); wanted a list of different leads"),
    ({"prdn": 1.0}, "r has prdn 1.0; wanted None, or a list with a number or None for each lead"),
    ({"rmse_uv": ("1", "2")}, r"r has rmse_uv \('1', '2'\); wanted None, or a list with .*"),
    ({"source_samples": 3000}, r"r has 6 s in the source but 1 s of tokens; wanted equal lengths"),
    ({"source_rate": 1e-300}, r"r has .* s in the source but 1 s of tokens; wanted equal lengths"),
    ({"source_leads": ("V1",)}, r"r has source_leads .*; wanted some of I, II"),
    ({"prdn": (1.0,)}, "r has 1 values of prdn; wanted 2, one for each lead"),
    ({"comments": (1,)}, r"r has comments \(1,\); wanted a list of texts"),
    ({"comments": "Age: 61"}, "r has comments 'Age: 61'; wanted a list of texts"),
])
def test_what_are_no_tokens_is_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_tokens(tmp_path / "t", HEADER, [dataclasses.replace(make_tokens(), **changes)])
    assert not list(tmp_path.iterdir())


numbers = st.integers() | st.floats() | st.sampled_from(
    [10**30, -(10**400), True, np.int64(3), np.uint64(2**64 - 1), np.float16("inf"), np.longdouble("1e400")])
texts = st.text(max_size=3) | st.sampled_from(["\udcff", "\x1b[31m\n", b"raw", "I", "II", "9" * 5000])
times = st.sampled_from([time(1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), pandas.NaT])
arrays = st.sampled_from([np.zeros((2, 40)), np.arange(4), np.array(5), np.array(["I", "II"]), np.array([None, {}]),
                          np.arange(13, dtype=np.uint64), np.ma.masked_array(np.arange(13), np.arange(13) > 5)])
simple_values = st.none() | numbers | texts | times | arrays | st.just(object())
odd_values = simple_values | st.lists(simple_values, max_size=3) | st.lists(simple_values, max_size=3).map(tuple) | (
    st.sets(numbers, max_size=2) | st.dictionaries(st.text(max_size=2), st.none(), max_size=2) | st.lists(st.lists(
        simple_values, max_size=2), max_size=2).map(tuple))


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(dataclasses.fields(Tokens)), odd_values)
def test_odd_values_of_fields_are_written_and_read_or_refused_in_one_short_line(tmp_path, field, value):
    odd = dataclasses.replace(make_tokens(), **{field.name: value})
    try:
        path = write_tokens(tmp_path / "t", HEADER, [make_tokens(), odd], overwrite=True)
    except ValueError as error:
        assert str(error).isprintable() and len(str(error)) < 400
    else:
        assert len(list(open_tokens(path))) == 2


@pytest.mark.parametrize("arguments, message", [
    ((None, HEADER, []), "None is not a path; wanted that of a token file"),
    (("t", "small", []), r"the header is a str; wanted a TokenHeader, as from Tokenizer.header\(\)"),
    (("t", HEADER, make_tokens()), "got Tokens of one record; wanted a list of Tokens"),
    (("t", HEADER, dataclasses.replace(make_tokens(), codes=None)), "got Tokens of one record; .*"),
    (("t", HEADER, None), "got None; wanted a list of Tokens"),
    (("t", HEADER, [[0, 1]]), "got list; wanted Tokens, as from Tokenizer.encode"),
])
def test_writing_refuses_in_one_line_what_is_none(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_tokens(*arguments)
    with pytest.raises(ValueError, match="^None is not a path"):
        open_tokens(None)
    assert not list(tmp_path.iterdir())
