"""Input fields written as an Input layer: the prototxt.

Until 2016 a net said ``input: "data"`` and, for each, four ``input_dim`` or one ``input_shape``.
"""

from __future__ import annotations

from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import Edits, Field, Message
from netsurgery.formats.upgrade.splices import (
    Change,
    block,
    comments,
    cut,
    indent_of,
    indent_step,
    line_end,
    own_line,
    trailing,
)

__all__ = ["check_inputs", "told_beyond", "told_left_out", "upgrade_inputs"]

_DIMS = 4
_FIELDS = ("input", "input_dim", "input_shape")


def check_inputs(root: Message) -> None:
    """Raise PrototxtError where some input would have no shape, or half of one."""
    names, shapes, dims = root.scalars("input"), root.messages("input_shape"), root.all("input_dim")
    for name in names:
        name.as_string()
    if shapes and len(shapes) < len(names):
        raise shapes[0].error(f"{len(shapes)} input_shape for {len(names)} inputs")
    if names and dims and not shapes and len(dims) < _DIMS * len(names):
        raise root.source.error(
            f"{len(dims)} input_dim for {len(names)} inputs; each takes four", dims[0].start
        )
    for dim in root.scalars("input_dim"):
        dim.as_int(-(2**31), 2**31 - 1)


def upgrade_inputs(edits: Edits, prototxt: Prototxt) -> list[Change]:
    """Make the splices; nothing for a net without ``input``."""
    root = prototxt.root
    check_inputs(root)
    names = root.all("input")
    if not names:
        return []
    old = [found for found in root.fields if found.name in _FIELDS]
    layers = [found for found in root.fields if found.name in ("layer", "layers")]
    sized = any(found.name != "input" for found in old)
    made = _Layer(edits, root, names, layers)
    at = made.place(old[0]) if sized else None
    for start, end in root.places(*_FIELDS):
        if (start, end) != at:
            cut(edits, start, end, made.moved.get((start, end), 0))
    listed = ", ".join(repr(name.as_string()) for name in root.scalars("input"))
    if not sized:
        return [Change(None, told_left_out(listed))]
    beyond = told_beyond(len(names), len(made.shapes), len(made.dims))
    return [Change(None, f"input {listed} becomes a layer Input"), *beyond]


class _Layer:
    """The Input layer in the making; `moved` tells up to where a field's comments went with it."""

    def __init__(
        self, edits: Edits, root: Message, names: list[Field], layers: list[Field]
    ) -> None:
        self.edits, self.names, self.layers = edits, names, layers
        self.source, self.newline = edits.source.text, line_end(edits.source.text)
        self.shapes, self.dims = root.all("input_shape"), root.all("input_dim")
        self.moved: dict[tuple[int, int], int] = {}
        first = layers[0].value if layers else None
        self.step = indent_step(first) if isinstance(first, Message) else "  "
        self.flat = False

    def place(self, first: Field) -> tuple[int, int] | None:
        """Write the layer where `first` is, or before the first layer; gives the place if taken."""
        ahead = bool(self.layers) and self.layers[0].start < first.start
        anchor = self.layers[0] if ahead else first
        indent = indent_of(self.source, anchor.start)
        if own_line(self.source, anchor.start, anchor.end) is None:
            self.flat, self.newline, self.step, indent = True, " ", "", ""
        text = self.text(indent)
        if ahead:
            self.edits.insert(anchor.start, text + self.newline + indent)
            return None
        place = first.start, first.end
        if place not in self.moved:
            newline = line_end(self.source)
            kept = comments(self.source[first.start : first.end])
            text += "".join(f" {comment}{newline}" for comment in kept)
        self.edits.replace(first.start, self.moved.get(place, first.end), text)
        return place

    def text(self, indent: str) -> str:
        inner = indent + self.step
        lines = ['name: "input"', 'type: "Input"']
        lines += [self.line(name, "top") for name in self.names]
        shapes = [self.shape(index, inner + self.step) for index in range(len(self.names))]
        lines.append(block("input_param", shapes, inner, self.step, self.newline))
        return block("layer", lines, indent, self.step, self.newline)

    def line(self, field: Field, name: str) -> str:
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


def told_left_out(listed: str) -> str:
    """What is said of inputs without a shape."""
    return f"input {listed} has no shape and is left out, as Caffe leaves it out"


def told_beyond(names: int, shapes: int, dims: int) -> list[Change]:
    """What Caffe does not read of that many inputs, input_shape and input_dim."""
    if shapes and dims:
        return [Change(None, "input_dim beside input_shape is left out, as Caffe leaves it out")]
    if shapes > names or dims > _DIMS * names:
        return [Change(None, f"shapes beyond those of the {names} inputs are left out")]
    return []
