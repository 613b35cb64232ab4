"""``netsurgery.inspect_param``: one param of a net's weights, as numbers and as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import NetError, SurgeryError
from netsurgery.formats.weights import WeightsLayer, open_weights
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.npy import npy_bytes
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.targets import wrong_ending
from netsurgery.maps.picture_look import PICTURE_SUFFIXES, picture_suffix
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.surgery.edit.targets import parse_target, part_of
from netsurgery.verbs.blob_statistics import BlobStatistics, array_statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.drawing.pixels import Drawing

__all__ = ["ParamInspection", "inspect_param"]

#: About how many lines of values are printed.
_LINES = 40


@dataclass(frozen=True, eq=False, repr=False)
class ParamInspection(ShortRepr):
    """One param, or a part of it: where it is stored, its values and their statistics.

    param: as it was named, "conv1[0]" or "conv1[0][2:4]". values: float32, of the net's shape.

    >>> result = inspect_param("models/digits/digits.caffemodel", "ip2[0][:2, :3]")
    >>> print(result.numbers())
    [[-0.3697  0.1152 -0.0047]
     [ 0.1428  0.0569  0.0019]]
    >>> result.to_picture().mode, result.to_png()[1:4]
    ('RGB', b'PNG')
    >>> result.save("part.npy", picture="part.png")
    """

    weights: str
    param: str
    layer: str
    index: int
    type: str
    values: NDArray[np.float32]
    statistics: BlobStatistics

    @property
    def shape(self) -> Shape:
        """The shape of the values: O x C x H x W for filters, O x C for an InnerProduct's."""
        return tuple(self.values.shape)

    def to_json(self) -> dict[str, Any]:
        """What `inspect --param --json` prints; None for what is not finite. Without the values."""
        return {
            "weights": self.weights,
            "param": self.param,
            "layer": self.layer,
            "index": self.index,
            "type": self.type or None,
            "shape": list(self.shape),
            "statistics": self.statistics.to_json(),
        }

    def __str__(self) -> str:
        return f"{self.headline}\n{self.numbers()}"

    @property
    def headline(self) -> str:
        """Shape and statistics in a line."""
        stats = self.statistics
        names = ("min", "max", "mean", "std")
        values = [f"{name} {getattr(stats, name):.4g}" for name in names]
        counts = (("zero", stats.zeros), ("NaN", stats.nans), ("infinite", stats.infs))
        values += [f"{count:,} {name}" for name, count in counts if count]
        kind = f" of {self.type} {self.layer}" if self.type else ""
        return f"{self.param}{kind}: {shape_text(self.shape)}, {', '.join(values)}"

    @checks_arguments()
    def numbers(self, width: int = 80) -> str:
        """The values as numpy prints them; of many those at the edges, in about 40 lines."""
        import numpy as np

        # numpy shortens each axis by itself: filters with 3 numbers at each end are 6**4 of them.
        for edge in (3, 2, 1):
            text = np.array2string(
                self.values, max_line_width=width, precision=4, threshold=60, edgeitems=edge
            )
            if text.count("\n") < _LINES:
                break
        return text

    def to_picture(self) -> Drawing:
        """The values drawn, 0 in the middle of the scale; 3-channel filters in their colors."""
        from netsurgery.maps.param_picture import draw_param

        return draw_param(self.values, self._title)

    def to_png(self) -> bytes:
        """The picture as a PNG's bytes."""
        return self._picture_file(".png")

    def _picture_file(self, suffix: str) -> bytes:
        from netsurgery.drawing.picture_file import encoded
        from netsurgery.maps.param_picture import param_scene

        return encoded(param_scene(self.values, self._title), suffix)

    @property
    def _title(self) -> str:
        return f"{self.param} of {Path(self.weights).name}"

    def _repr_html_(self) -> str:
        import base64
        import html

        picture = base64.b64encode(self.to_png()).decode()
        return (
            f"<p>{html.escape(self.headline)}</p>\n"
            f'<img src="data:image/png;base64,{picture}" alt="{html.escape(self.param)}">'
        )

    @staticmethod
    def _kind(path: str) -> str:
        """The kind of picture that a path is to be."""
        suffix = Path(path).suffix.lower()
        if path != "-" and suffix not in PICTURE_SUFFIXES:
            raise wrong_ending(path, PICTURE_SUFFIXES)
        return picture_suffix([path])

    @checks_arguments()
    def save(
        self,
        npy: AnyPath | None = None,
        picture: AnyPath | None = None,
        *,
        inputs: Sequence[AnyPath] = (),
        force: bool = False,
    ) -> None:
        """Write the values as .npy, float32, the picture, or both; "-" is standard output.

        picture: a name ending in .png, .jpg, .webp or .svg. inputs: files that are not replaced
        whatever `force` says; the weights are among them. Raises OutputError.
        """
        if npy is not None and picture is not None and str(npy) == str(picture):
            raise SurgeryError(f"{npy}: the values and the picture need a file each")
        # Made only once `Outputs` has refused nothing: drawing takes a while.
        contents: dict[str, Callable[[], bytes]] = {}
        if npy is not None:
            contents[str(npy)] = lambda: npy_bytes(self.values)
        if picture is not None:
            contents[str(picture)] = partial(self._picture_file, self._kind(str(picture)))
        outputs = Outputs(list(contents), inputs=[self.weights, *inputs], force=force, stdout=True)
        with outputs:
            for path, make in contents.items():
                outputs[path].write(make())


@checks_arguments()
def inspect_param(
    path: AnyPath,
    param: str,
    weights: AnyPath | None = None,
    *,
    state: NetState = TEST,
) -> ParamInspection:
    """One param of weights, "conv1[0]", or a part of it, "conv1[0][2:4, 0]".

    path: a prototxt with `weights`, or weights alone; with a prototxt the param has the shape that
    the net gives it. state: phase, stages and level to read the net in.

    >>> net = "prototxt/digits_deploy.prototxt"
    >>> result = inspect_param(net, "conv1[0][0, 0]", "models/digits/digits.caffemodel")
    >>> result.shape, str(result.values.dtype)
    ((5, 5), 'float32')
    >>> print(result.headline)
    conv1[0][0, 0] of Convolution conv1: 5x5, min -0.4738, max 0.5578, mean -0.005394, std 0.3005

    Raises NetError for a param that is not there, SurgeryError for a part that is none,
    CaffemodelError, PrototxtError.
    """
    with ExitStack() as stack:
        if weights is None:
            file = stack.enter_context(open_weights(path))
            stored = {layer.name: layer for layer in file.layers if layer.blobs}
            shapes: dict[str, Sequence[Shape | None]] = {}
            types = {name: layer.type for name, layer in stored.items()}
        else:
            model = stack.enter_context(NetWithWeights.open(path, weights, state))
            file, stored = model.weights, dict(model.stored)
            shapes = dict(model.fit.expected)
            types = {layer.name: layer.type for layer in model.net.layers}
        target = parse_target(param, stored)
        # What follows a target, as in conv1[0]=0, is for `edit`.
        if target is None or target[1]:
            raise NetError(_unknown(file.path, param, stored))
        name, index = target[0].layer, target[0].index
        blobs = stored[name].blobs
        if index >= len(blobs):
            count = len(blobs)
            raise NetError(
                f"{file.path}: no param {name}[{index}]; layer {name!r} has {count}, the last is "
                f"{name}[{count - 1}]"
            )
        blob = blobs[index]
        # None where the net does not say, or has fewer params.
        expected = (*shapes.get(name, ()), *[None] * len(blobs))[index]
        whole = blob.numpy()
        # Params that do not fit the net are shown as they are stored.
        if expected is not None and math.prod(expected) == blob.count:
            whole = whole.reshape(expected)
        try:
            values = part_of(whole, target[0])
        except SurgeryError as error:
            raise SurgeryError(f"{file.path}: {param}: {error}") from None
        file.check_unchanged()
    statistics = array_statistics(values)
    return ParamInspection(file.path, param, name, index, types.get(name, ""), values, statistics)


def _unknown(path: str, param: str, stored: dict[str, WeightsLayer]) -> str:
    name = param.partition("[")[0]
    if name in stored or not name:
        example = name or next(iter(stored), "conv1")
        return f"{path}: found {param!r}, expected LAYER[INDEX], as in {example}[0]"
    hint = did_you_mean(name, list(stored), "layers with params")
    return f"{path}: no params for layer {name!r}{hint}"
