"""Quantizers of latents against vector-quantize-pytorch, alone and in two processes."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile
from vector_quantize_pytorch import ResidualVQ, SimVQ, VectorQuantize

from ecgvae.nn.quantize import QUANTIZERS, ResidualVectorQuantizer, rotation_trick

DIM, SIZE = 6, 16


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def begin(quantizer, codes):
    """Start its books at given codes instead of by k-means."""
    for level, start in zip(quantizer.quantizers, codes, strict=True):
        level.codebook.embeddings.data.copy_(start)
        level.codebook.initialized.fill_(True)
    return quantizer


def oracle(codes, **options):
    """vector-quantize-pytorch with the same start; what it has and we have not is switched off."""
    straight = {"rotation_trick": False, "decay": 0.9, "eps": 0, "channel_last": False} | options
    quantizer = VectorQuantize(DIM, len(codes), **straight)
    quantizer._codebook.embed.data.copy_(codes)
    if "embed_avg" in dict(quantizer._codebook.named_buffers()):
        quantizer._codebook.embed_avg.copy_(codes)
    return quantizer


# --- one level


def test_averages_follow_as_the_oracles():
    start = normal(SIZE, DIM)
    ours, theirs = begin(ResidualVectorQuantizer(DIM, SIZE, decay=0.9, dead_code_threshold=0), [start]), oracle(start)
    for step in range(6):
        x = normal(3, DIM, 20, seed=step) + step / 3
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        result = ours(a)
        quantized, codes, loss = theirs(b)
        weights = normal(3, DIM, 20, seed=100 + step)
        (result.losses["commitment"] + (result.z * weights).sum()).backward()
        (loss.sum() + (quantized * weights).sum()).backward()
        assert torch.equal(result.codes[:, 0], codes)
        torch.testing.assert_close(result.z, quantized)
        torch.testing.assert_close(result.losses["commitment"], loss.squeeze())
        torch.testing.assert_close(a.grad, b.grad)
        torch.testing.assert_close(ours.quantizers[0].codebook.embeddings, theirs.codebook, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.quantizers[0].codebook.cluster_size, theirs._codebook.cluster_size[0])
    assert (ours.quantizers[0].codebook.embeddings - start).abs().max() > 0.1


def test_straight_through_gives_codes_forward_and_the_identity_backward():
    quantizer = begin(ResidualVectorQuantizer(DIM, SIZE), [normal(SIZE, DIM)])
    z, weights = normal(2, DIM, 9, seed=1).requires_grad_(), normal(2, DIM, 9, seed=2)
    result = quantizer.eval()(z)
    torch.testing.assert_close(result.z, quantizer.decode(result.codes))
    assert torch.equal(torch.autograd.grad((result.z * weights).sum(), z)[0], weights)


def test_rotation_is_the_oracles():
    start = normal(SIZE, DIM)
    ours = begin(ResidualVectorQuantizer(DIM, SIZE, decay=0.9, dead_code_threshold=0, gradient="rotation"), [start])
    theirs = oracle(start, rotation_trick=True)
    x, weights = normal(2, DIM, 30, seed=3), normal(2, DIM, 30, seed=4)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    result, (quantized, codes, _) = ours(a), theirs(b)
    (result.z * weights).sum().backward()
    (quantized * weights).sum().backward()
    assert torch.equal(result.codes[:, 0], codes)
    torch.testing.assert_close(result.z, quantized)
    torch.testing.assert_close(a.grad, b.grad)
    assert not torch.allclose(a.grad, weights, atol=0.1)


def test_rotation_gives_the_code_itself_whatever_the_row():
    codes = normal(4, DIM)
    rows = torch.stack([torch.zeros(DIM), -codes[1], codes[2], 1e-9 * codes[3]]).requires_grad_()
    out = rotation_trick(rows, codes)
    assert torch.equal(out, codes)
    assert torch.autograd.grad(out.sum(), rows)[0].isfinite().all()


def test_a_learned_book_gets_both_losses():
    quantizer = begin(ResidualVectorQuantizer(DIM, SIZE, decay=None), [normal(SIZE, DIM)])
    z = normal(2, DIM, 9, seed=1).requires_grad_()
    result = quantizer(z)
    rows = z.detach().mT.flatten(0, 1)
    chosen = quantizer.quantizers[0].codebook.embeddings.detach()[result.codes.flatten()]
    error = (rows - chosen).square().mean()
    torch.testing.assert_close(result.losses, {"commitment": error, "codebook": error})
    to_rows, = torch.autograd.grad(result.losses["commitment"], z, retain_graph=True)
    torch.testing.assert_close(to_rows.mT.flatten(0, 1), 2 * (rows - chosen) / rows.numel())
    to_codes, = torch.autograd.grad(result.losses["codebook"], quantizer.quantizers[0].codebook.embeddings)
    wanted = torch.zeros(SIZE, DIM).index_add_(0, result.codes.flatten(), 2 * (chosen - rows) / rows.numel())
    torch.testing.assert_close(to_codes, wanted)
    assert set(ResidualVectorQuantizer(DIM, SIZE)(z).losses) == {"commitment"}


def test_factorized_and_normalized_codes_are_the_oracles():
    ours = ResidualVectorQuantizer(DIM, SIZE, code_dim=3, normalize=True).eval()
    begin(ours, [normal(SIZE, 3)])
    theirs = VectorQuantize(DIM, SIZE, codebook_dim=3, use_cosine_sim=True, channel_last=False).eval()
    theirs.codebook = F.normalize(normal(SIZE, 3), dim=-1)
    theirs.project_in.load_state_dict(ours.quantizers[0].project_in.state_dict())
    theirs.project_out.load_state_dict(ours.quantizers[0].project_out.state_dict())
    x = normal(4, DIM, 50, seed=5)
    result, (quantized, codes, _) = ours(x), theirs(x)
    assert torch.equal(result.codes[:, 0], codes)
    assert len(codes.unique()) > 5
    torch.testing.assert_close(result.z, quantized)


def test_normalized_codes_stay_on_the_sphere_while_they_follow():
    quantizer = ResidualVectorQuantizer(DIM, SIZE, normalize=True, decay=0.5)
    for step in range(3):
        result = quantizer(normal(2, DIM, 40, seed=step) * 9)
    torch.testing.assert_close(quantizer.quantizers[0].codebook.vectors.norm(dim=1), torch.ones(SIZE))
    torch.testing.assert_close(result.z.norm(dim=1), torch.ones(2, 40))


def test_what_is_unknown_is_refused():
    with pytest.raises(ValueError, match=r"^gradient is 'x'; it must be one of straight-through, rotation$"):
        ResidualVectorQuantizer(DIM, SIZE, gradient="x")
    with pytest.raises(ValueError, match=r"^kind is 'x'; it must be one of vq, simvq, fsq$"):
        ResidualVectorQuantizer(DIM, SIZE, kind="x")


@pytest.mark.parametrize("gradient", ["straight-through", "rotation"])
def test_simvq_is_the_oracles(gradient):
    ours = ResidualVectorQuantizer(DIM, SIZE, kind="simvq", gradient=gradient)
    theirs = SimVQ(DIM, SIZE, channel_first=True, rotation_trick=gradient == "rotation")
    book = ours.quantizers[0].codebook
    book.embeddings.copy_(theirs.frozen_codebook)
    book.projection.data.copy_(theirs.code_transform.weight.T)
    book.initialized.fill_(True)
    a, b = normal(2, DIM, 40).requires_grad_(), normal(2, DIM, 40).requires_grad_()
    result, (quantized, codes, loss) = ours(a), theirs(b)
    ours_loss, weights = result.losses["codebook"] + 0.25 * result.losses["commitment"], normal(2, DIM, 40, seed=1)
    (ours_loss + (result.z * weights).sum()).backward()
    (loss + (quantized * weights).sum()).backward()
    assert torch.equal(result.codes[:, 0], codes)
    torch.testing.assert_close(result.z, quantized)
    torch.testing.assert_close(ours_loss, loss)
    torch.testing.assert_close(a.grad, b.grad)
    torch.testing.assert_close(book.projection.grad, theirs.code_transform.weight.grad.T)
    torch.testing.assert_close(ours.decode(result.codes), theirs.indices_to_codes(codes))


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_every_kind_encodes_as_it_trains_and_starts_with_the_first_batch(kind):
    torch.manual_seed(0)
    quantizer, z = ResidualVectorQuantizer(DIM, SIZE, 3, kind=kind), normal(4, DIM, 100) * 0.1 + 3
    assert all(level.size == SIZE for level in quantizer.quantizers)
    error = (quantizer(z).z - z).square().mean()
    assert error < 0.5 * z.var()
    trained = quantizer.eval()(z)
    assert torch.equal(quantizer.encode(z), trained.codes)
    torch.testing.assert_close(quantizer.decode(trained.codes), trained.z)
    assert torch.equal(quantizer.encode(z, 2), trained.codes[:, :2])


def test_perplexity_counts_evenly_used_codes():
    quantizer = begin(ResidualVectorQuantizer(1, 4), [torch.tensor([[0.], [1.], [2.], [3.]])]).eval()
    assert quantizer(torch.tensor([[[0., 1., 1., 0.]]])).stats["perplexity"] == pytest.approx(2)
    assert quantizer(torch.tensor([[[0., 1., 2., 3.]]])).stats["perplexity"] == pytest.approx(4)


def test_the_first_training_batch_starts_the_book_and_evaluation_does_not():
    quantizer = ResidualVectorQuantizer(DIM, SIZE)
    x = 50 + normal(2, DIM, 40)
    quantizer.eval()(x)
    assert not quantizer.quantizers[0].codebook.initialized
    error = quantizer.train()(x).losses["commitment"]
    assert quantizer.quantizers[0].codebook.initialized
    assert error < x.var() / 2


def test_evaluation_changes_nothing():
    quantizer = begin(ResidualVectorQuantizer(DIM, SIZE), [normal(SIZE, DIM)]).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(normal(2, DIM, 30, seed=1))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def most_allocated(action) -> int:
    """Bytes of the largest piece of memory that was taken at once."""
    action()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        action()
    return max(event.self_cpu_memory_usage for event in profiled.events())


@pytest.mark.parametrize("decay", [0.99, None])
def test_memory_is_a_small_part_of_all_distances(decay):
    rows, size = 20_000, 4096
    quantizer = begin(ResidualVectorQuantizer(8, size, decay=decay, dead_code_threshold=0), [normal(size, 8)])
    z = normal(1, 8, rows).requires_grad_()

    def step():
        result = quantizer(z)
        (result.z.sum() + sum(result.losses.values())).backward()

    every_distance = 4 * rows * size
    assert most_allocated(step) < every_distance / 15
    assert most_allocated(lambda: torch.zeros(rows, size)) >= every_distance     # or the measure is blind


# --- residual

VARIANTS = [{}, {"decay": None}, {"gradient": "rotation"}, {"code_dim": 3, "normalize": True},
            {"code_dim": 3, "gradient": "rotation", "decay": None}]


def residual(levels=4, **options):
    """Books that get finer, as residuals do."""
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(DIM, SIZE, levels, **options)
    width = options.get("code_dim", DIM)
    return begin(quantizer, [normal(SIZE, width, seed=level) / 1.5**level for level in range(levels)])


def test_residual_codes_and_sums_are_the_oracles():
    ours = residual().eval()
    theirs = ResidualVQ(dim=DIM, num_quantizers=4, codebook_size=SIZE).eval()
    for level, layer in zip(ours.quantizers, theirs.layers, strict=True):
        layer.codebook = level.codebook.embeddings
    x = normal(3, DIM, 40, seed=9)
    result, (quantized, codes, _) = ours(x), theirs(x.mT)
    assert torch.equal(result.codes, codes.permute(0, 2, 1))
    assert torch.equal(ours.encode(x), result.codes)
    torch.testing.assert_close(result.z, quantized.mT)
    torch.testing.assert_close(ours.decode(result.codes), quantized.mT)


@pytest.mark.parametrize("options", VARIANTS)
def test_a_prefix_decodes_to_the_partial_sum(options):
    quantizer = residual(**options).eval()
    x = normal(4, DIM, 25, seed=9)
    codes = quantizer.encode(x)
    parts = [level.decode(book).mT for level, book in zip(quantizer.quantizers, codes.unbind(1), strict=True)]
    active = torch.tensor([1, 2, 3, 4])
    forward = quantizer(x, active)
    for count in range(1, 5):
        partial = quantizer.decode(codes[:, :count])
        torch.testing.assert_close(partial, sum(parts[:count]))
        assert torch.equal(quantizer.encode(x, count), codes[:, :count])
        torch.testing.assert_close(forward.z[count - 1], partial[count - 1])
    assert torch.equal(forward.codes, codes)


@pytest.mark.parametrize("options", VARIANTS)
def test_every_levels_commitment_reaches_the_encoder(options):
    quantizer = residual(**options).eval()
    z, before = normal(2, DIM, 20, seed=9).requires_grad_(), torch.zeros(2, DIM, 20)
    every = quantizer.quantizers
    for count in range(1, 5):
        quantizer.quantizers = every[:count]
        gradient, = torch.autograd.grad(count * quantizer(z).losses["commitment"], z)
        assert (gradient - before).abs().mean() > 1e-5      # what this level adds
        before = gradient


def test_a_commitments_gradient_leads_each_residual_to_its_code():
    quantizer = residual().eval()
    z = normal(2, DIM, 20, seed=9).requires_grad_()
    result = quantizer(z)
    errors = [z.detach() - quantizer.decode(result.codes[:, :count]) for count in range(1, 5)]
    gradient, = torch.autograd.grad(result.losses["commitment"], z)
    torch.testing.assert_close(gradient, 2 * sum(errors) / z.numel() / 4)


def test_commitment_is_the_mean_over_levels():
    quantizer = residual().eval()
    z = normal(2, DIM, 20, seed=9)
    codes = quantizer.encode(z)
    errors = [(z - quantizer.decode(codes[:, :count])).square().mean() for count in range(1, 5)]
    torch.testing.assert_close(quantizer(z).losses["commitment"], torch.stack(errors).mean())


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_the_decoders_gradient_passes_once(levels):
    quantizer = residual(levels).train()
    z, weights = normal(3, DIM, 20, seed=9).requires_grad_(), normal(3, DIM, 20, seed=8)
    for active in (None, torch.tensor([1, levels, 1])):
        gradient, = torch.autograd.grad((quantizer(z, active).z * weights).sum(), z)
        torch.testing.assert_close(gradient, weights)


# --- two processes


class Small(nn.Module):
    """A residual quantizer between two layers, with a loss that is a mean over items."""

    def __init__(self, options):
        super().__init__()
        torch.manual_seed(3)
        self.project_in, self.project_out = nn.Conv1d(2, DIM, 1), nn.Conv1d(DIM, 2, 1)
        self.quantizer = ResidualVectorQuantizer(DIM, SIZE, 2, **options)

    def forward(self, x, active):
        result = self.quantizer(self.project_in(x), active)
        return F.mse_loss(self.project_out(result.z), x) + sum(result.losses.values())


def train_small(model, batches):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step, x in enumerate(batches):
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(x, torch.arange(len(x)) % 2 + 1).backward()
        optimizer.step()


KINDS = [{"decay": 0.8, "dead_code_threshold": 0.7}, {"kind": "simvq"}, {"kind": "fsq"}]


def one_of_two(rank, folder, batches):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    half = len(batches[0]) // 2
    for index, options in enumerate(KINDS):
        model = Small(options)
        train_small(nn.parallel.DistributedDataParallel(model), [x[rank * half:(rank + 1) * half] for x in batches])
        torch.save(model.state_dict(), f"{folder}/{index}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
def test_two_processes_learn_what_one_learns_from_both_batches(tmp_path):
    batches = [normal(8, 2, 24, seed=step) * (1 + step) for step in range(5)]
    multiprocessing.spawn(one_of_two, (str(tmp_path), batches), nprocs=2)
    for index, options in enumerate(KINDS):
        alone = Small(options)
        train_small(alone, batches)
        first, second = (torch.load(tmp_path / f"{index}-{rank}.pt", weights_only=True) for rank in range(2))
        for name, value in alone.state_dict().items():
            message = f"{options} {name}"
            assert torch.equal(first[name], second[name]), message
            torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5, msg=message)
