"""Binary layers of V0 and V1 carried over to V2, field by field, by the fields' numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netsurgery.formats.generations import V0_TYPES, V1_TYPES
from netsurgery.formats.upgrade.inputs import DATA_PARAMS, TRANSFORM, transform_moved
from netsurgery.formats.upgrade.splices import UpgradeStep
from netsurgery.formats.upgrade.v0 import PARAMS, Pad, V0Layer, becomes_v1, home, left_out
from netsurgery.formats.upgrade.v1 import SPEC_FIELDS
from netsurgery.formats.upgrade.wire_fields import (
    JoinedParts,
    WirePart,
    encoded,
    fixed32s,
    last_text,
    parts,
    plain_step,
    text_part,
)
from netsurgery.io.segments import FileSource
from netsurgery.io.wire import Wire, WireField, WireReader, varint_field

__all__ = [
    "PARAM_NUMBERS",
    "SPEC_NUMBERS",
    "V0_NUMBERS",
    "V1_NUMBERS",
    "V2_NUMBERS",
    "OldLayer",
    "read_old_layer",
]

#: What a byte of V1's lists of rates, names and enums takes as part of a `param` of V2.
_SPEC_MEMORY = 400

_MERGED = ("weight_filler", "bias_filler")


@dataclass(frozen=True)
class OldLayer:
    """A layer in V1's words; `type` is today's name, None where it has none.

    kind, pad: the V0 type and `pad` of a layer that is of V0, else None.
    """

    reader: WireReader
    start: int
    type: str | None
    parts: tuple[WirePart, ...]
    changes: tuple[UpgradeStep, ...]
    kind: str | None = None
    pad: int | None = None

    @property
    def name(self) -> str:
        """The layer's name, "" if it has none."""
        return last_text(self.parts, "name")

    def _texts(self, name: str) -> tuple[str, ...]:
        return tuple(each.text for each in self.parts if each.name == name)

    def v0_layer(self) -> V0Layer:
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
        changes = (*self.changes, pad.step(self.name))
        return replace(self, parts=tuple(own), changes=changes, pad=pad.size)

    @property
    def transforms(self) -> bool:
        """Whether this is a data layer of V1 with its transformation among its own fields."""
        param = DATA_PARAMS.get(self.type or "")
        # A V0 layer's have come to transform_param already (`home`).
        if param is None or self.kind is not None:
            return False
        numbers = {PARAM_NUMBERS[param][key] for key in TRANSFORM}
        data = [each for each in self.parts if each.name == param]
        fields = (field for each in data for field in self.reader.fields(each.start, each.end))
        return any(field.number in numbers for field in fields)

    def upgraded(
        self, source: FileSource, transform: bool
    ) -> tuple[JoinedParts, tuple[UpgradeStep, ...]]:
        """The layer's fields in V2, and what was done.

        transform: whether some layer of the net `transforms`; then every data layer is seen to.
        """
        own, changes = list(self.parts), list(self.changes)
        listed = sum(each.length for each in own if each.name in SPEC_FIELDS)
        self.reader.claim.add(_SPEC_MEMORY * listed)
        specs = _specs(own)
        if specs:
            old = [key for key in SPEC_FIELDS if any(each.name == key for each in own)]
            what = f"{', '.join(old)}: now in {len(specs)} `param {{ ... }}`"
            changes.append(UpgradeStep(self.name, what, tuple(old), None, "param"))
        own = [each for each in own if each.name not in SPEC_FIELDS]
        if self.pad is not None and self.kind in PARAMS:
            param = PARAMS[self.kind]
            pad = varint_field(PARAM_NUMBERS[param]["pad"], self.pad)
            # Two messages of one field are merged: this adds the pad to what the layer has.
            own.append(WirePart(param, Wire.DELIMITED, pad))
        if transform and self.type in DATA_PARAMS:
            data = DATA_PARAMS[self.type]
            own, moved = _move_transform(self.reader, own, data)
            added = UpgradeStep(self.name, f"has {data} and transform_param", (data,))
            changes.append(transform_moved(self.name, moved, data) if moved else added)
        changes += plain_step(self.name, own)
        own += [WirePart("param", Wire.DELIMITED, spec) for spec in specs]
        if self.type is not None:
            own.append(text_part("type", self.type))
        out = JoinedParts(source)
        # The sort is stable: the values of a repeated field keep their order.
        for each in sorted(own, key=lambda each: V2_NUMBERS[each.name]):
            out.field(V2_NUMBERS[each.name], each)
        return out, tuple(changes)


def read_old_layer(reader: WireReader, field: WireField) -> OldLayer:
    """The layer in the field `layers` of a net. Raises CaffemodelError, with the offset."""
    reader.expect(field, Wire.DELIMITED)
    own, unknown = parts(reader, field, V1_NUMBERS)
    if any(each.name == "layer" for each in own):
        return _read_v0(reader, field, own, unknown)
    name = last_text(own, "name")
    today = None
    for each in own:
        if each.name == "type":
            if each.wire != Wire.VARINT:
                raise reader.error(f"layer {name!r}: its type is not a number of V1's", field.start)
            number = _number(each)
            if number >= len(V1_TYPES):
                raise reader.error(
                    f"layer {name!r}: found the type {number}, expected a type of Caffe's V1, "
                    f"at most {len(V1_TYPES) - 1}",
                    field.start,
                )
            today = V1_TYPES[number]
    changes = [UpgradeStep(name, "`layers` becomes `layer`", ("layers",), "layers", "layer")]
    if today is not None:
        old = str(V1_TYPES.index(today))
        what = f'{changes[0].what}, type {old} becomes "{today}"'
        changes = [UpgradeStep(name, what, ("type",), old, today)]
    for number in dict.fromkeys(unknown):
        what = f"field {number}, which V1 does not have, is left out"
        changes.append(UpgradeStep(name, what, (str(number),)))
    rest = tuple(each for each in own if each.name != "type")
    return OldLayer(reader, field.start, today, rest, tuple(changes))


def _read_v0(
    reader: WireReader, layer: WireField, outer: Sequence[WirePart], unknown: Sequence[int]
) -> OldLayer:
    unexpected = [each.name for each in outer if each.name not in ("layer", "bottom", "top")]
    for what in [*unexpected, *(f"field {number}" for number in unknown)]:
        raise reader.error(
            f"found {what} beside a V0 layer's `layer`, expected bottom or top", layer.start
        )
    inner: list[WirePart] = []
    for field in reader.fields(layer.body, layer.end):
        if field.number == V1_NUMBERS["layer"]:
            reader.expect(field, Wire.DELIMITED)
            known, others = parts(reader, field, V0_NUMBERS)
            inner += known
            for number in others:
                raise reader.error(
                    f"found field {number} in a V0 layer, which has none", layer.start
                )
    name, kind = last_text(inner, "name"), last_text(inner, "type")
    typed = any(each.name == "type" for each in inner)
    if typed and kind not in V0_TYPES and kind != "padding":
        raise reader.error(f"found the V0 type {kind!r}, which Caffe never had", layer.start)
    pads = [_number(each) for each in inner if each.name == "pad"]
    own, changes = _placed(reader, layer.start, inner, name, kind)
    own += [each for each in outer if each.name != "layer"]
    pad = pads[-1] if pads else None
    today = V0_TYPES.get(kind)
    return OldLayer(reader, layer.start, today, tuple(own), tuple(changes), kind, pad)


def _placed(
    reader: WireReader, start: int, inner: Sequence[WirePart], name: str, kind: str
) -> tuple[list[WirePart], list[UpgradeStep]]:
    """A V0 layer's fields where V1 has them."""
    own: list[WirePart] = []
    changes = [] if kind == "padding" else [becomes_v1(name, kind)]
    params: dict[tuple[str, str], bytes] = {}
    for each in inner:
        place = home(kind, each.name)
        if why := left_out(kind, each.name):
            changes.append(UpgradeStep(name, why, (each.name,)))
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
        body = b"".join(data for (owner, _), data in params.items() if owner == param)
        own.append(WirePart(param, Wire.DELIMITED, body))
    return own, changes


def _number(each: WirePart) -> int:
    """The value of a varint."""
    # Seven bits a byte, the lowest first.
    return sum((byte & 0x7F) << 7 * index for index, byte in enumerate(each.bytes))


def _specs(own: Sequence[WirePart]) -> list[bytes]:
    """A ParamSpec for each blob, of the lists that V1 has."""
    lists: dict[str, list[bytes]] = {}
    for old, new in SPEC_FIELDS.items():
        number, fields = SPEC_NUMBERS[new], [each for each in own if each.name == old]
        if new == "name":
            lists[new] = [encoded(number, each) for each in fields]
        elif new == "share_mode":
            lists[new] = [varint_field(number, value) for each in fields for value in _enums(each)]
        else:
            floats = fixed32s(fields)
            lists[new] = [encoded(number, WirePart(new, Wire.FIXED32, value)) for value in floats]
    # As upgrade_proto.cpp: the longest list decides, what the others lack keeps its default.
    count = max(map(len, lists.values()))
    return [
        b"".join(values[index] for values in lists.values() if index < len(values))
        for index in range(count)
    ]


def _enums(each: WirePart) -> list[int]:
    """The values of a repeated enum below 128, packed or not."""
    return [_number(each)] if each.wire == Wire.VARINT else list(each.bytes)


def _move_transform(
    reader: WireReader, own: list[WirePart], param: str
) -> tuple[list[WirePart], list[str]]:
    """Move a data layer's transformation to transform_param; the names of what was moved.

    Both messages are there afterwards, empty if need be, as Caffe's upgrade has them.
    """
    names = {PARAM_NUMBERS[param][key]: key for key in TRANSFORM}
    moved: dict[str, bytes] = {}
    rest: list[WirePart] = []
    for each in own:
        if each.name != param:
            rest.append(each)
            continue
        body = b""
        for field in reader.fields(each.start, each.end):
            data = reader.read(field.start, field.end)
            if field.number in names:
                new = PARAM_NUMBERS["transform_param"][names[field.number]]
                moved[names[field.number]] = _renumbered(data, field.number, new)
            else:
                body += data
        rest.append(replace(each, data=body))
    if not any(each.name == param for each in own):
        rest.append(WirePart(param, Wire.DELIMITED, b""))
    rest.append(WirePart("transform_param", Wire.DELIMITED, b"".join(moved.values())))
    return rest, [key for key in TRANSFORM if key in moved]


def _renumbered(data: bytes, old: int, new: int) -> bytes:
    """An encoded field under another number; both below 16, so that the tag stays one byte."""
    return bytes([data[0] - (old << 3) + (new << 3)]) + data[1:]


#: V0LayerParameter: field -> number.
V0_NUMBERS = {
    **{"name": 1, "type": 2, "num_output": 3, "biasterm": 4, "weight_filler": 5},
    **{"bias_filler": 6, "pad": 7, "kernelsize": 8, "group": 9, "stride": 10, "pool": 11},
    **{"dropout_ratio": 12, "local_size": 13, "alpha": 14, "beta": 15, "k": 22, "source": 16},
    **{"scale": 17, "meanfile": 18, "batchsize": 19, "cropsize": 20, "mirror": 21, "blobs": 50},
    **{"blobs_lr": 51, "weight_decay": 52, "rand_skip": 53, "det_fg_threshold": 54},
    **{"det_bg_threshold": 55, "det_fg_fraction": 56, "det_context_pad": 58},
    **{"det_crop_mode": 59, "new_num": 60, "new_channels": 61, "new_height": 62},
    **{"new_width": 63, "shuffle_images": 64, "concat_dim": 65, "hdf5_output_param": 1001},
}

#: V1LayerParameter: field -> number. "layer" is the V0 layer inside.
V1_NUMBERS = {
    **{"layer": 1, "bottom": 2, "top": 3, "name": 4, "type": 5, "blobs": 6, "blobs_lr": 7},
    **{"weight_decay": 8, "concat_param": 9, "convolution_param": 10, "data_param": 11},
    **{"dropout_param": 12, "hdf5_data_param": 13, "hdf5_output_param": 14},
    **{"image_data_param": 15, "infogain_loss_param": 16, "inner_product_param": 17},
    **{"lrn_param": 18, "pooling_param": 19, "window_data_param": 20, "power_param": 21},
    **{"memory_data_param": 22, "argmax_param": 23, "eltwise_param": 24, "threshold_param": 25},
    **{"dummy_data_param": 26, "accuracy_param": 27, "hinge_loss_param": 29, "relu_param": 30},
    **{"slice_param": 31, "include": 32, "exclude": 33, "mvn_param": 34, "loss_weight": 35},
    **{"transform_param": 36, "tanh_param": 37, "sigmoid_param": 38, "softmax_param": 39},
    **{"contrastive_loss_param": 40, "exp_param": 41, "loss_param": 42, "param": 1001},
    "blob_share_mode": 1002,
}

#: LayerParameter: field -> number, of the fields that V1 has too, and `param`.
V2_NUMBERS = {
    **{"name": 1, "type": 2, "bottom": 3, "top": 4, "loss_weight": 5, "param": 6, "blobs": 7},
    **{"include": 8, "exclude": 9, "transform_param": 100, "loss_param": 101},
    **{"accuracy_param": 102, "argmax_param": 103, "concat_param": 104},
    **{"contrastive_loss_param": 105, "convolution_param": 106, "data_param": 107},
    **{"dropout_param": 108, "dummy_data_param": 109, "eltwise_param": 110, "exp_param": 111},
    **{"hdf5_data_param": 112, "hdf5_output_param": 113, "hinge_loss_param": 114},
    **{"image_data_param": 115, "infogain_loss_param": 116, "inner_product_param": 117},
    **{"lrn_param": 118, "memory_data_param": 119, "mvn_param": 120, "pooling_param": 121},
    **{"power_param": 122, "relu_param": 123, "sigmoid_param": 124, "softmax_param": 125},
    **{"slice_param": 126, "tanh_param": 127, "threshold_param": 128, "window_data_param": 129},
    "input_param": 143,
}

#: ParamSpec.
SPEC_NUMBERS = {"name": 1, "share_mode": 2, "lr_mult": 3, "decay_mult": 4}

#: Message of parameters -> the numbers of those of its fields that an upgrade fills.
PARAM_NUMBERS = {
    "concat_param": {"concat_dim": 1},
    "convolution_param": {
        **{"num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5},
        **{"stride": 6, "weight_filler": 7, "bias_filler": 8},
    },
    "data_param": {
        **{"source": 1, "scale": 2, "mean_file": 3, "batch_size": 4, "crop_size": 5},
        **{"mirror": 6, "rand_skip": 7},
    },
    "dropout_param": {"dropout_ratio": 1},
    "hdf5_data_param": {"source": 1, "batch_size": 2},
    "image_data_param": {
        **{"source": 1, "scale": 2, "mean_file": 3, "batch_size": 4, "crop_size": 5},
        **{"mirror": 6, "rand_skip": 7, "shuffle": 8, "new_height": 9, "new_width": 10},
    },
    "infogain_loss_param": {"source": 1},
    "inner_product_param": {
        **{"num_output": 1, "bias_term": 2, "weight_filler": 3, "bias_filler": 4},
    },
    "lrn_param": {"local_size": 1, "alpha": 2, "beta": 3, "k": 5},
    "pooling_param": {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4},
    "transform_param": {"scale": 1, "mirror": 2, "crop_size": 3, "mean_file": 4},
    "window_data_param": {
        **{"source": 1, "scale": 2, "mean_file": 3, "batch_size": 4, "crop_size": 5},
        **{"mirror": 6, "fg_threshold": 7, "bg_threshold": 8, "fg_fraction": 9},
        **{"context_pad": 10, "crop_mode": 11},
    },
}
