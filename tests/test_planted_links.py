"""No write of ours goes where somebody else's link, file or folder would lead it."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from pathlib import Path

import pytest
from every_command import COMMANDS, make_good
from lacking import as_root, with_owners
from test_ownership import EVE, Give, give  # noqa: F401 - a fixture

from netsurgery.cli import run
from netsurgery.errors import FormatError, OutputError
from netsurgery.formats.caffemodel_new import NewBlob, NewLayer
from netsurgery.formats.weights import write_weights
from netsurgery.io import files
from netsurgery.io.files import Outputs
from netsurgery.io.folders import output_folders
from netsurgery.io.output_folder import OutputFolder, check_output_folders
from netsurgery.io.scratch import scratch_folder

pytestmark = with_owners

#: Commands that write, as in `every_command`, with what they write.
OUTPUTS = {
    name: next(word for word in ways[0].split() if word.startswith("out"))
    for name, ways in COMMANDS.items()
    if " out" in ways[0]
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the commands take, and a folder of one's own to be hurt."""
    monkeypatch.chdir(tmp_path)
    make_good(128)
    Path("private").mkdir()
    Path("private/precious").write_text("years of work")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("where", ["the output", "its folder"])
@pytest.mark.parametrize("command", OUTPUTS)
def test_another_users_link_is_not_followed(
    folder: Path,
    give: Give,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    command: str,
    where: str,
) -> None:
    name = OUTPUTS[command]
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    output = shared / name if where == "the output" else shared / "link" / name
    link = output if where == "the output" else output.parent
    target = "precious" if where == "the output" and command != "convert" else ""
    link.symlink_to(folder / "private" / target)
    give(link, EVE)
    words = COMMANDS[command][0].replace("NET", "good.prototxt").split()
    words = [str(output) if word == name else word for word in words]
    before = contents(folder)
    assert run([command, *words, "--force"]) == 1
    _, err = capsys.readouterr()
    assert err.endswith(
        f": {link} is a symbolic link of another user (uid {EVE}), which is not followed; name the "
        "place it leads to\n"
    )
    assert err.count("\n") == 1
    assert contents(folder) == before
    assert sorted(os.listdir("private")) == ["precious"]


def test_a_picture_folder_behind_such_a_link_is_not_made(
    folder: Path,
    give: Give,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("link").symlink_to("private")
    give(folder / "link", EVE)
    words = "grey.png --prototxt good.prototxt --weights good.caffemodel --blob conv"
    more = ["--engine", "embedded", "-q", "--npy", "link/new/"]
    assert run(["classify-map", *words.split(), *more]) == 1
    assert "link is a symbolic link of another user" in capsys.readouterr().err
    assert os.listdir("private") == ["precious"]


def test_what_is_behind_such_a_link_is_refused_before_any_work(
    folder: Path,
    give: Give,  # noqa: F811
) -> None:
    """Nor is a folder made there, which an error would remove again."""
    Path("link").symlink_to("private")
    give(folder / "link", EVE)
    with pytest.raises(OutputError, match="another user"):
        Outputs(["link/new"])
    with (
        pytest.raises(OutputError, match="another user"),
        output_folders([Path("link/new/file")]),
    ):
        pytest.fail("it was made")
    with pytest.raises(OutputError, match="another user"):
        check_output_folders(["link/maps.zarr"], ["zarr.json"])
    assert os.listdir("private") == ["precious"]


def test_a_link_of_ones_own_in_a_shared_folder_is_followed(folder: Path) -> None:
    Path("shared").mkdir()
    Path("shared").chmod(0o1777)
    Path("shared/link").symlink_to("../private/precious")
    with Outputs(["shared/link"], force=True) as outputs:
        outputs["shared/link"].write(b"new")
    assert Path("private/precious").read_text() == "new"
    assert Path("shared/link").is_symlink()


@pytest.mark.parametrize("how", ["another way", "another user"])
def test_a_link_that_changes_during_the_run(
    folder: Path,
    give: Give,  # noqa: F811
    how: str,
) -> None:
    Path("mine").mkdir()
    Path("link").symlink_to("mine")

    def write() -> None:
        with Outputs(["link/precious"], force=True) as outputs:
            outputs["link/precious"].write(b"new")
            if how == "another user":
                give(folder / "link", EVE)
            else:
                Path("link").unlink()
                Path("link").symlink_to("private")

    with pytest.raises(OutputError, match=r"leads elsewhere|another user"):
        write()
    assert Path("private/precious").read_text() == "years of work"
    assert os.listdir("mine") == []


def test_a_link_that_changes_while_a_folder_is_written(
    folder: Path,
    give: Give,  # noqa: F811
) -> None:
    Path("mine").mkdir()
    Path("link").symlink_to("mine")

    def write() -> None:
        with OutputFolder("link/maps.zarr"):
            give(folder / "link", EVE)

    with pytest.raises(OutputError, match="another user"):
        write()
    assert os.listdir("mine") == []


@pytest.mark.parametrize("kind", ["npz", "h5", "caffemodel.h5"])
def test_a_link_in_the_place_of_the_temporary_file(folder: Path, kind: str) -> None:
    """In a folder where others may rename what is ours; libraries open files by their names."""
    from netsurgery.verbs.outputs import COLLECTIONS

    name = f"out.{kind}"

    def write() -> None:
        with Outputs([name]) as outputs:
            temporary = Path(outputs[name].temporary)
            temporary.unlink()
            temporary.symlink_to("private/precious")
            if kind == "caffemodel.h5":
                blob = NewBlob((1,), lambda: [bytes(4)])
                write_weights(outputs[name], [NewLayer("a", "Convolution", (), (), (blob,))])
            else:
                COLLECTIONS[f".{kind}"].open([outputs[name]]).close()

    with pytest.raises((OutputError, FormatError)):
        write()
    assert not os.path.lexists(name)
    assert Path("private/precious").read_text() == "years of work"


@pytest.mark.parametrize(("owner", "mode"), [(None, 0o755), pytest.param(EVE, None, marks=as_root)])
def test_the_mode_of_a_program_that_runs_as_its_owner_is_not_kept(
    folder: Path,
    give: Give,  # noqa: F811
    owner: int | None,
    mode: int | None,
) -> None:
    planted = folder / "out"
    planted.touch()
    planted.chmod(0o6755 if owner is None else 0o6777)
    if owner is not None:
        give(planted, owner)
        planted.chmod(0o6777)
    umask = os.umask(0o022)
    try:
        with Outputs(["out"], force=True) as outputs:
            outputs["out"].write(b"new")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(planted.stat().st_mode) == (mode or 0o644)


def test_a_planted_pipe_of_a_temporarys_name_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = Path(".out.0123456789ab.netsurgery-tmp")
    os.mkfifo(planted)
    monkeypatch.setattr(files, "_cleared", {})  # the fixture's run has just cleared the folder
    handler = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it is waited for"))
    signal.alarm(20)
    try:
        with Outputs(["out"]) as outputs:
            outputs["out"].write(b"new")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    assert Path("out").read_bytes() == b"new"
    assert not planted.exists()  # it was looked at, and nobody holds it


def test_a_folder_for_temporary_files_that_others_could_move(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = folder / "shared"
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    shared.chmod(0o1777)
    with scratch_folder() as scratch:
        assert scratch.parent == shared
    shared.chmod(0o777)
    with (
        pytest.raises(OutputError, match=f"{shared} can be written by others, so that others"),
        scratch_folder(),
    ):
        pytest.fail("it was used")
    assert os.listdir(shared) == []


def test_a_folder_that_stands_where_ours_is_going(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with scratch_folder() as scratch:
        planted = scratch.with_name(f"{scratch.name}-going")
        planted.mkdir()
        (planted / "of others").touch()
    assert not scratch.exists()
    assert (planted / "of others").exists()
