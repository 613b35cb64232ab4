"""``netsurgery.upgrade``: a net of an earlier Caffe brought up to date, a prototxt or a caffemodel.

An output appears whole or not at all, the input is never changed, and an output that exists is an
error without `force`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import NetError
from netsurgery.formats.caffemodel import open_protobuf
from netsurgery.formats.prototxt import Prototxt, is_prototxt
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import OutputFile, Outputs
from netsurgery.io.reader import Reader
from netsurgery.io.table import Column, Table
from netsurgery.io.targets import STDOUT, check_outputs, wrote
from netsurgery.io.terminal import print_text
from netsurgery.io.wording import counted
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.open_result import OpenResult

if TYPE_CHECKING:
    from netsurgery.formats.upgrade.binary import BinaryUpgrade
    from netsurgery.formats.upgrade.splices import UpgradeStep
    from netsurgery.formats.upgrade.text import TextUpgrade
    from netsurgery.open_net.net import Net

# What upgrades is imported where it is used: most nets are of today, and convert reads them too.

__all__ = ["Upgrade", "upgrade"]


class Upgrade(OpenResult):
    """What `upgrade` does to a prototxt, or to a caffemodel.

    output: the file that it goes to, None for none. written: the file written last, () for none. A
    caffemodel stays open until this is closed or collected.

    >>> import netsurgery as ns
    >>> with ns.upgrade("prototxt/digits_deploy.prototxt") as result:
    ...     print(result)
    ...     result.save("same.prototxt")
    prototxt of V2: already up to date
    ('same.prototxt',)
    """

    noun = "upgrade"

    def __init__(
        self,
        path: Path,
        source: ExitStack,
        text: TextUpgrade | None = None,
        binary: BinaryUpgrade | None = None,
    ) -> None:
        """text, binary: the plan, one of the two; of a binary one `source` closes the old file."""
        super().__init__(source, *([] if binary is None else [Reader(binary.source)]))
        self.path, self._text, self._binary = path, text, binary
        self.output: Path | None = None
        self.written: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What the input is: "prototxt" or "caffemodel"."""
        return "prototxt" if self._binary is None else "caffemodel"

    @property
    def generation(self) -> str:
        """What the input was: "V0" (2013), "V1" (2014) or "V2"."""
        if self._binary is not None:
            return self._binary.generation
        return self._text.prototxt.generation if self._text is not None else "V2"

    @property
    def steps(self) -> tuple[UpgradeStep, ...]:
        """What is done, layer by layer; nothing where the net is up to date."""
        plan = self._text or self._binary
        return plan.changes if plan is not None else ()

    @property
    def text(self) -> str:
        """The new prototxt. Raises NetError for a caffemodel."""
        return self._planned_text.text

    @property
    def _planned_text(self) -> TextUpgrade:
        if self._text is None:
            raise NetError(f"{self.path}: a caffemodel alone has no prototxt")
        return self._text

    @cached_property
    def net(self) -> Net:
        """The net of the new prototxt, open, without weights. Raises NetError for a caffemodel."""
        from netsurgery.net.net import NetDefinition
        from netsurgery.net.net_with_weights import NetWithWeights
        from netsurgery.net.state import TEST
        from netsurgery.open_net.net import Net

        self.check_open()
        return Net.of_model(NetWithWeights(NetDefinition.of(self._planned_text.result, TEST)))

    @checks_arguments()
    def save(
        self,
        output: AnyPath,
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[str, ...]:
        """Write the net; returns the files written.

        output: "-" is standard output. A net that is up to date is written too, byte for byte (but
        for a byte order mark). progress: called with the bytes written so far and those in all.
        Raises OutputError; nothing is written then.
        """
        self.check_open()
        # `Outputs` prints to no terminal, where a prototxt may well be read.
        if self._text is not None and str(output) == STDOUT:
            print_text(self._encoded())
        else:
            with Outputs([output], inputs=[self.path], force=force, stdout=True) as outputs:
                self._write(outputs[output], progress)
        self.output, self.written = Path(output), (str(output),)
        return self.written

    def _write(self, output: OutputFile, progress: Callable[[int, int], None] | None) -> None:
        if self._binary is None:
            output.write(self._encoded())
            return
        from netsurgery.formats.upgrade.binary import check_upgraded
        from netsurgery.formats.weights import check_size

        check_size(self._binary.segments, output.path)
        output.write_segments(self._binary.segments, progress)
        # Read back before it gets its name.
        check_upgraded(output.temporary, self._binary)

    def _encoded(self) -> bytes:
        return self._planned_text.prototxt.to_bytes(self.text)

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery upgrade --json` prints it."""
        diff = None
        if self._text is not None and not self.written:
            from netsurgery.formats.line_diff import text_diff

            diff = text_diff(self._text.prototxt, self.text, str(self.output or "upgraded"))
        return {
            "input": str(self.path),
            "kind": self.kind,
            "generation": self.generation,
            "up_to_date": not self.steps,
            "steps": [
                {
                    "layer": step.layer,
                    "fields": list(step.fields),
                    "before": step.before,
                    "after": step.after,
                    "what": step.what,
                }
                for step in self.steps
            ],
            "output": None if self.output is None else str(self.output),
            "dry_run": not self.written,
            "diff": diff,
        }

    def __str__(self) -> str:
        count = len(self.steps)
        done = counted(count, "step") if count else "already up to date"
        text = f"{self.kind} of {self.generation}: {done}"
        return f"{text}{wrote(self.written)}"

    def table(self) -> Table:
        """The steps."""
        table = Table((Column("layer"), Column("step")))
        for step in self.steps:
            table.add(step.layer or "", step.what)
        return table


@checks_arguments()
def upgrade(
    path: AnyPath,
    output: AnyPath | None = None,
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Upgrade:
    """Bring a prototxt or a caffemodel of Caffe's first years (V0, V1) up to date.

    path: its content shows which of the two it is. A prototxt keeps its comments, order and layout;
    the message is the one that Caffe's own upgrade tools give. output: the file to write, see
    `Upgrade.save`; without one nothing is written. force: replace a file that exists. dry_run:
    write nothing all the same. progress: see `Upgrade.save`.

    >>> import netsurgery as ns
    >>> old = open("old.prototxt", "w")
    >>> _ = old.write('layers { name: "relu" type: RELU bottom: "x" top: "x" }')
    >>> old.close()
    >>> result = ns.upgrade("old.prototxt", "new.prototxt")
    >>> print(result)
    prototxt of V1: 1 step; wrote new.prototxt
    >>> result.steps[0].fields, result.steps[0].before, result.steps[0].after
    (('type',), 'RELU', 'ReLU')

    Raises FormatError (PrototxtError, CaffemodelError) for what is neither, and for what cannot be
    carried over; OutputError. Nothing is written then.
    """
    path = Path(path)
    with ExitStack() as stack:
        if is_prototxt(path):
            from netsurgery.formats.upgrade.text import plan_upgrade

            # Text is read whole: no file stays open.
            result = Upgrade(path, ExitStack(), text=plan_upgrade(Prototxt.read(path)))
        else:
            from netsurgery.formats.upgrade.binary import plan_binary_upgrade

            plan = plan_binary_upgrade(stack.enter_context(open_protobuf(path)))
            result = Upgrade(path, stack.pop_all(), binary=plan)
    if output is not None and not dry_run:
        result.save(output, force=force, progress=progress)
    elif output is not None:
        if str(output) != STDOUT:
            check_outputs([output], inputs=[path], force=True)
        result.output = Path(output)
    return result
