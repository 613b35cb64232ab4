"""Blob and param shapes are real Caffe's, for every net it loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from others_data import bound

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

pytestmark = pytest.mark.caffe

#: Parts of names of prototxts that stock Caffe refuses, or whose data is not here.
NOT_FOR_CAFFE = (
    "nonlinear_auto_train",  # HDF5 files
    "lenet_train_test",  # an LMDB
    "mnist_autoencoder",  # an LMDB, and stages
    "linreg",  # a Python layer
    "siamese_train_test",  # an LMDB
    "googlenet_train_val",  # an LMDB
    "lenet_convert_optimized",  # Permute
    "fast-rcnn",  # ROIPooling
    "DenseNet",  # ceil_mode
    "pilotnet",  # an LMDB
    "V0_2013",  # read by us only once it is upgraded
)


def test_every_net_has_the_shapes_that_caffe_gives_it(
    shared_data: Path, caffe_docs: Path, caffe_engine: PycaffeEngine
) -> None:
    deploys = [*caffe_docs.glob("models/**/deploy.prototxt")]
    paths = [
        path
        for path in (*sorted(shared_data.rglob("*.prototxt")), *sorted(deploys))
        if not any(part in path.name for part in NOT_FOR_CAFFE)
    ]
    assert len(paths) > bound(shared_data, whole=40, served=20)
    for path in paths:
        shapes = infer(NetDefinition.read(path))
        with caffe_engine.load(path) as net:
            # Caffe puts copies of its own behind blobs that several layers read.
            blobs = {name: s for name, s in net.blobs.items() if "_split_" not in name}
            assert shapes.blobs == blobs, path
            assert shapes.params == net.params, path
