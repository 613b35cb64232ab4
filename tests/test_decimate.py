"""`edit decimate:`: which weights remain, where the new kernel lies, and what is refused.

In Caffe: tests/parity/test_decimate.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from caffe_schema import caffe_messages, net_parameter
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.net.windows import Window
from netsurgery.surgery.edit.decimation import decimation

Array = NDArray[np.float64]
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 2, 11, 13] } } }\n'


def layer(kind: str, name: str, bottoms: str, more: str = "") -> str:
    reads = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{name}" {more} }}\n'


def conv(name: str, bottom: str, window: str, outputs: int = 6, kind: str = "Convolution") -> str:
    filler = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "uniform" }'
    param = f"convolution_param {{ num_output: {outputs} {window} {filler} }}"
    return layer(kind, name, bottom, param)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*layers: str) -> tuple[str, str]:
    Path("net.prototxt").write_text(INPUT + "".join(layers))
    ns.init("net.prototxt", "w.caffemodel", seed=1, force=True)
    return "net.prototxt", "w.caffemodel"


def convolved(row: Array, kernel: Array, stride: int, pad: int, dilation: int) -> Array:
    """The convolution of a row of numbers, by its definition."""
    padded = np.concatenate([np.zeros(pad), row, np.zeros(pad)])
    reach = dilation * (len(kernel) - 1) + 1
    return np.array(
        [
            sum(kernel[i] * padded[start + dilation * i] for i in range(len(kernel)))
            for start in range(0, len(padded) - reach + 1, stride)
        ]
    )


@pytest.mark.parametrize("size", range(1, 9))
def test_every_old_cell_is_there_with_zeros_for_what_is_dropped(size: int) -> None:
    """All windows of few numbers, in one dimension, against the definition."""
    random = np.random.default_rng(size)
    kernel, row = random.normal(size=size), random.normal(size=29)
    for count in range(1, size + 1):
        for stride, pad, dilation in np.ndindex(3, size, 2):
            old = Window((size,) * 2, (stride + 1,) * 2, (pad,) * 2, (dilation + 1,) * 2)
            (positions, _), new, (moved, _) = decimation(old, (count, count))
            assert len(positions) == count
            assert set(positions) <= set(range(size))
            left = np.where(np.isin(np.arange(size), positions), kernel, 0)
            expected = convolved(row, left, stride + 1, pad, dilation + 1)
            result = convolved(row, kernel[list(positions)], *(each[0] for each in new[1:]))
            result = result[moved : moved + len(expected)]
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "count", "positions", "dilation"),
    [(7, 3, [0, 3, 6], 3), (7, 4, [0, 2, 4, 6], 2), (6, 3, [0, 2, 4], 2), (7, 5, [*range(1, 6)], 1),
     (7, 1, [3], 1), (7, 7, [*range(7)], 1)],
)  # fmt: skip
def test_the_positions_that_remain(
    kernel: int, count: int, positions: list[int], dilation: int
) -> None:
    old = Window((kernel, kernel), (1, 1), (0, 0), (1, 1))
    result = decimation(old, (count, count))
    assert [list(each) for each in result.positions] == [positions, positions]
    assert result.window.dilation == (dilation, dilation)
    # Of a map that is made finer its dilation grows by as much: DeepLab's 12.
    finer = decimation(old._replace(dilation=(4, 4)), (count, count))
    assert finer.window.dilation == (4 * dilation, 4 * dilation)


FC6 = conv("fc6", "x", "kernel_size: 7 # large\n", 8)
REST = layer("ReLU", "r", "fc6") + conv("fc7", "r", "kernel_size: 1", 3)


def test_what_is_kept_and_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    pair = write(FC6, REST)
    words = ["decimate:fc6:kernel=3:outputs=4", "-o", "new.caffemodel"]
    assert run(["edit", *pair, *words]) == 0
    shown = capsys.readouterr().out
    which = "outputs kept: 0, 2, 4 and 6 of 8"
    assert (
        f"fc6[0]: 8x2x7x7 -> 4x2x3x3 ({which}; rows and columns 0, 3 and 6 of 7 of the "
        "kernel kept, at dilation 3 and pad 0)"
    ) in shown
    assert f"fc6[1]: 8 -> 4 ({which})" in shown
    assert (
        "note: decimate changes what the net computes: 716 numbers of 'fc6', 12 numbers of 'fc7' "
        "dropped; it gives what the old net gives with zeros for them; train it further"
    ) in shown
    text = Path("net_edited.prototxt").read_text()
    window = FC6.replace("num_output: 8", "num_output: 4").replace("size: 7", "size: 3")
    assert text == INPUT + window.replace("} } }", "} dilation: 3 } }") + REST
    with ns.Net(*pair) as old, ns.Net("net_edited.prototxt", "new.caffemodel") as new:
        np.testing.assert_array_equal(new.params["fc6"][0], old.params["fc6"][0][::2, :, ::3, ::3])
        np.testing.assert_array_equal(new.params["fc6"][1], old.params["fc6"][1][::2])
        np.testing.assert_array_equal(new.params["fc7"][0], old.params["fc7"][0][:, ::2])
        np.testing.assert_array_equal(new.params["fc7"][1], old.params["fc7"][1])
    assert run(["edit", *pair, *words, "--dry-run", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (operation,) = record["operations"]
    assert which in operation["params"][0]["what"]
    assert any("changes what the net computes" in note for note in operation["notes"])
    changed = {(each["layer"], each["path"]): each["new"] for each in operation["fields"]}
    assert changed["fc6", "convolution_param.dilation"] == "3"


@pytest.mark.parametrize(
    ("word", "rows", "what"),
    [
        ("outputs=3", [0, 2, 5], "outputs kept: 8 x i / 3, rounded down, for i from 0 to 2"),
        ("outputs=3:pick=first", [0, 1, 2], "outputs kept: the first 3 of 8"),
        ("outputs=2:pick=even", [0, 4], "outputs kept: 0 and 4 of 8"),
    ],
)
def test_which_outputs_remain(word: str, rows: list[int], what: str) -> None:
    pair = write(FC6, REST)
    with ns.Net(*pair) as old, ns.edit(*pair, f"decimate:fc6:{word}") as result:
        assert result.steps[0].params[0].what == what
        new = result.net
        np.testing.assert_array_equal(new.params["fc6"][0], old.params["fc6"][0][rows])
        np.testing.assert_array_equal(new.params["fc7"][0], old.params["fc7"][0][:, rows])


def test_a_window_that_shrinks_moves_the_map() -> None:
    """Six positions have no third in the middle: the old cells are there, and more."""
    pair = write(conv("fc6", "x", "kernel_h: 7 kernel_w: 6", 2))
    picture = np.random.default_rng(0).normal(size=(1, 2, 11, 13)).astype(np.float32)
    with ns.Net(*pair) as old, ns.edit(*pair, "decimate:fc6:kernel=5x3") as result:
        (note, _) = result.notes
        assert note == (
            "the new window of 'fc6' is smaller than the old one: its map grows from 5x8 to 7x9; "
            "the old first cell is that of row 1, column 0"
        )
        weight = np.zeros_like(old.params["fc6"][0])
        part = np.s_[:, :, 1:6, 0:5:2]
        weight[part] = old.params["fc6"][0][part]
        old.params["fc6"][0][...] = weight
        expected = old.forward(x=picture)["fc6"]
        np.testing.assert_allclose(
            result.net.forward(x=picture)["fc6"][:, :, 1:6, :8], expected, atol=1e-5
        )


def test_height_and_width_are_behind_the_axis_of_the_channels() -> None:
    wide = INPUT.replace('"x"', '"y"').replace("2, 11, 13", "3, 2, 11, 13")
    pair = write(wide, conv("c", "y", "kernel_size: 6 axis: 2"))
    with ns.edit(*pair, "decimate:c:kernel=3") as result:
        assert "its map grows from 6x8 to 7x9" in result.notes[0]
        with ns.Net(*pair) as old, result.net as new:
            np.testing.assert_array_equal(new.params["c"][0], old.params["c"][0][..., :5:2, :5:2])


def test_the_models_record_follows() -> None:
    pair = write(conv("c", "x", "kernel_size: 5 pad: 3"), conv("d", "c", "kernel_h: 3 kernel_w: 5"))
    record = caffe_messages().NetParameter.FromString(Path(pair[1]).read_bytes())
    text = Path(pair[0]).read_text()
    for each, written in zip(record.layer, net_parameter(text).layer, strict=True):
        blobs = list(each.blobs)
        each.CopyFrom(written)
        each.blobs.extend(blobs)
    Path("m").write_bytes(record.SerializeToString())
    words = ["decimate:c:kernel=2:outputs=3", "decimate:d:kernel=2x3"]
    with ns.edit(pair[0], "m", words) as result:
        result.save("new.caffemodel", "new.prototxt")
    new = caffe_messages().NetParameter.FromString(Path("new.caffemodel").read_bytes())
    text = Path("new.prototxt").read_text()
    for each, written in zip(new.layer, net_parameter(text).layer, strict=True):
        assert each.convolution_param == written.convolution_param
    assert list(new.layer[2].convolution_param.dilation) == [2]


@pytest.mark.parametrize(
    ("kernel", "which"),
    [("1", "row and column 2 of 5"), ("2x1", "rows 0 and 4 of 5, column 2 of 5"),
     ("1x3", "row 2 of 5, columns 0, 2 and 4 of 5")],
)  # fmt: skip
def test_rows_and_columns_in_words(kernel: str, which: str) -> None:
    pair = write(conv("c", "x", "kernel_size: 5"))
    with ns.edit(*pair, f"decimate:c:kernel={kernel}") as result:
        assert result.steps[0].params[0].what.startswith(f"{which} of the kernel kept")


def test_what_stays_is_said() -> None:
    pair = write(FC6, REST)
    with ns.edit(*pair, "decimate:fc6:kernel=7:outputs=8") as result:
        assert list(result.notes) == [
            "every output of 'fc6' stays as it is", "the kernel of 'fc6' stays as it is"
        ]  # fmt: skip
        assert result.plan.text is None


SHARED = 'param { name: "w" } '


@pytest.mark.parametrize(
    ("layers", "word", "what"),
    [
        ((FC6, REST), "fc6", "found '', expected kernel=3, kernel=3x2, outputs=1024 or pick=first"),
        ((FC6, REST), "fc6:kernel=0", "found 'kernel=0', expected"),
        ((FC6, REST), "fc6:kernel=3:kernel=3", "kernel is named twice"),
        ((FC6, REST), "fc6:pick=first:kernel=3", "pick says which outputs remain"),
        ((FC6, REST), "fc6:kernel=3:normalization=approximate",
         "normalization=approximate is of layers that read fewer outputs"),
        ((FC6, REST), "fc6:pick=first", "expected decimate:LAYER:kernel=3:outputs=1024"),
        ((FC6, REST), "fc6:outputs=9", "outputs=9: expected 1 to 8, as many as there are"),
        ((FC6, REST), "fc6:kernel=9", "layer 'fc6': its kernel is 7x7, smaller than 9x9"),
        ((FC6, REST), "r:kernel=2", "layer 'r': it is of type ReLU, which has no weights"),
        ((layer("InnerProduct", "ip", "x", "inner_product_param { num_output: 4 }"),),
         "ip:kernel=2", "layer 'ip': an InnerProduct has no kernel; `netsurgery convert` makes"),
        ((conv("d", "x", "kernel_size: 4", kind="Deconvolution"),), "d:kernel=2",
         "layer 'd': it is of type Deconvolution, whose kernel takes no dilation"),
        ((conv("c", "x", "kernel_size: 3 axis: 2"),), "c:kernel=2",
         "layer 'c': its kernel has 1 axis, not height and width"),
        ((FC6, layer("Strange", "s", "fc6")), "fc6:outputs=4",
         "layer 'fc6': layer 's' (Strange) treats its channels in a way that is not known"),
        ((FC6, INPUT.replace('"x"', '"x2"').replace("2, 11, 13", "8, 5, 7"),
          layer("Eltwise", "e", "fc6 x2")),
         "fc6:outputs=4", "layer 'fc6': layer 'e' (Eltwise) would cut 'x2', an input of the net"),
        ((FC6, layer("LRN", "n", "fc6")), "fc6:outputs=4", "layer 'n' (LRN) normalizes across"),
        ((FC6, conv("g", "fc6", "kernel_size: 1 group: 4", 8)), "fc6:outputs=3",
         "layer 'g' (Convolution) has 4 groups of 2 inputs, which would neither stay equal"),
        ((FC6.replace("top:", SHARED + "top:"),
          conv("o", "x", "kernel_size: 7", 8).replace("top:", SHARED + "top:")),
         "fc6:kernel=3", "layer 'fc6': it shares its param 0 with layer 'o'"),
        # One more row than it had: what looks at the whole map cannot.
        ((FC6, layer("InnerProduct", "ip", "fc6", "inner_product_param { num_output: 4 }")),
         "fc6:kernel=4x5", "layer 'fc6': the shapes of layer 'ip''s params would depend on it"),
        ((FC6, layer("InnerProduct", "ip", "fc6",
                     "inner_product_param { num_output: 4 } include { phase: TRAIN }")),
         "fc6:kernel=4x5",
         "layer 'fc6': layer 'ip' of another phase or stage names 'fc6', whose map would grow"),
        ((FC6, conv("o", "x", "kernel_size: 7", 8), layer("Eltwise", "e", "fc6 o")),
         "fc6:kernel=5", "layer 'fc6': the net would not fit together any more"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_named(
    layers: tuple[str, ...], word: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = INPUT + "".join(layers)
    # No params are known of a layer that is not.
    write(*(each for each in layers if "Strange" not in each))
    Path("net.prototxt").write_text(text)
    assert run(["edit", "net.prototxt", "w.caffemodel", f"decimate:{word}", "-o", "new"]) == 1
    error = capsys.readouterr().err
    assert what in error
    assert error.count("\n") == 1
    assert not Path("new").exists()


def test_an_approximate_normalization_is_let_pass() -> None:
    pair = write(FC6, layer("LRN", "n", "fc6"))
    with ns.edit(*pair, "decimate:fc6:outputs=4:normalization=approximate") as result:
        assert any("'n' normalizes across the channels" in note for note in result.notes)


def test_as_deeplab_has_it() -> None:
    """fc6 over 7 x 7 places; a map of a quarter of the stride and 3 x 3 of them: dilation 12."""
    pool = "pooling_param { kernel_size: 2 stride: 2 }"
    chain = (layer("Pooling", "p1", "c1", pool), layer("Pooling", "p2", "p1", pool))
    fc6 = layer("InnerProduct", "fc6", "p2", "inner_product_param { num_output: 8 }")
    Path("net.prototxt").write_text(
        INPUT.replace("11, 13", "28, 28") + conv("c1", "x", "kernel_size: 1") + "".join(chain) + fc6
    )
    ns.init("net.prototxt", "w.caffemodel", seed=1)
    texts: list[str | None] = []
    word = "decimate:fc6-conv:kernel=3:outputs=2"
    with (
        ns.convert("net.prototxt", "w.caffemodel", stride=1).net as finer,
        ns.edit(finer, operations=word) as edited,
    ):
        texts.append(edited.plan.text)
    with (
        ns.convert("net.prototxt", "w.caffemodel").net as converted,
        ns.edit(converted, operations=word).net as small,
        ns.dense(small, stride=1) as result,
    ):
        texts.append(result.plan.text)
    for text in texts:
        assert text is not None
        assert "kernel_size: 3 dilation: 12 }" in text
