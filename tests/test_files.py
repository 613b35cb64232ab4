from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netsurgery.errors import OutputError
from netsurgery.io.files import Outputs
from netsurgery.io.segments import Bytes
from netsurgery.io.targets import check_outputs

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

DEAD = ".model.0123456789ab.netsurgery-tmp"


@pytest.fixture(autouse=True)
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names() -> list[str]:
    return sorted(os.listdir())


def refused(*paths: str, inputs: tuple[str, ...] = (), force: bool = False) -> str:
    before = names()
    with pytest.raises(OutputError) as caught:
        check_outputs(paths, inputs=inputs, force=force)
    assert names() == before
    return str(caught.value)


def test_outputs_appear_together() -> None:
    outputs = Outputs(["model", "net"])
    assert names() == []
    with outputs:
        outputs["model"].write_segments([Bytes(b"weights")])
        outputs["net"].write(b"a longer text")
        outputs["net"].write(b"text")
        assert [name for name in names() if not name.startswith(".")] == []
    assert names() == ["model", "net"]
    assert Path("model").read_bytes() == b"weights"
    assert Path("net").read_bytes() == b"text"


def test_outputs_appear_in_the_order_given(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: list[str] = []
    really = os.replace

    def replace(args: str, two: str) -> None:
        replaced.append(Path(two).name)
        really(args, two)

    monkeypatch.setattr(os, "replace", replace)
    with Outputs(["z", "m", "a"]):
        pass
    assert replaced == ["z", "m", "a"]


@pytest.mark.parametrize("error", [OutputError, ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_the_work_fails(error: type[BaseException]) -> None:
    Path("net").write_text("old")
    outputs = Outputs(["model", "net"], force=True)

    def work() -> None:
        with outputs:
            outputs["net"].write(b"new")
            raise error

    with pytest.raises(error):
        work()
    assert names() == ["net"]
    assert Path("net").read_text() == "old"


def test_another_process_may_write_by_name() -> None:
    with Outputs(["model"]) as outputs:
        Path(outputs["model"].temporary).write_bytes(b"by caffe")
    assert Path("model").read_bytes() == b"by caffe"


def test_what_exists_is_not_replaced_unless_forced() -> None:
    Path("model").write_text("old")
    assert refused("net", "model") == "model: exists already; --force replaces it"
    with Outputs(["model"], force=True) as outputs:
        outputs["model"].write(b"new")
    assert Path("model").read_text() == "new"


def test_what_a_repeatable_run_has_written_is_left_as_it_is() -> None:
    Path("model").write_bytes(b"same")
    with Outputs(["model", "net"], repeatable=True) as outputs:
        outputs["model"].write(b"same")
        outputs["net"].write(b"new")
    assert Path("net").read_bytes() == b"new"
    message = r"^model: exists already, with another content; --force replaces it$"
    with pytest.raises(OutputError, match=message), Outputs(["model"], repeatable=True) as outputs:
        outputs["model"].write(b"other")
    assert Path("model").read_bytes() == b"same"
    assert names() == ["model", "net"]


def test_what_came_to_exist_meanwhile_is_not_replaced() -> None:
    outputs = Outputs(["model", "net"])
    with pytest.raises(OutputError, match=r"^net: exists already; --force replaces it$"), outputs:
        Path("net").write_text("another's")
    assert names() == ["net"]
    assert Path("net").read_text() == "another's"


@pytest.mark.parametrize("second", ["net", "./net", "sub/../net", "link"])
def test_two_outputs_that_are_one(second: str) -> None:
    Path("sub").mkdir()
    Path("link").symlink_to("net")
    assert refused("net", second) == f"{second}: is the output net too; give one another name"


@pytest.mark.parametrize("how", ["same", "symbolic", "hard"])
@pytest.mark.parametrize("force", [False, True])
def test_an_output_that_is_an_input(how: str, force: bool) -> None:
    Path("model").write_text("weights")
    out = "model" if how == "same" else "link"
    if how == "symbolic":
        Path("link").symlink_to("model")
    elif how == "hard":
        os.link("model", "link")
    message = f"{out}: is an input too (model); give the output another name"
    assert refused(out, inputs=("absent", "model"), force=force) == message


def test_a_link_stays_and_its_target_is_replaced() -> None:
    Path("sub").mkdir()
    Path("sub/real").write_text("old")
    Path("link").symlink_to("sub/real")
    with Outputs(["link"], force=True) as outputs:
        outputs["link"].write(b"new")
    assert Path("link").is_symlink()
    assert Path("sub/real").read_text() == "new"
    assert os.listdir("sub") == ["real"]


def test_a_link_to_nothing_yet() -> None:
    Path("link").symlink_to("later")
    with Outputs(["link"]) as outputs:
        outputs["link"].write(b"new")
    assert Path("later").read_text() == "new"


def test_what_is_no_place_for_a_file(current_folder: Path) -> None:
    os.mkfifo("fifo")
    Path("file").write_text("")
    Path("ring").symlink_to("ring")
    assert refused("") == "an output needs a name; this one is empty"
    assert refused(".") == ".: is a folder, expected a file's name"
    assert refused("new/") == "new/: is a folder, expected a file's name"
    assert refused("fifo") == "fifo: is not a regular file, which an output must be"
    assert refused("-") == (
        "-: this output does not go to standard output; name a file (./- for one called -)"
    )
    assert refused("/dev/null", force=True) == (
        "/dev/null: is not a regular file, which an output must be"
    )
    assert refused("absent/net") == (
        "absent/net: there is no folder absent; make it first (mkdir -p)"
    )
    assert refused("file/net") == "file/net: file is a file, expected a folder"
    assert refused("ring") == "ring: Too many levels of symbolic links"
    assert refused("a\0b") == "'a\\x00b': not a file name (it holds a zero byte)"


def test_a_name_too_long() -> None:
    with pytest.raises(OutputError, match=r": File name too long$"), Outputs(["n" * 256]):
        pass
    with Outputs(["é" * 127]) as outputs:
        outputs["é" * 127].write(b"fits")
    assert names() == ["é" * 127]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes(umask: int) -> None:
    Path("old").write_text("")
    Path("old").chmod(0o604)
    before = os.umask(umask)
    try:
        with Outputs(["old", "new"], force=True):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("old").st_mode) == 0o604
    assert stat.S_IMODE(os.stat("new").st_mode) == 0o666 & ~umask


WRITE = """
import resource
from netsurgery.errors import OutputError
from netsurgery.io.files import Outputs
from netsurgery.io.segments import Bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with Outputs(["model"]) as outputs:
        outputs["model"].write_segments([Bytes(b"x" * 5000)])
except OutputError as error:
    print(error)
"""


def test_a_file_that_cannot_grow(current_folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("model: File too large\n", "")
    assert names() == []


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "temporary")

    outputs = Outputs(["model"])
    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(OutputError) as caught, outputs:
        pass
    assert str(caught.value) == "model: Permission denied"


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    outputs = Outputs(["model"])
    with pytest.raises(OutputError, match=r"^model: No space left on device$"), outputs:
        outputs["model"].write_segments([Bytes(b"x")])
    assert names() == []


def test_when_the_last_cannot_be_put_in_place_the_first_are_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("model").write_text("old")
    outputs = Outputs(["model", "settings", "net"], force=True)
    really = os.replace

    def replace(args: str, two: str) -> None:
        if two.endswith("net"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        really(args, two)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputError, match=r"^net: Operation not permitted$"), outputs:
        outputs["model"].write(b"new")
    assert names() == ["model"]
    assert Path("model").read_text() == "old"


def test_the_leavings_of_dead_runs_are_removed() -> None:
    Path(DEAD).write_text("")
    Path(".unlike.netsurgery-tmp").write_text("")
    with Outputs(["net"]):
        pass
    assert names() == [".unlike.netsurgery-tmp", "net"]


def test_those_of_living_runs_are_not() -> None:
    with open(DEAD, "w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        with Outputs(["net"]):
            pass
        assert names() == [DEAD, "net"]


def test_two_runs_at_once() -> None:
    with Outputs(["one"]) as first, Outputs(["two"]) as second:
        first["one"].write(b"1")
        second["two"].write(b"2")
    assert names() == ["one", "two"]


def test_links_are_not_followed_when_clearing_up() -> None:
    Path("precious").write_text("kept")
    Path(DEAD).symlink_to("precious")
    with Outputs(["net"]):
        pass
    assert Path("precious").read_text() == "kept"


def test_a_folder_that_another_run_is_filling_is_waited_for(
    current_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = os.open(current_folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    waited: list[list[str]] = []

    def sleep(_: float) -> None:
        waited.append([name for name in names() if not name.startswith(".")])
        os.close(descriptor)

    monkeypatch.setattr("netsurgery.io.files.time.sleep", sleep)
    with Outputs(["model", "net"]):
        pass
    assert waited == [[]]
    assert names() == ["model", "net"]


def test_a_folder_that_somebody_keeps_is_not_waited_for_forever(
    current_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netsurgery.io.files._PATIENCE", 0.02)
    descriptor = os.open(current_folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with Outputs(["model"]):
        pass
    os.close(descriptor)
    assert names() == ["model"]


def test_where_nothing_can_be_locked_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems may have no locks; the temporary of a living run stays there."""

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    def sleep(_: float) -> None:
        pytest.fail("waited")

    monkeypatch.setattr("fcntl.flock", unsupported)
    monkeypatch.setattr("netsurgery.io.files.time.sleep", sleep)
    Path(DEAD).write_text("")
    with Outputs(["model"]):
        pass
    assert names() == [DEAD, "model"]


def test_many_outputs_and_inputs_take_time_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times as many: no more than five times the questions to the system."""
    asked = 0
    real = os.stat

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        return real(*args, **options)

    def questions(count: int) -> int:
        nonlocal asked
        folder = tmp_path / str(count)
        folder.mkdir()
        inputs = [folder / f"{number}.in" for number in range(count)]
        for path in inputs:
            path.touch()
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", counted)
            asked = 0
            check_outputs([folder / f"{number}.out" for number in range(count)], inputs=inputs)
        return asked

    assert 0 < questions(400) < 5 * questions(100)


def test_a_pipe_by_its_name_in_proc() -> None:
    """The real path of /proc/self/fd/N, and of /dev/stdout, names no file."""
    reader, writer = os.pipe()
    try:
        name = f"/proc/self/fd/{writer}"
        assert refused(name) == f"{name}: is not a regular file, which an output must be"
    finally:
        os.close(reader)
        os.close(writer)


def test_standard_output_gets_the_whole_or_nothing(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    with Outputs(["-"], stdout=True) as outputs:
        outputs["-"].write(b"rubbish, and more of it")
        outputs["-"].write(b"\x00\xff")
    assert capfdbinary.readouterr().out == b"\x00\xff"

    def interrupted() -> None:
        with Outputs(["-"], stdout=True) as outputs:
            outputs["-"].write(b"a half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capfdbinary.readouterr().out == b""


def test_two_names_of_one_file() -> None:
    Path("a").touch()
    os.link("a", "b")
    assert refused("a", "b", force=True) == "b: is the output a too; give one another name"


def test_standard_output_takes_one_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(OutputError, match="two outputs cannot both go to standard output"):
        Outputs(["-", "-"], stdout=True)
    with Outputs(["-", "other"], stdout=True) as outputs:
        outputs["-"].write(b"1")
        outputs["other"].write(b"2")
    assert capfdbinary.readouterr().out == b"1"
    assert Path("other").read_bytes() == b"2"


def test_no_file_appears_where_standard_output_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with (
        pytest.raises(OutputError, match="standard output is closed"),
        Outputs(["other", "-"], stdout=True) as outputs,
    ):
        outputs["-"].write(b"1")
    assert not Path("other").exists()


def test_a_closed_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with (
        pytest.raises(OutputError, match="standard output is closed"),
        Outputs(["-"], stdout=True) as outputs,
    ):
        outputs["-"].write(b"1")
