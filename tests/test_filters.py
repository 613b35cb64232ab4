"""Designed kernels: their numbers, their middles, the sizes they have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from netsurgery.errors import SurgeryError
from netsurgery.surgery.edit.filters import KERNELS, bilinear, kernel

SIZES = [(3, 3), (4, 4), (5, 5), (6, 6), (3, 4), (5, 7), (4, 9)]

OPTIONS: dict[str, dict[str, float]] = {
    "gaussian": {"sigma": 1.3},
    "log": {"sigma": 1.3},
    "gabor": {"sigma": 2.0, "lambda": 4.0},
}


def kernel_of(name: str, height: int, width: int, **options: float) -> NDArray[np.float64]:
    filled = kernel(name, height, width, {**OPTIONS.get(name, {}), **options})
    assert filled.shape == (height, width)
    assert filled.dtype == np.float64
    return filled


def test_the_kernels_as_everybody_knows_them() -> None:
    assert kernel_of("sobel-x", 3, 3).tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    assert kernel_of("sobel-y", 3, 3).tolist() == [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]
    assert kernel_of("scharr", 3, 3).tolist() == [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]
    assert kernel_of("scharr-x", 3, 3).tolist() == kernel_of("scharr", 3, 3).tolist()
    assert kernel_of("scharr-y", 3, 3).tolist() == [[-3, -10, -3], [0, 0, 0], [3, 10, 3]]
    assert kernel_of("laplacian", 3, 3).tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    assert kernel_of("box", 2, 4).tolist() == [[0.125] * 4] * 2
    assert kernel_of("identity", 3, 3).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert kernel_of("bilinear", 3, 3).tolist() == [
        [0.25, 0.5, 0.25],
        [0.5, 1, 0.5],
        [0.25, 0.5, 0.25],
    ]


def test_sobel_of_other_sizes_is_smoothing_times_difference() -> None:
    across = kernel_of("sobel-x", 2, 5)
    assert across[0].tolist() == [-1, -2, 0, 2, 1]
    assert kernel_of("sobel-x", 5, 2)[:, 1].tolist() == [1, 4, 6, 4, 1]
    assert kernel_of("sobel-x", 2, 2).tolist() == [[-1, 1], [-1, 1]]
    assert kernel_of("sobel-y", 4, 3)[:, 1].tolist() == [-2, -2, 2, 2]


def test_even_sizes_are_centered() -> None:
    """Sample positions of k = 4 are -1.5, -0.5, 0.5, 1.5."""
    filled = kernel_of("gaussian", 4, 4, sigma=1.0)
    ratio = math.exp(-(1.5**2 - 0.5**2) / 2)
    assert filled[0, 1] / filled[1, 1] == pytest.approx(ratio)
    assert kernel_of("identity", 4, 4)[1:3, 1:3].tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert kernel_of("identity", 3, 2).tolist() == [[0, 0], [0.5, 0.5], [0, 0]]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["box", "gaussian", "identity", "laplacian", "log"])
def test_symmetric_kernels_mirror_at_every_size(name: str, size: tuple[int, int]) -> None:
    filled = kernel_of(name, *size)
    np.testing.assert_allclose(filled, filled[::-1, :], atol=1e-15)
    np.testing.assert_allclose(filled, filled[:, ::-1], atol=1e-15)
    assert filled.sum() == pytest.approx(0 if name in ("laplacian", "log") else 1, abs=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_differences_are_odd_one_way_and_even_the_other(size: tuple[int, int]) -> None:
    filled = kernel_of("sobel-x", *size)
    assert np.array_equal(filled, -filled[:, ::-1])
    assert np.array_equal(filled, filled[::-1, :])
    assert np.array_equal(kernel_of("sobel-y", *size), kernel_of("sobel-x", *size[::-1]).T)


@pytest.mark.parametrize("size", SIZES)
def test_the_laplacian_of_a_parabola_is_four(size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    assert (kernel_of("laplacian", *size) * (x**2 + y**2)).sum() == pytest.approx(4)


def test_gabor_turns_and_shifts() -> None:
    filled = kernel_of("gabor", 5, 5)
    assert filled[2, 2] == 1
    assert filled[2, 4] == pytest.approx(math.exp(-4 / 8) * math.cos(math.pi))
    np.testing.assert_allclose(kernel_of("gabor", 5, 5, theta=90), filled.T, atol=1e-12)
    np.testing.assert_allclose(kernel_of("gabor", 5, 5, psi=180), -filled, atol=1e-12)
    assert kernel_of("gabor", 5, 5, gamma=2)[4, 2] == pytest.approx(math.exp(-16 / 8))


def test_a_gaussian_of_no_width_is_the_identity() -> None:
    for size in SIZES:
        assert np.array_equal(
            kernel_of("gaussian", *size, sigma=1e-9), kernel_of("identity", *size)
        )


def test_bilinear_of_small_sizes() -> None:
    assert bilinear(1).tolist() == [[1]]
    assert bilinear(2).tolist() == [[0.25, 0.25], [0.25, 0.25]]


@pytest.mark.parametrize(
    ("name", "size", "options", "what"),
    [
        ("canny", (3, 3), {}, f"no kernel named 'canny'; there are {', '.join(KERNELS)}"),
        ("gaussian", (3, 3), {}, "gaussian needs sigma, as in gaussian:sigma=1"),
        ("gabor", (3, 3), {"sigma": 1}, "gabor needs lambda, as in gabor:lambda=1"),
        ("gaussian", (3, 3), {"sigma": 0}, "gaussian: sigma=0; expected a number above 0"),
        ("log", (3, 3), {"sigma": -1}, "log: sigma=-1; expected a number above 0"),
        (
            "gabor",
            (3, 3),
            {"sigma": 1, "lambda": 1, "theta": math.inf},
            "gabor: theta=inf; expected a finite number",
        ),
        ("box", (3, 3), {"sigma": 1}, "box has no option 'sigma'; it takes no options"),
        ("log", (3, 3), {"theta": 1}, "log has no option 'theta'; it takes sigma"),
        ("sobel-x", (1, 3), {}, "sobel-x fits 2x2 and larger, not 1x3"),
        ("scharr-y", (5, 5), {}, "scharr-y fits 3x3 alone, not 5x5"),
        ("laplacian", (2, 3), {}, "laplacian fits 3x3 and larger, not 2x3"),
        ("bilinear", (3, 4), {}, "bilinear fits squares, not 3x4"),
    ],
)
def test_what_cannot_be_is_refused(
    name: str, size: tuple[int, int], options: dict[str, float], what: str
) -> None:
    with pytest.raises(SurgeryError) as caught:
        kernel(name, *size, options)
    assert str(caught.value) == what
