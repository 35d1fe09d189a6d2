"""The report's numbers against a plain computation of the same."""

import numpy as np
import pytest

from ecgvae import checkpoint
from ecgvae.data.prepare import build_store
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.models import build, settings_of
from ecgvae.signal import write_record
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    for seed, condition in enumerate(CONDITIONS[:4]):
        write_record(simulate(condition, seconds=4 + seed, rate=100, seed=seed), folder / "records")
    return build_store(folder / "records", folder / "store", workers=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    half = {"widths": (16, 16), "dilations": ((1,), (1,))}
    settings = settings_of({"family": "vqvae", "latent": 16, "codebooks": 3, "codebook_size": 32,
                            "encoder": half, "decoder": half})
    return checkpoint.save(build(settings).eval(), tmp_path_factory.mktemp("model") / "tiny")


def test_report_is_what_a_plain_computation_gives(store, model):
    report = evaluate(model, store, split="all", batch_size=3)
    tokenizer, values, codes = Tokenizer.load(model), [], []
    for row in range(len(store)):
        true = store.record(row)
        made = tokenizer.decode(tokenizer.encode(true, codebooks=2))
        error = np.linalg.norm(true.signal - made.signal, axis=1)
        values += list(100 * error / np.linalg.norm(true.signal - true.signal.mean(1, keepdims=True), axis=1))
        codes.append(tokenizer.encode(true).codes[0])
    second = report["rows"][1]
    assert second["prdn"]["mean"] == pytest.approx(np.mean(values), rel=1e-4)
    assert second["prdn"]["p95"] == pytest.approx(np.percentile(values, 95), rel=1e-4)
    _, counts = np.unique(np.concatenate(codes), return_counts=True)
    share = counts / counts.sum()
    assert report["streams"][0]["entropy"] == pytest.approx(-(share * np.log2(share)).sum())
    assert report["streams"][0]["usage"] == len(counts) / 32
    assert [row["bits_per_second"] for row in report["rows"]] == [62.5, 125, 187.5]
    assert second["entropy_bits_per_second"] < second["bits_per_second"]


def test_an_empty_split_is_said(store, model):
    used = {name for name in ("train", "validation", "test") if len(store.split(name))}
    for name in {"train", "validation", "test"} - used:
        with pytest.raises(ValueError, match=f"no records in its {name} split"):
            evaluate(model, store, split=name)
    assert used != {"train", "validation", "test"}      # four records never fill ten folds' splits here
