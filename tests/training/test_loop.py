"""Training: a batch is learned, an interrupted run ends as the unbroken one, and the parts do what they say."""

import copy
import os
import socket

import numpy as np
import pandas as pd
import pytest
import torch
import torch.multiprocessing as multiprocessing
from accelerate import Accelerator, PartialState

from ecgvae import checkpoint, metrics
from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.signal import write_record
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.training import loop
from ecgvae.training.batches import Batch
from ecgvae.training.log import Log, Table
from ecgvae.training.loop import follow, init_state, learning_rate, seeded, train, training_step
from ecgvae.training.recipe import Augmentation, Recipe, Training
from ecgvae.training.validation import Validation


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Twelve records of 10 s, ten of them to learn from."""
    folder = tmp_path_factory.mktemp("training")
    for seed in range(12):
        condition = list(CONDITIONS)[seed % len(CONDITIONS)]
        write_record(simulate(condition, seconds=10, rate=100, seed=seed), folder / "records", f"{seed:02}")
    labels = pd.DataFrame({"fold": [1 + min(seed, 8) if seed < 10 else 9 for seed in range(12)]},
                          index=[f"{seed:02}" for seed in range(12)])
    return build_store(folder / "records", folder / "store", workers=1, labels=labels)


@pytest.fixture(scope="module")
def recipe(tiny) -> Recipe:
    """Twelve steps, with everything that draws random numbers switched on."""
    return Recipe(model=tiny(quantizer={"dead_code_threshold": 0.5}), augment={"gain": 0.2, "mixing": 0.05, "stretch": 0.1},
                  loss={"derivative": 0.1, "spectral": 0.1},
                  training={"steps": 12, "batch_size": 6, "window": 2, "warmup": 3, "log_every": 3,
                            "validate_every": 5, "save_every": 4, "precision": "fp32"})


def changed(recipe: Recipe, **training) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(Validation, "draw", lambda *_: None)


def results(run) -> dict:
    """All that a run leaves behind, but for TensorBoard's events, whose names hold the time."""
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


# --- the whole


def test_a_run_leaves_a_model_logs_pictures_and_its_recipe(store, recipe, tmp_path):
    run, steps = tmp_path / "run", []
    folder = train(changed(recipe, steps=2), store, run, progress=lambda step, values: steps.append((step, values)))
    assert [step for step, _ in steps] == [0, 1, 2]
    assert {"loss", "prdn", "derivative", "spectral", "commitment", "perplexity", "gradient"} <= steps[-1][1].keys()
    log, validation = pd.read_csv(run / "log.csv"), pd.read_csv(run / "validation.csv")
    assert log["step"].tolist() == [1] and validation["step"].tolist() == [2]
    weights = recipe.loss.model_dump()
    terms = sum(weights[name] * log[name] for name in ("prdn", "derivative", "spectral", "commitment"))
    np.testing.assert_allclose(log["loss"], terms, rtol=1e-5)
    assert [path.name for path in (run / "pictures").iterdir()] == ["step-000002.png"]
    assert any((run / "tensorboard").iterdir())
    assert Recipe.model_validate_json((run / "recipe.json").read_text()) == changed(recipe, steps=2)
    config = checkpoint.config(folder)
    assert config["metrics"] == {name: validation[name][0] for name in validation if name != "step"}
    assert (config["training"]["fingerprint"], config["training"]["records"]) == (store.fingerprint, 8)
    assert checkpoint.load(folder).settings == recipe.model


def test_validation_is_what_metrics_say_of_the_kept_model(store, recipe, tmp_path, undrawn):
    train(changed(recipe, steps=3), store, tmp_path / "run")
    model = checkpoint.load(tmp_path / "run" / "model")
    rows = store.split("validation")
    true = np.stack([store.signal(row) for row in rows])
    x = torch.from_numpy(true[:, [0, 1, 6, 7, 8, 9, 10, 11]])
    with torch.inference_mode():
        made = model.all_leads(model.detokenize(model.tokenize(x)[:2], x.shape[-1])).numpy()
    said = checkpoint.config(tmp_path / "run" / "model")["metrics"]["prdn_2"]
    assert said == pytest.approx(np.nanmean(metrics.prdn(true, made)), rel=1e-2)     # the store's leads are rounded


class Interrupted(Exception):
    """Stands for whatever kills a run."""


@pytest.fixture(scope="module")
def unbroken(store, recipe, tmp_path_factory) -> dict:
    run = tmp_path_factory.mktemp("unbroken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "draw", lambda *_: None)
        train(recipe, store, run)
    found = results(run)
    assert set(found["files"]) == {"recipe.json", "log.csv", "validation.csv", "model/config.json",
                                   "model/model.safetensors"}
    return found


@pytest.mark.parametrize("step", [0, 2, 6, 12])
def test_stopped_at_a_step_and_resumed_it_is_the_unbroken_run(store, recipe, tmp_path, undrawn, unbroken, step):
    def stop(now, _):
        if now == step:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(recipe, store, tmp_path / "run", progress=stop)
    train(recipe, store, tmp_path / "run", resume=True)
    assert same(results(tmp_path / "run"), unbroken)


@pytest.mark.parametrize("name", ["torch.save", "ecgvae.checkpoint.put", "ecgvae.training.log.Log.validation"])
@pytest.mark.parametrize("call", [1, 2])
def test_stopped_while_it_saves_it_is_the_unbroken_run(store, recipe, tmp_path, undrawn, unbroken, monkeypatch, name,
                                                      call):
    module, attribute = name.rsplit(".", 1)
    calls = []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise Interrupted
        return original(*arguments)

    with monkeypatch.context() as patch:
        target = {"torch": torch, "ecgvae.checkpoint": checkpoint, "ecgvae.training.log.Log": Log}[module]
        original = getattr(target, attribute)
        patch.setattr(target, attribute, stopping)
        try:
            train(recipe, store, tmp_path / "run")
        except Interrupted:
            pass
        else:
            assert call > len(calls)        # a model is put in place once only
    train(recipe, store, tmp_path / "run", resume=True)
    assert same(results(tmp_path / "run"), unbroken)


def test_a_finished_run_stays_as_it_is(store, recipe, tmp_path, undrawn):
    short = changed(recipe, steps=2)
    folder = train(short, store, tmp_path / "run")
    before = results(tmp_path / "run")
    assert train(short, store, tmp_path / "run", resume=True) == folder
    assert same(results(tmp_path / "run"), before)


def test_a_torn_row_of_the_log_is_dropped(tmp_path):
    path = tmp_path / "log.csv"
    table = Table(path, 0)
    for step in (1, 10, 20):
        table.append({"step": step, "loss": step / 7})
    whole = path.read_text()
    for torn in ("3", "30", "30,4", "1"):
        path.write_text(whole + torn)
        again = Table(path, 25)
        assert path.read_text() == whole and again.last_row == {"loss": 20 / 7}
    Table(path, 10).append({"step": 20, "loss": 20 / 7})
    assert path.read_text() == whole
    for beginning in ("", "step", "step,loss\n"):
        path.write_text(beginning)
        assert Table(path, 25).last_row == {}
        Table(path, 25).append({"step": 1, "loss": 0.5})
        assert path.read_text() == "step,loss\n1,0.5\n"


def mistake(error, *arguments, **options) -> str:
    with pytest.raises(error) as raised:
        train(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_run_is_claimed(store, recipe, tmp_path, undrawn):
    run, short = tmp_path / "run", changed(recipe, steps=1)
    assert "holds no run to resume" in mistake(FileNotFoundError, short, store, run, resume=True)
    train(short, store, run)
    before = results(run)
    assert "holds a run; use --resume to go on with it or another --out" in mistake(FileExistsError, short, store, run)
    assert "recipe.json differs from the recipe given" in mistake(
        ValueError, changed(recipe, steps=2), store, run, resume=True)
    assert same(results(run), before)


def test_a_run_is_resumed_with_its_own_store_and_state(store, recipe, tmp_path, undrawn):
    run, short = tmp_path / "run", changed(recipe, steps=1)
    train(short, store, run)
    other = copy.copy(store)
    other.fingerprint = "0"
    assert "state.pt is of another store; a run is resumed with its own" in mistake(
        ValueError, short, other, run, resume=True)
    whole = (run / "state.pt").read_bytes()
    for damage in (whole[:1000], b"", b"state"):
        (run / "state.pt").write_bytes(damage)
        assert "state.pt is damaged, or not of this recipe" in mistake(ValueError, short, store, run, resume=True)


@pytest.mark.parametrize(("part", "change", "said"), [
    ("training", {"window": 0.1}, "training.window is 0.1 s; wanted 64 samples or more, 0.64 s"),
    ("signal", {"rate": 250}, "has a rate of 100 Hz; the recipe wants 250"),
    ("signal", {"leads": ("I", "V7")}, "the model wants I, V7"),
])
def test_what_does_not_fit_the_store_is_said_before_anything_is_written(store, recipe, tiny, tmp_path, part, change,
                                                                       said):
    wrong = (changed(recipe, **change) if part == "training"
             else recipe.model_copy(update={"model": tiny(signal=change)}))
    assert said in mistake(ValueError, wrong, store, tmp_path / "run")
    assert not (tmp_path / "run" / "log.csv").exists()
    assert said in mistake(ValueError, wrong, store, tmp_path / "run")      # not that a run is there


# --- a step


def test_one_batch_is_learned(store, recipe):
    x = torch.stack([torch.from_numpy(store.signal(row)[[0, 1, *range(6, 12)]]) for row in range(6)])[..., 100:300]
    plain = recipe.model_copy(update={"augment": Augmentation()})
    plain = changed(plain, steps=60, warmup=5, learning_rate=0.01)
    accelerator = Accelerator(mixed_precision="no")
    state = init_state(plain, store, accelerator.device)
    losses = []
    for state.step in range(1, 31):
        losses.append(training_step(state, state.model, state.optimizer, Batch(x, x), plain, accelerator)["prdn"])
    assert sum(losses[-5:]) / 5 < sum(losses[:5]) / 5 - 0.25       # logarithms: a quarter of the error is gone


def test_a_training_begins_with_a_trained_model(store, recipe, tiny, learned, tmp_path):
    trained = learned(recipe.model)
    folder = str(checkpoint.save(trained, tmp_path / "model"))
    state = init_state(changed(recipe, start_from=folder), store, torch.device("cpu"))
    for name, value in trained.state_dict().items():
        assert torch.equal(state.model.state_dict()[name], value)
        assert torch.equal(state.average.state_dict()[name], value)
    other = changed(recipe.model_copy(update={"model": tiny(quantizer={"dead_code_threshold": 0.25})}), start_from=folder)
    assert mistake(ValueError, other, store, tmp_path / "run") == (
        f"training.start_from: {folder} has model.quantizer.dead_code_threshold 0.5, the recipe 0.25; wanted the same")
    assert not (tmp_path / "run").exists()


def test_a_step_settles_books_by_how_far_the_run_is(store, recipe):
    accelerator = Accelerator(mixed_precision="no")
    state = init_state(recipe, store, accelerator.device)
    x = torch.randn(4, 8, 200)
    for state.step in (1, recipe.training.steps):
        training_step(state, state.model, state.optimizer, Batch(x, x), recipe, accelerator)
        revivals = [float(level.codebook.revival_threshold) for level in state.model.quantizer.quantizers]
        assert revivals == [0.5 if state.step == 1 else 0.0] * len(revivals)


def test_learning_rate_warms_up_and_falls_to_a_hundredth():
    settings = Training(steps=1000, warmup=100, learning_rate=0.5)
    rates = np.array([learning_rate(step, settings) for step in range(1, 1001)])
    cosine = 0.505 + 0.495 * np.cos(np.pi * np.arange(1, 1001) / 1000)
    np.testing.assert_allclose(rates[99:], 0.5 * cosine[99:])
    np.testing.assert_allclose(rates[:100] / cosine[:100], 0.5 * np.arange(1, 101) / 100)
    assert rates.argmax() in range(90, 110) and (np.diff(rates[110:]) < 0).all()
    assert rates[-1] == pytest.approx(0.005)
    assert learning_rate(1, Training(steps=10, warmup=0, learning_rate=1)) > 0.9


def test_the_average_follows(tiny, learned):
    model, average = learned(tiny(), seed=1), learned(tiny(), seed=2)
    average.quantizer.quantizers[0].codebook.initialized.fill_(False)
    old = {name: value.clone() for name, value in average.state_dict().items()}
    follow(average, model, 0.75)
    for name, value in average.state_dict().items():
        new = model.state_dict()[name]
        wanted = 0.75 * old[name] + 0.25 * new if new.is_floating_point() else new
        torch.testing.assert_close(value, wanted, msg=name)


def test_random_numbers_follow_from_seed_step_and_process():
    drawn = {}
    for key in [(0, 1, 0), (0, 2, 0), (1, 1, 0), (0, 1, 1)]:
        drawn[key] = float(torch.rand(1, generator=seeded(*key))), float(torch.rand(1))
        assert drawn[key] == (float(torch.rand(1, generator=seeded(*key))), float(torch.rand(1)))
    assert len({own for own, _ in drawn.values()}) == 4
    assert drawn[0, 1, 0][1] == drawn[0, 1, 1][1]       # what processes decide together, they draw alike
    assert len({shared for _, shared in drawn.values()}) == 3


# --- two processes


def train_one_of_two(rank, recipe, path, run):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=os.environ["ECGVAE_TEST_PORT"], ACCELERATE_USE_CPU="true")
    Validation.draw = lambda *_: None
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
