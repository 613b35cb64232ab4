"""What V0 (2013) called the fields of a layer, and where they are since; its padding layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from netsurgery.errors import NetsurgeryError
from netsurgery.formats.generations import V0_TYPES

__all__ = ["PARAMS", "Pad", "V0Layer", "fold_padding", "home", "left_out", "told"]

#: Types that a padding layer can be folded into.
_PADDED = ("conv", "pool")

#: Fields that nothing ever read; Caffe's own upgrade leaves them out.
_UNUSED = ("new_num", "new_channels")

#: Fields of detection's windows; Caffe's own upgrade leaves them out of every other layer.
_DETECTION = (
    "det_fg_threshold",
    "det_bg_threshold",
    "det_fg_fraction",
    "det_context_pad",
    "det_crop_mode",
)

#: V0's types that have a message of parameters, and its name.
PARAMS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}

_DATA = "data hdf5_data images window_data"

#: V0's field -> (its name since, the types that have it).
_FIELDS = {
    "num_output": ("num_output", "conv innerproduct"),
    "biasterm": ("bias_term", "conv innerproduct"),
    "weight_filler": ("weight_filler", "conv innerproduct"),
    "bias_filler": ("bias_filler", "conv innerproduct"),
    "pad": ("pad", "conv pool"),
    "kernelsize": ("kernel_size", "conv pool"),
    "group": ("group", "conv"),
    "stride": ("stride", "conv pool"),
    "pool": ("pool", "pool"),
    "dropout_ratio": ("dropout_ratio", "dropout"),
    "local_size": ("local_size", "lrn"),
    "alpha": ("alpha", "lrn"),
    "beta": ("beta", "lrn"),
    "k": ("k", "lrn"),
    "source": ("source", f"{_DATA} infogain_loss"),
    "batchsize": ("batch_size", _DATA),
    "rand_skip": ("rand_skip", "data images"),
    "shuffle_images": ("shuffle", "images"),
    "new_height": ("new_height", "images"),
    "new_width": ("new_width", "images"),
    "concat_dim": ("concat_dim", "concat"),
    "det_fg_threshold": ("fg_threshold", "window_data"),
    "det_bg_threshold": ("bg_threshold", "window_data"),
    "det_fg_fraction": ("fg_fraction", "window_data"),
    "det_context_pad": ("context_pad", "window_data"),
    "det_crop_mode": ("crop_mode", "window_data"),
}

#: Layers of any type may have these.
_TRANSFORM = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
_DIRECT = ("name", "type", "blobs", "blobs_lr", "weight_decay")


def home(kind: str, name: str) -> tuple[str, str] | None:
    """Where a V0 layer's field goes: (message, field), the message "" for the layer itself.

    None where layers of type `kind` have no such field.
    """
    if kind == "padding":
        return ("", name) if name in ("name", "type", "pad") else None
    if name in _DIRECT:
        return "", name
    if name in _TRANSFORM:
        return "transform_param", _TRANSFORM[name]
    if name == "hdf5_output_param" and kind == "hdf5_output":
        return "", name
    since, kinds = _FIELDS.get(name, ("", ""))
    return (PARAMS[kind], since) if kind in kinds.split() else None


def left_out(kind: str, name: str) -> str:
    """Why a field of a V0 layer is left out, as Caffe's own upgrade does; "" where it is not."""
    if name in _UNUSED:
        return f"{name}, which no layer reads, is left out"
    if name in _DETECTION and home(kind, name) is None:
        return f"{name}, which no layer of type {kind!r} reads, is left out, as by Caffe"
    return ""


def told(kind: str) -> str:
    """What the upgrade of a layer of type `kind` is called."""
    becomes = f', "{kind}" becomes "{V0_TYPES[kind]}"' if kind else ""
    return f"V0's `layers {{ layer }}` becomes one `layer`{becomes}"


@dataclass(frozen=True)
class V0Layer:
    """What has to be known of a layer to fold paddings; `error` makes one at its place."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    pad: int
    error: Callable[[str], NetsurgeryError]


@dataclass(frozen=True)
class Pad:
    """A padding layer: its name, its bottom, and how much it pads."""

    layer: str
    bottom: str
    size: int

    @property
    def told(self) -> str:
        """What happens to the layer that takes it over."""
        return f"takes the padding of layer {self.layer!r}, {self.size}"


def fold_padding(inputs: Iterable[str], layers: Sequence[V0Layer]) -> dict[int, Pad]:
    """Layer index -> the padding that it takes over from the layer before it.

    Raises the layer's error where a bottom is made by no layer before it (`inputs` are the net's
    own blobs), and where a padding cannot be taken over.
    """
    made: dict[str, Pad | None] = dict.fromkeys(inputs)
    folded = {}
    for index, layer in enumerate(layers):
        for bottom in layer.bottoms:
            if bottom not in made:
                raise layer.error(
                    f"layer {layer.name!r}: its bottom {bottom!r} is made by no layer before it"
                )
            pad = made[bottom]
            if pad is not None:
                if layer.kind not in _PADDED or len(layer.bottoms) != 1:
                    raise layer.error(
                        f"layer {layer.name!r} ({layer.kind}) reads what the padding layer "
                        f"{pad.layer!r} makes; only a conv or pool alone can take a padding over"
                    )
                folded[index] = pad
        pad = _padding(layer) if layer.kind == "padding" else None
        made.update((top, pad) for top in layer.tops)
    return folded


def _padding(layer: V0Layer) -> Pad:
    if len(layer.bottoms) != 1 or len(layer.tops) != 1:
        raise layer.error(f"layer {layer.name!r}: a padding layer has one bottom and one top")
    return Pad(layer.name, layer.bottoms[0], layer.pad)
