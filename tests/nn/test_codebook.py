"""The search for the nearest code against brute force; initialization, updates and revival of codebooks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.nn.codebook import Codebook, LinearCodebook, anneal_revival, kmeans
from ecgvae.nn.nearest import nearest

DIM, SIZE = 6, 16


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def set_vectors(codebook, vectors, cluster_size=1.0):
    """Sets the vectors of a codebook instead of initializing them by k-means."""
    codebook.embeddings.data.copy_(vectors)
    codebook.cluster_size.fill_(cluster_size)
    codebook.initialized.fill_(True)
    return codebook


# --- nearest


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(0, 70), size=st.integers(1, 200), dim=st.integers(1, 9), seed=st.integers(0, 99),
       scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_nearest_has_the_smallest_distance(rows, size, dim, seed, scale):
    x, codebook = randn(rows, dim, seed=seed) * scale, randn(size, dim, seed=seed + 1) * scale
    distances = torch.cdist(x.double(), codebook.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    codes = nearest(x, codebook)
    assert codes.shape == (rows,) and codes.dtype == torch.long
    if rows:
        excess = distances.gather(1, codes[:, None]) - distances.amin(1, keepdim=True)
        rounding = 1e-6 * (x.double().square().sum(1, keepdim=True) + codebook.double().square().sum(1).max())
        assert (excess <= rounding).all()


def test_nearest_finds_every_code_across_blocks():
    codebook = randn(5000, 8)
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(nearest(codebook[order], codebook), order)
    rounded = codebook[order].bfloat16()
    assert torch.equal(nearest(rounded.float(), codebook), nearest(rounded, codebook))


# --- initialization and revival


def mean_squared_error(rows, centres):
    return float((rows - centres[nearest(rows, centres)]).square().mean())


def test_kmeans_error_falls_with_the_rounds():
    rows, errors = randn(500, 3), []
    for iterations in (0, 1, 3, 10):
        torch.manual_seed(0)
        errors.append(mean_squared_error(rows, kmeans(rows, 12, iterations)))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.85 * errors[0]


def test_kmeans_fills_a_codebook_larger_than_the_batch():
    rows = 50 + randn(5, 3)
    for repeats in (1, 10):
        centres = kmeans(rows.repeat(repeats, 1), 12)
        assert centres.shape == (12, 3) and centres.min() > 40
        assert mean_squared_error(rows, centres) < 1e-5


@pytest.mark.parametrize("decay", [0.9, None])
def test_a_dead_code_moves_to_a_row_and_stays_alive(decay):
    torch.manual_seed(0)
    vectors = torch.cat([randn(SIZE - 1, DIM), torch.full((1, DIM), 1000.)])
    codebook = set_vectors(Codebook(DIM, SIZE, decay, dead_code_threshold=0.05), vectors, cluster_size=10)
    rows = randn(160, DIM, seed=1)
    for _ in range(400):
        codebook(rows)
        if codebook.embeddings[-1].abs().max() < 100:
            break
    revived = codebook.embeddings[-1].clone()
    assert (rows == revived).all(1).any()       # a row of the batch
    assert codebook.cluster_size[-1] == len(rows) / SIZE
    for _ in range(10):
        codebook(rows[nearest(rows, codebook.embeddings) != SIZE - 1])
    assert torch.equal(codebook.embeddings[-1], revived)     # although no row has this code
    for _ in range(30):
        codes, _ = codebook(rows)
        assert (codes == SIZE - 1).any()
    assert (codebook.embeddings[-1] - revived).norm() < 2
    assert codebook.cluster_size[-1] > 0.05 * len(rows) / SIZE


@pytest.mark.parametrize(("fraction_done", "revived"),
                         [(0.0, True), (0.5, True), (0.7, True), (0.8, False), (1.0, False)])
def test_revival_is_annealed(fraction_done, revived):
    """A code with a quarter of the equal use moves while the threshold, which begins at a half, is above that."""
    vectors = torch.arange(SIZE).unsqueeze(1).expand(SIZE, DIM) * 10.0
    codebook = set_vectors(Codebook(DIM, SIZE, decay=0.5, dead_code_threshold=0.5), vectors, cluster_size=4)
    rows = vectors.repeat_interleave(4, 0)[:-3] + 0.1 * randn(4 * SIZE - 3, DIM)
    codebook.cluster_size[-1] = 1
    anneal_revival(torch.nn.Sequential(codebook), fraction_done)
    codebook(rows)
    assert ((codebook.embeddings[-1] - vectors[-1]).norm() > 1) == revived
    assert (codebook.embeddings[:-1] - vectors[:-1]).norm(dim=1).max() < 1


def test_without_revival_a_dead_code_stays_dead():
    vectors = torch.cat([randn(SIZE - 1, DIM), torch.full((1, DIM), 1000.)])
    codebook = set_vectors(Codebook(DIM, SIZE, decay=0.5, dead_code_threshold=0), vectors)
    for step in range(50):
        codebook(randn(160, DIM, seed=step))
    assert (codebook.embeddings[-1] == 1000).all()


def test_names_of_the_weights_of_a_codebook():
    codebook = Codebook(3, 8)
    assert set(codebook.state_dict()) == {"embeddings", "cluster_size", "initialized"}
    assert [name for name, _ in Codebook(3, 8, decay=None).named_parameters()] == ["embeddings"]


# --- SimVQ: frozen codes and a learned linear map


def skewed_rows(count, seed=0):
    """Rows far from normally distributed: most lie close together, away from the origin, and a few far from them."""
    return 0.01 * (5 + randn(count, DIM, seed=seed) ** 3 * torch.arange(1, DIM + 1))


def test_a_linear_codebook_starts_spread_over_the_data_at_any_scale():
    torch.manual_seed(0)
    rows, size = skewed_rows(4000), 256
    for scale in (1e-3, 1e3):
        codebook = LinearCodebook(DIM, size)
        codes, vectors = codebook(rows * scale)
        assert codebook.initialized and torch.equal(vectors, codebook.embeddings[codes])     # the map is the identity
        assert len(nearest(skewed_rows(4000, seed=1) * scale, codebook.vectors).unique()) > 0.9 * size
        frozen = codebook.embeddings.clone()
        codebook(randn(50, DIM) + 99)
        assert torch.equal(codebook.embeddings, frozen)
    assert len(codebook.embeddings.unique(dim=0)) == size


def test_a_linear_codebook_starts_with_distinct_codes_even_from_few_rows():
    torch.manual_seed(0)
    codebook = LinearCodebook(DIM, 64)
    codebook(randn(20, DIM))
    assert len(codebook.embeddings.unique(dim=0)) == 64


def test_a_linear_codebook_follows_the_data_by_gradient():
    """The data are rotated and scaled; the frozen codes can follow through the linear map only."""
    torch.manual_seed(0)
    codebook, rows = LinearCodebook(DIM, 64), randn(2000, DIM)
    codebook(rows)
    rotated = rows @ torch.linalg.qr(randn(DIM, DIM, seed=1)).Q * 4
    before = mean_squared_error(rotated, codebook.vectors.detach())
    optimizer = torch.optim.Adam(codebook.parameters(), 0.05)
    for _ in range(200):
        _, vectors = codebook(rotated)
        optimizer.zero_grad()
        (vectors - rotated).square().mean().backward()
        optimizer.step()
    assert mean_squared_error(rotated, codebook.vectors.detach()) < 0.6 * before
    assert len(nearest(rotated, codebook.vectors).unique()) == 64


def test_names_of_the_weights_of_a_linear_codebook():
    codebook = LinearCodebook(3, 8)
    assert {name for name, _ in codebook.named_buffers()} == {"embeddings", "initialized"}
    assert [name for name, _ in codebook.named_parameters()] == ["projection"]
