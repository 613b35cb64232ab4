"""A training plan: all that a run of it does, as plan.json has it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from netsurgery import __version__
from netsurgery.errors import FormatError, NetsurgeryError, SettingsError
from netsurgery.formats.preprocess_values import MeanPicture
from netsurgery.formats.settings import PIXEL_KEYS, Settings
from netsurgery.io.checksum import sha256_of
from netsurgery.io.unreadable import check_file, check_folder, unreadable, url_in
from netsurgery.io.wording import argument
from netsurgery.maps.from_settings import make_transformer
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.maps.transformer import Transformer
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState
from netsurgery.training.annotations import (
    annotations_checksum,
    broken_images,
    read_annotations,
)
from netsurgery.training.augment import Augmentation
from netsurgery.training.batches import Batches
from netsurgery.training.objects import AnnotatedPicture, Annotations
from netsurgery.training.solver_text import SolverSettings
from netsurgery.training.trained_maps import TrainedMaps
from netsurgery.training.training_net import TrainingNet, training_net
from netsurgery.training.truth import TruthRules

__all__ = [
    "PLAN",
    "TRAIN",
    "PlanOptions",
    "TrainingPlan",
    "checksums",
    "held_out",
    "preprocessing",
    "read_plan",
]

#: The plan's file in its folder, and the net's.
PLAN, TRAIN = "plan.json", "train.prototxt"

_FORMAT = 3

Size = tuple[int, int]


@dataclass(frozen=True)
class PlanOptions:
    """What a plan was asked for, besides its files.

    classes: their names in the order of the annotations' numbers, None for that of the files.
    background_class: as in `number_classes`. rules, augmentation: as they say. background: the
    share of background cells that counts in each step. size: how large a whole picture's input is.
    batch: pictures a step. hold_out: the share of pictures that are not learnt from. balance: weigh
    classes by how rare their cells are. background_weight: how many times as much a background cell
    counts in the loss. keep_outputs: add the classes that the net does not have to those that it
    has. keep_auxiliary, freeze, train_batch_norm: as in `training_net`.
    """

    classes: tuple[str, ...] | None
    background_class: str | None
    rules: TruthRules
    augmentation: Augmentation
    background: float
    size: PictureOptions
    batch: int
    hold_out: float
    balance: bool
    background_weight: float
    keep_outputs: bool
    keep_auxiliary: bool
    freeze: tuple[str, ...]
    train_batch_norm: bool

    @property
    def weighs_classes(self) -> bool:
        """Whether a cell of one class counts more in the loss than one of another."""
        return self.balance or self.background_weight != 1


@dataclass(frozen=True)
class TrainingPlan:
    """All that a run does; paths are absolute.

    settings: the preprocessing, as its keys and values. names: of the outputs. numbers: those of
    the annotations' classes. background: the number of what is none of them. own_outputs: how many
    outputs, the first, keep the weights that the net has for them. input_size: height and width
    that are trained. window: the classifier's, None for a net that always had a map. weights: of
    the classes, () where all count alike. held_out: the names of the pictures that are not learnt
    from. left_out: those of pictures that could not be used, and why; they are as if they were not
    annotated. files: path -> SHA-256, for a folder of annotations of all that is read of it.
    """

    net: str
    model: str
    annotations: str
    images: str
    state: NetState
    settings: Mapping[str, Any]
    options: PlanOptions
    solver: SolverSettings
    names: tuple[str, ...]
    numbers: Mapping[str, int]
    background: int
    own_outputs: int
    input_size: Size
    window: Size | None
    weights: tuple[float, ...]
    held_out: tuple[str, ...]
    left_out: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def seed(self) -> int:
        """Of all that is left to chance."""
        return self.solver.seed

    def to_json(self) -> dict[str, Any]:
        """What plan.json says."""
        return {"format": _FORMAT, "netsurgery": __version__, **asdict(self)}

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> TrainingPlan:
        """The plan that `to_json` describes. Raises KeyError, TypeError and NetsurgeryError."""
        values = {each.name: record[each.name] for each in fields(cls)}
        options = dict(record["options"])
        rules, augmentation = dict(options["rules"]), dict(options["augmentation"])
        rules["scale"] = tuple(rules["scale"])
        augmentation["scales"] = tuple(augmentation["scales"])
        size = dict(options["size"])
        if not isinstance(size["size"], str):
            size["size"] = tuple(size["size"])
        options |= {
            "rules": TruthRules(**rules),
            "augmentation": Augmentation(**augmentation),
            "size": PictureOptions(**size),
            "classes": None if options["classes"] is None else tuple(options["classes"]),
            "freeze": tuple(options["freeze"]),
        }
        state = dict(record["state"])
        state["stages"] = tuple(state["stages"])
        state["shapes"] = tuple((name, tuple(shape)) for name, shape in state["shapes"])
        window = record["window"]
        values |= {
            "state": NetState(**state),
            "options": PlanOptions(**options),
            "solver": SolverSettings(**record["solver"]),
            "names": tuple(record["names"]),
            "input_size": tuple(record["input_size"]),
            "window": None if window is None else tuple(window),
            "weights": tuple(record["weights"]),
            "held_out": tuple(record["held_out"]),
        }
        return cls(**values)

    def check_files(self) -> None:
        """Raise FormatError where a file is not what it was when the training was planned."""
        for name, checksum in checksums(self.files, self.annotations).items():
            if self.files[name] != checksum:
                raise FormatError(f"{name}: has changed since the training was planned; plan again")

    def read_net(self) -> NetDefinition:
        """The net that the plan is of. Raises PrototxtError."""
        return NetDefinition.read(self.net, self.state)

    def training_net(self, net: NetDefinition) -> TrainingNet:
        """What is trained, made of the net. Raises what `training_net` raises."""
        return training_net(
            net,
            size=self.input_size,
            batch=self.options.batch,
            outputs=len(self.names),
            own_outputs=self.own_outputs,
            loss="infogain" if self.options.weighs_classes else "softmax",
            keep_auxiliary=self.options.keep_auxiliary,
            freeze=self.options.freeze,
            train_batch_norm=self.options.train_batch_norm,
        )

    def maps(self, net: TrainingNet) -> TrainedMaps:
        """The maps of the training net."""
        return TrainedMaps(net, self.window, self.options.size, self.input_size)

    def transformer(self, channels: int) -> Transformer:
        """What makes pictures ready. Raises MeanError, SettingsError."""
        return make_transformer(Settings(**self.settings), channels, self.options.size)

    def read_annotations(self) -> Annotations:
        """All annotations but those of pictures that are left out. Raises FormatError."""
        read = read_annotations(
            Path(self.annotations), Path(self.images), self.options.classes, allow_missing=True
        )
        pictures = tuple(each for each in read.pictures if each.name not in self.left_out)
        missing = [read.missing[each.path] for each in pictures if each.path in read.missing]
        if missing:
            raise broken_images(missing, len(pictures), "plan again")
        return replace(read, pictures=pictures, missing={})

    def learnt(self, annotations: Annotations) -> tuple[AnnotatedPicture, ...]:
        """The pictures that are learnt from."""
        held_out = set(self.held_out)
        return tuple(each for each in annotations.pictures if each.name not in held_out)

    def batches(self, maps: TrainedMaps, pictures: Sequence[AnnotatedPicture]) -> Batches:
        """The batches that the net is trained with."""
        return Batches(
            pictures=pictures,
            classes=self.numbers,
            background=self.background,
            rules=self.options.rules,
            grids=maps.grids,
            transformer=self.transformer(maps.channels),
            map_size=self.input_size,
            size=self.input_size,
            count=self.options.batch,
            augmentation=self.options.augmentation,
            share=self.options.background,
            seed=self.seed,
        )


def read_plan(folder: Path) -> TrainingPlan:
    """The plan in a folder. Raises FormatError for a folder without one, or one that is broken."""
    path = folder / PLAN
    if url_in(folder):
        check_folder(folder, "that of a training plan", FormatError)
    try:
        record = json.loads(path.read_bytes())
        if record["netsurgery"] != __version__:
            raise FormatError(
                f"{path}: of netsurgery {record['netsurgery']}; this is {__version__}, which may "
                "give other batches; plan again"
            )
        if record["format"] != _FORMAT:
            raise FormatError(
                f"{path}: is not a training plan as this netsurgery reads it: of format "
                f"{record['format']}, expected {_FORMAT}; plan again"
            )
        return TrainingPlan.of_json(record)
    except FileNotFoundError:
        raise FormatError(
            f"{folder}: holds no training plan (no {PLAN}); `netsurgery train plan` makes one"
        ) from None
    except OSError as error:
        raise FormatError(": ".join(unreadable(path, error, "a training plan"))) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{path}: is not a training plan ({error})") from error
    except FormatError:
        raise
    except NetsurgeryError as error:
        raise FormatError(f"{path}: is not a training plan ({error})") from error


def checksums(paths: Mapping[str, str] | Sequence[str], annotations: str) -> dict[str, str]:
    """The SHA-256 of each file, and of the annotations' files together. Raises FormatError."""
    return {path: _checksum(path, annotations) for path in paths}


def _checksum(path: str, annotations: str) -> str:
    try:
        if path != annotations or not os.path.isdir(path):
            return sha256_of(path)
        return annotations_checksum(Path(path))
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error


def preprocessing(settings: Settings) -> dict[str, Any]:
    """The keys of preprocessing that say something, as plan.json has them.

    Raises SettingsError for a mean picture that is in no file.
    """
    if isinstance(settings.mean, MeanPicture):
        raise SettingsError(
            f"a plan's mean picture is a file; give its path as {argument('--mean')}"
        )
    values = {key: getattr(settings, key) for key in PIXEL_KEYS}
    if isinstance(settings.mean, Path):
        check_file(settings.mean, "a mean", SettingsError)
        values["mean"] = str(settings.mean.absolute())
    # As JSON has them.
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None
    }


def held_out(pictures: Sequence[AnnotatedPicture], share: float, seed: int) -> tuple[str, ...]:
    """The names of a share of the pictures, chosen by chance, in their order; never of all."""
    count = min(round(share * len(pictures)), len(pictures) - 1)
    chance = np.random.Generator(np.random.PCG64([seed, 2])).random(len(pictures))
    chosen = set(np.argsort(chance, kind="stable")[:count].tolist())
    return tuple(picture.name for number, picture in enumerate(pictures) if number in chosen)
