"""The processes of `accelerate launch`."""

import os
from typing import Any


def distributed_state() -> Any:
    """The processes of `accelerate launch` or torchrun as Accelerate's PartialState; None if there is only one."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return None
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())


def broadcast_object(value: Any) -> Any:
    """The value of the first process, in all processes."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]
