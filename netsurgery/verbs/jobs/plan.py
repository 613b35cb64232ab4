"""What a job is to do: pictures, net, settings and options, and checksums of the net's files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from netsurgery import __version__
from netsurgery.engines.contract import (
    AnyEngine,
    EngineOptions,
    as_engine_options,
    engine_record,
)
from netsurgery.errors import JobError, NetsurgeryError
from netsurgery.formats.preprocess_values import MeanPicture
from netsurgery.formats.settings import Settings
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.checksum import sha256_of
from netsurgery.io.targets import STDOUT, WrongOutput
from netsurgery.io.unreadable import as_url, local_path
from netsurgery.io.wording import argument
from netsurgery.maps.box_rules import BoxSearch
from netsurgery.maps.picture_limits import max_pixels
from netsurgery.maps.picture_look import PictureLook
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.maps.scales import Scales
from netsurgery.net.state import NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.classify_map import classify_maps
from netsurgery.verbs.jobs.notes import general_notes
from netsurgery.verbs.jobs.store import JobStore
from netsurgery.verbs.outputs import OUTPUTS, MapView
from netsurgery.verbs.outputs.files import named_files

if TYPE_CHECKING:
    from netsurgery.formats.engine_choice import EngineChoice
    from netsurgery.maps.mapper import Mapper

__all__ = ["PLAN", "RECORD", "JobPlan", "make_plan", "places_of", "read_plan", "write_plan"]

#: The plan's file in the job's folder.
PLAN = "plan.json"
#: The output that every picture of a job has, whatever was asked for; the last to be there.
RECORD = "json"

_FORMAT = 1
#: At most so many pictures are handed out at once; fewer where there are few, for all workers to
#: end at about the same time.
_MOST_OF_CHUNK = 100
_CHUNKS = 256


@checks_arguments()
@dataclass(frozen=True)
class JobPlan:
    """What a job is to do, the same for every worker.

    folder: the one that names are relative to. outputs: kind -> where `merge` puts it. engine: its
    description, which is to be the same everywhere; engine_note: why it is not another. files: the
    net's and its settings' -> SHA-256. inputs: all files that it was planned from, but the
    pictures; no output replaces one. max_pixels: how many a picture may have. chunk: how many
    pictures a worker takes at once.
    """

    folder: str
    pictures: tuple[str, ...]
    settings: Settings
    size: PictureOptions
    stride: int | None
    scales: Scales | None
    boxes: BoxSearch | None
    blob: str | None
    drop_labels: bool
    state: NetState
    view: MapView
    outputs: Mapping[str, str]
    engine: str
    engine_note: str
    files: Mapping[str, str]
    inputs: tuple[str, ...]
    max_pixels: int
    chunk: int

    @property
    def kinds(self) -> list[str]:
        """The outputs of each picture, in the order they are put in place: the record last."""
        return [*(kind for kind in self.outputs if kind != RECORD), RECORD]

    def suffix(self, kind: str) -> str:
        """The ending of a picture's output in the job's folder."""
        output = OUTPUTS[kind]
        if output.is_one_file or not output.suffix:  # a part of it is no file of its own kind
            return f".{kind}"
        return self.view.suffix if kind == "picture" else output.suffix

    @property
    def read_files(self) -> list[str]:
        """The files that no output may replace; they may be on other machines alone."""
        names = (*self.pictures, *self.inputs)
        return [os.path.join(self.folder, local_path(name)) for name in names]

    @property
    def is_all_at_urls(self) -> bool:
        """Whether no picture is a file of some machine."""
        return all(as_url(name) for name in self.pictures)

    def check_files(self) -> None:
        """Raise JobError where a file is not what it was when the job was planned."""
        for name, checksum in self.files.items():
            if _checksum(Path(self.folder, name)) != checksum:
                raise JobError(
                    f"{name}: has changed since the job was planned; plan another job for it"
                )

    def open_mapper(self, engine: EngineOptions) -> Mapper:
        """The net, loaded, as the plan has it; names count from the current folder.

        engine: how to run it. Raises JobError where it is not the engine that was planned with, and
        what `classify_map` raises.
        """
        from netsurgery.maps.from_settings import open_mapper

        choice = cast("EngineChoice", self.engine.split(" ")[0])
        options = as_engine_options(engine, choice)
        mapper = open_mapper(
            self.settings, options, blob=self.blob, size=self.size, stride=self.stride,
            scales=self.scales, **_asked(self.boxes), drop_labels=self.drop_labels,
            state=self.state,
        )  # fmt: skip
        mapper.because = self.engine_note
        try:
            mapper.load()
            if mapper.engine != self.engine:
                raise JobError(
                    f"found the engine {mapper.engine}; the job was planned with {self.engine}, "
                    "which gives all of its pictures"
                )
        except BaseException:
            mapper.close()
            raise
        return mapper

    def to_json(self) -> dict[str, Any]:
        """What plan.json says."""
        record = {each.name: getattr(self, each.name) for each in fields(self)}
        settings = {each.name: getattr(self.settings, each.name) for each in fields(Settings)}
        return {
            "format": _FORMAT,
            "netsurgery": __version__,
            **record,
            "pictures": list(self.pictures),
            "inputs": list(self.inputs),
            "settings": {key: _encoded(value) for key, value in settings.items()},
            "size": asdict(self.size),
            "scales": None if self.scales is None else _encoded(asdict(self.scales)),
            "boxes": None if self.boxes is None else _encoded(self.boxes.to_json()),
            "state": asdict(self.state),
            "view": _encoded({**asdict(self.view), "look": _look(self.view.look)}),
        }

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> JobPlan:
        """The plan that `to_json` describes.

        Raises KeyError, TypeError, AttributeError, ValueError and NetsurgeryError for another.
        """
        values = {each.name: record[each.name] for each in fields(cls)}
        view = _decoded(record["view"])
        values |= {
            "pictures": tuple(as_names(record["pictures"], "pictures")),
            "inputs": tuple(as_names(record["inputs"], "inputs")),
            "outputs": places_of(record["outputs"]),
            "settings": Settings(**_decoded(record["settings"])),
            "size": PictureOptions(**record["size"]),
            "scales": record["scales"] and Scales(**_decoded(record["scales"])),
            "boxes": record["boxes"] and BoxSearch.of_json(record["boxes"]),
            "state": NetState(**_decoded(record["state"])),
            "view": MapView(**{**view, "look": _planned_look(view["look"])}),
        }
        plan = cls(**values)
        if plan.chunk < 1:
            raise ValueError(f"chunk: found {plan.chunk}, expected a number from 1 up")
        return plan


def places_of(outputs: Mapping[str, AnyPath] | None) -> dict[str, str]:
    """Kind -> where a job is to put its outputs, as text. Raises WrongOutput."""
    places = named_files("of_map", outputs)
    for kind, place in places.items():
        option = argument(f"--{kind}")
        if OUTPUTS[kind].signs:
            raise WrongOutput(f"{option} {place}: is a folder; an output of a job is a file")
        if place == STDOUT:
            raise WrongOutput(f"{option} -: an output of a job goes to a file or folder")
    return places


def make_plan(
    images: Sequence[str],
    settings: Settings,
    *,
    outputs: Mapping[str, str],
    view: MapView,
    size: PictureOptions,
    stride: int | None,
    scales: Scales | None,
    boxes: BoxSearch | None,
    blob: str | None,
    drop_labels: bool,
    engine: AnyEngine,
    state: NetState,
    inputs: Iterable[AnyPath],
    force: bool,
) -> tuple[JobPlan, list[str]]:
    """The plan, and what to know of the net and the options, before any picture.

    All that can be refused is; the engine is started for it.
    """
    if isinstance(settings.mean, MeanPicture) or isinstance(settings.labels, tuple):
        raise JobError("a job's mean picture and labels are files, which every worker can read")
    with classify_maps(
        images, settings, size=size, stride=stride, scales=scales, **_asked(boxes), blob=blob,
        drop_labels=drop_labels, engine=engine, state=state,
    ) as maps:  # fmt: skip
        job = maps.to_files(outputs, view, inputs=inputs, force=force)
        job.mapper.load()
        description = engine_record(job.mapper.engine)["description"]
        read = filter(os.path.isfile, set(job.files.inputs) - set(images))
        notes = [*maps.notes, *general_notes(job.mapper)]
    named = [settings.prototxt, settings.weights, settings.mean, settings.labels, view.look.font]
    files = [str(file) for file in named if isinstance(file, str | Path)]
    plan = JobPlan(
        folder=os.getcwd(),
        pictures=tuple(images),
        settings=settings,
        size=size,
        stride=stride,
        scales=scales,
        boxes=boxes,
        blob=blob,
        drop_labels=drop_labels,
        state=state,
        view=replace(job.view, style=None, pretty=False, summary=False),
        outputs=dict(outputs),
        engine=str(description),
        engine_note=job.mapper.note,
        files={file: _checksum(Path(file)) for file in files},
        inputs=tuple(sorted(map(os.path.realpath, read))),  # of /dev/stdin the file
        max_pixels=max_pixels(),
        chunk=max(1, min(_MOST_OF_CHUNK, len(images) // _CHUNKS)),
    )
    return plan, notes


def write_plan(plan: JobPlan, store: JobStore) -> None:
    """Write plan.json. Raises OutputError and JobError."""
    store.write(PLAN, (json.dumps(plan.to_json(), indent=1) + "\n").encode(), new=True)


def read_plan(store: JobStore) -> JobPlan | None:
    """The plan of a job, None where there is none. Raises JobError."""
    path = f"{store.name}/{PLAN}"
    try:
        content = store.read(PLAN)
    except FileNotFoundError:
        return None
    try:
        record = json.loads(content)
        if rb"\u0000" in content and _has_zero(record):
            raise ValueError("a name in it has a zero byte")
        if record["netsurgery"] != __version__:
            raise JobError(
                f"{path}: of netsurgery {record['netsurgery']}; this is {__version__}, which may "
                "give other results"
            )
        return JobPlan.of_json(record)
    except JobError:
        raise
    except (
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
        NetsurgeryError,
    ) as error:
        raise JobError(f"{path}: is not a job's plan ({error})") from error


def _has_zero(value: Any) -> bool:
    """Whether a text in it has a zero byte, as no name of a file."""
    if isinstance(value, str):
        return "\0" in value
    members = value.values() if isinstance(value, dict) else value
    return isinstance(value, (dict, list)) and any(map(_has_zero, members))


def _asked(search: BoxSearch | None) -> dict[str, Any]:
    """What a call of `classify_maps` is given to look for the same boxes."""
    return {} if search is None else {"boxes": search.rules, "box_scales": search.scales}


def _checksum(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise JobError(f"{path}: {error.strerror}") from error


def _look(look: PictureLook) -> dict[str, Any]:
    return {each.name: getattr(look, each.name) for each in fields(PictureLook)}


def _planned_look(record: Mapping[str, Any]) -> PictureLook:
    """The look that a plan has. Its font is opened where something is drawn: only there need it be,
    and only there do names count from the plan's folder."""
    look, font = PictureLook(**{**record, "font": None}), record["font"]
    if not isinstance(font, str | Path | None):
        raise TypeError(f"font: found {font!r}, expected a path")
    object.__setattr__(look, "font", font)
    return look


def _encoded(value: Any) -> Any:
    """A value as JSON has it: a path is not the text that it looks like."""
    if isinstance(value, Path):
        return {"file": str(value)}
    if isinstance(value, dict):
        return {key: _encoded(each) for key, each in value.items()}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"file"}:
            return Path(value["file"])
        return {key: _decoded(each) for key, each in value.items()}
    return tuple(map(_decoded, value)) if isinstance(value, list) else value
