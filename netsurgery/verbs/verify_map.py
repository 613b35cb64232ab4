"""A full-conv net's map against the classifier on each cell's window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

from netsurgery.engines.contract import LoadedNet
from netsurgery.errors import NetsurgeryError, PrototxtError
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.shape_text import shape_text, stride_text
from netsurgery.net.edges import edge_effects
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.verbs.array_difference import difference_between
from netsurgery.verbs.verify_result import MapCheck, MapDifference, Unchecked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["compare_maps", "plan_maps"]

T = TypeVar("T")

#: How many numbers of windows are put into the classifier at once.
_AT_ONCE = 1 << 22

#: Each output is followed back through both nets, so that of many no more are.
_MOST_MAPS = 64

#: Cells along each side of the map where the net itself declares no larger input.
_CELLS = 3


def plan_maps(
    old: NetDefinition,
    new: NetDefinition,
    inputs: Mapping[str, str],
    shapes: Mapping[str, Shape],
    outputs: Mapping[str, str],
) -> list[MapCheck | Unchecked]:
    """The maps that `new` gives of a larger input, to be compared, or why one cannot be.

    inputs, outputs: those of `old` -> of `new`; shapes: what both were compared at. An output of
    which `new` declares no input that gives a map is not in it.
    """
    asked = _Asked()
    plans: list[MapCheck | Unchecked] = []
    checks = 0
    for out in outputs.items():
        too_many = f"maps of at most {_MOST_MAPS} outputs are compared"
        plan = _planned(asked, old, new, inputs, shapes, out) if checks < _MOST_MAPS else too_many
        if isinstance(plan, MapCheck):
            plans.append(plan)
            checks += 1
        elif _gives_a_map(asked, new, inputs, shapes, out[1]):
            plans.append(Unchecked(*out, plan))
    return plans


class _Asked:
    """What is worked out of a net at its inputs' shapes, once for however many outputs."""

    def __init__(self) -> None:
        self._known: dict[object, Any] = {}

    def shapes(self, net: NetDefinition, at: Mapping[str, Shape]) -> Shapes:
        """What `infer` gives, or raises."""
        return self._once(infer, net, at)

    def fields(self, net: NetDefinition, at: Mapping[str, Shape]) -> dict[str, ReceptiveField]:
        """What `fields` gives, or raises."""
        return self._once(fields, net, at)

    def _once(
        self,
        work: Callable[[NetDefinition, Mapping[str, Shape]], T],
        net: NetDefinition,
        at: Mapping[str, Shape],
    ) -> T:
        # By id, as the nets outlive this object.
        key = work, id(net), tuple(at.items())
        if key not in self._known:
            try:
                self._known[key] = work(net, at)
            except NetsurgeryError as error:
                self._known[key] = error  # kept as well, for the outputs that ask next
        known = self._known[key]
        if isinstance(known, NetsurgeryError):
            raise known
        result: T = known
        return result


def _gives_a_map(
    asked: _Asked,
    new: NetDefinition,
    inputs: Mapping[str, str],
    shapes: Mapping[str, Shape],
    blob: str,
) -> bool:
    """Whether an output of one cell, at what was compared, has more at the shapes `new` declares.

    Where its shape is not known it may.
    """
    small = {inputs[name]: shape for name, shape in shapes.items()}
    declared = {each.name: each.shape for each in new.inputs if each.shape is not None}
    if all(declared.get(name, shape)[2:] == shape[2:] for name, shape in small.items()):
        return False
    try:
        before, after = (asked.shapes(new, at).blobs.get(blob) for at in (small, declared))
    except PrototxtError:
        return True
    if before is None or after is None:
        return True
    return len(before) == 4 and before[2:] == (1, 1) != after[2:]


def _planned(
    asked: _Asked,
    old: NetDefinition,
    new: NetDefinition,
    inputs: Mapping[str, str],
    shapes: Mapping[str, Shape],
    out: tuple[str, str],
) -> MapCheck | str:
    """The comparison, or why there is none."""
    (name, new_name), *more = inputs.items()
    window = (1, *shapes[name][1:])
    if more or len(window) != 4:
        return "a window can be cut out of one input, N x C x H x W, only"
    try:
        before, small = asked.shapes(old, {name: window}), asked.shapes(new, {new_name: window})
    except PrototxtError as error:
        return f"the nets do not take one window at once: {error}"
    classes = before.blobs.get(out[0])
    if classes is None or out[1] not in small.blobs:
        return "the shape of the output is not known"
    if not classes or small.blobs[out[1]] != (1, prod(classes), 1, 1):
        return "the first net gives no single answer for one window"
    field = asked.fields(new, {new_name: window}).get(out[1])
    if field is None:
        return "its total stride is not known"
    stride = (int(field.stride[0]), int(field.stride[1]))
    # Windows are cut out at whole pixels.
    if any(step.denominator != 1 or step < 1 for step in field.stride):
        return f"its total stride is {stride_text(field.stride)} pixels, no whole number"
    declared = next(each.shape for each in new.inputs if each.name == new_name)
    shape = _larger(window, declared, stride)
    large = _grown(asked, new, new_name, shape, small)
    if large is None:
        return f"the net does not take an input of {shape_text(shape)}"
    after = asked.fields(new, {new_name: shape}).get(out[1])
    if after is None or after.stride != field.stride:
        at = shape_text(shape)
        return f"its total stride at an input of {at} is not that at the window"
    rows, columns = _whole_windows(large.blobs.get(out[1], ()), window, shape, stride)
    # The first window is the input at which the outputs were compared.
    if rows * columns < 2:
        on = stride_text(field.stride)
        return f"an input of {shape_text(shape)} has no second window, {on} pixels on"
    return MapCheck(
        *out,
        name,
        new_name,
        window,
        shape,
        stride,
        (rows, columns),
        batch=_batch(asked, old, name, window, out[0], rows * columns),
        reasons=_reasons(asked, old, before, new, small, out, field),
    )


def _larger(window: Shape, declared: Shape | None, stride: tuple[int, int]) -> Shape:
    """The larger input: what the net declares, or else enough for a few cells."""
    if declared is not None and any(a > b for a, b in zip(declared[2:], window[2:], strict=True)):
        return (1, *declared[1:])
    sides = (side + step * (_CELLS - 1) for side, step in zip(window[2:], stride, strict=True))
    return (*window[:2], *sides)


def _grown(
    asked: _Asked, new: NetDefinition, name: str, shape: Shape, small: Shapes
) -> Shapes | None:
    """The shapes at the larger input; None where params would have to grow with it."""
    try:
        large = asked.shapes(new, {name: shape})
    except PrototxtError:
        return None
    return large if large.params == small.params else None


def _whole_windows(
    cells: Shape, window: Shape, shape: Shape, stride: tuple[int, int]
) -> tuple[int, int]:
    """Rows and columns of the map whose windows lie within the input.

    Poolings that round up may add a last cell whose window does not.
    """
    if len(cells) != 4:
        return 0, 0
    rows, columns = (
        min(cells[2 + i], (shape[2 + i] - window[2 + i]) // stride[i] + 1) for i in range(2)
    )
    return rows, columns


def _batch(
    asked: _Asked, old: NetDefinition, name: str, window: Shape, blob: str, cells: int
) -> int:
    """How many windows the classifier takes at once; 1 for a net that is made for one batch."""
    batch = max(1, min(cells, _AT_ONCE // prod(window)))
    try:
        single, many = (asked.shapes(old, {name: (n, *window[1:])}).blobs[blob] for n in (1, batch))
    except (PrototxtError, KeyError):
        return 1
    return batch if single[:1] == (1,) and many == (batch, *single[1:]) else 1


def _reasons(
    asked: _Asked,
    old: NetDefinition,
    before: Shapes,
    new: NetDefinition,
    small: Shapes,
    out: tuple[str, str],
    field: ReceptiveField,
) -> tuple[str, ...]:
    # The first reasons are those that are printed; this one changes every cell.
    reasons = ["a layer looks at the whole map at once"] if field.whole else []
    effects = edge_effects(old, before, out[0]) or edge_effects(new, small, out[1])
    reasons += [str(effect) for effect in effects]
    reasons += _coarser(
        asked, new, {blob: small.blobs[blob] for blob in _inputs(new, small)}, out, field
    )
    return tuple(reasons)


def _inputs(net: NetDefinition, shapes: Shapes) -> list[str]:
    return [each.name for each in net.inputs if each.name in shapes.blobs]


def _coarser(
    asked: _Asked,
    new: NetDefinition,
    inputs: Mapping[str, Shape],
    out: tuple[str, str],
    field: ReceptiveField,
) -> list[str]:
    """The layers before the map whose cells are not as near, or not in step with its own.

    After an Interp or a Deconvolution, windows begin between the cells of the layers before it;
    the classifier has other cells there.
    """
    known = asked.fields(new, inputs)
    ancestors, reasons = {out[1]}, []
    for layer in reversed(new.layers):
        if not ancestors.intersection(layer.tops):
            continue
        ancestors.update(layer.bottoms)
        for top in layer.tops:
            steps = known[top].stride if top in known else field.stride
            if any(a % b for a, b in zip(field.stride, steps, strict=True) if b):
                every = stride_text(known[top].stride)
                reasons.append(f"{layer.name!r} has a cell every {every} pixels only")
                break
    return reasons[::-1]


def compare_maps(
    checks: Sequence[MapCheck], old: LoadedNet, new: LoadedNet, image: Array
) -> list[MapDifference]:
    """Run the full-conv net on `image`, of the checks' shape, the classifier on every window.

    The checks are of one geometry. Both nets are left reshaped. Raises what the engines raise.
    """
    import numpy as np

    first = checks[0]
    rows, columns = first.cells
    new.reshape({first.new_input: first.shape})
    blobs = list(dict.fromkeys(check.new_blob for check in checks))
    maps = new.forward({first.new_input: image}, blobs)
    answers = _windows(checks, old, image)
    differences = []
    for check in checks:
        cells = maps[check.new_blob][0, :, :rows, :columns]
        # Cells x classes, as `_windows` has the answers.
        seen = np.ascontiguousarray(cells.reshape(len(cells), -1).T)
        expected = answers[check.blob]
        agreeing = int((seen.argmax(axis=1) == expected.argmax(axis=1)).sum())
        difference = difference_between(expected, seen)
        differences.append(MapDifference(check, rows * columns, agreeing, difference))
    return differences


def _windows(checks: Sequence[MapCheck], old: LoadedNet, image: Array) -> dict[str, Array]:
    """The classifier's answers on each window, cells x classes, by blob."""
    import numpy as np

    first = checks[0]
    # The outputs share each run, so that the smallest batch of all counts.
    size = min(check.batch for check in checks)
    (down, across), (rows, columns) = first.stride, first.cells
    height, width = first.window[2:]
    corners = [(row * down, column * across) for row in range(rows) for column in range(columns)]
    count = sum(prod(old.blobs.get(check.blob, ())[1:]) for check in checks) * len(corners)
    # float32, in parts and joined, and a batch of windows.
    claim = Claim(8 * count + 4 * size * prod(first.window[1:]), "the answers on a map's windows")
    batch = claim_for(np.zeros((size, *first.window[1:]), np.float32), claim)
    old.reshape({first.input: batch.shape})
    answers: dict[str, list[Array]] = {check.blob: [] for check in checks}
    for start in range(0, len(corners), size):
        some = corners[start : start + size]
        for index, (y, x) in enumerate(some):
            batch[index] = image[0, :, y : y + height, x : x + width]
        for blob, array in old.forward({first.input: batch}, list(answers)).items():
            # In the last batch, rows beyond these are windows of the batch before.
            answers[blob].append(array.reshape(size, -1)[: len(some)])
    whole = {blob: np.concatenate(parts) for blob, parts in answers.items()}
    return {blob: claim_for(array, claim) for blob, array in whole.items()}
