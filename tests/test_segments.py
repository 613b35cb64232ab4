from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsurgery.errors import OutputError
from netsurgery.io.segments import (
    Bytes,
    Computed,
    FileRange,
    FileSource,
    Segment,
    segments_length,
    write_segments,
)

MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Iterator[FileSource]:
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * (3 * MIB // 256) + b"end")
    opened = FileSource(path)
    yield opened
    opened.close()


def written(folder: Path, segments: list[Segment]) -> bytes:
    (folder / "out").touch()
    with (folder / "out").open("r+b") as file:
        write_segments(file.fileno(), segments)
    return (folder / "out").read_bytes()


def test_bytes_ranges_and_computed_bytes_in_order(source: FileSource, tmp_path: Path) -> None:
    whole = Path(source.path).read_bytes()
    segments: list[Segment] = [
        Bytes(b"head"),
        FileRange(source, 3 * MIB, 3),
        FileRange(source, 7, 2 * MIB + 5),
        Computed(6, lambda: [b"ab", memoryview(b"cd"), bytearray(b"ef")]),
        FileRange(source, 0, 0),
        Bytes(b"tail"),
    ]
    expected = b"head" + b"end" + whole[7 : 7 + 2 * MIB + 5] + b"abcdef" + b"tail"
    assert written(tmp_path, segments) == expected
    assert segments_length(segments) == len(expected)


def test_no_segments_make_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old and longer")
    assert written(tmp_path, []) == b""


def test_a_shorter_file_takes_the_place_of_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old and longer")
    assert written(tmp_path, [Bytes(b"new")]) == b"new"


def test_what_the_kernel_copies_comes_behind_what_was_gathered(
    source: FileSource, tmp_path: Path
) -> None:
    """A range that lies alike in blocks, so that a file system might share it."""
    head, whole = bytes(4096), Path(source.path).read_bytes()
    content = written(tmp_path, [Bytes(head), FileRange(source, 4096, 2 * MIB)])
    assert content == head + whole[4096 : 4096 + 2 * MIB]


@pytest.mark.parametrize("refusal", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_the_kernel_will_not_copy(
    source: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def copy_file_range(*_: object) -> int:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "copy_file_range", copy_file_range)
    assert written(tmp_path, [FileRange(source, 0, 3 * MIB)]) == Path(source.path).read_bytes()[:-3]


def test_a_range_through_the_buffer_comes_behind_what_was_gathered(
    source: FileSource, tmp_path: Path
) -> None:
    content = written(tmp_path, [Bytes(b"head"), FileRange(source, 1, 600 << 10), Bytes(b"tail")])
    assert content == b"head" + Path(source.path).read_bytes()[1 : 1 + (600 << 10)] + b"tail"


def test_a_system_that_writes_and_reads_a_part_at_a_time(
    source: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite, pread = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:100_000], at))
    monkeypatch.setattr(os, "pread", lambda fd, length, at: pread(fd, min(length, 100_000), at))
    content = written(
        tmp_path, [Bytes(b"head"), FileRange(source, 1, 2 * MIB), FileRange(source, 0, MIB // 3)]
    )
    whole = Path(source.path).read_bytes()
    assert content == b"head" + whole[1 : 1 + 2 * MIB] + whole[: MIB // 3]


def test_where_there_are_no_such_calls(
    source: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range")
    monkeypatch.delattr(os, "posix_fallocate")
    assert (
        written(tmp_path, [FileRange(source, 1, 3 * MIB)]) == Path(source.path).read_bytes()[1:-2]
    )


def test_other_errors_of_the_system_are_not_passed_over(
    source: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def posix_fallocate(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", posix_fallocate)
    with pytest.raises(OSError, match="No space left on device"):
        written(tmp_path, [FileRange(source, 0, 100)])


@pytest.mark.parametrize("length", [100, 2 * MIB])
def test_a_source_that_is_too_short(source: FileSource, tmp_path: Path, length: int) -> None:
    with pytest.raises(OutputError) as caught:
        written(tmp_path, [FileRange(source, 3 * MIB + 1, length)])
    assert str(caught.value) == (
        f"{source.path}: ends {length - 2} bytes short, at byte {3 * MIB + 3}; "
        "it changed while it was being read"
    )


def test_a_source_that_changed(source: FileSource, tmp_path: Path) -> None:
    os.utime(source.path, ns=(1, 1))
    with pytest.raises(OutputError) as caught:
        written(tmp_path, [FileRange(source, 0, 1)])
    assert str(caught.value) == f"{source.path}: changed while it was being read; run again"


def test_a_source_that_changes_on_the_way(source: FileSource, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        os.utime(source.path, ns=(1, 1))
        yield b"x"

    with pytest.raises(OutputError, match=r"changed while it was being read; run again$"):
        written(tmp_path, [FileRange(source, 0, 1), Computed(1, chunks)])


def test_a_source_replaced_by_another_file(source: FileSource) -> None:
    replacement = Path(source.path + ".new")
    replacement.write_bytes(Path(source.path).read_bytes())
    assert source.unchanged()
    replacement.replace(source.path)
    assert not source.unchanged()


@pytest.mark.parametrize(
    ("promised", "message"),
    [(5, "a computed param gave 4 instead of 5 bytes"), (3, "gave more than 3 bytes")],
)
def test_computed_bytes_come_to_what_was_promised(
    tmp_path: Path, promised: int, message: str
) -> None:
    with pytest.raises(OutputError, match=message):
        written(tmp_path, [Computed(promised, lambda: [b"ab", b"cd"])])


def test_no_more_is_computed_than_was_promised(tmp_path: Path) -> None:
    chunks = iter([b"ab", b"cd", b"ef"])
    with pytest.raises(OutputError, match="gave more than 3 bytes"):
        written(tmp_path, [Computed(3, lambda: chunks)])
    assert next(chunks) == b"ef"


def test_progress_grows_to_the_whole(source: FileSource, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    segments: list[Segment] = [Bytes(b"x"), FileRange(source, 0, 3 * MIB)]
    with (tmp_path / "out").open("w+b") as file:
        write_segments(file.fileno(), segments, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (3 * MIB + 1, 3 * MIB + 1)
    assert {total for _, total in seen} == {3 * MIB + 1}


def test_only_regular_files_are_sources(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="not a regular file"):
        FileSource(fifo)
    with pytest.raises(OSError, match="is a folder"):
        FileSource(tmp_path)


def test_what_is_no_source_is_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="is a folder"):
        FileSource(tmp_path)
    assert len(os.listdir("/dev/fd")) == before


def test_a_closed_source(source: FileSource) -> None:
    source.close()
    source.close()
    with pytest.raises(OSError, match="closed already"):
        source.pread(1, 0)
    assert not source.unchanged()


MEASURE = """
import resource, sys
from netsurgery.io.segments import Bytes, FileRange, FileSource, write_segments
import os
if sys.argv[3] == "read":
    del os.copy_file_range, os.preadv
source = FileSource(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[2], "w+b") as out:
    start = [Bytes(b"x")] if sys.argv[3] == "buffer" else []
    write_segments(out.fileno(), [*start, FileRange(source, 0, source.size - len(start))])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("how", ["kernel", "buffer", "read"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, how: str) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(64 * MIB)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "big", tmp_path / "out", how],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "out").stat().st_size == 64 * MIB
    assert int(done.stdout) < 8 * 1024  # KiB
    (tmp_path / "out").unlink()
