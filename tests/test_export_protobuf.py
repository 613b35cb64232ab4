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
    attribute = onnx.AttributeProto.FromString(protobuf.attribute("name", value))
    assert attribute.name == "name"
    assert attribute.type == onnx.AttributeProto.AttributeType.Value(kind)
    actual = onnx.helper.get_attribute_value(attribute)
    expected = value.encode() if isinstance(value, str) else value
    assert (list(actual) if isinstance(value, tuple) else actual) == (
        list(value) if isinstance(value, tuple) else expected
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
    tensor = onnx.TensorProto.FromString(protobuf.join(pieces))
    assert tensor.name == "t"
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), array)


def test_external_tensors() -> None:
    raw = protobuf.external_tensor("t", (2, 3), "a b.caffemodel", ExternalData(7, 24))
    tensor = onnx.TensorProto.FromString(raw)
    assert tensor.data_location == onnx.TensorProto.EXTERNAL
    assert list(tensor.dims) == [2, 3]
    assert {e.key: e.value for e in tensor.external_data} == {
        "location": "a b.caffemodel",
        "offset": "7",
        "length": "24",
    }


def test_value_info() -> None:
    info = onnx.ValueInfoProto.FromString(protobuf.value_info("x", ("batch", 3, "height")))
    dims = info.type.tensor_type.shape.dim
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
    model = onnx.load_from_string(raw)
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "netsurgery"
    assert model.producer_version == "1.2.3"
    assert {p.key: p.value for p in model.metadata_props} == {"source": "here"}
    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), [1, 2])
