import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """Real records, where ECGVAE_TEST_DATA names a folder of them."""
    folder = os.environ.get("ECGVAE_TEST_DATA")
    if not folder:
        pytest.skip("ECGVAE_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Writes a record by hand: its header text, and its samples (t, c) as format 16."""

    def write(folder: Path, name: str, header: str | bytes, stored=None, file: str | None = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.hea").write_bytes(header.encode() if isinstance(header, str) else header)
        if stored is not None:
            (folder / (file or f"{name}.dat")).write_bytes(np.asarray(stored, dtype="<i2").tobytes())
        return folder / name

    return write
