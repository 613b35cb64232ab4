"""What a layer may do besides computing; `net.effects` says what those of a net do."""

from __future__ import annotations

from enum import Enum

__all__ = ["Effect"]


class Effect(Enum):
    """What a layer does outside the net, by itself, when Caffe loads or runs it.

    The values are the words by which a user allows it.
    """

    READS = "reads"  #: files: pictures, databases, lists of their names
    WRITES = "writes"  #: files, or removes them
    IMPORTS = "python"  #: code, which can do anything
