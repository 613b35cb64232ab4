"""A net and its weights written as one ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import PrototxtError, SettingsError
from netsurgery.formats.mean import load_mean
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.files import Outputs
from netsurgery.net.inputs import declare_inputs, why_no_input
from netsurgery.net.needed import only_needed, require_blobs
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.outputs.files import WrongOutput

if TYPE_CHECKING:
    from netsurgery.export.onnx import Preprocess

__all__ = ["Exported", "export_onnx"]


@dataclass(frozen=True)
class Exported:
    """What was written.

    inputs, outputs: blob -> its axes, a word for one that is dynamic. fixed: why height and
    width are not dynamic, None where they are. size: bytes of the file. notes: what the user
    should know.
    """

    path: Path
    inputs: dict[str, tuple[int | str, ...]]
    outputs: dict[str, tuple[int | str, ...]]
    fixed: str | None
    size: int
    notes: tuple[str, ...]


def export_onnx(
    prototxt: AnyPath,
    weights: AnyPath,
    output: AnyPath,
    *,
    blobs: str | Sequence[str] = (),
    linked: bool = False,
    preprocess: Settings | AnyPath | None = None,
    state: NetState = TEST,
    force: bool = False,
) -> Exported:
    """Write a net and its weights as one ONNX model, its values called as Caffe's blobs are.

    blobs: what the model is to give, instead of the net's outputs; layers that they do not depend
    on may be anything. linked: leave the weights in the caffemodel, which must lie in the output's
    folder or below. preprocess: fold these settings in, so that the model takes RGB pixels,
    0..255. Height, width and batch are dynamic where the net allows it. state: phase, stages, level
    and shapes to read the net in; data layers of known shapes become inputs. Raises
    NetsurgeryError for a layer that ONNX has no words for, FormatError, OutputError.
    """
    prototxt, weights, output = Path(prototxt), Path(weights), Path(output)
    if output.suffix.lower() not in ("", ".onnx") and not os.path.exists(output):
        raise WrongOutput(f"{output}: expected a name ending in .onnx, which is what is written")
    settings = None if preprocess is None else as_settings(preprocess)
    blobs = [blobs] if isinstance(blobs, str) else blobs
    # The graph needs numpy, which the checks before it do not.
    from netsurgery.export.onnx import export_net, linked_location

    net = NetDefinition.read(prototxt, state)
    require_blobs(net, blobs)
    net = declare_inputs(only_needed(net, blobs) if blobs else net)
    with NetWithWeights(net, weights) as model:
        outputs = Outputs([output], inputs=[prototxt, weights], force=force, stdout=not linked)
        location = linked_location(weights, output) if linked else None
        prepare = None if settings is None else _preprocess(settings)
        try:
            exported = export_net(model, prepare, blobs)
        except PrototxtError as error:
            raise error.more(why_no_input(model.net)) from None
        segments = exported.segments(location)
        with outputs:
            size = outputs[output].write_segments(segments)
    return Exported(
        output, dict(exported.inputs), dict(exported.outputs), exported.fixed, size, model.net.notes
    )


def _preprocess(settings: Settings) -> Preprocess:
    """The settings' steps; a mean for every pixel becomes one for every channel."""
    from netsurgery.export.onnx import Preprocess

    mean = None
    if settings.mean is not None:
        values = load_mean(settings.mean)
        mean = values.mean(axis=(1, 2), dtype="f8") if values.ndim == 3 else values
    if settings.raw_scale == 0 or settings.input_scale == 0:
        raise SettingsError(f"{settings.path}: a scale of 0 leaves nothing of a picture")
    return Preprocess(
        channel_swap=settings.channel_swap,
        raw_scale=1.0 if settings.raw_scale is None else settings.raw_scale,
        mean=None if mean is None else mean.astype("f4"),
        input_scale=1.0 if settings.input_scale is None else settings.input_scale,
    )
