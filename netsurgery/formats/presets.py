"""Preprocessing by name: the numbers that families of Caffe nets were trained with.

`PRESETS` has them all; `netsurgery presets` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from netsurgery.errors import SettingsError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.wording import counted

__all__ = ["PRESETS", "Preset", "PresetName", "find_preset", "presets"]

#: The presets by name.
PresetName: TypeAlias = Literal["bvlc", "bvlc-mean", "rgb01", "scaled", "mobilenet"]


@dataclass(frozen=True)
class Preset:
    """The preprocessing of a family of nets, in the order of its steps.

    channels: of the nets' input. raw_scale: multiplies pixels, which are 0..1. channel_swap: for
    each channel of the net, that of the picture. mean: subtracted, a value a channel in the net's
    order; `mean_file` says that it is a file, which the user names. input_scale: multiplies what
    is left. None leaves a step out. nets: which nets it is of.

    >>> preset = find_preset("bvlc")
    >>> preset.check_channels(3)
    >>> preset.mean
    (104.0, 117.0, 123.0)
    """

    name: PresetName
    channels: int
    raw_scale: float | None
    channel_swap: tuple[int, ...] | None
    mean: tuple[float, ...] | None
    input_scale: float | None
    nets: str = field(repr=False)
    mean_file: bool = field(default=False, repr=False)

    @checks_arguments()
    def check_channels(self, channels: int) -> None:
        """Raise SettingsError for a net whose input has another number of channels."""
        if channels != self.channels:
            of = {1: "grey", 3: "color"}[self.channels]
            raise SettingsError(
                f"preset {self.name} is of nets with a {of} input, of "
                f"{counted(self.channels, 'channel')}; this net's has {channels}; "
                "`netsurgery presets` lists the others"
            )

    def to_json(self) -> dict[str, Any]:
        """The preset's record of `netsurgery presets --json`."""
        record = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in record.items()
        }


_BGR = (2, 1, 0)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            # The channel means of ilsvrc_2012_mean.npy, 104.007, 116.669 and 122.679, rounded.
            "bvlc", 3, 255.0, _BGR, (104.0, 117.0, 123.0), None,
            "CaffeNet, AlexNet, GoogLeNet, VGG, SqueezeNet, FCN and most others for ImageNet",
        ),
        Preset(
            "bvlc-mean", 3, 255.0, _BGR, None, None,
            "the same nets with a mean from a file, such as ilsvrc_2012_mean.npy",
            mean_file=True,
        ),
        Preset(
            "rgb01", 3, 1.0, None, None, None,
            "nets trained on RGB of 0..1; what a net is fed without any preprocessing",
        ),
        Preset(
            "scaled", 1, 255.0, None, None, 0.00390625,
            "LeNet, and other grey nets trained with scale: 0.00390625 (1/256)",
        ),
        # The README.md of shicai/MobileNet-Caffe and of shicai/DenseNet-Caffe.
        Preset(
            "mobilenet", 3, 255.0, _BGR, (103.94, 116.78, 123.68), 0.017,
            "shicai's MobileNet v1 and v2 and DenseNet",
        ),
    )
}  # fmt: skip


def find_preset(name: str) -> Preset:
    """The preset of a name. Raises SettingsError with the names there are.

    >>> find_preset("bvlc").mean
    (104.0, 117.0, 123.0)
    """
    preset = PRESETS.get(name)
    if preset is None:
        from netsurgery.io.nearest import did_you_mean

        raise SettingsError(f"no preset {name!r}{did_you_mean(name, PRESETS, 'presets')}")
    return preset


def presets() -> list[Preset]:
    """Every preset, with its numbers.

    >>> [preset.name for preset in presets()]
    ['bvlc', 'bvlc-mean', 'rgb01', 'scaled', 'mobilenet']
    """
    return list(PRESETS.values())
