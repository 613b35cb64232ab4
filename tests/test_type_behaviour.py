"""What the records of layer types say, held against what the embedded engine computes.

A layer is run on numbers, and run again with some of them changed: which tops change, and where,
is what its record says of roles, of height and width, of channels and of the numbers themselves.
What an answer forbids must never be seen; what distinguishes it from the stricter answers must be
seen in some configuration.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from parity.configurations import TRIALS
from parity.conformance import Trial, drawn, prototxt, tops
from parity.fork_configurations import FORK_TRIALS
from small_models import model_layer, write_model

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import EmbeddedEngine, open_engine
from netsurgery.errors import SurgeryError
from netsurgery.formats.schema.index import caffe_fields, fields_of_forks
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.types.record import (
    Channels,
    LayerType,
    ParamRole,
    ParamSpec,
    Role,
    Signs,
    Space,
    Values,
    WeightLayout,
)

Array = NDArray[np.float32]
Inputs = dict[str, Array]

ALL_TRIALS = {**TRIALS, **FORK_TRIALS}
KINDS = sorted(ALL_TRIALS)

#: Configurations of each type that each test looks at.
TRIES = int(os.environ.get("NETSURGERY_BEHAVIOUR", "6"))

few = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Ran:
    """A layer with random params, to be run on numbers of one's own."""

    trial: Trial
    layer: Layer
    params: list[Array]
    inputs: Inputs
    forward: Callable[[Inputs, list[Array]], list[Array]]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    @property
    def record(self) -> LayerType:
        record_of_type = types.of(self.layer)
        assert record_of_type is not None
        return record_of_type

    def top(self, inputs: Inputs | None = None, params: list[Array] | None = None) -> list[Array]:
        return self.forward(inputs or self.inputs, params or self.params)

    def with_input(self, name: str, values: Array) -> list[Array]:
        return self.top({**self.inputs, name: values})

    def again(self, index: int) -> Array:
        """Other numbers for a bottom, drawn alike."""
        how = (*self.trial.values, *["normal"] * len(self.trial.bottoms))[index]
        return drawn(how, self.trial.bottoms[index], self.rng)

    def of(self, role: Role) -> list[str]:
        roles = types.roles(self.layer)
        return [f"in{i}" for i, each in enumerate(roles) if each is role]


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    with open_engine(EngineOptions(threads=1)) as opened:
        yield opened


def run(engine: EmbeddedEngine, folder: Path, trial: Trial, seed: int) -> Ran:
    path, weights = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(prototxt(trial).replace('top: "in0" }', 'top: "out0" }'))
    net = NetDefinition.read(path)
    layer, rng = net.layers[-1], np.random.default_rng(seed)
    params = []
    for index, shape in enumerate(infer(net).params_of(layer)):
        values = rng.standard_normal(shape)
        values = np.abs(values) + 0.5 if index in trial.positive_params else values
        values = np.full(shape, dict(trial.fixed_params).get(index, values))
        params.append(np.asarray(values, np.float32))
    hows = (*trial.values, *["normal"] * len(trial.bottoms))
    inputs = {f"in{i}": drawn(hows[i], shape, rng) for i, shape in enumerate(trial.bottoms)}
    loaded: dict[bytes, list[Array]] = {}

    def forward(inputs: Inputs, params: list[Array]) -> list[Array]:
        key = b"".join(array.tobytes() for array in (*inputs.values(), *params))
        if key not in loaded:
            write_model(weights, model_layer("tried", trial.type, *params))
            with engine.load(path, weights) as opened:
                blobs = opened.forward(inputs, tops(trial))
            loaded[key] = [blobs[top] for top in tops(trial)]
        return loaded[key]

    return Ran(trial, layer, params, inputs, forward)


def changed(before: list[Array], after: list[Array]) -> list[NDArray[np.bool_]]:
    return [
        ~np.isclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
        for a, b in zip(before, after, strict=True)
    ]


def outside(change: NDArray[np.bool_], axes: tuple[int, ...], at: tuple[int, ...]) -> bool:
    """Whether anything changed but at these indices of these axes."""
    rest = change.copy()
    index: list[slice | int] = [slice(None)] * change.ndim
    for axis, place in zip(axes, at, strict=True):
        index[axis] = place
    rest[tuple(index)] = False
    return bool(rest.any())


def poked(values: Array, axes: tuple[int, ...], at: tuple[int, ...], by: float) -> Array:
    """`values` with those at these indices changed."""
    index: list[slice | int] = [slice(None)] * values.ndim
    for axis, place in zip(axes, at, strict=True):
        index[axis] = place
    result = values.copy()
    result[tuple(index)] += np.float32(by)
    return np.asarray(result)


class Seen(dict[tuple[str, object], bool]):
    """What was looked for, by answer: whether some configuration has shown it."""

    def looked(self, kind: str) -> None:
        self["looked at", kind] = True

    def note(self, question: str, answer: object, shown: bool) -> None:
        self[question, answer] = self.get((question, answer), False) or shown

    def insist(self) -> None:
        never = [key for key, shown in self.items() if not shown]
        assert not never, f"never seen: {never}"


Look = Callable[[Ran, Seen], None]


class Enough(Exception):
    """All that was looked for has been seen: what is still to be drawn would not be looked at."""


def over_trials(kind: str, engine: EmbeddedEngine, folder: Path, look: Look) -> None:
    """Look at the first few random configurations, and at more where not all has been seen."""
    seen, looked = Seen({("looked at", kind): False}), 0
    for tries in (TRIES, 10 * TRIES, 80 * TRIES):

        @settings(few, max_examples=tries)
        @given(ALL_TRIALS[kind], st.integers(0, 2**32 - 1))
        def attempt(trial: Trial, seed: int) -> None:
            nonlocal looked
            if looked >= TRIES and all(seen.values()):
                raise Enough
            looked += 1
            look(run(engine, folder, trial, seed), seen)

        with suppress(Enough):
            attempt()
        if all(seen.values()):
            break
    seen.insist()


@pytest.mark.parametrize("kind", KINDS)
def test_what_bottoms_are_read_for(kind: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    """SIZE: other numbers change nothing. All else: some change something."""

    def look(ran: Ran, seen: Seen) -> None:
        before = ran.top()
        for index, role in enumerate(types.roles(ran.layer)):
            after = ran.with_input(f"in{index}", ran.again(index))
            change = any(each.any() for each in changed(before, after))
            if role is Role.SIZE:
                assert not change
            else:
                seen.note("read", (index, role), change)
        seen.looked(kind)

    over_trials(kind, engine, tmp_path, look)


def over_the_channels(layer: Layer) -> bool:
    """Whether the axis that its message names is 1, as it is where none is named."""
    message = layer.param(types.message_of(layer) or "")
    if types.is_a(layer, types.ARGMAX) and not message.all("axis"):
        return False
    names = [f.name for f in message.fields if f.name == "axis" or f.name.endswith("_dim")]
    return all(message.integer(name, 1, -9) == 1 for name in names)


def _corner(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[2] - 1, shape[3] - 1


@pytest.mark.parametrize("kind", KINDS)
def test_over_height_and_width(kind: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    def look(ran: Ran, seen: Seen) -> None:
        space = types.space(ran.layer)
        if types.channels(ran.layer) is Channels.ALONG and not over_the_channels(ran.layer):
            return
        before = ran.top()
        assert (space is Space.NOWHERE) == (not ran.of(Role.VALUE) and not ran.of(Role.INDEX))
        if not ran.of(Role.VALUE):
            seen.looked(kind)
        for name in ran.of(Role.VALUE)[:3]:
            values = ran.inputs[name]
            if values.ndim != 4 or min(values.shape[2:]) < 2:
                continue
            seen.looked(kind)
            places = {(0, 0), _corner(values.shape)}
            for at in sorted(places):
                for by in (4.0, -4.0):
                    poke = poked(values, (2, 3), at, by)
                    after = ran.with_input(name, poke)
                    _hold_space(ran, seen, space, before, after, at, values.shape[2:])
            if space is Space.WHOLE:
                _hold_whole(ran, name, before)

    over_trials(kind, engine, tmp_path, look)


def _hold_whole(ran: Ran, name: str, before: list[Array]) -> None:
    """The last cell of the map changes the first cell of a top."""
    values = ran.inputs[name]
    seen = False
    for by in (4.0, -4.0, 400.0, -400.0):
        after = ran.with_input(name, poked(values, (2, 3), _corner(values.shape), by))
        for top, change in zip(before, changed(before, after), strict=True):
            far = change[..., 0, 0] if top.ndim == 4 else change
            seen = seen or bool(far.any())
    assert seen, "a cell that another does not see"


def _hold_space(
    ran: Ran,
    seen: Seen,
    space: Space,
    before: list[Array],
    after: list[Array],
    at: tuple[int, int],
    size: tuple[int, ...],
) -> None:
    for top, change in zip(before, changed(before, after), strict=True):
        like = top.ndim == 4 and top.shape[2:] == size
        elsewhere = not like or outside(change, (2, 3), at)
        if space in (Space.POINTWISE, Space.JOINING):
            assert like, "a map of another size"
            assert not elsewhere, f"{at} changes other cells"
        elif space in (Space.SLIDING, Space.SPREADING):
            assert top.ndim == 4
            rows, columns = _reached(ran, space, at)
            hit = np.argwhere(change.any(axis=(0, 1)))
            assert all(y in rows and x in columns for y, x in hit)
            seen.note("reaches", space, elsewhere)
        elif space is Space.WHOLE:
            continue
        elif space is Space.RESAMPLING:
            seen.note("another grid", space, not like)
        else:
            seen.note("elsewhere", space, elsewhere)


def _reached(ran: Ran, space: Space, at: tuple[int, int]) -> tuple[set[int], set[int]]:
    """The rows and columns of a top that a cell at `at` may reach."""
    assert ran.record.window is not None
    size = ran.inputs["in0"].shape[2:]
    window, reached = ran.record.window(ran.layer, size), []
    for i in range(2):
        stride, pad, reach = window.stride[i], window.pad[i], window.extent[i]
        if space is Space.SPREADING:
            start = at[i] * stride - pad
            reached.append(set(range(start, start + reach)))
        else:
            reached.append({j for j in range(99) if 0 <= at[i] - (j * stride - pad) < reach})
    return reached[0], reached[1]


@pytest.mark.parametrize("kind", KINDS)
def test_over_channels(kind: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    def look(ran: Ran, seen: Seen) -> None:
        answer, before = types.channels(ran.layer), ran.top()
        assert (answer is Channels.NONE) == (not ran.of(Role.VALUE) and not ran.of(Role.INDEX))
        if not ran.of(Role.VALUE):
            seen.looked(kind)
        for name in ran.of(Role.VALUE)[:3]:
            values = ran.inputs[name]
            if values.ndim < 2 or values.shape[1] < 2:
                continue
            seen.looked(kind)
            for channel in {1, values.shape[1] - 1}:
                after = ran.with_input(name, poked(values, (1,), (channel,), 1.5))
                for top, change in zip(before, changed(before, after), strict=True):
                    like = top.ndim >= 2 and top.shape[1] == values.shape[1]
                    if answer in (Channels.ALIKE, Channels.BY_CHANNEL):
                        assert like, "other channels than the bottom has"
                        assert not outside(change, (1,), (channel,)), "other channels change"
                    else:
                        mixes = not like or outside(change, (1,), (channel,))
                        seen.note("mixes", answer, mixes)
        _hold_alike(ran, seen, answer, before)

    over_trials(kind, engine, tmp_path, look)


def _hold_alike(ran: Ran, seen: Seen, answer: Channels, before: list[Array]) -> None:
    """ALIKE: with channels the other way round the tops have them so. BY_CHANNEL: not always."""
    names = ran.of(Role.VALUE) + ran.of(Role.GATE)
    turned = {name: ran.inputs[name][:, ::-1] for name in names if ran.inputs[name].ndim > 1}
    indexed = any(ran.inputs[name].ndim == 4 for name in ran.of(Role.INDEX))
    if not turned or answer not in (Channels.ALIKE, Channels.BY_CHANNEL, Channels.ALONG):
        return
    if indexed:  # Upsample: what says where values go says it of each channel
        turned |= {
            name: ran.inputs[name][:, ::-1]
            for name in ran.of(Role.INDEX)
            if ran.inputs[name].shape == ran.inputs["in0"].shape
        }
    after = ran.top({**ran.inputs, **turned})
    for top, later in zip(before, after, strict=True):
        same = top.ndim > 1 and not changed([top[:, ::-1]], [later])[0].any()
        if answer is Channels.ALONG:
            seen.note("mixes", answer, not same)
        elif answer is Channels.ALIKE:
            assert same, "channels are not treated alike"
        elif ran.params and min(top.shape[1:2], default=1) > 1:
            seen.note("has params of its own", answer, not same)


SIGNED = [kind for kind in KINDS if types.RECORDS[kind].signs is not Signs.ANY]


@pytest.mark.parametrize("kind", SIGNED)
def test_which_numbers_are_never_negative(
    kind: str, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """NEVER: none, of negative ones either. KEPT: none of others, and some of negative ones."""

    def look(ran: Ran, seen: Seen) -> None:
        signs = types.signs(ran.layer)
        read = [*ran.of(Role.VALUE), *ran.of(Role.GATE)]
        negative = {**ran.inputs, **{name: -1 - np.abs(ran.inputs[name]) for name in read}}
        others = {**ran.inputs, **{name: np.abs(ran.inputs[name]) for name in read}}
        seen.looked(kind)
        if signs is Signs.NEVER:
            assert all((top >= 0).all() for top in (*ran.top(negative), *ran.top()))
        if signs is Signs.KEPT and ran.layer.tops:
            assert all((top >= 0).all() for top in ran.top(others))
            seen.note("signs", signs, any((top < 0).any() for top in ran.top(negative)))

    over_trials(kind, engine, tmp_path, look)


@pytest.mark.parametrize("kind", KINDS)
def test_what_becomes_of_the_numbers(kind: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    def look(ran: Ran, seen: Seen) -> None:
        answer, before = types.values(ran.layer), ran.top()
        bottoms = [ran.inputs[name] for name in ran.of(Role.VALUE)]
        assert (answer is Values.NONE) == (not bottoms and not ran.of(Role.INDEX))
        seen.looked(kind)
        if not bottoms:
            return
        flat = np.concatenate([each.ravel() for each in bottoms])
        for top in before:
            same = top.size == bottoms[0].size and bool((top.ravel() == bottoms[0].ravel()).all())
            among = bool(np.isin(top, [*flat, *_put_in(ran.layer)]).all())
            if answer in (Values.KEPT, Values.PASSED):
                assert same
            elif answer is Values.MOVED:
                assert among
                seen.note("moves", answer, not same)
            elif answer is Values.CHANGED:
                seen.note("changes", answer, not among)
            elif answer is Values.HIDDEN:
                seen.note("hides", answer, _hides(ran))

    over_trials(kind, engine, tmp_path, look)


def _put_in(layer: Layer) -> list[np.float32]:
    """Numbers that are of no bottom: what is padded with."""
    padding = layer.param("pad_param").number("constant_values", 0.0)
    return [np.float32(0), np.float32(padding)]


def _hides(ran: Ran) -> bool:
    """Whether different numbers make the very same tops."""
    name = ran.of(Role.VALUE)[0]
    values = ran.inputs[name]
    for base, by in (
        (values, 1e-3),
        (values, -1e-3),
        (0 * values + 60, 1.0),
        (0 * values - 60, -1.0),
    ):
        for place in (0, -1):
            poke = np.asarray(base, np.float32)
            low = ran.with_input(name, poke)
            opposite = poke.copy()
            opposite.ravel()[place] += np.float32(by)
            high = ran.with_input(name, opposite)
            if all(np.array_equal(a, b) for a, b in zip(low, high, strict=True)):
                return True
    # A sign that is lost (AbsVal), and a number that outweighs all others (Softmax).
    if all(
        np.array_equal(a, b) for a, b in zip(ran.top(), ran.with_input(name, -values), strict=True)
    ):
        return True
    large = [values * 0 + 200, values * 0 + 200]
    for each, more in zip(large, (100, 101), strict=True):
        each.ravel()[0] += np.float32(more)
    low, high = (ran.with_input(name, each) for each in large)
    return all(np.array_equal(a, b) for a, b in zip(low, high, strict=True))


AFFINE = sorted(name for name, each in types.RECORDS.items() if each.affine is not None)


@pytest.mark.parametrize("kind", AFFINE)
def test_factor_and_shift_by_channel(kind: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    def look(ran: Ran, seen: Seen) -> None:
        affine, x = ran.record.affine, ran.inputs["in0"]
        assert affine is not None
        if x.ndim < 2 or len(ran.trial.bottoms) > 1:
            return
        try:
            factor, shift = affine(
                ran.layer, lambda index: ran.params[index].ravel().astype(float), x.shape[1]
            )
        except SurgeryError:
            seen.note("folds", kind, False)
            return
        axis = next(
            (
                ran.layer.param(f).integer("axis", 1, -9)
                for f in ("scale_param", "bias_param")
                if ran.layer.message.all(f)
            ),
            1,
        )
        if axis % x.ndim != 1:
            return  # counted from the end: the caller looks at it
        around = (1, -1, *[1] * (x.ndim - 2))
        expected = factor.reshape(around) * x + shift.reshape(around)
        (top, *_) = ran.top()
        limit = 1e-4 * max(np.abs(top).max(), 1e-3)
        assert np.abs(expected.reshape(top.shape) - top).max() <= limit
        seen.note("folds", kind, True)
        seen.looked(kind)

    over_trials(kind, engine, tmp_path, look)


def test_what_folds_is_by_channel_and_has_params() -> None:
    assert set(AFFINE) == {
        name
        for name, each in types.RECORDS.items()
        if each.params not in (None, ())
        and each.layout is None
        and not callable(each.channels)
        and each.channels in (Channels.BY_CHANNEL, Channels.ALONG)
        and name != "PReLU"
    }


def _scaled(weight: Array, layout: WeightLayout, factor: Array) -> Array:
    """Row by row: the weight that gives each output `factor` times as large."""
    if layout is WeightLayout.TURNED:
        return weight * factor
    if layout is WeightLayout.OUTPUTS_FIRST:
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    groups = factor.size // weight.shape[1]
    each = factor.reshape(groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
    return (weight.reshape(groups, -1, *weight.shape[1:]) * each).reshape(weight.shape)


LINEAR = [kind for kind in KINDS if types.RECORDS[kind].layout is not None]


@pytest.mark.parametrize("kind", LINEAR)
def test_linear_params_take_up_a_factor(kind: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    def look(ran: Ran, seen: Seen) -> None:
        params, layout = types.params(ran.layer), types.layout(ran.layer)
        assert params is not None
        assert layout is not None
        assert all(param.linear for param in params)
        (before, *_) = ran.top()
        axis = before.ndim - 1 if types.is_a(ran.layer, types.INNER_PRODUCT) else 1
        outputs = before.shape[axis]
        factor = np.asarray(ran.rng.random(outputs) + 0.5, np.float32)
        values = [_scaled(ran.params[0], layout, factor)]
        values += [ran.params[1] * factor] if len(params) > 1 else []
        (after, *_) = ran.top(params=values)
        around = [1] * before.ndim
        around[axis] = outputs
        limit = 1e-4 * max(float(np.abs(before).max()), 1e-3)
        assert np.abs(after - before * factor.reshape(around)).max() <= limit
        seen.looked(kind)
        seen.note("layout", layout, bool(np.abs(after - before).max() > limit))

    over_trials(kind, engine, tmp_path, look)


WITH_PARAMS = [kind for kind in KINDS if types.RECORDS[kind].params != ()]


@pytest.mark.parametrize("kind", WITH_PARAMS)
def test_params_are_what_they_are_called(kind: str, engine: EmbeddedEngine, tmp_path: Path) -> None:
    """A bias and a shift are added, a scale multiplies; the rest change something at least."""

    def look(ran: Ran, seen: Seen) -> None:
        params = types.params(ran.layer)
        assert params is not None
        assert len(params) == len(ran.params)
        (before, *_) = ran.top()
        seen.looked(kind)
        for index, param in enumerate(params):
            if param.role is ParamRole.FACTOR and ran.trial.fixed_params:
                continue  # NVCaffe's is 1, or it is refused
            values = list(ran.params)
            values[index] = values[index] + np.float32(0.75)
            (after, *_) = ran.top(params=values)
            if param.role in (ParamRole.BIAS, ParamRole.SHIFT) and kind not in ("LSTM", "RNN"):
                assert np.allclose(after - before, 0.75, atol=1e-4 * (1 + np.abs(before).max()))
            stays = not changed([before], [after])[0].any()
            seen.note("matters", (index, param.role), not stays)
            if param.role is ParamRole.SCALE:
                _hold_scale(ran, index, params, before)

    over_trials(kind, engine, tmp_path, look)


def _hold_scale(ran: Ran, index: int, params: tuple[ParamSpec, ...], before: Array) -> None:
    """Twice the scale is twice the top, but for what is added to it."""
    values = list(ran.params)
    values[index] = values[index] * 2
    for place, param in enumerate(params):
        if param.role is ParamRole.SHIFT:
            values[place] = values[place] * 2
    (after, *_) = ran.top(params=values)
    assert np.allclose(after, 2 * before, rtol=1e-4, atol=1e-4 * (1 + np.abs(before).max()))


@pytest.mark.parametrize("kind", sorted(types.RECORDS))
def test_answers_that_need_each_other(kind: str) -> None:
    record = types.RECORDS[kind]
    windows = (Space.SLIDING, Space.SPREADING)
    if record.space in windows:
        assert record.window is not None
    elif not callable(record.space):
        assert record.window is None or record is types.INNER_PRODUCT
    if record.space is Space.JOINING:
        assert not callable(record.bottoms)
        assert record.bottoms[1] > 1
    if record.channels is Channels.BY_CHANNEL:
        assert not callable(record.roles)
        assert record.params or Role.GATE in record.roles
    if record.layout is not None:
        assert callable(record.params) or record.params
    assert (record.edges is None) == (record.shapes is None and record.params is None)


@pytest.mark.parametrize("kind", sorted(types.RECORDS))
def test_fillers_are_fields_of_the_message(kind: str) -> None:
    record = types.RECORDS[kind]
    if record.message is None or not isinstance(record.params, tuple):
        return
    name = caffe_fields("LayerParameter").get(record.message)
    name = name or fields_of_forks("LayerParameter")[record.message]
    known = {**fields_of_forks(name), **caffe_fields(name)}
    for param in record.params:
        assert not param.filler or known[param.filler] == "FillerParameter"
