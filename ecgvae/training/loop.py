"""The training loop: every step is decided by the seed and its number, so a resumed run is the unbroken one."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ecgvae import checkpoint
from ecgvae.data.jobs import write_atomically
from ecgvae.data.store import Store
from ecgvae.models import Autoencoder, build
from ecgvae.nn.codebook import anneal_revival
from ecgvae.training.adversarial import Adversary
from ecgvae.training.batches import Batch, Batches
from ecgvae.training.log import Log
from ecgvae.training.objectives import reconstruction_losses
from ecgvae.training.optimizer import Muon
from ecgvae.training.recipe import Recipe, Training
from ecgvae.training.validation import Validation

Progress = Callable[[int, dict[str, float]], None]      # called with the step and what was logged last
SHORTEST = 64       # samples of a window: the spectral term's longest


@dataclass
class State:
    """All that a run carries from one step to the next."""

    model: Autoencoder
    average: Autoencoder        # exponential moving average of the model: the one validated and kept
    optimizer: torch.optim.Optimizer
    store: str                  # the fingerprint of what it learns from
    adversary: Adversary | None = None
    step: int = 0

    @property
    def parts(self) -> dict:
        """What has a state of its own, by name."""
        parts = {"model": self.model, "average": self.average, "optimizer": self.optimizer}
        return parts | ({"adversary": self.adversary} if self.adversary else {})

    def save(self, path: Path) -> None:
        values = {name: part.state_dict() for name, part in self.parts.items()}
        values |= {"store": self.store, "step": self.step}
        try:
            write_atomically(path, lambda partial: torch.save(values, partial))
        except RuntimeError as error:   # how torch tells of a full disk
            raise OSError(f"{path} can't be written; is the disk full? ({str(error).splitlines()[0]})") from error

    def load(self, path: Path) -> None:
        try:
            saved = torch.load(path, weights_only=True, map_location="cpu")
            for name, part in self.parts.items():
                part.load_state_dict(saved[name])
            store, self.step = saved["store"], saved["step"]
        except (RuntimeError, UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError):
            raise ValueError(f"{path} is damaged, or not of this recipe; wanted the state of this run") from None
        if store != self.store:
            raise ValueError(f"{path} is of another store; a run is resumed with its own")


def train(recipe: Recipe, store: Store, out: str | Path, resume: bool = False,
          progress: Progress | None = None) -> Path:
    """Train a model on a store's training split; the folder of the finished model is OUT/model.

    OUT also gets recipe.json, log.csv, validation.csv, tensorboard/, pictures/ and state.pt, from which `resume`
    goes on. Stopped and resumed any number of times, the result is that of one run, bit for bit on the CPU.
    """
    settings = recipe.training
    accelerator = Accelerator(mixed_precision="no")      # see `autocast`; its own is one for all runs of a process
    run, state = Path(out), init_state(recipe, store, accelerator.device)
    if accelerator.is_main_process:
        claim(run, recipe, store, resume)
    accelerator.wait_for_everyone()
    if resume and (run / "state.pt").exists():
        state.load(run / "state.pt")
    if state.step == settings.steps and (run / "model").exists():
        return run / "model"
    network = torch.compile(state.model) if settings.compile else state.model
    network, optimizer = accelerator.prepare(network, state.optimizer)
    batches = Batches(recipe, store, state.model, accelerator.device)
    log = Log(run, state.step, accelerator.is_main_process)
    validation = Validation(store, recipe.model.signal, run)
    if progress and accelerator.is_main_process:
        progress(state.step, {})
    try:
        while state.step < settings.steps:
            state.step += 1
            batch = batches.draw(seeded(settings.seed, state.step, accelerator.process_index))
            values = training_step(state, network, optimizer, batch, recipe, accelerator)
            log.training(state.step, values, every=settings.log_every)
            if not math.isfinite(log.last_row.get("loss", 0.0)):
                raise ValueError(f"the loss is {log.last_row['loss']} at step {state.step}; wanted a lower learning_rate")
            if progress and accelerator.is_main_process:
                progress(state.step, log.last_row | log.last_validation)
            if due(state.step, settings.validate_every, settings.steps) and accelerator.is_main_process:
                log.validation(state.step, validation(state.average, state.step))
            if due(state.step, settings.save_every, settings.steps) and accelerator.is_main_process:
                log.flush()
                state.save(run / "state.pt")
    finally:
        log.close()
    if accelerator.is_main_process:
        facts = {"store": Path(store.manifest["source"]).name, "fingerprint": store.fingerprint,
                 "records": len(batches), **recipe.model_dump(mode="json", exclude={"model"})}
        checkpoint.save(state.average, run / "model", facts, log.last_validation)
    accelerator.wait_for_everyone()
    return run / "model"


def init_state(recipe: Recipe, store: Store, device: torch.device) -> State:
    settings = recipe.training
    torch.manual_seed(settings.seed)
    model = build(recipe.model).to(device).train()
    if settings.start_from:
        model.load_state_dict(started(settings.start_from, recipe).state_dict())
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = Muon(model, settings.learning_rate, settings.betas, settings.momentum, settings.weight_decay)
    adversary = Adversary(recipe.model.signal, recipe.adversarial, device) if recipe.adversarial else None
    return State(model, average, optimizer, store.fingerprint, adversary)


def started(name: str, recipe: Recipe) -> Autoencoder:
    """The trained model that a training begins with."""
    model = checkpoint.load(name)
    for path, theirs, ours in differences(model.settings.model_dump(), recipe.model.model_dump()):
        raise ValueError(f"training.start_from: {name} has {path} {theirs}, the recipe {ours}; wanted the same")
    return model


def differences(one: Any, other: Any, path: str = "model") -> Iterator[tuple[str, Any, Any]]:
    """Where two trees of settings differ: the path, and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one | other:
            yield from differences(one.get(key), other.get(key), f"{path}.{key}")
    elif one != other:
        yield path, one, other


def training_step(state: State, network: nn.Module, optimizer, batch: Batch, recipe: Recipe,
             accelerator: Accelerator) -> dict[str, torch.Tensor]:
    """One optimizer step on one batch."""
    settings, model = recipe.training, state.model
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(state.step, settings)
    anneal_revival(model, state.step / settings.steps)
    with autocast(settings.precision, batch.input.device):
        result = network(batch.input, batch.target, batch.condition)
    weights = recipe.loss.at(state.step)
    every_lead = model.all_leads(batch.target), model.all_leads(result.signal)
    losses = reconstruction_losses(*every_lead, weights, result.groups) | result.losses
    total = sum(weights[name] * loss for name, loss in losses.items())
    if state.adversary:
        with autocast(settings.precision, batch.input.device):
            cost, terms = state.adversary.challenge(state.step, batch.target, result.signal, total, model.last_layer)
        total, losses = total + cost, losses | terms
    optimizer.zero_grad()
    accelerator.backward(total)
    norm = accelerator.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    follow(state.average, model, min(settings.average, state.step / (state.step + 20)))
    values = {"loss": total, **losses, **result.stats, "gradient": norm}
    return {name: value.detach() for name, value in values.items()}


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights (and books) towards the model's."""
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if new.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)


def seeded(seed: int, step: int, process: int) -> torch.Generator:
    """A generator of its own for every step and process; the global one, which quantizers use, is seeded too."""
    number = ((seed * 1_000_003 + step) * 1_009 + process) & (2**62 - 1)
    torch.manual_seed(number - process)     # revival draws alike in every process
    return torch.Generator().manual_seed(number)


def learning_rate(step: int, settings: Training) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    warm = min(1.0, step / max(1, settings.warmup))
    return settings.learning_rate * warm * (0.505 + 0.495 * math.cos(math.pi * step / settings.steps))


def due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Where matrix products are taken in bfloat16, if so wanted; "auto" is so on a GPU that has it, never on a CPU."""
    capable = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" or (precision == "auto" and capable))


def claim(run: Path, recipe: Recipe, store: Store, resume: bool) -> None:
    """Make the run's folder its own: refuse one that is in use, or a recipe or store that is not the run's."""
    path = run / "recipe.json"
    text = recipe.model_dump_json(indent=2) + "\n"
    if store.rate != recipe.model.signal.rate:
        raise ValueError(f"{store.path} has a rate of {store.rate:g} Hz; the recipe wants {recipe.model.signal.rate:g}")
    if recipe.training.window * store.rate < SHORTEST:
        raise ValueError(f"training.window is {recipe.training.window:g} s; wanted {SHORTEST} samples or more, "
                         f"{SHORTEST / store.rate:g} s")
    if (run / "log.csv").exists() and not resume:
        raise FileExistsError(f"{run} holds a run; use --resume to go on with it or another --out")
    if resume and not path.exists():
        raise FileNotFoundError(f"{run} holds no run to resume")
    if resume and path.read_text() != text:
        raise ValueError(f"{path} differs from the recipe given; a run is resumed with its own recipe")
    run.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda partial: partial.write_text(text))
