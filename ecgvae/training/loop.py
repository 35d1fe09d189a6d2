"""The training loop. All random numbers of a step depend on the seed and the step number only, for exact resuming."""

import copy
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ecgvae import checkpoint
from ecgvae.data.store import Store
from ecgvae.data.training_data import measure_training_data
from ecgvae.models import Autoencoder, build
from ecgvae.nn.codebook import anneal_revival
from ecgvae.training.adversarial import Adversary
from ecgvae.training.batches import Batch, Batches
from ecgvae.training.log import Log
from ecgvae.training.objectives import TERMS, error_percent, reconstruction_losses
from ecgvae.training.optimizer import Muon
from ecgvae.training.recipe import Recipe, TrainingSettings
from ecgvae.training.run import differences, open_run
from ecgvae.training.state import State
from ecgvae.training.validation import Validation

StepCallback = Callable[[int, dict[str, float]], None]      # called with the step and the last logged values


def train(recipe: Recipe, store: Store, out: str | Path, resume: bool = False,
          progress: StepCallback | None = None) -> Path:
    """Trains a model on a store's training split.

    A run that is stopped and resumed, any number of times, has the result of an uninterrupted run, bit for bit on the
    CPU.

    Args:
        recipe: All settings of the training.
        store: The signals.
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
        ValueError: The recipe does not fit the store or the run that is resumed, or the training diverges.
    """
    accelerator = Accelerator(mixed_precision="no")      # Accelerate's autocast would be global; see `autocast`
    run, state = Path(out), init_state(recipe, store, accelerator.device)
    is_main = accelerator.is_main_process
    with open_run(run, recipe, store, resume) if is_main else nullcontext():
        accelerator.wait_for_everyone()
        if resume and (run / "state.pt").exists():
            state.load(run / "state.pt", recipe.training.steps)
        if state.step < recipe.training.steps or not (run / "model").exists():
            finish(recipe, store, state, accelerator, run, progress if is_main and progress else lambda *_: None)
        accelerator.wait_for_everyone()
    return run / "model"


def finish(recipe: Recipe, store: Store, state: State, accelerator: Accelerator, run: Path,
           progress: StepCallback) -> None:
    """Trains from the step of the state to the last one, and saves the model."""
    batches = Batches(recipe, store, state.model, accelerator.device)
    log = Log(run, state.step, accelerator.is_main_process)
    validation = Validation(store, recipe.model.signal, run)
    try:
        run_steps(recipe, state, batches, accelerator, log, validation, run, progress)
    finally:
        log.close()
    if accelerator.is_main_process:
        facts = {"store": Path(store.manifest["source"]).name, "fingerprint": store.fingerprint,
                 "records": len(batches), **recipe.model_dump(mode="json", exclude={"model"})}
        data = measure_training_data(store, store.split("train"), recipe.model.signal)
        checkpoint.save(state.average, run / "model", facts, log.last_validation, data)


def run_steps(recipe: Recipe, state: State, batches: Batches, accelerator: Accelerator, log: Log,
              validation: Validation, run: Path, progress: StepCallback) -> None:
    """Trains from the step of the state to the last one; logs, validates and saves the state."""
    settings = recipe.training
    network = torch.compile(state.model) if settings.compile else state.model
    network, optimizer = accelerator.prepare(network, state.optimizer)
    progress(state.step, {})
    while state.step < settings.steps:
        state.step += 1
        batch = batches.draw(step_generator(settings.seed, state.step, accelerator.process_index))
        values = training_step(state, network, optimizer, batch, recipe, accelerator)
        log.training(state.step, values, every=settings.log_every)
        if not math.isfinite(log.last_row.get("loss", 0.0)):
            raise ValueError(f"the loss is {log.last_row['loss']} at step {state.step}; wanted a lower learning_rate")
        progress(state.step, log.last_row | log.last_validation)
        validates, saves = (is_due(state.step, every, settings.steps)
                            for every in (settings.validate_every, settings.save_every))
        if validates or saves:
            state.check_finite()
        if validates and accelerator.is_main_process:
            log.validation(state.step, *validation(state.average, state.step))
        if saves and accelerator.is_main_process:
            log.flush()
            state.save(run / "state.pt")


def init_state(recipe: Recipe, store: Store, device: torch.device) -> State:
    """The state of a run before its first step."""
    settings = recipe.training
    torch.manual_seed(settings.seed)
    model = build(recipe.model).to(device).train()
    if settings.init_from:
        model.load_state_dict(load_initial_model(settings.init_from, recipe).state_dict())
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = Muon(model, settings.learning_rate, settings.betas, settings.momentum, settings.weight_decay)
    adversary = Adversary(recipe.model.signal, recipe.adversarial, device) if recipe.adversarial else None
    return State(model, average, optimizer, store.fingerprint, adversary)


def load_initial_model(name: str, recipe: Recipe) -> Autoencoder:
    """The trained model of `training.init_from`. ValueError if its settings differ from the recipe's."""
    try:
        model = checkpoint.load(name)
    except (ValueError, FileNotFoundError) as error:
        kind = ValueError if isinstance(error, ValueError) else FileNotFoundError
        raise kind(f"training.init_from: {error}") from None
    for key, trained, given in differences(model.settings.model_dump(), recipe.model.model_dump(), "model"):
        raise ValueError(f"training.init_from: {name} has {key} {trained}, the recipe {given}; wanted the same")
    return model


def training_step(state: State, network: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, recipe: Recipe,
                  accelerator: Accelerator) -> dict[str, Any]:
    """Takes one optimizer step on a batch. Returns the values of log.csv (see `ecgvae.training.log.Log`)."""
    settings, model = recipe.training, state.model
    rate = learning_rate(state.step, settings)
    for group in optimizer.param_groups:
        group["lr"] = rate
    anneal_revival(model, state.step / settings.steps)
    with autocast(settings.precision, batch.input.device):
        result = network(batch.input, batch.target, batch.condition)
    weights = recipe.loss.at(state.step)
    target, reconstruction = model.all_leads(batch.target), model.all_leads(result.signal)
    losses = reconstruction_losses(target, reconstruction, weights, result.groups) | result.losses
    total = sum(weights[name] * loss for name, loss in losses.items())
    logged = {name: error_percent(loss) if name in TERMS else loss for name, loss in losses.items()}
    if state.adversary:
        with autocast(settings.precision, batch.input.device):
            loss, terms = state.adversary.generator_loss(state.step, batch.target, result.signal, total,
                                                         model.last_layer)
        total, logged = total + loss, logged | terms
    optimizer.zero_grad()
    accelerator.backward(total)
    norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
    optimizer.step()
    update_average(state.average, model, min(settings.ema_decay, state.step / (state.step + 20)))
    values = {"loss": total, **logged, **result.stats, "gradient": norm}
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


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context with matrix products in bfloat16 for "bf16", and for "auto" on a GPU that supports it."""
    supported = device.type == "cuda" and torch.cuda.is_bf16_supported()
    enabled = precision == "bf16" or (precision == "auto" and supported)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
