"""Layers of V0 (2013) written as layers of V1: the prototxt.

V0 put everything a layer is into a second message: ``layers { layer { type: "conv" num_output: 3 }
bottom: "a" }``. Its fields go where V1 has them, in the author's own lines. Padding was a layer of
its own, "padding"; it becomes the `pad` of the convolution or pooling after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from netsurgery.errors import NetsurgeryError
from netsurgery.formats.generations import V0_TYPES, V1_WORDS
from netsurgery.formats.prototxt import Prototxt, quoted
from netsurgery.formats.textformat import Edits, EmptyList, Message, TextField, separated
from netsurgery.formats.upgrade.splices import (
    UpgradeStep,
    comments,
    cut,
    indent_of,
    line_end,
    not_in_v0,
)

__all__ = [
    "PARAMS",
    "Pad",
    "V0Layer",
    "becomes_v1",
    "fold_padding",
    "home",
    "left_out",
    "upgrade_v0",
]

_WORDS = {name: word for word, name in V1_WORDS.items()}


def upgrade_v0(prototxt: Prototxt) -> tuple[str, list[UpgradeStep]]:
    """The same net in V1, as text, and what was done. Raises PrototxtError."""
    edits, changes = prototxt.edits(), []
    inputs = [blob.as_string() for blob in prototxt.root.scalars("input")]
    pads = fold_padding(inputs, [_v0_layer(layer) for layer in prototxt.layers])
    found_layers = prototxt.root.all("layers")
    for index, (entry, layer) in enumerate(zip(found_layers, prototxt.layers, strict=True)):
        inner = _inner(layer)
        name, kind = inner.string("name"), inner.string("type")
        if kind == "padding":
            _remove(edits, entry)
            continue
        changes.append(becomes_v1(name, kind))
        pad = pads.get(index)
        for where in layer.all("layer")[:1]:
            edits.replace(where.start, where.end, _Body(where, inner, pad).text())
        if pad is not None:
            bottom = layer.scalars("bottom")[0]
            edits.replace(bottom.start, bottom.end, quoted(pad.bottom, bottom))
            changes.append(pad.step(name))
        written = dict.fromkeys(each.name for each in inner.written)
        left = ((field, left_out(kind, field)) for field in written)
        changes += [UpgradeStep(name, why, (field,)) for field, why in left if why]
    for unused in ("state", "debug_info"):
        for start, end in prototxt.root.places(unused):
            cut(edits, start, end)
            changes.append(not_in_v0(unused))
    return edits.apply(), changes


def _inner(layer: Message) -> Message:
    """The layer inside the layer. Raises PrototxtError for what Caffe would lose or not know."""
    inner = layer.message("layer")
    if inner is None:
        raise layer.error("found a layer without `layer { ... }` among layers of V0 that have it")
    for entry in layer.fields:
        if entry.name not in ("layer", "bottom", "top"):
            raise layer.source.error(
                f"found {entry.name} beside `layer`, expected bottom or top; V0 has all else "
                "inside `layer { ... }`",
                entry.start,
            )
    kind = inner.string("type")
    word = inner.scalar("type")
    if word is not None and kind != "padding" and kind not in V0_TYPES:
        raise word.error(f"found the V0 type {kind!r}, which Caffe never had")
    for each in inner.written:
        if not left_out(kind, each.name) and home(kind, each.name) is None:
            raise layer.source.error(
                f"found {each.name} in a V0 layer of type {kind!r}, which has no such field",
                each.start,
            )
    return inner


def _remove(edits: Edits, layer: TextField) -> None:
    if layer.in_list:
        raise edits.source.error(
            "a padding layer in a list; write `layers { ... }` each", layer.start
        )
    cut(edits, layer.start, layer.end)


def _v0_layer(layer: Message) -> V0Layer:
    inner = _inner(layer)
    return V0Layer(
        name=inner.string("name"),
        kind=inner.string("type"),
        bottoms=tuple(bottom.as_string() for bottom in layer.scalars("bottom")),
        tops=tuple(top.as_string() for top in layer.scalars("top")),
        pad=inner.integer("pad", 0),
        error=layer.error,
    )


@dataclass
class _Unit:
    """Fields with the space and the comments before them and the comment after, as written."""

    text: str

    @property
    def ends_in_comment(self) -> bool:
        last = self.text.rsplit("\n", 1)[-1]
        return bool(comments(last))


@dataclass
class _Body:
    """The text that takes the place of ``layer { ... }``."""

    where: TextField
    inner: Message
    pad: Pad | None
    groups: dict[str, list[_Unit]] = field(default_factory=lambda: {"": []})

    def text(self) -> str:
        source = self.inner.source.text
        self.newline = line_end(source)
        self.lines = "\n" in source[self.inner.start : self.inner.end]
        self.outer = indent_of(source, self.where.start)
        self.indent = next(
            (indent for each in self.inner.fields if (indent := indent_of(source, each.start))),
            self.outer + "  ",
        )
        tail = self.fill()
        direct = self.dedent(self.join(self.groups.pop(""))).strip(" \t")
        pieces = [direct.removeprefix("\r").removeprefix("\n").lstrip(" \t")]
        if self.lines:
            pieces += [
                f"{param} {{{self.join(units)}{self.newline}{self.outer}}}"
                for param, units in self.groups.items()
            ]
        else:
            pieces += [f"{param} {{{self.join(u)} }}" for param, u in self.groups.items()]
        pieces += comments(tail)
        between = self.newline + self.outer if self.lines else " "
        text = between.join(piece for piece in pieces if piece)
        last = text.rsplit("\n", 1)[-1]
        # A comment at the end would swallow what follows on the line.
        rest = source[self.where.end : source.find("\n", self.where.end) + 1 or None]
        return text + (self.newline if comments(last) and rest.strip() else "")

    def fill(self) -> str:
        """Put the fields into the groups; returns what is after the last of them."""
        source, kind = self.inner.source.text, self.inner.string("type")
        at = self.inner.start + 1
        by_place = {(each.start, each.end): each for each in self.inner.written}
        for (start, end), each in by_place.items():
            stop = _with_comment(source, end, self.inner.end - 1)
            if left_out(kind, each.name):
                left = "".join(f"{self.newline}{self.indent}{c}" for c in comments(source[at:stop]))
                self.groups[""].append(_Unit(left))
            else:
                param, since = home(kind, each.name) or ("", each.name)
                written = self.value(each, since)
                text = source[at:start] + since + written + source[end:stop]
                self.groups.setdefault(param, []).append(_Unit(text))
            at = stop
        if self.pad is not None and not self.inner.all("pad"):
            gap = self.newline + self.indent if self.lines else " "
            units = self.groups.setdefault(PARAMS[kind], [])
            units.append(_Unit(f"{gap}pad: {self.pad.size}"))
        return source[at : self.inner.end - 1]

    def value(self, each: TextField | EmptyList, since: str) -> str:
        """The field from after its name on, with another type or pad where it needs one."""
        source = self.inner.source.text
        rest = source[each.start + len(each.name) : each.end]
        if isinstance(each, EmptyList) or isinstance(each.value, Message):
            return rest
        new = None
        if since == "type":
            new = _WORDS[V0_TYPES[each.value.as_string()]]
        elif since == "pad" and self.pad is not None:
            new = str(self.pad.size)
        if new is None:
            return rest
        return source[each.start + len(each.name) : each.value.start] + new

    def join(self, units: list[_Unit]) -> str:
        """The units one after another; after a comment a new line has to begin."""
        text = ""
        for before, unit in zip([None, *units], units, strict=False):
            if before is not None and before.ends_in_comment and not _breaks(unit.text):
                text += self.newline + self.indent
            elif not unit.text[:1].isspace():
                text += " "  # the author had no space, and needed none there
            text += unit.text
        return text

    def dedent(self, text: str) -> str:
        if not self.indent.startswith(self.outer):
            return text
        return text.replace("\n" + self.indent, "\n" + self.outer)


def _breaks(text: str) -> bool:
    return text.lstrip(" \t\r").startswith("\n")


def _with_comment(source: str, end: int, limit: int) -> int:
    """Where a field ends with its separator and the comment on its line."""
    end = separated(source, end)
    while end < limit and source[end] in " \t":
        end += 1
    if end < limit and source[end] == "#":
        newline = source.find("\n", end, limit)
        return limit if newline < 0 else newline - (source[newline - 1] == "\r")
    while source[end - 1] in " \t":
        end -= 1
    return end


#: Types that a padding layer can be folded into.
_PADDED = ("conv", "pool")

#: Fields that nothing ever read; Caffe's own upgrade leaves them out.
_UNUSED = ("new_num", "new_channels")

#: Fields of detection's windows; Caffe's own upgrade leaves them out of every other layer.
_DETECTION = (
    "det_fg_threshold",
    "det_bg_threshold",
    "det_fg_fraction",
    "det_context_pad",
    "det_crop_mode",
)

#: V0's types that have a message of parameters, and its name.
PARAMS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}

_DATA = "data hdf5_data images window_data"

#: V0's field -> (its name since, the types that have it).
_FIELDS = {
    "num_output": ("num_output", "conv innerproduct"),
    "biasterm": ("bias_term", "conv innerproduct"),
    "weight_filler": ("weight_filler", "conv innerproduct"),
    "bias_filler": ("bias_filler", "conv innerproduct"),
    "pad": ("pad", "conv pool"),
    "kernelsize": ("kernel_size", "conv pool"),
    "group": ("group", "conv"),
    "stride": ("stride", "conv pool"),
    "pool": ("pool", "pool"),
    "dropout_ratio": ("dropout_ratio", "dropout"),
    "local_size": ("local_size", "lrn"),
    "alpha": ("alpha", "lrn"),
    "beta": ("beta", "lrn"),
    "k": ("k", "lrn"),
    "source": ("source", f"{_DATA} infogain_loss"),
    "batchsize": ("batch_size", _DATA),
    "rand_skip": ("rand_skip", "data images"),
    "shuffle_images": ("shuffle", "images"),
    "new_height": ("new_height", "images"),
    "new_width": ("new_width", "images"),
    "concat_dim": ("concat_dim", "concat"),
    "det_fg_threshold": ("fg_threshold", "window_data"),
    "det_bg_threshold": ("bg_threshold", "window_data"),
    "det_fg_fraction": ("fg_fraction", "window_data"),
    "det_context_pad": ("context_pad", "window_data"),
    "det_crop_mode": ("crop_mode", "window_data"),
}

#: Layers of any type may have these.
_TRANSFORM = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
_DIRECT = ("name", "type", "blobs", "blobs_lr", "weight_decay")


def home(kind: str, name: str) -> tuple[str, str] | None:
    """Where a V0 layer's field goes: (message, field), the message "" for the layer itself.

    None where layers of type `kind` have no such field.
    """
    if kind == "padding":
        return ("", name) if name in ("name", "type", "pad") else None
    if name in _DIRECT:
        return "", name
    if name in _TRANSFORM:
        return "transform_param", _TRANSFORM[name]
    if name == "hdf5_output_param" and kind == "hdf5_output":
        return "", name
    since, kinds = _FIELDS.get(name, ("", ""))
    return (PARAMS[kind], since) if kind in kinds.split() else None


def left_out(kind: str, name: str) -> str:
    """Why a field of a V0 layer is left out, as Caffe's own upgrade does; "" where it is not."""
    if name in _UNUSED:
        return f"{name}, which no layer reads, is left out"
    if name in _DETECTION and home(kind, name) is None:
        return f"{name}, which no layer of type {kind!r} reads, is left out, as by Caffe"
    return ""


def becomes_v1(layer: str, kind: str) -> UpgradeStep:
    """The step that every layer takes; `kind` is its type, "" for none."""
    what = "V0's `layers { layer }` becomes one `layer`"
    if not kind:
        return UpgradeStep(layer, what, ("layers",), "layers { layer }", "layer")
    what += f', "{kind}" becomes "{V0_TYPES[kind]}"'
    return UpgradeStep(layer, what, ("type",), kind, V0_TYPES[kind])


@dataclass(frozen=True)
class V0Layer:
    """What folding paddings needs of a layer; `error` makes one at its place."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    pad: int
    error: Callable[[str], NetsurgeryError]


@dataclass(frozen=True)
class Pad:
    """A padding layer: its name, its bottom, and how much it pads."""

    layer: str
    bottom: str
    size: int

    def step(self, layer: str) -> UpgradeStep:
        """What happens to the layer that takes it over."""
        what = f"takes the padding of layer {self.layer!r}, {self.size}"
        return UpgradeStep(layer, what, ("pad",), None, str(self.size))


def fold_padding(inputs: Iterable[str], layers: Sequence[V0Layer]) -> dict[int, Pad]:
    """Layer index -> the padding that it takes over from the layer before it.

    Raises the layer's error where a bottom is made by no layer before it (`inputs` are the net's
    own blobs), and where a padding cannot be taken over.
    """
    pads: dict[str, Pad | None] = dict.fromkeys(inputs)
    folded = {}
    for index, layer in enumerate(layers):
        for bottom in layer.bottoms:
            if bottom not in pads:
                raise layer.error(
                    f"layer {layer.name!r}: its bottom {bottom!r} is made by no layer before it"
                )
            pad = pads[bottom]
            if pad is not None:
                if layer.kind not in _PADDED or len(layer.bottoms) != 1:
                    raise layer.error(
                        f"layer {layer.name!r} ({layer.kind}) reads what the padding layer "
                        f"{pad.layer!r} makes; only a conv or pool alone can take a padding over"
                    )
                folded[index] = pad
        pad = _padding(layer) if layer.kind == "padding" else None
        pads.update((top, pad) for top in layer.tops)
    return folded


def _padding(layer: V0Layer) -> Pad:
    if len(layer.bottoms) != 1 or len(layer.tops) != 1:
        raise layer.error(f"layer {layer.name!r}: a padding layer has one bottom and one top")
    return Pad(layer.name, layer.bottoms[0], layer.pad)
