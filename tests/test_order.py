"""The order of a blob's numbers, and InnerProducts whose columns lie in another one."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import model_layer, write_hdf5, write_model

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.weights import open_weights
from netsurgery.net.net import NetDefinition
from netsurgery.net.order import OrderPart, Orders, as_map, bottom_orders, is_natural, places
from netsurgery.net.shapes import infer
from netsurgery.surgery.convolution.plan import ConvolutionPlan, plan_convolution
from netsurgery.verbs.convert import convert

INPUT = 'input: "data" input_shape { dim: [2, 2, 7, 9] }\n'
#: 4 x 3 x 4.
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
    "convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }\n"
)
#: The same half as large: 4 x 1 x 2.
SMALLER = (
    'layer { name: "q" type: "Pooling" bottom: "c" top: "q" '
    "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR } }\n"
)
MAP = (4, 3, 4)


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    return f'layer {{ name: "{top}" type: "{kind}" {bottoms} top: "{top}" {more} }}\n'


def permute(bottom: str, top: str, *order: int) -> str:
    return layer(
        "Permute", bottom, top, f"permute_param {{ order: [{', '.join(map(str, order))}] }}"
    )


def reshape(bottom: str, top: str, *dims: int) -> str:
    listed = ", ".join(map(str, dims))
    return layer("Reshape", bottom, top, f"reshape_param {{ shape {{ dim: [{listed}] }} }}")


def fc(name: str, bottom: str, more: str = "") -> str:
    return layer("InnerProduct", bottom, name, f"inner_product_param {{ num_output: 5 {more} }}")


def net_of(text: str) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(INPUT + CONV + text, "n.prototxt"))


def plan(text: str, **options: object) -> ConvolutionPlan:
    return plan_convolution(net_of(text), **options)  # type: ignore[arg-type]


def order_of(text: str, blob: str) -> tuple[OrderPart, ...] | None:
    net = net_of(text)
    orders = Orders(infer(net))
    orders.begin("data")
    for each in net.layers:
        orders.step(each)
    return orders.known.get(blob)


PERMUTED = permute("c", "p", 0, 2, 3, 1)
ONE = "convolution_param { num_output: 2 kernel_size: 1 }"
HWC = (OrderPart(MAP, (1, 2, 0)),)


@pytest.mark.parametrize(
    ("text", "blob", "order"),
    [
        ("", "c", (OrderPart(MAP),)),
        (permute("c", "p", 0, 2, 3, 1), "p", HWC),
        (permute("c", "p", 0, 2), "p", (OrderPart(MAP, (1, 0, 2)),)),
        (permute("c", "p", 0, 2, 3, 1) + layer("Flatten", "p", "f"), "f", HWC),
        (permute("c", "p", 0, 2, 3, 1) + layer("ReLU", "p", "f"), "f", HWC),
        (permute("c", "p", 0, 2, 3, 1) + permute("p", "o", 0, 3, 1, 2), "o", (OrderPart(MAP),)),
        (permute("c", "p", 0, 2, 3, 1) + reshape("p", "f", 0, -1), "f", HWC),
        (
            PERMUTED + reshape("p", "f", 0, -1) + reshape("f", "g", 0, 3, 4, 4),
            "g",
            HWC,
        ),
        (reshape("c", "g", 0, 2, 6, 4), "g", (OrderPart((2, 6, 4)),)),
        (PERMUTED + reshape("p", "g", 0, -1, 1, 1), "g", HWC),
        (permute("c", "p", 1, 0, 2, 3), "p", None),
        (fc("fc", "c"), "fc", (OrderPart((5, 1, 1)),)),
        (
            layer("Flatten", "c", "f") + SMALLER + layer("Flatten", "q", "g")
            + layer("Concat", "f g", "h"),
            "h",
            (OrderPart(MAP), OrderPart((4, 1, 2))),
        ),
        (layer("Flatten", "c", "f") + layer("Concat", "f f", "h"), "h", (OrderPart((8, 3, 4)),)),
        (
            permute("c", "p", 0, 2, 3, 1) + layer("Flatten", "p", "f") + layer("Flatten", "c", "g")
            + layer("Eltwise", "f g", "h"),
            "h",
            None,
        ),
    ],
)  # fmt: skip
def test_the_order_of_a_blob(text: str, blob: str, order: tuple[OrderPart, ...] | None) -> None:
    assert order_of(text, blob) == order


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_places_are_those_of_numpy(order: tuple[int, int, int]) -> None:
    values = np.arange(24).reshape(2, 3, 4)
    assert (
        places((OrderPart((2, 3, 4), order),)).tolist() == values.transpose(order).ravel().tolist()
    )
    both = places((OrderPart((1, 2, 2)), OrderPart((2, 3, 4), order)))
    assert both.tolist() == [0, 1, 2, 3, *(4 + values.transpose(order).ravel())]


def test_axes_of_one_do_not_matter() -> None:
    assert is_natural((OrderPart((4, 1, 1), (1, 2, 0)),))
    assert is_natural((OrderPart((4, 3, 1), (0, 2, 1)),))
    assert not is_natural((OrderPart((4, 3, 1), (1, 0, 2)),))
    assert as_map((OrderPart((4, 3, 2)), OrderPart((1, 3, 2), (1, 2, 0)))) == (5, 3, 2)
    assert as_map((OrderPart((4, 3, 2)), OrderPart((4, 2, 3)))) is None


def test_the_order_that_a_layer_reads_is_that_before_it() -> None:
    text = permute("c", "p", 0, 2, 3, 1) + fc("fc", "p")
    orders = {
        reader.name: order
        for reader, order in bottom_orders(net_of(text), infer(net_of(text))).items()
    }
    assert orders == {"c": (OrderPart((2, 7, 9)),), "p": (OrderPart(MAP),), "fc": HWC}


# What stands between the map c and the InnerProduct, and the order in which it lays the numbers.
WAYS = [
    *(
        (permute("c", "p", 0, *(axis + 1 for axis in order)) + between, order)
        for order in list(permutations(range(3)))[1:]
        for between in (
            layer("Flatten", "p", "x"),
            layer("ReLU", "p", "x"),
            reshape("p", "x", 0, -1),
            layer("Flatten", "p", "f") + layer("Dropout", "f", "f") + layer("ReLU", "f", "x"),
        )
    ),
    (permute("c", "p", 0, 2, 3, 1) + permute("p", "x", 0, 2, 3, 1), (2, 0, 1)),
    (PERMUTED + reshape("p", "f", 0, -1) + reshape("f", "x", 0, 3, 4, 4), (1, 2, 0)),
    (reshape("c", "f", 0, -1) + reshape("f", "x", 0, 4, 3, 4), (0, 1, 2)),
    (reshape("c", "x", 0, 4, 3, 4), (0, 1, 2)),
    (permute("c", "f", 0, 1, 2, 3) + layer("Flatten", "f", "x"), (0, 1, 2)),
    (reshape("c", "f", 0, -1, 1, 1) + layer("Flatten", "f", "x"), (0, 1, 2)),
    (PERMUTED + reshape("p", "x", 0, -1, 1, 1), (1, 2, 0)),
    (PERMUTED + reshape("p", "f", 0, -1, 1, 1) + layer("ReLU", "f", "x"), (1, 2, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "order"), WAYS)
@pytest.mark.parametrize(("form", "turned"), [("caffemodel", False), ("h5", True)])
def test_columns_are_put_into_the_order_of_the_map(
    text: str, order: tuple[int, ...], turned: bool, form: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    convolution, bias, weight, more = (
        random.standard_normal(shape).astype("<f4")
        for shape in ((4, 2, 3, 3), (4,), (5, *MAP), (5,))
    )
    laid = weight.transpose(0, *(axis + 1 for axis in order)).reshape(5, -1)
    laid = np.ascontiguousarray(laid.T) if turned else laid
    prototxt, model = (
        tmp_path / "net.prototxt",
        tmp_path / f"m.caffemodel{'' if form[0] == 'c' else '.h5'}",
    )
    net = INPUT + CONV + text + fc("fc", "x", "transpose: true" if turned else "")
    prototxt.write_text(net + fc("fc2", "fc"))
    params = {"c": (convolution, bias), "fc": (laid, more), "fc2": (np.eye(5, dtype="<f4"), more)}
    if form == "h5":
        write_hdf5(model, **params)
    else:
        kinds = {"c": "Convolution"}
        write_model(
            model, *(model_layer(n, kinds.get(n, "InnerProduct"), *b) for n, b in params.items())
        )
    conversion = convert(
        prototxt,
        model,
        tmp_path / "out",
        engine=EngineOptions(choice="embedded"),
        verify=True,
    )
    text_of = conversion.paths.prototxt.read_text()
    assert "Permute" not in text_of
    assert "Flatten" not in text_of
    assert "Reshape" not in text_of
    assert conversion.plan.maps == {"fc2-conv": (1, 5, 8, 8)}
    with open_weights(conversion.paths.weights) as written:
        stored = {
            stored_layer.name: [blob.numpy() for blob in stored_layer.blobs]
            for stored_layer in written.layers
        }
    assert stored["fc-conv"][0].tobytes() == weight.tobytes()
    assert stored["fc-conv"][0].shape == weight.shape
    assert stored["fc-conv"][1].tobytes() == more.tobytes()
    assert stored["fc2-conv"][0].tobytes() == np.eye(5, dtype="<f4").tobytes()


def test_what_is_done_is_said() -> None:
    notes = plan(permute("c", "p", 0, 2, 3, 1) + layer("Flatten", "p", "f") + fc("fc", "f")).notes
    assert "layer 'p' only permutes the axes and is taken out" in notes
    assert "the columns of 'fc' are put into the order of channels, rows and columns" in notes


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            PERMUTED + layer("Convolution", "p", "d", ONE) + fc("fc", "d"),
            "layer 'fc': layer 'p' (Permute) moves numbers from position to position before it, so "
            "no window slides over the input",
        ),
        (
            PERMUTED + layer("Softmax", "p", "s") + fc("fc", "s"),
            "layer 'fc': layer 'p' (Permute) moves numbers from position to position before it, so "
            "no window slides over the input",
        ),
        (
            PERMUTED + layer("Softmax", "p", "s") + fc("fc", "p"),
            "layer 's': it works along axes that a Permute has moved",
        ),
        (
            permute("c", "p", 0, 1, 3, 2) + layer("PReLU", "p", "s") + fc("fc", "s"),
            "layer 'fc': layer 'p' (Permute) moves numbers from position to position before it, so "
            "no window slides over the input",
        ),
        (
            PERMUTED + layer("Flatten", "p", "f") + layer("Flatten", "c", "g")
            + layer("Eltwise", "f g", "h") + fc("fc", "h"),
            "layer 'fc': its bottom 'h' is 2x48, made by layer 'h' (Eltwise): no map; it joins "
            "numbers that lie in different orders",
        ),
        (
            permute("c", "p", 1, 0, 2, 3) + fc("fc", "p"),
            "layer 'fc': layer 'p' (Permute) moves numbers from position to position before it, so "
            "no window slides over the input",
        ),
        (
            reshape("c", "r", 0, 2, 6, 4) + fc("fc", "r"),
            "layer 'fc': layer 'r' (Reshape) moves numbers from position to position before it, so "
            "no window slides over the input",
        ),
        (
            PERMUTED + layer("ReLU", "p", "r") + fc("fc", "p"),
            "layer 'r': its top 'r' is an output, whose numbers would lie in another order",
        ),
        (
            PERMUTED + layer("Flatten", "p", "f") + layer("Flatten", "f", "g") + fc("fc", "f"),
            "layer 'g': its top 'g' is an output, whose numbers would lie in another order",
        ),
        (
            layer("Flatten", "c", "f") + layer("ReLU", "c", "c").replace('name: "c"', 'name: "r"')
            + layer("Flatten", "c", "g") + fc("fc", "f"),
            "layer 'f': a layer works in place on what it flattens; 'c' is read again after it",
        ),
        (
            layer("Flatten", "data", "f")
            + layer("ReLU", "f", "f").replace('name: "f"', 'name: "r"')
            + fc("fc", "f"),
            "layer 'f': layer 'r' would work in place on the net's input 'data'",
        ),
        (
            fc("fc", "c") + layer("Flatten", "fc", "f") + layer("ReLU", "fc", "fc"),
            "layer 'f': a layer works in place on what it flattens; 'fc' is read again after it",
        ),
        (
            reshape("c", "r", 0, -1, 1, 1) + layer("ReLU", "r", "s")
            + layer("Convolution", "s", "d", ONE) + fc("fc", "r"),
            "layer 'd': a Convolution may not treat every position of a map alike",
        ),
        (
            fc("fc", "c") + reshape("fc", "r", 0, 1, 5, 1),
            "layer 'r': a Reshape may not treat every position of a map alike",
        ),
        (
            PERMUTED + layer("ReLU", "c", "c") + fc("fc", "p"),
            "layer 'p': a layer works in place on what it flattens; 'c' is read again after it",
        ),
    ],
)  # fmt: skip
def test_refusals(text: str, what: str) -> None:
    with pytest.raises(SurgeryError) as caught:
        plan(text)
    assert str(caught.value) == f"n.prototxt: {what}"


def test_a_dropout_in_place_on_the_flattened_input_spoils_nothing() -> None:
    dropout = layer("Dropout", "f", "f").replace('name: "f"', 'name: "r"')
    planned = plan(layer("Flatten", "data", "f") + dropout + fc("fc", "f"))
    assert planned.removed == ("f",)


def test_a_dropout_that_multiplies_in_place_spoils_the_flattened_input() -> None:
    dropout = layer("Dropout", "f", "f", "dropout_param { scale_train: false }")
    why = "layer 'r' would work in place on the net's input 'data'"
    with pytest.raises(SurgeryError, match=why):
        plan(
            layer("Flatten", "data", "f") + dropout.replace('"f" type', '"r" type') + fc("fc", "f")
        )


def test_a_layer_in_place_on_what_is_flattened_is_verified(tmp_path: Path) -> None:
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "m.caffemodel"
    relu = layer("ReLU", "f", "f").replace('name: "f"', 'name: "r"')
    prototxt.write_text(INPUT + CONV + layer("Flatten", "c", "f") + relu + fc("fc", "f"))
    random = np.random.default_rng(1)

    def drawn(shape: tuple[int, ...]) -> NDArray[np.float32]:
        return random.standard_normal(shape).astype("<f4")

    params = {"c": (4, 2, 3, 3), "fc": (5, 48)}
    write_model(
        model,
        *(
            model_layer(name, "X", drawn(shape), np.zeros(shape[0], "<f4"))
            for name, shape in params.items()
        ),
    )
    conversion = convert(
        prototxt,
        model,
        tmp_path / "out",
        engine=EngineOptions(choice="embedded"),
        verify=True,
    )
    assert conversion.verification is not None
    assert conversion.verification.same


def test_what_is_picked_and_flattened_is_a_vector() -> None:
    picked = layer("ArgMax", "fc", "a", "argmax_param { top_k: 3 }") + layer("Flatten", "a", "b")
    planned = plan(fc("fc", "c") + picked + fc("last", "b"))
    assert planned.moves[1].new[0] == (5, 3, 1, 1)
    assert planned.maps == {"last-conv": (1, 5, 8, 8)}


def test_a_vector_of_one_cell_may_be_a_map_again() -> None:
    text = fc("fc", "c") + reshape("fc", "r", 0, 5, 1, 1) + layer("Softmax", "r", "s")
    planned = plan(text)
    assert planned.removed == ("r",)
    assert planned.maps == {"s": (1, 5, 8, 8)}


def test_maps_permuted_flattened_and_joined_are_joined_as_maps() -> None:
    text = PERMUTED + layer("Flatten", "p", "f") + layer("Flatten", "c", "g")
    planned = plan(text + layer("Concat", "f g", "h") + fc("fc", "h"))
    assert planned.moves[0].new[0] == (5, 8, 3, 4)
    assert planned.moves[0].columns == (OrderPart(MAP, (1, 2, 0)), OrderPart(MAP))


def test_axes_of_one_cell_are_permuted_all_the_same() -> None:
    """They are those of a larger map."""
    cell = layer("Pooling", "c", "p", "pooling_param { global_pooling: true }")
    moved = permute("p", "m", 0, 2, 3, 1) + layer("ReLU", "m", "r")
    planned = plan(cell + moved + fc("fc", "r"))
    assert planned.removed == ("m",)
    assert planned.moves[0].new[0] == (5, 4, 1, 1)
    assert planned.moves[0].columns is None
    assert planned.maps == {"fc-conv": (1, 5, 8, 8)}
    behind = layer("Convolution", "r", "d", ONE)
    with pytest.raises(SurgeryError, match="layer 'fc': layer 'm'"):
        plan(cell + moved + behind + fc("fc", "d"))


def test_a_permute_that_nothing_converted_reads_stays() -> None:
    """The heads of a detector."""
    text = PERMUTED + layer("Flatten", "p", "loc") + fc("fc", "c")
    planned = plan(text)
    assert PERMUTED in planned.text
    assert planned.removed == ()
