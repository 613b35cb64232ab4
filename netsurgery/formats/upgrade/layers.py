"""Binary layers of V0 and V1 carried over to V2, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netsurgery.formats.generations import V0_TYPES, V1_TYPES
from netsurgery.formats.upgrade.numbers import (
    PARAM_NUMBERS,
    SPEC_NUMBERS,
    V0_NUMBERS,
    V1_NUMBERS,
    V2_NUMBERS,
)
from netsurgery.formats.upgrade.parts import (
    Joined,
    Part,
    encoded,
    fixed32s,
    last_text,
    parts,
    plain_words,
    text_part,
)
from netsurgery.formats.upgrade.splices import Change
from netsurgery.formats.upgrade.transform import DATA_PARAMS, TRANSFORM
from netsurgery.formats.upgrade.v0_fields import PARAMS, Pad, V0Layer, home, left_out, told
from netsurgery.formats.upgrade.v1 import SPEC_FIELDS
from netsurgery.io.segments import Source
from netsurgery.io.wire import Field, Wire, WireReader, varint_field

__all__ = ["OldLayer", "read_old_layer"]

_MERGED = ("weight_filler", "bias_filler")


@dataclass(frozen=True)
class OldLayer:
    """A layer in V1's words; `type` is today's name, None where it has none.

    kind, pad: the V0 type and `pad` of a layer that is of V0, else None.
    """

    reader: WireReader
    start: int
    type: str | None
    parts: tuple[Part, ...]
    changes: tuple[Change, ...]
    kind: str | None = None
    pad: int | None = None

    @property
    def name(self) -> str:
        """The layer's name, "" if it has none."""
        return last_text(self.parts, "name")

    def _texts(self, name: str) -> tuple[str, ...]:
        return tuple(each.text for each in self.parts if each.name == name)

    def facts(self) -> V0Layer:
        """What folding the paddings needs."""
        return V0Layer(
            name=self.name,
            kind=self.kind or "",
            bottoms=self._texts("bottom"),
            tops=self._texts("top"),
            pad=self.pad or 0,
            error=lambda what: self.reader.error(what, self.start),
        )

    def padded(self, pad: Pad) -> OldLayer:
        """The layer with that padding taken over."""
        own = [each for each in self.parts if each.name != "bottom"]
        own.append(text_part("bottom", pad.bottom))
        changes = (*self.changes, Change(self.name, pad.told))
        return replace(self, parts=tuple(own), changes=changes, pad=pad.size)

    @property
    def transforms(self) -> bool:
        """Whether this is a data layer of V1 with its transformation among its own fields."""
        param = DATA_PARAMS.get(self.type or "")
        if param is None or self.kind is not None:
            return False
        numbers = {PARAM_NUMBERS[param][key] for key in TRANSFORM}
        data = [each for each in self.parts if each.name == param]
        fields = (found for each in data for found in self.reader.fields(each.start, each.end))
        return any(found.number in numbers for found in fields)

    def upgraded(self, source: Source, transform: bool) -> tuple[Joined, tuple[Change, ...]]:
        """The layer's fields in V2, and what was done.

        transform: whether some layer of the net `transforms`; then every data layer is seen to.
        """
        own, changes = list(self.parts), list(self.changes)
        specs = _specs(own)
        if specs:
            old = ", ".join(key for key in SPEC_FIELDS if any(each.name == key for each in own))
            changes.append(Change(self.name, f"{old}: now in {len(specs)} `param {{ ... }}`"))
        own = [each for each in own if each.name not in SPEC_FIELDS]
        if self.pad is not None and self.kind in PARAMS:
            param = PARAMS[self.kind]
            pad = varint_field(PARAM_NUMBERS[param]["pad"], self.pad)
            own.append(Part(param, Wire.DELIMITED, pad))
        if transform and self.type in DATA_PARAMS:
            data = DATA_PARAMS[self.type]
            own, moved = _move_transform(self.reader, own, data)
            what = f"{moved} of {data}: now in transform_param" if moved else ""
            changes.append(Change(self.name, what or f"has {data} and transform_param"))
        plain = plain_words(own)
        changes += [Change(self.name, plain)] if plain else []
        own += [Part("param", Wire.DELIMITED, spec) for spec in specs]
        if self.type is not None:
            own.append(text_part("type", self.type))
        out = Joined(source)
        for each in sorted(own, key=lambda each: V2_NUMBERS[each.name]):
            out.field(V2_NUMBERS[each.name], each)
        return out, tuple(changes)


def read_old_layer(reader: WireReader, found: Field) -> OldLayer:
    """The layer in the field `layers` of a net. Raises CaffemodelError, with the offset."""
    reader.expect(found, Wire.DELIMITED)
    own, unknown = parts(reader, found.body, found.end, V1_NUMBERS)
    if any(each.name == "layer" for each in own):
        return _read_v0(reader, found, own, unknown)
    name = last_text(own, "name")
    what = "`layers` becomes `layer`"
    today = None
    for each in own:
        if each.name == "type":
            if each.wire != Wire.VARINT:
                raise reader.error(f"layer {name!r}: its type is no number of V1's", found.start)
            number = _number(each)
            if number >= len(V1_TYPES):
                raise reader.error(
                    f"layer {name!r}: found the type {number}, expected a type of Caffe's V1, "
                    f"at most {len(V1_TYPES) - 1}",
                    found.start,
                )
            today = V1_TYPES[number]
    if today is not None:
        what += f', type {V1_TYPES.index(today)} becomes "{today}"'
    changes = [Change(name, what)]
    for number in dict.fromkeys(unknown):
        changes.append(Change(name, f"field {number}, which V1 has not, is left out"))
    kept = tuple(each for each in own if each.name != "type")
    return OldLayer(reader, found.start, today, kept, tuple(changes))


def _read_v0(
    reader: WireReader, found: Field, outer: Sequence[Part], unknown: Sequence[int]
) -> OldLayer:
    other = [each.name for each in outer if each.name not in ("layer", "bottom", "top")]
    for what in [*other, *(f"field {number}" for number in unknown)]:
        raise reader.error(
            f"found {what} beside a V0 layer's `layer`, expected bottom or top", found.start
        )
    inner: list[Part] = []
    for field in reader.fields(found.body, found.end):
        if field.number == V1_NUMBERS["layer"]:
            reader.expect(field, Wire.DELIMITED)
            known, others = parts(reader, field.body, field.end, V0_NUMBERS)
            inner += known
            for number in others:
                raise reader.error(
                    f"found field {number} in a V0 layer, which has none", found.start
                )
    name, kind = last_text(inner, "name"), last_text(inner, "type")
    typed = any(each.name == "type" for each in inner)
    if typed and kind not in V0_TYPES and kind != "padding":
        raise reader.error(f"found the V0 type {kind!r}, which Caffe never had", found.start)
    pads = [_number(each) for each in inner if each.name == "pad"]
    own, changes = _placed(reader, found.start, inner, name, kind)
    own += [each for each in outer if each.name != "layer"]
    pad = pads[-1] if pads else None
    today = V0_TYPES.get(kind)
    return OldLayer(reader, found.start, today, tuple(own), tuple(changes), kind, pad)


def _placed(
    reader: WireReader, start: int, inner: Sequence[Part], name: str, kind: str
) -> tuple[list[Part], list[Change]]:
    """A V0 layer's fields where V1 has them."""
    own: list[Part] = []
    changes = [] if kind == "padding" else [Change(name, told(kind))]
    params: dict[tuple[str, str], bytes] = {}
    for each in inner:
        place = home(kind, each.name)
        if why := left_out(kind, each.name):
            changes.append(Change(name, why))
        elif place is None:
            raise reader.error(
                f"layer {name!r}: found {each.name} in a V0 layer of type {kind!r}, which has "
                "no such field",
                start,
            )
        elif place[0] and each.name != "pad":
            data = encoded(PARAM_NUMBERS[place[0]][place[1]], each)
            # Given twice, a message is merged and of other values the last one counts.
            params[place] = (params.get(place, b"") if place[1] in _MERGED else b"") + data
        elif each.name not in ("type", "pad"):
            own.append(each)
    for param in dict.fromkeys(param for param, _ in params):
        body = b"".join(data for (other, _), data in params.items() if other == param)
        own.append(Part(param, Wire.DELIMITED, body))
    return own, changes


def _number(each: Part) -> int:
    """The value of a varint."""
    return sum((byte & 0x7F) << 7 * index for index, byte in enumerate(each.bytes))


def _specs(own: Sequence[Part]) -> list[bytes]:
    """A ParamSpec for each blob, of the lists that V1 has."""
    given: dict[str, list[bytes]] = {}
    for old, new in SPEC_FIELDS.items():
        number, found = SPEC_NUMBERS[new], [each for each in own if each.name == old]
        if new == "name":
            given[new] = [encoded(number, each) for each in found]
        elif new == "share_mode":
            given[new] = [varint_field(number, value) for each in found for value in _enums(each)]
        else:
            floats = fixed32s(found)
            given[new] = [encoded(number, Part(new, Wire.FIXED32, value)) for value in floats]
    count = max(map(len, given.values()))
    return [
        b"".join(values[index] for values in given.values() if index < len(values))
        for index in range(count)
    ]


def _enums(each: Part) -> list[int]:
    """The values of a repeated enum below 128, packed or not."""
    return [_number(each)] if each.wire == Wire.VARINT else list(each.bytes)


def _move_transform(reader: WireReader, own: list[Part], param: str) -> tuple[list[Part], str]:
    """Move a data layer's transformation to transform_param; the names of what was moved.

    Both messages are there afterwards, empty if need be, as Caffe's upgrade has them.
    """
    names = {PARAM_NUMBERS[param][key]: key for key in TRANSFORM}
    moved: dict[str, bytes] = {}
    kept: list[Part] = []
    for each in own:
        if each.name != param:
            kept.append(each)
            continue
        body = b""
        for found in reader.fields(each.start, each.end):
            data = reader.read(found.start, found.end)
            if found.number in names:
                new = PARAM_NUMBERS["transform_param"][names[found.number]]
                moved[names[found.number]] = _renumbered(data, found.number, new)
            else:
                body += data
        kept.append(replace(each, data=body))
    if not any(each.name == param for each in own):
        kept.append(Part(param, Wire.DELIMITED, b""))
    kept.append(Part("transform_param", Wire.DELIMITED, b"".join(moved.values())))
    return kept, ", ".join(key for key in TRANSFORM if key in moved)


def _renumbered(data: bytes, old: int, new: int) -> bytes:
    """An encoded field under another number; both below 16, so that the tag stays one byte."""
    return bytes([data[0] - (old << 3) + (new << 3)]) + data[1:]
