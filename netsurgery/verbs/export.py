"""A net and its weights written as one ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import PrototxtError, SettingsError
from netsurgery.formats.mean import load_mean
from netsurgery.formats.settings import Settings
from netsurgery.io.files import Outputs
from netsurgery.net.inputs import declare_inputs, why_no_input
from netsurgery.net.needed import only_needed, require_blobs
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    from netsurgery.export.onnx import Preprocess

__all__ = ["Exported", "export"]


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


def export(
    prototxt: Path,
    weights: Path,
    output: Path,
    *,
    blobs: Sequence[str] = (),
    linked: bool = False,
    preprocess: Settings | None = None,
    state: NetState = TEST,
    force: bool = False,
) -> Exported:
    """Write the net as an ONNX model at `output`; "-" is standard output, if nothing is linked.

    blobs: what the model is to give, and then it has only the layers that they depend on, the
    others may be anything; the net's outputs if empty.
    linked: leave the weights in the caffemodel, of which the model names ranges of bytes.
    preprocess: fold these settings in as the first operations; the model then takes pixels,
    0..255, in the order of channels that the settings are for. state: in which the net is read;
    data layers of known shapes become inputs. Raises NetsurgeryError, and then
    nothing was written.
    """
    # The graph needs numpy, which the checks before it do not.
    from netsurgery.export.onnx import export_net, linked_location

    net = NetDefinition.read(prototxt, state)
    require_blobs(net, blobs)
    net = declare_inputs(only_needed(net, blobs) if blobs else net)
    with NetWithWeights(net, weights) as model:
        outputs = Outputs([output], inputs=[prototxt, weights], force=force, stdout=not linked)
        location = linked_location(weights, output) if linked else None
        prepare = None if preprocess is None else _preprocess(preprocess)
        try:
            made = export_net(model, prepare, blobs)
        except PrototxtError as error:
            raise error.more(why_no_input(model.net)) from None
        segments = made.segments(location)
        with outputs:
            size = outputs[output].write_segments(segments)
    return Exported(
        output, dict(made.inputs), dict(made.outputs), made.fixed, size, model.net.notes
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
