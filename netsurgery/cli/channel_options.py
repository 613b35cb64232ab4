"""The options of how a blob's channels are drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from netsurgery.cli.command import PICTURE, WordType, headed, useless
from netsurgery.maps.channel_view import ChannelView, channel_numbers

__all__ = ["channel_options"]

F = TypeVar("F", bound=Callable[..., Any])

_of_picture = useless("without --picture", lambda values: not values["picture"])


@headed(PICTURE)
def channel_options(command: F) -> F:
    """--channels, --sort, --scale and --colors; the command gets `view`, a ChannelView."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        channels: tuple[int, ...] | None,
        sort: bool,
        scale: Any,
        colors: Any,
        **kwargs: Any,
    ) -> Any:
        return command(*args, view=ChannelView(channels or (), sort, scale, colors), **kwargs)

    decorated: Any = wrapped
    # Decorators apply from the last.
    for option in (_COLORS, _SCALE, _SORT, _CHANNELS):
        decorated = _of_picture(option)(decorated)
    return decorated  # type: ignore[no-any-return]


_CHANNELS = click.option(
    "--channels",
    type=WordType("N,N-N", channel_numbers),
    help="Channels to draw, as in 0,5,283 or 0-15 (default: all).",
)
_SORT = click.option(
    "--sort", is_flag=True, help="Draw the most active channels first, by their mean size."
)
_SCALE = click.option(
    "--scale",
    type=click.Choice(["blob", "channel"]),
    default="blob",
    show_default=True,
    help="blob: one scale for all channels. channel: each has its own.",
)
_COLORS = click.option(
    "--colors",
    type=click.Choice(["auto", "heat", "signed", "grey"]),
    default="auto",
    show_default=True,
    help="signed: blue below 0, red above it. auto: signed for values of both signs, else heat.",
)
