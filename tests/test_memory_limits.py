"""No input takes more memory than --max-memory, whatever it says: hogs against commands.

Each is run in a process of its own. Either it is refused in one line that says what needs how
much, or it does with less; its peak is never further above that of the same command with plain
inputs than the limit and the little that is not claimed.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import memory_hogs as hogs
import pytest
from attacks.arena import Arena, Done
from attacks.scripts import find_caffe_python
from dealt import dealt
from every_command import COMMANDS, make_good
from lacking import lacking
from PIL import Image

from netsurgery.cli import run

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

LIMIT = 64 << 20
#: What is read piece by piece meets a lower one sooner: texts, and weights, which are smaller.
LOW = 24 << 20
LOWER = 12 << 20
#: What is not claimed: parts of files, buffers, what Python keeps of what it has given back.
LITTLE = 24 << 20

Maker = Callable[[Path], None]


@pytest.fixture(scope="module")
def inputs() -> Iterator[Path]:
    """A folder with the nets, and params for them."""
    with tempfile.TemporaryDirectory() as name:
        folder, before = Path(name, "inputs"), Path.cwd()
        folder.mkdir()
        os.chdir(folder)
        try:
            small = hogs.NETS["large"].replace("4000", "40")
            for net, text in {**hogs.NETS, "small": small}.items():
                Path(f"{net}.prototxt").write_text(text)
            for net in ("small", "wide", "permuted", "priors"):
                assert run(["init", f"{net}.prototxt", "-o", f"{net}.caffemodel", "-q"]) == 0
            make_good(77)
        finally:
            os.chdir(before)
        yield folder


@pytest.fixture
def arena(inputs: Path, tmp_path: Path) -> Arena:
    lay_out(inputs, tmp_path)
    return Arena(tmp_path, None)


def lay_out(inputs: Path, folder: Path, named: Sequence[str] = ()) -> None:
    """Have the small inputs in a folder, and of the large ones, which take long to look at, those
    that are named."""
    for path in inputs.iterdir():
        if path.name in named or path.stat().st_size < 1 << 20:
            with suppress(FileExistsError):
                os.link(path, folder / path.name)


@functools.cache
def plain_peak(inputs: Path, command: str) -> int:
    """The peak of a command whose inputs are small."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(inputs, Path(folder))
        words = COMMANDS[command][-1].replace("NET", "good.prototxt").split()
        done = Arena(Path(folder), None).run(command, *words, memory=0)
        assert done.code == 0, done.err
        return done.peak


@functools.cache
def hog_of(inputs: Path, maker: Maker) -> Path:
    """The file of a maker, made once for all commands."""
    path = inputs.parent / maker.__name__
    maker(path)
    return path


def limited(
    arena: Arena, inputs: Path, line: str, maker: Maker | None = None, limit: int = LIMIT
) -> Done:
    """Run a command under the limit, and hold it to that."""
    if maker is not None:
        os.link(hog_of(inputs, maker), arena.folder / "hog")
    words = line.split()
    lay_out(inputs, arena.folder, words)
    before = arena.files()
    done = arena.run(*words, "--max-memory", f"{limit >> 20}MiB", memory=0)
    over = done.peak - plain_peak(inputs, words[0])
    assert over <= limit + LITTLE, f"{over >> 20} MiB more than with plain inputs"
    if " of memory; " in done.err:
        assert done.code == (2 if words[0] in ("diff", "verify", "check") else 1)
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        assert f"{limit >> 20}.0 MiB may be used (--max-memory)" in done.err
        assert arena.files() == before
    else:
        assert "Traceback" not in done.err
        assert "out of memory" not in done.err
    return done


def _lines(net: str, weights: str, commands: dict[str, list[str]]) -> list[str]:
    return [
        f"{command} {line}".replace("NET", net).replace("good.caffemodel", weights)
        for command, lines in commands.items()
        for line in lines
    ]


AS_NET = _lines("hog", "good.caffemodel", COMMANDS)
WITH_WEIGHTS = {
    command: [line for line in lines if "good.caffemodel" in line]
    for command, lines in COMMANDS.items()
}
AS_WEIGHTS = _lines("good.prototxt", "hog", {**WITH_WEIGHTS, "upgrade": ["hog -o out.caffemodel"]})


@pytest.mark.parametrize("line", AS_NET)
def test_a_text_of_messages_in_every_command(arena: Arena, inputs: Path, line: str) -> None:
    done = limited(arena, inputs, line, hogs.many_messages, LOW)
    assert "hog: what is read from its text needs more than 2" in done.err


@pytest.mark.parametrize("maker", hogs.TEXTS[1:], ids=lambda m: m.__name__)
def test_other_texts(arena: Arena, inputs: Path, maker: Maker) -> None:
    done = limited(arena, inputs, "inspect hog", maker, LOW)
    assert "hog: what is read from its text needs more than 2" in done.err


@pytest.mark.parametrize("line", AS_WEIGHTS)
def test_millions_of_empty_blobs_in_every_command(arena: Arena, inputs: Path, line: str) -> None:
    done = limited(arena, inputs, line, hogs.empty_blobs, LOWER)
    assert "hog: the list of its fields needs more than " in done.err


#: One has them in memory, and one copies them.
BY_WEIGHTS = ("inspect good.prototxt hog", "upgrade hog -o out.caffemodel")


@pytest.mark.parametrize(("maker", "line"), dealt(hogs.WEIGHTS[1:], BY_WEIGHTS, 2))
def test_other_weights(arena: Arena, inputs: Path, line: str, maker: Maker) -> None:
    limited(arena, inputs, line, maker, LOWER)


def test_fields_of_a_layer_that_are_checked_one_by_one(arena: Arena, inputs: Path) -> None:
    line = "check good.prototxt hog"
    done = limited(arena, inputs, line, hogs.fields_of_a_layer, LOWER)
    assert "hog: the list of its fields needs" in done.err


#: Command line, what makes its file "hog", what needs more than the limit; "": it does with less.
LINES: list[tuple[str, Maker | None, str]] = [
    ("edit wide.prototxt hog fc[0]*=2 -o out.caffemodel", hogs.wide_params, "blob 0 needs 76.3"),
    ("edit wide.prototxt hog fc[0]=save:out.npy -o o.caffemodel", hogs.wide_params, "blob 0 needs"),
    ("edit wide.prototxt wide.caffemodel fc[0]=npy:hog -o out.caffemodel", hogs.values_npy,
     "layer 'fc': a copy of its param 0 needs 76.3"),
    ("edit wide.prototxt hog fc[0]*=2 -o out.caffemodel", hogs.compressed_params, "hog: reading"),
    ("inspect wide.prototxt hog --stats", hogs.compressed_params, "hog: reading layer 'fc', blob"),
    ("inspect wide.prototxt hog --stats", hogs.wide_params, ""),
    ("export wide.prototxt hog -o out.onnx", hogs.wide_params, "numbers of layer 'fc', blob 0"),
    ("convert wide.prototxt hog -o out --engine embedded", hogs.wide_params, ""),
    ("transplant wide.prototxt hog wide.prototxt -o out.caffemodel", hogs.wide_params, "blob 0"),
    ("upgrade hog -o out.caffemodel", hogs.wide_params, ""),
    ("verify wide.prototxt hog wide.prototxt hog --engine embedded", hogs.wide_params,
     "wide.prototxt: running the net with data of 1x20000x1x1 needs"),
    ("diff wide.prototxt wide.prototxt hog hog", hogs.wide_params, ""),
    ("init wide.prototxt -o out.caffemodel", None, ""),
    ("init filter.prototxt -o out.caffemodel", None, "conv, param 0: a filter of 6000x6000"),
    ("init unitball.prototxt -o out.caffemodel", None, "a row of 20000000 values needs"),
    ("verify large.prototxt small.caffemodel large.prototxt small.caffemodel --engine embedded",
     None, "input 'data' of 1x1x4000x4000 needs 122.1 MiB"),
    ("export constant.prototxt small.caffemodel -o out.onnx", None, "what its graph holds needs"),
    ("export priors.prototxt priors.caffemodel -o out.onnx", None, "what its graph holds needs"),
    ("export large.prototxt small.caffemodel -o out.onnx", None, ""),
    ("convert permuted.prototxt permuted.caffemodel -o out --engine embedded", None,
     "the order of a blob of 12000000 numbers needs"),
    ("convert good.prototxt good.caffemodel -o out --engine embedded --mean hog", hogs.mean_npy,
     "hog: its array needs 95.4 MiB"),
    *(
        (f"classify-map grey.png --prototxt good.prototxt --weights good.caffemodel --blob conv "
         f"--engine embedded {more}", maker, words)
        for more, maker, words in (
            ("--mean hog", hogs.mean_npy, "hog: its array needs 95.4 MiB"),
            ("--mean hog", hogs.mean_binaryproto, "hog: an array of the numbers of the mean needs"),
            ("--labels hog", hogs.labels, "hog: the list of its labels needs"),
            ("--size 450x450 --json", None, "grey.png: its map as JSON needs"),
            ("--size 1500x1500 --tile none", None,
             "running the net with data of 1x1x1500x1500 needs"),
            ("--size 1000000x1000000", None, "more than Caffe counts"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "maker", "words"), LINES, ids=[row[0] for row in LINES])
def test_what_is_computed(
    arena: Arena, inputs: Path, line: str, maker: Maker | None, words: str
) -> None:
    done = limited(arena, inputs, line, maker)
    assert (words in done.err) if words else done.code == 0, done.err


def test_a_chunk_that_unpacks_without_end(arena: Arena, inputs: Path) -> None:
    done = limited(arena, inputs, "inspect wide.prototxt hog --stats", hogs.bomb_in_a_chunk)
    assert "layer 'fc', blob 0: a chunk that unpacks to more than its 400 bytes" in done.err


@pytest.mark.parametrize("command", ["classify-map", "features"])
@pytest.mark.parametrize("engine", ["embedded", "caffe"])
def test_the_size_that_is_said_to_fit_does(
    arena: Arena, inputs: Path, command: str, engine: str
) -> None:
    if engine == "caffe" and find_caffe_python() is None:
        lacking("no real Caffe to run the net")
    line = f"{command} grey.png --prototxt large.prototxt --weights small.caffemodel --blob conv "
    memory = 42 if engine == "embedded" else 200  # in Caffe the declared shape counts, too
    line += f"--engine {engine} --max-memory {memory}MiB -q "
    if command == "features":
        line += "-o out.npz --force "
        # In tiles it fits: its blobs are put together in files.
        assert arena.run(*line.split(), "--size", "3000x4000", memory=0).code == 0
        line += "--tile none "
    refused = arena.run(*line.split(), "--size", "3000x4000", memory=0)
    assert refused.code == 1
    words = refused.err.split()
    assert words[-3] == "--size"
    assert words[-1] == "fits"
    height, width = map(int, words[-2].split("x"))
    assert 0 <= 3 * width - 4 * height <= 4
    done = arena.run(*line.split(), "--size", words[-2], memory=0)
    assert done.code == 0, done.err
    # In tiles what is needed also depends on the remainder of the size, by the total stride.
    more = f"{height + 3}x{width + 4}" if "none" in line else f"{height * 5 // 4}x{width * 5 // 4}"
    assert arena.run(*line.split(), "--size", more, memory=0).code == 1


def test_one_picture_without_memory_does_not_end_a_batch(arena: Arena, inputs: Path) -> None:
    """By the budget, and by the system: the net's input is as large as each picture."""
    for name, side in (("a", 20), ("b", 1500), ("c", 30)):
        Image.new("L", (side, side), 9).save(arena.folder / f"{name}.png")
    line = "classify-map a.png b.png c.png --prototxt large.prototxt --weights small.caffemodel "
    line += "--blob conv --engine embedded --size image --tile none --npy"
    done = arena.run(*line.split(), "maps", "--max-memory", "64MiB", memory=0)
    assert done.code == 1
    assert sorted(path.name for path in (arena.folder / "maps").iterdir()) == ["a.npy", "c.npy"]
    assert "b.png" in done.err
    assert "1 of 3 images failed" in done.err
