"""The shapes that an edit is to come to, and whether the new text has them.

Whatever an edit overlooks, such as a Reshape that writes a size out, shows here before anything is
written.
"""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.formats.textformat import Edits
from netsurgery.net.net import Shape
from netsurgery.net.shapes import describe
from netsurgery.surgery.edit.workpiece import Workpiece

__all__ = ["edit_as_expected"]


def edit_as_expected(work: Workpiece, edits: Edits, blobs: Mapping[str, Shape]) -> None:
    """The net becomes what its edited text says.

    blobs: the new shape of each blob whose shape changes. Every other blob keeps its shape, and
    every param has the shape that it has in the workpiece. Raises SurgeryError where that is not
    so.
    """
    expected = {**work.shapes.blobs, **blobs}
    params = dict(work.shapes.params)
    for (name, index), array in work.arrays.items():
        if index < len(params.get(name, ())):
            params[name] = (*params[name][:index], array.shape, *params[name][index + 1 :])
    work.edited(edits)
    try:
        shapes = work.shapes
    except PrototxtError as error:
        raise SurgeryError(f"the net would not fit together any more: {error}") from None
    for name, shape in expected.items():
        found = shapes.blobs.get(name)
        if found != shape:
            new = "of no known shape" if found is None else describe(found)
            raise SurgeryError(f"blob {name!r} would be {new}, expected {describe(shape)}")
    for name, its in params.items():
        if shapes.params.get(name) != its:
            raise SurgeryError(f"the shapes of layer {name!r}'s params would depend on it")
