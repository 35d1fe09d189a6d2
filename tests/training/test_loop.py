"""The steps of a training: a batch is learned, and each part of a step is as documented."""

import os
import socket

import numpy as np
import pandas as pd
import pytest
import torch
import torch.multiprocessing as multiprocessing
from accelerate import Accelerator, PartialState
from trainings import changed, mistake, same

from ecgvae import checkpoint
from ecgvae.data.store import Store
from ecgvae.training import loop
from ecgvae.training.batches import Batch
from ecgvae.training.loop import (
    init_state,
    learning_rate,
    make_task,
    step_generator,
    train,
    training_step,
    update_average,
)
from ecgvae.training.recipe import AugmentSettings, TrainingSettings
from ecgvae.training.validation import Validation


def test_one_batch_is_learned(store, recipe):
    x = torch.stack([torch.from_numpy(store.signal(row)[[0, 1, *range(6, 12)]]) for row in range(6)])[..., 100:300]
    plain = recipe.model_copy(update={"augment": AugmentSettings()})
    plain = changed(plain, steps=60, warmup=5, learning_rate=0.01)
    accelerator = Accelerator(mixed_precision="no")
    task = make_task(plain, store, accelerator.device)
    state = init_state(task)
    errors = []
    for state.step in range(1, 31):
        errors.append(training_step(task, state, state.model, state.optimizer, Batch(x, x), accelerator)["prdn"])
    mean_logs = torch.stack(errors).log()
    assert mean_logs[-5:].mean() < mean_logs[:5].mean() - 0.25       # a quarter of the error is gone


def test_a_training_starts_with_a_trained_model(store, recipe, tiny_settings, random_model, tmp_path):
    trained = random_model(recipe.model)
    folder = str(checkpoint.save(trained, tmp_path / "trained" / "model"))
    for init_from in (folder, str(tmp_path / "trained")):       # a model, or the run that made it
        state = init_state(make_task(changed(recipe, init_from=init_from), store, torch.device("cpu")))
        for name, value in trained.state_dict().items():
            assert torch.equal(state.model.state_dict()[name], value)
            assert torch.equal(state.average.state_dict()[name], value)
    other = changed(recipe, init_from=folder).model_copy(
        update={"model": tiny_settings(quantizer={"dead_code_threshold": 0.25})})
    assert mistake(ValueError, other, store, tmp_path / "run") == (
        f"training.init_from: {folder} has model.quantizer.dead_code_threshold 0.5, the recipe 0.25; wanted the same")
    missing = changed(recipe, init_from="no-such-model")
    message = mistake(FileNotFoundError, missing, store, tmp_path / "run")
    assert message.startswith("training.init_from: no model no-such")
    (tmp_path / "empty").mkdir()
    empty = changed(recipe, init_from=str(tmp_path / "empty"))
    assert mistake(ValueError, empty, store, tmp_path / "run").startswith(f"training.init_from: {tmp_path / 'empty'} ")
    assert not (tmp_path / "run").exists()


def test_frozen_parts_keep_their_weights(store, recipe, random_model, tmp_path, without_pictures):
    folder = str(checkpoint.save(random_model(recipe.model), tmp_path / "trained"))
    frozen = changed(recipe, init_from=folder, frozen=("encoder", "quantizer"), steps=2)
    before = checkpoint.load(folder).state_dict()
    after = checkpoint.load(train(frozen, store, tmp_path / "run")).state_dict()
    unchanged = {name.split(".")[0] for name in before if torch.equal(before[name], after[name])}
    assert {"encoder", "quantizer"} <= unchanged
    assert not any(torch.equal(before[name], after[name]) for name in before if name.startswith("decoder")
                   and name.endswith("weight"))
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("decoder"))
    message = mistake(ValueError, changed(recipe, frozen=("nose",)), store, tmp_path / "other")
    assert message == "training.frozen has nose; wanted some of encoder, decoder, quantizer"


def test_a_step_anneals_the_revival_of_codes(store, recipe):
    accelerator = Accelerator(mixed_precision="no")
    task = make_task(recipe, store, accelerator.device)
    state = init_state(task)
    x = torch.randn(4, 8, 200)
    for state.step in (1, recipe.training.steps):
        training_step(task, state, state.model, state.optimizer, Batch(x, x), accelerator)
        revivals = [float(level.codebook.revival_threshold) for level in state.model.quantizer.quantizers]
        assert revivals == [0.5 if state.step == 1 else 0.0] * len(revivals)


def test_learning_rate_warms_up_and_falls_to_a_hundredth():
    settings = TrainingSettings(steps=1000, warmup=100, learning_rate=0.5)
    rates = np.array([learning_rate(step, settings) for step in range(1, 1001)])
    cosine = 0.505 + 0.495 * np.cos(np.pi * np.arange(1, 1001) / 1000)
    np.testing.assert_allclose(rates[99:], 0.5 * cosine[99:])
    np.testing.assert_allclose(rates[:100] / cosine[:100], 0.5 * np.arange(1, 101) / 100)
    assert rates.argmax() in range(90, 110) and (np.diff(rates[110:]) < 0).all()
    assert rates[-1] == pytest.approx(0.005)
    assert learning_rate(1, TrainingSettings(steps=10, warmup=0, learning_rate=1)) > 0.9


def test_the_average_moves_towards_the_model(tiny_settings, random_model):
    model, average = random_model(tiny_settings(), seed=1), random_model(tiny_settings(), seed=2)
    average.quantizer.quantizers[0].codebook.initialized.fill_(False)
    old = {name: value.clone() for name, value in average.state_dict().items()}
    update_average(average, model, 0.75)
    for name, value in average.state_dict().items():
        new = model.state_dict()[name]
        expected = 0.75 * old[name] + 0.25 * new if new.is_floating_point() else new
        torch.testing.assert_close(value, expected, msg=name)


def test_random_numbers_follow_from_seed_step_and_process():
    drawn = {}
    for key in [(0, 1, 0), (0, 2, 0), (1, 1, 0), (0, 1, 1)]:
        drawn[key] = float(torch.rand(1, generator=step_generator(*key))), float(torch.rand(1))
        assert drawn[key] == (float(torch.rand(1, generator=step_generator(*key))), float(torch.rand(1)))
    assert len({own for own, _ in drawn.values()}) == 4
    assert drawn[0, 1, 0][1] == drawn[0, 1, 1][1]       # what processes decide together, they draw alike
    assert len({shared for _, shared in drawn.values()}) == 3


# --- two processes


def train_one_of_two(rank, recipe, path, run):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=os.environ["ECGVAE_TEST_PORT"], ACCELERATE_USE_CPU="true")
    Validation.draw_picture = lambda *_: None
    PartialState(cpu=True, backend="gloo")
    states, original = [], loop.init_state
    loop.init_state = lambda *arguments: states.append(original(*arguments)) or states[-1]
    train(recipe, Store(path), run)
    torch.save({"model": states[0].model.state_dict(), "average": states[0].average.state_dict()},
               run.with_name(f"{rank}.pt"))
    torch.distributed.destroy_process_group()


def test_two_processes_train_one_model(store, recipe, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ECGVAE_TEST_PORT", str(free.getsockname()[1]))
    short = changed(recipe, steps=3, log_every=1)
    multiprocessing.spawn(train_one_of_two, (short, store.path, tmp_path / "run"), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert same(first, second)
    kept = checkpoint.load(tmp_path / "run" / "model").state_dict()
    assert same(dict(kept), dict(first["average"]))
    assert pd.read_csv(tmp_path / "run" / "log.csv")["step"].tolist() == [1, 2, 3]
