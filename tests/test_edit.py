"""Operations on params: what a word means, what it does, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from netsurgery.errors import SurgeryError
from netsurgery.formats.caffemodel_new import NewBlob, NewLayer, new_caffemodel
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.segments import write_segments
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.filters import kernel
from netsurgery.surgery.edit.plan import EditPlan, plan_edit
from netsurgery.surgery.edit.syntax import parse_operation
from netsurgery.surgery.edit.targets import axes_left, parse_index

Array = NDArray[np.float32]

NET = """\
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 3, 9, 9] } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 } }
layer { name: "a/b-c=d[0]:e" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "a/b-c=d" type: "PReLU" bottom: "conv" top: "p" }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up"
  convolution_param { num_output: 2 kernel_size: 4 stride: 2 } }
"""

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "conv": [(4, 3, 5, 5), (4,)],
    "a/b-c=d[0]:e": [(2, 100), (2,)],
    "a/b-c=d": [(4,)],
    "up": [(4, 2, 4, 4), (2,)],
}


def values(layer: str, index: int) -> Array:
    """Random, and the same each time."""
    random = np.random.default_rng([index, *layer.encode()])
    return random.standard_normal(SHAPES[layer][index]).astype(np.float32)


def saved(path: Path, arrays: dict[str, list[Array]]) -> Path:
    """A caffemodel of these layers and params."""
    layers = [
        NewLayer(
            name,
            "",
            (),
            (),
            tuple(NewBlob(a.shape, lambda a=a: [a.tobytes()]) for a in its),  # type: ignore[misc]
        )
        for name, its in arrays.items()
    ]
    with path.open("w+b") as file:
        write_segments(file.fileno(), new_caffemodel("n", layers))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Iterator[NetWithWeights]:
    arrays = {
        name: [values(name, index) for index in range(len(shapes))]
        for name, shapes in SHAPES.items()
    }
    with NetWithWeights(net(), saved(tmp_path / "m.caffemodel", arrays)) as model:
        yield model


def net(text: str = NET) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(text, "n.prototxt"))


def edit(model: NetWithWeights, *operations: str) -> EditPlan:
    return plan_edit(model, operations)


def after(plan: EditPlan, layer: str, index: int = 0) -> Array:
    """The param as the plan leaves it."""
    array: Array = np.frombuffer(written(plan, layer, index), dtype="<f4")
    return array.reshape(SHAPES[layer][index])


def written(plan: EditPlan, layer: str, index: int = 0) -> bytes:
    """A param's new bytes."""
    chunks = plan.changes[layer].data[index]
    assert callable(chunks)
    return b"".join(map(bytes, chunks()))


def refused(model: NetWithWeights, *operations: str) -> str:
    with pytest.raises(SurgeryError) as caught:
        edit(model, *operations)
    return str(caught.value)


def test_the_target_is_the_longest_name_that_exists() -> None:
    long, short = (
        parse_operation(word, net()) for word in ("a/b-c=d[0]:e[1]=2", "a/b-c=d[0][1]*=-3")
    )
    assert (long.target.layer, long.target.index, long.verb, long.value) == (  # type: ignore[union-attr]
        "a/b-c=d[0]:e", 1, "=", "2",
    )  # fmt: skip
    assert (short.target.layer, short.target.slices, short.verb) == (  # type: ignore[union-attr]
        "a/b-c=d", ((1,),), "*=",
    )  # fmt: skip


def test_only_what_is_named_changes(model: NetWithWeights) -> None:
    plan = edit(model, "conv[0][2]=0.5")
    assert list(plan.changes) == ["conv"]
    assert list(plan.changes["conv"].data) == [0]
    expected = values("conv", 0)
    expected[2] = 0.5
    assert np.array_equal(after(plan, "conv"), expected)
    assert plan.text is None


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("=2", lambda a: a * 0 + 2),
        ("+=2", lambda a: a + 2),
        ("-=.5", lambda a: a - 0.5),
        ("*=-1e1", lambda a: a * -10),
        ("/=4", lambda a: a / 4),
        ("=zero", lambda a: a * 0),
        ("=clip:low=-0.5,high=0.25", lambda a: a.clip(-0.5, 0.25)),
        ("=clip:high=0", lambda a: a.clip(None, 0)),
    ],
)
def test_arithmetic(model: NetWithWeights, verb: str, expected: object) -> None:
    plan = edit(model, f"conv[0]{verb}")
    expected_values = expected(values("conv", 0).astype(np.float64))  # type: ignore[operator]
    np.testing.assert_array_equal(after(plan, "conv"), expected_values.astype(np.float32))


def test_operations_are_done_from_left_to_right(model: NetWithWeights) -> None:
    plan = edit(model, "conv[1]=1", "conv[1]+=2", "conv[1][0]*=5", "conv[1][-1]-=3")
    assert after(plan, "conv", 1).tolist() == [15, 3, 3, 0]


@pytest.mark.parametrize("kind", ["l1", "l2", "sum"])
def test_normalize_gives_every_filter_a_norm_of_one(model: NetWithWeights, kind: str) -> None:
    word = "conv[0]=normalize" + ("" if kind == "l2" else f":{kind}")
    rows = after(edit(model, word), "conv").reshape(4, -1).astype(np.float64)
    norm = {"l1": np.abs(rows).sum(1), "l2": (rows**2).sum(1) ** 0.5, "sum": rows.sum(1)}[kind]
    np.testing.assert_allclose(norm, 1, atol=1e-5)
    alone = after(edit(model, word.replace("=", "[1]=", 1)), "conv")
    np.testing.assert_array_equal(alone[1], rows[1].reshape(3, 5, 5).astype(np.float32))
    np.testing.assert_array_equal(alone[0], values("conv", 0)[0])


@pytest.mark.parametrize(
    ("part", "turned"),
    [("", ""), ("[1]", "[:,1]"), ("[:,20:60]", "[20:60]"), ("[:,7]", "[7]")],
)
def test_filters_are_outputs_however_a_weight_is_kept(
    model: NetWithWeights, tmp_path: Path, part: str, turned: str
) -> None:
    """Those of a weight K x O are its columns."""
    name, weight, bias = "a/b-c=d[0]:e", *(values("a/b-c=d[0]:e", index) for index in (0, 1))
    text = NET.replace("num_output: 2 }", "num_output: 2 transpose: true }")
    path = saved(tmp_path / "turned", {name: [np.ascontiguousarray(weight.T), bias]})
    with NetWithWeights(net(text), path) as turned_model:
        columns = written(edit(turned_model, f"{name}[0]{turned}=normalize"), name)
    rows = after(edit(model, f"{name}[0]{part}=normalize"), name)
    assert not np.array_equal(rows, weight)
    np.testing.assert_array_equal(np.frombuffer(columns, "<f4").reshape(100, 2).T, rows)


def test_prune_takes_the_smallest(model: NetWithWeights) -> None:
    old = values("conv", 0)
    new = after(edit(model, "conv[0]=prune:fraction=0.3"), "conv")
    assert np.count_nonzero(new == 0) == 90
    assert np.abs(old[new == 0]).max() <= np.abs(old[new != 0]).min()
    assert np.array_equal(new[new != 0], old[new != 0])


@pytest.mark.parametrize(
    "verb", ["=3", "=zero", "=normalize", "=normalize:sum", "=prune:fraction=0.5",
             "=clip:low=-0.1", "=gaussian:sigma=2", "=sobel-x:channels=0,2", "=npy:n.npy"],
)  # fmt: skip
def test_setting_twice_is_setting_once(
    model: NetWithWeights, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("n.npy", values("conv", 0))
    once, twice = edit(model, f"conv[0]{verb}"), edit(model, f"conv[0]{verb}", f"conv[0]{verb}")
    assert np.array_equal(after(once, "conv"), after(twice, "conv"))


def test_kernels_fill_filters_of_their_own_size(model: NetWithWeights) -> None:
    new = after(edit(model, "conv[0][1:3]=gaussian:sigma=1.5"), "conv")
    expected = kernel("gaussian", 5, 5, {"sigma": 1.5}).astype(np.float32)
    assert (new[1:3] == expected).all()
    assert np.array_equal(new[[0, 3]], values("conv", 0)[[0, 3]])
    inner = after(edit(model, "conv[0][1,:,1:-1,1:-1]=sobel-y"), "conv")
    assert (inner[1, :, 1:-1, 1:-1] == kernel("sobel-y", 3, 3, {}).astype(np.float32)).all()
    assert np.array_equal(inner[1, :, 0], values("conv", 0)[1, :, 0])
    single = after(edit(model, "conv[0][1,2]=box"), "conv")
    assert (single[1, 2] == np.float32(1 / 25)).all()


def test_kernels_on_chosen_channels_leave_the_others(model: NetWithWeights) -> None:
    new = after(edit(model, "conv[0][1]=log:sigma=1,channels=0,2"), "conv")
    expected = kernel("log", 5, 5, {"sigma": 1}).astype(np.float32)
    assert (new[1, [0, 2]] == expected).all()
    assert np.array_equal(new[1, 1], values("conv", 0)[1, 1])
    up = after(edit(model, "up[0]=bilinear:channels=3"), "up")
    assert (up[3] == kernel("bilinear", 4, 4, {}).astype(np.float32)).all()
    assert np.array_equal(up[:3], values("up", 0)[:3])


def test_npy_in_and_out(
    model: NetWithWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("w.npy", np.arange(75, dtype=">i4").reshape(3, 5, 5))
    plan = edit(model, "conv[0][1]=npy:w.npy", "save:conv[0][1,0]=o.npy", "conv[0][1]+=npy:w.npy")
    assert np.array_equal(plan.saved["o.npy"], np.arange(25).reshape(5, 5))
    assert np.array_equal(after(plan, "conv")[1].ravel(), np.arange(75) * 2)
    assert edit(model, "save:conv[1]=b.npy").changes == {}


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("conv[0]=nan", "found 'nan' after =, expected a number or npy:FILE; values zero, "),
        ("conv[0]*=1e43", "layer 'conv': 300 values of conv[0] would be NaN or infinite"),
        ("conv[1]/=0", "layer 'conv': 4 values of conv[1] would be NaN or infinite"),
        ("conv[0]=1e39", "layer 'conv': 300 values of conv[0] would be NaN or infinite"),
        ("conv[0]+=gaussian:sigma=1", "found 'gaussian:sigma=1' after +=, expected a number or n"),
        ("conv[0]=", "nothing after ="),
        ("conv[0]", "found '' after conv[0], expected =, +=, -=, *= or /="),
        ("conv[0]2", "found '2' after conv[0], expected =, +=, -=, *= or /="),
        ("conv=2", "found a layer without an index; LAYER[0] is its weights, LAYER[1] its bias"),
        ("none[0]=2", "layer 'none': the net has no such layer; its layers are x, conv, "),
        ("none", "no operation 'none'; expected LAYER[INDEX] or one of save, fold, "),
        ("fodl:conv", "no operation 'fodl'; did you mean fold?"),
        ("conv[2]=1", "layer 'conv': there is no param 2; it has 2"),
        ("x[0]=1", "layer 'x': the model has no params for it"),
        ("conv[0][4]=1", "index 4 of 4 in a 4x3x5x5 param"),
        ("conv[0][0,0,0,0,0]=1", "5 indices for 4 axes"),
        ("conv[0][2:2]=1", "nothing of a 4x3x5x5 param is selected"),
        ("conv[0][...,...]=1", "two ... in one pair of brackets"),
        ("conv[0][::0]=1", "[::0]: a step of 0"),
        ("conv[0][a]=1", "[a]: found 'a', expected a number, a:b, a:b:c or ..."),
        ("conv[0][]=1", "[]: found '', expected a number, a:b, a:b:c or ..."),
        ("conv[0]=sobel-x:sigma=1", "conv[0]: sobel-x has no option 'sigma'; it takes no options"),
        ("conv[0]=scharr", "conv[0]: scharr fits 3x3 alone, not 5x5"),
        ("conv[0]=box:channels=3", "found '3', expected 0 to 2"),
        (
            "conv[0][:,1]=box:channels=0",
            "conv[0][:,1] selects channels already; leave out channels=",
        ),
        ("conv[0][0,0,0]=box", "conv[0][0,0,0] does not keep both axes of its filters'"),
        ("conv[1]=box", "layer 'conv': param 1 is 4 (Convolution); box fills the H x W filters"),
        ("a/b-c=d[0]:e[0]=box", "layer 'a/b-c=d[0]:e': param 0 is 2x100 (InnerProduct); box "),
        ("conv[0]=gaussian:sigma=a", "conv[0]: gaussian: sigma=a, expected a number"),
        ("conv[0]=gaussian:1", "gaussian: found '1', expected OPTION=VALUE"),
        ("conv[0]=gaussian:sigma=1,sigma=2", "gaussian: sigma is named twice"),
        ("conv[0]=clip", "clip takes low and high; found neither"),
        ("conv[0]=clip:min=1", "clip takes low and high; found min"),
        ("conv[0]=clip:low=2,high=1", "clip: low=2 is above high=1"),
        ("conv[0]=prune", "prune needs a fraction from 0 to 1, as in prune:fraction=0.5"),
        ("conv[0]=prune:fraction=1.5", "prune needs a fraction from 0 to 1, as in prune:fracti"),
        ("conv[0]=normalize:max", "normalize:max, expected l1, l2 or sum"),
        ("conv[0]=zero:1", "zero takes no options; found '1'"),
        ("conv[0]=npy:none.npy", "No such file or directory"),
        ("conv[0]=npy:", "npy needs a file, as in npy:FILE.npy"),
        ("save:conv[0]", "save needs a file, as in save:conv[0]=FILE.npy"),
        ("save:conv", "save needs a param, as in save:LAYER[0]=FILE.npy"),
        ("save:none[0]=a.npy", "layer 'none': the net has no such layer; its layers are x, conv, "),
        ("fold:", "nothing after fold:"),
        ("fold-scale", "fold-scale needs an argument after a colon, as in fold-scale:0.017"),
    ],
)
def test_refusals_name_the_word_and_the_reason(model: NetWithWeights, word: str, what: str) -> None:
    assert refused(model, word).startswith(f"{word}: {what}")


def test_every_refusal_is_reported_at_once(model: NetWithWeights) -> None:
    assert refused(model, "conv[0]=1", "conv[9]=1", "conv[1]=zero", "up[0][9]=1") == (
        "conv[9]=1: layer 'conv': there is no param 9; it has 2; "
        "up[0][9]=1: index 9 of 4 in a 4x2x4x4 param"
    )


def test_a_filter_of_zeros_has_no_norm(model: NetWithWeights) -> None:
    assert refused(model, "conv[0][2]=zero", "conv[0]=normalize") == (
        "conv[0]=normalize: normalize: the l2 of filter 2 of those selected is 0"
    )


def test_an_npy_of_another_shape_is_not_bent(model: NetWithWeights, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.zeros((3, 25)))
    word = f"conv[0][0]=npy:{tmp_path / 'w.npy'}"
    assert refused(model, word) == f"{word}: {tmp_path / 'w.npy'} is 3x25, expected 3x5x5"


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array([1j]), "an array of complex128, expected numbers"),
        (np.array([True]), "an array of bool, expected numbers"),
        (np.array([{}], dtype=object), "not a .npy file of numbers ("),
    ],
)
def test_an_npy_of_other_things_is_refused(
    model: NetWithWeights, tmp_path: Path, array: NDArray[np.generic], what: str
) -> None:
    path = tmp_path / "w.npy"
    np.save(path, array, allow_pickle=True)
    assert refused(model, f"conv[1]=npy:{path}").startswith(f"conv[1]=npy:{path}: {what}")
    path.write_bytes(b"no array")
    assert "not a .npy file of numbers" in refused(model, f"conv[1]=npy:{path}")


def test_params_of_other_shapes_than_the_nets_are_refused(tmp_path: Path) -> None:
    arrays = {name: [np.zeros(s, np.float32) for s in shapes] for name, shapes in SHAPES.items()}
    arrays["conv"] = [np.zeros((4, 3, 25), np.float32)]
    path = saved(tmp_path / "o.caffemodel", arrays)
    with NetWithWeights(net(), path) as model:
        assert refused(model, "conv[0]=1") == (
            "conv[0]=1: layer 'conv': param 0 is 4x3x25 in the model, expected 4x3x5x5"
        )


SHARED = 'layer {{ name: "{0}" type: "InnerProduct" bottom: "x" top: "{0}" ' + (
    'param {{ name: "w" }} inner_product_param {{ num_output: 2 bias_term: false }} }}\n'
)


def test_params_that_layers_share_change_in_all_of_them(tmp_path: Path) -> None:
    text = NET.split("\n", 1)[0] + "\n" + SHARED.format("one") + SHARED.format("two")
    old = [np.full((2, 243), value, np.float32) for value in (1, 2)]
    path = saved(tmp_path / "s.caffemodel", {"one": [old[0]], "two": [old[1]]})
    with NetWithWeights(net(text), path) as model:
        plan = plan_edit(model, ["one[0]+=1", "two[0][0]*=10"])
        both = [written(plan, name) for name in ("one", "two")]
    # Caffe loads the second over the first.
    expected = np.repeat(np.array([30, 3], np.float32), 243).tobytes()
    assert both == [expected, expected]


index = st.one_of(
    st.integers(-6, 6).map(str),
    st.tuples(*[st.one_of(st.just(""), st.integers(-6, 6).map(str))] * 2).map(":".join),
    st.tuples(
        *[st.one_of(st.just(""), st.integers(-6, 6).map(str))] * 2, st.sampled_from(["-1", "2", ""])
    ).map(":".join),
    st.just("..."),
)


@given(st.lists(st.lists(index, min_size=1, max_size=4), max_size=2))
def test_slices_mean_what_they_mean_to_numpy(groups: list[list[str]]) -> None:
    array = np.arange(4 * 3 * 5 * 2).reshape(4, 3, 5, 2)
    parsed = [parse_index(",".join(group)) for group in groups]
    try:
        expected = array
        for group in groups:
            expected = eval(f"expected[{','.join(group)}]")
        expected = np.asarray(expected)
    except IndexError:
        with pytest.raises(SurgeryError):
            axes_left(array.shape, parsed)
        return
    if not expected.size:
        with pytest.raises(SurgeryError):
            axes_left(array.shape, parsed)
        return
    axes = axes_left(array.shape, parsed)
    assert len(axes) == expected.ndim
    # Steps along an axis show which one it was: their products are all different.
    for position, axis in enumerate(axes):
        if expected.shape[position] > 1:
            moved = np.moveaxis(expected, position, 0)
            step = int(np.ravel(moved[1] - moved[0])[0])
            assert step % (30, 10, 2, 1)[axis] == 0
