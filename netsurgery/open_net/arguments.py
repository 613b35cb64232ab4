"""What a caller may give: paths as text, a plan or what to plan, settings or their file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netsurgery.formats.settings import Settings, read_settings

__all__ = ["AnyPath", "as_path", "as_settings"]

#: A file's name; "~" and variables are not expanded.
AnyPath = str | Path


def as_path(given: AnyPath | None) -> Path | None:
    """The same as a Path, None where it is."""
    return None if given is None else Path(given)


def as_settings(given: Settings | AnyPath | None) -> Settings:
    """Settings as they are, or read from a netsurgery.toml; without any, none say anything.

    Raises SettingsError.
    """
    if given is None:
        return Settings()
    if not isinstance(given, Settings):
        return read_settings(given)
    mean = Path(given.mean) if isinstance(given.mean, str) else given.mean
    return replace(
        given,
        prototxt=as_path(given.prototxt),
        weights=as_path(given.weights),
        labels=as_path(given.labels),
        mean=mean,
    )
