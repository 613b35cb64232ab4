"""What classify-map and features can write: one module an output, and the registry of them.

A new output is a module here that has an `Output`, and its line in `OUTPUTS`.
"""

from __future__ import annotations

from typing import Literal

from netsurgery.verbs.outputs import (
    boxes,
    geotiff,
    hdf5,
    html_page,
    json_record,
    map_npz,
    npy,
    npz,
    parquet,
    picture,
    text,
    zarr_store,
)
from netsurgery.verbs.outputs.record import Collection, Content, FolderContent, MapView, Output

__all__ = [
    "COLLECTIONS",
    "OUTPUTS",
    "Collection",
    "Content",
    "FolderContent",
    "How",
    "MapView",
    "Output",
    "file_outputs",
]

#: The member of `Output` that makes it of a command's results.
How = Literal["of_map", "of_features"]

#: By name: a file for each picture is the option --NAME of the commands whose results it takes.
OUTPUTS = {
    output.name: output
    for output in (
        npy.OUTPUT,
        map_npz.OUTPUT,
        zarr_store.OUTPUT,
        geotiff.OUTPUT,
        picture.OUTPUT,
        html_page.OUTPUT,
        parquet.OUTPUT,
        boxes.OUTPUT,
        json_record.OUTPUT,
        text.OUTPUT,
    )
}

#: The ending of `features -o FILE` -> what writes all blobs of all pictures into one file.
COLLECTIONS: dict[str, Collection] = {
    suffix: collection
    for collection in (npy.COLLECTION, npz.COLLECTION, hdf5.COLLECTION)
    for suffix in collection.suffixes
}


def file_outputs(how: How) -> list[Output]:
    """The outputs that are files, of class maps or of features."""
    return [kind for kind in OUTPUTS.values() if kind.suffix and getattr(kind, how)]
