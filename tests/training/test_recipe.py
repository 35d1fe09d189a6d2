"""Recipes: an error is one line that names the key, and an override sets the value that it names."""

import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.models import VQVAESettings
from ecgvae.training.recipe import Recipe, apply_override, read_recipe

BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]\n" for n in range(20))
PLAIN = "model: {family: vqvae, latent: 16, backbone: {kind: conv}}\ntraining: {steps: 7}\n"


@pytest.fixture
def recipe(tmp_path):
    def write(text=PLAIN, encoding="utf-8"):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text.encode(encoding))
        return path
    return write


def mistake(*arguments) -> str:
    with pytest.raises(ValueError) as error:
        read_recipe(*arguments)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    return message


def test_a_recipe_is_read_with_its_defaults(recipe):
    read = read_recipe(recipe())
    assert isinstance(read.model, VQVAESettings)
    assert (read.model.latent, read.training.steps, read.training.seed) == (16, 7, 0)
    assert (read.loss.prdn, read.loss.derivative) == (1, 0)
    assert Recipe.model_validate_json(read.model_dump_json()) == read


def test_overrides_replace_the_file_s_values(recipe):
    read = read_recipe(recipe(), ("training.steps=9", "model.quantizer.gradient=rotation", "loss.spectral=1e-1",
                                  "model.backbone.strides=[5, 2]", "training.steps=8", "training.precision=fp32"))
    assert (read.training.steps, read.loss.spectral, read.training.precision) == (8, 0.1, "fp32")
    assert (read.model.quantizer.gradient, read.model.backbone.strides) == ("rotation", (5, 2))


@pytest.mark.parametrize(("override", "expected"), [
    ("model.latnt=3", "model.latnt: unknown key; did you mean latent?"),
    ("model.backbone.strids=[2]", "model.backbone.strids: unknown key; did you mean strides?"),
    ("model.backbone.encoder.width=[2]", "model.backbone.encoder.width: unknown key; did you mean widths?"),
    ("model.quantizer.dekay=0.9", "model.quantizer.dekay: unknown key; did you mean decay?"),
    ("model.signal.rates=0.9", "model.signal.rates: "),
    ("modle.latent=3", "modle: unknown key; did you mean model?"),
    ("training.steps=many", "training.steps: Input should be a valid integer"),
    ("training.steps=0", "training.steps: Input should be greater than or equal to 1 (got 0)"),
    ("training.steps=1.5", "training.steps: Input should be a valid integer"),
    ("training.steps=true", "training.steps: wanted no true or false (got True)"),
    ("training.betas=[0.9, false]", "training.betas: wanted no true or false (got [0.9, False])"),
    ("training.init_from=yes", "training.init_from: wanted no true or false (got True)"),
    ("training.window=1e300", "training.window: Input should be less than or equal to 86400 (got '1e300')"),
    ("training.window=1e400", "training.window: Input should be"),
    ("training.window=.nan", "training.window: Input should be a finite number (got nan)"),
    ("training.steps=1000000000000", "training.steps: Input should be less than or equal to 1000000000"),
    ("training.batch_size=1000000000000", "training.batch_size: Input should be less than or equal to 1048576"),
    ("training.seed=99999999999999999999", "training.seed: Input should be less than 9223372036854775808"),
    ("training.learning_rate=1e300", "training.learning_rate: Input should be less than or equal to 1000"),
    ("loss.prdn=1e300", "loss.prdn: Input should be less than or equal to 1000000000"),
    ("noise={snr_db: [0, 1e300]}", "noise.snr_db.1: Input should be less than or equal to 200"),
    ("model.signal.rate=1e300", "model.signal.rate: Input should be less than or equal to 100000"),
    ("training.learning_rate=.inf", "training.learning_rate: Input should be a finite number (got inf)"),
    ("training.betas=[0.9, 1.0]", "training.betas.1: Input should be less than 1 (got 1.0)"),
    ("training.precision=fp64", "training.precision: Input should be 'fp32', 'bf16' or 'auto' (got 'fp64')"),
    ("loss.prdn=-1", "loss.prdn: Input should be greater than or equal to 0 (got -1)"),
    ("loss.prdn=.nan", "loss.prdn: Input should be a finite number (got nan)"),
    ("loss.beauty=1", "loss.beauty: unknown key; wanted one of prdn, derivative, "),
    ("loss.evennes=1", "loss.evennes: unknown key; "),
    ("loss.comitment=1", "loss.comitment: unknown key; did you mean commitment?"),
    ("training.learnig_rate=1", "training.learnig_rate: unknown key; did you mean learning_rate?"),
    ("noise.snr_bd=[0, 1]", "noise.snr_bd: unknown key; did you mean snr_db?"),
    ("adversarial.wieght=1", "adversarial.wieght: unknown key; did you mean weight?"),
    ("augment.strech=0.1", "augment.strech: unknown key; did you mean stretch?"),
    ("augment.stretch=0.5", "augment.stretch: Input should be less than or equal to 0.4 (got 0.5)"),
    ("model.latent=1000000000", "model.latent: Input should be less than or equal to 16384 (got 1000000000)"),
    ("model.backbone.strides=[2]",
     "model.backbone: encoder has 2 widths and 2 dilations; it must have one of each for the 1 strides"),
    ("model.backbone=lstm", "model.backbone: wanted one of conv, transformer, conv-tiny, "),
    ("model.family=gan", "model.family is 'gan'; wanted one of ae, "),
    ("model=", "model: "),
    ("model=7", "model: "),
    ("model=[1]", "model: "),
    ("loss=", "loss: Input should be a valid dictionary or instance of LossWeights (got None)"),
    ("training.seed=[" + "1, " * 5000 + "1]", "training.seed: Input should be a valid integer"),
    ('"tr\\nick"=1', "nick"),
])
def test_a_wrong_value_is_named_with_its_key(recipe, override, expected):
    path = recipe()
    message = mistake(path, (override,))
    assert message.startswith(f"{path}: ") and expected in message


@pytest.mark.parametrize(("override", "expected"), [
    ("training.steps", "--set training.steps; wanted key.path=value"),
    ("", "--set ; wanted key.path=value"),
    ("=3", "--set =3; wanted key.path=value"),
    ("training.=3", "--set training.=3; wanted key.path=value"),
    ("training..steps=3", "--set training..steps=3; wanted key.path=value"),
    ("training.steps.more=3", "--set training.steps.more=3; steps is a value, not a block"),
    ("training.steps=[1", "--set training.steps=[1; the value is not YAML"),
    ("training.steps=!!python/name:os.system x", "the value is not YAML"),
    ("training.steps=!!int x", "the value is not YAML"),
    ("training.steps=!!timestamp x", "the value is not YAML"),
    ("training.steps=2001-99-99", "the value is not YAML"),
    ("training\n.steps=}", "--set training .steps=}; the value is not YAML"),
    ("a=!!bool x", "--set a=!!bool x; the value is not YAML"),
    ("training.steps=!!int ''", "the value is not YAML"),
    ("training.steps=0x" + "f" * 9999, "the value is not YAML"),
    ("training.steps=" + "[" * 9999, "the value is not YAML"),
])
def test_an_override_that_is_none_is_refused(recipe, override, expected):
    assert expected in mistake(recipe(), (override,))


@pytest.mark.parametrize(("text", "expected"), [
    ("model: [", "is not YAML: while parsing a flow node"),
    ("model:\n\t- x", "is not YAML"),
    ("a: &a [*a]\n? [1]: 2", "is not YAML"),
    ("\x00", "is not YAML"),
    ("!!python/object/apply:os.mkdir [burgled]", "is not YAML"),
    ("[" * 5000, "is not YAML"),
    ("[" * 200 + "]" * 200, "is no plain YAML: it is nested too deeply"),
    ("a: !!bool x", "is not YAML: 'x'"),
    ("a: 2001-01-01", "is no plain YAML: it has a value of type date"),
    ("!!set {a}", "is no plain YAML: it has a value of type set"),
    ("a: &a [*a]", "is no plain YAML: it is nested too deeply"),
    (BOMB, "is no plain YAML: it has more than 131,072 values"),
    ("# " + "x" * 200_000, "bytes; wanted the YAML file of a recipe of at most 131,072"),
    ("", "holds NoneType; wanted blocks: model or prior, training, ..."),
    ("- 1", "holds list; wanted blocks"),
    ("training: {}", "model: Field required"),
    ("model: 3", "model: "),
    ("7: 8\nmodel: {family: vqvae}", "7"),
    ("loss: {prdn: " + "9" * 5000 + "}\nmodel: {family: vqvae}", ""),
])
def test_a_file_that_is_no_recipe_is_refused(recipe, text, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recipe(text)
    message = mistake(path)
    assert message.startswith(str(path)) and expected in message
    assert not (tmp_path / "burgled").exists()


def test_a_file_in_another_encoding_is_refused(recipe):
    assert "is not YAML" in mistake(recipe("model: ä", "latin-1"))


def test_a_file_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_recipe(tmp_path / "none.yaml")


def test_an_unknown_key_of_the_file_suggests_the_nearest(recipe):
    path = recipe("model: {family: vqvae, quantizer: {kind: vq, dekay: 0.9}}")
    assert mistake(path) == f"{path}: model.quantizer.dekay: unknown key; did you mean decay?"


def test_a_folder_is_no_recipe(tmp_path):
    assert mistake(tmp_path) == f"{tmp_path} is a folder; wanted the YAML file of a recipe"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00\xff", bytes(range(256)), b"\x00" * 100_000,
                                     b"PAR1\x15\x04"])
def test_a_binary_file_is_no_recipe(tmp_path, content):
    path = tmp_path / "binary"
    path.write_bytes(content)
    assert mistake(path).startswith(f"{path} is not YAML: ")


# --- names of earlier versions


FORMER = """
model: {family: vqvae}
loss: {evenness: 2.0}
noise: {w: 0.5, draw: low-noise, snr: [1, 2]}
training: {average: 0.9, clip: 2.0, start_from: some-model}
"""
PRESENT = """
model: {family: vqvae}
loss: {usage_loss: 2.0}
noise: {x0_weight: 0.5, timestep_sampling: low-noise, snr_db: [1, 2]}
training: {ema_decay: 0.9, max_grad_norm: 2.0, init_from: some-model}
"""


def test_former_names_are_read(recipe):
    former, present = read_recipe(recipe(FORMER)), read_recipe(recipe(PRESENT))
    assert former == present
    assert (former.loss.usage_loss, former.noise.x0_weight, former.training.init_from) == (2.0, 0.5, "some-model")
    assert former.model_dump_json() == present.model_dump_json() and "evenness" not in former.model_dump_json()


@pytest.mark.parametrize("text", [FORMER, PRESENT])
@pytest.mark.parametrize("name", ["average", "ema_decay"])
def test_an_override_has_either_name(recipe, text, name):
    assert read_recipe(recipe(text), (f"training.{name}=0.8",)).training.ema_decay == 0.8


def test_both_names_of_a_key_are_refused(recipe):
    message = mistake(recipe("model: {family: vqvae}\nloss: {usage_loss: 2, evenness: 1}"))
    assert message.endswith("loss: evenness is the former name of usage_loss; wanted only one of them")


names = st.text("abcdefgh_", min_size=1, max_size=5)
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
                      max_leaves=6)


@settings(deadline=None, max_examples=80)
@given(before=st.dictionaries(names, values, max_size=3), path=st.lists(names, min_size=1, max_size=4), value=values)
def test_an_override_sets_one_value_and_leaves_the_others(before, path, value):
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    after = copy.deepcopy(before)
    try:
        apply_override(after, f"{'.'.join(path)}={text}")
    except ValueError as error:
        assert str(error).endswith("is a value, not a block")
        return
    inside, outside = after, before
    for name in path[:-1]:
        assert {key: inside[key] for key in outside if key != name} == {
            key: outside[key] for key in outside if key != name}
        inside, outside = inside[name], outside.get(name, {})
    assert inside.pop(path[-1]) == value
    assert inside == {key: item for key, item in outside.items() if key != path[-1]}


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=40) | st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3})?=.{0,20}", fullmatch=True))
def test_any_override_is_applied_or_refused_in_one_line(override):
    blocks = {"a": {"b": 1}}
    try:
        apply_override(blocks, override)
    except ValueError as error:
        assert str(error).startswith("--set ") and len(str(error).splitlines()) == 1
    else:
        assert "=" in override and blocks != {"a": {"b": 1}} or override.partition("=")[0].strip() in ("a", "a.b")
