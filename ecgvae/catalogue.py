"""The models and priors that come with ecgvae, and the size and computational cost of every family."""

from typing import TYPE_CHECKING, Any

from ecgvae import checkpoint

if TYPE_CHECKING:
    from ecgvae.models import ModelSettings

COST_SECONDS = 10       # length of the signal for which operations are counted


def shipped_models() -> list[dict[str, Any]]:
    """Facts about each model that comes with the package, read without loading torch.

    Returns:
        A dict for each model, with `name`, `family`, `backbone`, `parameters`, `megabytes`, `path`, the number of
        `codebooks` (0 for a continuous latent) and `bits_per_second` (None for a continuous latent).
    """
    from ecgvae.checkpoint.files import read_head
    from ecgvae.inspection import describe_model, model_facts

    rows = []
    for name in checkpoint.pretrained():
        folder = checkpoint.locate(name)
        facts = describe_model(folder)
        rows.append({key: facts.get(key) for key in ("name", "family", "parameters", "megabytes", "bits_per_second")}
                    | {"codebooks": len(model_facts(folder)["codebooks"]),
                       "backbone": read_head(folder / "config.json").backbone.kind, "path": str(folder)})
    return rows


def shipped_priors() -> list[dict[str, Any]]:
    """Facts about each prior that comes with the package, read without loading torch.

    Returns:
        A dict for each prior, with `name`, `prior_kind`, `autoencoder`, `parameters`, `megabytes`,
        `bits_per_second` (None over a continuous latent) and `path`.
    """
    from ecgvae.inspection import describe_prior

    keys = "name", "prior_kind", "autoencoder", "parameters", "megabytes", "bits_per_second"
    rows = []
    for name in checkpoint.pretrained_priors():
        folder = checkpoint.locate_prior(name)
        facts = describe_prior(folder)
        rows.append({key: facts.get(key) for key in keys} | {"path": str(folder)})
    return rows


def model_sizes() -> list[dict[str, Any]]:
    """The size and cost of every family with every backbone, for 12-lead ECG at 100 Hz; see `cost`."""
    from ecgvae.models import FAMILIES, parse_settings
    from ecgvae.models.backbone import SIZES

    return [{"family": family, "backbone": size, **cost(parse_settings({"family": family, "backbone": backbone}))}
            for family in FAMILIES for size, backbone in SIZES.items()]


def cost(settings: "ModelSettings") -> dict[str, float]:
    """The number of parameters of a model, and its MFLOP per second of signal for encoding and decoding.

    A multiplication and an addition count as two operations.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ecgvae.models import build

    with torch.device("meta"), torch.inference_mode():
        model = build(settings).eval().to("meta")       # non-persistent buffers are created on the CPU
        x = torch.zeros(1, len(model.signal.coded), round(COST_SECONDS * model.signal.rate))
        with FlopCounterMode(display=False) as counter:
            model.reconstruct(x)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "mflop_per_second": counter.get_total_flops() / COST_SECONDS / 1e6}
