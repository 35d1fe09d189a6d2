"""The file state.pt: damage is noticed, forged values are refused in one line, and no diverged state is saved."""

import copy
import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trainings import changed, mistake, results, same

from ecgvae.files import locked_folder
from ecgvae.training import loop
from ecgvae.training.adversarial import AdversarialSettings
from ecgvae.training.loop import init_state, make_task, train
from ecgvae.training.state import read_state
from ecgvae.training.validation import Validation

STEPS = 2
ODD_VALUES = st.sampled_from([None, True, -1, 0, 10**30, 1e300, float("nan"), "text", b"bytes", [], {}, {"a": 1},
                              {0: {}}, torch.zeros(3), torch.zeros(()), torch.zeros(2, dtype=torch.complex64),
                              torch.ones(0), torch.zeros(1).expand(10**9), torch.zeros(3).to_sparse(),
                              torch.zeros(3, device="meta")])


@pytest.fixture(scope="module")
def short(recipe):
    return changed(recipe.model_copy(update={"adversarial": AdversarialSettings(start=0, width=4)}), steps=STEPS)


@pytest.fixture(scope="module")
def run(store, short, tmp_path_factory):
    """A finished run of two steps with an adversary."""
    run = tmp_path_factory.mktemp("state") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "draw_picture", lambda *_: None)
        train(short, store, run)
    return run


@pytest.fixture(scope="module")
def state(store, short):
    return init_state(make_task(short, store, torch.device("cpu")))


def load_error(state, path) -> str:
    with pytest.raises(ValueError) as error:
        state.load(path, STEPS)
    assert "\n" not in str(error.value) and str(path) in str(error.value) and len(str(error.value)) < 500
    return str(error.value)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_noticed_or_has_no_effect(run, tmp_path, data):
    content = bytearray((run / "state.pt").read_bytes())
    expected = read_state(run / "state.pt").model_dump()
    if data.draw(st.booleans()):
        content = content[:data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    try:
        assert same(read_state(path).model_dump(), expected)
    except ValueError as error:
        assert str(error) == f"{path} is damaged; wanted the state of this run"


@pytest.mark.parametrize(("change", "expected"), [
    (lambda values: values.update(step=-1), "step: Input should be greater than or equal to 1 (got -1)"),
    (lambda values: values.update(step=10**30), f"has step {10**30}; wanted one of the run's 2"),
    (lambda values: values.update(step="2"), "step: Input should be a valid integer (got '2')"),
    (lambda values: values.update(step=1.0), "step: Input should be a valid integer (got 1.0)"),
    (lambda values: values.update(step=True), "step: Input should be a valid integer (got True)"),
    (lambda values: values.update(step=torch.ones(2)), "step: Input should be a valid integer"),
    (lambda values: values.pop("average"), "average: Field required"),
    (lambda values: values.update(model=[]), "model: Input should be a valid dictionary (got [])"),
    (lambda values: values["model"].pop("encoder.project.weight"), "model lacks encoder.project.weight"),
    (lambda values: values["model"].update(more=torch.ones(1)), "model has the unknown more"),
    (lambda values: values["average"].update({"encoder.project.weight": torch.ones(3)}),
     "average.encoder.project.weight is torch.float32 (3,); wanted torch.float32 (8, 32, 1)"),
    (lambda values: values["model"]["encoder.project.weight"].fill_(float("nan")),
     "has model.encoder.project.weight with NaN or infinity: the training diverged; start it again"),
    (lambda values: values["optimizer"]["state"].update({9999: {}}), "optimizer has parameter 9999 of "),
    (lambda values: values["optimizer"]["state"][0].pop("momentum"), "optimizer.0 lacks momentum"),
    (lambda values: values["optimizer"]["state"][0].update(momentum=torch.ones(2)), "optimizer.0.momentum is "),
    (lambda values: values["adversary"]["optimizer"]["state"][0].update(step=torch.ones(2)),
     "optimizer of the adversary.0.step is "),
    (lambda values: values.pop("adversary"), "only one of the recipe and the state has an adversary"),
])
def test_forged_values_are_refused(state, run, tmp_path, change, expected):
    values = torch.load(run / "state.pt", weights_only=True)
    change(values)
    torch.save(values, tmp_path / "state.pt")
    assert expected in load_error(copy.deepcopy(state), tmp_path / "state.pt")


def nested_keys(values, path=()):
    """The paths of all keys in nested dictionaries."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from nested_keys(value, (*path, key))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_forged_value_loads_or_is_refused(state, run, tmp_path, data):
    values = torch.load(run / "state.pt", weights_only=True)
    *blocks, key = data.draw(st.sampled_from(sorted(nested_keys(values), key=str)))
    block = values
    for name in blocks:
        block = block[name]
    block[key] = data.draw(ODD_VALUES)
    path = tmp_path / "state.pt"
    torch.save(values, path)
    try:
        copy.deepcopy(state).load(path, STEPS)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 500 and str(path) in str(error)


def test_the_settings_of_optimizers_come_from_the_recipe(state, run, tmp_path):
    values = torch.load(run / "state.pt", weights_only=True)
    for optimizer in (values["optimizer"], values["adversary"]["optimizer"]):
        optimizer["param_groups"] = [{"lr": "text", "params": None}]
    torch.save(values, tmp_path / "state.pt")
    loaded = copy.deepcopy(state)
    loaded.load(tmp_path / "state.pt", STEPS)
    assert loaded.optimizer.state_dict()["param_groups"] == state.optimizer.state_dict()["param_groups"]
    assert loaded.step == STEPS and same(loaded.values()["model"], values["model"])


@pytest.mark.parametrize(("part", "poisoned_step"), [("model", 7), ("average", 12), ("optimizer", 12)])
def test_a_state_that_is_not_finite_is_not_saved(store, recipe, tmp_path, monkeypatch, without_pictures, part,
                                                 poisoned_step):
    """The loss is logged at step 1 only. The last good state is resumed and ends as if nothing had happened."""
    settings = changed(recipe, log_every=100, validate_every=100)
    step = loop.training_step

    def poison(state, *arguments):
        values = step(state, *arguments)
        if state.step == poisoned_step:
            tensors = {"model": lambda: state.model.state_dict().values(),
                       "average": lambda: state.average.state_dict().values(),
                       "optimizer": lambda: [entry["momentum"] for entry in state.optimizer.state.values()
                                             if "momentum" in entry]}[part]()
            next(iter(tensors)).view(-1)[0] = torch.inf
        return values

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_step", poison)
        message = mistake(ValueError, settings, store, tmp_path / "run")
    last_good = 4 if poisoned_step == 7 else 8
    assert f"has NaN or infinity after step {last_good + 4}, which is not saved; wanted a lower" in message
    assert read_state(tmp_path / "run" / "state.pt").step == last_good
    assert not (tmp_path / "run" / "model").exists()
    if poisoned_step == 7:
        train(settings, store, tmp_path / "run", resume=True)
        train(settings, store, tmp_path / "uninterrupted")
        assert same(results(tmp_path / "run"), results(tmp_path / "uninterrupted"))


def test_a_folder_has_one_training_at_a_time(store, recipe, tmp_path, without_pictures):
    run, two_steps = tmp_path / "run", changed(recipe, steps=2)

    def again(*_):
        for resume in (False, True):
            assert mistake(OSError, two_steps, store, run, resume=resume).endswith("is in use by another run")

    run.mkdir()
    with locked_folder(run):
        assert mistake(OSError, two_steps, store, run).endswith("is in use by another run")
    assert not list(run.iterdir())
    train(two_steps, store, run, progress=lambda *_: again() if not (run / "log.csv").exists() else None)
    assert not (run / "lock").exists()


def test_what_a_killed_training_left_is_removed(store, recipe, tmp_path, without_pictures):
    run, two_steps = tmp_path / "run", changed(recipe, steps=2)
    train(two_steps, store, run)
    before = results(run)
    (run / "pictures").mkdir()
    (run / "model.partial").mkdir()
    for name in ("state.pt.tmp", "log.csv.tmp", "pictures/.step-000002.4711.png", "pictures/step-000002.png.tmp",
                 "model.partial/config.json", "lock"):
        (run / name).write_text("half")
    (run / "pictures" / "step-000001.png").write_text("whole")
    train(two_steps, store, run, resume=True)
    assert (run / "pictures" / "step-000001.png").exists()
    (run / "pictures" / "step-000001.png").unlink()
    assert same(results(run), before)


def test_a_pipe_is_no_state(state, tmp_path):
    os.mkfifo(tmp_path / "state.pt")
    assert "state.pt is a named pipe; wanted the state of a run" in load_error(state, tmp_path / "state.pt")
