"""What is read as indices is drawn as such, wherever in the inputs it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import types
from netsurgery.net.net import NetDefinition
from netsurgery.net.types.indices import INDICES
from netsurgery.net.types.record import Role, ask
from netsurgery.verbs.verify_inputs import Samples

Array = Any


def feed(text: str, **shapes: tuple[int, ...]) -> dict[str, Array]:
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        f"dim: {list(shape)} }} }} }} "
        for name, shape in shapes.items()
    )
    net = NetDefinition.of(Prototxt.parse(inputs + text, "n.prototxt"))
    return next(Samples(seed=3).feeds(net, shapes))


def layer(kind: str, bottoms: str, tops: str, more: str = "") -> str:
    named = "".join(f'bottom: "{each}" ' for each in bottoms.split())
    named += "".join(f'top: "{each}" ' for each in tops.split())
    return f'layer {{ name: "{kind} {tops}" type: "{kind}" {named} {more} }}\n'


EMBED = "embed_param { num_output: 2 input_dim: 5 }"
LSTM = "recurrent_param { num_output: 3 }"


def test_marks_and_words_as_slices_of_one_input() -> None:
    """T x N x 4: a mark, a word and two numbers for each step of each sequence."""
    text = (
        layer("Slice", "all", "mark word x", "slice_param { axis: 2 slice_point: [1, 2] }")
        + layer("Reshape", "mark", "cont", "reshape_param { shape { dim: [6, 2] } }")
        + layer("Embed", "word", "e", EMBED)
        + layer("LSTM", "x cont", "h", LSTM)
    )
    values = feed(text, all=(6, 2, 4))["all"]
    assert values[:, :, 0].tolist() == [[0, 0], *[[1, 1]] * 5]
    words = values[:, :, 1]
    assert set(words.ravel()) <= {0, 1, 2, 3, 4}
    assert len(set(words.ravel())) > 2
    assert len(np.unique(values[:, :, 2:])) == 24
    assert not np.array_equal(values[:, :, 2:], values[:, :, 2:].round())


def test_marks_joined_from_two_inputs() -> None:
    """The first step of the second input is not a first step of the sequence."""
    text = (
        layer("Concat", "a b", "joined", "concat_param { axis: 0 }")
        + layer("Split", "joined", "one two")
        + layer("Dropout", "two", "two")
        + layer("LSTM", "x two", "h", LSTM)
        + layer("Silence", "one", "")
    )
    inputs = feed(text, a=(2, 3), b=(4, 3), x=(6, 3, 2))
    assert inputs["a"].tolist() == [[0] * 3, [1] * 3]
    assert (inputs["b"] == 1).all()


def test_words_beside_computed_ones() -> None:
    """What is computed is left to what it is computed from."""
    text = (
        layer("Power", "a", "half", "power_param { scale: 0.5 }")
        + layer("Concat", "half b", "both", "concat_param { axis: 0 }")
        + layer("Permute", "both", "turned", "permute_param { order: [1, 0] }")
        + layer("Embed", "turned", "e", EMBED)
    )
    inputs = feed(text, a=(2, 3), b=(4, 3))
    assert set(inputs["b"].ravel()) <= {0, 1, 2, 3, 4}
    assert not np.array_equal(inputs["a"], inputs["a"].round())


def test_an_input_that_a_layer_computes_again_in_place() -> None:
    text = layer("Power", "a", "a", "power_param { scale: 0.5 }") + layer("Embed", "a", "e", EMBED)
    values = feed(text, a=(9,))["a"]
    assert not np.array_equal(values, values.round())


def test_rows_of_a_batch() -> None:
    inputs = feed(layer("BatchReindex", "x rows", "y"), x=(3, 2), rows=(40,))
    assert set(inputs["rows"]) == {0, 1, 2}


@pytest.mark.parametrize("shape", [(30, 5), (30, 5, 1, 1)])
def test_boxes_in_a_picture(shape: tuple[int, ...]) -> None:
    """Of 2 pictures of 64 x 96, of which the map is an eighth; corners are in order."""
    more = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.125 }"
    inputs = feed(layer("ROIPooling", "x rois", "y", more), x=(2, 3, 8, 12), rois=shape)
    number, x0, y0, x1, y1 = inputs["rois"].reshape(30, 5).T
    assert set(number) == {0, 1}
    assert ((x0 >= 0) & (x0 <= x1) & (x1 < 96)).all()
    assert ((y0 >= 0) & (y0 <= y1) & (y1 < 64)).all()
    assert x1.max() > 64


def test_a_large_input() -> None:
    """Of more numbers than float32 counts."""
    text = layer("Slice", "a", "x w", f"slice_param {{ axis: 0 slice_point: {1 << 24} }}")
    values = feed(text + layer("Embed", "w", "e", EMBED), a=((1 << 24) + 7,))["a"]
    assert set(values[-7:]) <= {0, 1, 2, 3, 4}
    assert values[-8] != round(float(values[-8]))


@pytest.mark.parametrize("kind", types.RECORDS)
def test_every_type_that_reads_indices_says_which(kind: str) -> None:
    """Or that they are not known."""
    roles = types.RECORDS[kind].roles
    if not callable(roles) and Role.INDEX in roles:
        assert kind in INDICES
    if kind in INDICES:
        text = f'layer {{ name: "l" type: "{kind}" bottom: "a" bottom: "b" bottom: "c" }}'
        layer_message = Prototxt.parse(text).layers[0]
        from netsurgery.net.net import Layer

        assert Role.INDEX in ask(roles, Layer(0, "l", kind, ("a", "b", "c"), (), layer_message))
