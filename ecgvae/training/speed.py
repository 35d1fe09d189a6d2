"""The speed of trainings, compared on one machine."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from accelerate import Accelerator

from ecgvae.data.store import Store
from ecgvae.training.loop import init_state, make_task, training_step
from ecgvae.training.recipe import AnyRecipe

TIMED_STEPS = 3


def seconds_per_step(recipes: Mapping[str, AnyRecipe], store: Store, steps: int = TIMED_STEPS) -> dict[str, float]:
    """The median time of a step of each training, at its end.

    The trainings take turns, so that other load on the machine slows all of them alike.
    """
    accelerator = Accelerator(mixed_precision="no")
    step = {name: make_step(recipe, store, accelerator) for name, recipe in recipes.items()}
    times: dict[str, list[float]] = {name: [] for name in recipes}
    for round_index in range(1 + steps):        # the first round is a warm-up
        for name in recipes:
            start = time.perf_counter()
            step[name]()
            if round_index:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(own) for name, own in times.items()}


def make_step(recipe: AnyRecipe, store: Store, accelerator: Accelerator) -> Callable[[], object]:
    """A function that takes the last step of a training, in which for example the discriminators are active."""
    task = make_task(recipe, store, accelerator.device)
    state = init_state(task)
    state.step = recipe.training.steps - 1
    task.load(state, Path())
    generator = torch.Generator().manual_seed(0)
    network, optimizer = accelerator.prepare(state.model, state.optimizer)
    return lambda: training_step(task, state, network, optimizer, task.draw(generator), accelerator)
