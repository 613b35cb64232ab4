"""What is known of each layer type's channels, by cutting a bottom of every type that runs.

The layer without some channels of a bottom, and with its params and text cut as the rules say,
has to give what it gave, less the channels of the tops that the rules say are gone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from parity.configurations import TRIALS, tolerance
from parity.conformance import Trial, difference, drawn, prototxt, tops
from parity.conformance import param as drawn_param
from parity.fork_configurations import FORK_TRIALS
from small_models import model_layer, write_model

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.errors import NetsurgeryError, SurgeryError
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import infer
from netsurgery.surgery.edit.channel_types import is_weighted
from netsurgery.surgery.edit.cut_params import cut_layer
from netsurgery.surgery.edit.cuts import NEW, Cut, take
from netsurgery.surgery.edit.follow import BlobChannels, Follower
from netsurgery.surgery.edit.paths import relate
from netsurgery.surgery.edit.session import EditSession

Array = NDArray[np.float32]

ALL = {**TRIALS, **FORK_TRIALS}

#: Types that no cut goes through: what they do with channels, they do with several at once, or
#: they have none.
CLOSED = frozenset(
    """
    DummyData Embed Im2col LSTM Normalize Parameter PriorBox RNN Reorg SPP
    """.split()
) | {"Normalize (face)"}


IMAGE = (2, 4, 5, 6)

#: One of each type that mostly works along the channels themselves, and here does not.
WRITTEN = {
    "ArgMax": Trial("ArgMax", "argmax_param { axis: 2 }", (IMAGE,), ("distinct",)),
    "BatchReindex": Trial("BatchReindex", "", (IMAGE, (3,)), ("normal", "below 2")),
    "Crop": Trial("Crop", "crop_param { axis: 2 offset: 1 }", (IMAGE, (1, 2, 3, 4))),
    "LRN": Trial("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }", (IMAGE,)),
    "MVN": Trial("MVN", "", (IMAGE,)),
    "Pad": Trial("Pad", f"pad_param {{ {'paddings: 0 ' * 4}{'paddings: 1 ' * 4}}}", (IMAGE,)),
    "ROIPooling": Trial(
        "ROIPooling",
        "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
        (IMAGE, (3, 5)),
        ("normal", "boxes 2 5"),
    ),
    "Reduction": Trial("Reduction", "reduction_param { axis: 2 }", (IMAGE,)),
    "Reshape": Trial("Reshape", "reshape_param { shape { dim: [0, 4, -1] } }", (IMAGE,)),
    "Reverse": Trial("Reverse", "reverse_param { axis: 2 }", (IMAGE,)),
    "ShuffleChannel": Trial(
        "ShuffleChannel", "shuffle_channel_param { group: 3 }", ((2, 6, 3, 3),)
    ),
    "Tile": Trial("Tile", "tile_param { axis: 3 tiles: 2 }", (IMAGE,)),
}


class Alone(Follower):
    """Follows a cut through one layer, whose bottoms are inputs of the net."""

    def _enqueue(self, blob: BlobChannels, layer: Layer) -> None:
        pass


@st.composite
def cuts(draw: st.DrawFn, trial: Trial) -> tuple[int, Cut]:
    """A bottom, and which of its channels stay; mostly on axis 1, in any order, perhaps more."""
    bottom = draw(st.integers(0, len(trial.bottoms) - 1))
    shape = trial.bottoms[bottom]
    axis = draw(st.sampled_from([1, 1, 1, len(shape) - 1])) % len(shape)
    size = shape[axis]
    rows = draw(st.lists(st.integers(0, size - 1), min_size=1, unique=True))
    rows = sorted(rows) if draw(st.booleans()) else rows
    added = draw(st.sampled_from([0, 0, 0, 1]))
    return bottom, Cut(axis, (*rows, *[NEW] * added), size)


class Trimmed:
    """A trial's layer with a cut bottom: its net, params, and the cuts of its blobs."""

    def __init__(self, folder: Path, trial: Trial, bottom: int, cut: Cut, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.old, self.new = folder / "old.prototxt", folder / "new.prototxt"
        self.weights, self.cut = folder / "old.caffemodel", folder / "new.caffemodel"
        self.old.write_text(prototxt(trial))
        net = NetDefinition.read(self.old)
        (layer,) = net.layers[-1:]
        shapes = infer(net).params_of(layer)
        params = [drawn_param(trial, index, each, self.rng) for index, each in enumerate(shapes)]
        write_model(self.weights, model_layer(layer.name, trial.type, *params))
        with NetWithWeights(net, self.weights) as model:
            work = EditSession(model)
            self.follow = Alone(work, layer)
            self.bottoms = self.follow.bottoms(layer)
            self.follow.cuts[self.bottoms[bottom]] = cut
            for _ in range(4):
                relate(self.follow, layer)
            self.weighted = is_weighted(layer)
            self.tops = self.follow.tops(layer)
            edits = work.net.prototxt.edits()
            cut_layer(self.follow, layer, edits)
            for blob in self.bottoms:
                if blob in self.follow.cuts:
                    (dims,) = (each.dims for each in net.inputs if each.name == blob.name)
                    dim, its = dims[self.follow.cuts[blob].axis], self.follow.cuts[blob]
                    edits.replace(dim.start, dim.end, str(len(its.rows)))
            params = [work.arrays.get((layer.name, i), each) for i, each in enumerate(params)]
            self.new.write_text(edits.apply())
        new = infer(NetDefinition.read(self.new)).params_of(layer)
        if list(new) != [each.shape for each in params]:
            raise SurgeryError("an edit looks at this before it writes")
        write_model(self.cut, model_layer(layer.name, trial.type, *params))

    def inputs(self, trial: Trial) -> tuple[dict[str, Array], dict[str, Array]]:
        """For the old net and for the new; what a weight would read of removed channels is 0."""
        hows = (*trial.values, *["normal"] * len(trial.bottoms))
        old, new = {}, {}
        for blob, how, shape in zip(self.bottoms, hows, trial.bottoms, strict=False):
            values = old[blob.name] = drawn(how, shape, self.rng)
            cut = self.follow.cuts.get(blob)
            if cut is not None and self.weighted:
                gone = [row for row in range(cut.old) if row not in cut.rows]
                np.moveaxis(values, cut.axis, 0)[gone] = 0
            new[blob.name] = values if cut is None else take(values, cut.rows, cut.axis)
        return old, new


ENGINE = open_engine(EngineOptions())


def run(prototxt: Path, weights: Path, inputs: dict[str, Array], blobs: list[str]) -> list[Array]:
    with ENGINE.load(prototxt, weights) as net:
        return list(net.forward(inputs, blobs).values())


@pytest.mark.parametrize("kind", sorted(ALL))
def test_what_is_left_is_what_it_was(kind: str, tmp_path: Path) -> None:
    tried: list[Trial] = []

    @settings(
        max_examples=20,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(data=st.data())
    def try_cut(data: st.DataObject) -> None:
        trial = data.draw(ALL[kind])
        if not trial.bottoms or not all(trial.bottoms):
            return
        bottom, cut = data.draw(cuts(trial))
        try:
            trimmed = Trimmed(tmp_path, trial, bottom, cut, data.draw(st.integers(0, 99)))
        except NetsurgeryError:
            return
        if compare(trimmed, trial, tolerance(kind)) and not cut.same:
            tried.append(trial)

    try_cut()
    if kind in WRITTEN:
        trial = WRITTEN[kind]
        trimmed = Trimmed(tmp_path, trial, 0, Cut(1, (3, 0, 2), trial.bottoms[0][1]), 0)
        assert compare(trimmed, trial, tolerance(kind))
        tried.append(trial)
    assert bool(tried) == (kind not in CLOSED)


def compare(trimmed: Trimmed, trial: Trial, limit: float) -> bool:
    """Hold the new layer against the old; whether there was something to be held."""
    inputs = trimmed.inputs(trial)
    names = tops(trial)
    old = run(trimmed.old, trimmed.weights, inputs[0], names)
    new = run(trimmed.new, trimmed.cut, inputs[1], names)
    held = trimmed.weighted
    for blob, before, after in zip(trimmed.tops, old, new, strict=True):
        cut = trimmed.follow.cuts.get(blob)
        if cut is None:
            expected = before
        elif cut.compared:
            assert cut.axis < 0 or after.shape[cut.axis] == len(cut.rows)
            held = True
            continue
        else:
            held = True
            expected = take(before, cut.rows, cut.axis)
            # What stands in a new channel is of no consequence: who reads it has zeros for it.
            fresh = [place for place, row in enumerate(cut.rows) if row == NEW]
            after = after.copy()
            np.moveaxis(after, cut.axis, 0)[fresh] = 0
        assert difference(after, expected) <= limit, (trial, trimmed.follow.cuts)
    return held


def test_which_axes_of_one_number_are_flattened_is_not_guessed(tmp_path: Path) -> None:
    """A channel more is on the axis that batch and channels became, not on the next."""
    trial = Trial("Flatten", "flatten_param { axis: 0 end_axis: 1 }", ((1, 1, 1),))
    with pytest.raises(SurgeryError, match="mixes its channels with other axes"):
        Trimmed(tmp_path, trial, 0, Cut(1, (0, NEW), 1), 0)
