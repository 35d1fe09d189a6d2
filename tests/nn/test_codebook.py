"""Search for the nearest code against brute force; how books start and follow."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.nn.codebook import Codebook, LinearCodebook, anneal_revival, kmeans
from ecgvae.nn.nearest import nearest

DIM, SIZE = 6, 16


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def started(book, codes, use=1.0):
    """A book at given codes instead of those of k-means."""
    book.embeddings.data.copy_(codes)
    book.cluster_size.fill_(use)
    book.initialized.fill_(True)
    return book


# --- nearest


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(0, 70), size=st.integers(1, 200), dim=st.integers(1, 9), seed=st.integers(0, 99),
       scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_nearest_is_the_least_distance(rows, size, dim, seed, scale):
    x, book = normal(rows, dim, seed=seed) * scale, normal(size, dim, seed=seed + 1) * scale
    distances = torch.cdist(x.double(), book.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    codes = nearest(x, book)
    assert codes.shape == (rows,) and codes.dtype == torch.long
    if rows:
        excess = distances.gather(1, codes[:, None]) - distances.amin(1, keepdim=True)
        rounding = 1e-6 * (x.double().square().sum(1, keepdim=True) + book.double().square().sum(1).max())
        assert (excess <= rounding).all()


def test_nearest_finds_each_code_itself_block_by_block():
    book = normal(5000, 8)
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(nearest(book[order], book), order)
    assert torch.equal(nearest(book[order].bfloat16().float(), book), nearest(book[order].bfloat16(), book))


# --- start and revival


def error(rows, centres):
    return float((rows - centres[nearest(rows, centres)]).square().mean())


def test_kmeans_lowers_the_error_round_by_round():
    rows, errors = normal(500, 3), []
    for rounds in (0, 1, 3, 10):
        torch.manual_seed(0)
        errors.append(error(rows, kmeans(rows, 12, rounds)))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.85 * errors[0]


def test_kmeans_fills_a_book_larger_than_the_batch():
    rows = 50 + normal(5, 3)
    for repeats in (1, 10):
        centres = kmeans(rows.repeat(repeats, 1), 12)
        assert centres.shape == (12, 3) and centres.min() > 40
        assert error(rows, centres) < 1e-5


@pytest.mark.parametrize("decay", [0.9, None])
def test_an_unused_code_moves_to_the_data_and_stays(decay):
    torch.manual_seed(0)
    start = torch.cat([normal(SIZE - 1, DIM), torch.full((1, DIM), 1000.)])
    book = started(Codebook(DIM, SIZE, decay, dead_code_threshold=0.05), start, use=10)
    rows = normal(160, DIM, seed=1)
    for _ in range(400):
        book(rows)
        if book.embeddings[-1].abs().max() < 100:
            break
    revived = book.embeddings[-1].clone()
    assert (rows == revived).all(1).any()       # it is one of the rows
    assert book.cluster_size[-1] == len(rows) / SIZE
    for _ in range(10):
        book(rows[nearest(rows, book.embeddings) != SIZE - 1])
    assert torch.equal(book.embeddings[-1], revived)     # though nothing hit it
    for _ in range(30):
        codes, _ = book(rows)
        assert (codes == SIZE - 1).any()
    assert (book.embeddings[-1] - revived).norm() < 2
    assert book.cluster_size[-1] > 0.05 * len(rows) / SIZE


@pytest.mark.parametrize(("done", "moves"), [(0.0, True), (0.5, True), (0.7, True), (0.8, False), (1.0, False)])
def test_revival_fades_out(done, moves):
    """A code with a quarter of its even share of rows moves while the threshold, first a half of it, is higher."""
    start = torch.arange(SIZE).unsqueeze(1).expand(SIZE, DIM) * 10.0
    book = started(Codebook(DIM, SIZE, decay=0.5, dead_code_threshold=0.5), start, use=4)
    rows = start.repeat_interleave(4, 0)[:-3] + 0.1 * normal(4 * SIZE - 3, DIM)
    book.cluster_size[-1] = 1
    anneal_revival(torch.nn.Sequential(book), done)
    book(rows)
    assert ((book.embeddings[-1] - start[-1]).norm() > 1) == moves
    assert (book.embeddings[:-1] - start[:-1]).norm(dim=1).max() < 1


def test_without_revival_a_lost_code_stays_lost():
    start = torch.cat([normal(SIZE - 1, DIM), torch.full((1, DIM), 1000.)])
    book = started(Codebook(DIM, SIZE, decay=0.5, dead_code_threshold=0), start)
    for step in range(50):
        book(normal(160, DIM, seed=step))
    assert (book.embeddings[-1] == 1000).all()


def test_a_book_keeps_what_it_is_given():
    book = Codebook(3, 8)
    assert set(book.state_dict()) == {"embeddings", "cluster_size", "initialized"}
    assert [name for name, _ in Codebook(3, 8, decay=None).named_parameters()] == ["embeddings"]


# --- frozen codes and a learned map


def skewed(count, seed=0):
    """Rows that a normal distribution fits badly: most near one place, off the origin, few far away."""
    return 0.01 * (5 + normal(count, DIM, seed=seed) ** 3 * torch.arange(1, DIM + 1))


def test_a_linear_book_starts_all_over_the_data_whatever_its_scale():
    torch.manual_seed(0)
    rows, size = skewed(4000), 256
    for scale in (1e-3, 1e3):
        book = LinearCodebook(DIM, size)
        codes, vectors = book(rows * scale)
        assert book.initialized and torch.equal(vectors, book.embeddings[codes])     # the map is the identity
        assert len(nearest(skewed(4000, seed=1) * scale, book.vectors).unique()) > 0.9 * size
        frozen = book.embeddings.clone()
        book(normal(50, DIM) + 99)
        assert torch.equal(book.embeddings, frozen)
    assert len(book.embeddings.unique(dim=0)) == size


def test_a_linear_book_starts_with_codes_that_differ_even_from_few_rows():
    torch.manual_seed(0)
    book = LinearCodebook(DIM, 64)
    book(normal(20, DIM))
    assert len(book.embeddings.unique(dim=0)) == 64


def test_a_gradient_moves_a_linear_book_with_the_data():
    """The data turn and grow; the frozen codes can follow by the map alone."""
    torch.manual_seed(0)
    book, rows = LinearCodebook(DIM, 64), normal(2000, DIM)
    book(rows)
    turned = rows @ torch.linalg.qr(normal(DIM, DIM, seed=1)).Q * 4
    before = error(turned, book.vectors.detach())
    optimizer = torch.optim.Adam(book.parameters(), 0.05)
    for _ in range(200):
        _, vectors = book(turned)
        optimizer.zero_grad()
        (vectors - turned).square().mean().backward()
        optimizer.step()
    assert error(turned, book.vectors.detach()) < 0.6 * before
    assert len(nearest(turned, book.vectors).unique()) == 64


def test_a_linear_book_keeps_what_it_is_given():
    book = LinearCodebook(3, 8)
    assert {name for name, _ in book.named_buffers()} == {"embeddings", "initialized"}
    assert [name for name, _ in book.named_parameters()] == ["projection"]
