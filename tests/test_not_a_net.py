"""A text that holds no net is called what it is, by every command and every call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from every_command import CALLS, COMMANDS, GOOD, make_good

import netsurgery
from netsurgery.cli import COMMANDS as NAMES
from netsurgery.cli import run
from netsurgery.formats.prototxt import Prototxt

#: What there is, and what it is called.
KINDS = {
    "solver": ('net: "x.prototxt" base_lr: 0.1', "is a solver, not a net; its net is 'x.prototxt'"),
    "two nets": (
        'train_net: "a" test_net: "b" test_iter: 1',
        "is a solver, not a net; its nets are 'a', 'b'",
    ),
    "a net inside": (
        "base_lr: 0.1 net_param { layer { } }",
        "is a solver, not a net; its net is inside it, in net_param { ... }",
    ),
    "no net": ("base_lr: 0.1", "is a solver, not a net; it names no net"),
    "a solver with layers": (
        'test_interval: 1 layer { type: "ReLU" }',
        "is a solver, not a net; it names no net",
    ),
    "label map": ('item { name: "none" label: 0 }', "is a label map (item { ... }), not a net"),
    "settings": (
        '# of a detector\nname: "x"\nmodel { faster_rcnn { } }',
        "is not a net: it has no layer, and 'model' in line 3",
    ),
    "inputs of a solver": (
        'input: "x" epochs: 3',
        "is not a net: it has no layer, and 'epochs' in line 1",
    ),
    "no layer": ('name: "x" input: "data"', "is not a net: it has no layer"),
    "empty": ("# nothing\n", "is not a net: it is empty"),
}


#: Texts with layers, and a field at the top.
FIELDS = {
    "inputs: 'data'": "it:2:1: NetParameter of Caffe 1.0 has no field inputs; did you mean input?",
    "epochs { n: 3 }": "it:2:1: NetParameter of Caffe 1.0 has no field epochs",
    "mem_param { }": "",  # of a fork
    "force_backward: true": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_good()
    return tmp_path


def test_no_command_is_left_out() -> None:
    assert set(COMMANDS) == set(NAMES) - {
        *("cache", "caffe", "completion", "help", "job", "presets")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_is(kind: str, folder: Path) -> None:
    text, what = KINDS[kind]
    (folder / "it").write_text(text)
    with pytest.raises(netsurgery.PrototxtError) as caught:
        Prototxt.read("it")
    assert str(caught.value) == f"it: {what}"


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_no_net_has(field: str, folder: Path) -> None:
    (folder / "it").write_text(f"# with\n{field}\n{GOOD}")
    if not FIELDS[field]:
        Prototxt.read("it")
        return
    with pytest.raises(netsurgery.PrototxtError) as caught:
        Prototxt.read("it")
    assert str(caught.value) == FIELDS[field]
    findings = netsurgery.check("it").findings
    assert FIELDS[field].partition(";")[0] in "".join(finding.message for finding in findings)


@pytest.mark.parametrize("kind", ["solver", "label map", "settings", "no layer"])
@pytest.mark.parametrize(
    ("command", "words"), [(name, words) for name, several in COMMANDS.items() for words in several]
)
def test_every_command_says_so(
    command: str, words: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, what = KINDS[kind]
    (folder / "it.prototxt").write_text(text)
    before = sorted(os.listdir())
    code = run([command, *words.replace("NET", "it.prototxt").split()])
    assert code == (2 if command in ("check", "diff", "verify") else 1)
    assert capsys.readouterr() == ("", f"error: it.prototxt: {what}\n")
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("call", CALLS)
def test_every_call_says_so(call: str, folder: Path) -> None:
    (folder / "it.prototxt").write_text(KINDS["solver"][0])
    before = sorted(os.listdir())
    with pytest.raises(netsurgery.PrototxtError, match="is a solver, not a net"):
        CALLS[call]("it.prototxt", netsurgery.NetState())
    assert sorted(os.listdir()) == before
    CALLS[call]("good.prototxt", netsurgery.NetState())


@pytest.mark.parametrize(
    ("command", "words"), [(name, words) for name, several in COMMANDS.items() for words in several]
)
def test_every_command_takes_a_net(command: str, words: str, folder: Path) -> None:
    assert run([command, *words.replace("NET", "good.prototxt").split()]) == 0


def test_inputs_alone_are_a_net(folder: Path) -> None:
    """Real Caffe loads them: they are an Input layer."""
    (folder / "it").write_text('input: "x" input_shape { dim: 1 dim: 3 }')
    assert netsurgery.Net("it").blobs["x"].shape == (1, 3)
