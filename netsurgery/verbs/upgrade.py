"""A net of an earlier Caffe brought up to date: a prototxt or a caffemodel, by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import OutputError
from netsurgery.formats.caffemodel import open_protobuf
from netsurgery.formats.prototxt import Prototxt, is_prototxt
from netsurgery.io.files import Outputs
from netsurgery.io.terminal import print_text
from netsurgery.open_net.arguments import AnyPath

if TYPE_CHECKING:
    from netsurgery.formats.upgrade.binary import BinaryUpgrade
    from netsurgery.formats.upgrade.text import TextUpgrade, UpgradeStep

# What upgrades is imported where it is used: most nets are of today, and convert reads them too.

__all__ = ["Upgrade", "planned_upgrade", "upgrade", "write_upgrade"]

#: Standard input, or output.
STREAM = "-"


@dataclass(frozen=True)
class Upgrade:
    """A plan: `text` for a prototxt, else `binary`, whose old file is open."""

    path: Path
    text: TextUpgrade | None = None
    binary: BinaryUpgrade | None = None

    @property
    def kind(self) -> str:
        """ "prototxt" or "caffemodel"."""
        return "prototxt" if self.binary is None else "caffemodel"

    @property
    def generation(self) -> str:
        """ "V0", "V1" or "V2", of what was read."""
        if self.binary is not None:
            return self.binary.generation
        return self.text.prototxt.generation if self.text is not None else "V2"

    @property
    def changes(self) -> tuple[UpgradeStep, ...]:
        """What is done; nothing where the net is up to date."""
        plan = self.text or self.binary
        return plan.changes if plan is not None else ()


@contextmanager
def planned_upgrade(path: Path) -> Iterator[Upgrade]:
    """The plan for a prototxt ("-": from standard input) or a caffemodel.

    Raises FormatError (PrototxtError, CaffemodelError) for what is neither, and for what cannot
    be carried over.
    """
    if str(path) == STREAM or is_prototxt(path):
        from netsurgery.formats.upgrade.text import plan_upgrade

        yield Upgrade(path, text=plan_upgrade(Prototxt.read(path)))
        return
    from netsurgery.formats.upgrade.binary import plan_binary_upgrade

    with open_protobuf(path) as source:
        yield Upgrade(path, binary=plan_binary_upgrade(source))


def write_upgrade(
    plan: Upgrade,
    target: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the net that `plan` leads to; a prototxt to standard output for "-".

    A net that is up to date is written too, byte for byte (but for a byte order mark). progress:
    called with the bytes written and those in all. Raises OutputError; nothing is written then.
    """
    inputs = [] if str(plan.path) == STREAM else [plan.path]
    if str(target) == STREAM:
        if plan.text is None:
            raise OutputError("a caffemodel is written to a file, not to standard output")
        print_text(_encoded(plan.text))
        return
    with Outputs([target], inputs=inputs, force=force) as outputs:
        if plan.text is not None:
            outputs[target].write(_encoded(plan.text))
        if plan.binary is not None:
            from netsurgery.formats.upgrade.binary import check_upgraded
            from netsurgery.formats.weights import check_size

            check_size(plan.binary.segments, target)
            outputs[target].write_segments(plan.binary.segments, progress)
            check_upgraded(outputs[target].temporary, plan.binary)


def upgrade(
    path: AnyPath, output: AnyPath, *, force: bool = False, dry_run: bool = False
) -> Upgrade:
    """Bring a prototxt or a caffemodel of Caffe's first years (V0, V1) up to date.

    The content shows which of the two it is. A prototxt keeps its comments, order and layout; the
    message is the one that Caffe's own upgrade tools give. The result's `changes` are what was
    done, `generation` what it was. Raises FormatError, PrototxtError, CaffemodelError,
    OutputError.
    """
    with planned_upgrade(Path(path)) as plan:
        if not dry_run:
            write_upgrade(plan, Path(output), force=force)
    return plan


def _encoded(plan: TextUpgrade) -> bytes:
    return plan.prototxt.to_bytes(plan.text)
