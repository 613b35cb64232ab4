"""The sliding window of convolutions and poolings: kernel, stride, pad, dilation, per axis."""

from __future__ import annotations

from typing import NamedTuple

from netsurgery.formats.textformat import Message
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.layer import Layer, Shape

__all__ = [
    "Window",
    "bins_window",
    "conv_window",
    "deconv_out",
    "pool_out",
    "pool_rounds_up",
    "pool_window",
]


class Window(NamedTuple):
    """A sliding window; each field has one number for each spatial axis (H, W for images)."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        """How far the kernel reaches, dilation counted: dilation x (kernel - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def convolved(self, size: Shape) -> Shape:
        """Size after a convolution: (size + 2 pad - extent) / stride + 1, rounded down.

        -1 where the window does not fit even once.
        """
        axes = zip(size, self.extent, self.stride, self.pad, strict=True)
        return tuple((n + 2 * p - e) // s + 1 if n + 2 * p >= e else -1 for n, e, s, p in axes)


def deconv_out(window: Window, size: Shape) -> Shape:
    """Size after a deconvolution: stride x (size - 1) + extent - 2 pad."""
    axes = zip(size, window.extent, window.stride, window.pad, strict=True)
    return tuple(s * (n - 1) + e - 2 * p for n, e, s, p in axes)


def conv_window(layer: Layer, axes: int) -> Window:
    """The window of a Convolution, Deconvolution or Im2col over `axes` spatial axes."""
    message = layer.param("convolution_param")
    kernel = _per_axis(layer, message, "kernel", "kernel_size", axes, None)
    return Window(
        kernel,
        _per_axis(layer, message, "stride", "stride", axes, 1),
        _per_axis(layer, message, "pad", "pad", axes, 0),
        _dilation(layer, message, axes),
    )


def _dilation(layer: Layer, message: Message, axes: int) -> Shape:
    """``dilation``, or ``hole`` and ``hole_h`` with ``hole_w``, as DeepLab's Caffe calls it."""
    if not any(message.scalar(name) for name in ("hole", "hole_h", "hole_w")):
        return _per_axis(layer, message, "", "dilation", axes, 1)
    if message.scalar("dilation"):
        raise layer.error("hole and dilation are both given")
    return _per_axis(layer, message, "hole", "hole", axes, 1)


def _per_axis(
    layer: Layer, message: Message, short: str, name: str, axes: int, default: int | None
) -> Shape:
    """``name`` once for all axes or once for each, or ``short_h`` and ``short_w``."""
    # base_conv_layer.cpp refuses a kernel or a stride of 0; pooling_layer.cpp divides by it.
    low = 0 if name == "pad" else 1
    pair = [message.scalar(f"{short}_{side}") for side in "hw"] if short else [None, None]
    listed = [scalar.as_int(low, 2**31 - 1) for scalar in message.scalars(name)]
    if any(pair):
        if listed:
            raise layer.error(f"{name} and {short}_h or {short}_w are both given")
        if axes != 2:
            raise layer.error(f"{short}_h and {short}_w with {counted(axes, 'spatial axis')}")
        sides = [0 if s is None else s.as_int(0, 2**31 - 1) for s in pair]
        if min(sides) < low:
            # Caffe's defaults are 0 for each; a kernel or stride needs both sides.
            raise layer.error(f"{short}_h and {short}_w must both be given")
        return tuple(sides)
    if not listed:
        if default is None:
            raise layer.error(f"{name} is missing")
        return (default,) * axes
    if len(listed) not in (1, axes):
        raise layer.error(f"{len(listed)} {name} for {counted(axes, 'spatial axis')}")
    return tuple(listed * axes if len(listed) == 1 else listed)


def lrn_window(layer: Layer) -> Window | None:
    """The window of an LRN within channels; None where it normalizes across them."""
    message = layer.param("lrn_param")
    if message.word("norm_region", "ACROSS_CHANNELS") not in ("WITHIN_CHANNEL", "1"):
        return None
    size = message.integer("local_size", 5, 1)
    # lrn_layer.cpp averages with a Pooling of this window, which keeps the map's size.
    pad = (size - 1) // 2
    return Window((size, size), (1, 1), (pad, pad), (1, 1))


def pool_window(layer: Layer, size: Shape) -> Window:
    """The window of a Pooling over a bottom of height and width `size`."""
    message = layer.param("pooling_param")
    if message.boolean("global_pooling", False):
        for name in ("kernel_size", "kernel_h", "kernel_w"):
            if message.scalar(name):
                raise layer.error(f"global_pooling and {name} are both given")
        kernel = size
    else:
        kernel = _per_axis(layer, message, "kernel", "kernel_size", 2, None)
    stride = _per_axis(layer, message, "stride", "stride", 2, 1)
    pad = _per_axis(layer, message, "pad", "pad", 2, 0)
    # By identity: a kernel that merely equals the map is no global pooling.
    if kernel is size and (stride, pad) != ((1, 1), (0, 0)):
        raise layer.error("global_pooling takes no pad but 0 and no stride but 1")
    _check_pad(layer, message, kernel, pad)
    return Window(kernel, stride, pad, (1, 1))


def bins_window(size: Shape, bins: int) -> Window:
    """The window by which an SPP pools a map of `size` to bins x bins."""
    # spp_layer.cpp: rounded up, and what is too much is padding on both sides.
    kernel = tuple(-(-n // bins) for n in size)
    pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, size, strict=True))
    return Window(kernel, kernel, pad, (1, 1))


def _check_pad(layer: Layer, message: Message, kernel: Shape, pad: Shape) -> None:
    """Raise PrototxtError for a padding that pooling_layer.cpp refuses."""
    # A convolution takes one of them, and 0 for the other.
    if bool(message.scalar("pad_h")) != bool(message.scalar("pad_w")):
        raise layer.error("pad_h and pad_w must both be given")
    if any(pad) and message.word("pool", "MAX") in ("STOCHASTIC", "2"):
        raise layer.error("pool STOCHASTIC takes no pad")
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise layer.error(
            f"pad {shape_text(pad)} of windows of {shape_text(kernel)}; expected less than those"
        )


def pool_rounds_up(layer: Layer) -> bool:
    """Caffe 1.0 does; ``round_mode: FLOOR``, and forks' ``ceil_mode: false``, round down."""
    message = layer.param("pooling_param")
    rounding = message.word("round_mode", "CEIL")
    return rounding not in ("FLOOR", "1") and message.boolean("ceil_mode", True)


def pool_out(layer: Layer, window: Window, size: Shape) -> Shape:
    """Size after a pooling: as a convolution's, but rounded up where `pool_rounds_up`.

    With padding, Caffe drops a last window that would begin wholly in the padding.
    """
    up, counts = pool_rounds_up(layer), []
    for n, k, s, p in zip(size, window.kernel, window.stride, window.pad, strict=True):
        room = n + 2 * p - k
        # Whole numbers: Caffe rounds a float32, the same as long as a map has less than 2^24 rows.
        cells = (-(-room // s) if up else room // s) + 1
        if any(window.pad) and (cells - 1) * s >= n + p:
            cells -= 1
        # Rounded up, a window less than a stride too large still gives one cell, as in Caffe.
        counts.append(cells if room > -s else -1)
    return tuple(counts)
