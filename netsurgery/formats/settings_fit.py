"""Whether the settings of pictures fit a net; errors name the netsurgery.toml that says a value."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING

from netsurgery.errors import SettingsError
from netsurgery.formats.found_settings import file_named
from netsurgery.formats.preprocess_values import check_channel_swap
from netsurgery.formats.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_pixels", "check_scales", "loaded_mean"]


def loaded_mean(settings: Settings) -> NDArray[np.float32] | None:
    """The values of the mean, None for none. Raises MeanError for one that is not to be read."""
    if settings.mean is None:
        return None
    from netsurgery.formats.mean import load_mean

    with file_named(settings, "mean"):
        return load_mean(settings.mean)


def check_pixels(settings: Settings, channels: int, mean: Sized | None = None) -> None:
    """Raise MeanError or SettingsError where the settings are not for an input of so many channels.

    mean: its values, where they are loaded.
    """
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
