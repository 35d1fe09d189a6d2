"""The folder of a run, checked without loading torch."""

from pathlib import Path

from pydantic import BaseModel, Field

from ecgvae.files import special_kind

MAX_STEPS = 10**9


class RunLength(BaseModel):
    """The block `training` of a recipe.json, as far as it says how long the run is."""

    steps: int = Field(ge=1, le=MAX_STEPS, strict=True)


class RunRecipe(BaseModel):
    """What is read of a recipe.json without loading torch."""

    training: RunLength


def check_run_folder(folder: Path, resume: bool) -> None:
    """Checks that a new run does not overwrite another one, or that there is a run to resume.

    Raises:
        FileExistsError: The folder has a run and `resume` is false.
        FileNotFoundError: There is no run to resume.
        ValueError: There is something else than a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is {special_kind(folder) or 'a file'}; wanted the folder of a run")
    if (folder / "log.csv").exists() and not resume:
        raise FileExistsError(f"{folder} holds a run; use --resume to continue it or another --out")
    if resume and not (folder / "recipe.json").exists():
        raise FileNotFoundError(f"{folder} holds no run to resume")
