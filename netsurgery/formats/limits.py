"""How long a text file of each kind may be, in bytes: beyond that it is something else."""

from __future__ import annotations

__all__ = ["MAX_LABELS", "MAX_PROTOTXT", "MAX_TOML"]

#: The largest nets in use have 2 MiB.
MAX_PROTOTXT = 16 << 20
#: ImageNet's 21,841 labels have 1.6 MB.
MAX_LABELS = 64 << 20
MAX_TOML = 1 << 16
