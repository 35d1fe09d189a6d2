"""The command line as the tests call it."""

from typer.testing import CliRunner, Result

from ecgvae.cli import app


def call(*words, code: int = 0) -> Result:
    """Runs a command, which must end with the exit code."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def mistake(*words) -> str:
    """The line that a command prints about a user's mistake."""
    result = call(*words, code=2)
    lines = result.stderr.splitlines()
    assert result.stdout == "" and lines[-1].startswith("ecgvae: ") and "Traceback" not in result.stderr
    return lines[-1]
