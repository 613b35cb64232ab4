"""What completion offers of the net on the command line: its layers, blobs, params and labels.

Each function is the `shell_complete` of an argument or option. All is read from text and from the
index of weights; numpy is not imported. Errors are silent: `netsurgery.cli.completion`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from netsurgery.cli.command import split_list
from netsurgery.cli.files import InputFile
from netsurgery.formats.found_settings import with_found
from netsurgery.formats.prototxt import Prototxt, is_prototxt
from netsurgery.formats.settings import Settings
from netsurgery.net import types
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState, Phase

__all__ = [
    "complete_blob",
    "complete_class",
    "complete_input_shape",
    "complete_layer",
    "complete_layers",
    "complete_operation",
    "complete_pair",
    "complete_param",
]

Items = list[CompletionItem[str]]

COMMANDLINE = ParameterSource.COMMANDLINE


def complete_blob(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """The blobs of the net, those of its last layers first."""
    return _items(reversed(_net(ctx).blob_names), incomplete)


def complete_input_shape(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """``BLOB=`` for each blob."""
    return _items((f"{blob}=" for blob in _net(ctx).blob_names), incomplete)


def complete_layers(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Of a list with commas between, the layers that `convert` may take."""
    before, last = split_list(incomplete)
    listed = set(before.split(","))
    layers = [layer for layer in _net(ctx).layers if types.is_a(layer, types.INNER_PRODUCT)]
    items = _items((each.name for each in layers if each.name not in listed), last)
    return [CompletionItem(f"{before}{item.value}") for item in items]


def complete_layer(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Any layer of the net."""
    return _items((layer.name for layer in _net(ctx).layers), incomplete)


def complete_param(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """``LAYER[INDEX]`` for each param of the weights."""
    return _items(_params(ctx), incomplete)


def complete_operation(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Of an operation of `edit`: params, their values, or operations and the layers they take."""
    from netsurgery.surgery.edit.operations import OPERATIONS
    from netsurgery.surgery.edit.values.registry import VALUES

    param, equals, value = incomplete.partition("=")
    name, colon, _rest = incomplete.partition(":")
    if equals:
        items = _items((each.name for each in VALUES), value)
        return [CompletionItem(f"{param}={item.value}") for item in items]
    if colon and name in OPERATIONS:
        return _items((f"{name}:{layer.name}" for layer in _net(ctx).layers), incomplete)
    return _items([*_params(ctx), *OPERATIONS], incomplete)


def complete_pair(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """``LAYER=LAYER``, of the first net and of the second."""
    layer, equals, goal = incomplete.partition("=")
    if equals:
        items = _items((each.name for each in _net(ctx, 1).layers), goal)
        return [CompletionItem(f"{layer}={item.value}") for item in items]
    return _items((f"{each.name}=" for each in _net(ctx).layers), layer)


def complete_class(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The labels, by their first names."""
    from netsurgery.formats.labels import load_labels

    source = _settings(ctx, ["labels"]).labels
    labels = load_labels(source) if source is not None else None
    names = [labels.short(number) for number in range(len(labels))] if labels is not None else []
    return _items([*names, *(["max"] if param.default == "max" else [])], incomplete)


def _items(words: Iterable[str], incomplete: str) -> Items:
    """Those that begin so; shells quote what they insert, but a newline would end an item."""
    start = incomplete.casefold()
    matches = (word for word in words if word.casefold().startswith(start) and word.isprintable())
    return [CompletionItem(word) for word in dict.fromkeys(matches)]


def _parts(ctx: click.Context) -> tuple[click.Context, click.Context]:
    """The line as click read it up to the word that is completed, and the words after that."""
    after = list(ctx.obj or ())
    name, parent = ctx.info_name, ctx.parent
    return ctx, ctx.command.make_context(name, after, parent, resilient_parsing=True)


def _option(ctx: click.Context, name: str) -> Any:
    """The value of an option, wherever on the line it stands."""
    parts = _parts(ctx)
    typed = [part for part in parts if part.get_parameter_source(name) is COMMANDLINE]
    return (*parts, *typed)[-1].params.get(name)


def _inputs(ctx: click.Context) -> Iterator[Path]:
    """The input files on the command line; those after an option without its value are words."""
    for part in _parts(ctx):
        for param in part.command.params:
            if isinstance(param.type, InputFile) and param.name is not None:
                value = part.params.get(param.name)
                values = value if isinstance(value, tuple) else (value,)
                yield from (path for path in values if isinstance(path, Path))
        yield from map(Path, part.args)


def _net(ctx: click.Context, number: int = 0) -> NetDefinition:
    """The net of that number on the line, without the shapes and the wiring of its blobs."""
    paths = [path for path in _inputs(ctx) if path.is_file() and is_prototxt(path)]
    paths = paths or list(filter(None, [_settings(ctx, ["prototxt"]).prototxt]))
    phase: Phase = _option(ctx, "phase") or "TEST"
    state = NetState(phase, _option(ctx, "level") or 0, _option(ctx, "stages") or ())
    return NetDefinition.of(Prototxt.read(paths[number]), state, wired=False)


def _settings(ctx: click.Context, keys: list[str]) -> Settings:
    """What options say, and else the nearest netsurgery.toml, if it is to be trusted."""
    options = Settings(**{key: _option(ctx, key) for key in keys})
    return with_found(options, Path(), trust=_option(ctx, "trust_config"), keys=keys)


def _params(ctx: click.Context) -> Iterator[str]:
    from netsurgery.formats.weights import open_weights

    for path in _inputs(ctx):
        if path.is_file() and not is_prototxt(path):
            with open_weights(path) as weights:
                for layer in weights.layers:
                    yield from (f"{layer.name}[{index}]" for index in range(len(layer.blobs)))
            return
