"""Messages name options in a command, and arguments in Python."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.io.wording import argument, counted, naming_options, plural, with_article
from netsurgery.net import types

NET, MODEL, PICTURE = "net.prototxt", "net.caffemodel", "canvas.png"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
#: Modules that give options to programs, or word what only a command meets.
OTHERS = {
    "engines/apt.py", "engines/caffe_confine.py", "engines/debian.py", "engines/discovery.py",
    "engines/ort_session.py", "engines/unpacking.py", "formats/found_settings.py",
    "io/wording.py", "net/param_fit.py", "verbs/convert_result.py", "verbs/convert_settings.py",
}  # fmt: skip
SETTINGS = ns.Settings(NET, MODEL)
FILES = f"{PICTURE} --prototxt {NET} --weights {MODEL}"

#: A command that fails -> the call that fails so, and how each names the way out.
CALLS: dict[str, tuple[Callable[[], Any], str, str]] = {
    f"edit {NET} {MODEL} ip1[1]=0 -o there": (
        lambda: ns.edit(NET, MODEL, "ip1[1]=0", "there"),
        "--force replaces it", "force=True replaces it",
    ),
    f"convert {NET} {MODEL} -o there": (
        lambda: ns.convert(NET, MODEL, "there"),
        "--prototxt-out and --weights-out name files", "prototxt_out and weights_out name files",
    ),
    f"classify-map {PICTURE} --weights {MODEL}": (
        lambda: ns.classify_map(PICTURE, ns.Settings(weights=MODEL)),
        "no prototxt to use: give --prototxt FILE, or", "no prototxt to use: give prototxt, or",
    ),
    f"classify-map {FILES} --blob prob": (
        lambda: ns.classify_map(PICTURE, SETTINGS, blob="prob"),
        "--blob takes conv1", "blob takes conv1",
    ),
    f"classify-map {FILES} --blob conv3 --size 2x2": (
        lambda: ns.classify_map(PICTURE, SETTINGS, blob="conv3", size=(2, 2)),
        "an input of 2x2 (--size)", "an input of 2x2 (size)",
    ),
    "init shapeless -o new": (
        lambda: ns.init("shapeless", "new"),
        "--input-shape data=NxCxHxW gives it", "input_shapes={'data': (N, C, H, W)} gives it",
    ),
    f"transplant {NET} {MODEL} {NET} --map ip1=conv1 -o new": (
        lambda: ns.transplant((NET, MODEL), (NET, None), "new", names={"ip1": "conv1"}),
        "--map 'ip1=' leaves it out", "names={'ip1': ''} leaves it out",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo_root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = (repo_root / "prototxt/digits_deploy.prototxt").read_text()
    Path(NET).write_text(text)
    shapeless = 'layer { name: "data" type: "Python" top: "data" }\n'
    fc = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"'
    fc += " inner_product_param { num_output: 2 } }"
    Path("shapeless").write_text(shapeless + fc)
    Path("there").write_text("")
    shutil.copy(repo_root / "models/digits/digits.caffemodel", MODEL)
    shutil.copy(repo_root / "examples/digits_canvas.png", PICTURE)


@pytest.mark.parametrize("words", CALLS)
def test_each_caller_reads_what_it_can_give(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    call, option, python = CALLS[words]
    assert run(words.split()) == 1
    error = capsys.readouterr().err
    assert option in error
    with pytest.raises(ns.NetsurgeryError) as caught:
        call()
    message = str(caught.value)
    assert python in message
    assert OPTION.search(message) is None


@pytest.mark.parametrize(
    ("option", "python"),
    [
        ("--force", "force=True"),
        ("--size 24x32", "size=(24, 32)"),
        ("--size image", "size='image'"),
        ("--engine embedded", "engine='embedded'"),
        ("--raw-scale 1", "raw_scale=1"),
        ("--labels FILE", "labels"),
        ("--slice", "cut"),
        ("--stage deploy", "stages=['deploy']"),
        ("--allow reads,writes", "allow=['reads', 'writes']"),
        ("--input-shape a b=NxCxHxW", "input_shapes={'a b': (N, C, H, W)}"),
    ],
)
def test_an_option_as_python_has_it(option: str, python: str) -> None:
    assert argument(option) == python
    with naming_options():
        assert argument(option) == option
    assert argument(option) == python


def test_no_message_below_the_command_line_names_an_option_itself() -> None:
    package = Path(ns.__file__).parent
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith("cli/") and name not in OTHERS:
            assert options_named(path.read_text()) == [], name


def options_named(source: str) -> list[str]:
    """The texts of a module, docstrings apart, that name an option; of f-strings the whole."""
    tree = ast.parse(source)
    called = {id(part) for call in ast.walk(tree) if _words(call) for part in ast.walk(call)}
    texts = [_text(node) for node in ast.walk(tree) if id(node) not in called]
    return [text for text in texts if OPTION.search(text)]


def _text(node: ast.AST) -> str:
    """A string's text, "name" in the place of what an f-string puts in; "" for all else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "name" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_options_in_any_string_are_seen() -> None:
    assert options_named("""
"--in-a-docstring"
argument("--size"), argument(f"--{size} FILE"), f"{argument('--size')} {x}--{y}"
"give --size", f"give --{size} FILE", f"give --size {x}"
""") == ["give --size", "give --name FILE", "give --size name", "give --size "]


def _words(node: ast.AST) -> bool:
    """Whether it is a call of `argument`, or a docstring or other text that is no value."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "argument"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_phases_in_any_case_and_a_seed_below_0() -> None:
    train: Any = "train"
    assert ns.NetState(train) == ns.NetState("TRAIN")
    assert ns.Net(NET, phase=train).view.state.phase == "TRAIN"
    with pytest.raises(ns.SurgeryError, match=r"^seed -1: expected a whole number from 0$"):
        ns.init(NET, seed=-1)


#: Functions whose results are text.
TEXTS = {
    "argument", "cell", "counted", "joined", "shape_text", "shown", "size_text", "stride_text",
}  # fmt: skip
#: Words in "s" after a value that are no plurals.
SINGULAR = set(
    "agrees allows alone axis becomes chooses compares converts copies declares does exists fills "
    "fits gives has holds is its leaves looks names needs puts replaces requires runs sees selects "
    "sends takes was works writes".split()
)
#: One word or two, of which the last may be a plural.
PLURAL = re.compile(r" ((?!(?:for|from|in|of|on|with) )(?:[a-z]+ )??[a-z]+[a-rt-z]s)\b")
#: Where it is no count, or one that is never 1.
NO_COUNT = {
    "cli/engine_options.py: times times",  # about 5 times faster
    "io/wording.py: nouns",  # the helper
    "maps/layout.py: factor times",
    "maps/mapper.py: shown pixels",  # a shape
    "maps/tiled.py: plan.overhead times",
    "maps/transformer.py: times times",
    "net/effects.py: files files",  # reads and writes files
    "verbs/diff.py: param.index differs",  # a verb
    "verbs/verify_map.py: every pixels",  # a stride, as 8 x 8
    "verbs/verify_map.py: on pixels",
}


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "label", "1 label"),
        (0, "label", "0 labels"),
        (2, "class", "2 classes"),
        (1, "more class", "1 more class"),
        (3, "spatial axis", "3 spatial axes"),
        (2, "index", "2 indices"),
    ],
)
def test_a_count_and_its_noun(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text
    assert text.endswith(plural(noun, count))


def test_every_count_in_a_message_is_by_the_helper() -> None:
    package = Path(ns.__file__).parent
    met = {
        f"{path.relative_to(package).as_posix()}: {each}"
        for path in sorted(package.rglob("*.py"))
        for each in counts_by_hand(path.read_text())
    }
    assert met == NO_COUNT


def counts_by_hand(source: str) -> list[str]:
    """The values that f-strings put before a plural, each with the words up to it."""
    counts = []
    for node in ast.walk(ast.parse(source)):
        for value, after in _pairs(node):
            words = re.match(
                r" ((?!(?:for|from|in|of|on|with) )(?:[a-z]+ )??[a-z]+[a-rt-z]s)\b", after
            )
            if words and not SINGULAR.intersection(words[1].split()) and _may_be_a_count(value):
                counts.append(f"{ast.unparse(value.value)} {words[1]}")
            elif after == "s" or re.match(r"s\b", after):
                counts.append(f"{ast.unparse(value.value)}s")
    return counts


def _pairs(node: ast.AST) -> list[tuple[ast.FormattedValue, str]]:
    """What an f-string formats, each with the text behind it."""
    if not isinstance(node, ast.JoinedStr):
        return []
    return [
        (value, text.value)
        for value, text in zip(node.values, node.values[1:], strict=False)
        if isinstance(value, ast.FormattedValue)
        and isinstance(text, ast.Constant)
        and isinstance(text.value, str)
    ]


def _may_be_a_count(formatted: ast.FormattedValue) -> bool:
    """Not where it is a text by its look, or a bound, which is never 1."""
    value = formatted.value
    if isinstance(value, ast.Call):
        return not (isinstance(value.func, ast.Name) and value.func.id in TEXTS)
    return formatted.conversion == -1 and not ast.unparse(value).lstrip("_").isupper()


def test_counts_by_hand_are_seen() -> None:
    assert counts_by_hand("""
f"{len(a)} layers", f"{n:,} more classes", f"{x} axes of", f"one {n} of each", f"layer{'s' * n}s"
f"{counted(n, 'layer')} of them", f"{name!r} layers", f"{LIMIT} bytes", f"{path} exists"
f"{shape_text(shape)} pixels"
""") == ["len(a) layers", "n more classes", "x axes", "'s' * ns"]


#: Types whose names are spoken with "an"; of some it is the letter: M of MVN.
AN = """
    AbsVal Accuracy AnnotatedData ArgMax Axpy ELU Eltwise Embed Exp HDF5Data HDF5Output Im2col
    ImageData InfogainLoss InnerProduct Input Interp LRN LSTM LSTMUnit MVN RNN ROIAlign ROIPooling
    SPP Upsample
""".split()


def test_an_argument_that_the_option_does_not_say() -> None:
    assert argument("--blob a --blob b", "blobs=['a', 'b']") == "blobs=['a', 'b']"
    with naming_options():
        assert argument("--blob a --blob b", "blobs=['a', 'b']") == "--blob a --blob b"


@pytest.mark.parametrize("kind", sorted(types.RECORDS))
def test_a_types_article(kind: str) -> None:
    assert with_article(kind) == f"{'an' if kind in AN else 'a'} {kind}"


@pytest.mark.parametrize(
    ("noun", "article"),
    [("8x3", "an"), ("11x96", "an"), ("18", "an"), ("80x2", "an"), ("1x8", "a"), ("110", "a"),
     ("UniqueLabel", "a"), ("UserLoss", "a"), ("MPO", "an"), ("PNG", "a"), ("TIFF", "a")],
)  # fmt: skip
def test_other_articles(noun: str, article: str) -> None:
    assert with_article(noun) == f"{article} {noun}"


def test_no_message_has_an_article_of_its_own_before_a_name() -> None:
    package = Path(ns.__file__).parent
    written = re.compile(r"\b[Aa]n? \{[^}]*(\.type\b|\bkind\b|shape_text|\.format\b)[^}]*\}")
    places = [
        f"{path}: {match[0]}"
        for path in package.rglob("*.py")
        for match in written.finditer(path.read_text(encoding="utf-8"))
    ]
    assert places == []
