"""Outputs that are a map interpolated to pixels, as a conversion with a score for each pixel has.

What is compared with the classifier is the map that is interpolated, once it is clear that each
pixel is made of nothing else: by a Deconvolution of bilinear weights, and put where the pixel is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.dense.interpolated_map import interpolated_from

__all__ = ["Interpolated", "find_interpolated"]


@dataclass(frozen=True)
class Interpolated:
    """Outputs of the first net whose partner is a map interpolated to pixels.

    maps: output of the first net -> (its partner, the map that this is made of). behind: outputs
    made of such a score, as by a Softmax of each pixel, which say nothing more.
    """

    maps: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    behind: tuple[str, ...] = ()

    def compared(self, outputs: Mapping[str, str]) -> dict[str, str]:
        """The outputs, with the map itself as the partner where that is interpolated."""
        own = {blob: source for blob, (_, source) in self.maps.items()}
        return {
            blob: own.get(blob, new) for blob, new in outputs.items() if blob not in self.behind
        }

    def written(self, outputs: Mapping[str, str]) -> dict[str, str]:
        """The outputs, with the pixels as the partner where a map is interpolated."""
        return {**outputs, **{blob: pixels for blob, (pixels, _) in self.maps.items()}}

    def notes(self, new: NetDefinition, outputs: Mapping[str, str]) -> list[str]:
        """What is said of these outputs."""
        path = new.prototxt.path
        return [
            *(
                f"{path}: {pixels!r} is {source!r} interpolated to pixels, and it is the cells of "
                f"{source!r} that are compared"
                for pixels, source in self.maps.values()
            ),
            *(
                f"{path}: {outputs[blob]!r} is taken of each pixel, so that it is not compared "
                "itself"
                for blob in self.behind
            ),
        ]


def find_interpolated(
    old: NetDefinition,
    new: NetWithWeights,
    inputs: Mapping[str, str],
    shapes: Mapping[str, Shape],
    outputs: Mapping[str, str],
) -> Interpolated:
    """The outputs of the second net that are maps interpolated to the pixels of its input.

    inputs, outputs: those of the first net -> of the second; shapes: what both are compared at.
    """
    at = {inputs[name]: shape for name, shape in shapes.items()}
    maps: dict[str, tuple[str, str]] = {}
    behind: list[str] = []
    partners = {new_blob: blob for blob, new_blob in outputs.items()}
    for pixels in new.net.outputs:
        source = interpolated_from(new, at, pixels) if pixels not in partners else None
        if source in partners:  # by its layer's name the map itself has been matched
            maps[partners[source]] = pixels, source
    for blob, pixels in outputs.items():
        maker = old.last_writer(blob)
        if maker is not None and not maker.in_place and maps.keys() & set(maker.bottoms):
            behind.append(blob)
            continue
        source = interpolated_from(new, at, pixels)
        if source is not None:
            maps[blob] = pixels, source
    return Interpolated(maps, tuple(behind))
