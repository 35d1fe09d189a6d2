"""The report's numbers against a plain computation of the same, for every kind of model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import call, mistake
from scipy.signal import welch

from ecgvae import checkpoint, metrics
from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.evaluation import batches
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.models import parse_settings
from ecgvae.signal import conform, read_record, write_record
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.tokenizer import Tokenizer

FAMILIES = {
    "vqvae": {"family": "vqvae", "codebooks": 3, "codebook_size": 32},
    "vqvae2": {"family": "vqvae2", "codebooks": 2, "codebook_size": 32,
               "coarse": ({"ratio": 2, "codebook_size": 16},)},
    "ae": {"family": "ae", "span": 5},
    "cvae": {"family": "cvae", "condition": {"labels": ("NORM", "MI"), "leads": ("I", "II")}},
}
CONTINUOUS = {"ae": (8 * 100 / 30, "8 numbers every 300 ms"), "cvae": (8 * 100 / 6, "8 numbers every 60 ms")}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    for seed, condition in enumerate(CONDITIONS[:4]):
        write_record(simulate(condition, seconds=4 + seed // 2, rate=100, seed=seed), folder / "records")
    return build_store(folder / "records", folder / "store", workers=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_settings, random_model):
    folder = tmp_path_factory.mktemp("models")

    shared = {"latent": 8, "backbone": tiny_settings().backbone}
    return {name: checkpoint.save(random_model(parse_settings({**shared, **own})), folder / name)
            for name, own in FAMILIES.items()}


def errors(store, reconstructions) -> dict[str, np.ndarray]:
    """PRDN of every lead, and decibels between the mean spectra, of the reconstructions of all records in order."""
    prdn, spectra = [], []
    for row, y in enumerate(reconstructions):
        x = store.record(row).signal.astype(float)
        prdn += list(100 * np.linalg.norm(x - y, axis=1) / np.linalg.norm(x - x.mean(1, keepdims=True), axis=1))
        spectra.append([welch(signal, 100, nperseg=100)[1][:, 15:46] for signal in (x, y)])
    x, y = np.mean(spectra, axis=0)
    return {"prdn": np.array(prdn), "spectrum": np.abs(10 * np.log10(y / x)).mean()}


def test_report_is_what_a_plain_computation_gives(store, models):
    report = evaluate(models["vqvae"], store, split="all", batch_size=3)
    tokenizer = Tokenizer.load(models["vqvae"])
    tokens = [tokenizer.encode(store.record(row)) for row in range(len(store))]
    expected = errors(store, [tokenizer.decode(replace(item, codes=item.codes[:2])).signal for item in tokens])
    second = report["rows"][1]
    assert report["identity"] == checkpoint.identity(models["vqvae"]) and report["records"] == len(store)
    assert [row["codebooks"] for row in report["rows"]] == [1, 2, 3] and len(report["codebooks"]) == 3
    assert second["usage"] == min(codebook["usage"] for codebook in report["codebooks"][:2])
    assert second["prdn"]["mean"] == pytest.approx(np.mean(expected["prdn"]), rel=1e-4)
    assert second["prdn"]["p95"] == pytest.approx(np.percentile(expected["prdn"], 95), rel=1e-4)
    assert second["spectrum_db"] == pytest.approx(expected["spectrum"], rel=1e-3)
    _, counts = np.unique(np.concatenate([item.codes[0] for item in tokens]), return_counts=True)
    share = counts / counts.sum()
    assert report["codebooks"][0]["entropy"] == pytest.approx(-(share * np.log2(share)).sum())
    assert report["codebooks"][0]["usage"] == len(counts) / 32
    assert [row["bits_per_second"] for row in report["rows"]] == pytest.approx([500 / 6, 1000 / 6, 1500 / 6])
    assert second["entropy_bits_per_second"] < second["bits_per_second"]


def test_codebooks_of_several_hops(store, models):
    report = evaluate(models["vqvae2"], store, split="all")
    assert [row["bits_per_second"] for row in report["rows"]] == pytest.approx(
        [4 * 100 / 12, 4 * 100 / 12 + 500 / 6, 4 * 100 / 12 + 1000 / 6])
    tokenizer = Tokenizer.load(models["vqvae2"])
    tokens = [tokenizer.encode(store.record(row)) for row in range(len(store))]
    for index, (use, size) in enumerate(zip(report["codebooks"], (16, 32, 32), strict=True)):
        assert use["usage"] == len(np.unique(np.concatenate([item.codes[index] for item in tokens]))) / size
    expected = errors(store, [tokenizer.decode(item).signal for item in tokens])
    assert report["rows"][2]["prdn"]["mean"] == pytest.approx(expected["prdn"].mean(), rel=1e-4)


@pytest.mark.parametrize("family", CONTINUOUS)
def test_continuous_models_have_one_row(store, models, family):
    report = evaluate(models[family], store, split="all")
    (row,), model = report["rows"], checkpoint.load(models[family])
    reconstructions = []
    for number in range(len(store)):
        x = torch.from_numpy(conform(store.record(number), model.signal).signal)[None]
        with torch.inference_mode():
            reconstructions.append(model.all_leads(next(model.reconstructions(x)))[0].numpy())
    expected = errors(store, reconstructions)
    assert row["prdn"]["mean"] == pytest.approx(expected["prdn"].mean(), rel=1e-3)
    assert row["spectrum_db"] == pytest.approx(expected["spectrum"], rel=1e-3)
    assert row["latent_per_second"] == pytest.approx(CONTINUOUS[family][0])
    assert report["codebooks"] == [] and "bits_per_second" not in row


@pytest.mark.parametrize("family", CONTINUOUS)
def test_continuous_models_at_the_command_line(store, models, family, tmp_path):
    table = call("evaluate", models[family], store.path, "--split", "all").stdout
    assert "numbers/s" in table and "spectrum dB" in table and "bit/s" not in table
    assert f"{CONTINUOUS[family][0]:.4f}"[:5] in table
    facts = json.loads(call("info", models[family], "--json").stdout)
    assert facts["latent"] == CONTINUOUS[family][1] and facts["family"] == family and "codebooks" not in facts
    record = next((store.path.parent / "records").glob("*.hea")).with_suffix("")
    call("plot", record, "--out", tmp_path / "figure.png", "--model", models[family])
    assert (tmp_path / "figure.png").stat().st_size
    assert "which has no tokens" in mistake("tokenize", record, "--out", tmp_path / "t", "--model", models[family])


def test_a_store_of_another_rate_is_measured_at_its_own(models, records, tmp_path):
    store = build_store(records, tmp_path / "store", rate=200, workers=1)
    report = evaluate(models["vqvae"], store, split="all")
    tokenizer, prdn = Tokenizer.load(models["vqvae"]), []
    for row in range(len(store)):
        record = store.record(row)
        decoded = tokenizer.decode(tokenizer.encode(record))
        assert decoded.signal.shape == record.signal.shape
        prdn.append(metrics.prdn(record.signal, decoded.signal))
    assert report["rows"][-1]["prdn"]["mean"] == pytest.approx(np.mean(prdn), rel=1e-4)


def test_a_record_is_reconstructed_as_the_tokenizer_decodes_it(models, records):
    record, tokenizer = read_record(records / "a"), Tokenizer.load(models["vqvae2"], "cpu")
    expected, actual = tokenizer.decode(tokenizer.encode(record)), batches.reconstruct_record(tokenizer.model, record)
    assert (actual.rate, actual.leads, actual.name) == (expected.rate, expected.leads, expected.name)
    np.testing.assert_allclose(actual.signal, expected.signal, atol=0.005)


def test_batches_have_records_of_one_length_and_every_row_once(store, models, monkeypatch):
    model, rows = checkpoint.load(models["ae"]), np.array([3, 0, 1])
    for samples, counts in ((1 << 18, [1, 2]), (1, [1, 1, 1])):
        monkeypatch.setattr(batches, "MAX_BATCH_SAMPLES", samples)
        drawn = list(batches.batches(model, store, rows))
        assert sorted(len(batch.x) for batch in drawn) == counts
        assert sorted(np.concatenate([batch.rows for batch in drawn])) == [0, 1, 3]
        for batch in drawn:
            for row, x in zip(batch.rows, batch.x, strict=True):
                np.testing.assert_array_equal(x, conform(store.record(row), model.signal).signal)


def test_an_empty_split_is_refused(store, models, monkeypatch):
    monkeypatch.setattr(Store, "split", lambda self, name: np.zeros(0, int))
    with pytest.raises(ValueError, match="no records in its validation split"):
        evaluate(models["vqvae"], store)
