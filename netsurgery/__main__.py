"""``python -m netsurgery`` is the ``netsurgery`` command."""

from netsurgery.cli import main

if __name__ == "__main__":
    main()
