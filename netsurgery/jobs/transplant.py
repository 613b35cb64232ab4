"""Params of one net put into another: from files to a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_new import layer_segments
from netsurgery.formats.caffemodel_write import LayerFacts, check_written, planned, rewrite
from netsurgery.formats.weights import check_size, is_hdf5_name, open_weights, write_weights
from netsurgery.io.files import Output, Outputs
from netsurgery.net.net import Net
from netsurgery.net.sharing import shared_params
from netsurgery.surgery.transplant.params import Side
from netsurgery.surgery.transplant.plan import NameRule, TransplantPlan, plan_transplant
from netsurgery.surgery.transplant.weights import replacements, transplanted_layers

__all__ = ["Transplantation", "planned_transplant", "transplant"]


@dataclass(frozen=True)
class Transplantation:
    """What was done: bytes written, and in how many seconds."""

    plan: TransplantPlan
    weights: Path
    written: int
    seconds: float


@contextmanager
def planned_transplant(
    source: tuple[Path, Path],
    target: tuple[Path, Path | None],
    rule: NameRule,
    *,
    cut: bool = False,
    strict: bool = False,
) -> Iterator[TransplantPlan]:
    """Open both nets and their weights, and plan; the files are closed with the context.

    source, target: prototxt and weights, the target's may be None. cut: where sizes differ, the
    part that overlaps goes. strict: every layer of the target must have its params. Raises
    FormatError, NetError, and SurgeryError with every refusal.
    """
    with ExitStack() as stack:
        one, other = _side(stack, *source), _side(stack, *target)
        yield plan_transplant(one, other, rule, cut=cut, strict=strict)


def _side(stack: ExitStack, prototxt: Path, weights: Path | None) -> Side:
    net = Net.read(prototxt)
    if weights is None:
        return Side.of(net, None)
    return Side.of(net, stack.enter_context(open_weights(weights, shared_params(net))))


def transplant(
    plan: TransplantPlan,
    weights: Path,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Transplantation:
    """Write the planned weights to `weights`: HDF5 if its name ends in .h5, else a caffemodel.

    Where the target has a caffemodel and one is written, all that is not replaced is that file's,
    byte for byte; layers it lacked come at its end. Otherwise the file is new, its layers in the
    target net's order. progress: called with the number of bytes written. Raises OutputError;
    nothing is written then.
    """
    started = time.monotonic()
    sides = (plan.source, plan.target)
    inputs = [side.net.prototxt.path for side in sides]
    inputs += [side.weights.path for side in sides if side.weights is not None]
    with Outputs([weights], inputs=inputs, force=force) as outputs:
        written = _write(plan, outputs[weights], progress)
        for side in sides:
            if side.weights is not None:
                side.weights.check_unchanged()
    return Transplantation(plan, weights, written, time.monotonic() - started)


def _write(plan: TransplantPlan, output: Output, progress: Callable[[int], None] | None) -> int:
    model = plan.target.weights
    if not isinstance(model, Caffemodel) or is_hdf5_name(output.path):
        layers = transplanted_layers(plan)
        return write_weights(output, layers, net_name=plan.target.net.name, progress=progress)
    changes, added = replacements(plan, model)
    segments = rewrite(model, changes)
    expected = list(planned(model, changes))
    for layer in added:
        segments += layer_segments(layer, model.generation)
        shapes = tuple(blob.shape for blob in layer.blobs)
        expected.append(LayerFacts(layer.name, layer.type, layer.bottoms, layer.tops, shapes))
    check_size(segments, output.path)
    written = output.write_segments(segments, progress)
    check_written(Path(output.temporary), expected)
    return written
