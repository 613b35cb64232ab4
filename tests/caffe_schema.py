"""Caffe 1.0's messages for tests, built from its descriptors in a pool of their own.

Neither the pool nor the package is protobuf's default, so a real caffe_pb2 may be imported in the
same process.
"""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from netsurgery.formats.schema import index

__all__ = ["caffe_messages", "net_parameter"]


@functools.cache
def caffe_messages() -> SimpleNamespace:
    """The message classes by name: ``caffe_messages().NetParameter()``, V1 and V0 ones too."""
    descriptors = Path(index.__file__).with_name("caffe.desc").read_bytes()
    file = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file[0]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    names = [message.name for message in file.message_type]
    return SimpleNamespace(
        **{
            name: message_factory.GetMessageClass(
                pool.FindMessageTypeByName(f"{file.package}.{name}")
            )
            for name in names
        }
    )


def net_parameter(text: str) -> Any:
    """A prototxt as protobuf itself reads it, a NetParameter; text_format's ParseError else."""
    return text_format.Parse(text, caffe_messages().NetParameter())
