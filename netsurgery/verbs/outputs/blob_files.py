"""Where the outputs of blobs go: made one after another, written together at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.io.files import Outputs
from netsurgery.io.folders import make_folder
from netsurgery.io.targets import check_outputs
from netsurgery.io.terminal import printable
from netsurgery.io.wording import argument
from netsurgery.maps.channel_view import ChannelView
from netsurgery.verbs.outputs import OUTPUTS
from netsurgery.verbs.outputs.files import is_folder, stems

if TYPE_CHECKING:
    from netsurgery.maps.features import Features

__all__ = ["BlobFiles", "one_line"]


@dataclass
class BlobFiles:
    """The files of each blob of each picture, by kind ("picture").

    paths: (kind, the picture's name, blob) -> file. inputs: files that none may replace. view: what
    pictures show. content: what has been made, by file.
    """

    inputs: Sequence[str]
    force: bool
    view: ChannelView = field(default_factory=ChannelView)
    paths: dict[tuple[str, str, str], str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    content: dict[str, bytes] = field(default_factory=dict)

    def name(self, outputs: Mapping[str, str], names: Sequence[str], blobs: Sequence[str]) -> None:
        """Name every file: the one given for one blob, FOLDER/NAME_BLOB for several.

        outputs: kind -> file or folder. Raises OutputError.
        """
        keys = [(name, blob) for name in names for blob in blobs]
        for kind, place in outputs.items():
            suffix = OUTPUTS[kind].suffix
            if not is_folder(argument(f"--{kind}"), place, suffix, len(keys), "blobs"):
                self.paths[kind, names[0], blobs[0]] = place
                continue
            self.folders.add(place)
            # A blob's name may have slashes, which would be folders.
            flat = [f"{name}_{one_line(blob)}".replace("/", "-") + suffix for name, blob in keys]
            for (name, blob), file in zip(keys, stems(flat), strict=True):
                self.paths[kind, name, blob] = str(Path(place, file.removesuffix(suffix) + suffix))

    def check(self, others: Sequence[Path]) -> None:
        """Refuse, before any work, outputs that must not be written; `others` go with them."""
        later = {Path(folder) for folder in self.folders if not os.path.isdir(folder)}
        files = [path for path in self.paths.values() if Path(path).parent not in later]
        check_outputs([*others, *files], inputs=self.inputs, force=self.force)

    def contents(self, name: str, blobs: Mapping[str, Features]) -> dict[str, bytes]:
        """What is to be written of the blobs of one picture, by file."""
        contents = {}
        for blob, features in blobs.items():
            for kind, output in OUTPUTS.items():
                path = self.paths.get((kind, name, blob))
                if path is not None and output.of_features is not None:
                    contents[path] = output.of_features(features, self.view, Path(path).suffix)
        return contents

    def write(self) -> None:
        """Write all that was made, together or not at all."""
        for folder in self.folders if self.content else ():
            make_folder(folder)
        with Outputs(list(self.content), inputs=self.inputs, force=self.force) as outputs:
            for path, content in self.content.items():
                outputs[path].write(content)


def one_line(name: str) -> str:
    """`name` without what could steer a terminal that shows it."""
    return printable(name).replace("\n", "\\n").replace("\t", "\\t")
