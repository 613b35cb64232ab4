"""What settings name, ready to be used: the net with its weights, and what makes pictures ready."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netsurgery.errors import SettingsError
from netsurgery.formats.settings import SETTINGS_NAME, Settings
from netsurgery.formats.settings_fit import check_pixels, loaded_mean
from netsurgery.io.unreadable import check_file
from netsurgery.io.wording import argument
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.maps.transformer import Transformer
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import NetState

__all__ = ["check_model", "make_transformer", "open_model"]


def open_model(settings: Settings, state: NetState) -> NetWithWeights:
    """The net and the weights to use, in `state` with what the settings say of it.

    Raises SettingsError where either is missing; PrototxtError, FormatError.
    """
    prototxt, weights = check_model(settings)
    return NetWithWeights.open(prototxt, weights, _state_of(settings, state))


def check_model(settings: Settings) -> tuple[Path, Path]:
    """The prototxt and the weights to use. Raises SettingsError where either is missing."""
    if settings.prototxt is None or settings.weights is None:
        missing = [name for name in ("prototxt", "weights") if getattr(settings, name) is None]
        options = " and ".join(argument(f"--{name} FILE") for name in missing)
        raise SettingsError(
            f"no {' and no '.join(missing)} to use: give {options}, or run where there is a "
            f"{SETTINGS_NAME} (`netsurgery convert` writes one)"
        )
    if settings.prototxt.is_file():  # else that is said when it is read
        check_file(settings.weights, "a caffemodel", SettingsError)
    return settings.prototxt, settings.weights


def make_transformer(
    settings: Settings, channels: int, options: PictureOptions | None = None
) -> Transformer:
    """What makes pictures ready as `settings` say, for an input of `channels` (1 or 3) channels.

    Raises MeanError, and SettingsError for a preset or a channel swap that does not fit.
    """
    mean = loaded_mean(settings)
    check_pixels(settings, channels, mean)
    return Transformer(
        channels=channels,
        mean=mean,
        raw_scale=settings.raw_scale,
        channel_swap=settings.channel_swap,
        input_scale=settings.input_scale,
        options=options or PictureOptions(),
    )


def _state_of(settings: Settings, state: NetState) -> NetState:
    """The state in which the net of `settings` is used: their stages and level, else `state`'s."""
    level = state.level if settings.level is None else settings.level
    stages = state.stages if settings.stages is None else tuple(settings.stages)
    return replace(state, level=level, stages=stages)
