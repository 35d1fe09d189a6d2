"""Arrays and plain codes in the public functions: results, and errors in one line."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgvae
from ecgvae import checkpoint
from ecgvae.models import Conditioning, build
from ecgvae.models.autoencoder import check_signals
from ecgvae.signal import INDEPENDENT_8, LEADS_12, Record
from ecgvae.tokenizer import Tokenizer

LEADS = ("V1", "II", "I")       # not in the model's order


@pytest.fixture(scope="module")
def tokenizer(tiny_settings, random_model):
    """A tokenizer of leads I, II and V1 at 100 Hz with three codebooks of one hop."""
    return Tokenizer(random_model(tiny_settings(signal={"leads": ("I", "II", "V1"), "scale": 0.5})))


@pytest.fixture(scope="module")
def tokenizer_of_two_hops(tiny_settings, random_model):
    return Tokenizer(random_model(tiny_settings("vqvae2", signal={"leads": ("I", "II", "V1"), "scale": 0.5})))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def equal_codes(tokens, expected):
    return all(map(np.array_equal, tokens.codes, expected.codes)) and len(tokens.codes) == len(expected.codes)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, lambda x: torch.from_numpy(x).requires_grad_()])
@pytest.mark.parametrize("rate", [100, 250])
def test_an_array_has_the_codes_of_its_records(tokenizer, convert, rate):
    x = noise(4, 3, 500)
    tokens = tokenizer.encode(convert(x), rate=rate, leads=LEADS)
    assert isinstance(tokens, list) and len(tokens) == 4
    for row, item in zip(x, tokens, strict=True):
        assert equal_codes(item, tokenizer.encode(Record(row, rate, LEADS)))
        assert equal_codes(item, tokenizer.encode(convert(row), rate=rate, leads=LEADS))
        assert (item.source_rate, item.source_samples) == (rate, 500)


def test_arrays_of_any_number_type_are_in_millivolts(tokenizer):
    x = np.round(noise(3, 200) * 10)
    expected = tokenizer.encode(x, rate=100, leads=LEADS)
    for dtype in (np.float64, np.int16, np.float16):
        assert equal_codes(tokenizer.encode(x.astype(dtype), rate=100, leads=LEADS), expected)


def test_bfloat16_and_leads_as_text_are_understood(tokenizer):
    x = torch.from_numpy(noise(3, 200)).bfloat16()
    expected = tokenizer.encode(x.float(), rate=100, leads=LEADS)
    assert equal_codes(tokenizer.encode(x, rate=100, leads="V1,II,I"), expected)


def test_many_records_are_checked_one_by_one(tokenizer):
    records = [Record(noise(3, 100), 100, LEADS, "good"), Record(np.full((3, 100), np.inf), 100, LEADS, "bad")]
    errors = {}
    tokens = tokenizer.encode_many(records, on_error=errors.__setitem__)
    assert [item.name for item in tokens] == ["good"]
    assert str(errors[1]) == "bad holds infinite numbers; wanted mV, with NaN for missing samples"


def test_a_list_of_tokens_decodes_to_a_list_of_records(tokenizer):
    tokens = tokenizer.encode(noise(2, 3, 500), rate=250, leads=LEADS)
    records = tokenizer.decode(tokens)
    assert [record.rate for record in records] == [250, 250]
    for record, one in zip(records, tokens, strict=True):
        np.testing.assert_array_equal(record.signal, tokenizer.decode(one).signal)
    with pytest.raises(ValueError, match="samples= came with tokens"):
        tokenizer.decode(tokens[0], samples=5)
    with pytest.raises(ValueError, match="samples is 0; wanted a number above 0"):
        tokenizer.decode(np.zeros((3, 5), int), samples=0)


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(1, 70), batch=st.integers(1, 3), codebooks=st.integers(1, 3))
def test_plain_codes_decode_like_tokens(tokenizer, samples, batch, codebooks):
    tokens = tokenizer.encode(noise(batch, 3, samples), rate=100, leads=LEADS, codebooks=codebooks)
    expected = np.stack([tokenizer.decode(item).signal for item in tokens])
    codes = np.stack([np.stack(item.codes) for item in tokens])                               # (b, q, n)
    for variant in (codes, torch.from_numpy(codes), [codes[:, q] for q in range(codebooks)], codes.astype(np.uint16)):
        decoded = tokenizer.decode(variant, samples=samples)
        assert decoded.dtype == np.float32
        np.testing.assert_array_equal(decoded, expected)
    np.testing.assert_array_equal(tokenizer.decode(codes[0], samples=samples), expected[0])
    np.testing.assert_array_equal(tokenizer.decode(list(codes[0]), samples=samples), expected[0])
    whole = tokenizer.decode(codes)
    assert whole.shape == (batch, 3, 6 * codes.shape[-1])
    if samples % 6 == 0:
        np.testing.assert_array_equal(whole, expected)


def test_plain_codes_of_codebooks_with_different_hops(tokenizer_of_two_hops):
    tokens = tokenizer_of_two_hops.encode(noise(2, 3, 240), rate=100, leads=LEADS)
    codes = [np.stack(rows) for rows in zip(*(item.codes for item in tokens), strict=True)]
    assert len({row.shape for row in codes}) == 2
    expected = np.stack([tokenizer_of_two_hops.decode(item).signal for item in tokens])
    np.testing.assert_array_equal(tokenizer_of_two_hops.decode(codes), expected)
    np.testing.assert_array_equal(tokenizer_of_two_hops.decode(tokens[1].codes), expected[1])


def test_an_empty_batch_gives_an_empty_result(tokenizer):
    assert tokenizer.encode(np.empty((0, 3, 100)), rate=100, leads=LEADS) == []
    assert tokenizer.decode(np.empty((0, 3, 5), int)).shape == (0, 3, 30)


@pytest.mark.parametrize(("x", "options", "message"), [
    (noise(3, 100), {"rate": 100}, "an array without rate= or leads=; wanted both, in Hz and as names"),
    (noise(100), {}, "an array of float32 (100,); wanted numbers in mV, (leads, samples) or (records, leads, samples)"),
    (noise(1, 1, 3, 100), {}, "an array of float32 (1, 1, 3, 100); wanted numbers in mV"),
    (noise(3, 100) > 0, {}, "an array of bool (3, 100); wanted numbers in mV"),
    (noise(3, 100).astype(str), {}, "an array of <U"),
    (np.full((3, 100), np.inf), {}, "the array holds infinite numbers"),
    (noise(4, 100), {}, "record has a signal (4, 100); wanted (3 leads, samples)"),
    (noise(2, 4, 100), {}, "record 0 has a signal (4, 100); wanted (3 leads, samples)"),
    (noise(3, 100), {"leads": ("I", "II", "V2")}, "record has leads I, II, V2; wanted I, II, V1"),
    (noise(3, 100), {"leads": ("I", "I", "V1")}, "wanted every name once"),
    (noise(3, 100), {"rate": 10**400}, "record has a rate of 10000"),
    (noise(3, 100), {"rate": 0}, "record has a rate of 0"),
    (noise(3, 100), {"rate": float("nan")}, "record has a rate of nan Hz"),
    (noise(3, 0), {}, "record has no samples"),
    (Record(noise(3, 100), 100, LEADS), {}, "record came with rate= or leads=, which arrays need; wanted only it"),
    (Record(np.full((3, 100), np.inf), 100, LEADS), {"rate": None, "leads": None}, "record holds infinite numbers"),
    (noise(3, 100), {"codebooks": "2"}, "codebooks is '2'; model has 1 to 3"),
    (noise(3, 100), {"codebooks": True}, "codebooks is True; model has 1 to 3"),
    ([[0.0]], {}, "a signal of type list; wanted a record, an array or a tensor"),
    ("record.hea", {}, "a signal of type str; wanted a record, an array or a tensor"),
])
def test_errors_of_wrong_arrays_are_one_line(tokenizer, x, options, message):
    arguments = {"rate": 100, "leads": LEADS, **options}
    if options.keys() == {"rate"} and options["rate"] == 100:
        arguments.pop("leads")
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        tokenizer.encode(x, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("leads", [set(LEADS), frozenset(LEADS), dict.fromkeys(LEADS), iter(LEADS), 12, object(), b"I",
                                   (1, 2, 3), [["I"], ["II"], ["V1"]], np.zeros((40, 40))])
def test_leads_are_a_text_or_in_order(tokenizer, leads):
    with pytest.raises(ValueError, match=r"^leads=.*; wanted a text, list or tuple of names$"):
        tokenizer.encode(noise(3, 100), rate=100, leads=leads)
    expected = tokenizer.encode(noise(3, 100), rate=100, leads=LEADS)
    assert equal_codes(tokenizer.encode(noise(3, 100), rate=100, leads=np.array(LEADS)), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_masked_samples_are_missing(tokenizer, dtype):
    signal = np.round(noise(2, 3, 300) * 10).astype(dtype)
    mask = np.zeros(signal.shape, bool)
    mask[1, 0, 50:60] = True
    expected = tokenizer.encode(np.where(mask, np.nan, signal), rate=100, leads=LEADS)
    tokens = tokenizer.encode(np.ma.masked_array(signal, mask), rate=100, leads=LEADS)
    assert [item.notes for item in tokens] == [item.notes for item in expected] and "V1" in tokens[1].notes[0]
    assert all(map(equal_codes, tokens, expected))
    assert tokenizer.encode(np.ma.masked_array(signal, mask)[1], rate=100, leads=LEADS).notes == tokens[1].notes


def unusual_tensors(dtype):
    """Tensors that are no plain array of numbers, by what they are."""
    plain = torch.zeros(3, 10, dtype=dtype)
    tensors = {"meta": plain.to("meta"), "sparse": plain.to_sparse(), "csr": plain.to_sparse_csr(),
               "nested": torch.nested.nested_tensor([plain], layout=torch.jagged)}
    if dtype == torch.float32:
        tensors |= {"float8": plain.to(torch.float8_e4m3fn), "complex": plain.to(torch.complex64).conj(),
                    "quantized": torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)}
    return tensors


@pytest.mark.filterwarnings("ignore")       # torch's, on its kinds of tensors
def test_unusual_tensors_are_refused_in_one_line(tokenizer):
    for x in unusual_tensors(torch.float32).values():
        with pytest.raises(ValueError, match=r"^(a tensor of|an array of complex64).*; wanted .*$"):
            tokenizer.encode(x, rate=100, leads=LEADS)
    for codes in unusual_tensors(torch.int64).values():
        for value in (codes, [codes, codes]):
            with pytest.raises(ValueError, match=r"^(a tensor|codes) of .*; wanted .*$"):
                tokenizer.decode(value)


def test_a_conjugate_view_of_real_numbers_is_an_array(tokenizer):
    x = torch.from_numpy(noise(3, 100))
    view = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert view.is_neg() and equal_codes(tokenizer.encode(view, rate=100, leads=LEADS),
                                         tokenizer.encode(x, rate=100, leads=LEADS))


def test_amplitudes_beyond_single_precision_give_no_warning(tokenizer, recwarn):
    for x in (np.full((3, 300), 1e38), np.tile([3e38, -3e38], (3, 150))):
        tokenizer.encode(x, rate=100, leads=LEADS, any_amplitude=True)
    assert not recwarn.list


@pytest.mark.parametrize("value", [None, 5, object(), 1.5, True, b"", "", {}, np.array(3), torch.tensor(3), [None],
                                   [object()], [[1, 2], [3]], ["x"], np.ma.masked_array([[1], [2]], [[0], [1]])])
def test_what_are_no_tokens_is_refused_in_one_line(tokenizer, value):
    tokens = tokenizer.encode(noise(3, 100), rate=100, leads=LEADS)
    for wrong in (value, [tokens, value], [value, tokens]):
        with pytest.raises(ValueError, match=r"^.*; wanted .*$") as error:
            tokenizer.decode(wrong)
        assert str(error.value).isprintable()


@pytest.mark.parametrize(("field", "value"), [("codes", None), ("codes", 5), ("notes", 5), ("source_leads", [["I"]]),
                                              ("start", 10**30), ("prdn", "1"), ("name", ("x",)), ("start_time", 5)])
def test_tokens_with_odd_fields_are_refused_in_one_line(tokenizer, field, value):
    tokens = tokenizer.encode(noise(3, 100), rate=100, leads=LEADS)
    with pytest.raises(ValueError, match=rf"^(record|a record) has {field} .*; wanted .*$"):
        tokenizer.decode(replace(tokens, **{field: value}))


@pytest.mark.parametrize(("codes", "message"), [
    (np.zeros((3, 5)), "codes float64 (5,); wanted 5 whole numbers"),
    (np.full((3, 5), 32), "codebook 0: codes from 32 to 32; wanted 0 to 31"),
    (np.full((3, 5), -1), "codebook 0: codes from -1"),
    (np.zeros((4, 5), int), "codebooks is 4; model has 1 to 3"),
    ([np.zeros(5, int), np.zeros(6, int)], "codebook 0: codes int64 (5,); wanted 6"),
    ([np.zeros(5, int), np.zeros((2, 5), int)], "codes of shapes (5,), (2, 5); wanted (n,) or (b, n)"),
    ([np.zeros((3, 5), int), np.zeros((2, 5), int)], "codes of shapes (3, 5), (2, 5); wanted (n,) or (b, n)"),
    (np.zeros(5, int), "codes of no codebook, or of other dimensions; wanted (q, n) or (b, q, n)"),
    (np.zeros((1, 1, 1, 5), int), "codes of no codebook, or of other dimensions"),
    ([], "codes of no codebook"),
])
def test_errors_of_wrong_codes_are_one_line(tokenizer, codes, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        tokenizer.decode(codes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", ["ae", "vae", "cvae", "vqvae", "vqvae2"])
@pytest.mark.parametrize(("x", "message"), [
    (torch.zeros(2, 12, 100), "signals of shape (2, 12, 100); wanted (batch, 8 leads, samples): I, II, V1, V2"),
    (torch.zeros(2, 8, 0), "signals of shape (2, 8, 0); wanted"),
    (torch.full((2, 8, 100), torch.nan), "the signals hold NaN or infinity; wanted finite numbers in mV"),
])
def test_models_check_their_input(tiny_settings, family, x, message):
    model = build(tiny_settings(family)).eval()
    with pytest.raises(ValueError, match=re.escape(message)):
        model.encode(x)
    if model.codebook_specs:
        with pytest.raises(ValueError, match=re.escape(message)):
            model.tokenize(x)


def test_a_signal_without_batch_dimension_is_refused():
    """Calls the check itself: while tests run, jaxtyping refuses the shape before a model does."""
    with pytest.raises(ValueError, match=re.escape("signals of shape (8, 100); wanted (batch, 8 leads, samples)")):
        check_signals(torch.zeros(8, 100), INDEPENDENT_8)


def test_the_folder_of_a_run_names_its_model(tiny_settings, tmp_path):
    checkpoint.save(build(tiny_settings()), tmp_path / "run" / "model")
    assert checkpoint.locate(tmp_path / "run") == tmp_path / "run" / "model"
    assert Tokenizer.load(tmp_path / "run").identity == checkpoint.identity(tmp_path / "run" / "model")
    assert ecgvae.load(tmp_path / "run", device="cpu").settings == tiny_settings()
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match="unfinished is a run without a model yet; finish it with train --resume"):
        Tokenizer.load(tmp_path / "unfinished")
    with pytest.raises(ValueError, match="device nonsense"):
        ecgvae.load(tmp_path / "run", device="nonsense")


def test_reprs_are_one_line(tokenizer):
    record = Record(noise(12, 1000), 100, LEADS_12, "00001")
    tokens = tokenizer.encode(noise(3, 100), rate=100, leads=LEADS)
    assert repr(tokenizer) == "Tokenizer('model', 3 leads at 100 Hz, 3 codebooks, cpu)"
    for value in (tokenizer, record, tokens, tokenizer.header(), tokenizer.model.signal):
        assert "\n" not in repr(value) and "array" not in repr(value) and len(repr(value)) < 300


def test_model_repr_is_one_line_and_its_text_shows_all_layers(tokenizer):
    assert re.fullmatch(r"VQVAE\(conv, 3 leads at 100 Hz, latent 8, [\d,]+ parameters\)", repr(tokenizer.model))
    assert "ResidualUnit" in str(tokenizer.model) and str(tokenizer.model).startswith("VQVAE(\n")
    assert repr(Conditioning(torch.zeros(2, 3))) == "Conditioning(vector of shape (2, 3), signal of shape None)"


def test_models_ask_for_tensors_of_single_precision(tokenizer):
    """Called directly: in tests, jaxtyping would complain first."""
    for x, message in ((np.zeros((1, 8, 100)), "signals of type ndarray; wanted a torch tensor"),
                       (torch.zeros(1, 8, 100).short(), "signals of torch.int16; wanted torch.float32"),
                       (torch.zeros(1, 8, 100).double(), "signals of torch.float64; wanted torch.float32")):
        with pytest.raises(ValueError, match=message):
            check_signals(x, INDEPENDENT_8)
    with pytest.raises(ValueError, match=re.escape("signals of shape (1, 12, 100); wanted (batch, 3 leads, samples)")):
        tokenizer.model.all_leads(torch.zeros(1, 12, 100))
