"""What a shell is offered for half-written words, through click and in the shells themselves."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lacking import needs

from netsurgery.cli import COMPLETE, cli, run
from netsurgery.cli.completion import SHELLS

NET, MODEL = "digits.prototxt", "digits.caffemodel"
CONVOLUTIONS = ["conv3", "conv2", "conv1"]
BLOBS = ["prob", "ip2", "ip1", "pool3", "conv3", "pool2", "conv2", "pool1", "conv1", "data"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(repo_root / "prototxt/digits_deploy.prototxt", NET)
    shutil.copy(repo_root / "models/digits/digits.caffemodel", MODEL)
    Path("labels.txt").write_text("n1 tabby, tabby cat\nn2 tiger cat\nn3 sports car\n")
    Path("my photo.png").touch()
    return tmp_path


def offered(*words: str, after: str = "") -> list[str]:
    """What completes the last of the words, before others on the line."""
    shell = SHELLS["zsh"](cli, {"obj": after.split()}, "netsurgery", COMPLETE)
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_commands_and_options() -> None:
    assert offered("con") == ["convert"]
    assert offered("help", "con") == ["convert"]
    assert offered("caffe", "i") == ["info", "install"]
    assert offered("convert", "--in") == ["--input-shape", "--input-size", "--input-scale"]
    assert offered("convert", NET, MODEL, "--on-refusal", "s") == ["stop", "skip"]
    assert offered("classify-map", "--size", "") == ["net", "image"]
    assert offered("setup", NET, MODEL, "--preprocess", "s") == ["scaled"]


@pytest.mark.parametrize(
    ("words", "endings"),
    [
        (["convert", ""], [".prototxt", ".pbtxt"]),
        (["convert", NET, ""], [".caffemodel", ".h5"]),
        (["inspect", ""], [".prototxt", ".pbtxt", ".caffemodel", ".h5"]),
        (["convert", NET, MODEL, "--mean", ""], [".npy", ".binaryproto"]),
        (["convert", NET, MODEL, "--labels", "l"], [".txt"]),
        (["classify-map", "--weights", ""], [".caffemodel", ".h5"]),
    ],
)
def test_files_by_their_endings(words: list[str], endings: list[str]) -> None:
    shell = SHELLS["bash"](cli, {}, "netsurgery", COMPLETE)
    items = shell.get_completions(words[:-1], words[-1])
    assert [(item.type, item.value) for item in items] == [("endings", "|".join(endings))]
    assert ".jpg|" in offered("classify-map", "")[0]


def test_names_of_the_net_at_hand() -> None:
    assert offered("convert", NET, MODEL, "--layers", "") == ["ip1", "ip2"]
    assert offered("convert", NET, MODEL, "--layers", "ip1,") == ["ip1,ip2"]
    assert offered("export", NET, MODEL, "--blob", "") == BLOBS
    assert offered("features", "a.png", "--prototxt", NET, "--blob", "conv") == [
        "conv3",
        "conv2",
        "conv1",
    ]
    assert offered("convert", NET, MODEL, "--input-shape", "d") == ["data="]


def test_names_of_the_net_after_the_word() -> None:
    """Before the picture or after it, as an argument or as an option."""
    line, net = ["classify-map", "--blob", "ip"], f"--prototxt {NET} --weights {MODEL}"
    for after in (f"{net} a.png", f"a.png {net}", f"{net} --blob", f"--size net {net}"):
        assert offered(*line, after=after) == ["ip2", "ip1"], after
    assert offered("export", "--blob", "ip", after=f"{NET} {MODEL}") == ["ip2", "ip1"]
    assert offered("inspect", "--param", "ip1", after=MODEL) == ["ip1[0]", "ip1[1]"]
    assert offered("edit", NET, MODEL, "ip1[", after="conv1[0]=0 -q") == ["ip1[0]", "ip1[1]"]
    words = ["classify-map", "--class", "ti"]
    assert offered(*words, after="a.png --labels labels.txt") == ["tiger cat"]
    pair = ["transplant", "--map", "ip1=o"]
    Path("other.prototxt").write_text(Path(NET).read_text().replace('"ip1"', '"other"'))
    assert offered(*pair, after=f"{NET} {MODEL} other.prototxt") == ["ip1=other"]


def test_names_of_the_net_in_its_state() -> None:
    Path("stages.prototxt").write_text(
        'layer { name: "a" type: "Input" top: "a" include { stage: "one" } }\n'
        'layer { name: "b" type: "Input" top: "b" include { phase: TRAIN } }\n'
        'layer { name: "c" type: "Input" top: "c" include { min_level: 2 } }\n'
    )
    line = ["export", "stages.prototxt", MODEL]
    assert offered(*line, "--stage", "one", "--blob", "") == ["a"]
    assert offered(*line, "--blob", "", after="--phase train") == ["b"]
    assert offered(*line, "--level", "2", "--blob", "") == ["c"]


def test_lists_with_commas() -> None:
    assert offered("verify", "--engines", "") == ["auto", "caffe", "embedded"]
    assert offered("verify", "--engines", "caffe,em") == ["caffe,embedded"]
    assert offered("features", "a.png", "--allow", "reads,w") == ["reads,writes"]


def test_names_alone_are_read() -> None:
    """Not the shapes, which cannot be inferred here."""
    slices = " ".join(f'top: "part{number}"' for number in range(3))
    Path("unfit.prototxt").write_text(
        'layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 dim: 2 } } }\n'
        f'layer {{ name: "s" type: "Slice" bottom: "nothing" {slices} }}\n'
    )
    expected = ["part2", "part1", "part0"]
    assert offered("export", "unfit.prototxt", MODEL, "--blob", "p") == expected


def test_params_and_operations() -> None:
    line = ["edit", NET, MODEL]
    assert offered(*line, "conv1") == ["conv1[0]", "conv1[1]"]
    assert offered(*line, "conv1[0]=gab") == ["conv1[0]=gabor"]
    assert offered(*line, "conv1[0]=0", "ip1[") == ["ip1[0]", "ip1[1]"]
    assert "fold-mean" in offered(*line, "fol")
    assert offered(*line, "outputs:ip") == ["outputs:ip1", "outputs:ip2"]
    assert offered("inspect", MODEL, "--param", "ip1") == ["ip1[0]", "ip1[1]"]
    assert offered("transplant", NET, MODEL, NET, "--map", "ip") == ["ip1=", "ip2="]
    assert offered("transplant", NET, MODEL, NET, "--map", "ip1=ip") == ["ip1=ip1", "ip1=ip2"]


def test_labels_and_the_net_of_the_settings() -> None:
    assert offered("classify-map", "a.png", "--labels", "labels.txt", "--class", "T") == [
        "tabby",
        "tiger cat",
    ]
    Path("netsurgery.toml").write_text(
        f'[model]\nprototxt = "{NET}"\nweights = "{MODEL}"\n[classes]\nlabels = "labels.txt"\n'
    )
    assert offered("classify-map", "a.png", "--class", "") == [
        "tabby",
        "tiger cat",
        "sports car",
        "max",
    ]
    assert offered("classify-map", "a.png", "--blob", "ip") == ["ip2", "ip1"]


@pytest.mark.parametrize(
    "text",
    [
        "netsurgery export bad.prototxt bad.caffemodel --blob ",
        "netsurgery export none.prototxt none.caffemodel --blob ",
        "netsurgery export - - --blob ",
        "netsurgery nothing --blob ",
        "netsurgery edit 'digits.proto",
        "netsurgery convert --input-size ",
        "",
    ],
)
def test_errors_are_silent(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.prototxt").write_text("layer { name: 1 2 3")
    Path("bad.caffemodel").write_bytes(b"\x00\xff")
    monkeypatch.setattr("sys.stdin", None)
    for name, value in {COMPLETE: "bash_complete", "COMP_TEXT": text, "COMP_BREAKS": "=:"}.items():
        monkeypatch.setenv(name, value)
    assert run([]) == 0
    assert capsys.readouterr().err == ""


def test_numpy_is_not_imported() -> None:
    """Nor what runs nets: a shell waits for the answer."""
    code = (
        "import sys; from netsurgery.cli import run; run([]);"
        "sys.exit(bool({'numpy', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    )
    for text in (
        f"netsurgery edit {NET} {MODEL} c",
        f"netsurgery features --prototxt {NET} --blob c",
    ):
        asked = {COMPLETE: "bash_complete", "COMP_TEXT": text, "COMP_BREAKS": "=:"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **asked},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "plain,conv1" in done.stdout


@pytest.fixture
def command(tmp_path: Path) -> dict[str, str]:
    """An environment with the command `netsurgery` on its path."""
    program = tmp_path / "bin" / "netsurgery"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m netsurgery "$@"\n')
    program.chmod(0o755)
    root = Path(__file__).resolve().parent.parent.parent
    return {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        **dict.fromkeys(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"], str(tmp_path)),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("netsurgery conv", ["convert"]),
        ("netsurgery verify --engines caffe,em", ["caffe,embedded"]),
        (f"netsurgery classify-map --blob con| a.png --prototxt {NET}", CONVOLUTIONS),
        (f"netsurgery classify-map --blob con|v2 --prototxt {NET} a.png", CONVOLUTIONS),
        (f"netsurgery export --blob con| {NET} {MODEL}", CONVOLUTIONS),
        ("netsurgery convert dig", [NET]),
        ("netsurgery classify-map my", ["my photo.png"]),
        (f"netsurgery edit {NET} {MODEL} conv1[", ["conv1[0]", "conv1[1]"]),
        (f"netsurgery edit {NET} {MODEL} conv1[0]=gab", ["gabor"]),
        (f"netsurgery edit {NET} {MODEL} outputs:ip", ["ip1", "ip2"]),
        ("netsurgery classify-map a.png --labels labels.txt --class=tig", ["tiger\\ cat"]),
    ],
)
def test_bash(line: str, words: list[str], command: dict[str, str]) -> None:
    """Its words are divided at = and :, as readline does it; the cursor is at |, or the end."""
    needs("bash")
    before, _, after = line.partition("|")
    script = f"""
        compopt() {{ :; }}
        source <(netsurgery completion bash)
        COMP_LINE={shell_word(before + after)} COMP_POINT={len(before)}
        read -ra COMP_WORDS <<< "$(sed 's/[=:]/ & /g' <<< {shell_word(before)})"
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMP_WORDBREAKS=$' =:'
        _netsurgery_completion netsurgery
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=command, capture_output=True, text=True)
    assert (done.stdout.splitlines(), done.stderr) == (words, "")


def test_names_are_quoted_in_bash(command: dict[str, str]) -> None:
    names = ["ip$(touch evil)", "ip;`touch evil`", "ip\\nplain,evil", "ip\\033[2J"]
    layers = [
        f'layer {{ name: "{name}" type: "InnerProduct" top: "a" inner_product_param {{ }} }}'
        for name in names
    ]
    Path("evil.prototxt").write_text("\n".join(layers))
    line = f"netsurgery convert evil.prototxt {MODEL} --layers ip"
    expected = ["ip\\$\\(touch\\ evil\\)", "ip\\;\\`touch\\ evil\\`"]
    test_bash(line, expected, command)


def shell_word(text: str) -> str:
    return f"'{text}'"


def test_fish(command: dict[str, str]) -> None:
    needs("fish")

    def complete(line: str) -> list[str]:
        script = f"netsurgery completion fish | source; complete -C '{line}'"
        done = subprocess.run(["fish", "-c", script], env=command, capture_output=True, text=True)
        assert done.stderr == ""
        return [each.split("\t")[0] for each in done.stdout.splitlines()]

    assert complete("netsurgery conv") == ["convert"]
    assert NET in complete("netsurgery convert dig")
    assert complete(f"netsurgery edit {NET} {MODEL} conv1[") == ["conv1[0]", "conv1[1]"]
    assert complete(f"netsurgery edit {NET} {MODEL} outputs:ip") == ["outputs:ip1", "outputs:ip2"]


def test_fish_with_words_after_the_cursor(command: dict[str, str]) -> None:
    """Where no terminal is, its own `commandline` knows no cursor but the end."""
    needs("fish")
    before = "netsurgery classify-map --blob con"
    script = f"""
        netsurgery completion fish | source
        function commandline
            switch "$argv"
                case -cp; echo '{before}'
                case -t; echo con
                case -p; echo '{before} --prototxt {NET} a.png'
            end
        end
        _netsurgery_completion
    """
    done = subprocess.run(["fish", "-c", script], env=command, capture_output=True, text=True)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == CONVOLUTIONS


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("conv", ["convert"]),
        (f"edit {NET} {MODEL} conv1[", ["conv1[0]", "conv1[1]"]),
        (f"edit {NET} {MODEL} outputs:ip", ["outputs:ip1", "outputs:ip2"]),
        ("convert dig", ["files *(.prototxt|.pbtxt)(-.)"]),
        (f"classify-map --blob con| --prototxt {NET} a.png", CONVOLUTIONS),
        (f"classify-map --blob | --prototxt {NET} a.png", BLOBS),
    ],
)
def test_zsh(words: str, offered: list[str], command: dict[str, str]) -> None:
    """By its script, whose calls of zsh's own completion print what they are given."""
    needs("zsh")
    before, _, after = words.partition("|")
    script = f"""
        autoload -U compinit && compinit -u -D
        eval "$(netsurgery completion zsh)"
        [[ $_comps[netsurgery] == _netsurgery_completion ]] || print unregistered
        compadd() {{ print -l -- $completions }}
        _describe() {{ print -l -- ${{completions_with_descriptions%%:*}} }}
        _files() {{ print "files $2" }}
        words=(netsurgery {shlex.join(before.split(" "))} {shlex.join(after.split())})
        CURRENT={1 + len(before.split(" "))}
        _netsurgery_completion
    """
    done = subprocess.run(["zsh", "-f", "-c", script], env=command, capture_output=True, text=True)
    assert (done.stdout.splitlines(), done.stderr) == (offered, "")
