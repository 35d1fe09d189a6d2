"""Checkpoints of earlier versions: their weights load under current names, and their identities do not change."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from ecgvae import checkpoint, legacy, models
from ecgvae.data.tokens import open_tokens, write_tokens
from ecgvae.models import build, parse_settings
from ecgvae.tokenizer import Tokenizer, load_tokenizer

# The identity of each shipped model, followed by those that earlier versions gave to the same weights.
IDENTITIES = {
    "ptbxl-vae-conv": ("9b08d83be5686e03",),
    "ptbxl-vae-transformer": ("e52e82d7cdb1acc3",),
    "ptbxl-vqvae-conv": ("eb9fef5367942f49", "03a906908c68c53c", "5020e03f56f1908c"),
    "ptbxl-vqvae-transformer": ("c1ae7f68ac2ec42e", "c751ba1d206e8292"),
    "ptbxl-vqvae2-conv": ("88ec9bfcf75b1fb9", "673a17e927557a6e"),
    "ptbxl-vqvae2-transformer": ("2d66edf5afdcc2f1", "e4f0ba7cf98d40bd"),
}
# Names of weights in files of format 1, and current names.
RENAMED = {
    "encoder.layers.0.mix.weight": "encoder.layers.0.conv.weight",
    "encoder.layers.1.mix.weight": "encoder.layers.1.pointwise.weight",
    "encoder.layers.1.spread.weight": "encoder.layers.1.dilated.weight",
    "encoder.blocks.0.attention.queries_keys_values.weight": "encoder.blocks.0.attention.qkv.weight",
    "encoder.blocks.0.feed_norm.bias": "encoder.blocks.0.feed_forward_norm.bias",
    "encoder.blocks.0.feed.out.weight": "encoder.blocks.0.feed_forward.out.weight",
    "encoder.patch.mix.bias": "encoder.patch.conv.bias",
    "quantizer.levels.3.book.codes": "quantizer.quantizers.3.codebook.embeddings",
    "quantizer.levels.3.book.use": "quantizer.quantizers.3.codebook.cluster_size",
    "quantizer.levels.3.book.started": "quantizer.quantizers.3.codebook.initialized",
    "quantizer.levels.3.book.map": "quantizer.quantizers.3.codebook.projection",
    "quantizer.levels.0.enter.weight": "quantizer.quantizers.0.project_in.weight",
    "quantizer.levels.0.leave.bias": "quantizer.quantizers.0.project_out.bias",
    "quantizer.levels.0.centre": "quantizer.quantizers.0.running_mean",
    "quantizer.levels.0.spread": "quantizer.quantizers.0.running_deviation",
    "quantizer.levels.0.started": "quantizer.quantizers.0.initialized",
    "quantizer.levels.0.scale": "quantizer.quantizers.0.scale",
    "coarse.1.join.weight": "coarse.1.pre_quantize.weight",
    "coarse.1.merge.bias": "coarse.1.post_quantize.bias",
    "coarse.0.encoder.layers.0.mix.bias": "coarse.0.encoder.layers.0.conv.bias",
    "fold.map.weight": "merge_frames.linear.weight",
    "unfold.map.bias": "split_frames.linear.bias",
    "join.weight": "frame_projection.weight",
    "embed.weight": "condition_embedding.weight",
    "observer.layers.0.mix.weight": "lead_encoder.layers.0.conv.weight",
    "log_variance": "log_variance",
}


def test_weights_of_format_1_get_current_names():
    renamed = legacy.rename_weights({name: index for index, name in enumerate(RENAMED)})
    assert renamed == {name: index for index, name in enumerate(RENAMED.values())}
    assert legacy.rename_weights(renamed) == renamed


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_of_shipped_models_do_not_change(name):
    assert (checkpoint.identity(name), *checkpoint.earlier_identities(name)) == IDENTITIES[name]
    assert f"`{IDENTITIES[name][0]}`" in (checkpoint.locate(name) / "README.md").read_text()
    facts, model = checkpoint.config(name)["facts"], checkpoint.load(name)
    assert facts == json.loads(json.dumps(checkpoint.facts(model)))


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_of_format_1_are_computed_from_settings_and_weights(name, tmp_path):
    """A config without an identity, as in format 1, gives the identity that the earlier version computed."""
    folder = shutil.copytree(checkpoint.locate(name), tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    for key in ("identity", "earlier_identities", "facts"):
        values.pop(key, None)
    values["format"] = 1
    if "quantizer" in values["model"]:
        values["model"]["quantizer"]["revive"] = values["model"]["quantizer"].pop("dead_code_threshold")
    (folder / "config.json").write_text(json.dumps(values))
    assert checkpoint.identity(folder) == IDENTITIES[name][0]
    loaded, shipped = checkpoint.load(folder).state_dict(), checkpoint.load(name).state_dict()
    assert all(torch.equal(loaded[key], shipped[key]) for key in shipped) and loaded.keys() == shipped.keys()


@pytest.mark.parametrize(("changes", "text"), [
    ({"family": "vqvae"}, "vqvae {}"),
    ({"family": "vqvae", "backbone": "transformer-small"}, 'vqvae {"backbone":{}}'),
    ({"family": "vqvae", "quantizer": {"revive": 0.05}}, 'vqvae {"quantizer":{"revive":0.05}}'),
    ({"family": "vqvae", "quantizer": "fsq", "latent": 8, "codebook_size": 64, "codebooks": 1},
     'vqvae {"latent":8,"codebooks":1,"codebook_size":64,"quantizer":{}}'),
    ({"family": "vqvae2", "coarse": [{"ratio": 2}], "signal": {"rate": 250}},
     'vqvae2 {"signal":{"rate":250.0},"coarse":[{"ratio":2}]}'),
    ({"family": "vae", "deviation": 0.00001 + 0.0001, "squeeze": 16, "free_bits": 1},
     'vae {"squeeze":16,"deviation":0.00011,"free_bits":1.0}'),
    ({"family": "cvae", "condition": {"leads": ["I"], "drop": 0.2}},
     'cvae {"condition":{"leads":["I"],"drop":0.2}}'),
    ({"family": "cvae"}, "cvae {}"),
])
def test_the_identity_of_format_1_hashes_changed_settings_only(changes, text, monkeypatch):
    """The text equals what pydantic's model_dump_json(exclude_defaults=True) wrote at the time."""
    hashed = []
    monkeypatch.setattr(legacy, "hash_weights", lambda text, weights: hashed.append(text))
    legacy.format_1_identity(parse_settings(changes).model_dump(mode="json"), {})
    assert hashed == [text]


def test_a_checkpoint_of_format_1_loads_and_decodes_its_tokens(tiny_settings, random_model, tmp_path, records):
    """A model with former names of weights and settings, and a token file with its identity by format 1."""
    settings = tiny_settings(codebooks=2)
    model = random_model(settings)
    folder = checkpoint.save(model, tmp_path / "model")
    former_names = {"pointwise": "mix", "conv": "mix", "dilated": "spread", "quantizers": "levels", "codebook": "book",
              "embeddings": "codes", "cluster_size": "use", "initialized": "started"}
    weights = {".".join(former_names.get(part, part) for part in name.split(".")): value
               for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    values = json.loads((folder / "config.json").read_text())
    values = {"format": 1, "model": values["model"]}
    values["model"]["quantizer"]["revive"] = values["model"]["quantizer"].pop("dead_code_threshold")
    (folder / "config.json").write_text(json.dumps(values))
    loaded = checkpoint.load(folder)
    assert loaded.settings == settings
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    tokenizer = Tokenizer.load(folder)
    path = write_tokens(tmp_path / "tokens.parquet", tokenizer.header(), [])
    assert load_tokenizer(open_tokens(path), folder).identity == checkpoint.identity(folder)
    assert checkpoint.identity(folder) != checkpoint.identity(model)      # format 2 hashes all settings


def test_tokens_with_an_earlier_identity_decode(tmp_path):
    tokenizer = Tokenizer.load("ptbxl-vqvae-conv")
    for identity in IDENTITIES["ptbxl-vqvae-conv"]:
        header = replace(tokenizer.header(), tokenizer=identity)
        path = write_tokens(tmp_path / f"{identity}.parquet", header, [])
        assert load_tokenizer(open_tokens(path)).identity == tokenizer.identity


def test_every_family_saves_its_identity(tiny_settings, tmp_path):
    for family in ("ae", "vae", "cvae", "vqvae", "vqvae2"):
        model = build(tiny_settings(family))
        folder = checkpoint.save(model, tmp_path / family)
        assert checkpoint.identity(folder) == checkpoint.identity(model) == checkpoint.config(folder)["identity"]


def test_former_names_of_classes_give_a_warning():
    with pytest.warns(DeprecationWarning, match="^Given is now called Conditioning$"):
        assert models.Given is models.Conditioning
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = models.nothing
