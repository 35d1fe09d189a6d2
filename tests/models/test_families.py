"""What every family with every backbone keeps: one contract, whatever it is made of."""

from dataclasses import astuple

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
QUANTIZING = [case for case in CASES if issubclass(FAMILIES[case[0]][1], QuantizedAutoencoder)]
each_case = pytest.mark.parametrize(("family", "backbone"), CASES)
each_quantizing = pytest.mark.parametrize(("family", "backbone"), QUANTIZING)


@pytest.fixture(scope="module")
def made(tiny, learned):
    """One model of each case, made once; tests leave it as it is."""
    models = {}

    def model(family, backbone):
        if (family, backbone) not in models:
            models[family, backbone] = learned(tiny(family, backbone))
        return models[family, backbone]

    return model


def signal(model, count=6, samples=120, seed=1):
    """Smooth noise; 6 items are as many for each of the rates a small model trains for."""
    noise = torch.randn(count, len(model.signal.coded), samples + 4, generator=torch.Generator().manual_seed(seed))
    return noise.unfold(2, 5, 1).mean(3)


def cost(model, x):
    result = model(x)
    return (result.signal - x).square().mean() + sum(result.losses.values())


def ecg(seconds, rate=100) -> Record:
    """Beats that come again every 10 s."""
    beats = simulate("normal", seconds=10, rate=rate, seed=1)
    return Record(np.tile(beats.signal, seconds // 10), rate, beats.leads, "ecg")


def conformed(model, record) -> torch.Tensor:
    return torch.from_numpy(conform(record, model.signal).signal)[None]


# --- shapes and gradients


@each_case
def test_output_has_the_inputs_length(made, family, backbone):
    model = made(family, backbone)
    assert model.hop == 6 and model.total_hop % model.hop == 0
    for samples in (1, model.hop - 1, model.hop, model.hop + 1, model.total_hop + 1, 997):
        x = signal(model, 2, samples)
        with torch.no_grad():
            z = model.encode(x)
            assert z.shape == model.features(x).shape == (2, 8, -(-samples // model.hop))
            assert model(x).signal.shape == x.shape
            every, last = list(model.reconstructions(x)), model.reconstruct(x)
        assert [y.shape for y in every] == [x.shape] * max(1, len(model.codebook_specs))
        assert torch.equal(every[-1], last)


@each_case
def test_every_parameter_gets_a_gradient(tiny, learned, family, backbone):
    model = learned(tiny(family, backbone)).train()
    cost(model, signal(model)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert any(model.last_layer is parameter for parameter in model.parameters())


@each_case
def test_bfloat16_gives_finite_numbers(tiny, learned, family, backbone):
    model = learned(tiny(family, backbone)).train()
    x = signal(model)
    with torch.autocast("cpu", torch.bfloat16):
        result = model(x)
        loss = (result.signal - x).square().mean() + sum(result.losses.values())
    loss.backward()
    values = [result.signal, *result.losses.values(), *result.stats.values()]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in values)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(buffer.isfinite().all() for buffer in model.buffers())


@each_case
def test_one_batch_is_learned(tiny, family, backbone):
    torch.manual_seed(0)
    model = build(tiny(family, backbone, latent=16)).train()
    x = torch.cat([conformed(model, ecg(10))[..., start:start + 120] for start in range(0, 720, 120)])
    optimizer, errors = torch.optim.Adam(model.parameters(), 0.003), []
    for _ in range(60):
        result = model(x)
        error = (result.signal - x).square().mean() / x.var()
        optimizer.zero_grad()
        (error + sum(result.losses.values())).backward()
        optimizer.step()
        errors.append(error.item())
    assert sum(errors[-5:]) / 5 < errors[0] / 2


# --- the same answer every time


@each_case
def test_coding_depends_on_no_mode_and_changes_nothing(made, family, backbone):
    model = made(family, backbone)
    x = signal(model)
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
def test_saved_and_loaded_gives_the_same(made, family, backbone, tmp_path):
    model = made(family, backbone)
    loaded = checkpoint.load(checkpoint.save(model, tmp_path / "model"))
    x = signal(model)
    assert loaded.settings == model.settings and loaded.context == model.context
    with torch.no_grad():
        assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))


@each_case
def test_a_lead_permutation_changes_nothing(made, family, backbone):
    model, record = made(family, backbone), ecg(10, rate=250)
    order = np.random.default_rng(1).permutation(12)
    shuffled = Record(record.signal[order], record.rate, tuple(record.leads[row] for row in order))
    with torch.no_grad():
        one, other = (model.reconstruct(conformed(model, item)) for item in (record, shuffled))
    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4 * float(one.abs().max()))
    assert one.std() > 0.01


# --- codes


@each_quantizing
def test_codes_round_trip(made, family, backbone):
    model = made(family, backbone)
    x = signal(model, 3, 301)
    with torch.no_grad():
        codes, every = model.tokenize(x), list(model.reconstructions(x))
        for count, y in enumerate(every, 1):
            assert torch.equal(model.detokenize(codes[:count], 301), y)
            assert all(map(torch.equal, model.tokenize(x, count), codes[:count]))
            assert len(model.tokenize(x, count)) == count
    for stream, (hop, size) in zip(codes, map(astuple, model.codebook_specs), strict=True):
        assert stream.shape == (3, -(-301 // hop)) and stream.dtype == torch.long and model.total_hop % hop == 0
        assert 0 <= stream.min() < stream.max() < size
    assert all((one - other).abs().max() > 1e-3 for one, other in zip(every, every[1:], strict=False))


@each_quantizing
def test_a_long_record_is_coded_as_at_once(made, monkeypatch, family, backbone):
    model = made(family, backbone)
    tokenizer = Tokenizer(model)
    monkeypatch.setattr(ecgvae.tokenizer, "CHUNK_SAMPLES", 120)
    record = ecg(20)
    tokens = tokenizer.encode(record)
    with torch.inference_mode():
        whole = model.tokenize(conformed(model, record))
        signal = model.detokenize(whole, 2000)[0].numpy()
    same = [codes == stream[0].numpy() for codes, stream in zip(tokens.codes, whole, strict=True)]
    assert max(len(np.unique(codes)) for codes in tokens.codes) > 8
    if backbone == "conv":
        assert all(stream.all() for stream in same)
    else:
        assert np.concatenate(same).mean() > 0.99
    decoded = tokenizer.decode_coded_leads([stream[0].numpy() for stream in whole], 2000)
    np.testing.assert_allclose(decoded, signal, atol=1e-4 * np.abs(signal).max())


@each_case
def test_beyond_its_reach_nothing_changes(made, family, backbone):
    model = made(family, backbone)
    context, total_hop = sum(model.context), model.total_hop
    start = -(-context // total_hop) * total_hop
    x = signal(model, 2, 2 * start + 4 * total_hop)
    bent = x.clone()
    bent[..., :start - context] += 1
    bent[..., start + total_hop + context:] -= 1
    with torch.no_grad():
        y, other = model.reconstruct(x), model.reconstruct(bent)
    own = slice(start, start + total_hop)
    assert not torch.equal(y, other)
    torch.testing.assert_close(other[..., own], y[..., own], rtol=1e-4, atol=1e-4 * float(y.abs().max()))


# --- any ECG


@each_case
@pytest.mark.parametrize("spec", [{"leads": ("II",)}, {"rate": 500}, {"leads": ("III", "II", "V5"), "rate": 257.5}])
def test_other_leads_and_rates_work(tiny, learned, family, backbone, spec):
    model = learned(tiny(family, backbone, signal=spec))
    x = conformed(model, ecg(10, 360))
    assert x.shape == (1, len(model.signal.coded), -(-3600 * model.signal.rate // 360))
    with torch.no_grad():
        y = model.all_leads(model.reconstruct(x))
    assert y.shape == (1, len(spec.get("leads", LEADS_12)), x.shape[-1])
    assert y.isfinite().all() and y.std() > 0.01


@each_case
def test_half_an_hour_of_12_leads_works(made, family, backbone):
    model, record = made(family, backbone), ecg(1800)
    with torch.inference_mode():
        y = model.all_leads(model.reconstruct(conformed(model, record)))[0].numpy()
    assert y.shape == (12, 180_000) and np.isfinite(y).all() and y[:, -1000:].std() > 0.01
    if model.codebook_specs:
        tokenizer = Tokenizer(model)
        decoded = tokenizer.decode(tokenizer.encode(record))
        assert decoded.signal.shape == (12, 180_000)
        assert np.abs(decoded.signal - y).mean() < 0.01 * np.abs(y).mean()


# --- two processes


def share_of_noise(rank, processes):
    """In place of a posterior's noise: every item has its own, whichever process it is in."""
    def normal(like, generator=None):
        whole = torch.randn(processes * len(like), *like.shape[1:], generator=torch.Generator().manual_seed(5))
        return whole[rank * len(like):(rank + 1) * len(like)]
    return normal


def one_pass(model, network, x) -> dict[str, torch.Tensor]:
    """Gradients and buffers after a training pass."""
    torch.manual_seed(9)
    result = network(x)
    ((result.signal - x).square().mean() + sum(result.losses.values())).backward()
    return {**{name: parameter.grad for name, parameter in model.named_parameters()}, **dict(model.named_buffers())}


def one_of_two(rank, folder, models):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    gaussian.standard_normal = share_of_noise(rank, 2)
    values = {}
    for case, (settings, state) in models.items():
        model = build(settings).train()
        model.load_state_dict(state)
        x = signal(model, 12)[6 * rank:6 * rank + 6]
        values[case] = one_pass(model, nn.parallel.DistributedDataParallel(model), x)
    torch.save(values, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(made, tmp_path_factory):
    """What both processes have of every case; they are started once."""
    folder = tmp_path_factory.mktemp("processes")
    models = {case: (made(*case).settings, made(*case).state_dict()) for case in CASES}
    multiprocessing.spawn(one_of_two, (str(folder), models), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
@each_case
def test_two_processes_learn_what_one_learns_from_both_batches(two_processes, made, monkeypatch, family, backbone):
    model = build(made(family, backbone).settings).train()
    model.load_state_dict(made(family, backbone).state_dict())
    monkeypatch.setattr(gaussian, "standard_normal", share_of_noise(0, 1))
    alone = one_pass(model, model, signal(model, 12))
    first, second = (values[family, backbone] for values in two_processes)
    assert alone.keys() == first.keys() == second.keys()
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        scale = float(value.float().abs().max())
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-5 * (1 + scale), msg=name)
