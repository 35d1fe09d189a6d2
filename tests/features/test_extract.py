"""Features of records and arrays: windows, names, tables, and the scikit-learn transformer."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ecgvae import checkpoint
from ecgvae.features import POOLINGS, Extractor
from ecgvae.features.extract import extract
from ecgvae.features.sklearn import FeatureExtractor
from ecgvae.signal import LEADS_12, Record, conform
from ecgvae.synthetic import CONDITIONS, simulate


@pytest.fixture(scope="module")
def folder(tiny_settings, random_model, tmp_path_factory) -> str:
    return str(checkpoint.save(random_model(tiny_settings()), tmp_path_factory.mktemp("features") / "model"))


@pytest.fixture(scope="module")
def ecgs() -> list[Record]:
    return [simulate(condition, seconds=10, rate=100, seed=seed) for seed, condition in enumerate(CONDITIONS)]


@given(arrays(np.float32, st.tuples(st.just(2), st.just(3), st.integers(1, 40)),
              elements=st.floats(-100, 100, width=32)))
def test_statistics_are_those_of_numpy(frames):
    found = POOLINGS["stats"].compute(torch.from_numpy(frames)).numpy()
    steps = np.abs(np.diff(frames, axis=-1)) if frames.shape[-1] > 1 else np.zeros_like(frames)
    wanted = [frames.mean(-1), frames.std(-1), frames.min(-1), frames.max(-1), (frames > 0).mean(-1), steps.mean(-1),
              *np.quantile(frames, [0.05, 0.25, 0.75, 0.95], axis=-1)]
    np.testing.assert_allclose(found, np.stack(wanted, -1), rtol=1e-4, atol=2e-4)
    assert found.shape[-1] == len(POOLINGS["stats"].names)
    two = POOLINGS["mean-std"].compute(torch.from_numpy(frames)).numpy()
    np.testing.assert_array_equal(two, found[..., :2])
    np.testing.assert_array_equal(POOLINGS["mean"].compute(torch.from_numpy(frames)).numpy(), found[..., :1])


def test_a_row_has_the_pooled_layers_of_the_conformed_signal(folder, ecgs):
    extractor = Extractor.load(folder, ["layer2", "latent"], "mean-std", device="cpu")
    (features,) = extractor.extract(ecgs[:1])
    x = torch.from_numpy(conform(ecgs[0], extractor.model.signal).signal[None])
    maps = extractor.model.feature_maps(x)
    wanted = [torch.stack([maps[name].mean(-1), maps[name].std(-1, correction=0)], -1).flatten()
              for name in ("layer2", "latent")]
    np.testing.assert_allclose(features.values[0], torch.cat(wanted).detach(), rtol=1e-4, atol=1e-5)
    assert features.values.shape == (1, len(extractor.names)) and extractor.names[3] == "layer2.1.std"


@pytest.mark.parametrize(("seconds", "starts", "note"), [
    (4, [0], None), (10, [0], None), (13, [0], "the last 3.0 s are left out"), (15, [0, 10], None),
    (30, [0, 10, 20], None), (34.9, [0, 10, 20], "the last 4.9 s are left out")])
def test_long_records_give_a_row_a_window(folder, seconds, starts, note):
    record = simulate("normal", seconds=seconds, rate=250)
    extractor = Extractor.load(folder, device="cpu")
    (features,) = extractor.extract([record])
    assert features.seconds[:, 0].tolist() == starts
    assert [text for text in features.notes if "left out" in text] == ([note] if note else [])
    assert Extractor.load(folder, window=None, device="cpu").extract([record])[0].values.shape[0] == 1


def test_batches_change_nothing(folder, ecgs):
    extractor = Extractor.load(folder, device="cpu")
    together = extractor.extract(ecgs)
    for record, features in zip(ecgs, together, strict=True):
        np.testing.assert_allclose(extractor.extract([record])[0].values, features.values, rtol=1e-4, atol=1e-5)


def test_tables_and_arrays_have_the_same_features(folder, ecgs, tmp_path):
    table = extract(ecgs, folder, device="cpu")
    assert isinstance(table, pd.DataFrame) and table["record"].tolist() == [record.name for record in ecgs]
    assert list(table)[:4] == ["record", "start", "end", "notes"]
    signals = np.stack([record.signal for record in ecgs])
    array = extract(signals, folder, rate=100, leads=LEADS_12, device="cpu")
    np.testing.assert_array_equal(table.iloc[:, 4:].to_numpy(), array)
    listed = extract([signal[:, :length] for signal, length in zip(signals, range(500, 1000, 40), strict=False)],
                     folder, rate=100, leads=LEADS_12, device="cpu")
    assert listed.shape == array.shape and not np.allclose(listed, array)
    single = extract(torch.from_numpy(signals[0]), folder, rate=100, leads="standard-12", device="cpu")
    np.testing.assert_allclose(single, array[:1], rtol=1e-4, atol=1e-5)


def test_records_that_cannot_be_used_are_told(folder, ecgs):
    few = ecgs[1].select(["II", "V1"])
    with pytest.raises(ValueError, match="V2"):
        extract([ecgs[0], few], folder, device="cpu")
    told = []
    table = extract([ecgs[0], few], folder, device="cpu", on_error=lambda name, error: told.append((name, str(error))))
    assert len(table) == 1 and told[0][0] == few.name and "V2" in told[0][1]


@pytest.mark.parametrize(("source", "options", "message"), [
    (np.zeros((12, 100)), {}, "without rate= or leads="),
    (np.zeros((2, 3, 12, 100)), {"rate": 100, "leads": "standard-12"}, r"wanted numbers in mV, \(leads, samples\)"),
    ([np.zeros((2, 12, 100))], {"rate": 100, "leads": "standard-12"}, r"wanted \(leads, samples\) each"),
    (np.zeros((3, 100)), {"rate": 100, "leads": "standard-12"}, "3"),
    (3, {}, "wanted paths, a store, records or arrays"),
    ([], {}, "wanted paths, a store, records or arrays"),
])
def test_wrong_sources_are_told(folder, source, options, message):
    with pytest.raises(ValueError, match=message):
        extract(source, folder, device="cpu", **options)


@pytest.mark.parametrize(("options", "message"), [
    ({"layers": ["layer9"]}, "no layer 'layer9'"), ({"layers": []}, "no layers"), ({"pool": "max"}, "wanted one of"),
    ({"window": 0}, "window is 0"), ({"window": -1.0}, "window is -1")])
def test_wrong_options_are_told(folder, options, message):
    with pytest.raises(ValueError, match=message):
        Extractor.load(folder, device="cpu", **options)


def test_a_pipeline_learns_the_rhythm(folder, ecgs):
    x = np.stack([simulate(rhythm, seconds=10, rate=100, seed=seed).signal
                  for seed in range(8) for rhythm in ("sinus bradycardia", "sinus tachycardia")])
    y = np.tile([0, 1], 8)
    pipe = make_pipeline(FeatureExtractor(folder, device="cpu"), LogisticRegression())
    assert pipe.fit(x[:10], y[:10]).score(x[10:], y[10:]) == 1
    table = clone(pipe[0]).set_output(transform="pandas").fit_transform(x)
    assert list(table)[0] == "layer3.0.mean" and table.shape == (16, len(pipe[0].get_feature_names_out()))
    with pytest.raises(ValueError, match=r"ECGs of 3 channels; wanted leads="):
        FeatureExtractor(folder, device="cpu").fit(x[:, :3])
    with pytest.raises(ValueError, match=r"the extractor was fitted to 12"):
        pipe[0].transform(x[:, :8])
    with pytest.raises(ValueError, match=r"wanted \(n_cases, n_channels, n_timepoints\)"):
        FeatureExtractor(folder, device="cpu").fit(x[0])
