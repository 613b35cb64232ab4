"""Two nets, two models, or two of each compared: structure and params."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netsurgery.errors import NetError, NetsurgeryError
from netsurgery.formats.blob import Shape
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.hdf5 import Shared
from netsurgery.formats.prototxt import Prototxt, quoted
from netsurgery.formats.upgrade.text import to_v1
from netsurgery.formats.weights import WeightsBlob, WeightsFile, open_weights
from netsurgery.net import NetDefinition
from netsurgery.net.state import TEST, NetState
from netsurgery.surgery.difference.compare import NetDifference, compare_nets, compare_records
from netsurgery.surgery.difference.fields import FieldChange
from netsurgery.surgery.difference.records import model_records
from netsurgery.verbs.blob_statistics import BlobDistance, distance

__all__ = ["Comparison", "ParamDifference", "compare", "compare_files"]

Nets = tuple[Prototxt, Prototxt]


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
    nets: Nets | None,
    models: tuple[Path, Path] | None,
    strict: bool = False,
    state: NetState = TEST,
) -> Comparison:
    """`compare` of files of weights that are not open yet.

    Raises CaffemodelError, and NetError for a shape in the state that is of a blob of neither net.
    """
    if nets is not None:
        _check_shapes(nets, state)
    if models is None:
        return compare(nets, None, strict, state)
    shared: tuple[Shared | None, Shared | None] = (None, None)
    if nets is not None:
        shared = _shared(nets[0], state), _shared(nets[1], state)
    with open_weights(models[0], shared[0]) as old, open_weights(models[1], shared[1]) as new:
        return compare(nets, (old, new), strict, state)


def compare(
    nets: Nets | None,
    models: tuple[WeightsFile, WeightsFile] | None,
    strict: bool = False,
    state: NetState = TEST,
) -> Comparison:
    """Compare two prototxts, two open files of weights, or both; at least one of them is given.

    strict: a field that is written out at its default is a difference. state: in which shapes are
    worked out, and params are shared. Params are matched by the layers' names, new names included.
    Memory does not grow with the models. Raises FormatError, PrototxtError, CaffemodelError.
    """
    if models is None:
        assert nets is not None
        return Comparison(compare_nets(*nets, strict=strict, state=state), ())
    old, new = models
    if nets is None:
        net = _models(old, new)
    else:
        net = compare_nets(*nets, (_counts(old), _counts(new)), strict, state)
    params = tuple(_params(old, new, dict(net.matched)))
    old.check_unchanged()
    new.check_unchanged()
    return Comparison(net, params)


def _check_shapes(nets: Nets, state: NetState) -> None:
    blobs = {
        scalar.as_string()
        for net in nets
        for message in (net.root, *net.layers)
        for name in ("input", "top")
        for scalar in message.scalars(name)
    }
    for blob, _ in state.shapes:
        if blob not in blobs:
            paths = f"{nets[0].path} and {nets[1].path}"
            raise NetError(f"{paths}: a shape is given for {blob!r}, a blob of neither")


def _shared(net: Prototxt, state: NetState) -> Shared | None:
    """Which params the layers share, where the net can be read as one."""
    try:
        return NetDefinition.of(to_v1(net).result, state).sharing.owners
    except NetsurgeryError:
        return None


def _models(old: WeightsFile, new: WeightsFile) -> NetDifference:
    """By what both files tell: HDF5 holds no more than names and params."""
    if not (isinstance(old, Caffemodel) and isinstance(new, Caffemodel)):
        return compare_records(model_records(old, bare=True), model_records(new, bare=True))
    same = old.net_name == new.net_name
    names = [] if same else [FieldChange("name", quoted(old.net_name), quoted(new.net_name))]
    return compare_records(model_records(old), model_records(new), names)


def _counts(model: WeightsFile) -> dict[str, tuple[int, ...]]:
    return {layer.name: tuple(blob.count for blob in layer.blobs) for layer in model.layers}


def _params(
    old: WeightsFile, new: WeightsFile, names: Mapping[str, str]
) -> Iterator[ParamDifference]:
    before, after = _bearing(old), _bearing(new)
    for (name, nth), blobs in before.items():
        target = names.get(name, name)
        yield from _layer(name, target, blobs, after.pop((target, nth), ()))
    for (name, _), blobs in after.items():
        yield from _layer(name, name, (), blobs)


def _bearing(model: WeightsFile) -> dict[tuple[str, int], Sequence[WeightsBlob]]:
    """(layer, how many of that name came before) -> its params."""
    found: dict[tuple[str, int], Sequence[WeightsBlob]] = {}
    before: Counter[str] = Counter()
    for layer in model.layers:
        if layer.blobs:
            found[layer.name, before[layer.name]] = layer.blobs
            before[layer.name] += 1
    return found


def _layer(
    name: str, new_name: str, old: Sequence[WeightsBlob], new: Sequence[WeightsBlob]
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


def _compared(old: WeightsBlob, new: WeightsBlob) -> tuple[str, BlobDistance | None]:
    if old.count != new.count:
        return "different", None
    apart = distance(old, new)
    if apart is not None:
        return "different", apart
    return ("equal" if _same_shape(old, new) else "reshaped"), None


def _same_shape(old: WeightsBlob, new: WeightsBlob) -> bool:
    """A legacy blob has four axes whatever the param has: ones in front do not count there."""
    if old.legacy == new.legacy:
        return old.shape == new.shape
    return _bare(old.shape) == _bare(new.shape)


def _bare(shape: Shape) -> Shape:
    """The shape without leading ones."""
    first = next((i for i, dim in enumerate(shape) if dim != 1), len(shape))
    return shape[first:]
