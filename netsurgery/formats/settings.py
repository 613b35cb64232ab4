"""netsurgery.toml: which model to use, and how pictures are made ready for it.

    [model]
    prototxt = "deploy_full_conv.prototxt"
    weights = "model_full_conv.caffemodel"
    window = [227, 227]               # height, width of the classifier's old input
    stages = ["deploy"]               # the net's state, where its layers have rules for one
    level = 1

    [preprocess]
    mean = [104.0, 117.0, 123.0]      # or a file: "mean.npy", "mean.binaryproto"
    raw_scale = 255.0
    channel_swap = [2, 1, 0]
    input_scale = 1.0

    [classes]
    labels = "synset_words.txt"
    background = "none"               # a class by label or number; of all that is not looked for

    [engine]
    name = "embedded"                 # what runs nets where neither option nor variable says so

Every key may be left out. Paths are relative to the file's own folder. It can name files, numbers
and stages, and nothing it says is ever run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import SettingsError
from netsurgery.formats.engine_choice import ENGINE_KEYS, EngineChoice, as_engine_choice
from netsurgery.formats.preprocess_values import MeanPicture, as_channel_swap, as_labels, as_mean
from netsurgery.formats.presets import PresetName, find_preset
from netsurgery.formats.toml import Keys, quoted_value, read_keys, toml_string
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.names import name_in_text, name_of_file
from netsurgery.io.ownership import exposure
from netsurgery.io.size import AnySize, as_size

if TYPE_CHECKING:
    from netsurgery.formats.preprocess_values import AnyMean

__all__ = [
    "PIXEL_KEYS",
    "SETTINGS_NAME",
    "Settings",
    "as_settings",
    "find_settings",
    "read_settings",
    "read_settings_keys",
]

SETTINGS_NAME = "netsurgery.toml"

#: The members that say how pixels become the net's input.
PIXEL_KEYS = ("mean", "raw_scale", "channel_swap", "input_scale")


@checks_arguments()
@dataclass(frozen=True, init=False)
class Settings:
    """What a netsurgery.toml says; None where it says nothing.

    prototxt, weights: paths, with the file's folder before them where it gave relative ones.
    window: (height, width) in pixels of the net's input. stages, level: of the net's state.
    mean: a path ("104,117,123" is the numbers), one number for all channels, one a channel, or an
    array C x H x W; in the net's own channel order and scale. raw_scale, input_scale: factors.
    channel_swap: "bgr", "2,1,0" or (2, 1, 0): for each channel of the net, the channel of the
    picture it comes from. labels: a path, or the labels, one text a class. background: the class of
    all that is not looked for, by label or number, "none" for no class; where nothing is said it is
    the one that most cells of a map show. engine: what runs the net where a call says "auto".
    preprocess: a preset, which gives what the four of preprocessing leave out. path: the file
    itself.

    Whatever is given, the members hold one form of it: paths as Path, a mean as a Path, a tuple of
    floats or a MeanPicture, the channel swap as a tuple of ints, labels as a Path or a tuple.
    Raises SettingsError for a value of another kind, TypeError for a number that is none.

    >>> settings = Settings(mean=[104, 117, 123], channel_swap="bgr", raw_scale=255)
    >>> settings.mean, settings.channel_swap
    ((104.0, 117.0, 123.0), (2, 1, 0))
    >>> Settings(preprocess="mobilenet").input_scale
    0.017
    """

    prototxt: Path | None
    weights: Path | None
    window: tuple[int, int] | None
    stages: tuple[str, ...] | None
    level: int | None
    mean: Path | tuple[float, ...] | MeanPicture | None
    raw_scale: float | None
    channel_swap: tuple[int, ...] | None
    input_scale: float | None
    labels: Path | tuple[str, ...] | None
    background: str | None
    engine: EngineChoice | None
    preprocess: PresetName | None
    path: Path | None

    def __init__(
        self,
        prototxt: str | Path | None = None,
        weights: str | Path | None = None,
        window: AnySize | None = None,
        stages: str | Iterable[str] | None = None,
        level: int | None = None,
        mean: AnyMean | None = None,
        raw_scale: float | None = None,
        channel_swap: str | Sequence[int] | None = None,
        input_scale: float | None = None,
        labels: str | Path | Iterable[str] | None = None,
        background: int | str | None = None,
        engine: EngineChoice | None = None,
        preprocess: PresetName | None = None,
        path: str | Path | None = None,
    ) -> None:
        if preprocess is not None:
            preset = find_preset(preprocess)
            mean = preset.mean if mean is None else mean
            raw_scale = preset.raw_scale if raw_scale is None else raw_scale
            channel_swap = preset.channel_swap if channel_swap is None else channel_swap
            input_scale = preset.input_scale if input_scale is None else input_scale
            if mean is None and preset.mean_file:
                raise SettingsError(f"preset {preprocess} needs a mean; give its file as mean")
        members = {
            "prototxt": _as_path(prototxt),
            "weights": _as_path(weights),
            "window": None if window is None else as_size(window, "window"),
            "stages": None if stages is None else tuple(as_names(stages, "stages")),
            "level": level,
            "mean": as_mean(mean),
            "raw_scale": _as_scale("raw_scale", raw_scale),
            "channel_swap": as_channel_swap(channel_swap),
            "input_scale": _as_scale("input_scale", input_scale),
            "labels": as_labels(labels),
            "background": None if background is None else str(background),
            "engine": _as_engine(engine),
            "preprocess": preprocess,
            "path": _as_path(path),
        }
        for name, value in members.items():
            object.__setattr__(self, name, value)

    @checks_arguments()
    def check_preset(self, channels: int) -> None:
        """Raise SettingsError where the preset is not for an input of so many channels.

        >>> Settings(raw_scale=255).check_preset(3)
        """
        if self.preprocess is not None:
            find_preset(self.preprocess).check_channels(channels)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Which of `keys` are None; a preset leaves none of its four out.

        >>> Settings(raw_scale=255).missing(["raw_scale", "labels"])
        ['labels']
        """
        whole = PIXEL_KEYS if self.preprocess is not None else ()
        return [key for key in keys if getattr(self, key) is None and key not in whole]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it is read from besides the net's, none of which an output replaces."""
        named = (self.path, self.mean, self.labels)
        return tuple(str(each) for each in named if isinstance(each, Path))

    @checks_arguments()
    def to_toml(self, folder: Path | str) -> str:
        """The text of a settings file in `folder`, paths relative to it.

        The path of a file elsewhere that other users can change is absolute. Raises SettingsError
        for a path that TOML cannot hold, and for a mean picture or labels that are in no file.

        >>> print(Settings(raw_scale=255).to_toml("."))
        [preprocess]
        raw_scale = 255.0
        <BLANKLINE>
        """
        if isinstance(self.mean, MeanPicture) or isinstance(self.labels, tuple):
            what = "labels" if isinstance(self.labels, tuple) else "a mean picture"
            raise SettingsError(
                f"{SETTINGS_NAME} cannot hold {what}; write them to a file and name that"
            )
        text = []
        for section, keys in _KEYS.items():
            values = {key: getattr(self, _MEMBERS.get(key, key)) for key in keys}
            lines = [
                f"{key} = {_written(value, Path(folder))}\n"
                for key, value in values.items()
                if value is not None
            ]
            if lines:
                text.append(f"[{section}]\n{''.join(lines)}")
        return "\n".join(text)


def _as_path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _as_engine(engine: EngineChoice | None) -> EngineChoice | None:
    try:
        return None if engine is None else as_engine_choice(engine)
    except ValueError as error:
        raise SettingsError(f"engine: {error}") from None


def _as_scale(name: str, scale: float | None) -> float | None:
    if scale is not None and not math.isfinite(scale):
        raise SettingsError(f"{name} {scale!r}: expected a finite number")
    return scale


def as_settings(
    settings: Settings | str | Path | None, preprocess: PresetName | None = None
) -> Settings:
    """Settings as they are, or read from a netsurgery.toml; None is settings that say nothing.

    preprocess: a preset in the place of the preprocessing they say; "bvlc-mean" takes their mean.
    Raises SettingsError.
    """
    if settings is None:
        settings = Settings()
    elif not isinstance(settings, Settings):
        settings = read_settings(settings)
    if preprocess is None:
        return settings
    mean = settings.mean if find_preset(preprocess).mean_file else None
    # None of what the settings say may stay: a preset only fills what is None.
    rest = dict.fromkeys(PIXEL_KEYS) | {"mean": mean, "preprocess": preprocess}
    return replace(settings, **rest)


def find_settings(start: Path | str) -> Path | None:
    """The netsurgery.toml of the folder `start` or of the nearest folder above; None if none."""
    try:
        folder = Path(start).absolute()
    except OSError:  # the current folder was removed
        return None
    for place in (folder, *folder.parents):
        if os.path.isfile(place / SETTINGS_NAME):  # Path.is_file raises where one may not look
            return place / SETTINGS_NAME
    return None


@checks_arguments()
def read_settings(path: Path | str) -> Settings:
    """Read a settings file, whoever it belongs to: the caller names it.

    Raises SettingsError, with the line, for what it should not hold.

    >>> with open("net.toml", "w") as file:
    ...     _ = file.write('[preprocess]\\nmean = [104, 117, 123]\\n')
    >>> read_settings("net.toml").mean
    (104.0, 117.0, 123.0)
    """
    return read_settings_keys(Path(path))[0]


def read_settings_keys(path: Path) -> tuple[Settings, set[str]]:
    """The settings of a file, and the keys that it gives a path relative to itself."""
    values = {_MEMBERS.get(key, key): value for key, value in read_keys(path, _KEYS).items()}
    paths = {key: value for key, value in values.items() if isinstance(value, Path)}
    joined = {key: _plain(path.parent / value) for key, value in paths.items()}
    relative = {key for key, value in paths.items() if not value.is_absolute()}
    return Settings(**{**values, **joined}, path=path), relative


def _plain(path: Path) -> Path:
    """`path` without its "..", where that leads to the same file: not behind a symbolic link."""
    short = os.path.normpath(path)
    return Path(short) if os.path.realpath(short) == os.path.realpath(path) else path


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"found {quoted_value(value)}, expected a file's path in quotes")
    return Path(name_of_file(value))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):  # a bool is an int to Python
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _number(value: Any) -> float:
    if not _is_number(value):
        raise ValueError(f"found {quoted_value(value)}, expected a number")
    return float(value)


def _mean(value: Any) -> Path | tuple[float, ...]:
    if isinstance(value, str) and value:
        return _path(value)
    if isinstance(value, list) and value and all(map(_is_number, value)):
        return tuple(map(float, value))
    raise ValueError(
        f"found {quoted_value(value)}, expected a file's path in quotes or a list of numbers, "
        "one a channel"
    )


def _is_count(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= 1_000_000


def _window(value: Any) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(_is_count(n, 1) for n in value):
        return value[0], value[1]
    raise ValueError(f"found {quoted_value(value)}, expected [height, width], whole numbers from 1")


def _stages(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ValueError(f'found {quoted_value(value)}, expected a list of names, as in ["deploy"]')


def _level(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    raise ValueError(f"found {quoted_value(value)}, expected a whole number from -2^31 to 2^31 - 1")


def _swap(value: Any) -> tuple[int, ...]:
    counts = isinstance(value, list) and bool(value) and all(_is_count(n, 0) for n in value)
    if counts and sorted(value) == list(range(len(value))):
        return tuple(value)
    raise ValueError(f"found {quoted_value(value)}, expected each channel once, as in [2, 1, 0]")


def _class(value: Any) -> str:
    if (isinstance(value, str) and value.strip()) or _is_count(value, 0):
        return str(value)
    raise ValueError(f"found {quoted_value(value)}, expected a class: label in quotes, or number")


_KEYS: Keys = {
    "model": {
        "prototxt": _path,
        "weights": _path,
        "window": _window,
        "stages": _stages,
        "level": _level,
    },
    "preprocess": {
        "mean": _mean,
        "raw_scale": _number,
        "channel_swap": _swap,
        "input_scale": _number,
    },
    "classes": {"labels": _path, "background": _class},
    **ENGINE_KEYS,
}

#: The members that keys of other names are.
_MEMBERS = {"name": "engine"}


def _written(value: Any, folder: Path) -> str:
    """A value as TOML."""
    if isinstance(value, Path):
        return _string(name_in_text(_relative(value, folder)))
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_written(item, folder) for item in value)}]"
    return repr(value)


def _relative(path: Path, folder: Path) -> str:
    # ".." leads from where a folder really is; the file's own name may be a link, and stays.
    place = Path(os.path.realpath(path.parent), path.name)
    try:
        relative = Path(os.path.relpath(place, os.path.realpath(folder)))
    except ValueError:  # another drive
        return place.as_posix()
    # A relative path is held to the same trust as the settings; this file was named by the user.
    elsewhere = ".." in relative.parts and exposure(place) is not None
    return (place if elsewhere else relative).as_posix()


def _string(text: str) -> str:
    try:
        return toml_string(text)
    except ValueError as error:
        what = f"not a name that {SETTINGS_NAME} can hold ({error})"
        raise SettingsError(f"{text!r}: {what}") from None
