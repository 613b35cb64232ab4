"""Where the ``netsurgery`` command and ``python -m netsurgery`` begin."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code; Ctrl-C is 130 from the first import on."""
    try:
        from netsurgery.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
