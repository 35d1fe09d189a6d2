"""The training loop. All random numbers of a step depend on the seed and the step number only, for exact resuming."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ecgvae.data.store import Store
from ecgvae.data.tokens import TokenFile
from ecgvae.training.log import Log
from ecgvae.training.recipe import AnyRecipe, PriorRecipe, TrainingSettings
from ecgvae.training.run import open_run
from ecgvae.training.state import State
from ecgvae.training.task import Task

StepCallback = Callable[[int, dict[str, float]], None]      # called with the step and the last logged values


def train(recipe: AnyRecipe, data: Store | TokenFile, out: str | Path, resume: bool = False,
          progress: StepCallback | None = None) -> Path:
    """Trains an autoencoder or a prior.

    A run that is stopped and resumed, any number of times, has the result of an uninterrupted run, bit for bit on the
    CPU.

    Args:
        recipe: All settings of the training.
        data: A store; for a prior over tokens also a token file.
        out: Folder of the run, for recipe.json, log.csv, validation.csv, tensorboard/, pictures/, state.pt and the
            trained model in model/.
        resume: Whether to continue the run in that folder.
        progress: Called after every step with its number and the last logged values.

    Returns:
        The folder of the trained model, OUT/model.

    Raises:
        FileExistsError: The folder has a run and `resume` is false.
        FileNotFoundError: There is no run to resume.
        OSError: Another process trains in that folder.
        ValueError: The recipe does not fit the data or the run that is resumed, or the training diverges.
    """
    accelerator = Accelerator(mixed_precision="no")      # Accelerate's autocast would be global; see `autocast`
    task = make_task(recipe, data, accelerator.device)
    run, state = Path(out), init_state(task)
    is_main = accelerator.is_main_process
    with open_run(run, recipe, resume) if is_main else nullcontext():
        accelerator.wait_for_everyone()
        if resume and (run / "state.pt").exists():
            state.load(run / "state.pt", recipe.training.steps)
        if not is_finished(state, task) or not (run / "model").exists():
            finish(task, state, accelerator, run, progress if is_main and progress else lambda *_: None)
        accelerator.wait_for_everyone()
    return run / "model"


def make_task(recipe: AnyRecipe, data: Store | TokenFile, device: torch.device) -> Task:
    """The training of a recipe on a store or a token file; ValueError if they do not fit."""
    if isinstance(recipe, PriorRecipe):
        from ecgvae.training.priors import PriorTask

        return PriorTask(recipe, data, device)
    from ecgvae.training.reconstruction import ReconstructionTask

    if not isinstance(data, Store):
        raise ValueError(f"{data.path} is a token file; wanted a store, as a model is trained on signals")
    return ReconstructionTask(recipe, data, device)


def init_state(task: Task) -> State:
    """The state of a run before its first step."""
    torch.manual_seed(task.settings.seed)
    return task.init_state()


def finish(task: Task, state: State, accelerator: Accelerator, run: Path, progress: StepCallback) -> None:
    """Trains from the step of the state to the last one, and saves the model."""
    task.load(state, run)
    log = Log(run, state.step, accelerator.is_main_process)
    try:
        run_steps(task, state, accelerator, log, run, progress)
    finally:
        log.close()
    if accelerator.is_main_process:
        metrics = log.last_validation
        if state.best:
            state.average.load_state_dict(state.best.weights)
            metrics = metrics | {str(task.criterion): state.best.value, "step": state.best.step}
        task.save(state.average, run / "model", metrics)


def run_steps(task: Task, state: State, accelerator: Accelerator, log: Log, run: Path, progress: StepCallback) -> None:
    """Trains from the step of the state to the last one; logs, validates and saves the state."""
    settings = task.settings
    network = torch.compile(state.model) if settings.compile else state.model
    network, optimizer = accelerator.prepare(network, state.optimizer)
    progress(state.step, {})
    while not is_finished(state, task):
        state.step += 1
        batch = task.draw(step_generator(settings.seed, state.step, accelerator.process_index))
        values = training_step(task, state, network, optimizer, batch, accelerator)
        log.training(state.step, values, every=settings.log_every)
        if not math.isfinite(log.last_row.get("loss", 0.0)):
            raise ValueError(f"the loss is {log.last_row['loss']} at step {state.step}; wanted a lower learning_rate")
        progress(state.step, log.last_row | log.last_validation)
        validates, saves = (is_due(state.step, every, settings.steps)
                            for every in (settings.validate_every, settings.save_every))
        if validates or saves:
            state.check_finite()
        if validates and (accelerator.is_main_process or task.criterion):
            values, picture = task.validate(state.average, state.step)
            log.validation(state.step, values, picture)
            if task.criterion in values:
                state.keep_best(values[task.criterion])
        if (saves or is_finished(state, task)) and accelerator.is_main_process:
            log.flush()
            state.save(run / "state.pt")


def is_finished(state: State, task: Task) -> bool:
    """Whether a training has taken its last step, or has not improved for too long."""
    settings = task.settings
    if state.step >= settings.steps:
        return True
    if state.best is None or settings.patience is None:
        return False
    return state.step - state.best.step >= settings.patience * settings.validate_every


def training_step(task: Task, state: State, network: nn.Module, optimizer: torch.optim.Optimizer, batch: Any,
                  accelerator: Accelerator) -> dict[str, Any]:
    """Takes one optimizer step on a batch. Returns the values of log.csv (see `ecgvae.training.log.Log`)."""
    settings, model = task.settings, state.model
    rate = learning_rate(state.step, settings)
    for group in optimizer.param_groups:
        group["lr"] = rate
    total, logged = task.loss(state, network, batch)
    optimizer.zero_grad()
    accelerator.backward(total)
    norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
    optimizer.step()
    update_average(state.average, model, min(settings.ema_decay, state.step / (state.step + 20)))
    values = {"loss": total, **logged, "gradient": norm}
    return {name: value.detach() for name, value in values.items()} | {"learning_rate": rate}


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Updates the moving average of the model's weights and floating-point buffers; copies other buffers."""
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if new.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)


def step_generator(seed: int, step: int, process: int) -> torch.Generator:
    """The CPU generator for a step in a process. Also seeds torch's global generator, which quantizers use."""
    number = ((seed * 1_000_003 + step) * 1_009 + process) & (2**62 - 1)
    torch.manual_seed(number - process)     # the same in every process, so that all of them revive the same codes
    return torch.Generator().manual_seed(number)


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """A linear warm-up, times half a cosine from 1 to 0.01."""
    warmup = min(1.0, step / max(1, settings.warmup))
    return settings.learning_rate * warmup * (0.505 + 0.495 * math.cos(math.pi * step / settings.steps))


def is_due(step: int, every: int, last: int) -> bool:
    """Whether a step is a multiple of `every`, or the last."""
    return step % every == 0 or step == last
