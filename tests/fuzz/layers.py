"""Whole nets of up to some thousand layers under a command line, in time and memory by their size.

Two shapes of `benchmarks.many_layers` are put one behind the other, with names in common, and some
lines of them left out, doubled or put elsewhere.
"""

from __future__ import annotations

import json
import os
import random
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.layers import LINES, folder_of, run, words
from benchmarks.many_layers import SHAPES

__all__ = ["LINES", "Case", "cases"]

#: Seconds of the processor and bytes that a command may take, at all and for each layer.
_SECONDS = 2.0, 0.02
_BYTES = 256 << 20, 200_000
#: These keep every blob in the engine, or run the net: its time is not ours.
_RUNS_ALL = ("verify", "features", "classify-map")


@dataclass(frozen=True)
class Case:
    """A command on a net; `changes` lines of it are changed, as `seed` draws."""

    command: str
    shape: str
    other: str
    size: int
    changes: int
    seed: int

    @classmethod
    def from_bytes(cls, data: bytes) -> Case:
        """A case from its JSON."""
        return cls(**json.loads(data))

    def to_bytes(self) -> bytes:
        """The case as JSON."""
        return json.dumps(asdict(self)).encode()

    def check(self) -> None:
        """Run it; it ends with 0, 1 or 2, soon enough."""
        os.environ["NETSURGERY_ENGINE"] = "embedded"
        with folder_of(self.shape, self.size) as net:
            path = Path("a.prototxt")
            lines = [*net.lines, *SHAPES[self.other](self.size // 2).lines]
            path.write_text("\n".join(self._changed(lines)))
            began, before = time.process_time(), _peak()
            code, said = run(words(self.command, net))
            seconds, grown = time.process_time() - began, _peak() - before
        assert code in (0, 1, 2), f"exit code {code}: {said}"
        assert "Traceback" not in said, said
        most = _SECONDS[0] + _SECONDS[1] * len(lines)
        assert seconds <= most, f"{seconds:.1f} s for {len(lines)} layers"
        most = _BYTES[0] + _BYTES[1] * len(lines)
        assert grown <= most, f"{grown >> 20} MiB for {len(lines)} layers"

    def _changed(self, lines: list[str]) -> list[str]:
        draw = random.Random(self.seed)
        for _ in range(self.changes):
            at, to = draw.randrange(len(lines)), draw.randrange(len(lines))
            line = lines.pop(at) if draw.random() < 0.7 else lines[at]
            if draw.random() < 0.7:
                lines.insert(to, line)
        return lines


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


#: Sizes are small where a case runs the net.
cases: st.SearchStrategy[Case] = st.sampled_from(list(LINES)).flatmap(
    lambda command: st.builds(
        Case,
        st.just(command),
        st.sampled_from(list(SHAPES)),
        st.sampled_from(list(SHAPES)),
        st.integers(8, 60 if command in _RUNS_ALL else 600),
        st.integers(0, 8),
        st.integers(0, 2**32),
    )
)
