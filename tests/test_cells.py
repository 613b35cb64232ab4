"""Where the cells of a map lie: the classifier's window where there is one, else the field."""

from __future__ import annotations

import pytest

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.field import Cells, fields, place_cells
from netsurgery.net.net import NetDefinition


def net_of(text: str, size: tuple[int, int] = (24, 24)) -> NetDefinition:
    header = f'input: "x" input_shape {{ dim: [1, 3, {size[0]}, {size[1]}] }}\n'
    return NetDefinition.of(Prototxt.parse(header + text))


def placed(
    net: NetDefinition, blob: str, size: tuple[int, int], window: int | None = None
) -> Cells:
    declared = net.inputs[0].shape
    assert declared is not None
    cells = place_cells(net, blob, declared, size, None if window is None else (window, window))
    assert cells is not None
    return cells


def along_height(cells: Cells) -> list[float]:
    """Start, stride and size."""
    return [float(each[0]) for each in (cells.start, cells.stride, cells.size)]


def conv(bottom: str, top: str, rest: str) -> str:
    return (
        f'layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}" '
        f"convolution_param {{ num_output: 2 {rest} }} }}\n"
    )


#: Of a cell 36 pixels of the input, 12 of which its classifier had: the rest is padding.
PADDED = (
    conv("x", "a", "kernel_size: 3 pad: 1 stride: 2")
    + conv("a", "b", "kernel_size: 3 pad: 1 stride: 2")
    + conv("b", "fc", "kernel_size: 3")
)
FCN = (
    conv("x", "a", "kernel_size: 5 pad: 40 stride: 2")
    + conv("a", "fc", "kernel_size: 7")
    + 'layer { name: "up" type: "Deconvolution" bottom: "fc" top: "up" '
    + "convolution_param { num_output: 2 kernel_size: 3 stride: 2 } }\n"
    + 'layer { name: "score" type: "Crop" bottom: "up" bottom: "x" top: "score" '
    + "crop_param { axis: 2 offset: 33 } }\n"
)


def test_a_classifiers_first_window_is_its_input() -> None:
    net = net_of(PADDED, (28, 28))
    cells = placed(net, "fc", (28, 28))
    assert (along_height(cells), cells.classifies) == ([0, 4, 12], True)
    assert along_height(placed(net, "fc", (60, 40))) == [0, 4, 12]


def test_what_pads_to_have_more_cells_is_placed_by_its_field() -> None:
    net = net_of(FCN)
    cells = placed(net, "fc", (24, 24))
    field = fields(net)["fc"]
    assert (along_height(cells), cells.classifies) == ([-40, 2, 17], False)
    assert (cells.start, cells.size) == (field.offset, field.size)


@pytest.mark.parametrize(("window", "start"), [(17, -40), (9, -36), (27, -45), (95, -79)])
def test_a_window_given_lies_about_the_middle_of_the_field(window: int, start: int) -> None:
    cells = placed(net_of(FCN), "fc", (24, 24), window)
    assert (along_height(cells), cells.classifies) == ([start, 2, window], False)


def test_a_window_of_one_cell_is_a_classifiers_whatever_it_pads() -> None:
    whole = "\n".join(FCN.splitlines()[:2]).replace("kernel_size: 7", "kernel_size: 48")
    cells = placed(net_of(whole, (44, 44)), "fc", (44, 44), 20)
    assert (along_height(cells), cells.classifies) == ([0, 2, 20], True)


def test_scores_of_each_pixel_are_about_the_pixel() -> None:
    cells = placed(net_of(FCN), "score", (24, 24))
    assert not cells.classifies
    assert float(cells.stride[0]) == 1
    assert float(cells.field.middle[0]) == float(cells.start[0] + cells.size[0] / 2) == 0.5


def test_cells_of_mixed_positions_are_not_placed() -> None:
    permuted = 'layer { name: "p" type: "Permute" bottom: "x" top: "p" permute_param { order: 0 '
    net = net_of(permuted + "order: 1 order: 3 order: 2 } }\n")
    assert place_cells(net, "p", (1, 3, 24, 24), (24, 24)) is None
