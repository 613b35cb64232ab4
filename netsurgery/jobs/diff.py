"""Two nets, two models, or two of each compared: structure, params, text."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from netsurgery.formats.blob import Blob, Shape
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.prototxt import Prototxt
from netsurgery.jobs.blob_statistics import BlobDistance, distance
from netsurgery.surgery.difference import NetDifference, compare_nets, compare_records
from netsurgery.surgery.fields import Change
from netsurgery.surgery.layer_records import model_records

__all__ = ["Comparison", "ParamDifference", "compare_files", "text_diff"]


@dataclass(frozen=True)
class ParamDifference:
    """One param of a layer, in two models.

    status: "equal"; "reshaped", the same numbers under another shape; "different"; "removed" or
    "added", in one model only. shape, new_shape: None where it is not. distance: between the
    numbers, None where they are equal or not as many.
    """

    layer: str
    new_layer: str
    index: int
    status: str
    shape: Shape | None
    new_shape: Shape | None
    distance: BlobDistance | None = None


@dataclass(frozen=True)
class Comparison:
    """How the second net and model differ from the first.

    net: by the prototxts; by the models' own layers where these are all there is. params: every
    param, those of the first model in its order, then those that are only in the second.
    """

    net: NetDifference
    params: tuple[ParamDifference, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.net.same and all(param.status == "equal" for param in self.params)


def compare_files(
    prototxts: tuple[Path, Path] | None, models: tuple[Path, Path] | None
) -> Comparison:
    """Compare two prototxts, two caffemodels, or both; at least one of the two is given.

    Params are matched by the layers' names, new names included. Memory does not grow with the
    models. Raises FormatError, PrototxtError, CaffemodelError.
    """
    if models is None:
        assert prototxts is not None
        return Comparison(compare_nets(*_both(prototxts)), ())
    with Caffemodel.open(models[0]) as old, Caffemodel.open(models[1]) as new:
        if prototxts is None:
            name = _net_name(old.net_name, new.net_name)
            net = compare_records(model_records(old), model_records(new), name)
        else:
            net = compare_nets(*_both(prototxts), (_counts(old), _counts(new)))
        params = tuple(_params(old, new, dict(net.matched)))
        old.check_unchanged()
        new.check_unchanged()
    return Comparison(net, params)


def _both(paths: tuple[Path, Path]) -> tuple[Prototxt, Prototxt]:
    return Prototxt.read(paths[0]), Prototxt.read(paths[1])


def _net_name(old: str, new: str) -> list[Change]:
    return [] if old == new else [Change("name", f'"{old}"', f'"{new}"')]


def _counts(model: Caffemodel) -> dict[str, tuple[int, ...]]:
    return {layer.name: tuple(blob.count for blob in layer.blobs) for layer in model.layers}


def _params(
    old: Caffemodel, new: Caffemodel, names: Mapping[str, str]
) -> Iterator[ParamDifference]:
    before, after = _bearing(old), _bearing(new)
    for (name, nth), blobs in before.items():
        target = names.get(name, name)
        yield from _layer(name, target, blobs, after.pop((target, nth), ()))
    for (name, _), blobs in after.items():
        yield from _layer(name, name, (), blobs)


def _bearing(model: Caffemodel) -> dict[tuple[str, int], tuple[Blob, ...]]:
    """(layer, how many of that name came before) -> its params."""
    found: dict[tuple[str, int], tuple[Blob, ...]] = {}
    for layer in model.layers:
        if layer.blobs:
            nth = sum(name == layer.name for name, _ in found)
            found[layer.name, nth] = layer.blobs
    return found


def _layer(
    name: str, new_name: str, old: tuple[Blob, ...], new: tuple[Blob, ...]
) -> Iterator[ParamDifference]:
    for index in range(max(len(old), len(new))):
        one = old[index] if index < len(old) else None
        other = new[index] if index < len(new) else None
        shapes = (one.shape if one else None, other.shape if other else None)
        if one is None or other is None:
            status, apart = "removed" if one else "added", None
        else:
            status, apart = _compared(one, other)
        yield ParamDifference(name, new_name, index, status, *shapes, apart)


def _compared(old: Blob, new: Blob) -> tuple[str, BlobDistance | None]:
    if old.count != new.count:
        return "different", None
    apart = distance(old, new)
    if apart is not None:
        return "different", apart
    return ("equal" if _same_shape(old, new) else "reshaped"), None


def _same_shape(old: Blob, new: Blob) -> bool:
    """A legacy blob has four axes whatever the param has: ones in front do not count there."""
    if old.legacy == new.legacy:
        return old.shape == new.shape
    return _bare(old.shape) == _bare(new.shape)


def _bare(shape: Shape) -> Shape:
    """The shape without leading ones."""
    first = next((i for i, dim in enumerate(shape) if dim != 1), len(shape))
    return shape[first:]


def text_diff(prototxts: tuple[Path, Path]) -> str:
    """The unified diff of the two texts, comments and layout included. Raises FormatError."""
    old, new = _both(prototxts)
    lines = difflib.unified_diff(
        old.text.splitlines(keepends=True),
        new.text.splitlines(keepends=True),
        str(old.path),
        str(new.path),
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
