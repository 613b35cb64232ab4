"""What of the nets and pictures of others a newcomer has: what comes with real Caffe.

Tests ask for them by the names they have in a folder of data beside the repository. Where there is
no such folder, Debian's caffe-doc and Caffe's own package serve what they have under the same
names; a test that asks for more is skipped.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PosixPath

import pytest

__all__ = ["ServedPath", "bound", "serve"]

#: Name in the folder of data -> path in caffe-doc, whose gzipped files are unpacked.
SERVED = {
    **{
        f"bvlc/{name}.prototxt": f"models/{name}/deploy.prototxt"
        for name in (
            "bvlc_alexnet",
            "bvlc_googlenet",
            "bvlc_reference_caffenet",
            "bvlc_reference_rcnn_ilsvrc13",
            "finetune_flickr_style",
        )
    },
    **{
        f"bvlc/{name}.prototxt": f"examples/net_surgery/{name}.prototxt"
        for name in ("bvlc_caffenet_full_conv", "conv")
    },
    **{
        f"bvlc/{name}": f"examples/images/{name}"
        for name in ("cat.jpg", "cat_gray.jpg", "fish-bike.jpg")
    },
}


class ServedPath(PosixPath):
    """A path whose `/` skips the test where there is nothing."""

    def __truediv__(self, name: object) -> ServedPath:
        path = super().__truediv__(name)  # type: ignore[operator]
        if not path.exists():
            pytest.skip("no trained nets and files of others here; no package brings them")
        return path


def bound(data: Path, whole: int, served: int) -> int:
    """What a count over the data must exceed: in the whole folder, or in what is served of it."""
    return served if isinstance(data, ServedPath) else whole


def serve(docs: Path, caffe: Path, folder: Path) -> ServedPath:
    """Lay out in `folder` what caffe-doc (unpacked) and the package of Caffe have.

    caffe: the folder of the Python package caffe.
    """
    copies = {name: docs / path for name, path in SERVED.items()} | {
        "bvlc/ilsvrc_2012_mean.npy": caffe / "imagenet" / "ilsvrc_2012_mean.npy"
    }
    for path in docs.rglob("*.prototxt"):
        named = path.relative_to(docs).as_posix()
        if "solver" not in path.name and named not in SERVED.values():
            copies[f"prototxts/BVLC__caffe__{named.replace('/', '_')}"] = path
    for name, path in copies.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return ServedPath(folder)
