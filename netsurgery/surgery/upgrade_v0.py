"""Layers of V0 (2013) written as layers of V1: the prototxt.

V0 put everything a layer is into a second message: ``layers { layer { type: "conv" num_output: 3 }
bottom: "a" }``. Its fields go where V1 has them, in the author's own lines. Padding was a layer of
its own, "padding"; it becomes the `pad` of the convolution or pooling behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netsurgery.formats.generations import V0_TYPES, V1_WORDS
from netsurgery.formats.prototxt import Prototxt, quoted
from netsurgery.formats.textformat import Edits, Field, Message, Scalar
from netsurgery.surgery.upgrade_splices import (
    Change,
    comments,
    cut,
    indent_of,
    line_end,
    spans,
)

__all__ = ["PADDED", "UNUSED", "home", "upgrade_v0"]

#: Types that a padding layer can be folded into.
PADDED = ("conv", "pool")

#: Fields that nothing ever read; Caffe's own upgrade leaves them out.
UNUSED = ("new_num", "new_channels")

_PARAMS = {
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

_WORDS = {name: word for word, name in V1_WORDS.items()}


def home(kind: str, name: str) -> tuple[str, str] | None:
    """Where a V0 layer's field goes: (message, field), the message "" for the layer itself.

    None where layers of type `kind` have no such field.
    """
    if name in _DIRECT:
        return "", name
    if name in _TRANSFORM:
        return "transform_param", _TRANSFORM[name]
    if name == "hdf5_output_param" and kind == "hdf5_output":
        return "", name
    since, kinds = _FIELDS.get(name, ("", ""))
    return (_PARAMS[kind], since) if kind in kinds.split() else None


def upgrade_v0(prototxt: Prototxt) -> tuple[str, list[Change]]:
    """The same net in V1, as text, and what was done. Raises PrototxtError."""
    edits, changes = prototxt.edits(), []
    pads = _Padding(prototxt)
    for found, layer in zip(prototxt.root.all("layers"), prototxt.layers, strict=True):
        inner = _inner(layer)
        name, kind = inner.string("name"), inner.string("type")
        if kind == "padding":
            _remove(edits, found)
            continue
        pad = pads.folded.get(id(layer))
        where = layer.one("layer")
        assert where is not None
        edits.replace(where.start, where.end, _Body(where, inner, pad).text())
        changes.append(Change(name, "V0's `layer` inside `layers` goes into it, one message"))
        if pad is not None:
            bottom = layer.scalars("bottom")[0]
            edits.replace(bottom.start, bottom.end, quoted(pad.bottom, bottom))
            changes.append(Change(name, f"takes the padding of layer {pad.layer!r}, {pad.size}"))
        for unused in (unused for unused in UNUSED if inner.all(unused)):
            changes.append(Change(name, f"{unused}, which no layer reads, is left out"))
    for unused in ("state", "debug_info"):
        for start, end in spans(prototxt.root.all(unused)):
            cut(edits, start, end)
            changes.append(Change("", f"{unused}, which V0 nets have not, is left out"))
    return edits.apply(), changes


def _inner(layer: Message) -> Message:
    """The layer inside the layer. Raises PrototxtError for what Caffe would lose or not know."""
    inner = layer.message("layer")
    if inner is None:
        raise layer.error("found a layer without `layer { ... }` among layers of V0 that have it")
    for other in layer.fields:
        if other.name not in ("layer", "bottom", "top"):
            raise layer.source.error(
                f"found {other.name} beside `layer`, expected bottom or top; V0 has all else "
                "inside `layer { ... }`",
                other.start,
            )
    kind = inner.string("type")
    if kind and kind != "padding" and kind not in V0_TYPES:
        scalar = inner.scalar("type")
        raise (scalar or inner).error(f"found the V0 type {kind!r}, which Caffe never had")
    if kind == "padding":
        return inner
    for each in inner.fields:
        if each.name not in UNUSED and home(kind, each.name) is None:
            raise layer.source.error(
                f"found {each.name} in a V0 layer of type {kind!r}, which has no such field",
                each.start,
            )
    return inner


def _remove(edits: Edits, layer: Field) -> None:
    if layer.in_list:
        raise edits.source.error(
            "a padding layer in a list; write `layers { ... }` each", layer.start
        )
    cut(edits, layer.start, layer.end)


@dataclass(frozen=True)
class _Pad:
    layer: str
    bottom: str
    size: str


class _Padding:
    """Which layers take the padding of the layer before them."""

    def __init__(self, prototxt: Prototxt) -> None:
        self.folded: dict[int, _Pad] = {}
        made: dict[str, _Pad | None] = {
            blob.as_string(): None for blob in prototxt.root.scalars("input")
        }
        for layer in prototxt.layers:
            inner = _inner(layer)
            bottoms, tops = layer.scalars("bottom"), layer.scalars("top")
            for bottom in bottoms:
                if bottom.as_string() not in made:
                    raise bottom.error(f"bottom {bottom.text} is made by no layer before it")
                pad = made[bottom.as_string()]
                if pad is not None:
                    self.fold(pad, layer, inner, len(bottoms))
            pad = self.padding(inner, bottoms, tops) if inner.string("type") == "padding" else None
            made.update((top.as_string(), pad) for top in tops)

    def fold(self, pad: _Pad, layer: Message, inner: Message, bottoms: int) -> None:
        if inner.string("type") not in PADDED or bottoms != 1:
            raise layer.error(
                f"layer {inner.string('name')!r} ({inner.string('type')}) reads what the padding "
                f"layer {pad.layer!r} makes; only conv and pool can take a padding over"
            )
        self.folded[id(layer)] = pad

    def padding(self, inner: Message, bottoms: list[Scalar], tops: list[Scalar]) -> _Pad:
        if len(bottoms) != 1 or len(tops) != 1:
            raise inner.error("a padding layer has one bottom and one top")
        size = inner.integer("pad", 0)
        return _Pad(inner.string("name"), bottoms[0].as_string(), str(size))


@dataclass
class _Unit:
    """Fields with the space and the comments before them and the comment behind, as written."""

    text: str

    @property
    def ends_in_comment(self) -> bool:
        last = self.text.rsplit("\n", 1)[-1]
        return bool(comments(last))


@dataclass
class _Body:
    """The text that takes the place of ``layer { ... }``."""

    where: Field
    inner: Message
    pad: _Pad | None
    groups: dict[str, list[_Unit]] = field(default_factory=lambda: {"": []})

    def text(self) -> str:
        source = self.inner.source.text
        self.newline = line_end(source)
        self.lines = "\n" in source[self.inner.start : self.inner.end]
        self.outer = indent_of(source, self.where.start)
        self.indent = next(
            (found for each in self.inner.fields if (found := indent_of(source, each.start))),
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
        made = between.join(piece for piece in pieces if piece)
        last = made.rsplit("\n", 1)[-1]
        rest = source[self.where.end : source.find("\n", self.where.end) + 1 or None]
        return made + (between if comments(last) and rest.strip() else "")

    def fill(self) -> str:
        """Put the fields into the groups; returns what is behind the last of them."""
        source, kind = self.inner.source.text, self.inner.string("type")
        at = self.inner.start + 1
        places = spans(self.inner.fields)
        by_place = {(each.start, each.end): each for each in self.inner.fields}
        for start, end in places:
            stop = _with_comment(source, end, self.inner.end - 1)
            each = by_place[start, end]
            if each.name in UNUSED:
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
            units = self.groups.setdefault(_PARAMS[kind], [])
            units.append(_Unit(f"{gap}pad: {self.pad.size}"))
        return source[at : self.inner.end - 1]

    def value(self, each: Field, since: str) -> str:
        """The field from behind its name on, with another type or pad where it needs one."""
        source = self.inner.source.text
        rest = source[each.start + len(each.name) : each.end]
        if isinstance(each.value, Message):
            return rest
        new = None
        if since == "type":
            new = _WORDS[V0_TYPES[each.value.as_string()]] if each.value.as_string() else "NONE"
        elif since == "pad" and self.pad is not None:
            new = self.pad.size
        if new is None:
            return rest
        return source[each.start + len(each.name) : each.value.start] + new

    def join(self, units: list[_Unit]) -> str:
        """The units one after another; behind a comment a new line has to begin."""
        text = ""
        for before, unit in zip([None, *units], units, strict=False):
            if before is not None and before.ends_in_comment and not _breaks(unit.text):
                text += self.newline + self.indent
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
    while end < limit and source[end] in " \t;,":
        end += 1
    if end < limit and source[end] == "#":
        newline = source.find("\n", end, limit)
        return limit if newline < 0 else newline - (source[newline - 1] == "\r")
    while source[end - 1] in " \t":
        end -= 1
    return end
