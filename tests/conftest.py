import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

CHECKED_PACKAGES = ["ecgvae.evaluation.generation", "ecgvae.models", "ecgvae.nn", "ecgvae.noise", "ecgvae.priors",
                    "ecgvae.training"]
signal.signal(signal.SIGINT, signal.default_int_handler)      # shells make jobs in the background ignore it
install_import_hook(CHECKED_PACKAGES, "checking.type_checker")    # checks the arguments of every call


@pytest.fixture(scope="session")
def data() -> Path:
    """A folder of real records; the environment variable ECGVAE_TEST_DATA names it."""
    folder = os.environ.get("ECGVAE_TEST_DATA")
    if not folder:
        pytest.skip("ECGVAE_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def write_raw_record() -> Callable[..., Path]:
    """Writes a record from the text of its header and its samples (t, c), stored in format 16 without wfdb."""

    def write(folder: Path, name: str, header: str | bytes, samples=None, file: str | None = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.hea").write_bytes(header.encode() if isinstance(header, str) else header)
        if samples is not None:
            (folder / (file or f"{name}.dat")).write_bytes(np.asarray(samples, dtype="<i2").tobytes())
        return folder / name

    return write


@pytest.fixture(scope="session")
def tiny_settings() -> Callable:
    """Makes the settings of a small model of any family and backbone, with a hop of 6; keywords change settings.

    Widths are multiples of 32: with other widths torch rounds SiLU differently at the end of a tensor.
    """
    from ecgvae.models import parse_settings

    scales = {"widths": (32, 32), "dilations": ((1,), (2, 1))}
    backbones = {"conv": {"kind": "conv", "strides": (3, 2), "encoder": scales, "decoder": scales},
                 "transformer": {"kind": "transformer", "hop": 6, "width": 32, "layers": 2, "heads": 2, "window": 4}}
    families = {"vqvae": {"codebooks": 3, "codebook_size": 32},
                "vqvae2": {"codebooks": 2, "codebook_size": 32, "coarse": ({"ratio": 4, "codebook_size": 32},)},
                "cvae": {"condition": {"leads": ("II",)}}}

    def settings(family="vqvae", backbone="conv", **changes):
        defaults = {"family": family, "latent": 8, "backbone": backbones.get(str(backbone), backbone)}
        return parse_settings({**defaults, **families.get(family, {}), **changes})

    return settings


@pytest.fixture(scope="session")
def random_model() -> Callable:
    """Makes a model with random weights everywhere, as after training, and codebooks initialized from its latents."""
    import torch

    from ecgvae.models import build

    def model(settings, seed: int = 0):
        torch.manual_seed(seed)
        model = build(settings).train()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.1 if parameter.ndim == 1 else (2 / parameter[0].numel()) ** 0.5)
            model(torch.randn(16, len(settings.signal.coded), 40 * model.hop) / 2)
        return model.eval()

    return model


@pytest.fixture(scope="session")
def model(tmp_path_factory, tiny_settings, random_model) -> Path:
    """The folder of a small saved VQ-VAE."""
    from ecgvae import checkpoint

    return checkpoint.save(random_model(tiny_settings()), tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def random_prior() -> Callable:
    """Makes a small prior with random weights over codebooks or a latent; keywords change its settings."""
    import torch

    from ecgvae.priors import build_prior, parse_prior_settings

    condition = {"labels": ("NORM", "MI", "CD", "CLBBB", "AFIB"), "column": ("superclass", "statements"), "age": True,
                 "sex": True, "channels": 8}
    sizes = {"width": 32, "layers": 1, "heads": 2, "code_width": 8, "depth_width": 16, "depth_heads": 2}

    def prior(over, seed: int = 0, **changes):
        torch.manual_seed(seed)
        values = {"kind": "autoregressive", "condition": condition, **sizes, **changes}
        prior = build_prior(parse_prior_settings(values), over)
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.normal_(0, 0.3)
        return prior.eval()

    return prior


@pytest.fixture(scope="session")
def prior(tmp_path_factory, model, random_prior) -> Path:
    """The folder of a small saved prior over the first two codebooks of `model`."""
    from ecgvae import checkpoint
    from ecgvae.codebooks import CodebookSpec

    return checkpoint.save_prior(random_prior((CodebookSpec(6, 32),) * 2), tmp_path_factory.mktemp("priors") / "small",
                                 model)


@pytest.fixture(scope="module")
def small_blocks():
    """Makes priors draw blocks of 4 records, which takes less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecgvae.generation.prior.CPU_BLOCK", 4)
        yield


@pytest.fixture(scope="session")
def records(tmp_path_factory) -> Path:
    """A folder of three records of 4.01 s at 200 Hz: a, b and ward/c."""
    from ecgvae.signal import write_record
    from ecgvae.synthetic import simulate

    folder = tmp_path_factory.mktemp("data") / "records"
    for name, condition in (("a", "normal"), ("b", "ventricular pacing"), ("ward/c", "atrial fibrillation")):
        write_record(simulate(condition, seconds=4.01, rate=200), folder, name)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory, records) -> Path:
    """The store of `records`, resampled to 100 Hz."""
    from ecgvae.data.prepare import build_store

    return build_store(records, tmp_path_factory.mktemp("stores") / "store", workers=1).path


@pytest.fixture(scope="session")
def tokens(tmp_path_factory, records, model) -> Path:
    """The token file of `records`, encoded by `model`."""
    from ecgvae.batch import tokenize_files
    from ecgvae.tokenizer import Tokenizer

    return tokenize_files([records], tmp_path_factory.mktemp("tokens") / "tokens.parquet", Tokenizer.load(model)).out


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of five records of different lengths in two subfolders."""
    from stores import write_wfdb

    random = np.random.default_rng(0)
    for index, length in enumerate((300, 250, 400, 120, 1000)):
        path = tmp_path / "source" / "ab"[index % 2] / f"r{index}"
        write_wfdb(path, random.integers(-2000, 2000, (length, 12)))
    return tmp_path / "source"
