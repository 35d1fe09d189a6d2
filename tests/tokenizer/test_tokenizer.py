"""Records to tokens and back: any length, any batch, and any order and spelling of lead names."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ecgvae.tokenizer
from ecgvae import checkpoint
from ecgvae.checkpoint import select_device
from ecgvae.data.tokens import open_tokens, write_tokens
from ecgvae.signal import LEADS_12, Record, conform, lead_expansion, open_record, read_record, write_record
from ecgvae.tokenizer import Tokenizer
from ecgvae.tokenizer.chunks import split_chunks

TWO_LEADS = ("II", "V1")


@pytest.fixture(scope="module")
def tokenizer_12(tiny_settings, random_model):
    return Tokenizer(random_model(tiny_settings()), "twelve")


@pytest.fixture(scope="module")
def tokenizer_2(tiny_settings, random_model):
    return Tokenizer(random_model(tiny_settings(signal={"leads": TWO_LEADS, "scale": 0.5})), "two")


def make_record(samples=1000, rate=100.0, leads=LEADS_12, seed=0, name="rec") -> Record:
    """Smoothed noise of about a millivolt; all twelve leads obey Einthoven's law."""
    noise = np.random.default_rng(seed).normal(size=(8, samples + 8)).cumsum(1)
    smooth = (noise[:, 8:] - noise[:, :-8]) / 4
    signal = lead_expansion(LEADS_12, ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")) @ smooth
    return Record(signal[[LEADS_12.index(lead) for lead in leads]], rate, leads, name, ("Age: 50",))


def codes_at_once(tokenizer, record):
    """The codes of a whole record, computed by one call of the model."""
    signal = conform(record, tokenizer.model.signal).signal
    with torch.inference_mode():
        return [codes[0].numpy() for codes in tokenizer.model.tokenize(torch.from_numpy(signal)[None])]


def as_batch(codes):
    """The codes of one record as a batch of one, (1, n) for each codebook."""
    return [torch.from_numpy(row)[None] for row in codes]


def equal_codes(codes, expected) -> bool:
    return len(codes) == len(expected) and all(map(np.array_equal, codes, expected))


# --- long records


@pytest.mark.parametrize("chunk_samples", [1, 64, 256, 1 << 14])
@pytest.mark.parametrize("samples", [1, 5, 63, 300, 3001])
def test_chunks_give_the_codes_of_the_whole_record(tokenizer_12, monkeypatch, chunk_samples, samples):
    monkeypatch.setattr(ecgvae.tokenizer.tokenizer, "CHUNK_SAMPLES", max(chunk_samples, tokenizer_12.model.hop))
    whole = make_record(samples)
    assert equal_codes(tokenizer_12.encode(whole).codes, codes_at_once(tokenizer_12, whole))


def test_half_an_hour_of_12_leads_has_the_codes_of_one_call(tokenizer_12):
    long = make_record(180_000, name="long")
    tokens = tokenizer_12.encode(long)
    assert equal_codes(tokens.codes, codes_at_once(tokenizer_12, long))
    assert len(tokens.codes[0]) == 30_000 and len(np.unique(tokens.codes[0])) > 16
    decoded = tokenizer_12.decode(tokens)
    with torch.inference_mode():
        whole = tokenizer_12.model.detokenize(as_batch(tokens.codes), 180_000)[0].numpy()
    np.testing.assert_allclose(decoded.select(LEADS_12[:2]).signal, whole[:2], atol=0.0011)     # even microvolts


def test_half_an_hour_at_360_hz_has_the_codes_of_one_call(tokenizer_2, tmp_path):
    long = make_record(648_000, 360, TWO_LEADS, name="long")
    file = open_record(write_record(long, tmp_path))
    tokens = tokenizer_2.encode(file)
    assert equal_codes(tokens.codes, codes_at_once(tokenizer_2, file.read()))
    assert (tokens.samples, tokens.source_samples, tokens.source_rate) == (180_000, 648_000, 360)
    assert tokenizer_2.decode(tokens).signal.shape == (2, 648_000)


def test_model_and_reader_get_no_more_than_a_chunk_at_a_time(tokenizer_2, tmp_path, monkeypatch):
    file = open_record(write_record(make_record(500_000, 100, TWO_LEADS, name="long"), tmp_path))
    read_lengths, model_sizes = [], []
    read, tokenize = type(file).read, type(tokenizer_2.model).tokenize

    def recording_read(self, start=0, stop=None):
        read_lengths.append(stop - start)
        return read(self, start, stop)

    def recording_tokenize(self, x, *arguments):
        model_sizes.append(x.numel())
        return tokenize(self, x, *arguments)

    monkeypatch.setattr(type(file), "read", recording_read)
    monkeypatch.setattr(type(tokenizer_2.model), "tokenize", recording_tokenize)
    assert tokenizer_2.encode(file).samples == 500_000
    overlap = 2 * (tokenizer_2.model.context[0] + tokenizer_2.model.total_hop)
    assert max(model_sizes) <= 2 * (ecgvae.tokenizer.CHUNK_SAMPLES + overlap)
    assert max(read_lengths) < 70_000
    assert sum(model_sizes) < 1.02 * 2 * 500_000


@settings(deadline=None, max_examples=100)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), size=st.integers(1, 12), halo=st.integers(0, 30))
def test_chunks_cover_a_signal_once_with_overlap(lengths, size, halo):
    signal = np.arange(sum(lengths))[None]
    chunks = list(split_chunks(np.split(signal, np.cumsum(lengths)[:-1], axis=1), size, halo))
    parts = [chunk.signal[0, chunk.start:chunk.stop] for chunk in chunks]
    np.testing.assert_array_equal(np.concatenate(parts), signal[0])
    assert [chunk.is_whole_record for chunk in chunks] == [len(chunks) == 1] * len(chunks)
    assert all(len(part) == size for part in parts[:-1])
    for chunk, part in zip(chunks, parts, strict=True):
        first, last = max(0, part[0] - halo), min(signal.shape[1], part[-1] + 1 + halo)
        assert chunk.signal[0, 0] <= first and chunk.signal[0, -1] >= last - 1
        assert chunk.signal.shape[1] <= size + 3 * halo


# --- batches, threads and leads


def test_a_batch_has_the_codes_of_single_records(tokenizer_12):
    lengths = [1000] * 40 + [333, 1000, 20_000, 1, 333, 777] + [1000] * 20
    records = [make_record(length, seed=seed, name=str(seed)) for seed, length in enumerate(lengths)]
    batch = tokenizer_12.encode_many(records)
    assert [tokens.name for tokens in batch] == [str(seed) for seed in range(len(lengths))]
    for record, tokens in zip(records, batch, strict=True):
        assert equal_codes(tokens.codes, tokenizer_12.encode(record).codes)
        assert tokens.samples == record.samples
    small_batches = tokenizer_12.encode_many(iter(records), batch_size=3)
    assert all(equal_codes(a.codes, b.codes) for a, b in zip(batch, small_batches, strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_code_and_their_number_is_restored(tokenizer_12, monkeypatch, threads):
    monkeypatch.setattr(ecgvae.tokenizer.tokenizer, "CHUNK_SAMPLES", 512)
    records = [make_record((200, 1300, 37)[index % 3], seed=index) for index in range(40)]
    expected = [codes_at_once(tokenizer_12, item) for item in records]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        encoded = tokenizer_12.encode_many(records)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(equal_codes(tokens.codes, codes) for tokens, codes in zip(encoded, expected, strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_thread_is_raised(tokenizer_2, monkeypatch, threads):
    def fail(*arguments):
        raise RuntimeError("out of memory")
    monkeypatch.setattr(type(tokenizer_2.model), "tokenize", fail)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            tokenizer_2.encode_many([make_record(300, leads=TWO_LEADS) for _ in range(30)])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_order_and_case_of_leads_and_extra_leads_change_nothing(tokenizer_12, tmp_path):
    standard = make_record(name="standard")
    order = np.random.default_rng(1).permutation(12)
    names = [LEADS_12[row] for row in order]
    shuffled = Record(np.concatenate([standard.signal[order], np.ones((1, 1000))]), 100,
                      (*(name.upper() if index % 2 else f" lead {name.lower()}" for index, name in enumerate(names)),
                       "Vx"))
    codes = tokenizer_12.encode(standard).codes
    assert equal_codes(tokenizer_12.encode(shuffled).codes, codes)
    signal = standard.signal[order].astype(np.float64)
    assert equal_codes(tokenizer_12.encode(signal, rate=100, leads=names).codes, codes)
    files = [read_record(write_record(item, tmp_path)) for item in (standard, replace(shuffled, name="shuffled"))]
    assert equal_codes(tokenizer_12.encode(files[0]).codes, tokenizer_12.encode(files[1]).codes)


def test_mlii_is_ii_and_a_missing_lead_is_an_error_or_zero(tokenizer_2):
    assert equal_codes(tokenizer_2.encode(make_record(leads=TWO_LEADS).signal, rate=100, leads=("MLII", "v1")).codes,
                       tokenizer_2.encode(make_record(leads=TWO_LEADS)).codes)
    lead_ii = make_record(leads=("II",))
    with pytest.raises(ValueError, match=r"^rec has leads II; wanted II, V1$"):
        tokenizer_2.encode(lead_ii)
    tokens = tokenizer_2.encode(lead_ii, missing="zero")
    with_zeros = Record(np.stack([lead_ii.signal[0], np.zeros(1000)]), 100, TWO_LEADS)
    assert equal_codes(tokens.codes, tokenizer_2.encode(with_zeros).codes)
    assert tokens.notes == ("V1 is missing, set to 0 mV",)


def test_unusable_records_are_reported_to_on_error_and_left_out(tokenizer_2):
    records = [make_record(leads=TWO_LEADS), make_record(leads=("II",)), make_record(500, leads=TWO_LEADS, seed=1)]
    errors = []
    tokens = tokenizer_2.encode_many(records, on_error=lambda index, error: errors.append((index, str(error))))
    assert errors == [(1, "rec has leads II; wanted II, V1")]
    assert [item.samples for item in tokens] == [1000, 500]
    with pytest.raises(ValueError, match="; wanted"):
        tokenizer_2.encode_many(records)


# --- lengths and rates


@settings(deadline=None, max_examples=40)
@given(samples=st.integers(1, 900), rate=st.sampled_from([50, 100, 128.5, 250, 257, 360, 500, 1000]))
def test_decoded_records_have_the_original_length_and_rate(tokenizer_2, samples, rate):
    original = make_record(samples, rate, TWO_LEADS)
    tokens = tokenizer_2.encode(original)
    assert tokens.samples == -(-samples * 100 // rate) and len(tokens.codes[0]) == -(-tokens.samples // 6)
    decoded = tokenizer_2.decode(tokens)
    assert (decoded.samples, decoded.rate, decoded.leads) == (samples, rate, TWO_LEADS)
    mark = f"ecgvae: decoded by two ({tokenizer_2.identity}) from 250 bit/s"
    assert (decoded.name, decoded.comments, decoded.invented_leads) == ("rec", ("Age: 50", mark), ())
    at_model_rate = tokenizer_2.decode(tokens, original=False)
    assert (at_model_rate.samples, at_model_rate.rate) == (tokens.samples, 100)


@pytest.mark.parametrize("signal", [{"leads": ("V5",)}, {"leads": TWO_LEADS, "rate": 500}, {"rate": 500},
                                    {"leads": ("I", "II", "III", "aVF"), "rate": 250.5}])
def test_other_leads_and_rates_work(tiny_settings, random_model, signal):
    tokenizer = Tokenizer(random_model(tiny_settings(signal=signal)))
    original = make_record(997, 360)
    decoded = tokenizer.decode(tokenizer.encode(original))
    assert (decoded.samples, decoded.rate) == (997, 360)
    assert decoded.leads == tokenizer.header().leads == tokenizer.model.signal.leads
    assert tokenizer.header().rate == signal.get("rate", 100)
    assert decoded.signal.std() > 0.01


def test_decoded_leads_obey_einthovens_law_exactly_in_files(tiny_settings, random_model, tmp_path):
    tokenizer = Tokenizer(random_model(tiny_settings()))
    with torch.no_grad():
        tokenizer.model.decoder.layers[-1].conv.weight.mul_(0.03)     # to a few mV, which a file stores in microvolts
    decoded = tokenizer.decode(tokenizer.encode(make_record(4000)))
    stored = read_record(write_record(decoded, tmp_path))
    assert 1 < np.abs(stored.signal).max() < 30
    microvolts = {lead: np.rint(row * 1000).astype(int) for lead, row in zip(stored.leads, stored.signal, strict=True)}
    np.testing.assert_array_equal(microvolts["III"], microvolts["II"] - microvolts["I"])
    np.testing.assert_array_equal(2 * microvolts["aVR"], -(microvolts["I"] + microvolts["II"]))
    np.testing.assert_array_equal(2 * microvolts["aVL"], 2 * microvolts["I"] - microvolts["II"])
    np.testing.assert_array_equal(2 * microvolts["aVF"], 2 * microvolts["II"] - microvolts["I"])
    np.testing.assert_array_equal(stored.signal, decoded.signal)


@pytest.mark.parametrize("chunk_samples", [6, 30, 1 << 14])
def test_decoding_in_chunks_gives_the_signal_of_one_call(tokenizer_2, monkeypatch, chunk_samples):
    tokens = tokenizer_2.encode(make_record(1003, leads=TWO_LEADS))
    with torch.inference_mode():
        whole = tokenizer_2.model.detokenize(as_batch(tokens.codes), 1003)[0].numpy()
    monkeypatch.setattr(ecgvae.tokenizer.tokenizer, "CHUNK_SAMPLES", chunk_samples)
    np.testing.assert_allclose(tokenizer_2.decode_coded_leads(tokens.codes, 1003), whole, atol=1e-3)


# --- tokens


def test_tokens_from_a_file_decode_to_the_same_bits(tokenizer_12, tmp_path):
    records = [make_record(length, 250, seed=length, name=str(length)) for length in (1, 999, 30_000)]
    tokens = [tokenizer_12.encode(item) for item in records]
    write_tokens(tmp_path / "tokens.parquet", tokenizer_12.header(), tokens)
    file = open_tokens(tmp_path / "tokens.parquet")
    assert file.header == tokenizer_12.header()
    for before, after in zip(tokens, file, strict=True):
        assert np.array_equal(tokenizer_12.decode(before).signal, tokenizer_12.decode(after).signal)


def test_fewer_codebooks_are_the_first_of_all_codebooks(tokenizer_12):
    original = make_record()
    all_tokens = tokenizer_12.encode(original)
    for count in (1, 2, 3):
        tokens = tokenizer_12.encode(original, codebooks=count)
        assert equal_codes(tokens.codes, all_tokens.codes[:count])
        assert tokenizer_12.header(count).codebooks == tokenizer_12.header().codebooks[:count]
        first_tokens = replace(all_tokens, codes=all_tokens.codes[:count])
        assert np.array_equal(tokenizer_12.decode(tokens).signal, tokenizer_12.decode(first_tokens).signal)
    for count in (0, 4, -1):
        with pytest.raises(ValueError, match=rf"^codebooks is {count}; twelve has 1 to 3$"):
            tokenizer_12.encode(original, codebooks=count)


@pytest.mark.parametrize(("change", "message"), [
    ({"codes": ()}, "codebooks is 0; two has 1 to 3"),
    ({"codes": (np.zeros(5, int),) * 4}, "codebooks is 4; two has 1 to 3"),
    ({"codes": (np.full(5, 32),) * 3}, "rec, codebook 0: codes from 32 to 32; wanted 0 to 31"),
    ({"codes": (np.full(5, -1),)}, "rec, codebook 0: codes from -1 to -1; wanted 0 to 31"),
    ({"codes": (np.zeros(5, int), np.zeros(4, int))}, "rec, codebook 1: codes int64 (4,); wanted 5 whole numbers"),
    ({"codes": (np.zeros(5),)}, "rec, codebook 0: codes float64 (5,); wanted 5 whole numbers"),
    ({"samples": 31}, "rec, codebook 0: codes int64 (5,); wanted 6 whole numbers"),
])
def test_wrong_tokens_are_refused(tokenizer_2, change, message):
    with pytest.raises(ValueError) as error:
        tokenizer_2.decode(replace(tokenizer_2.encode(make_record(30, leads=TWO_LEADS)), **change))
    assert str(error.value).startswith(message)


def test_an_array_needs_rate_and_leads(tokenizer_2):
    record = make_record(leads=TWO_LEADS)
    tokens = tokenizer_2.encode(record.signal, rate=100, leads=TWO_LEADS)
    assert equal_codes(tokens.codes, tokenizer_2.encode(record).codes)
    for options in ({}, {"rate": 100}, {"leads": TWO_LEADS}):
        with pytest.raises(ValueError, match=r"^an array without rate= or leads=; wanted both, in Hz and as names$"):
            tokenizer_2.encode(record.signal, **options)


def test_a_loaded_tokenizer_equals_the_saved_one(tokenizer_2, tmp_path):
    loaded = Tokenizer.load(checkpoint.save(tokenizer_2.model, tmp_path / "named"), device="cpu")
    assert (loaded.name, loaded.identity, loaded.device.type) == ("named", tokenizer_2.identity, "cpu")
    assert loaded.header().tokenizer == tokenizer_2.identity
    record = make_record(leads=TWO_LEADS)
    assert equal_codes(loaded.encode(record).codes, tokenizer_2.encode(record).codes)


def test_repairs_are_noted(tokenizer_2):
    broken = make_record(leads=TWO_LEADS).signal.copy()
    broken[0, 200:300] = np.nan
    notes = tokenizer_2.encode(broken, rate=100, leads=TWO_LEADS).notes
    assert notes == ("II: 1.00 s missing from 2.00 s, set to 0 mV",)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_the_error_of_a_wrong_device_is_one_line(device):
    with pytest.raises(ValueError, match=rf"^device {device}: [^\n]+$"):
        select_device(device)
    assert select_device("cpu").type == "cpu"
