"""The fields Caffe's layers have are those of its own schema."""

from __future__ import annotations

import pytest
from caffe_schema import caffe_messages

from netsurgery.errors import PrototxtError
from netsurgery.export.forks import EMITTERS as FORKS
from netsurgery.export.known_fields import FIELDS, field_of
from netsurgery.export.layers import EMITTERS, check_types
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import Net

#: Types whose layers take nothing, or whose own definition checks its fields.
WITHOUT = {"AbsVal", "BNLL", "BatchReindex", "Silence", "Split"}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_fields_are_caffes(name: str) -> None:
    found = caffe_messages().LayerParameter.DESCRIPTOR.fields_by_name[name].message_type
    extra = {"ceil_mode"} if name == "pooling_param" else set()
    assert set(FIELDS[name].split()) == {field.name for field in found.fields} | extra


@pytest.mark.parametrize("kind", sorted(EMITTERS))
def test_every_type_has_its_message(kind: str) -> None:
    own = set(FORKS) - {"DepthwiseConvolution"}
    assert (field_of(kind) is None) == (kind in WITHOUT | own)


@pytest.mark.parametrize("version", ["layer", "layers"])
def test_a_field_of_a_fork_is_refused(version: str) -> None:
    kind = '"Convolution"' if version == "layer" else "CONVOLUTION"
    text = f"""input: "x" input_dim: [1, 1, 5, 5]
    {version} {{ name: "c" type: {kind} bottom: "x" top: "y"
      convolution_param {{ num_output: 1 kernel_size: 3
        pad_l: 1 }} }}"""
    with pytest.raises(PrototxtError) as caught:
        check_types(Net.of(Prototxt.parse(text, "n.prototxt")))
    assert str(caught.value) == (
        "n.prototxt:4:9: layer 'c' (Convolution): convolution_param has a field pad_l, which "
        "Caffe 1.0 does not know, nor what it changes; take it out if that is nothing"
    )
