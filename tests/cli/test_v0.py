"""Nets of 2013 where nets of today are taken: upgraded on the way, and this is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run

V0 = """\
name: "n"
input: "data" input_dim: [1, 1, 8, 8]
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3
  weight_filler { type: "xavier" } } bottom: "data" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
"""

NOTE = "note: the net is of Caffe's first generation (V0): it was upgraded first, as by `upgrade`"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo_root: Path) -> Path:
    """A V0 net `v0` and the same of today `v2`, their weights `m`, and a picture."""
    monkeypatch.chdir(tmp_path)
    Path("v0").write_text(V0)
    assert run(["upgrade", "v0", "-o", "v2", "-q"]) == 0
    assert run(["init", "v2", "-o", "m", "-q"]) == 0
    Path("p.png").write_bytes((repo_root / "examples/digits_canvas.png").read_bytes())
    return tmp_path


MAP = "--prototxt {} --weights m --engine embedded"


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("init {} -o out", "out"),
        ("edit {} m -o out conv[0]*=2", "out"),
        ("edit {} m -o out --prototxt-out text outputs:conv:keep=1", "text"),
        ("transplant v2 m {} -o out", "out"),
        ("transplant {} m v2 -o out", "out"),
        ("export {} m -o out", "out"),
        ("classify-map p.png --npy out.npy " + MAP, "out.npy"),
        ("features p.png --blob conv -o out.npz " + MAP, "out.npz"),
        ("verify {} m v2 m --engine embedded", ""),
        ("inspect {} m", ""),
    ],
)
def test_every_command_takes_a_v0_net_and_says_so(
    command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, contents = [], []
    for net in ("v2", "v0"):
        force = ["--force"] if output and net == "v0" else []
        assert run([*command.format(net).split(), *force]) == 0, capsys.readouterr().err
        out, err = capsys.readouterr()
        printed.append([line.replace("note: v0: ", "note: ") for line in (out + err).splitlines()])
        contents.append(Path(output).read_bytes().replace(b"v0", b"v2") if output else b"")
    assert contents[0] == contents[1]
    assert NOTE not in printed[0]
    assert printed[1].count(NOTE) == 1


def test_a_v0_net_given_twice_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify v0 m v0 m --engine embedded".split()) == 0
    out, err = capsys.readouterr()
    assert (out + err).count("the net is of Caffe's first generation") == 1


def test_the_library_takes_a_v0_net() -> None:
    with ns.Net("v0", "m") as old, ns.Net("v2", "m") as new:
        assert old.text == new.text
        assert old.view.notes == (NOTE.removeprefix("note: "),)
        assert np.array_equal(old.params["conv"][0], new.params["conv"][0])
    assert ns.inspect("v0", "m").notes == ns.init("v0", "out").notes[:1] != ()
