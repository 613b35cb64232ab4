"""Every command, and every call of the library, that reads a net: to hold them all to one rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

import netsurgery

__all__ = ["CALLS", "COMMANDS", "GOOD", "TRUTH", "make_good"]

#: A net that all of them take, with its weights beside it (good.caffemodel).
GOOD = """
name: "good"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

#: Annotations of the picture.
TRUTH = '{"classes": ["1"], "pictures": [{"file": "grey.png"}]}'


def make_good(level: int = 7, folder: Path | None = None) -> None:
    """Make good.prototxt, good.caffemodel and a grey picture of 8 x 8 in a folder, or here.

    good.json annotates the picture.
    """
    folder = folder or Path()
    (folder / "good.prototxt").write_text(GOOD)
    netsurgery.init(folder / "good.prototxt", folder / "good.caffemodel")
    Image.new("L", (8, 8), level).save(folder / "grey.png")
    (folder / "good.json").write_text(TRUTH)


#: Command -> the words behind it, several ways where a net may stand in several places; NET is the
#: net asked about, good.* are those of `GOOD`, grey.png is a picture.
COMMANDS: dict[str, list[str]] = {
    "convert": ["NET good.caffemodel -o out --engine embedded"],
    "classify-map": [
        "grey.png --prototxt NET --weights good.caffemodel --blob conv --npy out.npy "
        "--engine embedded"
    ],
    "check": ["NET", "NET good.caffemodel"],
    "inspect": ["NET", "NET good.caffemodel"],
    "dense": ["NET --stride 1 -o out.prototxt"],
    "draw": ["NET -o out.svg", "NET good.caffemodel -o out.html --fold --field"],
    "init": ["NET -o out.caffemodel"],
    "edit": ["NET good.caffemodel conv[0]*=2 -o out.caffemodel"],
    "evaluate": [
        ". --annotations good.json --prototxt NET --weights good.caffemodel --blob conv "
        "--engine embedded --background 0"
    ],
    "export": ["NET good.caffemodel -o out.onnx"],
    "diff": ["NET good.prototxt", "good.prototxt NET"],
    "train": ["plan NET good.caffemodel --annotations good.json --images . -o out --pictures 0"],
    "transplant": [
        "NET good.caffemodel good.prototxt -o out.caffemodel",
        "good.prototxt good.caffemodel NET -o out.caffemodel",
    ],
    "upgrade": ["NET -o out.prototxt"],
    "verify": [
        "NET good.caffemodel good.prototxt good.caffemodel --engine embedded",
        "good.prototxt good.caffemodel NET good.caffemodel --engine embedded",
    ],
    "setup": [
        "NET good.caffemodel --image grey.png --class 0 --blob prob --preprocess scaled --force "
        "--engine embedded"
    ],
    "features": [
        "grey.png --prototxt NET --weights good.caffemodel --blob conv -o out.npz --engine embedded"
    ],
}

_WEIGHTS, _PROTOTXT = "good.caffemodel", "good.prototxt"
_EMBEDDED = netsurgery.EngineOptions(choice="embedded")


def _settings(net: str) -> netsurgery.Settings:
    return netsurgery.Settings(prototxt=Path(net), weights=Path(_WEIGHTS))


#: The same for the library: name -> what to call with the net asked about, and its state.
CALLS: dict[str, Callable[..., object]] = {
    "Net": lambda net, state: netsurgery.Net(
        net,
        phase=state.phase,
        stages=state.stages,
        level=state.level,
        input_shapes=dict(state.shapes),
    ),
    "check": lambda net, state: netsurgery.check(net, _WEIGHTS, state=state),
    "classify_map": lambda net, state: netsurgery.classify_map(
        "grey.png", _settings(net), blob="conv", engine=_EMBEDDED, state=state
    ),
    "convert": lambda net, state: netsurgery.convert(
        net, _WEIGHTS, "out", engine=_EMBEDDED, state=state
    ),
    "dense": lambda net, state: netsurgery.dense(net, "out.prototxt", stride=1, state=state),
    "diff": lambda net, _: netsurgery.diff(net, _PROTOTXT),
    "diff, the other": lambda net, _: netsurgery.diff(_PROTOTXT, net),
    "draw": lambda net, state: netsurgery.draw(net, _WEIGHTS, "out.svg", state=state),
    "edit": lambda net, state: netsurgery.edit(
        net, _WEIGHTS, ["conv[0]*=2"], "out.caffemodel", state=state
    ),
    "evaluate": lambda net, state: netsurgery.evaluate(
        ".", _settings(net), annotations="good.json", blob="conv", engine=_EMBEDDED, state=state
    ),
    "export_onnx": lambda net, state: netsurgery.export_onnx(
        net, _WEIGHTS, "out.onnx", state=state
    ),
    "features": lambda net, state: netsurgery.features(
        "grey.png", ["conv"], _settings(net), engine=_EMBEDDED, state=state
    ),
    "extract_features": lambda net, state: list(
        netsurgery.extract_features(
            ["grey.png"], "conv", _settings(net), engine=_EMBEDDED, state=state
        )
    ),
    "init": lambda net, state: netsurgery.init(net, "out.caffemodel", state=state),
    "inspect": lambda net, state: netsurgery.inspect(net, _WEIGHTS, state=state),
    "setup": lambda net, state: netsurgery.setup(
        net, _WEIGHTS, "grey.png", 0, preprocess="scaled", engine=_EMBEDDED, state=state, force=True
    ),
    "train_plan": lambda net, state: netsurgery.train_plan(
        net,
        _WEIGHTS,
        "out",
        annotations="good.json",
        images=".",
        pictures=0,
        force=True,
        state=state,
    ),
    "transplant": lambda net, state: netsurgery.transplant(
        (_PROTOTXT, _WEIGHTS), (net, None), "out.caffemodel", state=state
    ),
    "upgrade": lambda net, _: netsurgery.upgrade(net, "out.prototxt"),
    "verify": lambda net, state: netsurgery.verify(
        (net, _WEIGHTS), (_PROTOTXT, _WEIGHTS), engine=_EMBEDDED, state=state
    ),
}
