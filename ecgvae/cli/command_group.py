"""How commands end: with a result, a mistake of the user, Ctrl-C or a closed pipe."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from ecgvae.cli.terminal import say
from ecgvae.cli.text import printable_line
from ecgvae.wording import one_line

RUN_AGAIN = "run the same command again to go on"
ADVICE_WHEN_STOPPED = {"prepare": RUN_AGAIN, "tokenize": RUN_AGAIN, "detokenize": RUN_AGAIN,
                       "extract": RUN_AGAIN,
                       "sample": "nothing was written",
                       "train": "run the same command with --resume to go on"}

USAGE_ERROR: Any = typer.BadParameter.__base__      # typer does not export it


class CommandGroup(TyperGroup):
    """Commands that report a user's mistake in one line with exit code 2, and Ctrl-C with exit code 130.

    If the environment variable ECGVAE_DEBUG is set, mistakes are reported with a traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except typer.Exit:
            raise
        except USAGE_ERROR as error:        # its message repeats arguments, such as names of files
            error.message = printable_line(error.message)
            raise
        except KeyboardInterrupt:
            advice = ADVICE_WHEN_STOPPED.get(ctx.invoked_subcommand or "")
            say("; ".join(["stopped", advice] if advice else ["stopped"]))
            raise typer.Exit(130) from None
        except BrokenPipeError:     # the reader of stdout has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            message = error_line(error)
            if message is None or os.environ.get("ECGVAE_DEBUG"):
                raise
            say(f"ecgvae: {message}")
            raise typer.Exit(2) from None


def error_line(error: Exception) -> str | None:
    """The message for the user about an error; None for an error of the program itself."""
    from ecgvae.data.errors import error_text

    text = one_line(error)
    pydantic = sys.modules.get("pydantic")
    if pydantic and isinstance(error, pydantic.ValidationError):
        from ecgvae.settings import describe_error

        return describe_error(error)
    if isinstance(error, OSError) and error.strerror:
        return error_text(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in text):
        return "out of memory; a smaller --batch-size may help"
    return None if isinstance(error, RuntimeError) else text
