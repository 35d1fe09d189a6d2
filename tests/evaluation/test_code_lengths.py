"""Code lengths under a prior: against known probabilities, the loss, and records in parts; and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from commands import call, mistake
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import write_store

from ecgvae import checkpoint
from ecgvae.cards import model_card
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.store import Store
from ecgvae.data.training_data import measure_training_data
from ecgvae.evaluation import pieces
from ecgvae.evaluation.code_lengths import CodeLengths
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.evaluation.reports import read_reports, save_report
from ecgvae.priors import ABSENT, PriorSettings, TokenPrior, build_prior, parse_prior_settings
from ecgvae.signal import LEADS_12
from ecgvae.tokenizer import Tokenizer

TWO_HOPS = (CodebookSpec(8, 4), CodebookSpec(4, 8))
SIZES = {"autoregressive": {"layers": 1, "heads": 2, "window": 4}, "pixelcnn": {"max_dilation": 2}}


class KnownPrior(TokenPrior):
    """Code k of a slot has the probability 2 ** -(k + 1), and 1.5 bits are added to each first frame."""

    is_exact = True

    def __init__(self, codebooks):
        super().__init__(PriorSettings(kind="known"), codebooks)
        self.parameter = torch.nn.Parameter(torch.zeros(()))

    def loss(self, codes, condition=None):
        raise AssertionError("a code length needs log_prob only")

    sample = loss

    def log_prob(self, codes, condition=None, cache=None):
        bits = (codes + 1.0) * (codes != ABSENT)
        if not cache:
            bits[:, 0, 0] += 1.5
        if cache is not None:
            cache[self] = True
        return -bits * math.log(2)


def random_codes(count, lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(spec.size, (count, length), generator=generator)
            for spec, length in zip(TWO_HOPS, lengths, strict=True)]


def test_code_lengths_are_those_of_known_probabilities():
    """Seven codes of hop 4 in four frames of hop 8: the last one is absent and costs nothing."""
    lengths, codes = CodeLengths(KnownPrior(TWO_HOPS)), random_codes(3, (4, 7))
    lengths.add(np.arange(3), [*codes, torch.zeros(3, 14)])      # a codebook that the prior does not have
    expected = [float((codes[0] + 1.0).mean()) + 1.5 / 4, float((codes[1] + 1.0).mean())]
    assert lengths.bits() == pytest.approx(expected)
    report = lengths.report([2.0, 3.0, 4.0], rate=100)
    assert report["codebooks"] == 2 and report["entropy_bits_per_second"] == pytest.approx(200 / 8 + 300 / 4)
    assert report["bits_per_second"] == pytest.approx(100 / 8 * expected[0] + 100 / 4 * expected[1])
    assert report["share"] == pytest.approx(report["bits_per_second"] / report["entropy_bits_per_second"])
    assert [row["share"] for row in report["by_codebook"]] == pytest.approx([expected[0] / 2, expected[1] / 3])
    assert math.isnan(CodeLengths(KnownPrior(TWO_HOPS[:1])).report([0.0], 100)["share"])


@pytest.fixture(scope="module", params=SIZES)
def small_prior(request):
    torch.manual_seed(0)
    values = {"kind": request.param, "width": 16, "code_width": 8, "depth_width": 16, "depth_heads": 2,
              "condition": {"age": True}, **SIZES[request.param]}
    prior = build_prior(parse_prior_settings(values), TWO_HOPS).double().eval()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return prior


@settings(max_examples=10, deadline=None)
@given(cuts=st.sets(st.integers(1, 11), max_size=4), split=st.integers(1, 3))
def test_parts_and_batches_add_up_to_the_whole(small_prior, cuts, split):
    """Records in any batches, and one long record in parts of whole frames."""
    prior = small_prior
    codes, vectors = random_codes(3, (12, 23)), torch.rand(3, prior.condition.width, dtype=torch.double)
    whole, in_batches, in_parts = (CodeLengths(prior, vectors) for _ in range(3))
    whole.add(np.arange(3), codes)
    for rows in torch.arange(3).split(split):
        in_batches.add(rows.numpy(), [part[rows] for part in codes])
    for row in range(3):
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
            part = [codes[0][row:row + 1, start:end], codes[1][row:row + 1, 2 * start:2 * end]]
            in_parts.add(np.array([row]), part, is_end=end == 12)
    assert in_batches.bits() == pytest.approx(whole.bits()) and in_parts.bits() == pytest.approx(whole.bits())
    expected = -prior.log_prob(prior.layout.pack(codes), vectors).sum() / math.log(2)
    assert 3 * (12 * whole.bits()[0] + 23 * whole.bits()[1]) == pytest.approx(float(expected))
    assert not in_parts._unfinished


def test_the_report_is_the_code_length_of_the_tokens_in_the_store(model, prior, store):
    """The prior has two of the three codebooks; each record stands alone."""
    known, loaded, tokenizer = Store(store), checkpoint.load_prior(prior), Tokenizer.load(model, "cpu")
    nats, count = 0.0, 0
    for row in range(len(known)):
        codes = [torch.from_numpy(part.astype(int))[None] for part in tokenizer.encode(known.record(row)).codes[:2]]
        nats -= float(loaded.log_prob(loaded.layout.pack(codes)).sum())
        count += codes[0].numel()
    for batch_size in (1, 3):
        report = evaluate(model, known, "all", batch_size=batch_size, prior=prior)
        rates = [row.get("prior_bits_per_second") for row in report["rows"]]
        assert rates == [None, pytest.approx(nats / math.log(2) / count * 100 / 6, rel=1e-4), None]
        assert report["prior"]["bits_per_second"] == rates[1]
        entropy = report["rows"][1]["entropy_bits_per_second"]
        assert report["prior"]["entropy_bits_per_second"] == entropy
        assert report["prior"]["share"] == pytest.approx(rates[1] / entropy)
        assert report["prior"]["identity"] == checkpoint.prior_config(prior)["identity"]
        assert report["prior"]["condition"] is False and report["prior"]["seen_in_training"] is None
    assert "prior" not in evaluate(model, known, "all")


@pytest.mark.parametrize("family", ["vqvae", "vqvae2"])
def test_long_records_in_pieces_have_the_code_lengths_of_the_whole(family, tiny_settings, random_model, random_prior,
                                                                   tmp_path, monkeypatch):
    network = random_model(tiny_settings(family))
    model = checkpoint.save(network, tmp_path / "model")
    prior = checkpoint.save_prior(random_prior(network.codebook_specs, window=8), tmp_path / "prior", model)
    signals = np.random.default_rng(0).normal(size=(2, 12, 1501)).cumsum(-1) / 20
    store = write_store(tmp_path / "store", signals, LEADS_12)
    whole = evaluate(model, store, "all", prior=prior)
    monkeypatch.setattr(pieces, "PIECE_SAMPLES", 240)
    in_pieces = evaluate(model, store, "all", prior=prior)
    assert in_pieces["prior"]["bits_per_second"] == pytest.approx(whole["prior"]["bits_per_second"], rel=1e-5)
    assert in_pieces["codebooks"] == whole["codebooks"]


@pytest.fixture
def labelled(tmp_path):
    columns = {"superclass": [["NORM"], ["MI"], ["CD"]], "statements": [["CLBBB"], ["AFIB"], ["CLBBB"]],
               "age": [20.0, 50.0, 80.0], "sex": [0, 1, 0]}
    signals = np.random.default_rng(0).normal(size=(3, 12, 300)).cumsum(-1) / 20
    return write_store(tmp_path / "labelled", signals, LEADS_12, **columns)


def test_the_condition_of_the_records_is_used_if_it_is_wanted(model, prior, labelled):
    unknown, known = (evaluate(model, labelled, "all", prior=prior, prior_condition=condition)["prior"]
                      for condition in (False, True))
    loaded, tokenizer = checkpoint.load_prior(prior), Tokenizer.load(model, "cpu")
    codes = loaded.layout.pack([torch.cat([torch.from_numpy(tokenizer.encode(labelled.record(row)).codes[number]
                                                            .astype(int))[None] for row in range(3)])
                                for number in range(2)])
    for report, vectors in ((unknown, None), (known, condition_vectors(labelled, loaded.condition))):
        bits = -float(loaded.log_prob(codes, vectors).mean()) / math.log(2) * 2 * 100 / 6
        assert report["bits_per_second"] == pytest.approx(bits, rel=1e-4)
    assert known["condition"] and unknown["bits_per_second"] != known["bits_per_second"]


def test_the_rate_at_the_command_line_and_in_the_card(model, prior, labelled, tmp_path):
    folder = checkpoint.save(checkpoint.load(model), tmp_path / "mine")
    result = call("evaluate", folder, labelled.path, "--split", "all", "--prior", prior, "--save")
    report = read_reports(folder)["all"]
    assert report.prior is not None and report.rows[1].prior_bits_per_second == report.prior.bits_per_second
    for text in ("prior bit/s", f"{report.prior.bits_per_second:.0f}", "it sends all 2 codebooks", "no condition",
                 f"{100 * report.prior.share:.1f} % of the entropy"):
        assert text in result.stdout
    card = " ".join(model_card(folder).split())
    assert f"{report.prior.bits_per_second:.0f} bit/s for 2 codebooks with an ideal entropy coder" in card
    printed = call("evaluate", folder, labelled.path, "--split", "all", "--prior", prior, "--prior-condition", "--json")
    assert json.loads(printed.stdout)["prior"]["condition"] is True
    seen = checkpoint.save_prior(checkpoint.load_prior(prior), tmp_path / "seen", model,
                                 data=measure_training_data(labelled, [0, 1], checkpoint.load(model).signal))
    warned = call("evaluate", folder, labelled.path, "--split", "all", "--prior", seen)
    for text in (warned.stdout, warned.stderr):
        assert "2 of 3 records are in the prior's training data: its bit rate is too low" in text
    save_report(folder, evaluate(folder, labelled, "all"))
    assert read_reports(folder)["all"].prior is None


def test_what_does_not_fit_is_refused_in_one_line(model, prior, store, random_model, random_prior, tiny_settings,
                                                  tmp_path, monkeypatch):
    other = checkpoint.save(random_model(tiny_settings(), seed=1), tmp_path / "other")
    monkeypatch.setattr("ecgvae.evaluation.reconstruction.in_background", None)      # before all work
    assert "stands on the model" in mistake("evaluate", other, store, "--prior", prior)
    assert "is not an ecgvae prior" in mistake("evaluate", model, store, "--prior", tmp_path)
    assert "wanted --prior too" in mistake("evaluate", model, store, "--prior-condition")
    assert "has no column" in mistake("evaluate", model, store, "--split", "all", "--prior", prior, "--prior-condition")
    codebooks = (CodebookSpec(6, 32),)
    plain = checkpoint.save_prior(random_prior(codebooks, condition=None), tmp_path / "plain", model)
    assert "is a prior without a condition" in mistake("evaluate", model, store, "--split", "all", "--prior", plain,
                                                       "--prior-condition")
    masked = checkpoint.save_prior(random_prior(codebooks, kind="masked"), tmp_path / "masked", model)
    assert "of kind masked, which has no exact probabilities" in mistake("evaluate", model, store, "--split", "all",
                                                                         "--prior", masked)
