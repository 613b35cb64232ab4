"""Designed kernels: filters that are known without training.

Every kernel is H x W float64, made for the requested size. Positions are counted from the center:
sample i of k is at i - (k - 1) / 2, so kernels of even sizes are centered too (between two
samples). Caffe's Convolution does not flip its kernels: y = sum of w[i, j] * x[i, j] over the
window, so ``sobel-x`` is positive where the picture grows brighter to the right, ``sobel-y`` where
it does downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Kernel = NDArray[np.float64]

__all__ = ["KERNELS", "KernelKind", "bilinear", "kernel"]

Options = Mapping[str, float]

#: Options that have to be above 0.
_POSITIVE = frozenset({"sigma", "lambda", "gamma"})


@dataclass(frozen=True)
class KernelKind:
    """One kind of kernel.

    make: (H, W, options) -> the kernel. help: what it is, a sentence. sizes: those it fits, in
    words. fits: whether it fits H x W. needs: required options, each with an example. defaults:
    the others.
    """

    make: Callable[[int, int, Options], Kernel]
    help: str
    sizes: str
    fits: Callable[[int, int], bool]
    needs: Mapping[str, float] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)


def kernel(name: str, height: int, width: int, options: Options) -> Kernel:
    """The kernel `name` of `height` x `width`, float64.

    options: numbers by name, such as sigma (in pixels), theta and psi (in degrees). Raises
    SurgeryError for a name or an option that is not known, a needed one left out, one that makes
    no sense, and a size that the kernel does not have.
    """
    if name not in KERNELS:
        raise SurgeryError(f"no kernel named {name!r}; there are {', '.join(KERNELS)}")
    kind = KERNELS[name]
    known = (*kind.needs, *kind.defaults)
    for option, value in options.items():
        if option not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            raise SurgeryError(f"{name} has no option {option!r}; it {takes}")
        positive = option in _POSITIVE
        if not math.isfinite(value) or (positive and value <= 0):
            expected = "a number above 0" if positive else "a finite number"
            raise SurgeryError(f"{name}: {option}={value:g}; expected {expected}")
    for option in kind.needs:
        if option not in options:
            raise SurgeryError(f"{name} needs {option}, as in {name}:{option}=1")
    if not kind.fits(height, width):
        raise SurgeryError(f"{name} fits {kind.sizes}, not {shape_text((height, width))}")
    return kind.make(height, width, {**kind.defaults, **options})


def _positions(size: int) -> Kernel:
    import numpy as np

    return np.arange(size, dtype=np.float64) - (size - 1) / 2


def _grid(height: int, width: int) -> tuple[Kernel, Kernel]:
    """y as a column and x as a row, so that they broadcast to H x W."""
    return _positions(height)[:, None], _positions(width)[None, :]


def _gaussian(height: int, width: int, options: Options) -> Kernel:
    """exp(-(x^2 + y^2) / (2 sigma^2)), divided by its sum."""
    import numpy as np

    y, x = _grid(height, width)
    exponent = -(x**2 + y**2) / (2 * options["sigma"] ** 2)
    # The largest becomes 1, so that the sum is not 0 however small sigma is.
    values: Kernel = np.exp(exponent - exponent.max())
    values /= values.sum()
    return values


def _log(height: int, width: int, options: Options) -> Kernel:
    """The Laplacian of a Gaussian (Marr and Hildreth 1980), its mean taken off: the sum is 0.

    (x^2 + y^2 - 2 sigma^2) / sigma^4 times the Gaussian: negative in the middle.
    """
    y, x = _grid(height, width)
    sigma = options["sigma"]
    values: Kernel = (x**2 + y**2 - 2 * sigma**2) / sigma**4 * _gaussian(height, width, options)
    values -= values.mean()
    return values


def _gabor(height: int, width: int, options: Options) -> Kernel:
    """exp(-(x'^2 + gamma^2 y'^2) / (2 sigma^2)) * cos(2 pi x' / lambda + psi) (Daugman 1985).

    x' = x cos theta + y sin theta, y' = -x sin theta + y cos theta; theta and psi in degrees.
    """
    import numpy as np

    y, x = _grid(height, width)
    turn, phase = math.radians(options["theta"]), math.radians(options["psi"])
    along = x * math.cos(turn) + y * math.sin(turn)
    across = -x * math.sin(turn) + y * math.cos(turn)
    spread = along**2 + options["gamma"] ** 2 * across**2
    envelope = np.exp(-spread / (2 * options["sigma"] ** 2))
    values: Kernel = envelope * np.cos(2 * math.pi * along / options["lambda"] + phase)
    return values


def _binomial(order: int) -> Kernel:
    """The coefficients of (1 + z)^order: smoothing, in whole numbers."""
    import numpy as np

    return np.array([math.comb(order, i) for i in range(order + 1)], dtype=np.float64)


def _sobel_x(height: int, width: int, options: Options) -> Kernel:
    """Binomial smoothing down, a smoothed difference across: -1 0 1 / -2 0 2 / -1 0 1 at 3 x 3.

    At k samples the smoothing is (1 + z)^(k-1) and the difference (1 + z)^(k-2) (z - 1), which is
    Sobel's at 3 and its usual extension (Danielsson and Seger 1990) at other sizes.
    """
    import numpy as np

    across = np.convolve(_binomial(width - 2), [-1.0, 1.0])
    return _binomial(height - 1)[:, None] * across[None, :]


def _scharr_x(height: int, width: int, options: Options) -> Kernel:
    """-3 0 3 / -10 0 10 / -3 0 3 (Scharr 2000), in whole numbers."""
    import numpy as np

    return np.outer([3.0, 10.0, 3.0], [-1.0, 0.0, 1.0])


def _exchanged(
    make: Callable[[int, int, Options], Kernel],
) -> Callable[[int, int, Options], Kernel]:
    """The same kernel with x and y exchanged."""
    return lambda height, width, options: make(width, height, options).T


def _laplacian(height: int, width: int, options: Options) -> Kernel:
    """0 1 0 / 1 -4 1 / 0 1 0; larger ones are it after a binomial smoothing of sum 1.

    The sum is 0, and x^2 + y^2 gives 4, at every size.
    """
    import numpy as np

    down, across = (_binomial(size - 3) / 2.0 ** (size - 3) for size in (height, width))
    second = [1.0, -2.0, 1.0]
    row, column = np.pad(across, 1), np.pad(down, 1)
    rows, columns = np.convolve(down, second), np.convolve(across, second)
    return np.outer(rows, row) + np.outer(column, columns)


def _box(height: int, width: int, options: Options) -> Kernel:
    """The mean of the window."""
    import numpy as np

    return np.full((height, width), 1 / (height * width))


def _identity(height: int, width: int, options: Options) -> Kernel:
    """1 in the middle; along an even side the middle two share it. The sum is 1."""
    y, x = _grid(height, width)
    # The middle is at 0 along an odd side, at -1/2 and 1/2 along an even one.
    values: Kernel = ((abs(y) < 1) & (abs(x) < 1)).astype(float)
    values /= values.sum()
    return values


def bilinear(size: int) -> Kernel:
    """Caffe's filler of that name, `size` x `size`, for a Deconvolution that interpolates.

    (1 - |x/f - c|) (1 - |y/f - c|) with f = ceil(size / 2), c = (size - 1) / (2 f) and x, y from
    0: its stride is to be f.
    """
    import numpy as np

    factor = math.ceil(size / 2)
    ramp = 1 - np.abs(np.arange(size) / factor - (size - 1) / (2 * factor))
    values: Kernel = np.outer(ramp, ramp)
    return values


def _bilinear(height: int, width: int, options: Options) -> Kernel:
    return bilinear(height)


def _any(height: int, width: int) -> bool:
    return True


def _three(height: int, width: int) -> bool:
    return (height, width) == (3, 3)


def _from(least: int) -> Callable[[int, int], bool]:
    return lambda height, width: min(height, width) >= least


#: Every kernel by name.
KERNELS: dict[str, KernelKind] = {
    "gaussian": KernelKind(
        _gaussian, "A Gaussian of sigma S pixels, of sum 1.", "any size", _any, {"sigma": 1}
    ),
    "log": KernelKind(
        _log,
        "The Laplacian of a Gaussian of sigma S pixels, of sum 0.",
        "3x3 and larger",
        _from(3),
        {"sigma": 1},
    ),
    "gabor": KernelKind(
        _gabor,
        "A wave of L pixels under a Gaussian of sigma S; theta and psi are in degrees.",
        "any size",
        _any,
        {"sigma": 2, "lambda": 4},
        {"theta": 0.0, "psi": 0.0, "gamma": 1.0},
    ),
    "sobel-x": KernelKind(
        _sobel_x,
        "The smoothed derivative to the right, in whole numbers.",
        "2x2 and larger",
        _from(2),
    ),
    "sobel-y": KernelKind(
        _exchanged(_sobel_x),
        "The smoothed derivative downwards, in whole numbers.",
        "2x2 and larger",
        _from(2),
    ),
    "scharr": KernelKind(_scharr_x, "The same as scharr-x.", "3x3 alone", _three),
    "scharr-x": KernelKind(
        _scharr_x, "Scharr's derivative to the right, in whole numbers.", "3x3 alone", _three
    ),
    "scharr-y": KernelKind(
        _exchanged(_scharr_x),
        "Scharr's derivative downwards, in whole numbers.",
        "3x3 alone",
        _three,
    ),
    "laplacian": KernelKind(_laplacian, "The Laplacian, of sum 0.", "3x3 and larger", _from(3)),
    "box": KernelKind(_box, "The mean of the window.", "any size", _any),
    "identity": KernelKind(_identity, "1 in the middle, 0 elsewhere.", "any size", _any),
    "bilinear": KernelKind(
        _bilinear,
        "Bilinear interpolation, Caffe's filler for a Deconvolution.",
        "squares",
        lambda height, width: height == width,
    ),
}
