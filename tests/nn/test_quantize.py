"""Quantizers of latents against vector-quantize-pytorch, in one process and in two."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from quantizers import DIM, SIZE, randn, set_codebooks
from torch import nn
from torch.profiler import ProfilerActivity, profile
from vector_quantize_pytorch import SimVQ, VectorQuantize

from ecgvae.nn.quantize import QUANTIZERS, ResidualVectorQuantizer, rotation_trick


def reference_quantizer(codes, **options):
    """The quantizer of vector-quantize-pytorch with these codes, without the features that ecgvae lacks."""
    settings = {"rotation_trick": False, "decay": 0.9, "eps": 0, "channel_last": False} | options
    quantizer = VectorQuantize(DIM, len(codes), **settings)
    quantizer._codebook.embed.data.copy_(codes)
    if "embed_avg" in dict(quantizer._codebook.named_buffers()):
        quantizer._codebook.embed_avg.copy_(codes)
    return quantizer


# --- one codebook


def test_moving_averages_equal_the_reference():
    vectors = randn(SIZE, DIM)
    stack = set_codebooks(ResidualVectorQuantizer(DIM, SIZE, decay=0.9, dead_code_threshold=0), [vectors])
    reference = reference_quantizer(vectors)
    for step in range(6):
        x = randn(3, DIM, 20, seed=step) + step / 3
        z, reference_z = x.clone().requires_grad_(), x.clone().requires_grad_()
        result = stack(z)
        quantized, codes, loss = reference(reference_z)
        weights = randn(3, DIM, 20, seed=100 + step)
        (result.losses["commitment"] + (result.z * weights).sum()).backward()
        (loss.sum() + (quantized * weights).sum()).backward()
        assert torch.equal(result.codes[:, 0], codes)
        torch.testing.assert_close(result.z, quantized)
        torch.testing.assert_close(result.losses["commitment"], loss.squeeze())
        torch.testing.assert_close(z.grad, reference_z.grad)
        torch.testing.assert_close(stack.quantizers[0].codebook.embeddings, reference.codebook, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(stack.quantizers[0].codebook.cluster_size, reference._codebook.cluster_size[0])
    assert (stack.quantizers[0].codebook.embeddings - vectors).abs().max() > 0.1


def test_straight_through_is_the_code_forward_and_the_identity_backward():
    stack = set_codebooks(ResidualVectorQuantizer(DIM, SIZE), [randn(SIZE, DIM)])
    z, weights = randn(2, DIM, 9, seed=1).requires_grad_(), randn(2, DIM, 9, seed=2)
    result = stack.eval()(z)
    torch.testing.assert_close(result.z, stack.decode(result.codes))
    assert torch.equal(torch.autograd.grad((result.z * weights).sum(), z)[0], weights)


def test_rotation_trick_equals_the_reference():
    vectors = randn(SIZE, DIM)
    stack = ResidualVectorQuantizer(DIM, SIZE, decay=0.9, dead_code_threshold=0, gradient="rotation")
    set_codebooks(stack, [vectors])
    reference = reference_quantizer(vectors, rotation_trick=True)
    x, weights = randn(2, DIM, 30, seed=3), randn(2, DIM, 30, seed=4)
    z, reference_z = x.clone().requires_grad_(), x.clone().requires_grad_()
    result, (quantized, codes, _) = stack(z), reference(reference_z)
    (result.z * weights).sum().backward()
    (quantized * weights).sum().backward()
    assert torch.equal(result.codes[:, 0], codes)
    torch.testing.assert_close(result.z, quantized)
    torch.testing.assert_close(z.grad, reference_z.grad)
    assert not torch.allclose(z.grad, weights, atol=0.1)


def test_rotation_trick_returns_the_exact_code_for_any_row():
    codes = randn(4, DIM)
    rows = torch.stack([torch.zeros(DIM), -codes[1], codes[2], 1e-9 * codes[3]]).requires_grad_()
    out = rotation_trick(rows, codes)
    assert torch.equal(out, codes)
    assert torch.autograd.grad(out.sum(), rows)[0].isfinite().all()


def test_a_codebook_learned_by_gradient_has_both_losses():
    stack = set_codebooks(ResidualVectorQuantizer(DIM, SIZE, decay=None), [randn(SIZE, DIM)])
    z = randn(2, DIM, 9, seed=1).requires_grad_()
    result = stack(z)
    rows = z.detach().mT.flatten(0, 1)
    vectors = stack.quantizers[0].codebook.embeddings.detach()[result.codes.flatten()]
    error = (rows - vectors).square().mean()
    torch.testing.assert_close(result.losses, {"commitment": error, "codebook": error})
    row_gradient, = torch.autograd.grad(result.losses["commitment"], z, retain_graph=True)
    torch.testing.assert_close(row_gradient.mT.flatten(0, 1), 2 * (rows - vectors) / rows.numel())
    code_gradient, = torch.autograd.grad(result.losses["codebook"], stack.quantizers[0].codebook.embeddings)
    expected = torch.zeros(SIZE, DIM).index_add_(0, result.codes.flatten(), 2 * (vectors - rows) / rows.numel())
    torch.testing.assert_close(code_gradient, expected)
    assert set(ResidualVectorQuantizer(DIM, SIZE)(z).losses) == {"commitment"}


def test_factorized_and_normalized_codes_equal_the_reference():
    stack = ResidualVectorQuantizer(DIM, SIZE, code_dim=3, normalize=True).eval()
    set_codebooks(stack, [randn(SIZE, 3)])
    reference = VectorQuantize(DIM, SIZE, codebook_dim=3, use_cosine_sim=True, channel_last=False).eval()
    reference.codebook = F.normalize(randn(SIZE, 3), dim=-1)
    reference.project_in.load_state_dict(stack.quantizers[0].project_in.state_dict())
    reference.project_out.load_state_dict(stack.quantizers[0].project_out.state_dict())
    x = randn(4, DIM, 50, seed=5)
    result, (quantized, codes, _) = stack(x), reference(x)
    assert torch.equal(result.codes[:, 0], codes)
    assert len(codes.unique()) > 5
    torch.testing.assert_close(result.z, quantized)


def test_normalized_codes_stay_on_the_sphere_in_training():
    stack = ResidualVectorQuantizer(DIM, SIZE, normalize=True, decay=0.5)
    for step in range(3):
        result = stack(randn(2, DIM, 40, seed=step) * 9)
    torch.testing.assert_close(stack.quantizers[0].codebook.vectors.norm(dim=1), torch.ones(SIZE))
    torch.testing.assert_close(result.z.norm(dim=1), torch.ones(2, 40))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"^gradient is 'x'; it must be one of straight-through, rotation$"):
        ResidualVectorQuantizer(DIM, SIZE, gradient="x")
    with pytest.raises(ValueError, match=r"^kind is 'x'; it must be one of vq, simvq, fsq$"):
        ResidualVectorQuantizer(DIM, SIZE, kind="x")


@pytest.mark.parametrize("gradient", ["straight-through", "rotation"])
def test_simvq_equals_the_reference(gradient):
    stack = ResidualVectorQuantizer(DIM, SIZE, kind="simvq", gradient=gradient)
    reference = SimVQ(DIM, SIZE, channel_first=True, rotation_trick=gradient == "rotation")
    codebook = stack.quantizers[0].codebook
    codebook.embeddings.copy_(reference.frozen_codebook)
    codebook.projection.data.copy_(reference.code_transform.weight.T)
    codebook.initialized.fill_(True)
    z, reference_z = randn(2, DIM, 40).requires_grad_(), randn(2, DIM, 40).requires_grad_()
    result, (quantized, codes, loss) = stack(z), reference(reference_z)
    weighted_loss, weights = result.losses["codebook"] + 0.25 * result.losses["commitment"], randn(2, DIM, 40, seed=1)
    (weighted_loss + (result.z * weights).sum()).backward()
    (loss + (quantized * weights).sum()).backward()
    assert torch.equal(result.codes[:, 0], codes)
    torch.testing.assert_close(result.z, quantized)
    torch.testing.assert_close(weighted_loss, loss)
    torch.testing.assert_close(z.grad, reference_z.grad)
    torch.testing.assert_close(codebook.projection.grad, reference.code_transform.weight.grad.T)
    torch.testing.assert_close(stack.decode(result.codes), reference.indices_to_codes(codes))


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_every_kind_encodes_as_in_training_after_the_first_batch(kind):
    torch.manual_seed(0)
    stack, z = ResidualVectorQuantizer(DIM, SIZE, 3, kind=kind), randn(4, DIM, 100) * 0.1 + 3
    assert all(quantizer.size == SIZE for quantizer in stack.quantizers)
    error = (stack(z).z - z).square().mean()
    assert error < 0.5 * z.var()
    trained = stack.eval()(z)
    assert torch.equal(stack.encode(z), trained.codes)
    torch.testing.assert_close(stack.decode(trained.codes), trained.z)
    assert torch.equal(stack.encode(z, 2), trained.codes[:, :2])


def test_perplexity_is_the_number_of_equally_used_codes():
    stack = set_codebooks(ResidualVectorQuantizer(1, 4), [torch.tensor([[0.], [1.], [2.], [3.]])]).eval()
    assert stack(torch.tensor([[[0., 1., 1., 0.]]])).stats["perplexity"] == pytest.approx(2)
    assert stack(torch.tensor([[[0., 1., 2., 3.]]])).stats["perplexity"] == pytest.approx(4)


def test_the_first_training_batch_initializes_the_codebook_and_evaluation_does_not():
    stack = ResidualVectorQuantizer(DIM, SIZE)
    x = 50 + randn(2, DIM, 40)
    stack.eval()(x)
    assert not stack.quantizers[0].codebook.initialized
    error = stack.train()(x).losses["commitment"]
    assert stack.quantizers[0].codebook.initialized
    assert error < x.var() / 2


def test_evaluation_changes_nothing():
    stack = set_codebooks(ResidualVectorQuantizer(DIM, SIZE), [randn(SIZE, DIM)]).eval()
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    stack(randn(2, DIM, 30, seed=1))
    assert all(torch.equal(value, before[name]) for name, value in stack.state_dict().items())


def largest_allocation(action) -> int:
    """Bytes of the largest single allocation of an action."""
    action()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        action()
    return max(event.self_cpu_memory_usage for event in profiled.events())


@pytest.mark.parametrize("decay", [0.99, None])
def test_memory_is_a_small_part_of_all_distances(decay):
    rows, size = 20_000, 4096
    stack = set_codebooks(ResidualVectorQuantizer(8, size, decay=decay, dead_code_threshold=0), [randn(size, 8)])
    z = randn(1, 8, rows).requires_grad_()

    def step():
        result = stack(z)
        (result.z.sum() + sum(result.losses.values())).backward()

    distance_matrix = 4 * rows * size
    assert largest_allocation(step) < distance_matrix / 15
    assert largest_allocation(lambda: torch.zeros(rows, size)) >= distance_matrix     # so allocations are measured


# --- two processes


class SmallModel(nn.Module):
    """A residual quantizer between two layers, with a loss that is a mean over items."""

    def __init__(self, options):
        super().__init__()
        torch.manual_seed(3)
        self.project_in, self.project_out = nn.Conv1d(2, DIM, 1), nn.Conv1d(DIM, 2, 1)
        self.quantizer = ResidualVectorQuantizer(DIM, SIZE, 2, **options)

    def forward(self, x, active):
        result = self.quantizer(self.project_in(x), active)
        return F.mse_loss(self.project_out(result.z), x) + sum(result.losses.values())


def train(model, batches):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step, x in enumerate(batches):
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(x, torch.arange(len(x)) % 2 + 1).backward()
        optimizer.step()


PROCESS_OPTIONS = [{"decay": 0.8, "dead_code_threshold": 0.7}, {"kind": "simvq"}, {"kind": "fsq"}]


def train_in_process(rank, folder, batches):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    half = len(batches[0]) // 2
    for index, options in enumerate(PROCESS_OPTIONS):
        model = SmallModel(options)
        train(nn.parallel.DistributedDataParallel(model), [x[rank * half:(rank + 1) * half] for x in batches])
        torch.save(model.state_dict(), f"{folder}/{index}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
def test_two_processes_train_as_one_with_both_batches(tmp_path):
    batches = [randn(8, 2, 24, seed=step) * (1 + step) for step in range(5)]
    multiprocessing.spawn(train_in_process, (str(tmp_path), batches), nprocs=2)
    for index, options in enumerate(PROCESS_OPTIONS):
        single = SmallModel(options)
        train(single, batches)
        first, second = (torch.load(tmp_path / f"{index}-{rank}.pt", weights_only=True) for rank in range(2))
        for name, value in single.state_dict().items():
            label = f"{options} {name}"
            assert torch.equal(first[name], second[name]), label
            torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5, msg=label)
