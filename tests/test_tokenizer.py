"""Records to tokens and back: at any length, in any company, whatever the order and names of leads."""

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
from ecgvae.tokenizer import Tokenizer, split_chunks

TWO = ("II", "V1")


@pytest.fixture(scope="module")
def twelve(tiny, learned):
    return Tokenizer(learned(tiny()), "twelve")


@pytest.fixture(scope="module")
def two(tiny, learned):
    return Tokenizer(learned(tiny(signal={"leads": TWO, "scale": 0.5})), "two")


def record(samples=1000, rate=100.0, leads=LEADS_12, seed=0, name="rec") -> Record:
    """Smoothed noise of about a millivolt; all twelve leads obey Einthoven's law."""
    noise = np.random.default_rng(seed).normal(size=(8, samples + 8)).cumsum(1)
    smooth = (noise[:, 8:] - noise[:, :-8]) / 4
    every = lead_expansion(LEADS_12, ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")) @ smooth
    return Record(every[[LEADS_12.index(lead) for lead in leads]], rate, leads, name, ("Age: 50",))


def at_once(tokenizer, record):
    signal = conform(record, tokenizer.model.signal).signal
    with torch.inference_mode():
        return [codes[0].numpy() for codes in tokenizer.model.tokenize(torch.from_numpy(signal)[None])]


def batched(codes):
    return [torch.from_numpy(stream)[None] for stream in codes]


def same_codes(tokens, others) -> bool:
    return len(tokens) == len(others) and all(map(np.array_equal, tokens, others))


# --- long records


@pytest.mark.parametrize("piece", [1, 64, 256, 1 << 14])
@pytest.mark.parametrize("samples", [1, 5, 63, 300, 3001])
def test_codes_of_pieces_are_the_codes_of_the_whole(twelve, monkeypatch, piece, samples):
    monkeypatch.setattr(ecgvae.tokenizer, "CHUNK_SAMPLES", max(piece, twelve.model.hop))
    whole = record(samples)
    assert same_codes(twelve.encode(whole).codes, at_once(twelve, whole))


def test_half_an_hour_of_12_leads_is_coded_as_at_once(twelve):
    long = record(180_000, name="long")
    tokens = twelve.encode(long)
    assert same_codes(tokens.codes, at_once(twelve, long))
    assert len(tokens.codes[0]) == 30_000 and len(np.unique(tokens.codes[0])) > 16
    decoded = twelve.decode(tokens)
    with torch.inference_mode():
        whole = twelve.model.detokenize(batched(tokens.codes), 180_000)[0].numpy()
    np.testing.assert_allclose(decoded.select(LEADS_12[:2]).signal, whole[:2], atol=0.0011)     # even microvolts


def test_half_an_hour_at_360_hz_is_coded_as_at_once(two, tmp_path):
    long = record(648_000, 360, TWO, name="long")
    file = open_record(write_record(long, tmp_path))
    tokens = two.encode(file)
    assert same_codes(tokens.codes, at_once(two, file.read()))
    assert (tokens.samples, tokens.source_samples, tokens.source_rate) == (180_000, 648_000, 360)
    assert two.decode(tokens).signal.shape == (2, 648_000)


def test_model_and_reader_never_see_more_than_a_piece(two, tmp_path, monkeypatch):
    file = open_record(write_record(record(500_000, 100, TWO, name="long"), tmp_path))
    asked, seen, read, tokenize = [], [], type(file).read, type(two.model).tokenize

    def reading(self, start=0, stop=None):
        asked.append(stop - start)
        return read(self, start, stop)

    def tokenizing(self, x, *more):
        seen.append(x.numel())
        return tokenize(self, x, *more)

    monkeypatch.setattr(type(file), "read", reading)
    monkeypatch.setattr(type(two.model), "tokenize", tokenizing)
    assert two.encode(file).samples == 500_000
    assert max(seen) <= 2 * (ecgvae.tokenizer.CHUNK_SAMPLES + 2 * (two.model.context[0] + two.model.total_hop))
    assert max(asked) < 70_000
    assert sum(seen) < 1.02 * 2 * 500_000


@settings(deadline=None, max_examples=100)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), size=st.integers(1, 12), halo=st.integers(0, 30))
def test_pieces_cover_a_signal_once_with_what_surrounds_them(lengths, size, halo):
    signal = np.arange(sum(lengths))[None]
    cut = list(split_chunks(np.split(signal, np.cumsum(lengths)[:-1], axis=1), size, halo))
    own = [piece.signal[0, piece.start:piece.stop] for piece in cut]
    np.testing.assert_array_equal(np.concatenate(own), signal[0])
    assert [piece.is_whole_record for piece in cut] == [len(cut) == 1] * len(cut)
    assert all(len(part) == size for part in own[:-1])
    for piece, part in zip(cut, own, strict=True):
        first, last = max(0, part[0] - halo), min(signal.shape[1], part[-1] + 1 + halo)
        assert piece.signal[0, 0] <= first and piece.signal[0, -1] >= last - 1
        assert piece.signal.shape[1] <= size + 3 * halo


# --- company and order


def test_a_batch_is_coded_as_each_record_alone(twelve):
    lengths = [1000] * 40 + [333, 1000, 20_000, 1, 333, 777] + [1000] * 20
    records = [record(length, seed=seed, name=str(seed)) for seed, length in enumerate(lengths)]
    together = twelve.encode_many(records)
    assert [tokens.name for tokens in together] == [str(seed) for seed in range(len(lengths))]
    for one, tokens in zip(records, together, strict=True):
        assert same_codes(tokens.codes, twelve.encode(one).codes)
        assert tokens.samples == one.samples
    small = twelve.encode_many(iter(records), batch_size=3)
    assert all(same_codes(a.codes, b.codes) for a, b in zip(together, small, strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_code_and_are_given_back(twelve, monkeypatch, threads):
    monkeypatch.setattr(ecgvae.tokenizer, "CHUNK_SAMPLES", 512)
    mixed = [record((200, 1300, 37)[index % 3], seed=index) for index in range(40)]
    alone = [at_once(twelve, one) for one in mixed]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = twelve.encode_many(mixed)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(same_codes(tokens.codes, codes) for tokens, codes in zip(made, alone, strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_thread_is_ones_own(two, monkeypatch, threads):
    def fail(*arguments):
        raise RuntimeError("out of memory")
    monkeypatch.setattr(type(two.model), "tokenize", fail)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            two.encode_many([record(300, leads=TWO) for _ in range(30)])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_order_case_and_further_leads_change_nothing(twelve, tmp_path):
    standard = record(name="standard")
    order = np.random.default_rng(1).permutation(12)
    names = [LEADS_12[row] for row in order]
    shuffled = Record(np.concatenate([standard.signal[order], np.ones((1, 1000))]), 100,
                      (*(name.upper() if index % 2 else f" lead {name.lower()}" for index, name in enumerate(names)),
                       "Vx"))
    codes = twelve.encode(standard).codes
    assert same_codes(twelve.encode(shuffled).codes, codes)
    signal = standard.signal[order].astype(np.float64)
    assert same_codes(twelve.encode(signal, rate=100, leads=names).codes, codes)
    files = [read_record(write_record(one, tmp_path)) for one in (standard, replace(shuffled, name="shuffled"))]
    assert same_codes(twelve.encode(files[0]).codes, twelve.encode(files[1]).codes)


def test_mlii_is_ii_and_a_missing_lead_is_an_error_or_zero(two):
    assert same_codes(two.encode(record(leads=TWO).signal, rate=100, leads=("MLII", "v1")).codes,
                      two.encode(record(leads=TWO)).codes)
    alone = record(leads=("II",))
    with pytest.raises(ValueError, match=r"^rec has leads II; the model wants II, V1$"):
        two.encode(alone)
    tokens = two.encode(alone, missing="zero")
    silent = Record(np.stack([alone.signal[0], np.zeros(1000)]), 100, TWO)
    assert same_codes(tokens.codes, two.encode(silent).codes)
    assert tokens.notes == ("V1 is missing, set to 0 mV",)


def test_unusable_records_are_left_out_when_somebody_listens(two):
    records = [record(leads=TWO), record(leads=("II",)), record(500, leads=TWO, seed=1)]
    told = []
    tokens = two.encode_many(records, on_error=lambda place, error: told.append((place, str(error))))
    assert told == [(1, "rec has leads II; the model wants II, V1")]
    assert [item.samples for item in tokens] == [1000, 500]
    with pytest.raises(ValueError, match="the model wants"):
        two.encode_many(records)


# --- lengths and rates


@settings(deadline=None, max_examples=40)
@given(samples=st.integers(1, 900), rate=st.sampled_from([50, 100, 128.5, 250, 257, 360, 500, 1000]))
def test_decoded_length_and_rate_are_the_records(two, samples, rate):
    original = record(samples, rate, TWO)
    tokens = two.encode(original)
    assert tokens.samples == -(-samples * 100 // rate) and len(tokens.codes[0]) == -(-tokens.samples // 6)
    decoded = two.decode(tokens)
    assert (decoded.samples, decoded.rate, decoded.leads) == (samples, rate, TWO)
    assert (decoded.name, decoded.comments) == ("rec", ("Age: 50",))
    plain = two.decode(tokens, original=False)
    assert (plain.samples, plain.rate) == (tokens.samples, 100)


@pytest.mark.parametrize("signal", [{"leads": ("V5",)}, {"leads": TWO, "rate": 500}, {"rate": 500},
                                    {"leads": ("I", "II", "III", "aVF"), "rate": 250.5}])
def test_other_leads_and_rates_work(tiny, learned, signal):
    tokenizer = Tokenizer(learned(tiny(signal=signal)))
    original = record(997, 360)
    decoded = tokenizer.decode(tokenizer.encode(original))
    assert (decoded.samples, decoded.rate) == (997, 360)
    assert decoded.leads == tokenizer.header().leads == tokenizer.model.signal.leads
    assert tokenizer.header().rate == signal.get("rate", 100)
    assert decoded.signal.std() > 0.01


def test_decoded_leads_keep_einthovens_law_even_on_disk(tiny, learned, tmp_path):
    tokenizer = Tokenizer(learned(tiny()))
    with torch.no_grad():
        tokenizer.model.decoder.layers[-1].conv.weight.mul_(0.03)     # to a few mV, for which a file has microvolts
    decoded = tokenizer.decode(tokenizer.encode(record(4000)))
    stored = read_record(write_record(decoded, tmp_path))
    assert 1 < np.abs(stored.signal).max() < 30
    micro = {lead: np.rint(row * 1000).astype(int) for lead, row in zip(stored.leads, stored.signal, strict=True)}
    np.testing.assert_array_equal(micro["III"], micro["II"] - micro["I"])
    np.testing.assert_array_equal(2 * micro["aVR"], -(micro["I"] + micro["II"]))
    np.testing.assert_array_equal(2 * micro["aVL"], 2 * micro["I"] - micro["II"])
    np.testing.assert_array_equal(2 * micro["aVF"], 2 * micro["II"] - micro["I"])
    np.testing.assert_array_equal(stored.signal, decoded.signal)


@pytest.mark.parametrize("piece", [6, 30, 1 << 14])
def test_decoding_in_pieces_is_decoding_at_once(two, monkeypatch, piece):
    tokens = two.encode(record(1003, leads=TWO))
    with torch.inference_mode():
        whole = two.model.detokenize(batched(tokens.codes), 1003)[0].numpy()
    monkeypatch.setattr(ecgvae.tokenizer, "CHUNK_SAMPLES", piece)
    np.testing.assert_allclose(two.decode_coded_leads(tokens.codes, 1003), whole, atol=1e-3)


# --- tokens


def test_a_round_trip_through_a_file_decodes_to_the_same_bits(twelve, tmp_path):
    tokens = [twelve.encode(record(length, 250, seed=length, name=str(length))) for length in (1, 999, 30_000)]
    write_tokens(tmp_path / "tokens.parquet", twelve.header(), tokens)
    file = open_tokens(tmp_path / "tokens.parquet")
    assert file.header == twelve.header()
    for before, after in zip(tokens, file, strict=True):
        assert np.array_equal(twelve.decode(before).signal, twelve.decode(after).signal)


def test_fewer_codebooks_are_the_first_of_all(twelve):
    original = record()
    every = twelve.encode(original)
    for count in (1, 2, 3):
        tokens = twelve.encode(original, codebooks=count)
        assert same_codes(tokens.codes, every.codes[:count])
        assert twelve.header(count).codebooks == twelve.header().codebooks[:count]
        decoded = [twelve.decode(part).signal for part in (tokens, replace(every, codes=every.codes[:count]))]
        assert np.array_equal(*decoded)
    for count in (0, 4, -1):
        with pytest.raises(ValueError, match=rf"^codebooks is {count}; twelve has 1 to 3$"):
            twelve.encode(original, codebooks=count)


@pytest.mark.parametrize(("change", "message"), [
    ({"codes": ()}, "codebooks is 0; two has 1 to 3"),
    ({"codes": (np.zeros(5, int),) * 4}, "codebooks is 4; two has 1 to 3"),
    ({"codes": (np.full(5, 32),) * 3}, "rec, codebook 0: codes from 32 to 32; wanted 0 to 31"),
    ({"codes": (np.full(5, -1),)}, "rec, codebook 0: codes from -1 to -1; wanted 0 to 31"),
    ({"codes": (np.zeros(5, int), np.zeros(4, int))}, "rec, codebook 1: codes int64 (4,); wanted 5 whole numbers"),
    ({"codes": (np.zeros(5),)}, "rec, codebook 0: codes float64 (5,); wanted 5 whole numbers"),
    ({"samples": 31}, "rec, codebook 0: codes int64 (5,); wanted 6 whole numbers"),
])
def test_tokens_that_are_none_of_its_own_are_refused(two, change, message):
    with pytest.raises(ValueError) as error:
        two.decode(replace(two.encode(record(30, leads=TWO)), **change))
    assert str(error.value).startswith(message)


def test_an_array_needs_rate_and_leads(two):
    signal = record(leads=TWO).signal
    assert same_codes(two.encode(signal, rate=100, leads=TWO).codes, two.encode(record(leads=TWO)).codes)
    for facts in ({}, {"rate": 100}, {"leads": TWO}):
        with pytest.raises(ValueError, match=r"^an array without rate= or leads=; wanted both, in Hz and as names$"):
            two.encode(signal, **facts)


def test_loading_gives_the_saved_tokenizer(two, tmp_path):
    loaded = Tokenizer.load(checkpoint.save(two.model, tmp_path / "named"), device="cpu")
    assert (loaded.name, loaded.identity, loaded.device.type) == ("named", two.identity, "cpu")
    assert loaded.header().tokenizer == two.identity
    assert same_codes(loaded.encode(record(leads=TWO)).codes, two.encode(record(leads=TWO)).codes)


def test_repairs_are_noted(two):
    broken = record(leads=TWO).signal.copy()
    broken[0, 200:300] = np.nan
    notes = two.encode(broken, rate=100, leads=TWO).notes
    assert notes == ("II: 1.00 s missing from 2.00 s, set to 0 mV",)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_none_is_said_in_one_line(device):
    with pytest.raises(ValueError, match=rf"^device {device}: [^\n]+$"):
        select_device(device)
    assert select_device("cpu").type == "cpu"
