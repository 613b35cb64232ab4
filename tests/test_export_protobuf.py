"""ONNX messages of our own writing, read back by the onnx package."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from netsurgery.export import protobuf
from netsurgery.export.graph import Graph
from netsurgery.export.protobuf import ExternalData


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, "INT"),
        (-(2**40), "INT"),
        (0.5, "FLOAT"),
        ("word", "STRING"),
        ((1, -2, 3), "INTS"),
        ((), "INTS"),
        ((0.5, 2.0), "FLOATS"),
    ],
)
def test_attributes(value: protobuf.Attribute, kind: str) -> None:
    made = onnx.AttributeProto.FromString(protobuf.attribute("name", value))
    assert made.name == "name"
    assert made.type == onnx.AttributeProto.AttributeType.Value(kind)
    found = onnx.helper.get_attribute_value(made)
    wanted = value.encode() if isinstance(value, str) else value
    assert (list(found) if isinstance(value, tuple) else found) == (
        list(value) if isinstance(value, tuple) else wanted
    )


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, 2.5], [-3, 4]], np.float32),
        np.array([-1, 2**40]),
        np.zeros((), np.float32),
        np.zeros((0, 3), np.float32),
    ],
)
def test_tensors(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    kind = protobuf.INT64 if array.dtype == np.int64 else protobuf.FLOAT
    pieces = protobuf.tensor("t", kind, array.shape, [array.tobytes()])
    made = onnx.TensorProto.FromString(protobuf.join(pieces))
    assert made.name == "t"
    np.testing.assert_array_equal(numpy_helper.to_array(made), array)


def test_external_tensors() -> None:
    raw = protobuf.external_tensor("t", (2, 3), "a b.caffemodel", ExternalData(7, 24))
    made = onnx.TensorProto.FromString(raw)
    assert made.data_location == onnx.TensorProto.EXTERNAL
    assert list(made.dims) == [2, 3]
    assert {e.key: e.value for e in made.external_data} == {
        "location": "a b.caffemodel",
        "offset": "7",
        "length": "24",
    }


def test_value_info() -> None:
    made = onnx.ValueInfoProto.FromString(protobuf.value_info("x", ("batch", 3, "height")))
    dims = made.type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, "height"]
    scalar = onnx.ValueInfoProto.FromString(protobuf.value_info("x", ()))
    assert scalar.type.tensor_type.HasField("shape")


def test_file_ranges_are_counted_and_left_to_the_writer() -> None:
    """The model's lengths hold with the ranges' bytes in their places."""
    graph = Graph()
    graph.inputs, graph.outputs = {"x": (2,)}, {"y": (2,)}
    graph.taken = {"x", "y"}
    weight = graph.constant(ExternalData(100, 8), (2,), "w")
    (value,) = graph.several("Add", ["x", weight], 1, "sum")
    graph.rename({value: "y"})
    pieces = protobuf.model(graph.encode("net"), {"source": "here"}, "1.2.3")
    ranges = [piece for piece in pieces if isinstance(piece, ExternalData)]
    assert ranges == [ExternalData(100, 8)]
    with pytest.raises(TypeError):
        protobuf.join(pieces)
    data = np.array([1, 2], np.float32).tobytes()
    raw = b"".join(data if isinstance(piece, ExternalData) else piece for piece in pieces)
    assert len(raw) == protobuf.size_of(pieces)
    made = onnx.load_from_string(raw)
    onnx.checker.check_model(made, full_check=True)
    assert made.producer_name == "netsurgery"
    assert made.producer_version == "1.2.3"
    assert {p.key: p.value for p in made.metadata_props} == {"source": "here"}
    np.testing.assert_array_equal(numpy_helper.to_array(made.graph.initializer[0]), [1, 2])
