"""Codebooks of learned vectors: k-means initialization, EMA updates, revival of dead codes, and SimVQ."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.nn.distributed import all_gather, all_reduce, broadcast
from ecgvae.nn.nearest import nearest

USAGE_DECAY = 0.99      # of the cluster sizes of a codebook that is learned by gradient


def kmeans(rows: Float[Tensor, "r d"], size: int, iterations: int = 10) -> Float[Tensor, "k d"]:
    """Cluster centres by Lloyd's algorithm, initialized with random rows; an empty cluster moves to a random row."""
    def random_rows(count: int) -> Tensor:
        return rows[torch.randint(len(rows), (count,), device=rows.device)]
    centres = rows[torch.randperm(len(rows), device=rows.device)[:size]]
    if len(centres) < size:
        centres = torch.cat([centres, random_rows(size - len(centres))])
    for _ in range(iterations):
        codes = nearest(rows, centres)
        counts = torch.bincount(codes, minlength=size)
        sums = torch.zeros_like(centres).index_add_(0, codes, rows)
        empty = counts == 0
        centres = sums / counts.clamp_min(1).unsqueeze(1)
        centres[empty] = random_rows(int(empty.sum()))
    return centres


class Codebook(nn.Module):
    """K code vectors that follow the data by exponential moving averages, or by gradient if `decay` is None.

    The first training batch initializes the vectors by k-means. A code is dead when its average number of rows
    per batch falls below `dead_code_threshold` times the number under uniform usage. A dead
    code moves to a random row of the batch, and its running average moves with it, so that it stays alive
    (compare Dhariwal et al. 2020, section 2.2).

    Args:
        dim: Dimension of the vectors.
        size: Number of codes, K.
        decay: Decay of the moving averages; None learns the vectors by gradient.
        normalize: Whether rows and vectors are compared on the unit sphere.
        dead_code_threshold: Fraction of uniform usage below which a code is dead.
    """

    embeddings: Tensor
    cluster_size: Tensor
    initialized: Tensor
    revival_threshold: Tensor

    def __init__(self, dim: int, size: int, decay: float | None = 0.99, normalize: bool = False,
                 dead_code_threshold: float = 0.5):
        super().__init__()
        self.size, self.decay, self.normalize = size, decay, normalize
        self.dead_code_threshold = dead_code_threshold
        if decay is None:
            self.embeddings = nn.Parameter(torch.randn(size, dim))
        else:
            self.register_buffer("embeddings", torch.randn(size, dim))
        self.register_buffer("cluster_size", torch.ones(size))      # moving average of a code's rows per batch
        self.register_buffer("initialized", torch.tensor(False))
        threshold = torch.tensor(float(dead_code_threshold), device="cpu")
        self.register_buffer("revival_threshold", threshold, persistent=False)      # see `anneal_revival`

    def normalize_rows(self, rows: Tensor) -> Tensor:
        """The rows, on the unit sphere if this codebook normalizes."""
        return F.normalize(rows, dim=-1) if self.normalize else rows

    @property
    def learns_by_gradient(self) -> bool:
        return self.decay is None

    @property
    def vectors(self) -> Float[Tensor, "k d"]:
        return self.normalize_rows(self.embeddings)

    def forward(self, rows: Float[Tensor, "r d"]) -> tuple[Int[Tensor, "r"], Float[Tensor, "r d"]]:
        """Codes of the rows and the codes' vectors; in training the codebook is updated afterwards."""
        if self.training and not self.initialized:
            self.kmeans_init(rows.detach())
        codes = nearest(rows, self.vectors)
        vectors = F.embedding(codes, self.vectors)
        if self.training:
            self.ema_update(rows.detach(), codes)
        return codes, vectors

    @torch.no_grad()
    def kmeans_init(self, rows: Tensor) -> None:
        rows = all_gather(rows)
        self.replace_codes(torch.arange(self.size, device=rows.device), kmeans(rows, self.size), len(rows) / self.size)
        self.initialized.fill_(True)

    @torch.no_grad()
    def ema_update(self, rows: Tensor, codes: Tensor) -> None:
        """One step of the moving averages (van den Oord et al. 2017, appendix A.1), then revival of dead codes.

        Vectors that are learned by gradient stay; their cluster sizes are updated all the same.

        The running sum of a code's rows is its vector times its cluster size, so it needs no buffer.
        """
        counts = torch.bincount(codes, minlength=self.size).to(rows)
        all_reduce(counts)
        decay = USAGE_DECAY if self.decay is None else self.decay
        cluster_size = decay * self.cluster_size + (1 - decay) * counts
        if self.decay is not None:
            sums = torch.zeros_like(self.embeddings).index_add_(0, codes, rows)
            all_reduce(sums)
            embeddings = ((decay * self.cluster_size.unsqueeze(1) * self.embeddings + (1 - decay) * sums)
                          / cluster_size.clamp_min(1e-9).unsqueeze(1))
            self.embeddings.copy_(torch.where((counts > 0).unsqueeze(1), embeddings, self.embeddings))
        self.cluster_size.copy_(cluster_size)
        uniform_usage = counts.sum() / self.size
        dead = (cluster_size < self.revival_threshold * uniform_usage).nonzero().squeeze(1)
        if len(dead):
            rows = all_gather(rows)
            self.replace_codes(dead, rows[torch.randint(len(rows), (len(dead),), device=rows.device)], uniform_usage)

    def replace_codes(self, index: Tensor, vectors: Tensor, cluster_size: Tensor | float) -> None:
        """Sets the vectors and cluster sizes of some codes, to the same values on every process."""
        self.embeddings.data[index] = broadcast(vectors)
        self.cluster_size[index] = cluster_size


def anneal_revival(model: nn.Module, fraction_done: float) -> None:
    """Lowers every revival threshold to zero over the second half of a training, so that codes settle."""
    for module in model.modules():
        if isinstance(module, Codebook):
            module.revival_threshold.fill_(module.dead_code_threshold * min(1.0, 2 * (1 - fraction_done)))


class LinearCodebook(nn.Module):
    """SimVQ: K frozen random vectors and one linear map, learned by gradient, that moves them all (Zhu et al. 2024).

    Every code moves with all others, so that none stays unused. The first training batch gives the frozen vectors:
    random rows plus a tenth of the rows' standard deviation as noise. So the map starts as the identity at any
    scale of the latent.
    """

    embeddings: Tensor
    initialized: Tensor
    learns_by_gradient = True

    def __init__(self, dim: int, size: int, normalize: bool = False):
        super().__init__()
        self.size, self.normalize = size, normalize
        self.register_buffer("embeddings", torch.randn(size, dim))
        self.projection = nn.Parameter(torch.eye(dim))
        self.register_buffer("initialized", torch.tensor(False))

    def normalize_rows(self, rows: Tensor) -> Tensor:
        """The rows, on the unit sphere if this codebook normalizes."""
        return F.normalize(rows, dim=-1) if self.normalize else rows

    @property
    def vectors(self) -> Float[Tensor, "k d"]:
        return self.normalize_rows(self.embeddings @ self.projection)

    def forward(self, rows: Float[Tensor, "r d"]) -> tuple[Int[Tensor, "r"], Float[Tensor, "r d"]]:
        """Codes of the rows and the codes' vectors."""
        if self.training and not self.initialized:
            self.init_from_rows(rows.detach())
        vectors = self.vectors
        codes = nearest(rows, vectors)
        return codes, F.embedding(codes, vectors)

    @torch.no_grad()
    def init_from_rows(self, rows: Tensor) -> None:
        rows = all_gather(rows)
        first, second, third = rows[torch.randint(len(rows), (3, self.size), device=rows.device)]
        self.embeddings.copy_(broadcast(first + 0.07 * (second - third)))   # a difference has twice the variance
        self.initialized.fill_(True)
