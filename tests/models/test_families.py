"""The contract of `Autoencoder`, tested for every family with every backbone."""

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn

import ecgvae.tokenizer
from ecgvae import checkpoint
from ecgvae.models import FAMILIES, QuantizedAutoencoder, build
from ecgvae.nn import gaussian
from ecgvae.signal import LEADS_12, Record, conform
from ecgvae.synthetic import simulate
from ecgvae.tokenizer import Tokenizer

CASES = [(family, backbone) for family in FAMILIES for backbone in ("conv", "transformer")]
QUANTIZED_CASES = [case for case in CASES if issubclass(FAMILIES[case[0]][1], QuantizedAutoencoder)]
each_case = pytest.mark.parametrize(("family", "backbone"), CASES)
each_quantized_case = pytest.mark.parametrize(("family", "backbone"), QUANTIZED_CASES)


@pytest.fixture(scope="module")
def cached_model(tiny_settings, random_model):
    """Makes the model of a case, one for all tests, which must not change it."""
    models = {}

    def model(family, backbone):
        if (family, backbone) not in models:
            models[family, backbone] = random_model(tiny_settings(family, backbone))
        return models[family, backbone]

    return model


def random_signal(model, count=6, samples=120, seed=1):
    """Smooth noise; 6 items divide equally among the numbers of codebooks that a small model trains for."""
    noise = torch.randn(count, len(model.signal.coded), samples + 4, generator=torch.Generator().manual_seed(seed))
    return noise.unfold(2, 5, 1).mean(3)


def training_loss(model, x):
    result = model(x)
    return (result.signal - x).square().mean() + sum(result.losses.values())


def ecg_record(seconds, rate=100) -> Record:
    """A simulated ECG that repeats every 10 s."""
    beats = simulate("normal", seconds=10, rate=rate, seed=1)
    return Record(np.tile(beats.signal, seconds // 10), rate, beats.leads, "ecg")


def model_input(model, record) -> torch.Tensor:
    """The coded leads of a record, (1, c, t), at the model's rate."""
    return torch.from_numpy(conform(record, model.signal).signal)[None]


# --- shapes and gradients


@each_case
def test_output_has_the_length_of_the_input(cached_model, family, backbone):
    model = cached_model(family, backbone)
    assert model.hop == 6 and model.total_hop % model.hop == 0
    for samples in (1, model.hop - 1, model.hop, model.hop + 1, model.total_hop + 1, 997):
        x = random_signal(model, 2, samples)
        with torch.no_grad():
            z = model.encode(x)
            assert z.shape == model.features(x).shape == (2, 8, -(-samples // model.hop))
            assert model(x).signal.shape == x.shape
            reconstructions, reconstruction = list(model.reconstructions(x)), model.reconstruct(x)
        assert [y.shape for y in reconstructions] == [x.shape] * max(1, len(model.codebook_specs))
        assert torch.equal(reconstructions[-1], reconstruction)


@each_case
def test_every_parameter_gets_a_gradient(tiny_settings, random_model, family, backbone):
    model = random_model(tiny_settings(family, backbone)).train()
    training_loss(model, random_signal(model)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert any(model.last_layer is parameter for parameter in model.parameters())


@each_case
def test_bfloat16_gives_finite_numbers(tiny_settings, random_model, family, backbone):
    model = random_model(tiny_settings(family, backbone)).train()
    x = random_signal(model)
    with torch.autocast("cpu", torch.bfloat16):
        result = model(x)
        loss = (result.signal - x).square().mean() + sum(result.losses.values())
    loss.backward()
    values = [result.signal, *result.losses.values(), *result.stats.values()]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in values)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(buffer.isfinite().all() for buffer in model.buffers())


@each_case
def test_training_fits_one_batch(tiny_settings, family, backbone):
    torch.manual_seed(0)
    model = build(tiny_settings(family, backbone, latent=16)).train()
    x = torch.cat([model_input(model, ecg_record(10))[..., start:start + 120] for start in range(0, 720, 120)])
    optimizer, errors = torch.optim.Adam(model.parameters(), 0.003), []
    for _ in range(60):
        result = model(x)
        error = (result.signal - x).square().mean() / x.var()
        optimizer.zero_grad()
        (error + sum(result.losses.values())).backward()
        optimizer.step()
        errors.append(error.item())
    assert sum(errors[-5:]) / 5 < errors[0] / 2


# --- determinism


@each_case
def test_encoding_does_not_depend_on_training_mode_or_change_the_model(cached_model, family, backbone):
    model = cached_model(family, backbone)
    x = random_signal(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        z, y = model.encode(x), model.reconstruct(x)
        try:
            model.train()
            torch.manual_seed(3)
            assert torch.equal(model.encode(x), z) and torch.equal(model.reconstruct(x), y)
        finally:
            model.eval()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@each_case
def test_a_loaded_model_gives_the_same_reconstruction(cached_model, family, backbone, tmp_path):
    model = cached_model(family, backbone)
    loaded = checkpoint.load(checkpoint.save(model, tmp_path / "model"))
    x = random_signal(model)
    assert loaded.settings == model.settings and loaded.context == model.context
    with torch.no_grad():
        assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))


@each_case
def test_the_order_of_leads_changes_nothing(cached_model, family, backbone):
    model, record = cached_model(family, backbone), ecg_record(10, rate=250)
    order = np.random.default_rng(1).permutation(12)
    shuffled = Record(record.signal[order], record.rate, tuple(record.leads[row] for row in order))
    with torch.no_grad():
        expected, y = (model.reconstruct(model_input(model, item)) for item in (record, shuffled))
    torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert expected.std() > 0.01


# --- codes


@each_quantized_case
def test_codes_round_trip(cached_model, family, backbone):
    model = cached_model(family, backbone)
    x = random_signal(model, 3, 301)
    with torch.no_grad():
        codes, reconstructions = model.tokenize(x), list(model.reconstructions(x))
        for count, y in enumerate(reconstructions, 1):
            assert torch.equal(model.detokenize(codes[:count], 301), y)
            assert all(map(torch.equal, model.tokenize(x, count), codes[:count]))
            assert len(model.tokenize(x, count)) == count
    for row, (hop, size) in zip(codes, map(astuple, model.codebook_specs), strict=True):
        assert row.shape == (3, -(-301 // hop)) and row.dtype == torch.long and model.total_hop % hop == 0
        assert 0 <= row.min() < row.max() < size
    assert all((fewer - more).abs().max() > 1e-3 for fewer, more in pairwise(reconstructions))


@each_quantized_case
def test_chunks_give_the_codes_of_the_whole_record(cached_model, monkeypatch, family, backbone):
    model = cached_model(family, backbone)
    tokenizer = Tokenizer(model)
    monkeypatch.setattr(ecgvae.tokenizer.tokenizer, "CHUNK_SAMPLES", 120)
    record = ecg_record(20)
    tokens = tokenizer.encode(record)
    with torch.inference_mode():
        whole = model.tokenize(model_input(model, record))
        signal = model.detokenize(whole, 2000)[0].numpy()
    equal = [codes == row[0].numpy() for codes, row in zip(tokens.codes, whole, strict=True)]
    assert max(len(np.unique(codes)) for codes in tokens.codes) > 8
    if backbone == "conv":
        assert all(row.all() for row in equal)
    else:
        assert np.concatenate(equal).mean() > 0.99
    decoded = tokenizer.decode_coded_leads([row[0].numpy() for row in whole], 2000)
    np.testing.assert_allclose(decoded, signal, atol=1e-4 * np.abs(signal).max())


@each_case
def test_samples_beyond_the_context_have_no_effect(cached_model, family, backbone):
    model = cached_model(family, backbone)
    context, total_hop = sum(model.context), model.total_hop
    start = -(-context // total_hop) * total_hop
    x = random_signal(model, 2, 2 * start + 4 * total_hop)
    changed = x.clone()
    changed[..., :start - context] += 1
    changed[..., start + total_hop + context:] -= 1
    with torch.no_grad():
        y, y_changed = model.reconstruct(x), model.reconstruct(changed)
    middle = slice(start, start + total_hop)
    assert not torch.equal(y, y_changed)
    torch.testing.assert_close(y_changed[..., middle], y[..., middle], rtol=1e-4, atol=1e-4 * float(y.abs().max()))


# --- any ECG


@each_case
@pytest.mark.parametrize("spec", [{"leads": ("II",)}, {"rate": 500}, {"leads": ("III", "II", "V5"), "rate": 257.5}])
def test_other_leads_and_rates_work(tiny_settings, random_model, family, backbone, spec):
    model = random_model(tiny_settings(family, backbone, signal=spec))
    x = model_input(model, ecg_record(10, 360))
    assert x.shape == (1, len(model.signal.coded), -(-3600 * model.signal.rate // 360))
    with torch.no_grad():
        y = model.all_leads(model.reconstruct(x))
    assert y.shape == (1, len(spec.get("leads", LEADS_12)), x.shape[-1])
    assert y.isfinite().all() and y.std() > 0.01


@each_case
def test_half_an_hour_of_12_leads_works(cached_model, family, backbone):
    model, record = cached_model(family, backbone), ecg_record(1800)
    with torch.inference_mode():
        y = model.all_leads(model.reconstruct(model_input(model, record)))[0].numpy()
    assert y.shape == (12, 180_000) and np.isfinite(y).all() and y[:, -1000:].std() > 0.01
    if model.codebook_specs:
        tokenizer = Tokenizer(model)
        decoded = tokenizer.decode(tokenizer.encode(record))
        assert decoded.signal.shape == (12, 180_000)
        assert np.abs(decoded.signal - y).mean() < 0.01 * np.abs(y).mean()


# --- two processes


def noise_of_process(rank, processes):
    """Replaces `standard_normal`, so that an item has the same noise in one process as in several."""
    def standard_normal(like, generator=None):
        whole = torch.randn(processes * len(like), *like.shape[1:], generator=torch.Generator().manual_seed(5))
        return whole[rank * len(like):(rank + 1) * len(like)]
    return standard_normal


def gradients_of_pass(model, network, x) -> dict[str, torch.Tensor]:
    """Gradients and buffers after a training pass."""
    torch.manual_seed(9)
    result = network(x)
    ((result.signal - x).square().mean() + sum(result.losses.values())).backward()
    return {**{name: parameter.grad for name, parameter in model.named_parameters()}, **dict(model.named_buffers())}


def train_in_process(rank, folder, models):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    gaussian.standard_normal = noise_of_process(rank, 2)
    values = {}
    for case, (settings, state) in models.items():
        model = build(settings).train()
        model.load_state_dict(state)
        x = random_signal(model, 12)[6 * rank:6 * rank + 6]
        values[case] = gradients_of_pass(model, nn.parallel.DistributedDataParallel(model), x)
    torch.save(values, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def process_results(cached_model, tmp_path_factory):
    """Gradients and buffers of every case in two processes, which are started once for all cases."""
    folder = tmp_path_factory.mktemp("processes")
    models = {case: (cached_model(*case).settings, cached_model(*case).state_dict()) for case in CASES}
    multiprocessing.spawn(train_in_process, (str(folder), models), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
@each_case
def test_two_processes_have_the_gradients_of_one(process_results, cached_model, monkeypatch, family, backbone):
    model = build(cached_model(family, backbone).settings).train()
    model.load_state_dict(cached_model(family, backbone).state_dict())
    monkeypatch.setattr(gaussian, "standard_normal", noise_of_process(0, 1))
    expected = gradients_of_pass(model, model, random_signal(model, 12))
    first, second = (values[family, backbone] for values in process_results)
    assert expected.keys() == first.keys() == second.keys()
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        scale = float(value.float().abs().max())
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-5 * (1 + scale), msg=name)
