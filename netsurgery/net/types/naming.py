"""Fields that name a file, a folder or a module: by these a net reaches out of itself.

Only a quoted string can name something, in Caffe's text format as in its schema. So every string
in a layer, at any depth, is of a field that is known to name something, of one that is known not
to, or not known at all; what the last may do is anything. Fields are distinguished by their names
alone: forks differ in the messages around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from netsurgery.formats.textformat import Message, TextField
from netsurgery.net.effect import Effect
from netsurgery.net.layer import Layer
from netsurgery.net.types.record import Effects

__all__ = ["ALL", "HARMLESS", "NAMING", "Named", "by_text", "named"]

#: What is not known may be any of it.
ALL: Effects = tuple(Effect)

_READ = """
    class_map deploy label_file label_map_file mean_file meanfile model name_size_file
    preselection_file root_dir root_folder softmax_tree source video_file weight_file weight_source
"""
#: An `output_directory` of SSD's is emptied before anything is written there.
_WRITTEN = "file_name folder output_directory save_file write_augmented write_mean"
_BOTH = "calibrator file"

#: Field -> what is done with that which it names.
NAMING: Mapping[str, Effects] = {
    **dict.fromkeys(_READ.split(), (Effect.READS,)),
    **dict.fromkeys(_WRITTEN.split(), (Effect.WRITES,)),
    **dict.fromkeys(_BOTH.split(), (Effect.READS, Effect.WRITES)),
    "module": (Effect.IMPORTS,),
}

#: Fields of strings that name blobs, layers, stages or ways to compute, and bytes of blobs.
HARMLESS = frozenset(
    """
    activations attention_option aug_way bottom combiner conv_algorithm conv_algos_override
    coverage crop_mode data_format default_conv_algos_override deploy_outputs det_crop_mode
    direction distance_type engine exclude_blob ext img_header input kept_bn_layers layer
    layer_from layer_to layer_type merge_mode mode name name_pattern negative_conv_names
    normalize_type not_stage op output_format output_name_prefix packed_data packed_diff param
    param_str partition_strategy prefix rand_type raw_data raw_diff stage suffix top type
    """.split()
)


class Named(NamedTuple):
    """A string that names something, or may: what is done with it, by its field's name."""

    value: str
    effects: Effects
    known: bool


def named(fields: Iterable[TextField]) -> Iterator[Named]:
    """What the fields name, at any depth; an empty name names nothing."""
    for field in fields:
        if isinstance(field.value, Message):
            yield from named(field.value.fields)
        elif field.value.kind == "string" and field.name not in HARMLESS:
            value, effects = field.value.as_string(), NAMING.get(field.name)
            if value:
                yield Named(value, effects or ALL, effects is not None)


def by_text(layer: Layer) -> Effects:
    """What the layer does by the files and modules that its text names."""
    effects = {effect for name in named(layer.message.fields) for effect in name.effects}
    return tuple(effect for effect in Effect if effect in effects)
