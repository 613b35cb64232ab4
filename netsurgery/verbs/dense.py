"""``netsurgery.dense``: the maps of a fully convolutional net with a finer stride.

Only the prototxt changes: the same caffemodel fits both nets. The output appears whole or not at
all, and one that exists is an error without `force`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.shape_text import shape_text, stride_text
from netsurgery.io.table import Column, Table
from netsurgery.io.targets import STDOUT, wrote
from netsurgery.io.terminal import print_text
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import open_net_and_weights
from netsurgery.surgery.dense.plan import DensePlan, plan_dense
from netsurgery.verbs.default_names import existing_outputs
from netsurgery.verbs.open_result import OpenResult

if TYPE_CHECKING:
    from netsurgery.open_net.net import Net

__all__ = ["Densification", "dense"]


class Densification(OpenResult):
    """What `dense` does to a net, and the new net.

    output: the file that it goes to, None for none. written: the file written last, () for none.
    An open net's params stay open until this is closed or collected.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> paths = ns.convert(net, model, "converted", engine="embedded").paths
    >>> with ns.dense(paths.prototxt, stride=2) as result:
    ...     print(result)
    ...     result.save("finer.prototxt")
    map prob: 29x29, every 2 x 2 pixels
    ('finer.prototxt',)
    """

    noun = "densification"

    def __init__(self, plan: DensePlan, model: NetWithWeights, source: ExitStack) -> None:
        """model: the old net, with its params where it has some; `source` closes it."""
        super().__init__(source, model)
        self.plan, self._model = plan, model
        self.output: Path | None = None
        self.written: tuple[str, ...] = ()
        self._output_notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The new prototxt."""
        return self.plan.text

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (*self.plan.notes, *self._output_notes)

    @cached_property
    def net(self) -> Net:
        """The new net, open, with the params of the open net it is made of; the caller's to close.

        Of a prototxt it has none: open the new one with the caffemodel of the old.
        """
        from netsurgery.net.scratch_model import changed_model
        from netsurgery.net.write_weights import ModelChange
        from netsurgery.open_net.net import Net

        self.check_open()
        if not self._model.has_weights:
            return Net.of_model(NetWithWeights(self.plan.new))
        return Net.of_model(changed_model(self._model, ModelChange(self.plan.new, {}, [])))

    @checks_arguments()
    def save(self, output: AnyPath, *, force: bool = False) -> tuple[str, ...]:
        """Write the new prototxt; returns the file written.

        output: "-" is standard output. Raises OutputError; nothing is written then.
        """
        self.check_open()
        data = self.plan.new.prototxt.to_bytes()
        # `Outputs` prints to no terminal, where a prototxt may well be read.
        if str(output) == STDOUT:
            print_text(data)
        else:
            with Outputs([output], inputs=self._model.files, force=force) as outputs:
                outputs[output].write(data)
        self.output, self.written, self._output_notes = Path(output), (str(output),), ()
        return self.written

    @checks_arguments()
    def plan_output(self, output: AnyPath | None) -> None:
        """Set `output` to where `save` would write, and say in `notes` if it exists already.

        `written` is () again. Raises OutputError where it could not.

        >>> import netsurgery as ns
        >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
        >>> with ns.convert(*paths).net as net, ns.dense(net, stride=4) as result:
        ...     result.plan_output("planned.prototxt")
        ...     str(result.output), result.written, result.notes
        ('planned.prototxt', (), ())
        """
        self.output, self.written = None if output is None else Path(output), ()
        files = [] if output is None else [output]
        self._output_notes = existing_outputs(files, self._model.files)

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery dense --json` prints it."""
        diff = None
        if not self.written:
            from netsurgery.formats.line_diff import text_diff

            diff = text_diff(self.plan.net.prototxt, self.text, str(self.output or "finer"))
        return {
            "stride": self.plan.stride,
            "layers": [
                {"name": each.name, "type": each.layer.type, "what": each.what}
                for each in self.plan.layers
            ],
            "maps": {
                each.blob: {
                    "shape": list(each.old),
                    "new_shape": list(each.new),
                    "stride": list(each.old_stride),
                    "new_stride": list(each.new_stride),
                }
                for each in self.plan.maps
            },
            "notes": list(self.notes),
            "prototxt": None if self.output is None else str(self.output),
            "dry_run": not self.written,
            "diff": diff,
        }

    def __str__(self) -> str:
        return f"{self.plan}{wrote(self.written)}"

    def table(self) -> Table:
        """The layers that change, and the maps with their old and new shapes."""
        table = Table((Column("layer"), Column("change", 1)))
        for each in self.plan.layers:
            table.add(each.name, each.what)
        for map_ in self.plan.maps:
            # Short, for a terminal of 80 columns, which cuts the middle out of a cell.
            shapes = " becomes ".join(shape_text(shape[2:]) for shape in (map_.old, map_.new))
            strides = " becomes ".join(map(stride_text, (map_.old_stride, map_.new_stride)))
            table.add(map_.blob, f"map of {shapes}, stride {strides}")
        return table


@checks_arguments()
def dense(
    net: Net | AnyPath,
    output: AnyPath | None = None,
    *,
    stride: int,
    input_shapes: Mapping[str, Shape] | None = None,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
) -> Densification:
    """Give the maps of a fully convolutional net a finer stride, with the same params.

    net: a prototxt, or an open net, which stays as it is. stride: the total stride of the new maps
    in input pixels, along height and width: it divides the old one. Strides before the maps become
    1, and the windows behind them get gaps (dilation), so that every old cell is there with its
    number, and between them those of the net on the picture moved by less than the old stride. A
    pooling whose windows get gaps is written as crops of its map and their maximum or mean.
    output: the prototxt to write, see `Densification.save`; without one nothing is written.
    input_shapes: blob -> shape, N x C x H x W, for inputs whose shape the prototxt does not say.
    state: in which a prototxt is read; an open net is in its own. dry_run: write nothing, see
    `Densification.plan_output`.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.convert(net, model).net as converted:
    ...     with ns.dense(converted, stride=4).net as finer:
    ...         converted.blobs["prob"].shape, finer.blobs["prob"].shape
    ((1, 11, 8, 8), (1, 11, 15, 15))

    Raises SurgeryError naming each layer that stands in the way and why, or the strides there are;
    PrototxtError, NetError, OutputError. Nothing is written then.
    """
    with ExitStack() as stack:
        model = open_net_and_weights(stack, net, None, state, finite=True)
        plan = plan_dense(model.net, stride, input_shapes)
        result = Densification(plan, model, stack.pop_all())
    if dry_run:
        result.plan_output(output)
    elif output is not None:
        result.save(output, force=force)
    return result
