"""Input fields and data layers brought up to date: the prototxt.

Until 2016 a net said ``input: "data"`` and, for each, four ``input_dim`` or one ``input_shape``;
they become an Input layer. The transformation of V1's data layers moves to ``transform_param``:
where one layer of a net needs that, Caffe's upgrade gives every data layer of the net both
messages, empty if need be; so is it done here.
"""

from __future__ import annotations

from collections.abc import Sequence

from netsurgery.formats.prototxt import Prototxt, insert_field
from netsurgery.formats.textformat import Edits, Message, Scalar, TextField
from netsurgery.formats.upgrade.splices import (
    UpgradeStep,
    block,
    comments,
    cut,
    indent_of,
    indent_step,
    line_end,
    own_line,
    trailing,
)
from netsurgery.formats.upgrade.v1 import v1_type
from netsurgery.io.wording import counted

__all__ = [
    "DATA_PARAMS",
    "TRANSFORM",
    "check_inputs",
    "input_steps",
    "transform_moved",
    "upgrade_inputs",
    "upgrade_transforms",
    "without_shape",
]

_DIMS = 4
_FIELDS = ("input", "input_dim", "input_shape")


def check_inputs(root: Message) -> None:
    """Raise PrototxtError where some input would have no shape, or half of one."""
    names, shapes, dims = root.scalars("input"), root.messages("input_shape"), root.all("input_dim")
    for name in names:
        name.as_string()
    if shapes and len(shapes) < len(names):
        raise shapes[0].error(f"{len(shapes)} input_shape for {counted(len(names), 'input')}")
    if names and dims and not shapes and len(dims) < _DIMS * len(names):
        raise root.source.error(
            f"{len(dims)} input_dim for {counted(len(names), 'input')}; each takes four",
            dims[0].start,
        )
    for dim in root.scalars("input_dim"):
        dim.as_int(-(2**31), 2**31 - 1)


def upgrade_inputs(edits: Edits, prototxt: Prototxt) -> list[UpgradeStep]:
    """Make the splices; nothing for a net without ``input``."""
    root = prototxt.root
    check_inputs(root)
    names = root.all("input")
    if not names:
        return []
    old = [field for field in root.fields if field.name in _FIELDS]
    layers = [field for field in root.fields if field.name in ("layer", "layers")]
    sized = any(field.name != "input" for field in old)
    layer = _InputLayer(edits, root, names, layers)
    at = layer.place(old[0]) if sized else None
    for start, end in root.places(*_FIELDS):
        if (start, end) != at:
            cut(edits, start, end, layer.moved.get((start, end), 0))
    listed = ", ".join(repr(name.as_string()) for name in root.scalars("input"))
    if not sized:
        return [without_shape(listed)]
    return input_steps(listed, len(names), len(layer.shapes), len(layer.dims))


class _InputLayer:
    """The Input layer in the making; `moved`: up to where a field's comments went with it."""

    def __init__(
        self, edits: Edits, root: Message, names: list[TextField], layers: list[TextField]
    ) -> None:
        self.edits, self.names, self.layers = edits, names, layers
        self.source, self.newline = edits.source.text, line_end(edits.source.text)
        self.shapes, self.dims = root.all("input_shape"), root.all("input_dim")
        self.moved: dict[tuple[int, int], int] = {}
        first = layers[0].value if layers else None
        self.step = indent_step(first) if isinstance(first, Message) else "  "
        self.flat = False

    def place(self, first: TextField) -> tuple[int, int] | None:
        """Write the layer where `first` is, or before the first layer; gives the place if taken."""
        ahead = bool(self.layers) and self.layers[0].start < first.start
        anchor = self.layers[0] if ahead else first
        indent = indent_of(self.source, anchor.start)
        if own_line(self.source, anchor.start, anchor.end) is None:
            # Where fields share a line the layer is one line too.
            self.flat, self.newline, self.step, indent = True, " ", "", ""
        text = self.text(indent)
        if ahead:
            self.edits.insert(anchor.start, text + self.newline + indent)
            return None
        place = first.start, first.end
        if place not in self.moved:
            newline = line_end(self.source)
            remarks = comments(self.source[first.start : first.end])
            text += "".join(f" {comment}{newline}" for comment in remarks)
        self.edits.replace(first.start, self.moved.get(place, first.end), text)
        return place

    def text(self, indent: str) -> str:
        inner = indent + self.step
        lines = ['name: "input"', 'type: "Input"']
        lines += [self.line(name, "top") for name in self.names]
        shapes = [self.shape(index, inner + self.step) for index in range(len(self.names))]
        lines.append(block("input_param", shapes, inner, self.step, self.newline))
        return block("layer", lines, indent, self.step, self.newline)

    def line(self, field: TextField, name: str) -> str:
        """A field under a new name, with the comment that is on its line."""
        comment = ""
        if not field.in_list:
            comment, moved = trailing(self.source, field.start, field.end)
            comment = "" if self.flat else comment
            self.moved[field.start, field.end] = moved if comment else field.end
        text = self.source[field.value.start : field.value.end]
        mark = " " if isinstance(field.value, Message) else ": "
        return f"{name}{mark}{text}" + (f"  {comment}" if comment else "")

    def shape(self, index: int, indent: str) -> str:
        if self.shapes:
            was = indent_of(self.source, self.shapes[index].start)
            line = self.line(self.shapes[index], "shape")
            return line if self.flat else line.replace("\n" + was, "\n" + indent)
        own = self.dims[_DIMS * index : _DIMS * (index + 1)]
        lines = [self.line(dim, "dim") for dim in own]
        if any(comments(line) for line in lines):
            return block("shape", lines, indent, self.step, self.newline)
        return f"shape {{ {' '.join(lines)} }}"


def without_shape(listed: str) -> UpgradeStep:
    """The step of inputs without a shape."""
    what = f"input {listed} has no shape and is left out, as Caffe leaves it out"
    return UpgradeStep(None, what, ("input",), listed)


def input_steps(listed: str, names: int, shapes: int, dims: int) -> list[UpgradeStep]:
    """The steps of that many inputs, input_shape and input_dim, with what Caffe does not read."""
    field = "input_shape" if shapes else "input_dim"
    what = f"input {listed} becomes a layer Input"
    # upgrade_proto.cpp reads as many shapes as there are inputs, and input_shape before input_dim.
    steps = [UpgradeStep(None, what, ("input", field), listed, "Input")]
    if shapes and dims:
        what = "input_dim beside input_shape is left out, as Caffe leaves it out"
        steps.append(UpgradeStep(None, what, ("input_dim",)))
    elif shapes > names or dims > _DIMS * names:
        what = f"shapes beyond those of the {counted(names, 'input')} are left out"
        steps.append(UpgradeStep(None, what, (field,)))
    return steps


#: The types whose transformation moves, and the message it was in.
DATA_PARAMS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
}

#: What moves to transform_param.
TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")


def upgrade_transforms(edits: Edits, layers: list[Message]) -> list[UpgradeStep]:
    """Make the splices for the layers of a V1 net; nothing where no layer needs them."""
    data_layers = [
        (layer, DATA_PARAMS[kind]) for layer in layers if (kind := v1_type(layer)) in DATA_PARAMS
    ]
    if not any(_moving(layer, param) for layer, param in data_layers):
        return []
    return [change for layer, param in data_layers for change in _upgrade(edits, layer, param)]


def _moving(layer: Message, param: str) -> list[TextField]:
    """The fields of the layer's `param` that move, in the author's order."""
    data = layer.message(param)
    if data is None:
        return []
    moving = [field for key in TRANSFORM if (field := data.single(key)) is not None]
    return sorted(moving, key=lambda field: field.start)


def _upgrade(edits: Edits, layer: Message, param: str) -> list[UpgradeStep]:
    """Move the transformation out of `param`; it wins over what transform_param has."""
    source, name = edits.source.text, layer.string("name")
    fields, lines = _moving(layer, param), []
    for field in fields:
        comment, moved = trailing(source, field.start, field.end)
        lines.append(source[field.start : field.end] + (f"  {comment}" if comment else ""))
        cut(edits, field.start, field.end, moved)
    data, target = layer.single(param), layer.single("transform_param")
    anchor, added = data or layer.single("type"), []
    if anchor is not None and data is None:
        insert_field(edits, anchor, f"{param} {{ }}")
        added.append(param)
    if target is not None:
        _fill(edits, target, lines, {field.name for field in fields})
    elif anchor is not None:
        insert_field(edits, anchor, _block(anchor, lines, source))
        added += [] if lines else ["transform_param"]
    if fields:
        return [transform_moved(name, [field.name for field in fields], param)]
    return [
        UpgradeStep(name, f"an empty {each}, as Caffe adds it", (each,), None, "{ }")
        for each in added
    ]


def transform_moved(layer: str, fields: Sequence[str], param: str) -> UpgradeStep:
    """The step by which fields leave `param`."""
    what = f"{', '.join(fields)} of {param}: now in transform_param"
    return UpgradeStep(layer, what, tuple(fields), param, "transform_param")


def _block(data: TextField, lines: list[str], source: str) -> str:
    """A transform_param in the layout of the field before it."""
    if isinstance(data.value, Message) and lines and "\n" in source[data.start : data.end]:
        indent, step = indent_of(source, data.start), indent_step(data.value)
        return block("transform_param", lines, indent, step, line_end(source))
    return " ".join(["transform_param {", *lines, "}"])


def _fill(edits: Edits, field: TextField, lines: list[str], names: set[str]) -> None:
    """Put the lines into a transform_param that is there, in place of its fields of those names."""
    if isinstance(field.value, Scalar):
        raise field.value.error(f"found {field.value.text}, expected transform_param {{ ... }}")
    message, source = field.value, edits.source.text
    for name in names:  # what the macro of upgrade_proto.cpp overwrites
        for start, end in message.places(name):
            cut(edits, start, end)
    if not lines:
        return
    if "\n" in source[message.start : message.end]:
        inside = line_end(source) + indent_of(source, field.start) + indent_step(message)
        edits.insert(message.start + 1, "".join(inside + line for line in lines))
    else:
        newline = line_end(source) if any(comments(line) for line in lines) else ""
        edits.insert(message.start + 1, "".join(f" {line}{newline}" for line in lines))
