"""Params of one net put into another, case by case; real Caffe judges in parity/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import V1, floats
from numpy.typing import NDArray

from netsurgery.errors import SurgeryError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_new import NewBlob, NewLayer
from netsurgery.formats.weights import open_weights, write_weights
from netsurgery.io.files import Outputs
from netsurgery.io.wire import delimited, text_field
from netsurgery.surgery.transplant.params import overlap
from netsurgery.surgery.transplant.plan import NameRule, TransplantPlan
from netsurgery.verbs.transplant import transplant

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

Array = NDArray[np.float32]
Weights = Mapping[str, Sequence[Array]]


def net(folder: Path, name: str, *layers: str, shape: str = "1, 2, 3, 4") -> Path:
    """A prototxt: an input x, and layers in a row."""
    bottom, text = "x", f'input: "x" input_shape {{ dim: [{shape}] }}\n'
    for number, layer in enumerate(layers):
        text += f'layer {{ bottom: "{bottom}" top: "t{number}" {layer} }}\n'
        bottom = f"t{number}"
    (folder / name).write_text(text)
    return folder / name


def ip(name: str, outputs: int, more: str = "", extra: str = "") -> str:
    return (
        f'name: "{name}" type: "InnerProduct" {extra} '
        f"inner_product_param {{ num_output: {outputs} {more} }}"
    )


def conv(name: str, outputs: int, size: str, more: str = "") -> str:
    return (
        f'name: "{name}" type: "Convolution" '
        f"convolution_param {{ num_output: {outputs} {size} {more} }}"
    )


def model(path: Path, weights: Weights) -> Path:
    def data(array: Array) -> NewBlob:
        return NewBlob(array.shape, lambda: [array.tobytes()])

    layers = [
        NewLayer(name, "X", (), (), tuple(map(data, arrays))) for name, arrays in weights.items()
    ]
    with Outputs([path]) as outputs:
        write_weights(outputs[path], layers)
    return path


def numbered(*shape: int, start: float = 0) -> Array:
    return (np.arange(np.prod(shape, dtype=int)) + start).astype("<f4").reshape(shape)


def held(path: Path) -> dict[str, list[Array]]:
    with open_weights(path) as weights:
        return {
            layer.name: [blob.numpy().copy() for blob in layer.blobs]
            for layer in weights.layers
            if layer.blobs
        }


def assert_held(path: Path, expected: Weights) -> None:
    actual = held(path)
    assert set(actual) == set(expected)
    for name, arrays in expected.items():
        assert [a.shape for a in actual[name]] == [a.shape for a in arrays], name
        assert [a.tobytes() for a in actual[name]] == [a.tobytes() for a in arrays], name


def run(
    source: tuple[Path, Path],
    target: tuple[Path, Path | None],
    out: Path,
    rule: NameRule | None = None,
    **options: Any,
) -> TransplantPlan:
    rule = rule or NameRule()
    names: dict[str, Any] = {"names": rule.pairs, "prefix": rule.prefix, "suffix": rule.suffix}
    with transplant(source, target, out, **names, **options, force=True) as result:
        return result.plan


def transfers_of(plan: TransplantPlan) -> list[tuple[str, str, str]]:
    """(outcome, from, to), a param as "layer[0]"."""

    def param(outcomes: tuple[str, int] | None) -> str:
        return "" if outcomes is None else f"{outcomes[0]}[{outcomes[1]}]"

    return [(t.outcome, param(t.source), param(t.target)) for t in plan.transfers]


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(SurgeryError) as caught:
        run(*args, **options)
    assert not args[2].exists()
    return str(caught.value).split(": ", 1)[1]


@pytest.fixture
def lenet(tmp_path: Path) -> tuple[Path, Path]:
    """A convolution and an InnerProduct over what it leaves, 5 x 2 x 3."""
    layers = conv("c", 5, "kernel_size: 2"), ip("fc", 3)
    weights = {
        "c": [numbered(5, 2, 2, 2), numbered(5)],
        "fc": [numbered(3, 30, start=100), numbered(3, start=200)],
    }
    return net(tmp_path, "from.prototxt", *layers), model(tmp_path / "from.caffemodel", weights)


@pytest.fixture(params=["out.caffemodel", "out.caffemodel.h5"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def fed(path: Path, kind: str = "Data") -> Path:
    """The net of `path`, its input a data layer that says no shape."""
    text = path.read_text().split("\n", 1)[1]
    net_path = path.with_name(f"{kind}.prototxt")
    net_path.write_text(f'layer {{ name: "x" type: "{kind}" top: "x" top: "label" }}\n{text}')
    return net_path


def test_a_data_layer_does_not_stop_what_needs_no_shape(
    lenet: tuple[Path, Path], out: Path
) -> None:
    plan = run(lenet, (fed(lenet[0]), None), out)
    assert_held(out, held(lenet[1]))
    assert any("the shape of 'x' is not known; it is taken to be 1x2x3x4" in n for n in plan.notes)
    plan = run((fed(lenet[0]), lenet[1]), (fed(lenet[0], "Python"), None), out)
    assert_held(out, held(lenet[1]))
    assert (
        "the shapes of the params of 'c', 'fc' are assumed to be the source's (layer 'x' is of "
        in ("".join(plan.notes))
    )


def test_what_an_unknown_shape_hides_is_copied_only_where_the_layers_are_alike(
    lenet: tuple[Path, Path], tmp_path: Path, out: Path
) -> None:
    target = net(tmp_path, "to.prototxt", conv("c", 6, "kernel_size: 2"), ip("fc", 3))
    source = fed(lenet[0]), lenet[1]
    assert refused(source, (fed(target, "HDF5Data"), None), out).startswith(
        "layer 'c': the shapes of its params are not known (this is a training net, whose layer "
        "'x' (HDF5Data) reads it from files; --input-shape x=NxCxHxW gives it)"
    )


def test_copied(lenet: tuple[Path, Path], out: Path) -> None:
    plan = run(lenet, (lenet[0], None), out)
    assert transfers_of(plan) == [("copied", p, p) for p in ("c[0]", "c[1]", "fc[0]", "fc[1]")]
    assert plan.counts == {
        "copied": 4, "reshaped": 0, "transposed": 0, "reordered": 0, "sliced": 0, "dropped": 0,
        "unmatched": 0,
    }  # fmt: skip
    assert_held(out, held(lenet[1]))


def test_reshaped(lenet: tuple[Path, Path], tmp_path: Path, out: Path) -> None:
    layers = conv("c", 5, "kernel_size: 2"), conv("fc-conv", 3, "kernel_h: 2 kernel_w: 3")
    dense = net(tmp_path, "to.prototxt", *layers)
    plan = run(lenet, (dense, None), out, NameRule(suffix="-conv"))
    assert transfers_of(plan) == [
        ("copied", "c[0]", "c[0]"),
        ("copied", "c[1]", "c[1]"),
        ("reshaped", "fc[0]", "fc-conv[0]"),
        ("copied", "fc[1]", "fc-conv[1]"),
    ]
    weight, bias = held(lenet[1])["fc"]
    assert_held(out, {"c": held(lenet[1])["c"], "fc-conv": [weight.reshape(3, 5, 2, 3), bias]})
    # And back again.
    again = run((dense, out), (lenet[0], None), tmp_path / "b", NameRule({"fc-conv": "fc"}))
    assert again.counts["reshaped"] == 1
    assert_held(tmp_path / "b", held(lenet[1]))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_turned(tmp_path: Path, out: Path, old: bool, new: bool) -> None:
    flags = {False: "", True: "transpose: true"}
    weight = numbered(3, 24)
    source = net(tmp_path, "from.prototxt", ip("fc", 3, flags[old]))
    weights = model(
        tmp_path / "from.caffemodel",
        {"fc": [np.ascontiguousarray(weight.T) if old else weight, numbered(3)]},
    )
    target = net(tmp_path, "to.prototxt", ip("fc", 3, flags[new]))
    plan = run((source, weights), (target, None), out)
    assert transfers_of(plan)[0][0] == ("copied" if old == new else "transposed")
    assert_held(out, {"fc": [np.ascontiguousarray(weight.T) if new else weight, numbered(3)]})


@pytest.mark.parametrize("back", [False, True])
def test_turned_into_a_convolution(tmp_path: Path, out: Path, back: bool) -> None:
    weight = numbered(3, 2, 3, 4)
    flat = np.ascontiguousarray(weight.reshape(3, 24).T)
    nets = {
        "fc": net(tmp_path, "fc.prototxt", ip("fc", 3, "transpose: true bias_term: false")),
        "conv": net(
            tmp_path, "conv.prototxt", conv("fc", 3, "kernel_h: 3 kernel_w: 4", "bias_term: false")
        ),
    }
    arrays = {"fc": flat, "conv": weight}
    source, target = ("conv", "fc") if back else ("fc", "conv")
    weights = model(tmp_path / "from.caffemodel", {"fc": [arrays[source]]})
    plan = run((nets[source], weights), (nets[target], None), out)
    assert transfers_of(plan) == [("transposed", "fc[0]", "fc[0]")]
    assert_held(out, {"fc": [arrays[target]]})


def test_a_legacy_blob_is_reshaped_in_a_new_file(tmp_path: Path) -> None:
    """Four axes in the file, two in the net."""
    old = net(tmp_path, "from.prototxt", ip("ip1", 2, "bias_term: false"), shape="1, 3")
    (tmp_path / "v1").write_bytes(V1[: V1.index(b"\x32\x0d")] + b"\x8a\x01\x02\x08\x02")
    data = bytearray((tmp_path / "v1").read_bytes())
    data[4] = len(data) - 5
    (tmp_path / "v1").write_bytes(data)
    plan = run((old, tmp_path / "v1"), (old, None), tmp_path / "out.h5")
    assert transfers_of(plan) == [("copied", "ip1[0]", "ip1[0]")]
    assert_held(tmp_path / "out.h5", {"ip1": [numbered(2, 3, start=1)]})
    # The file of 2014 as the target: it stays what it is, byte for byte.
    run((old, tmp_path / "out.h5"), (old, tmp_path / "v1"), tmp_path / "out.caffemodel")
    assert (tmp_path / "out.caffemodel").read_bytes() == bytes(data)


def test_a_layer_is_added_to_a_file_of_2014(tmp_path: Path) -> None:
    old = net(tmp_path, "from.prototxt", ip("fc", 2, "bias_term: false"), shape="1, 3")
    weights = model(tmp_path / "from.caffemodel", {"fc": [numbered(2, 3)]})
    (tmp_path / "v1").write_bytes(b"\x12\x08\x22\x04relu\x28\x12")
    run((old, weights), (old, tmp_path / "v1"), tmp_path / "out.caffemodel")
    with Caffemodel.open(tmp_path / "out.caffemodel") as written:
        assert [(layer.name, layer.type) for layer in written.layers] == [
            ("relu", "ReLU"),
            ("fc", "InnerProduct"),
        ]
        assert written.generation == "V1"
        assert written.layers[1].blobs[0].numpy().tobytes() == floats(*range(6))


def test_dropped_and_left(lenet: tuple[Path, Path], tmp_path: Path, out: Path) -> None:
    target = net(
        tmp_path, "to.prototxt", conv("c", 5, "kernel_size: 2", "bias_term: false"), ip("new", 4)
    )
    plan = run(lenet, (target, None), out)
    assert transfers_of(plan) == [
        ("copied", "c[0]", "c[0]"),
        ("unmatched", "", "new[0]"),
        ("unmatched", "", "new[1]"),
        ("dropped", "c[1]", ""),
        ("dropped", "fc[0]", ""),
        ("dropped", "fc[1]", ""),
    ]
    absent, nowhere = "absent: Caffe fills it", "the target has no such layer"
    reasons = ["", absent, absent, "'c' has 1 param", nowhere, nowhere]
    assert [t.reason for t in plan.transfers] == reasons
    assert plan.absent == ("new",)
    assert_held(out, {"c": held(lenet[1])["c"][:1]})
    with open_weights(out) as weights:
        assert "new" not in [layer.name for layer in weights.layers]


def test_what_the_target_has_is_kept(lenet: tuple[Path, Path], tmp_path: Path, out: Path) -> None:
    target = net(tmp_path, "to.prototxt", conv("c", 5, "kernel_size: 2"), ip("new", 4))
    own = {
        "new": [numbered(4, 30), numbered(4)],
        "c": [numbered(5, 2, 2, 2, start=50), numbered(5, start=90)],
        "beside": [numbered(7)],
    }
    for name in ("to.caffemodel", "to.caffemodel.h5"):
        weights = model(tmp_path / name, own)
        plan = run(lenet, (target, weights), out, strict=True)
        assert [t for t in transfers_of(plan) if t[0] == "unmatched"] == [
            ("unmatched", "", "new[0]"),
            ("unmatched", "", "new[1]"),
        ]
        assert plan.absent == ()
        assert plan.target.model.extra == ("beside",)
        assert_held(out, {**own, "c": held(lenet[1])["c"]})


def test_strict(lenet: tuple[Path, Path], tmp_path: Path, out: Path) -> None:
    target = net(tmp_path, "to.prototxt", ip("a", 2), ip("b", 2))
    assert refused(lenet, (target, None), out, strict=True) == (
        "layer 'a': no params are copied to it, which --strict requires; "
        "layer 'b': no params are copied to it, which --strict requires"
    )


def test_sizes_that_differ_are_refused_all_at_once(
    lenet: tuple[Path, Path], tmp_path: Path, out: Path
) -> None:
    target = net(tmp_path, "to.prototxt", conv("c", 4, "kernel_size: 2"), ip("fc", 2))
    assert refused(lenet, (target, None), out) == (
        "layer 'c': param 0 is 5x2x2x2, expected 4x2x2x2 (in 'c'); --slice copies the part that "
        "overlaps; layer 'c': param 1 is 5, expected 4 (in 'c'); layer 'fc': param 0 is 3x30, "
        "expected 2x24 (in 'fc'); layer 'fc': param 1 is 3, expected 2 (in 'fc')"
    )
    assert "layer 'c': param 0: --slice needs the target's weights for the rest" in refused(
        lenet, (target, None), out, cut=True
    )


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_sliced(tmp_path: Path, out: Path, old: bool, new: bool) -> None:
    flags = {False: "", True: "transpose: true"}

    def turned_if(weight: Array, turned: bool) -> Array:
        return np.ascontiguousarray(weight.T) if turned else weight

    source = net(tmp_path, "from.prototxt", ip("fc", 5, flags[old]), shape="1, 6")
    weights = model(
        tmp_path / "from.caffemodel",
        {"fc": [turned_if(numbered(5, 6), old), numbered(5, start=60)]},
    )
    target = net(tmp_path, "to.prototxt", ip("fc", 3, flags[new]), shape="1, 8")
    own = model(
        tmp_path / "to.caffemodel",
        {"fc": [turned_if(numbered(3, 8, start=500), new), numbered(3, start=900)]},
    )
    plan = run((source, weights), (target, own), out, cut=True)
    assert plan.counts["sliced"] == 2
    expected = numbered(3, 8, start=500)
    expected[:3, :6] = numbered(5, 6)[:3, :6]
    assert_held(out, {"fc": [turned_if(expected, new), numbered(5, start=60)[:3]]})


def test_fewer_classes_of_a_convolved_classifier(
    lenet: tuple[Path, Path], tmp_path: Path, out: Path
) -> None:
    layers = conv("c", 5, "kernel_size: 2"), conv("fc", 2, "kernel_h: 2 kernel_w: 3")
    target = net(tmp_path, "to.prototxt", *layers)
    own = model(tmp_path / "to.caffemodel", {"fc": [numbered(2, 5, 2, 3), numbered(2)]})
    plan = run(lenet, (target, own), out, cut=True)
    assert (plan.counts["copied"], plan.counts["sliced"]) == (2, 2)
    weight, bias = held(lenet[1])["fc"]
    assert_held(
        out,
        {"c": held(lenet[1])["c"], "fc": [weight.reshape(3, 5, 2, 3)[:2], bias[:2]]},
    )


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (
            conv("fc", 2, "kernel_h: 3 kernel_w: 4", "bias_term: false"),
            "layer 'fc': param 0 is 4x24, expected 2x2x3x4 (in 'fc'); --slice copies the "
            "part that overlaps",
        ),
        (
            ip("fc", 24, "axis: 3 bias_term: false"),
            "layer 'fc': param 0 is 4x24, expected 24x4: as many numbers, but of other outputs "
            "(in 'fc')",
        ),
        (
            'name: "fc" type: "Deconvolution" convolution_param { num_output: 8 kernel_size: 1 }',
            "layer 'fc': is of type InnerProduct; 'fc' is of type Deconvolution; "
            "--map 'fc=' leaves it out",
        ),
        (
            'name: "fc" type: "Martian"',
            "layer 'fc': the shapes of its params are not known (layer 'fc' is of type Martian, "
            "which Caffe 1.0 gives no fixed shape); give a prototxt that declares its input, or "
            "the target's weights",
        ),
    ],
)
def test_what_does_not_fit(tmp_path: Path, out: Path, layer: str, what: str) -> None:
    source = net(tmp_path, "from.prototxt", ip("fc", 4, "bias_term: false"))
    weights = model(tmp_path / "from.caffemodel", {"fc": [numbered(4, 24)]})
    target = net(tmp_path, "to.prototxt", layer)
    assert refused((source, weights), (target, None), out) == what


def test_the_same_count_over_another_window_is_refused(tmp_path: Path, out: Path) -> None:
    source = net(tmp_path, "from.prototxt", conv("c", 1, "kernel_h: 1 kernel_w: 4"))
    weights = model(tmp_path / "from.caffemodel", {"c": [numbered(1, 2, 1, 4), numbered(1)]})
    target = net(tmp_path, "to.prototxt", conv("c", 1, "kernel_h: 2 kernel_w: 2"))
    assert refused((source, weights), (target, None), out) == (
        "layer 'c': param 0 is for a window of 2x1x4, expected one for 2x2x2 (in 'c')"
    )


@pytest.mark.parametrize(
    ("size", "window", "what"),
    [
        (
            "kernel_h: 4 kernel_w: 3",
            (4, 3),
            "layer 'fc': param 0 is for a window of 2x3x4, expected one for 2x4x3 (in 'fc')",
        ),
        (
            "kernel_size: 3",
            (3, 3),
            "layer 'fc': param 0 is 4x24, expected 4x2x3x3: the two do not overlap (in 'fc')",
        ),
    ],
)
def test_what_cannot_be_sliced(
    tmp_path: Path, out: Path, size: str, window: tuple[int, int], what: str
) -> None:
    source = net(tmp_path, "from.prototxt", ip("fc", 4, "bias_term: false"))
    weights = model(tmp_path / "from.caffemodel", {"fc": [numbered(4, 24)]})
    layer = conv("fc", 4, size, "bias_term: false")
    target = net(tmp_path, "to.prototxt", layer, shape="1, 2, 4, 4")
    own = model(tmp_path / "to.caffemodel", {"fc": [numbered(4, 2, *window)]})
    assert refused((source, weights), (target, own), out, cut=True) == what


def test_what_cannot_be_laid_over_each_other() -> None:
    assert overlap((4, 24), (4, 2, 3, 3)) is None
    assert overlap((5, 18), (4, 2, 3, 3)) == ((5, 2, 3, 3), (4, 2, 3, 3))


def test_a_group_of_channels_is_a_window_too(tmp_path: Path, out: Path) -> None:
    """As many numbers for each output, but of one channel of the two."""
    layer = conv("c", 2, "kernel_h: 1 kernel_w: 4", "group: 2 bias_term: false")
    source = net(tmp_path, "from.prototxt", layer)
    weights = model(tmp_path / "from.caffemodel", {"c": [numbered(2, 1, 1, 4)]})
    layer = conv("c", 2, "kernel_h: 2 kernel_w: 1", "bias_term: false")
    target = net(tmp_path, "to.prototxt", layer)
    assert refused((source, weights), (target, None), out) == (
        "layer 'c': param 0 is for a window of 1x1x4, expected one for 2x2x1 (in 'c')"
    )


def test_an_inner_product_over_the_last_axes_has_no_window(tmp_path: Path, out: Path) -> None:
    source = net(tmp_path, "from.prototxt", ip("fc", 3, "axis: 2 bias_term: false"))
    weights = model(tmp_path / "from.caffemodel", {"fc": [numbered(3, 12)]})
    layer = conv("fc", 3, "kernel_size: 1", "bias_term: false")
    target = net(tmp_path, "to.prototxt", layer, shape="1, 12, 1, 1")
    assert transfers_of(run((source, weights), (target, None), out)) == [
        ("reshaped", "fc[0]", "fc[0]")
    ]
    assert_held(out, {"fc": [numbered(3, 12, 1, 1)]})


def test_a_legacy_blob_whose_net_does_not_say_its_shape(tmp_path: Path, out: Path) -> None:
    """1 x 1 x O x K, as far as anybody knows, over the window of a convolution."""
    source = net(tmp_path, "from.prototxt", 'name: "m" type: "Martian"', ip("fc", 2))
    legacy = b"\x08\x01\x10\x01\x18\x02\x20\x06" + delimited(5, numbered(2, 6).tobytes())
    layer = text_field(1, "fc") + delimited(7, legacy)
    (tmp_path / "old").write_bytes(delimited(100, layer))
    wide = conv("fc", 2, "kernel_h: 1 kernel_w: 3", "bias_term: false")
    target = net(tmp_path, "to.prototxt", wide)
    plan = run((source, tmp_path / "old"), (target, None), out)
    assert transfers_of(plan) == [("reshaped", "fc[0]", "fc[0]")]
    assert_held(out, {"fc": [numbered(2, 2, 1, 3)]})


def test_a_layer_that_may_have_params_is_not_written_without_them(
    lenet: tuple[Path, Path], tmp_path: Path
) -> None:
    layers = conv("c", 5, "kernel_size: 2"), 'name: "m" type: "Martian"'
    target = net(tmp_path, "to.prototxt", *layers)
    run(lenet, (target, None), tmp_path / "out.caffemodel")
    with Caffemodel.open(tmp_path / "out.caffemodel") as written:
        assert [layer.name for layer in written.layers] == ["c"]


def test_half_a_layer_is_refused(tmp_path: Path, out: Path) -> None:
    source = net(tmp_path, "from.prototxt", ip("fc", 4, "bias_term: false"))
    weights = model(tmp_path / "from.caffemodel", {"fc": [numbered(4, 24)]})
    target = net(tmp_path, "to.prototxt", ip("fc", 4))
    assert refused((source, weights), (target, None), out) == (
        "layer 'fc': nothing is copied to param 1 of 2, and Caffe loads all of a layer's or none; "
        "give the target's weights"
    )
    own = model(tmp_path / "to.caffemodel", {"fc": [numbered(4, 24, start=9), numbered(4)]})
    run((source, weights), (target, own), out)
    assert_held(out, {"fc": [numbered(4, 24), numbered(4)]})


def test_weights_that_are_not_of_their_net(
    lenet: tuple[Path, Path], tmp_path: Path, out: Path
) -> None:
    wrong = {"fc": [numbered(3)], "c": [numbered(5, 2, 2, 2), numbered(6)]}
    misfit = model(tmp_path / "other.caffemodel", wrong)
    what = (
        f"layer 'c': param 1 is 6 in {misfit}, expected 5; "
        f"layer 'fc': {misfit} has 1 param for it, expected 2"
    )
    assert refused((lenet[0], misfit), (lenet[0], None), out) == what
    assert refused(lenet, (lenet[0], misfit), out) == what
    # Nothing more is said of a layer that is not what its own net says.
    less = net(tmp_path, "less.prototxt", conv("c", 4, "kernel_size: 2"), ip("fc", 2))
    assert refused((lenet[0], misfit), (less, None), out) == what


def test_two_layers_of_one_name(lenet: tuple[Path, Path], tmp_path: Path, out: Path) -> None:
    twins = net(
        tmp_path, "twins.prototxt", conv("c", 5, "kernel_size: 2"), conv("c", 5, "kernel_size: 1")
    )
    what = f"layer 'c': {twins} has 2 layers of that name"
    assert refused((twins, lenet[1]), (lenet[0], None), out).startswith(what)
    assert refused(lenet, (twins, None), out).startswith(what)


def test_pairs(lenet: tuple[Path, Path], tmp_path: Path, out: Path) -> None:
    target = net(tmp_path, "to.prototxt", conv("first", 5, "kernel_size: 2"), ip("fc", 3))
    plan = run(lenet, (target, None), out, NameRule({"c": "first", "fc": ""}))
    assert [t[0] for t in transfers_of(plan)] == [
        "copied",
        "copied",
        "unmatched",
        "unmatched",
        "dropped",
        "dropped",
    ]
    rule = NameRule({"c": "last", "d": "fc"})
    assert refused(lenet, (target, None), tmp_path / "none", rule) == (
        f"layer 'c': --map sends it to 'last', which {target} does not have; "
        "its layers are first, fc; layer 'd': named in --map, but there are no params of it to "
        "take; its layers are c, fc"
    )
    assert refused(lenet, (target, None), tmp_path / "none", NameRule({"c": "fc"})) == (
        "layer 'c': param 0 is 5x2x2x2, expected 3x30 (in 'fc'); --slice copies the part that "
        "overlaps; layer 'c': param 1 is 5, expected 3 (in 'fc'); layer 'fc': goes to 'fc', "
        "and so does 'c'; --map 'fc=' leaves it out"
    )


def test_a_suffix_wins_over_the_name_itself() -> None:
    assert NameRule(suffix="-conv").names("fc") == ("fc-conv", "fc")
    assert NameRule(prefix="a/").names("fc") == ("a/fc",)
    assert NameRule({"fc": "x"}, "a/", "-b").names("fc") == ("x",)
    assert NameRule(prefix="a/", suffix="-b").names("fc") == ("a/fc-b",)
    assert NameRule({"fc": ""}).names("fc") == ()


def test_two_nets_joined_by_two_transplants(lenet: tuple[Path, Path], tmp_path: Path) -> None:
    text = 'input: "x" input_shape { dim: [1, 2, 3, 4] }\n'
    for side in "ab":
        text += (
            f'layer {{ bottom: "x" top: "{side}/c" {conv(f"{side}/c", 5, "kernel_size: 2")} }}\n'
            f'layer {{ bottom: "{side}/c" top: "{side}/fc" {ip(f"{side}/fc", 3)} }}\n'
        )
    (tmp_path / "joined.prototxt").write_text(text)
    joined, first, second = (tmp_path / name for name in ("joined.prototxt", "1", "2"))
    weights = held(lenet[1])
    more_weights = {name: [array + 1000 for array in arrays] for name, arrays in weights.items()}
    run(lenet, (joined, None), first, NameRule(prefix="a/"))
    changed = lenet[0], model(tmp_path / "other.caffemodel", more_weights)
    plan = run(changed, (joined, first), second, NameRule(prefix="b/"), strict=True)
    assert plan.counts["unmatched"] == plan.counts["copied"] == 4
    assert_held(
        second,
        {f"a/{name}": arrays for name, arrays in weights.items()}
        | {f"b/{name}": arrays for name, arrays in more_weights.items()},
    )


@pytest.mark.parametrize("form", ["", ".h5"])
def test_twice_is_once(lenet: tuple[Path, Path], tmp_path: Path, form: str) -> None:
    layers = conv("c", 5, "kernel_size: 2"), conv("fc", 3, "kernel_h: 2 kernel_w: 3")
    target = net(tmp_path, "to.prototxt", *layers)
    first, two, three = (tmp_path / f"{number}{form}" for number in (1, 2, 3))
    run(lenet, (target, None), first)
    run(lenet, (target, None), two)
    run(lenet, (target, first), three)
    assert first.read_bytes() == two.read_bytes() == three.read_bytes()


def test_bytes_that_are_not_replaced_stay(lenet: tuple[Path, Path], tmp_path: Path) -> None:
    """Fields that nobody knows, and the diff of a blob that is kept, are copied."""
    own = model(tmp_path / "plain", {"other": [numbered(4)], "c": held(lenet[1])["c"]})
    strange = b"\xca\x3e\x03abc" + own.read_bytes() + b"\xd2\x3e\x02yz"
    (tmp_path / "to.caffemodel").write_bytes(strange)
    run(lenet, (lenet[0], tmp_path / "to.caffemodel"), tmp_path / "out")
    written = (tmp_path / "out").read_bytes()
    assert written.startswith(strange)
    assert list(held(tmp_path / "out")) == ["other", "c", "fc"]


SHARING = 'param { name: "w" } param { name: "b" }'


def test_layers_that_share_a_param_get_one(tmp_path: Path, out: Path) -> None:
    text = 'input: "x" input_shape { dim: [1, 6] }\n'
    for name in ("one", "two"):
        text += f'layer {{ bottom: "x" top: "{name}" {ip(name, 3, extra=SHARING)} }}\n'
    (tmp_path / "to.prototxt").write_text(text)
    source = net(tmp_path, "from.prototxt", ip("fc", 3), shape="1, 6")
    weights = model(tmp_path / "from.caffemodel", {"fc": [numbered(3, 6), numbered(3)]})
    old = [numbered(3, 6, start=70), numbered(3, start=70)]
    own = model(tmp_path / "to.caffemodel", {"one": old, "two": old})
    for goal in ("one", "two"):
        plan = run((source, weights), (tmp_path / "to.prototxt", own), out, NameRule({"fc": goal}))
        assert plan.counts == {**dict.fromkeys(plan.counts, 0), "copied": 4}
        new = [numbered(3, 6), numbered(3)]
        assert_held(out, {"one": new, "two": new})


def test_a_param_shared_under_another_number_is_sliced_too(tmp_path: Path, out: Path) -> None:
    bias = 'name: "more" type: "Bias" param { name: "b" }'
    target = net(tmp_path, "to.prototxt", ip("fc", 3, extra=SHARING), bias, shape="1, 6")
    old = numbered(3, start=70)
    own = model(tmp_path / "to.caffemodel", {"fc": [numbered(3, 6, start=70), old], "more": [old]})
    source = net(tmp_path, "from.prototxt", ip("fc", 5), shape="1, 6")
    weights = model(tmp_path / "from.caffemodel", {"fc": [numbered(5, 6), numbered(5)]})
    run((source, weights), (target, own), out, cut=True)
    assert_held(out, {"fc": [numbered(3, 6), numbered(3)], "more": [numbered(3)]})


def test_layers_of_the_model_that_its_net_does_not_have(
    lenet: tuple[Path, Path], tmp_path: Path, out: Path
) -> None:
    weights = model(tmp_path / "more.caffemodel", {**held(lenet[1]), "loss1/fc": [numbered(2, 2)]})
    plan = run((lenet[0], weights), (lenet[0], None), out)
    last = plan.transfers[-1]
    assert (last.outcome, last.source, last.reason) == (
        "dropped",
        ("loss1/fc", 0),
        "its own net has no such layer",
    )


def test_layers_of_the_net_that_its_model_does_not_have(
    lenet: tuple[Path, Path], tmp_path: Path, out: Path
) -> None:
    weights = model(tmp_path / "less.caffemodel", {"fc": held(lenet[1])["fc"]})
    plan = run((lenet[0], weights), (lenet[0], None), out)
    assert plan.notes == (f"{weights} has no params for layer 'c'",)
    assert plan.absent == ("c",)
    assert_held(out, {"fc": held(lenet[1])["fc"]})


def test_types_and_blobs_of_the_net_are_in_a_new_caffemodel(
    lenet: tuple[Path, Path], tmp_path: Path
) -> None:
    run(lenet, (lenet[0], None), tmp_path / "out")
    with Caffemodel.open(tmp_path / "out") as written:
        assert [
            (layer.name, layer.type, layer.bottoms, layer.tops) for layer in written.layers
        ] == [
            ("c", "Convolution", ("x",), ("t0",)),
            ("fc", "InnerProduct", ("t0",), ("t1",)),
        ]
