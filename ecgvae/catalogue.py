"""What models there are: those that come with the package, and every family in every size."""

from pathlib import Path

from ecgvae import checkpoint

SECONDS = 10        # of ECG that arithmetic is counted on


def families() -> list[dict]:
    """Parameters of every family with every backbone, and what a second of 12-lead ECG at 100 Hz takes it."""
    from ecgvae.models import FAMILIES
    from ecgvae.models.backbone import SIZES

    return [{"family": family, "backbone": size, **cost(kind(backbone=backbone))}
            for family, (kind, _) in FAMILIES.items() for size, backbone in SIZES.items()]


def cost(settings) -> dict:
    """Parameters of a model, and the MFLOP that a second of its signal takes (multiplying and adding are two)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ecgvae.models import build

    with torch.device("meta"), torch.inference_mode():
        model = build(settings).eval().to("meta")       # buffers that are not saved are made on the CPU
        x = torch.zeros(1, len(model.signal.coded), round(SECONDS * model.signal.rate))
        with FlopCounterMode(display=False) as counter:
            model.reconstruct(x)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters,
            "mflop_per_second": counter.get_total_flops() / SECONDS / 1e6}


def shipped() -> list[dict]:
    """The models that come with the package."""
    from ecgvae.inspection import describe_model

    rows = []
    for name in checkpoint.pretrained():
        facts, model = describe_model(name), checkpoint.config(name)["model"]
        rows.append({key: facts.get(key) for key in ("name", "family", "parameters", "megabytes", "bits_per_second")}
                    | {"backbone": model["backbone"]["kind"], "path": str(Path(checkpoint.locate(name)))})
    return rows
