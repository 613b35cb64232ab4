"""Caffe's fillers: what they give, what they refuse, and that a seed is a seed."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from netsurgery.errors import PrototxtError
from netsurgery.formats.textformat import parse
from netsurgery.surgery.fillers import FILLERS, Filler, fill, read_filler, why_not

SHAPE = (40, 30, 5, 5)
COUNT = math.prod(SHAPE)

EXPECTED = {
    "bilinear": "084c7eab6883",
    "constant": "0ed9e26c3f14",
    "gaussian": "6574d9dd276b",
    "msra": "43ed3966e498",
    "positive_unitball": "c1bcaa686912",
    "uniform": "96fb42d483a1",
    "xavier": "112a2147fde1",
}


def filled(filler: Filler, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> NDArray[np.float32]:
    assert why_not(filler, shape) == ""
    values = np.concatenate(list(fill(filler, shape, seed, "w")))
    assert values.dtype == np.float32
    return values.reshape(shape)


def test_a_constant() -> None:
    assert np.unique(filled(Filler(value=0.25))).tolist() == [0.25]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, -1.0), (2.0, 2.0)])
def test_uniform(low: float, high: float) -> None:
    values = filled(Filler("uniform", min=low, max=high))
    assert low <= values.min() <= values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=4 * (high - low) / 12**0.5 / 173)
    assert values.std() == pytest.approx((high - low) / 12**0.5, abs=0.02 * (high - low))


def test_gaussian() -> None:
    values = filled(Filler("gaussian", mean=3.0, std=0.5))
    assert values.mean() == pytest.approx(3.0, abs=4 * 0.5 / COUNT**0.5)
    assert values.std() == pytest.approx(0.5, rel=4 / (2 * COUNT) ** 0.5)


def test_sparse_keeps_so_many_of_each_output_on_the_average() -> None:
    values = filled(Filler("gaussian", std=2.0, sparse=10))
    share = np.count_nonzero(values) / COUNT
    assert share == pytest.approx(10 / 40, abs=4 * (0.25 * 0.75 / COUNT) ** 0.5)
    assert values[values != 0].std() == pytest.approx(2.0, rel=0.03)
    assert np.count_nonzero(filled(Filler("gaussian", sparse=0))) == 0


@pytest.mark.parametrize(
    ("norm", "divisor"), [("FAN_IN", 750), ("FAN_OUT", 1000), ("AVERAGE", 875)]
)
def test_xavier_and_msra_divide_by_what_they_are_given(norm: str, divisor: int) -> None:
    xavier = filled(Filler("xavier", variance_norm=norm))
    limit = math.sqrt(3 / divisor)
    assert np.abs(xavier).max() <= np.float32(limit)
    assert np.abs(xavier).max() > 0.999 * limit
    msra = filled(Filler("msra", variance_norm=norm))
    assert msra.std() == pytest.approx(math.sqrt(2 / divisor), rel=4 / (2 * COUNT) ** 0.5)


def test_a_blob_of_one_axis_has_itself_as_fan_out() -> None:
    values = filled(Filler("xavier", variance_norm="FAN_OUT"), (5000,))
    assert np.abs(values).max() == pytest.approx(math.sqrt(3 / 5000), rel=0.01)
    assert np.abs(filled(Filler("xavier"), (5000,))).max() == pytest.approx(math.sqrt(3), rel=0.01)


def test_the_rows_of_a_unit_ball_sum_to_one() -> None:
    values = filled(Filler("positive_unitball"))
    assert values.min() >= 0
    assert values.reshape(40, -1).sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert filled(Filler("positive_unitball"), (7,)).tolist() == [1.0] * 7


def test_bilinear_is_the_same_ramp_in_every_plane() -> None:
    values = filled(Filler("bilinear"), (2, 3, 4, 4))
    ramp = np.array([0.25, 0.75, 0.75, 0.25])
    assert (values == np.outer(ramp, ramp).astype(np.float32)).all()


def test_pieces_join_over_the_limit_of_one() -> None:
    pieces = list(fill(Filler("gaussian"), (3, 1 << 19), 5, "w"))
    assert [piece.size for piece in pieces] == [1 << 20, 1 << 19]
    assert not np.array_equal(pieces[0][: 1 << 19], pieces[1])


def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    """Not only twice on this machine: the bytes are written down here."""
    digests = {
        kind: hashlib.sha256(filled(Filler(kind), (6, 4, 3, 3)).tobytes()).hexdigest()[:12]
        for kind in FILLERS
    }
    assert digests == EXPECTED
    assert not np.array_equal(filled(Filler("uniform")), filled(Filler("uniform"), seed=2))


def test_each_param_has_numbers_of_its_own() -> None:
    first, second = (next(fill(Filler("uniform"), (99,), 1, key)) for key in "ab")
    assert not np.array_equal(first, second)


def test_reading_a_filler() -> None:
    text = 'type: "msra" variance_norm: AVERAGE std: 2 sparse: 5 min: -1 max: 3 mean: 4 value: 6'
    assert read_filler(parse(text), Filler()) == Filler("msra", 6, -1, 3, 4, 2, 5, "AVERAGE")
    assert read_filler(parse("variance_norm: 1"), Filler()).variance_norm == "FAN_OUT"
    assert read_filler(parse(""), Filler(value=1.0)) == Filler()
    assert read_filler(None, Filler(value=1.0)) == Filler(value=1.0)
    with pytest.raises(PrototxtError, match="found variance_norm BOTH, expected FAN_IN, FAN_OUT"):
        read_filler(parse("f { variance_norm: BOTH }").messages("f")[0], Filler())


@pytest.mark.parametrize(
    ("filler", "shape", "why"),
    [
        (
            Filler("xaver"),
            (2, 2),
            "filler type 'xaver' is none of Caffe 1.0's: bilinear, constant, gaussian, msra, "
            "positive_unitball, uniform, xavier",
        ),
        (
            Filler("xavier", sparse=3),
            (2, 2),
            "sparse belongs to the filler gaussian, not to xavier",
        ),
        (Filler("gaussian", sparse=3), (2, 2), "sparse: 3 of 2 outputs; expected -1 to 2"),
        (Filler("gaussian", sparse=-2), (2, 2), "sparse: -2 of 2 outputs; expected -1 to 2"),
        (Filler("gaussian", std=0.0), (2,), "gaussian with std 0; expected more than 0"),
        (Filler("uniform", min=2.0), (2,), "uniform from 2 to 1; expected min <= max"),
        (Filler("bilinear"), (2, 2, 3, 4), "bilinear fills square filters; the blob is 2x2x3x4"),
        (Filler("bilinear"), (9,), "bilinear fills square filters; the blob is 9"),
        (Filler(value=math.inf), (2,), "a filler's number is not a finite float32"),
    ],
)
def test_what_caffe_would_abort_over_is_refused(
    filler: Filler, shape: tuple[int, ...], why: str
) -> None:
    assert why_not(filler, shape) == why
