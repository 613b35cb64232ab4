"""Make netsurgery/formats/schema/caffe.desc, the schema of Caffe 1.0.

    python schema/make_caffe_desc.py path/to/caffe/proto/caffe_pb2.py

Takes the serialized file descriptor out of the module that protoc generated for Caffe 1.0, without
importing it, and gives it a file name and a package of our own, so that it can live beside a
real caffe_pb2 in one process.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

PACKAGE = "netsurgery.caffe"


def main(module: str) -> None:
    file = descriptor_pb2.FileDescriptorProto.FromString(serialized(Path(module).read_text()))
    old = f".{file.package}."
    file.name, file.package = "netsurgery/caffe.proto", PACKAGE
    file.ClearField("options")
    for message in file.message_type:
        rename(message, old)
    root = Path(__file__).resolve().parent.parent
    target = root / "netsurgery" / "formats" / "schema" / "caffe.desc"
    descriptor = descriptor_pb2.FileDescriptorSet(file=[file])
    target.write_bytes(descriptor.SerializeToString(deterministic=True))
    print(f"{target}: {len(file.message_type)} messages")


def serialized(source: str) -> bytes:
    """The first `serialized_pb=` of the generated module: the whole file's."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            value = ast.literal_eval(node.value)
            if isinstance(value, bytes):
                return value
    raise SystemExit("no serialized descriptor in this file")


def rename(message: descriptor_pb2.DescriptorProto, old: str) -> None:
    for field in message.field:
        if field.type_name.startswith(old):
            field.type_name = f".{PACKAGE}." + field.type_name[len(old) :]
    for nested in message.nested_type:
        rename(nested, old)


if __name__ == "__main__":
    main(sys.argv[1])
