"""Whether the settings of pictures fit a net; errors name the netsurgery.toml that says a value."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING

from netsurgery.errors import FormatError, NetError, NetsurgeryError, SettingsError
from netsurgery.formats.preprocess_values import check_channel_swap
from netsurgery.formats.settings import Settings, read_settings_keys

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_pixels", "check_scales", "file_named", "loaded_mean"]


def loaded_mean(settings: Settings) -> NDArray[np.float32] | None:
    """The values of the mean, None for none. Raises MeanError for one that is not to be read."""
    if settings.mean is None:
        return None
    from netsurgery.formats.mean import load_mean

    with file_named(settings, "mean"):
        return load_mean(settings.mean)


def check_pixels(settings: Settings, channels: int, mean: Sized | None = None) -> None:
    """Raise MeanError or SettingsError where the settings are not for an input of so many channels.

    And for what `check_scales` refuses. mean: its values, where they are loaded.
    """
    check_scales(settings)
    settings.check_preset(channels)
    if settings.mean is not None:
        from netsurgery.formats.mean import check_mean

        with file_named(settings, "mean"):
            check_mean(settings.mean, channels, mean)
    if settings.channel_swap is not None:
        with file_named(settings, "channel_swap"):
            check_channel_swap(settings.channel_swap, channels)


def check_scales(settings: Settings) -> None:
    """Raise SettingsError for a scale of 0."""
    for key in ("raw_scale", "input_scale"):
        if getattr(settings, key) == 0:
            with file_named(settings, key):
                raise SettingsError("a scale of 0 leaves nothing of a picture")


@contextmanager
def file_named(settings: Settings, key: str) -> Iterator[None]:
    """Errors in here about the value of `key` name the file that says it.

    Of merged settings the file says only some: it is read again, since what an option or a program
    gave in its place is not the file's fault.

    >>> from netsurgery.formats.settings import read_settings
    >>> with open("netsurgery.toml", "w") as file:
    ...     _ = file.write('[classes]\\nbackground = 99\\n')
    >>> with file_named(read_settings("netsurgery.toml"), "background"):
    ...     raise NetError("class 99: blob 'prob' has 3 classes")
    Traceback (most recent call last):
    netsurgery.errors.NetError: netsurgery.toml: background: class 99: blob 'prob' has 3 classes
    """
    try:
        yield
    except (FormatError, NetError) as error:
        if not _is_said_by_file(settings, key):
            raise
        raise type(error)(f"{settings.path}: {key}: {error}") from error


def _is_said_by_file(settings: Settings, key: str) -> bool:
    if settings.path is None:
        return False
    try:
        said, _ = read_settings_keys(settings.path)
    except NetsurgeryError:  # gone, or another by now
        return False
    return bool(getattr(said, key) == getattr(settings, key))
