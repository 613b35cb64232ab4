"""What `features` gives: the blobs of a picture, and of many, one after another or in files."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import engine_record
from netsurgery.errors import NetsurgeryError, OutputError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import short_repr
from netsurgery.io.targets import WrongOutput, wrong_ending
from netsurgery.maps.channel_view import ChannelView
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.verbs.outputs import COLLECTIONS, Collection
from netsurgery.verbs.outputs.blob_files import BlobFiles, one_line
from netsurgery.verbs.outputs.files import named_files, stems
from netsurgery.verbs.outputs.record import FeatureFile
from netsurgery.verbs.picture_results import PictureResults, results_of

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.features import Extractor, Features
    from netsurgery.maps.image import Picture
    from netsurgery.maps.tile_store import TileStore

__all__ = [
    "ExtractedFeatures",
    "FeatureJob",
    "FeatureResult",
    "ImageFeatures",
    "NothingTaken",
    "collection_files",
    "features_of",
    "find_collection",
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
        from netsurgery.maps.map_record import recorded_notes

        records = [features.to_json() for features in self.values()]
        shared = {key: records[0][key] for key in _OF_IMAGE} if records else {}
        own = [
            {key: value for key, value in record.items() if key not in ("image", *_OF_IMAGE)}
            for record in records
        ]
        # The engine's note is of the whole run, whose record has it: `FeatureJob.to_json`.
        return {
            "image": self.image, **shared, "blobs": own, "notes": recorded_notes(self.notes),
        }  # fmt: skip

    def __repr__(self) -> str:
        return short_repr(f"ImageFeatures of {self.image}: {', '.join(self)}")

    def __str__(self) -> str:
        blobs = (f"{blob}: {shape_text(features.values.shape)}" for blob, features in self.items())
        return "\n".join([f"features of {self.image}", *blobs])


def features_of(
    extractor: Extractor, picture: Picture, store: TileStore | None = None
) -> ImageFeatures:
    """What an extractor takes of a picture; `store` as in `Mapper.map`."""
    blobs = extractor.extract(picture, store=store)
    return ImageFeatures(picture.name, blobs, extractor.mapper.notes(blobs[0].placement))


class ExtractedFeatures(PictureResults[ImageFeatures]):
    """The features of pictures, taken one by one as they are asked for; a context manager.

    The last ones close the net, and so does the first picture that fails. notes: what to know of
    the net, before any picture.

    >>> import numpy as np, netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> pictures = np.zeros((2, 28, 28, 1), np.float32)
    >>> taken = ns.extract_features(pictures, "conv1", settings, engine="embedded")
    >>> [result.name for result in taken.to_files("features.npz")]
    ['array 0', 'array 1']
    >>> sorted(np.load("features.npz"))[:2]
    ['array 0/conv1', 'array 0/conv1:field']
    """

    def __init__(
        self,
        extractor: Extractor,
        images: AnyPicture | Iterable[AnyPicture],
        opened: ExitStack,
        files: Sequence[str],
    ) -> None:
        """opened: closes the extractor, and whatever else is open for it. files: the settings'."""
        super().__init__(extractor.mapper, partial(features_of, extractor), images, opened, files)
        self._extractor = extractor

    @checks_arguments()
    def to_files(
        self,
        output: AnyPath | None = None,
        outputs: Mapping[str, AnyPath] | None = None,
        view: ChannelView | None = None,
        *,
        inputs: Iterable[AnyPath] = (),
        force: bool = False,
        resume: bool = True,
    ) -> FeatureJob:
        """The job of taking the features of all pictures into files; iterating it does that.

        It gives a result for each picture, and goes on where one fails: the result has the error.
        output: a file for the arrays, .npz, .h5 or, of one blob of one picture, .npy. outputs: name
        of an output, such as "picture" -> its file for one blob of one picture, else a folder.
        view: what of a blob pictures show. inputs: files that are not replaced, besides the net's,
        the settings' and the pictures'. force: replace files that exist. resume: where a process
        that took the same of one picture was ended while it ran the net in tiles, go on with what
        it has left. Whatever can be refused is before any engine starts. Raises OutputError.
        """
        pictures = self._pictures()
        images = [image for _, image in pictures]
        names = [one_line(name) for name in stems(images)]
        path = as_path(output)
        blobs = self._extractor.blobs
        collection = None if path is None else find_collection(path, len(images) * len(blobs))
        files = [] if path is None or collection is None else collection_files(path, collection)
        blob_files = BlobFiles(self._inputs([*images, *inputs]), force, view or ChannelView())
        blob_files.name(named_files("of_features", outputs), names, blobs)
        blob_files.check(files)
        return FeatureJob(
            self._extractor, pictures, names, files, collection, blob_files, force, self._opened,
            resume,
        )  # fmt: skip


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


#: A result, and the content of its files.
_BlobOutputs = tuple[FeatureResult, dict[str, bytes]]


@dataclass(eq=False)
class FeatureJob:
    """Pictures whose blobs are to be taken, and where they go; iterating it does that.

    It gives a result for each picture, in order, and closes the net with the last. names: what
    the outputs call the pictures. written: the files, when the last result has come.
    """

    extractor: Extractor
    pictures: Sequence[tuple[AnyPicture, str]]
    names: Sequence[str]
    files: Sequence[Path]
    collection: Collection | None
    blob_files: BlobFiles
    force: bool
    opened: ExitStack
    resume: bool = True
    written: list[str] = field(default_factory=list)

    @cached_property
    def images(self) -> list[str]:
        """What the pictures are called."""
        return [name for _, name in self.pictures]

    def __iter__(self) -> Generator[FeatureResult, None, None]:
        """The outputs are whole when all results have come.

        Where every picture failed nothing is written, and NothingTaken raised. Raises OutputError.
        """
        good, store = 0, self._store()
        # Where this is left early, what the tiles have given is kept.
        with store or nullcontext(), self.opened, ExitStack() as stack:
            self.extractor.mapper.load()  # what is wrong with the model is not each picture's fault
            outputs = stack.enter_context(
                Outputs(self.files, inputs=self.blob_files.inputs, force=self.force)
            )
            # The inner stack completes the collection's file before the outer puts it in place.
            with ExitStack() as inner:
                paths = [outputs[path] for path in self.files]
                file = inner.enter_context(self.collection.open(paths)) if self.collection else None
                results = inner.enter_context(closing(self._results(store)))
                for name, (result, contents) in zip(self.names, results, strict=True):
                    result = self._stored(replace(result, name=name), contents, file)
                    if store is not None and result.error is not None:
                        store.settle(result.error)
                    good += result.error is None
                    yield result
            if not good:
                # Raised within the stack, so that no output appears.
                raise NothingTaken("no picture could be taken; nothing is written")
            self.blob_files.write()
            stack.close()  # puts the files in place
            if store is not None:
                store.settle()
        self.written += [*map(str, self.files), *sorted(self.blob_files.content)]

    def _store(self) -> TileStore | None:
        """Where the blobs of the only picture are put together if the net is run in tiles.

        None for several, whose files are begun again in any case, and where nothing is written.
        """
        from netsurgery.maps.tile_store import TileStore

        files = [*map(str, self.files), *self.blob_files.paths.values()]
        if not files or len(self.pictures) > 1:
            return None
        return TileStore(files[0], blobs=len(self.extractor.blobs), resume=self.resume)

    def _stored(
        self, result: FeatureResult, contents: dict[str, bytes], file: FeatureFile | None
    ) -> FeatureResult:
        """Keep what was made of a picture for the files. Raises OutputError."""
        try:
            for blob in (result.features or {}).values():
                if file is not None:
                    file.add(result.name, blob)
        # What cannot be written is not the picture's fault, and ends the job.
        except OutputError:
            raise
        except NetsurgeryError as error:
            return FeatureResult(result.image, result.name, error=error)
        self.blob_files.content.update(contents)
        return result

    def _results(self, store: TileStore | None) -> Generator[_BlobOutputs, None, None]:
        """Each picture's result and the content of its files; none of a picture that fails."""

        def run(number: int, picture: Picture) -> FeatureResult:
            features = features_of(self.extractor, picture, store)
            return FeatureResult(picture.name, self.names[number], features)

        def with_outputs(result: FeatureResult) -> _BlobOutputs:
            return result, self.blob_files.contents(result.name, result.features or {})

        return results_of(
            self.extractor.mapper,
            self.pictures,
            run,
            with_outputs,
            lambda image, error: (FeatureResult(image, "", error=error), {}),
            held=True,
            worth_a_thread=bool(self.blob_files.paths),
        )

    def to_json(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What `features --json` prints: of the pictures the `records` of their results."""
        mapper = self.extractor.mapper
        return {
            "engine": engine_record(mapper.engine, mapper.note),
            "outputs": self.written,
            "images": list(records),
        }


class NothingTaken(NetsurgeryError):
    """Every picture failed, and each has said why."""


def find_collection(path: Path, arrays: int) -> Collection:
    """What writes the file, by its ending. Raises WrongOutput."""
    collection = COLLECTIONS.get(path.suffix.lower())
    if collection is None:
        raise wrong_ending(path, COLLECTIONS)
    if collection.single and arrays != 1:
        raise WrongOutput(
            f"{path}: a .npy holds one blob of one image, found {arrays}; give a .npz or .h5"
        )
    return collection


def collection_files(path: Path, collection: Collection) -> list[Path]:
    """The files that the arrays go to."""
    return [path, path.with_suffix(collection.beside)] if collection.beside else [path]
