"""Helpers of tests about training: changed recipes, and comparison of runs."""

from typing import Any

import pytest
import torch

from ecgvae.training.loop import train


def changed(recipe: Any, **training) -> Any:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})


def results(run) -> dict:
    """All files of a run except TensorBoard's events, whose names contain the time."""
    state = torch.load(run / "state.pt", weights_only=True)
    files = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*")
             if path.is_file() and path.suffix != ".pt" and "tensorboard" not in path.parts}
    return {"state": state, "files": files}


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def mistake(error, *arguments, **options) -> str:
    with pytest.raises(error) as raised:
        train(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)
