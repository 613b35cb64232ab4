"""What an output is: its name, its file's ending, and how it is made of a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from netsurgery.errors import NetsurgeryError, OutputError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import Closeable
from netsurgery.io.files import OutputFile
from netsurgery.io.wording import argument
from netsurgery.maps.picture_look import PictureLook

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.channel_view import ChannelView
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.features import Features
    from netsurgery.maps.map_text import TextStyle

__all__ = [
    "Collection",
    "Content",
    "FeatureFile",
    "FolderContent",
    "MapTable",
    "MapView",
    "Output",
    "trouble_named",
]


class FolderContent(NamedTuple):
    """The content of an output that is a folder: what writes it into an empty one."""

    write: Callable[[str], None]


#: The content of an output: its bytes, or what writes them.
Content: TypeAlias = bytes | Callable[[OutputFile], None] | FolderContent


@checks_arguments()
@dataclass(frozen=True)
class MapView:
    """What of a map is shown.

    class_: the classes that are drawn, by numbers or labels, "max" or "each". top_k: classes of
    each cell in JSON. all_classes: whether HTML has every class of every cell. pretty: JSON for
    people. summary: the table of classes alone. style: of text, None for a file's. look: of the
    picture; suffix: the ending of its file. upsample: "pixels" for scores of the picture's pixels
    in it, in .npy and GeoTIFF, interpolated between the cells; None for those of the cells.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> picture = "examples/digits_canvas.png"
    >>> maps = ns.classify_maps(picture, settings, blob="conv1", engine="embedded")
    >>> [result.written for result in maps.to_files({"picture": "7.png"}, ns.MapView("7"))]
    [('7.png',)]
    """

    class_: str = "max"
    top_k: int = 1
    all_classes: bool = False
    pretty: bool = False
    summary: bool = False
    style: TextStyle | None = None
    look: PictureLook = field(default_factory=PictureLook)
    suffix: str = ".png"
    upsample: Literal["pixels"] | None = None


class MapTable(Closeable, Protocol):
    """A file of all pictures in the making; close it, or use it as a context manager."""

    def add(self, part: bytes) -> None:
        """Write a picture's part. Raises OutputError."""


class Output(NamedTuple):
    """One thing that can be made of a result.

    suffix: the ending of its files; "" for what is only printed. help: of the option --NAME.
    of_map: its content for a class map; where there is a `join`, the bytes of a part of the one
    file that it makes of the parts of all pictures; where there is a `table`, of the one that it
    writes part by part, as pictures are done. of_error: the part of a picture that failed, by its
    name and the error. of_features: its bytes for one blob of a picture, by what of it is shown and
    the file's ending. None where a command does not have it. of_values: its content for the values
    of a map that holds NaN, which is not a class map, where it can show them. reads: what it shows
    of a map differently as the user says: members of `MapView`, and "window". signs: where it is a
    folder, files of which one of its kind has one. needs: the library that makes it, and the extra
    that brings it. explains: whether it shows explanations, too.
    """

    name: str
    suffix: str = ""
    help: str = ""
    of_map: Callable[[ClassMap, MapView], Content] | None = None
    join: Callable[[Sequence[bytes]], bytes] | None = None
    table: Callable[[OutputFile], MapTable] | None = None
    of_error: Callable[[str, NetsurgeryError], bytes] | None = None
    of_features: Callable[[Features, ChannelView, str], bytes] | None = None
    of_values: Callable[[NDArray[np.float32]], Content] | None = None
    reads: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    needs: tuple[str, str] | None = None
    explains: bool = False

    @property
    def is_available(self) -> bool:
        """Whether the library that it needs is there."""
        return self.needs is None or find_spec(self.needs[0]) is not None

    def check_library(self) -> None:
        """Raise OutputError where the library that it needs is not there."""
        if not self.is_available and self.needs is not None:
            library, extra = self.needs
            raise OutputError(
                f"{argument(f'--{self.name}')} needs the library {library}, which is not "
                f"installed: pip install 'netsurgery[{extra}]'"
            )

    @property
    def is_one_file(self) -> bool:
        """Whether all pictures are in one file."""
        return self.join is not None or self.table is not None


class FeatureFile(Closeable, Protocol):
    """A file of features in the making; close it, or use it as a context manager."""

    def add(self, name: str, features: Features) -> None:
        """Write one blob of one picture, called `name`. Raises OutputError."""


class Collection(NamedTuple):
    """A file of all blobs of all pictures.

    suffixes: its endings. open: what writes it, to the outputs of `files`, the first of them the
    file itself. beside: the ending of a file beside it. single: whether it holds one blob of one
    picture only.
    """

    suffixes: tuple[str, ...]
    open: Callable[[Sequence[OutputFile]], FeatureFile]
    beside: str = ""
    single: bool = False


@contextmanager
def trouble_named(path: str) -> Iterator[None]:
    """What the system, or HDF5, refuses becomes an OutputError naming the output."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OutputError(f"{path}: {reason}") from error
