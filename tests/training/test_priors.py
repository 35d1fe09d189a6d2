"""The training of priors: from a store and from tokens, resumed, ended early, and what does not fit."""

import numpy as np
import pandas as pd
import pytest
import torch
from stores import write_store
from trainings import changed, mistake, results, same

import ecgvae
from ecgvae import checkpoint
from ecgvae.data.training_data import is_training_record
from ecgvae.signal import LEADS_12
from ecgvae.training.loop import is_finished, make_task, train
from ecgvae.training.prior_data import StoreWindows
from ecgvae.training.recipe import AugmentSettings, PriorRecipe
from ecgvae.training.state import Best

TINY = {"kind": "autoregressive", "width": 16, "layers": 1, "heads": 2, "code_width": 8, "depth_width": 16,
        "depth_heads": 2}


@pytest.fixture(scope="module")
def tokenizer_folder(tiny_settings, random_model, tmp_path_factory) -> str:
    """A random tokenizer."""
    model = random_model(tiny_settings())
    return str(checkpoint.save(model, tmp_path_factory.mktemp("tokenizer") / "model"))


@pytest.fixture(scope="module")
def prior_recipe(tokenizer_folder) -> PriorRecipe:
    return PriorRecipe(prior=TINY, autoencoder=tokenizer_folder, codebooks=2,
                       augment={"gain": 0.1, "stretch": 0.05, "rotation": 5, "mixing": 0.02},
                       training={"steps": 12, "batch_size": 4, "window": 4, "warmup": 3, "log_every": 3,
                                 "validate_every": 5, "save_every": 4, "precision": "fp32", "learning_rate": 0.01})


@pytest.fixture(scope="module")
def token_file(store, tokenizer_folder, tmp_path_factory):
    tokenizer = ecgvae.Tokenizer.load(tokenizer_folder, "cpu")
    tokens = tokenizer.encode_many([store.record(row) for row in range(len(store))])
    path = tmp_path_factory.mktemp("tokens") / "tokens.parquet"
    return ecgvae.open_tokens(ecgvae.write_tokens(path, tokenizer.header(), tokens))


def plain(recipe: PriorRecipe) -> PriorRecipe:
    """Without augmentation, as tokens have none."""
    return recipe.model_copy(update={"augment": type(recipe.augment)()})


def test_the_loss_that_is_logged_is_that_of_the_saved_prior(store, prior_recipe, tokenizer_folder, tmp_path):
    folder = train(plain(prior_recipe), store, tmp_path / "run")
    rows = pd.read_csv(tmp_path / "run" / "validation.csv")
    best = rows.loc[rows["loss"].idxmin()]
    config = checkpoint.prior_config(folder)
    assert config["metrics"]["loss"] == best["loss"] and config["metrics"]["step"] == best["step"]
    prior, tokenizer = checkpoint.load_prior(folder), checkpoint.load(tokenizer_folder)
    x = torch.stack([torch.from_numpy(store.signal(row, 0, 400)[[0, 1, *range(6, 12)]])
                     for row in store.split("validation")])
    codes = prior.layout.pack([row.long() for row in tokenizer.tokenize(x, 2)])
    assert float(-prior.log_prob(codes).mean()) == pytest.approx(best["loss"], rel=1e-4)
    rate = sum(100 / spec.hop for spec in prior.layout.codebooks)
    assert best["bits_per_second"] == pytest.approx(best["loss"] / 0.693147 * rate, rel=1e-4)
    known = checkpoint.training_records(folder)
    assert known is not None and is_training_record(store.record(store.split("train")[0]), tokenizer.signal, known)


@pytest.mark.parametrize("source", ["store", "tokens"])
def test_a_resumed_training_equals_an_uninterrupted_one(source, store, token_file, prior_recipe, tmp_path):
    recipe, data = (prior_recipe, store) if source == "store" else (plain(prior_recipe), token_file)

    def stop(step: int, _: dict) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, tmp_path / "run", progress=stop)
    train(recipe, data, tmp_path / "run", resume=True)
    train(recipe, data, tmp_path / "uninterrupted")
    assert same(results(tmp_path / "run"), results(tmp_path / "uninterrupted"))


def test_a_training_ends_when_it_has_not_improved(store, prior_recipe, tmp_path, monkeypatch):
    """Validations after steps 2, 4, ...: the loss rises from the second on, so the training ends after the fourth."""
    losses = iter([1.0, 0.5, 0.7, 0.6, 0.4])
    recipe = changed(prior_recipe, validate_every=2, patience=2)
    monkeypatch.setattr("ecgvae.training.priors.PriorTask.validate", lambda *_: ({"loss": next(losses)}, None))
    folder = train(recipe, store, tmp_path / "run")
    metrics = checkpoint.prior_config(folder)["metrics"]
    assert (metrics["loss"], metrics["step"]) == (0.5, 4)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["step"] == 8
    assert same(dict(checkpoint.load_prior(folder).state_dict()), state["best"]["weights"])
    assert train(recipe, store, tmp_path / "run", resume=True) == folder       # takes no further step
    task = make_task(recipe, store, torch.device("cpu"))
    state = task.init_state()
    state.step, state.best = 4, Best(0.5, 2, {})
    assert not is_finished(state, task)


def test_a_prior_starts_with_the_vectors_of_its_tokenizer(store, prior_recipe, tokenizer_folder):
    state = make_task(prior_recipe, store, torch.device("cpu")).init_state()
    vectors = checkpoint.load(tokenizer_folder).code_vectors()[0]
    table = state.model.embedding.tables[0].weight.detach()
    distances, wanted = torch.cdist(table, table), torch.cdist(vectors, vectors)
    assert torch.corrcoef(torch.stack([distances.flatten(), wanted.flatten()]))[0, 1] > 0.7


def test_no_time_of_a_window_runs_backwards(prior_recipe, tmp_path, monkeypatch):
    """Windows of rising signals rise, are whole frames, and have the length that stretching leaves."""
    ramps = np.broadcast_to(np.arange(1000) / 1000, (4, 12, 1000)).astype(np.float32)
    ramps = write_store(tmp_path / "ramps", ramps, LEADS_12)
    model = checkpoint.load(prior_recipe.autoencoder)
    prior = make_task(prior_recipe, ramps, torch.device("cpu")).init_state().model
    recipe = prior_recipe.model_copy(update={"augment": AugmentSettings(stretch=0.2, gain=0, mixing=0)})
    windows = StoreWindows(recipe, ramps, "train", model, prior, torch.device("cpu"))
    monkeypatch.setattr(windows, "encode", lambda x: x)
    lengths = set()
    for seed in range(20):
        x, _ = windows.draw(2, torch.Generator().manual_seed(seed))
        inner = x[:, -6:, 20:-20]       # chest leads; at the ends interpolation has less to weigh
        assert x.shape[-1] % model.total_hop == 0 and float(inner.diff().min()) > 0
        slope = float(inner.diff().median()) * 1000
        assert 0 <= min(400, 400 / slope) + 1 - x.shape[-1] <= model.total_hop + 1
        lengths.add(x.shape[-1])
    assert min(lengths) < 350 and max(lengths) == 396       # whole frames of 400 samples


def test_a_window_that_stretching_leaves_nothing_of_is_refused(store, prior_recipe, tmp_path):
    recipe = changed(prior_recipe, window=0.08)
    recipe = recipe.model_copy(update={"augment": AugmentSettings(stretch=0.4)})
    assert "of which augment.stretch may leave" in mistake(ValueError, recipe, store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("update", "message"), [
    ({"codebooks": 9}, "codebooks is 9; the autoencoder has "),
    ({"autoencoder": "ptbxl-vae-conv", "codebooks": None}, "over a continuous latent; wanted a tokenizer's codebooks"),
    ({"autoencoder": "ptbxl-vae-conv"}, "codebooks is 2, but the autoencoder has none"),
])
def test_an_autoencoder_that_does_not_fit_is_refused(update, message, store, prior_recipe, tmp_path):
    assert message in mistake(ValueError, prior_recipe.model_copy(update=update), store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tokens_that_do_not_fit_are_refused(token_file, prior_recipe, recipe, tmp_path):
    def refusal(changed_recipe) -> str:
        return mistake(ValueError, changed_recipe, token_file, tmp_path / "run")

    assert "has tokens, which can't be augmented" in refusal(prior_recipe)
    other = plain(prior_recipe).model_copy(update={"autoencoder": "ptbxl-vqvae-conv"})
    assert "the recipe wants ptbxl-vqvae-conv" in refusal(other)
    labelled = PriorRecipe(prior=TINY | {"condition": {"sex": True}}, autoencoder=prior_recipe.autoencoder)
    assert "has no labels; wanted a store" in refusal(labelled)
    assert "wanted a shorter training.window" in refusal(changed(plain(prior_recipe), window=20))
    assert "is a token file; wanted a store" in refusal(recipe)


def test_other_data_are_not_resumed(store, token_file, prior_recipe, tmp_path):
    train(changed(plain(prior_recipe), save_every=1), store, tmp_path / "run")
    message = mistake(ValueError, changed(plain(prior_recipe), save_every=1), token_file, tmp_path / "run", resume=True)
    assert "is of other data; wanted those that the run was started with" in message
