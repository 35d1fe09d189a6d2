"""Helpers of tests about quantizers: random tensors, and stacks with given codebooks."""

import torch

DIM, SIZE = 6, 16


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def set_codebooks(stack, all_vectors):
    """Sets the vectors of each codebook of a residual stack instead of initializing them by k-means."""
    for quantizer, vectors in zip(stack.quantizers, all_vectors, strict=True):
        quantizer.codebook.embeddings.data.copy_(vectors)
        quantizer.codebook.initialized.fill_(True)
    return stack
