"""Blobs of a net as dense features of pictures: of one, or of many as a job that writes files."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import AnyEngine, engine_record
from netsurgery.errors import NetsurgeryError, OutputError
from netsurgery.formats.settings import as_settings
from netsurgery.io.closeable import Closeable
from netsurgery.io.files import Outputs
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import short_repr
from netsurgery.maps.channel_view import ChannelView
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.classify_map import opened_model
from netsurgery.verbs.outputs import COLLECTIONS, Collection
from netsurgery.verbs.outputs.blob_files import BlobFiles, one_line
from netsurgery.verbs.outputs.files import WrongOutput, stems
from netsurgery.verbs.outputs.record import FeatureFile

if TYPE_CHECKING:
    from netsurgery.formats.presets import PresetName
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.features import Extractor, Features
    from netsurgery.maps.picture_options import Fit, InputSize, PictureOptions
    from netsurgery.open_net.net import Net

__all__ = [
    "FeatureJob",
    "FeatureResult",
    "ImageFeatures",
    "NothingTaken",
    "collection_files",
    "features",
    "find_collection",
    "plan_features",
]

#: What a picture's blobs have in common, in the record of the picture.
_OF_IMAGE = ("image_size", "input_size", "resized", "placed")


class ImageFeatures(Mapping[str, "Features"]):
    """Blob -> its features, of one picture, in the order asked for.

    notes: what to know of them, by kind.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> result = ns.features("examples/digits_canvas.png", ["conv1"], settings, engine="embedded")
    >>> list(result), result["conv1"].values.shape
    (['conv1'], (16, 28, 28))
    """

    def __init__(
        self, image: str, blobs: Sequence[Features], notes: Mapping[str, str] | None = None
    ) -> None:
        self.image = image
        self.notes: Mapping[str, str] = notes or {}
        self._blobs = {features.blob: features for features in blobs}

    def __getitem__(self, blob: str) -> Features:
        return self._blobs[blob]

    def __iter__(self) -> Iterator[str]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)

    def to_json(self) -> dict[str, Any]:
        """The picture's record of `features --json`: everything but the values."""
        records = [features.to_json() for features in self.values()]
        shared = {key: records[0][key] for key in _OF_IMAGE} if records else {}
        own = [
            {key: value for key, value in record.items() if key not in ("image", *_OF_IMAGE)}
            for record in records
        ]
        notes = [note for kind, note in self.notes.items() if kind != "engine"]
        return {"image": self.image, **shared, "blobs": own, "notes": notes}

    def __repr__(self) -> str:
        return short_repr(f"ImageFeatures of {self.image}: {', '.join(self)}")

    def __str__(self) -> str:
        blobs = (f"{blob}: {shape_text(features.values.shape)}" for blob, features in self.items())
        return "\n".join([f"features of {self.image}", *blobs])


def features(
    image: AnyPicture,
    blobs: str | Iterable[str],
    settings: Settings | AnyPath | None = None,
    *,
    net: Net | None = None,
    size: InputSize = "net",
    fit: Fit = "warp",
    antialias: bool = True,
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> ImageFeatures:
    """Blob -> its values for a picture, float32 C x H x W, and where its cells lie in it.

    blobs: a blob of the net, or several. image, settings, net, size, fit, antialias, preprocess,
    engine, state: as in `classify_map`. The geometry of each, in pixels, is its `geometry()`.
    Raises NetError for a blob that the net does not have, and what `classify_map` raises.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> settings = ns.Settings(net, model)
    >>> blobs = ns.features("examples/digits_canvas.png", "conv1", settings, engine="embedded")
    >>> blobs["conv1"].values.shape
    (16, 28, 28)
    """
    from netsurgery.maps.any_picture import as_picture
    from netsurgery.maps.features import open_extractor

    with ExitStack() as stack:
        model, engine = opened_model(stack, net, engine)
        extractor = stack.enter_context(open_extractor(
            as_settings(settings, preprocess), engine, blobs, size=size, fit=fit,
            antialias=antialias, state=state, model=model,
        ))  # fmt: skip
        picture = as_picture(image)
        return _features_of(extractor, picture.name, extractor.extract(picture))


def _features_of(extractor: Extractor, image: str, blobs: Sequence[Features]) -> ImageFeatures:
    return ImageFeatures(image, blobs, extractor.mapper.notes(blobs[0].placement))


@dataclass(frozen=True)
class FeatureResult:
    """What became of one picture: its features, or the error that it failed with.

    name: what the outputs call the picture.
    """

    image: str
    name: str
    features: ImageFeatures | None = None
    error: NetsurgeryError | None = None

    def to_json(self) -> dict[str, Any]:
        """The picture's record, with its name in the outputs, or the error."""
        if self.features is not None:
            return {"name": self.name, **self.features.to_json()}
        return {"name": self.name, "image": self.image, "error": str(self.error)}


@dataclass
class FeatureJob(Closeable):
    """Pictures whose blobs are to be taken, and where they go; a context manager.

    written: the files, when `results` has come to its end.
    """

    extractor: Extractor
    images: Sequence[str]
    names: Sequence[str]
    files: Sequence[Path]
    collection: Collection | None
    blob_files: BlobFiles
    force: bool
    written: list[str] = field(default_factory=list)

    def results(self) -> Generator[FeatureResult, None, None]:
        """A result for each picture, in order; the outputs are whole when they have all come.

        Where every picture failed nothing is written. Raises OutputError.
        """
        self.extractor.mapper.load()  # what is wrong with the model is not each picture's fault
        good = 0
        with ExitStack() as stack:
            outputs = stack.enter_context(
                Outputs(self.files, inputs=self.blob_files.inputs, force=self.force)
            )
            # The inner stack completes the collection's file before the outer puts it in place.
            with ExitStack() as inner:
                paths = [outputs[path] for path in self.files]
                file = inner.enter_context(self.collection.open(paths)) if self.collection else None
                for name, image in zip(self.names, self.images, strict=True):
                    result = self._result(name, image, file)
                    good += result.error is None
                    yield result
            if not good:
                # Raised within the stack, so that no output appears.
                raise NothingTaken
            self.blob_files.write()
        self.written += [*map(str, self.files), *sorted(self.blob_files.content)]

    def _result(self, name: str, image: str, file: FeatureFile | None) -> FeatureResult:
        from netsurgery.maps.image import out_of_memory_named

        try:
            with out_of_memory_named(image):
                blobs = self.extractor.extract(image)
                for features in blobs:
                    self.blob_files.make(name, features)
            for features in blobs:
                if file is not None:
                    file.add(name, features)
        # What cannot be written is not the picture's fault, and ends the job.
        except OutputError:
            raise
        except NetsurgeryError as error:
            return FeatureResult(image, name, error=error)
        return FeatureResult(image, name, _features_of(self.extractor, image, blobs))

    def to_json(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What `features --json` prints: of the pictures the `records` of their results."""
        mapper = self.extractor.mapper
        return {
            "engine": engine_record(mapper.engine, mapper.note),
            "outputs": self.written,
            "images": list(records),
        }

    def close(self) -> None:
        """Close the net and the engine."""
        self.extractor.close()


class NothingTaken(NetsurgeryError):
    """Every picture failed, and each has said why."""


def plan_features(
    images: Sequence[str],
    blobs: Sequence[str],
    settings: Settings,
    engine: AnyEngine,
    options: PictureOptions,
    *,
    state: NetState = TEST,
    output: Path | None = None,
    outputs: Mapping[str, str] | None = None,
    view: ChannelView | None = None,
    force: bool = False,
) -> FeatureJob:
    """The job of taking `blobs` of the files `images`; what can be refused is, before any engine.

    output: the file of the arrays. outputs: name of an output that is a file -> its file for one
    blob of one image, or a folder; force: replace files that exist. Raises what `features` raises,
    and OutputError.
    """
    from netsurgery.maps.features import open_extractor

    extractor = open_extractor(
        settings, engine, blobs, size=options.size, fit=options.fit,
        antialias=options.antialias, state=state,
    )  # fmt: skip
    inputs = [str(path) for path in (settings.prototxt, settings.weights) if path]
    inputs += [image for image in images if image != "-"]
    names = [one_line(name) for name in stems(images)]
    collection = None if output is None else find_collection(output, len(images) * len(blobs))
    files = [] if output is None or collection is None else collection_files(output, collection)
    blob_files = BlobFiles(inputs, force, view or ChannelView())
    blob_files.name(outputs or {}, names, extractor.blobs)
    blob_files.check(files)
    return FeatureJob(extractor, images, names, files, collection, blob_files, force)


def find_collection(path: Path, arrays: int) -> Collection:
    """What writes the file, by its ending. Raises WrongOutput."""
    collection = COLLECTIONS.get(path.suffix.lower())
    if collection is None:
        *endings, last = COLLECTIONS
        raise WrongOutput(f"{path}: expected a name ending in {', '.join(endings)} or {last}")
    if collection.single and arrays != 1:
        raise WrongOutput(
            f"{path}: a .npy holds one blob of one image, found {arrays}; give a .npz or .h5"
        )
    return collection


def collection_files(path: Path, collection: Collection) -> list[Path]:
    """The files that the arrays go to."""
    return [path, path.with_suffix(collection.beside)] if collection.beside else [path]
