"""Every command explains itself, and the examples in its help run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from command_tree import every_command
from PIL import Image

import netsurgery
from netsurgery.cli import cli, run
from netsurgery.cli.command import Command
from netsurgery.cli.preprocess_options import MAP_SIZE

#: Examples that reach out of the folder they run in, and are run elsewhere: test -> why.
ELSEWHERE = {
    "caffe install": "needs the network; parity/test_real_caffe.py runs it",
    "train report": "is of a run; test_train_report.py makes one",
    "train run": "needs real Caffe; test_train_run.py runs it",
}


COMMANDS = every_command()


def examples(command: click.Command) -> list[str]:
    """The command lines under "Example:" in the help."""
    lines = (command.help or "").replace("\b\n", "").splitlines()
    starts = [i for i, line in enumerate(lines) if line.strip().startswith("Example")]
    example_lines = [line.strip() for start in starts for line in lines[start + 1 :]]
    joined = "\n".join(example_lines).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("netsurgery ")]


@pytest.fixture
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where every name that an example uses is a real file, of the bundled net."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    labels = (repo_root / "models" / "digits" / "digits_labels.txt").read_text().splitlines()
    labels[-1] = "n02123045 tabby, tabby cat"
    (tmp_path / "labels.txt").write_text(
        "\n".join(f"n0000000{i % 10} {name}" if i < 10 else name for i, name in enumerate(labels))
    )
    return tmp_path


#: The net of examples that edit one convolution.
CONV = """
name: "conv" input: "data" input_shape { dim: [1, 1, 20, 20] }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 5 weight_filler { type: "xavier" } } }
"""


def prepare(folder: Path, repo_root: Path, words: list[str], outputs: set[str]) -> None:
    """Make the input files that an example names."""
    digits = repo_root / "prototxt" / "digits_deploy.prototxt"
    model = repo_root / "models" / "digits" / "digits.caffemodel"
    if "conv.prototxt" in words:
        (folder / "conv.prototxt").write_text(CONV)
        assert run(["init", "conv.prototxt", "-o", "conv.caffemodel", "-q"]) == 0
    for word in words:
        path = folder / word
        if word in outputs or path.exists():
            continue
        if path.suffix == ".prototxt":
            full_conv = "full_conv" in word
            converted = folder / "deploy_full_conv.prototxt"
            shutil.copy(converted if full_conv and converted.exists() else digits, path)
        elif path.suffix == ".caffemodel":
            shutil.copy(model, path)
        elif path.suffix == ".json":
            prepare(folder, repo_root, ["truth.png"], set())
            pictures = [{"file": "truth.png", "points": [{"class": "a", "at": [60, 50]}]}]
            path.write_text(json.dumps({"classes": ["a"], "pictures": pictures}))
        elif path.suffix in {".jpg", ".png"}:
            Image.open(repo_root / "examples" / "digits_canvas.png").save(path)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"netsurgery {name}" in out
    assert out.startswith(f"Usage: netsurgery {name}")


#: Commands that print text for a shell or a person to read, and no result.
TEXT = {"completion", "help"}
#: Commands that do one thing, of which there is no more to report than a file's name.
NO_JSON = {"caffe install", "caffe use", "caffe forget"}
#: Commands that write only with one of these options.
PRINTING = {name: {"--npy", "--picture"} for name in ("classify-map", "inspect")}
PRINTING["diff"] = {"--draw"}
PRINTING["evaluate"] = {"--coco-results"}
LEAVES = sorted(set(COMMANDS) - {"caffe", "job", "train"})


@pytest.mark.parametrize("name", LEAVES)
def test_the_examples_run(
    name: str, folder: Path, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in ELSEWHERE:
        return
    for words in example_words(name, folder, repo_root):
        code = run(words)
        assert code == 0, (words, capsys.readouterr().err)


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_can_be_quiet_and_print_json(
    name: str, folder: Path, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a new command has to bring; see "A new command" in docs/architecture.md."""
    options = {option for param in COMMANDS[name].params for option in param.opts}
    assert ("--quiet" in options) == (name not in TEXT)
    assert ("--json" in options) == (name not in TEXT | NO_JSON)
    if name in ELSEWHERE or name in TEXT:
        return
    for words in example_words(name, folder, repo_root):
        words = [word for word in words if word not in ("--json", "--force")]
        writes = name not in PRINTING or PRINTING[name].intersection(words)
        force = ["--force"] if "--force" in options and writes else []
        assert run([*words, "-q", *force]) == 0
        assert capsys.readouterr() == ("", ""), words
        if "--json" in options:
            assert run([*words, "--json", *force]) == 0
            json.loads(capsys.readouterr().out)


def example_words(name: str, folder: Path, repo_root: Path) -> Iterator[list[str]]:
    """The words of each example, once the files that it names are there."""
    lines = examples(COMMANDS[name])
    assert lines
    shutil.copy(repo_root / "prototxt" / "digits_deploy.prototxt", "deploy.prototxt")
    shutil.copy(repo_root / "models" / "digits" / "digits.caffemodel", "model.caffemodel")
    assert (
        run(["convert", "deploy.prototxt", "model.caffemodel", "-q", "--labels", "labels.txt"]) == 0
    )
    for line in lines:
        words = shlex.split(line)[1:]
        outputs = {
            after
            for before, after in pairwise(words)
            if before in {"-o", "--picture", "--npy", "--prototxt-out", "--weights-out"}
        }
        prepare(folder, repo_root, words, outputs)
        yield words


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("classify-map", "--size net|image|HxW"),
        ("classify-map", "--window HxW"),
        ("convert", "--map-size HxW"),
        ("convert", "--input-shape BLOB=NxCxHxW"),
        ("inspect", "--size [INPUT=]HxW"),
    ],
)
def test_help_shows_words_as_they_are_typed(
    name: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    assert f"{shown} " in capsys.readouterr().out


#: Commands with so many options that their help has headings.
LONG = [
    name
    for name, command in sorted(COMMANDS.items())
    if sum(isinstance(param, click.Option) for param in command.params) > 10
]


def headings(name: str) -> dict[str, list[str]]:
    """Heading -> the options under it, as the command of that name groups them."""
    command = COMMANDS[name]
    assert isinstance(command, Command)
    context = click.Context(command, help_option_names=["-h", "--help"])
    groups = command.option_groups(context)
    return {heading: [option.opts[-1] for option in options] for heading, options in groups.items()}


@pytest.mark.parametrize("name", LONG)
def test_many_options_are_under_headings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split(), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown: dict[str, list[str]] = {}
    start = lines.index("Options:") if "Options:" in lines else lines.index("Net:")
    for line in lines[start:]:
        if line == "Exit codes:":
            break
        if line.endswith(":") and not line.startswith(" "):
            shown[line[:-1]] = []
        elif line.startswith("  -"):
            names = re.findall(r"(?<![\w-])--[a-z][\w-]*", line[:32])
            shown[list(shown)[-1]].append(names[0])
    expected = headings(name)
    assert list(shown) == list(expected)
    assert {key: sorted(names) for key, names in shown.items()} == {
        key: sorted(names) for key, names in expected.items()
    }
    assert max(len(names) for names in shown.values()) <= 10
    everything = [option for names in shown.values() for option in names]
    assert len(everything) == len(set(everything)) > 10
    assert "--help" in shown["Other options"]


#: What they mean, and so their place, depends on the command.
SEVERAL_MEANINGS = {
    *(
        "--background",
        "--blob",
        "--resume",
        "--scale",
        "--scales",
        "--size",
        "--suffix",
        "--weights",
    ),
}


def test_an_option_of_several_commands_is_under_one_heading() -> None:
    places: dict[str, set[str]] = {}
    for name in LONG:
        for heading, options in headings(name).items():
            for option in set(options) - SEVERAL_MEANINGS:
                places.setdefault(option, set()).add(heading)
    assert {option: several for option, several in places.items() if len(several) > 1} == {}


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["convert"], ["caffe"], ["caffe", "install"]):
        assert run([*words, "--help"]) == 0
        expected = capsys.readouterr().out
        for line in (["help", *words], [*words, "-h"]):
            assert run(line) == 0
            assert capsys.readouterr().out == expected
    assert run(["help", "konvert"]) == 2
    assert "konvert" in capsys.readouterr().err
    assert run(["help", "convert", "more"]) == 2


def test_the_version_has_a_short_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-V"]) == run(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second == f"netsurgery, version {netsurgery.__version__}"


def test_words_may_be_typed_in_capitals() -> None:
    assert [MAP_SIZE.convert(word, None, None) for word in ("NET", "Image", "32X48")] == [
        "net",
        "image",
        (32, 48),
    ]


def test_environment_variables_are_those_that_the_readme_names(repo_root: Path) -> None:
    """And none that an option's name happens to make, which might replace files."""
    readme = (repo_root / "README.md").read_text()
    start = readme.index("Environment variables stand for")
    words = readme[start : readme.index("\n\n", start)].replace("`_", "`NETSURGERY_").split("`")
    documented = {word for word in words if word.startswith("NETSURGERY_")}
    options = [option for command in COMMANDS.values() for option in command.params]
    known = {str(option.envvar) for option in options if option.envvar is not None}
    assert known == documented
    assert cli.context_settings.get("auto_envvar_prefix") is None


def test_no_variable_replaces_outputs(
    folder: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new.caffemodel").write_text("mine")
    (folder / "conv.prototxt").write_text(CONV)
    monkeypatch.setenv("NETSURGERY_INIT_FORCE", "1")
    assert run(["init", "conv.prototxt", "-o", "new.caffemodel"]) == 1
    assert (folder / "new.caffemodel").read_text() == "mine"
