"""--phase, --stage, --level and --input-shape, in every command that reads a net's state."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from every_command import CALLS, COMMANDS, GOOD, make_good

import netsurgery
from netsurgery.cli import run
from netsurgery.cli.options import state_options

#: They take text as it is: all layers are compared, all are upgraded; diff counts axes by it.
ALL_LAYERS, WITHOUT = {"diff", "upgrade"}, {"upgrade"}
CASES = [
    (name, words)
    for name, several in COMMANDS.items()
    if name not in ALL_LAYERS
    for words in several
]
STATED = GOOD.replace(
    'layer { name: "data" type: "Input" top: "data"\n'
    "  input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }",
    'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST } }',
).replace('top: "conv"', 'top: "conv" include { stage: "deploy" min_level: 3 }')
OPTIONS = ["--phase", "test", "--stage", "deploy", "--level", "3", "--input-shape", "data=1x1x8x8"]
#: What `COMMANDS` has these do needs the layer conv alone.
CONV_ALONE = ("edit", "features", "classify-map", "evaluate")

UNSTATED = {"diff", "diff, the other", "upgrade"}

#: Commands that need no shape where they only move params.
SHAPELESS = ("inspect", "draw", "edit", "check")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_good()
    Path("it.prototxt").write_text(STATED)
    return tmp_path


def words_of(command: str, words: str) -> list[str]:
    return [command, *words.replace("NET", "it.prototxt").split()]


@pytest.mark.parametrize(("command", "words"), CASES)
def test_every_command_reads_the_net_so(
    command: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words_of(command, words), *OPTIONS]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("option", ["--stage", "--level"])
@pytest.mark.parametrize(("command", "words"), CASES)
def test_each_option_counts(
    command: str, words: str, option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = OPTIONS.index(option)
    rest = OPTIONS[:at] + OPTIONS[at + 2 :]
    assert run([*words_of(command, words), *rest]) in (1, 2)
    assert "its bottom 'conv' is made by no layer before it" in "".join(capsys.readouterr())


@pytest.mark.parametrize(("command", "words"), CASES)
def test_the_phase_counts(
    command: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["TRAIN" if word == "test" else word for word in OPTIONS]
    assert run([*words_of(command, words), *options]) in (1, 2)
    error = "".join(capsys.readouterr())
    assert "its bottom 'data' is made by no layer before it" in error
    assert "layer 'data' in line 3 is for the phase TEST: try --phase test" in error


@pytest.mark.parametrize(("command", "words"), CASES)
def test_the_shape_counts(
    command: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it what needs it says which one; one that does not fit the model is refused."""
    code = run([*words_of(command, words), *OPTIONS[:-2]])
    out = capsys.readouterr()
    if code:
        assert "--input-shape data=NxCxHxW gives it" in out.err
    else:
        assert command in (*SHAPELESS, "transplant")
    assert run([*words_of(command, words), *OPTIONS[:-1], "nothing=1x1x8x8"]) in (1, 2)
    assert "a shape is given for 'nothing'" in "".join(capsys.readouterr())


@pytest.mark.parametrize(("command", "words"), [case for case in CASES if "good" in case[1]])
def test_the_shape_is_held_against_the_model(
    command: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*words_of(command, words), *OPTIONS[:-1], "data=1x1x9x9"])
    out = capsys.readouterr()
    printed = out.out + out.err
    if command in CONV_ALONE:  # no other shape at that size
        assert code == 0, printed
        return
    assert "3x98" in printed or "3 x 98" in printed, printed
    assert command in ("inspect", "draw") or code


@pytest.mark.parametrize("call", sorted(CALLS.keys() - UNSTATED))
def test_every_call_reads_the_net_so(call: str, folder: Path) -> None:
    state = netsurgery.NetState(level=3, stages=("deploy",)).at({"data": (1, 1, 8, 8)})
    CALLS[call]("it.prototxt", state)
    lost = "its bottom 'conv' is made by no layer"
    if call == "check":
        report = netsurgery.check("it.prototxt", state=netsurgery.NetState(level=3))
        assert lost in report.findings[0].message
        return
    Path("netsurgery.toml").unlink(missing_ok=True)  # setup's, in which the state is kept
    with pytest.raises(netsurgery.PrototxtError, match=lost):
        CALLS[call]("it.prototxt", netsurgery.NetState(level=3))


def test_it_is_one_decorator() -> None:
    import click

    from netsurgery.cli import cli

    @click.command()
    @state_options
    def bare(**_: object) -> None:
        """Nothing."""

    names = {param.name for param in bare.params}
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            command = command.get_command(context, "plan")
        assert command is not None
        own = {param.name for param in command.params}
        assert names.isdisjoint(own) if name in WITHOUT else names <= own, name


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_diff_counts_axes_in_the_state(
    phase: Literal["TEST", "TRAIN"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, axis in (("a", -1), ("b", 3)):
        Path(name).write_text(
            f'layer {{ name: "d" type: "Data" top: "data" include {{ phase: {phase} }} }}\n'
            f'layer {{ name: "s" type: "Softmax" bottom: "data" top: "s" softmax_param {{ axis: '
            f"{axis} }} }}\n"
        )
    assert run(["diff", "a", "b", "-q"]) == 1
    options = ["--phase", phase, "--input-shape", "data=1x1x8x8"]
    assert run(["diff", "a", "b", "-q", *options]) == 0
    assert netsurgery.diff(
        "a", "b", state=netsurgery.NetState(phase).at({"data": (1, 1, 8, 8)})
    ).same
    assert run(["diff", "a", "b", "--input-shape", "x=1"]) == 2
    assert (
        capsys.readouterr().err == "error: a and b: a shape is given for 'x', a blob of neither\n"
    )
