"""Tokens to signals: the leads that were there, and the same bits in blocks of any size."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.data.tokens import Tokens
from ecgvae.signal import LEADS_12, Record, SignalSpec, resample
from ecgvae.tokenizer import Tokenizer, decoding
from ecgvae.tokenizer.decoding import absent_leads, resampled_blocks

CHEST = tuple(f"V{number}" for number in range(1, 7))


@pytest.fixture(scope="module")
def tokenizer(tiny_settings, random_model):
    return Tokenizer(random_model(tiny_settings()), "twelve")


def make_tokens(tokenizer, samples=300, source_rate=100.0, source_samples=300, **fields) -> Tokens:
    random = np.random.default_rng(0)
    codes = tuple(random.integers(0, spec.size, spec.length(samples)) for spec in tokenizer.header().codebooks)
    return Tokens(codes, samples, "rec", source_rate, source_samples, **fields)


@pytest.mark.parametrize(("source", "absent"), [
    (("II", "V5"), ("I", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V6")),
    (("I", "aVF"), CHEST), (("aVR", "aVL", *CHEST), ()), (("III", *CHEST), LEADS_12[:6]), ((), LEADS_12),
    (LEADS_12, ()),
])  # fmt: skip
def test_leads_are_absent_that_the_source_neither_had_nor_determines(tokenizer, source, absent):
    tokens = make_tokens(tokenizer, source_leads=source)
    assert absent_leads(tokenizer.model.signal, tokens) == absent


def test_notes_tell_the_leads_of_older_token_files():
    def absent(*notes, leads=LEADS_12):
        return absent_leads(SignalSpec(leads=leads), Tokens((), 0, "rec", 100, 0, notes=notes))

    gap = "II: 3.00 s missing from 1.00 s, set to 0 mV"
    assert absent() == absent("V1 is missing, derived from others", gap) == ()
    assert absent("V1 is missing, set to 0 mV", gap, "V2 is missing, set to 0 mV") == ("V1", "V2")
    assert absent("I is missing, set to 0 mV") == ("I", "III", "aVR", "aVL", "aVF")
    assert absent("aVF is missing, set to 0 mV", leads=("II", "aVF")) == ("aVF",)


def test_decode_gives_the_leads_of_the_source_or_all_with_the_invented_ones_named(tokenizer):
    tokens = make_tokens(tokenizer, source_leads=("II", "V5"), start_time=datetime(2020, 5, 1, 13, 5))
    decoded, every = tokenizer.decode(tokens), tokenizer.decode(tokens, all_leads=True)
    assert (decoded.leads, decoded.invented_leads) == (("II", "V5"), ())
    assert every.leads == LEADS_12 and set(every.invented_leads) == set(LEADS_12) - {"II", "V5"}
    np.testing.assert_array_equal(decoded.signal, every.select(("II", "V5")).signal)
    assert decoded.start_time == every.start_time == tokens.start_time
    assert tokenizer.decode([tokens])[0].leads == ("II", "V5")
    np.testing.assert_array_equal(tokenizer.decode(np.stack(tokens.codes)), every.signal)
    with pytest.raises(ValueError, match="rec had none of the leads I, II, "):
        tokenizer.decode(replace(tokens, source_leads=()))


def test_the_comment_has_the_bit_rate_of_the_codebooks_in_the_tokens(tokenizer):
    tokens = make_tokens(tokenizer, comments=("Age: 50",))
    fewer = replace(tokens, codes=tokens.codes[:1])
    ends = [f"ecgvae: decoded by twelve ({tokenizer.identity}) from {rate} bit/s" for rate in ("250", "83.3333")]
    assert [tokenizer.decode(item).comments for item in (tokens, fewer)] == [("Age: 50", end) for end in ends]


@settings(deadline=None, max_examples=60)
@given(
    rates=st.sampled_from([(100, 360), (100, 50), (500, 128.5), (100, 257), (250, 499.9), (100, 100.1)]),
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=6),
    cut=st.integers(0, 3),
)
def test_resampled_blocks_equal_the_whole(rates, lengths, cut):
    signal = np.random.default_rng(0).normal(size=(2, sum(lengths))).astype(np.float32)
    whole = resample(signal, *rates)
    samples = max(1, whole.shape[1] - cut)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "RESAMPLED_SAMPLES", 40)
        blocks = resampled_blocks(np.split(signal, np.cumsum(lengths)[:-1], axis=1), *rates, samples)
        np.testing.assert_array_equal(np.concatenate(list(blocks), axis=1), whole[:, :samples])


@pytest.mark.parametrize("source_rate", [100.0, 360.0, 33.3])
@pytest.mark.parametrize("samples", [1, 5, 63, 700, 3001])
def test_blocks_of_any_size_give_the_same_bits(tokenizer, monkeypatch, samples, source_rate):
    tokens = make_tokens(tokenizer, samples, source_rate, max(1, int(samples / 100 * source_rate)))
    coded = tokenizer.decode_coded_leads(tokens.codes, samples)
    at_rate = resample(coded, 100, source_rate)[:, :tokens.source_samples] if source_rate != 100 else coded
    expected = tokenizer.all_leads(at_rate)
    np.testing.assert_array_equal(tokenizer.decode(tokens).signal, expected)
    monkeypatch.setattr("ecgvae.tokenizer.tokenizer.CHUNK_SAMPLES", 60)
    monkeypatch.setattr(decoding, "BLOCK_CHUNKS", 2)
    monkeypatch.setattr(decoding, "RESAMPLED_SAMPLES", 100)
    monkeypatch.setattr(decoding, "MATRIX_SAMPLES", 7)
    blocks = list(tokenizer.decoder(tokens).blocks())
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), expected)
    assert max(block.shape[1] for block in blocks) <= max(120, 100 * source_rate)


def test_a_long_record_is_decoded_block_by_block(tokenizer):
    tokens = make_tokens(tokenizer, 1_000_000, 360.0, 3_600_000)
    decoder = tokenizer.decoder(tokens)
    sizes = [block.shape[1] for block in decoder.blocks()]
    assert sum(sizes) == 3_600_000 and max(sizes) <= decoding.RESAMPLED_SAMPLES


def test_no_samples(tokenizer):
    assert tokenizer.decode(make_tokens(tokenizer, 0, 360.0, 0)).signal.shape == (12, 0)


@pytest.mark.parametrize(("rate", "samples"), [(1e8, 300_000_000), (0.01, 1)])
def test_impossible_rates_are_refused(tokenizer, rate, samples):
    tokens = make_tokens(tokenizer, 300, rate, samples)
    with pytest.raises(ValueError, match="wanted rates within a factor of 200"):
        tokenizer.decode(tokens)
    assert tokenizer.decode(tokens, original=False).samples == 300


def test_arrays_of_records_decode_as_before(tokenizer):
    record = Record(np.zeros((12, 100), np.float32), 100, LEADS_12)
    assert tokenizer.decode(tokenizer.encode(record)).leads == LEADS_12
