"""The command `ecgvae`, also as `python -m ecgvae`."""

import signal
import sys


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from ecgvae.cli import app

        app(prog_name="ecgvae")
    except KeyboardInterrupt:       # before a verb began or after it was done
        sys.exit(130)


if __name__ == "__main__":
    main()
