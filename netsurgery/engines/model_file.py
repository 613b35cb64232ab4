"""Whether a caffemodel is whole, seen from the fields at its top level, and fits a net.

Caffe itself is easily content. It stops reading at the first byte that looks like the end of a
group, so that an HTML page saved as a caffemodel is a model without layers and is loaded without
a word. And its save looks at the stream before the last buffer is flushed: on a disk that fills
up just then the file is cut short. A layer that the weights lack keeps, without a word, what its
fillers gave it: random numbers, or zeros.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from netsurgery.errors import CaffemodelError, EngineFailed, NetsurgeryError
from netsurgery.formats.caffemodel import Caffemodel, FirstGeneration, open_protobuf
from netsurgery.formats.weights import WeightsFile, open_weights
from netsurgery.net.net import Net
from netsurgery.net.param_sources import ParamSources
from netsurgery.net.shapes import infer
from netsurgery.net.sharing import shared_params
from netsurgery.surgery.upgrade.reading import read_upgraded

__all__ = [
    "check_found_by_caffe",
    "check_model",
    "check_params",
    "check_saved",
    "lost_by_caffe",
]

#: Field numbers of NetParameter: layers of today's generation, and of the one before.
LAYER, V1_LAYER = 100, 2
#: Bytes of a field after its tag, by wire type, where the type alone tells.
FIXED = {1: 8, 5: 4}
HDF5_START = b"\x89HDF"


def check_model(path: Path) -> None:
    """Raise CaffemodelError unless `path` has layers and ends where its fields do.

    HDF5, which Caffe knows by the ending .h5, is left for Caffe to judge.
    """
    if path.name.endswith(".h5"):
        return
    with open(path, "rb") as file:
        if file.read(4) == HDF5_START:
            what = "this is HDF5, which Caffe takes only from a name that ends in .h5"
            raise CaffemodelError(what, path=str(path))
        open_protobuf(path).close()
        layers, end = count_layers(file)
        if end != os.fstat(file.fileno()).st_size:
            what = "this is not a caffemodel, or it was cut short"
            raise CaffemodelError(what, path=str(path), offset=end)
    if layers == 0:
        raise CaffemodelError("this has no layers, so no weights", path=str(path))


def check_params(prototxt: Path, weights: Path) -> None:
    """Raise unless the weights hold every param of the net that its fillers do not set.

    The index of the weights is read, no more. NetError and PrototxtError tell the layer, in the
    embedded engine's words; CaffemodelError what is wrong with the file, EngineFailed what Caffe
    does not find in HDF5. A prototxt that cannot be read is left for Caffe to judge, and so are
    caffemodels of V0.
    """
    try:
        net = read_upgraded(prototxt)
    except NetsurgeryError:
        return
    try:
        model = open_weights(weights, shared_params(net))
    except FirstGeneration:
        return
    with model:
        try:
            params = infer(net).params
        except NetsurgeryError:  # names are compared all the same; of shapes Caffe tells
            params = {}
        ParamSources(net, model).check(params)
        check_found_by_caffe(model, net)


def check_found_by_caffe(model: WeightsFile, net: Net) -> None:
    """Raise EngineFailed for what `lost_by_caffe` tells."""
    lost = lost_by_caffe(model, net)
    if lost:
        raise EngineFailed(f"{model.path}: {lost}; --engine embedded does")


def lost_by_caffe(model: WeightsFile, net: Net) -> str:
    """Which layer of `net` Caffe would leave out of HDF5 without a word, and why; "" if none."""
    if isinstance(model, Caffemodel):
        return ""
    names = {layer.name for layer in net.layers}
    for layer in model.layers:
        if layer.blobs and "/" in layer.name and layer.name in names:
            return f"Caffe does not find layer {layer.name!r} in HDF5, for the / in its name"
    return ""


def check_saved(path: Path, layers: int) -> None:
    """Raise EngineFailed unless `path`, saved by Caffe, has so many layers, to the last byte."""
    with open(path, "rb") as file:
        found = count_layers(file)
        if found != (layers, os.fstat(file.fileno()).st_size):
            raise EngineFailed(f"{path}: Caffe's save was cut short; is the disk full?")


def count_layers(file: BinaryIO) -> tuple[int, int]:
    """How many layers a NetParameter has, and where its fields end.

    That is the file's size, or else the place of the first field that cannot be one.
    """
    size = os.fstat(file.fileno()).st_size
    layers = place = 0
    while place < size:
        file.seek(place)
        head = file.read(20)
        tag, used = varint(head, 0)
        number, kind = tag >> 3, tag & 7
        if kind == 2:
            length, used = varint(head, used)
            end = place + used + length
        elif kind == 0:
            end = place + varint(head, used)[1]
        else:
            end = place + used + FIXED.get(kind, size)
        if number == 0 or end > size:
            break
        layers += number in (LAYER, V1_LAYER)
        place = end
    return layers, place


def varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at `start` and where it ends; far past any file's end if it has no end."""
    value = 0
    for place in range(start, min(len(data), start + 10)):
        value |= (data[place] & 0x7F) << 7 * (place - start)
        if data[place] < 0x80:
            return value, place + 1
    return value, 1 << 62
