"""Whether a caffemodel is whole, seen from the fields at its top level, and fits a net.

Caffe itself is easily content. It stops reading at the first byte that looks like the end of a
group, so that an HTML page saved as a caffemodel is a model without layers and is loaded without
a word. And its save looks at the stream before the last buffer is flushed: on a disk that fills
up just then the file is cut short. A layer that the weights lack keeps, without a word, what its
fillers gave it: random numbers, or zeros.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from netsurgery.errors import CaffemodelError, EngineFailed, NetsurgeryError
from netsurgery.formats.caffemodel import NET_V1, NET_V2, Caffemodel, FirstGeneration, open_protobuf
from netsurgery.formats.weights import is_hdf5, is_hdf5_name
from netsurgery.io.segments import FileSource
from netsurgery.io.wire import WireReader
from netsurgery.io.wording import argument
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.param_sources import ParamSources

__all__ = [
    "check_found_by_caffe",
    "check_loaded",
    "check_model",
    "check_params",
    "check_saved",
    "lost_by_caffe",
    "raw_hint",
]


def check_model(path: Path) -> None:
    """Raise CaffemodelError unless `path` has layers and ends where its fields do.

    HDF5, which Caffe knows by the ending .h5, is left for Caffe to judge.
    """
    if is_hdf5_name(path):
        return
    if is_hdf5(path):
        what = "this is HDF5, which Caffe takes only from a name that ends in .h5"
        raise CaffemodelError(what, path=str(path))
    with open_protobuf(path) as source:
        if count_layers(source) == 0:
            raise CaffemodelError("this has no layers, so no weights", path=str(path))


def check_params(model: NetWithWeights) -> None:
    """Raise unless the weights hold every param of the net that its fillers do not set.

    The index of the weights is read, no more. NetError and PrototxtError name the layer, in the
    embedded engine's words; CaffemodelError says what is wrong with the file, EngineFailed what
    Caffe does not find in HDF5. Caffemodels of V0 are left for Caffe to judge.
    """
    try:
        model.weights.check_unchanged()
    except FirstGeneration:
        return
    try:
        params = model.shapes.params
    except NetsurgeryError:  # names are still compared; Caffe reports shapes
        params = {}
    ParamSources(model).check(params)
    check_found_by_caffe(model)


def check_loaded(model: NetWithWeights, params: Mapping[str, tuple[Shape, ...]]) -> None:
    """Raise NetError where the weights lack a layer that has params in Caffe: see `lacking`.

    params: of the net as Caffe has made it, which knows of params that no definition here says.
    Raises CaffemodelError for weights that have changed since `check_params`.
    """
    with contextlib.suppress(FirstGeneration):
        model.weights.check_unchanged()
        model.refuse_lacking(params)


def check_found_by_caffe(model: NetWithWeights) -> None:
    """Raise EngineFailed for what `lost_by_caffe` reports."""
    lost = lost_by_caffe(model)
    if lost:
        raise EngineFailed(f"{model.path}: {lost}; {argument('--engine embedded')} does")


def lost_by_caffe(model: NetWithWeights) -> str:
    """Which layer of the net Caffe would leave out of HDF5 without a word, and why; "" if none."""
    if isinstance(model.weights, Caffemodel):
        return ""
    names = {layer.name for layer in model.net.layers}
    for layer in model.weights.layers:
        if layer.blobs and "/" in layer.name and layer.name in names:
            return f"Caffe does not find layer {layer.name!r} in HDF5, for the / in its name"
    return ""


def raw_hint(path: Path | None) -> str:
    """What to add to Caffe's words about weights that NVIDIA's Caffe wrote; "" for others."""
    if path is None or is_hdf5(path):
        return ""
    try:
        with Caffemodel.open(path) as model:
            raw = any(blob.raw for layer in model.layers for blob in layer.blobs)
    except CaffemodelError:
        return ""
    if not raw:
        return ""
    return f"; {path} holds raw_data of NVIDIA's Caffe, which `netsurgery upgrade` writes as data"


def check_saved(path: Path, layers: int) -> None:
    """Raise EngineFailed unless `path`, saved by Caffe, has so many layers, to the last byte."""
    try:
        with open_protobuf(path) as source:
            whole = count_layers(source) == layers
    except CaffemodelError:
        whole = False
    if not whole:
        raise EngineFailed(f"{path}: Caffe's save was cut short; is the disk full?")


def count_layers(source: FileSource) -> int:
    """How many layers a NetParameter has, read at its top level to the last byte.

    Raises CaffemodelError for a file that is not a run of fields.
    """
    fields = WireReader(source).fields(0, source.size)
    return sum(field.number in (NET_V1, NET_V2) for field in fields)
