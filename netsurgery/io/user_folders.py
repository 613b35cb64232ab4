"""netsurgery's own folders in the user's home, where each system has them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["cache_folder", "config_folder", "data_folder"]


def cache_folder() -> Path | None:
    """The folder of what can be made again; None for a user without a home."""
    return _folder("user_cache_dir")


def config_folder() -> Path | None:
    """The folder of the user's configuration; None for a user without a home."""
    return _folder("user_config_dir")


def data_folder() -> Path | None:
    """The folder of data such as an installed Caffe; None for a user without a home."""
    return _folder("user_data_dir")


def _folder(kind: str) -> Path | None:
    import platformdirs

    try:
        path = Path(getattr(platformdirs, kind)("netsurgery", appauthor=False))
    except RuntimeError:  # newer ones raise this, older ones give a relative path
        return None
    return path if path.is_absolute() else None
