"""Names that a shell completes. Paths are left to the shell."""


def shipped_models(incomplete: str) -> list[str]:
    """The shipped models whose names begin with `incomplete`."""
    from ecgvae.checkpoint import pretrained

    return [name for name in pretrained() if name.startswith(incomplete)]


def shipped_priors(incomplete: str) -> list[str]:
    """The shipped priors whose names begin with `incomplete`."""
    from ecgvae.checkpoint import pretrained_priors

    return [name for name in pretrained_priors() if name.startswith(incomplete)]


def models_and_priors(incomplete: str) -> list[str]:
    """The shipped models and priors whose names begin with `incomplete`."""
    return [*shipped_models(incomplete), *shipped_priors(incomplete)]


def recipe_names(incomplete: str) -> list[tuple[str, str]]:
    """The recipes whose full or short names begin with `incomplete`, with their summaries."""
    from ecgvae.resources import recipe_summary, recipes

    names = [(name, path) for full, path in recipes().items() for name in (full, path.stem)]
    return [(name, recipe_summary(path)) for name, path in names if name.startswith(incomplete)]


def dataset_names(incomplete: str) -> list[str]:
    """The data sets whose names begin with `incomplete`, and none."""
    from ecgvae.resources import datasets

    return [name for name in (*datasets(), "none") if name.startswith(incomplete)]
