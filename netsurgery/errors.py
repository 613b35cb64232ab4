"""Every error a user can cause or meet, under one root.

NetsurgeryError
├── FormatError        a file is not what it should be
│   ├── PrototxtError    text: file:line:column, and a caret under the place
│   ├── CaffemodelError  binary: file, byte offset
│   ├── MeanError        a mean file or mean values
│   ├── ImageError       a picture that cannot be read
│   │   └── BrokenImages    some of many annotated pictures, each with its own error
│   └── SettingsError    netsurgery.toml: file:line
│       └── UntrustedError  one that others than the user can change
├── NetError           a net that contradicts itself (unknown bottom, shapes that cannot be)
│   ├── BlobMissing      no such blob, or nothing in it; a KeyError too
│   └── ParamMissing     no such layer with params, or no such param; a KeyError and IndexError too
├── SurgeryError       a change that cannot be made: layer, reason, way out
├── EngineError        a net could not be run
│   ├── EngineMissing    the engine asked for is not on this machine
│   ├── EngineFailed     it ran and gave up; carries its own words ("Check failed: ...")
│   ├── EngineTimeout    it did not answer in time
│   └── EffectRefused    a layer would read, write or import, which was not allowed
├── InstallError       real Caffe could not be fetched or unpacked
├── JobError           a job that cannot be planned, or cannot go on
├── TrainingError      a training run that cannot be planned, or cannot go on
├── MemoryLimitError   what is asked for needs more memory than may be used
└── OutputError        a file could not be written, or is there already

Catch NetsurgeryError to catch all of them; ``str(error)`` is the one line a user sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BlobMissing",
    "BrokenImages",
    "CaffemodelError",
    "EffectRefused",
    "EngineError",
    "EngineFailed",
    "EngineMissing",
    "EngineTimeout",
    "FormatError",
    "ImageError",
    "InstallError",
    "JobError",
    "MeanError",
    "MemoryLimitError",
    "NetError",
    "NetsurgeryError",
    "OutputError",
    "ParamMissing",
    "PrototxtError",
    "SettingsError",
    "SurgeryError",
    "TrainingError",
    "UntrustedError",
]


class NetsurgeryError(Exception):
    """Anything netsurgery refuses or fails to do; its text is one line."""

    def __reduce__(self) -> tuple[Callable[..., NetsurgeryError], tuple[Any, ...], dict[str, Any]]:
        # Exception's own calls the constructor with the text alone, which several here refuse: a
        # pool of processes would break instead of raising the error of one of them.
        return self.__class__.__new__, (type(self), *self.args), self.__dict__


class FormatError(NetsurgeryError):
    """A file is missing, or is not of the expected kind."""


class PrototxtError(FormatError):
    """A prototxt that cannot be read.

    ``line`` and ``column`` count from 1; ``caret`` is the source line and a caret under the
    place, for a terminal.
    """

    def __init__(
        self, what: str, *, path: str, line: int = 0, column: int = 0, source: str = ""
    ) -> None:
        # Line 0 is for the file as a whole: one that cannot be opened, say.
        place = f"{path}:{line}:{column}" if line else path
        super().__init__(f"{place}: {what}")
        self.what, self.path, self.line, self.column = what, path, line, column
        # `source` comes with blanks for tabs, so that a column is a character.
        self.caret = f"{source}\n{' ' * (column - 1)}^" if source else ""
        self._source = source

    def more(self, words: str) -> PrototxtError:
        """The same error, with `words` after what is wrong."""
        at = {"path": self.path, "source": self._source}
        return PrototxtError(self.what + words, line=self.line, column=self.column, **at)


class CaffemodelError(FormatError):
    """A caffemodel (or another protobuf binary) that cannot be read; ``offset`` in bytes."""

    def __init__(self, what: str, *, path: str, offset: int | None = None) -> None:
        place = path if offset is None else f"{path}: byte {offset}"
        super().__init__(f"{place}: {what}")
        self.what, self.path, self.offset = what, path, offset


class MeanError(FormatError):
    """A mean file, or mean values, that cannot be used."""


class ImageError(FormatError):
    """A picture that cannot be read."""


class BrokenImages(ImageError):
    """Annotated pictures that cannot be used; ``errors`` has the error of each.

    ``summary`` is how many of all these are, and what to try.
    """

    def __init__(self, message: str, *, errors: Sequence[NetsurgeryError], summary: str) -> None:
        super().__init__(message)
        self.errors, self.summary = errors, summary


class SettingsError(FormatError):
    """A netsurgery.toml that cannot be used."""


class UntrustedError(SettingsError):
    """A netsurgery.toml that was not named, or a file named in it, that other users can change."""


class NetError(NetsurgeryError):
    """A net that contradicts itself."""


# A KeyError, so that `in` and `get` of an open net's blobs, a Mapping, work.
class BlobMissing(NetError, KeyError):
    """There is no such blob, its shape cannot be inferred, or it holds nothing yet."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError's would quote it


# A KeyError for net.params, a Mapping, and an IndexError for net.params[layer], a Sequence.
class ParamMissing(NetError, KeyError, IndexError):
    """There is no such layer with params, or no param of that number."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError's would quote it


class SurgeryError(NetsurgeryError):
    """A change that cannot be made to this net."""


class EngineError(NetsurgeryError):
    """A net could not be run."""


class EngineMissing(EngineError):
    """The engine is not installed."""


class EngineFailed(EngineError):
    """The engine started and failed; the message quotes it."""


class EngineTimeout(EngineError):
    """The engine did not answer in time."""


class EffectRefused(EngineError):
    """A layer reads, writes or imports by itself without permission; Caffe did not load it."""


class InstallError(NetsurgeryError):
    """Real Caffe could not be fetched, checked or unpacked."""


class JobError(NetsurgeryError):
    """A job that cannot be planned, does not go on, or is not what its folder says."""


class TrainingError(NetsurgeryError):
    """A training run that cannot be planned, does not go on, or whose numbers ran away."""


class MemoryLimitError(NetsurgeryError):
    """More memory is needed than may be used.

    ``what`` needs ``needed`` bytes, or more; ``allowed`` is the whole budget, ``left`` what of it
    could be had.
    """

    def __init__(self, message: str, *, what: str, needed: int, allowed: int, left: int) -> None:
        super().__init__(message)
        self.what, self.needed, self.allowed, self.left = what, needed, allowed, left

    def more(self, words: str) -> MemoryLimitError:
        """The same error, with `words` after the message."""
        return MemoryLimitError(
            f"{self}{words}",
            what=self.what,
            needed=self.needed,
            allowed=self.allowed,
            left=self.left,
        )


class OutputError(NetsurgeryError):
    """An output cannot be written, or exists already."""
