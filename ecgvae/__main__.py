"""The command `ecgvae`, also as `python -m ecgvae`."""

import sys


def main() -> None:
    """Runs the command line; Ctrl-C while it is still being imported ends in exit code 130 too."""
    try:
        from ecgvae.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
