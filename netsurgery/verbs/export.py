"""``netsurgery.export_onnx``: a net and its weights as one ONNX model.

An output appears whole or not at all, inputs are never changed, and an output that exists is an
error without `force`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from netsurgery.errors import OutputError, PrototxtError
from netsurgery.formats.settings import PIXEL_KEYS, Settings, as_settings
from netsurgery.formats.settings_fit import check_pixels, loaded_mean
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.io.targets import STDOUT, wrote
from netsurgery.net.inputs import declare_inputs, why_no_input
from netsurgery.net.needed import only_needed, require_blobs
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import open_net_and_weights
from netsurgery.verbs.open_result import OpenResult

if TYPE_CHECKING:
    from netsurgery.export.onnx import Export, Preprocess
    from netsurgery.open_net.net import Net

__all__ = ["OnnxExport", "WeightsStorage", "export_onnx"]

#: Where the numbers are: in the ONNX file, or in the caffemodel, of which it names ranges of bytes.
WeightsStorage = Literal["inside", "linked"]


class OnnxExport(OpenResult):
    """A net as an ONNX model, that may be written.

    written: the file written last, () for none. The weights stay open until this is closed or
    collected.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.export_onnx(net, model) as result:
    ...     result.outputs, result.save("net.onnx")
    ({'prob': ('batch', 11)}, ('net.onnx',))
    """

    noun = "export"

    def __init__(
        self,
        exported: Export,
        model: NetWithWeights,
        storage: WeightsStorage,
        source: ExitStack,
        opened: NetWithWeights,
        files: Sequence[str],
        notes: Iterable[str] = (),
    ) -> None:
        """exported: of `model`, with the weights of `opened`; `source` closes them.

        files: all that was read.
        """
        super().__init__(source, opened)
        # The graph may be made more than once.
        self._notes = tuple(dict.fromkeys(notes))
        self._exported, self._model, self._storage = exported, model, storage
        self._files = files
        self.path: Path | None = None  # of the output
        self.size: int | None = None  # in bytes, once it is written
        self.written: tuple[str, ...] = ()

    @property
    def inputs(self) -> Mapping[str, tuple[int | str, ...]]:
        """Blob -> its axes; a word for one that is dynamic."""
        return dict(self._exported.inputs)

    @property
    def outputs(self) -> Mapping[str, tuple[int | str, ...]]:
        """Blob -> its axes, as in `inputs`."""
        return dict(self._exported.outputs)

    @property
    def fixed(self) -> str | None:
        """Why height and width are not dynamic; None where they are."""
        return self._exported.fixed

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (*self._model.net.notes, *self._notes)

    @checks_arguments()
    def save(
        self,
        output: AnyPath,
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[str, ...]:
        """Write the model; returns the files written.

        output: a name that ends in .onnx, or "-" for standard output where nothing is linked.
        Linked weights must lie in its folder or below. progress: called with the bytes written so
        far and those in all. Raises OutputError; nothing is written then.
        """
        from netsurgery.export.onnx import linked_location

        self.check_open()
        path = checked_name(output)
        linked = self._storage == "linked"
        # Linked weights are looked for from the model's folder, and standard output has none.
        outputs = Outputs([path], inputs=self._files, force=force, stdout=not linked)
        location = linked_location(self._model.path, path) if linked else None
        segments = self._exported.segments(location)
        with outputs:
            size = outputs[path].write_segments(segments, progress)
        self.path, self.size, self.written = path, size, (str(path),)
        return self.written

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery export --json` prints it."""
        return {
            "onnx": None if self.path is None else str(self.path),
            "weights_storage": self._storage,
            "inputs": {blob: list(axes) for blob, axes in self.inputs.items()},
            "outputs": {blob: list(axes) for blob, axes in self.outputs.items()},
            "fixed_size": self.fixed,
            "notes": list(self.notes),
            "bytes": self.size,
        }

    def __str__(self) -> str:
        text = "; ".join(f"{word} {blob}: {axes}" for word, blob, axes in self._rows())
        return f"{text}{wrote(self.written)}"

    def table(self) -> Table:
        """The inputs and outputs."""
        return Table((Column(""), Column("blob"), Column("axes")), [*self._rows()])

    def _rows(self) -> list[tuple[str, str, str]]:
        ends = (("input", self.inputs), ("output", self.outputs))
        return [
            (word, blob, f"[{', '.join(map(str, axes))}]")
            for word, blobs in ends
            for blob, axes in blobs.items()
        ]


@checks_arguments()
def export_onnx(
    net: Net | AnyPath,
    weights: AnyPath | None = None,
    output: AnyPath | None = None,
    *,
    blobs: str | Iterable[str] = (),
    weights_storage: WeightsStorage = "inside",
    preprocess: Settings | AnyPath | None = None,
    state: NetState = TEST,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> OnnxExport:
    """Make one ONNX model of a net and its weights, its values called as Caffe's blobs are.

    net: a prototxt, with its weights; or an open net, without, whose present params count. output:
    the file to write, see `OnnxExport.save`; without one nothing is written. blobs: what the model
    is to give, instead of the net's outputs; layers that they do not depend on may be anything.
    weights_storage: "inside", or "linked" to leave the weights in the caffemodel, which must lie
    in the output's folder or below. preprocess: fold these settings in, so that the model takes
    RGB pixels, 0..255. Height, width and batch are dynamic where the net allows it. state: phase,
    stages, level and shapes to read a prototxt in; data layers of known shapes become inputs.
    force: replace a file that exists. progress: see `OnnxExport.save`.

    >>> import netsurgery as ns
    >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> print(ns.export_onnx(*paths, "digits.onnx"))
    input data: [batch, 1, 32, 32]; output prob: [batch, 11]; wrote digits.onnx

    Raises NetsurgeryError for a layer that ONNX has no words for, FormatError, NetError for weights
    that lack a layer's params, OutputError, and TypeError for an open net with other weights;
    nothing is written then.
    """
    # A wrong name is refused before any file is read.
    if weights_storage not in get_args(WeightsStorage):
        expected = ", ".join(get_args(WeightsStorage))
        raise OutputError(f"weights_storage {weights_storage!r}: expected {expected}")
    if output is not None:
        checked_name(output)
    settings = None if preprocess is None else as_settings(preprocess)
    names = as_names(blobs, "blobs")
    # The graph needs numpy, which the checks before it do not.
    from netsurgery.export.onnx import export_net

    with ExitStack() as stack:
        model = open_net_and_weights(stack, net, weights, state, finite=True)
        require_blobs(model.net, names)
        needed = declare_inputs(only_needed(model.net, names) if names else model.net)
        part = NetWithWeights(needed, model.weights)
        files = [*part.files, *(() if settings is None else settings.files)]
        if output is not None:
            linked = weights_storage == "linked"
            # Refuses the name before the graph is made.
            Outputs([output], inputs=files, force=force, stdout=not linked)
        notes: list[str] = []
        prepare = None if settings is None else _preprocess(settings, notes)
        try:
            exported = export_net(part, prepare, names)
        except PrototxtError as error:
            raise error.more(why_no_input(needed, fed=False)) from None
        result = OnnxExport(exported, part, weights_storage, stack.pop_all(), model, files, notes)
    if output is not None:
        result.save(output, force=force, progress=progress)
    return result


def checked_name(output: AnyPath) -> Path:
    """The output's path. Raises OutputError for one with the ending of another format."""
    path = Path(output)
    if str(path) != STDOUT and path.suffix.lower() not in ("", ".onnx"):
        from netsurgery.io.targets import WrongOutput

        raise WrongOutput(f"{path}: expected a name ending in .onnx, which is what is written")
    return path


def _preprocess(settings: Settings, notes: list[str]) -> Preprocess:
    """The settings' steps; a mean for every pixel becomes one for every channel.

    notes: gets what the user should know of them, once the net's channels are known.
    """
    from netsurgery.export.onnx import Preprocess

    mean = loaded_mean(settings)
    # A picture of means has one size; the model's inputs have any.
    pixels = mean.shape[1:] if mean is not None and mean.ndim == 3 else ()
    values = (
        mean.mean(axis=(1, 2), dtype="f8").astype("f4") if mean is not None and pixels else mean
    )

    # Called by `export_net`, which finds out the net's channels.
    def check(channels: int) -> None:
        check_pixels(settings, channels, mean)
        if channels == 3 and all(getattr(settings, key) is None for key in PIXEL_KEYS):
            notes.append(
                "the preprocessing has no step: the net is fed RGB of 0..1, most color nets of "
                "Caffe expect BGR of 0..255 less a mean; `netsurgery setup` finds the preset that "
                "fits"
            )
        if values is not None and math.prod(pixels) > 1:
            listed = ", ".join(f"{value:.6g}" for value in values)
            notes.append(
                f"the mean is {shape_text(pixels)}, the model's input of any size: its mean per "
                f"channel is subtracted ({listed})"
            )

    return Preprocess(
        check,
        channel_swap=settings.channel_swap,
        raw_scale=1.0 if settings.raw_scale is None else settings.raw_scale,
        mean=values,
        input_scale=1.0 if settings.input_scale is None else settings.input_scale,
    )
