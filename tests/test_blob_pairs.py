from __future__ import annotations

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.surgery.difference.compare import compare_nets
from netsurgery.surgery.difference.matching import first_writers, pair_blobs

OLD = """
input: "x" input_shape { dim: [1, 1, 4, 4] }
layer { name: "flat" type: "Flatten" bottom: "x" top: "flat" }
layer { name: "fc" type: "InnerProduct" bottom: "flat" top: "fc"
  inner_product_param { num_output: 2 } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

NEW = """
input: "x" input_shape { dim: [1, 1, 8, 8] }
layer { name: "fc-conv" type: "Convolution" bottom: "x" top: "fc-conv"
  convolution_param { num_output: 2 kernel_size: 4 } }
layer { name: "relu" type: "ReLU" bottom: "fc-conv" top: "fc-conv" }
layer { name: "prob" type: "Softmax" bottom: "fc-conv" top: "prob" }
"""


def paired(old: str, new: str) -> dict[str, str]:
    old_net, new_net = Prototxt.parse(old), Prototxt.parse(new)
    return pair_blobs(
        NetDefinition.of(old_net), NetDefinition.of(new_net), compare_nets(old_net, new_net).blobs
    )


def test_a_converted_net() -> None:
    """A blob that was only flattened is what went into the Flatten."""
    assert paired(OLD, NEW) == {"x": "x", "flat": "x", "fc": "fc-conv", "prob": "prob"}


def test_what_a_dropout_multiplies_is_not_what_went_into_it() -> None:
    drop = 'layer { name: "d" type: "Dropout" bottom: "x" top: "d" dropout_param { %s } }'
    assert paired(OLD + drop % "", NEW)["d"] == "x"
    assert "d" not in paired(OLD + drop % "scale_train: false", NEW)


def test_a_net_with_itself() -> None:
    assert paired(OLD, OLD) == {"x": "x", "flat": "flat", "fc": "fc", "prob": "prob"}


def test_a_blob_that_is_not_there_has_no_partner() -> None:
    cut = OLD[: OLD.index('layer { name: "prob"')]
    assert "prob" not in paired(OLD, cut)


def test_names_that_were_exchanged() -> None:
    text = """
    input: "x" input_shape {{ dim: [1, 1, 4, 4] }}
    layer {{ name: "p" type: "TanH" bottom: "x" top: "{0}" }}
    layer {{ name: "q" type: "Sigmoid" bottom: "x" top: "{1}" }}
    """
    pairs = paired(text.format("a", "b"), text.format("b", "a"))
    assert pairs == {"x": "x", "a": "b", "b": "a"}


def test_the_first_writer_is_not_the_one_in_place() -> None:
    writers = first_writers(NetDefinition.of(Prototxt.parse(OLD)))
    assert {blob: layer.name for blob, layer in writers.items()} == {
        "flat": "flat",
        "fc": "fc",
        "prob": "prob",
    }
