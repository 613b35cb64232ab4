"""Folding into the layer behind: what the text and the numbers become, and what is refused."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.errors import SurgeryError
from netsurgery.net.net import Layer
from netsurgery.surgery.edit.fold_forwards import Forwards, find_forwards
from netsurgery.surgery.edit.session import EditSession
from netsurgery.verbs.edit import Edit

Array = NDArray[np.float32]

BEFORE = """\
name: "N"  # mine
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 4, 6, 5] } } }
layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 2 } }

# normalized
layer { name: "bn" type: "BatchNorm" bottom: "p" top: "bn" }

layer { name: "s" type: "Scale" bottom: "bn" top: "s" scale_param { bias_term: true } }
layer {
  name: "c"
  type: "Convolution"
  bottom: 's'  # of the Scale
  top: "c"
  convolution_param {
    num_output: 6
    bias_term: false  # the Scale has one
    kernel_size: 3
  }
}
"""

AFTER = """\
name: "N"  # mine
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 4, 6, 5] } } }
layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 2 } }

layer {
  name: "c"
  type: "Convolution"
  bottom: 'p'  # of the Scale
  top: "c"
  convolution_param {
    num_output: 6
    kernel_size: 3
  }
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model_of(text: str, seed: int = 0) -> tuple[str, str]:
    """The net and random params for it, variances and factors above 0."""
    Path("n.prototxt").write_text(text)
    ns.init("n.prototxt", "m.caffemodel", force=True)
    random = np.random.default_rng(seed)
    with ns.Net("n.prototxt", "m.caffemodel") as net:
        kinds = {layer.name: layer.type for layer in net.layers}
        for name in net.params:
            for index, param in enumerate(net.params[name]):
                values = random.uniform(0.5, 2, param.shape) * random.choice([-1, 1], param.shape)
                statistic = kinds[name] == "BatchNorm" and index > 0
                param[...] = abs(values) if statistic else values
        net.save("r.caffemodel", force=True)
    return "n.prototxt", "r.caffemodel"


def fold(text: str, *words: str) -> Edit:
    return ns.edit(*model_of(text), words)


def refused(text: str, word: str) -> str:
    with pytest.raises(SurgeryError) as caught:
        fold(text, word)
    return str(caught.value).removeprefix(f"{word}: ")


def forward(prototxt: str, model: str) -> dict[str, Array]:
    with ns.Net(prototxt, model, engine="embedded") as net:
        (shape,) = (tuple(each.shape or ()) for each in net.view.inputs)
        data = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
        return net.forward(x=data, blobs=[net.layers[-1].tops[0]])


@pytest.mark.parametrize("word", ["fold", "fold:bn", "fold:s"])
def test_text_and_numbers(word: str) -> None:
    with fold(BEFORE, word) as result:
        with ns.Net("n.prototxt", "r.caffemodel") as old:
            bn, scale, conv = ([p.astype(float) for p in old.params[n]] for n in ("bn", "s", "c"))
        with result.net as new:
            weight, bias = (np.array(param) for param in new.params["c"])
        result.save("new.caffemodel", "new.prototxt")
    assert Path("new.prototxt").read_text() == AFTER
    factor = scale[0] / np.sqrt(bn[1] / bn[2] + 1e-5)
    shift = scale[1] - factor * bn[0] / bn[2]
    np.testing.assert_allclose(weight, conv[0] * factor.reshape(1, 4, 1, 1), rtol=1e-6)
    np.testing.assert_allclose(bias, np.einsum("ocij,c->o", conv[0], shift), rtol=1e-5)
    assert [step.what for step in result.plan.steps[0].layers] == ["folded into 'c'"] * 2
    with ns.edit("new.prototxt", "new.caffemodel", ["fold"]) as again:
        assert again.plan.text is None
        assert again.plan.notes == ("no BatchNorm, Scale or Bias: nothing to fold",)


def drawn(seed: int) -> str:
    """A BatchNorm, Scale or both on a net's input, in front of some layer with weights."""
    random = np.random.default_rng(seed)
    group = int(random.integers(1, 4))
    channels, height, width = (
        group * int(random.integers(1, 4)),
        *map(int, random.integers(3, 7, 2)),
    )
    text = (
        f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: '
        f"[2, {channels}, {height}, {width}] }} }} }}\n"
    )
    last, kinds = "x", [["BatchNorm"], ["Scale"], ["BatchNorm", "Scale"], ["Scale", "Bias"]]
    for kind in kinds[seed % 4]:
        more = (
            "scale_param { bias_term: true }" if kind == "Scale" and random.random() < 0.7 else ""
        )
        top = kind if random.random() < 0.5 else last
        text += f'layer {{ name: "{kind}" type: "{kind}" bottom: "{last}" top: "{top}" {more} }}\n'
        last = top
    bias = f"bias_term: {'true' if random.random() < 0.5 else 'false'}"
    if random.random() < 0.4:
        text += f'layer {{ name: "f" type: "Flatten" bottom: "{last}" top: "f" }}\n'
        last = "f"
    if last == "f" or random.random() < 0.3:
        turned = "transpose: true" if random.random() < 0.5 else ""
        param = f"inner_product_param {{ num_output: 3 {bias} {turned} }}"
        return (
            text + f'layer {{ name: "c" type: "InnerProduct" bottom: "{last}" top: "c" {param} }}'
        )
    kernel = f"kernel_h: {random.integers(1, 4)} kernel_w: {random.integers(1, 4)}"
    outputs = group * int(random.integers(1, 3))
    param = f"num_output: {outputs} group: {group} stride: {random.integers(1, 3)} {kernel} {bias}"
    return text + (
        f'layer {{ name: "c" type: "Convolution" bottom: "{last}" top: "c" '
        f"convolution_param {{ {param} }} }}"
    )


@pytest.mark.parametrize("seed", range(16))
def test_the_function_stays(seed: int) -> None:
    old = model_of(drawn(seed), seed)
    with ns.edit(*old, ["fold"]) as result:
        assert result.plan.notes == ()
        result.save("new.caffemodel", "new.prototxt")
    ((name, before),) = forward(*old).items()
    after = forward("new.prototxt", "new.caffemodel")[name]
    assert np.abs(before).max() > 0.1
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()
    assert "BatchNorm" not in Path("new.prototxt").read_text()
    assert "Scale" not in Path("new.prototxt").read_text()


BACKWARD = (
    "layer 'bn': its bottom 'p' is of layer 'p' (Pooling); it folds into a Convolution or "
    "InnerProduct"
)


def reader(bottom: str, more: str = "", kind: str = "TanH") -> str:
    return f'layer {{ name: "o" type: "{kind}" bottom: "{bottom}" top: "o" {more} }}\n'


RELU_IN_PLACE = 'layer { name: "r" type: "ReLU" bottom: "p" top: "p" }\n'
FLAT = 'layer { name: "f" type: "Flatten" bottom: "s" top: "f" %s }\n'


def behind(layer: str, bottom: str = "f", target: str = "kernel_size: 3") -> str:
    """BEFORE with a layer in front of the one with weights."""
    start, end = BEFORE.split("layer {\n")
    end = end.replace("'s'", f"'{bottom}'").replace("kernel_size: 3", target)
    return start + layer + "layer {\n" + end


@pytest.mark.parametrize(
    ("text", "forwards"),
    [
        (
            BEFORE.replace("kernel_size: 3", "kernel_size: 3 pad_w: 1 pad_h: 0"),
            "layer 'c': it is padded, so no bias gives the same at the borders",
        ),
        (
            BEFORE.replace('"Convolution"', '"Deconvolution"'),
            "layer 'c': a shift after a Deconvolution differs by position, so no bias can "
            "replace it",
        ),
        (BEFORE + reader("s"), "layer 's': layer 'o' reads its top 's' too"),
        (
            BEFORE + reader("s", "include { phase: TRAIN }"),
            "layer 's': layer 'o' of another phase or stage names its top 's'",
        ),
        (
            BEFORE.replace("layer {\n", RELU_IN_PLACE + "layer {\n"),
            "layer 'bn': layer 'r' works in place on its bottom 'p', before 'c' would read it",
        ),
        (
            BEFORE.replace('top: "c"', 'top: "c" bottom: "p" top: "c2"'),
            "layer 'c': it has 2 bottoms, expected one",
        ),
        (
            BEFORE.replace("kernel_size: 3", "kernel_size: [3] axis: 2"),
            "layer 'c': its bottom is 2x4x3x3 with axis 2, expected N x C",
        ),
        (
            BEFORE + 'layer { name: "c" type: "TanH" bottom: "x" top: "o" include { stage: "a" } }',
            "layer 'c': a layer of another phase or stage has its name",
        ),
        (
            behind(
                FLAT.replace("Flatten", "Reshape") % "reshape_param { shape { dim: [0, 2, 6, 3] } }"
            ),
            "layer 'c': the channels of its bottom are not those of 'p', or parts of them",
        ),
        (
            behind(
                FLAT.replace("Flatten", "Reshape") % "reshape_param { shape { dim: [4, 2, 3, 3] } }"
            ),
            "layer 'c': the channels of its bottom are not those of 'p', or parts of them",
        ),
        (
            behind(FLAT % "" + reader("f")),
            "layer 'f': layer 'o' reads its top 'f' too",
        ),
    ],
)
def test_what_cannot_be_folded_either_way(text: str, forwards: str) -> None:
    text = text.replace("kernel_size: 2 }", "kernel_size: 2 stride: 2 }")
    if "Reshape" in text or "Flatten" in text:
        text = text.replace("kernel_size: 3", "kernel_size: 1")
    for word in ("fold:bn", "fold:s"):
        assert refused(text, word) == f"{BACKWARD}; nor into the one behind it: {forwards}"
    with fold(text, "fold") as result:
        assert result.plan.text is None
        assert result.plan.notes == (
            f"not folded: {BACKWARD}; nor into the one behind it: {forwards}",
        )


@pytest.mark.parametrize(
    "between",
    [
        'layer { name: "f" type: "ReLU" bottom: "s" top: "f" }\n',
        'layer { name: "f" type: "Permute" bottom: "s" top: "f" permute_param { order: 0 } }\n',
        'layer { name: "f" type: "Dropout" bottom: "s" top: "f" }\n',
    ],
)
def test_without_a_layer_behind_the_reason_is_the_one_before(between: str) -> None:
    assert refused(behind(between), "fold:bn") == BACKWARD


def test_a_shared_weight_is_not_changed() -> None:
    shared = 'param { name: "w" } convolution_param'
    twin = 'layer { name: "t" type: "Convolution" bottom: "p" top: "t" param { name: "w" } '
    twin += "convolution_param { num_output: 6 bias_term: false kernel_size: 3 } }\n"
    text = BEFORE.replace("convolution_param", shared) + twin
    assert refused(text, "fold:bn").endswith(
        "nor into the one behind it: layer 'c': it shares its param 0 with layer 't'"
    )


def test_a_factor_alone_passes_padding() -> None:
    """The Scale has no bias; the BatchNorm before it, whose mean would be a shift, has others."""
    text = BEFORE.replace("bias_term: true", "").replace("kernel_size: 3", "kernel_size: 3 pad: 1")
    with fold(text + reader("bn"), "fold") as result:
        step = result.plan.steps[0]
        assert [event.layer for event in step.layers] == ["s"]
        assert [(each.layer, each.index) for each in step.params] == [("c", 0)]
        assert result.plan.notes[0].startswith(f"not folded: {BACKWARD}")
        text = result.plan.text or ""
    assert "bottom: 'bn'" in text
    assert "bias_term: false" in text


def test_what_a_layer_in_front_of_the_chain_cannot_give_stays() -> None:
    """A BatchNorm by each batch's own statistics, and a Scale that is folded without it."""
    own = '"bn" batch_norm_param { use_global_stats: false } }'
    text = BEFORE.replace('top: "bn" }', f"top: {own}")
    with fold(text, "fold:s") as result:
        assert "bottom: 'bn'" in (result.plan.text or "")
        assert '"s"' not in (result.plan.text or "")


def test_of_a_chain_that_stays_one_layer_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is that of all, however long the chain is."""
    tried = []

    def find(work: EditSession, layer: Layer, gone: Container[Layer]) -> Forwards | None:
        tried.append(layer.name)
        return find_forwards(work, layer, gone)

    monkeypatch.setattr("netsurgery.surgery.edit.operations.fold.find_forwards", find)
    scales = "".join(
        f'layer {{ name: "s{i}" type: "Scale" bottom: "s{i - 1}" top: "s{i}" }}\n'
        for i in range(1, 40)
    )
    head = BEFORE.split("\n# normalized")[0].replace('top: "p"', 'top: "s0"')
    padded = "convolution_param { num_output: 1 kernel_size: 3 pad: 1 }"
    biased = scales.replace('top: "s1" }', 'top: "s1" scale_param { bias_term: true } }')
    for end in (scales + reader("s39"), biased + reader("s39", padded, "Convolution")):
        tried.clear()
        with fold(head + end, "fold") as result:
            assert len(result.plan.notes) == 1
        assert tried == ["s39"]
