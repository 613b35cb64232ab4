"""Make the descriptors and the index in netsurgery/formats/schema from the tables in this folder.

    python schema/make.py [FOLDER]     (or `make schema`)

caffe.desc there is Caffe 1.0's own, see make_caffe_desc.py. Each table here, SOMETHING.toml, holds
what one fork's schema has beyond it: by message, ``field = "NUMBER [repeated] TYPE [= DEFAULT]"``,
and enums. ``includes`` names tables that are part of the fork too. From these come

SOMETHING.desc   the fork's whole schema, a serialized FileDescriptorSet
caffe.json       Caffe 1.0's fields by message, with the type of those that are messages, and the
                 words of those that are enums
forks.json       the same of what each fork adds to Caffe 1.0, and words of enums
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "netsurgery" / "formats" / "schema"

#: The order in which forks are named where several have a field.
ORDER = """
    ssd deeplab deeplab_v2 segnet pspnet enet rfcn nvcaffe intel yolo mobilenet_yolo mobilenet
    senet shufflenet caffe_windows sphereface caffe_face greentea ristretto tsn ctpn openpose
    flownet2 synopsys
""".split()

LABELS = {
    "repeated": FieldDescriptorProto.LABEL_REPEATED,
    "required": FieldDescriptorProto.LABEL_REQUIRED,
}
Messages = dict[str, DescriptorProto]
Enums = dict[str, EnumDescriptorProto]


def main(folder: Path) -> None:
    base = caffe()
    index = {"fields": fields_of(base), "words": words_by_field(base)}
    (folder / "caffe.json").write_text(as_json(index))
    forks = []
    for name in ORDER:
        table = read_table(name)
        file = extended(base, name, [*map(read_table, table.get("includes", ())), table])
        indexes = FileDescriptorSet(file=[file]).SerializeToString(deterministic=True)
        (folder / f"{name}.desc").write_bytes(indexes)
        forks.append(
            {
                "file": name,
                "name": table["name"],
                "fields": beyond(fields_of(file), fields_of(base)),
                "words": beyond(words_of(file), words_of(base)),
            }
        )
    (folder / "forks.json").write_text(as_json(forks))
    print(f"{folder}: Caffe 1.0 and {len(ORDER)} forks")


def caffe() -> FileDescriptorProto:
    return FileDescriptorSet.FromString((TARGET / "caffe.desc").read_bytes()).file[0]


def read_table(name: str) -> dict[str, Any]:
    # Python 3.10 has no tomllib; tomli is the same parser.
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    table: dict[str, Any] = tomllib.loads((HERE / f"{name}.toml").read_text())
    return table


def as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True) + "\n"


def beyond(whole: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """What `whole` adds to `base`, message by message."""
    more = {
        name: {key: inner[key] for key in inner if key not in base.get(name, {})}
        for name, inner in whole.items()
    }
    return {name: inner for name, inner in more.items() if inner or name not in base}


def extended(
    base: FileDescriptorProto, name: str, tables: list[dict[str, Any]]
) -> FileDescriptorProto:
    """The schema `base` with what `tables` add; a number that is taken is the fork's."""
    file = FileDescriptorProto()
    file.CopyFrom(base)
    file.name, file.package = f"netsurgery/{name}.proto", f"netsurgery.{name}"
    for table in tables:
        enums = table.get("enum", {})
        add_messages(file.message_type, table, enums)
        for key, words in enums.items():
            if is_enum(words):
                add_enum(file.enum_type, key, words)
    messages, names = dict(all_messages(file)), dict(all_enums(file))
    for path, message in messages.items():
        for field in message.field:
            resolve(field, path, base.package, file.package, set(messages), set(names))
    return file


def is_enum(table: dict[str, Any]) -> bool:
    return all(isinstance(value, int) for value in table.values())


def add_messages(into: Any, table: dict[str, Any], enums: dict[str, Any]) -> None:
    """Add the messages of a table; one inside another is a table in the other's."""
    own = [key for key, value in table.items() if isinstance(value, dict) and key != "enum"]
    of_enums = [key for key, value in enums.items() if not is_enum(value)]
    for key in dict.fromkeys([*own, *of_enums]):
        message = named(into, key)
        fields, inner = table.get(key, {}), enums.get(key, {})
        for field, spelled in fields.items():
            if isinstance(spelled, str):
                add_field(message, field, spelled)
        for enum, words in inner.items():
            add_enum(message.enum_type, enum, words)
        add_messages(message.nested_type, fields, {})


def named(into: Any, name: str) -> Any:
    for each in into:
        if each.name == name:
            return each
    return into.add(name=name)


def add_field(message: DescriptorProto, name: str, spelled: str) -> None:
    head, _, default = spelled.partition(" = ")
    number, *label, kind = head.split()
    for index in reversed(range(len(message.field))):
        if message.field[index].name == name or message.field[index].number == int(number):
            del message.field[index]
    field = message.field.add(name=name, number=int(number), type_name=kind)
    field.label = LABELS[label[0]] if label else FieldDescriptorProto.LABEL_OPTIONAL
    if default:
        field.default_value = default.strip('"')


def add_enum(into: Any, name: str, words: dict[str, int]) -> None:
    enum = named(into, name)
    for index in reversed(range(len(enum.value))):
        if enum.value[index].name in words or enum.value[index].number in words.values():
            del enum.value[index]
    for word, number in words.items():
        enum.value.add(name=word, number=number)


def resolve(
    field: FieldDescriptorProto,
    path: str,
    old: str,
    new: str,
    messages: set[str],
    enums: set[str],
) -> None:
    """Turn a type's name as it is written into the number or the full name of the type."""
    kind = field.type_name
    if kind.startswith("."):
        field.type_name = f".{new}." + kind.removeprefix(f".{old}.")
        return
    if not kind:
        return
    scalar = dict(FieldDescriptorProto.Type.items()).get(f"TYPE_{kind.upper()}")
    if scalar is not None:
        field.ClearField("type_name")
        field.type = scalar
        return
    scopes = [f"{path}.{kind}", *(f"{path.rsplit('.', n)[0]}.{kind}" for n in (1, 2)), kind]
    full = next((each for each in scopes if each in messages or each in enums), None)
    if full is None:
        raise SystemExit(f"{path}.{field.name}: no type {kind}")
    is_message = full in messages
    field.type = FieldDescriptorProto.TYPE_MESSAGE if is_message else FieldDescriptorProto.TYPE_ENUM
    field.type_name = f".{new}.{full}"


def all_messages(file: Any, prefix: str = "") -> Iterator[tuple[str, DescriptorProto]]:
    for message in file.nested_type if prefix else file.message_type:
        yield f"{prefix}{message.name}", message
        yield from all_messages(message, f"{prefix}{message.name}.")


def all_enums(file: FileDescriptorProto) -> Iterator[tuple[str, EnumDescriptorProto]]:
    yield from ((enum.name, enum) for enum in file.enum_type)
    for path, message in all_messages(file):
        yield from ((f"{path}.{enum.name}", enum) for enum in message.enum_type)


def fields_of(file: FileDescriptorProto) -> dict[str, dict[str, str]]:
    """Message -> field -> the name of its message, "" for one that is none."""
    inside = len(file.package) + 2
    return {
        path: {
            field.name: field.type_name[inside:]
            if field.type == FieldDescriptorProto.TYPE_MESSAGE
            else ""
            for field in message.field
        }
        for path, message in all_messages(file)
    }


def words_by_field(file: FileDescriptorProto) -> dict[str, dict[str, dict[str, int]]]:
    """Message -> field -> word -> number, of the fields that are enums."""
    inside, words = len(file.package) + 2, words_of(file)
    by_field = {
        path: {
            field.name: words[field.type_name[inside:]]
            for field in message.field
            if field.type == FieldDescriptorProto.TYPE_ENUM
        }
        for path, message in all_messages(file)
    }
    return {path: fields for path, fields in by_field.items() if fields}


def words_of(file: FileDescriptorProto) -> dict[str, dict[str, int]]:
    """Enum -> word -> number."""
    return {
        path: {value.name: value.number for value in enum.value} for path, enum in all_enums(file)
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
