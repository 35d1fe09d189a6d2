"""The command line as `python -m ecgvae`."""

import sys

if __name__ == "__main__":
    try:
        from ecgvae.cli import main

        main()
    except KeyboardInterrupt:       # before a command has started
        sys.exit(130)
