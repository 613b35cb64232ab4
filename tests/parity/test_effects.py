"""What a net's text would have real Caffe do to files and modules is not done unasked.

Each effect is tried on some commands, and each command on some effects; `make sweeps` tries all.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import every_command
import numpy as np
import pytest
from dealt import dealt
from every_command import CALLS, COMMANDS, GOOD, make_good

import netsurgery
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.weights import open_weights
from netsurgery.net.net import NetDefinition

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

#: Layers that end a net, or stand beside it: nothing that is wanted depends on them.
ASIDE = {
    "HDF5Output": 'layer { name: "e" type: "HDF5Output" bottom: "data" bottom: "data" '
    'hdf5_output_param { file_name: "HERE/victim" } }',
    "LEVELDB": 'layer { name: "e" type: "Data" top: "more" data_param '
    '{ source: "HERE/folder" batch_size: 1 backend: LEVELDB } }',
    "LMDB": 'layer { name: "e" type: "Data" top: "more" data_param '
    '{ source: "HERE/folder" batch_size: 1 backend: LMDB } }',
    "ImageData": 'layer { name: "e" type: "ImageData" top: "more" top: "label" '
    'image_data_param { source: "/dev/zero" } }',
    "HDF5Data": 'layer { name: "e" type: "HDF5Data" top: "more" '
    'hdf5_data_param { source: "/dev/zero" batch_size: 1 } }',
    "WindowData": 'layer { name: "e" type: "WindowData" top: "more" top: "label" '
    'window_data_param { source: "/dev/zero" batch_size: 1 } transform_param { crop_size: 3 } }',
    "mean_file": 'layer { name: "e" type: "MemoryData" top: "more" top: "label" '
    "memory_data_param { batch_size: 1 channels: 1 height: 2 width: 2 } "
    'transform_param { mean_file: "/dev/zero" } } '
    'layer { name: "s" type: "Silence" bottom: "more" bottom: "label" }',
    "InfogainLoss": 'layer { name: "e" type: "InfogainLoss" bottom: "data" bottom: "data" '
    'infogain_loss_param { source: "/dev/zero" } }',
    "Python": 'layer { name: "e" type: "Python" bottom: "data" '
    'python_param { module: "marker" layer: "Layer" } }',
}

MARKER = """
import caffe
open(FILE, "w").close()
class Layer(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data
"""


@dataclass(frozen=True)
class Place:
    """A folder with a net, its weights and what an attack would change."""

    folder: Path
    python: str

    def write(self, text: str) -> None:
        Path("net.prototxt").write_text(text.replace("HERE", str(self.folder)))

    def harmed(self) -> bool:
        """Whether the victims are not what they were."""
        untouched = Path("victim").read_bytes() == b"the user's own\n"
        return not untouched or bool(list(Path("folder").iterdir())) or Path("imported").exists()

    @property
    def caffe(self) -> EngineOptions:
        return EngineOptions(choice="caffe", caffe_python=self.python)


@pytest.fixture
def place(tmp_path: Path, caffe_python: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", caffe_python)
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "marker.py").write_text(MARKER.replace("FILE", repr(str(tmp_path / "imported"))))
    for name in ("PYTHONPATH", "NETSURGERY_CAFFE_PYTHONPATH"):
        monkeypatch.setenv(name, str(modules))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    make_good(9)
    Path("victim").write_text("the user's own\n")
    Path("folder").mkdir()
    return Place(tmp_path, caffe_python)


def params(path: Path) -> dict[tuple[str, int], bytes]:
    with open_weights(path) as weights:
        return {
            (layer.name, i): blob.numpy().tobytes()
            for layer in weights.layers
            for i, blob in enumerate(layer.blobs)
        }


def words_of(command: str) -> list[list[str]]:
    """The command lines, with Caffe where one names an engine."""
    lines = [line.replace("NET", "net.prototxt").split() for line in COMMANDS[command]]
    return [["caffe" if word == "embedded" else word for word in line] for line in lines]


TRIED = dealt(ASIDE, COMMANDS, 6)


@pytest.mark.parametrize("effect", ASIDE)
def test_no_command_needs_what_stands_aside(
    effect: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that run nets run this one in Caffe, and do not ask for anything."""
    place.write(GOOD + ASIDE[effect])
    for command in [command for tried, command in TRIED if tried == effect]:
        for words in words_of(command):
            code = run([command, *words])
            got = capsys.readouterr()
            assert not place.harmed(), command
            if "caffe" in words and not (command == "verify" and effect == "InfogainLoss"):
                assert code == 0, (command, got.err)
                assert "--allow" not in got.out + got.err
        shutil.rmtree("out", ignore_errors=True)
        for path in Path().glob("out*"):
            path.unlink()


@pytest.mark.parametrize("effect", ["HDF5Output", "Python"])
def test_no_call_needs_what_stands_aside(
    effect: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(GOOD + ASIDE[effect])
    monkeypatch.setattr(every_command, "_EMBEDDED", place.caffe)
    for name in CALLS:
        # Export has no engine, and does not take layers that only Caffe runs.
        with suppress(*([netsurgery.PrototxtError] if name == "export_onnx" else [])):
            CALLS[name]("net.prototxt", netsurgery.NetState())
        assert not place.harmed(), name
        for path in Path().glob("out*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("effect", ASIDE)
def test_what_is_converted_has_the_params_and_layers_that_it_had(
    effect: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "good.prototxt", "good.caffemodel", "-o", "plain"]) == 0
    place.write(GOOD + ASIDE[effect])
    assert run(["convert", "net.prototxt", "good.caffemodel", "-o", "made"]) == 0
    out = capsys.readouterr().out
    assert out.count("by caffe 1.0") == 2
    notes = [line for line in out.splitlines() if "note" in line]
    assert notes == 2 * ["note: the total stride of 'pool' is 2 x 2, not 1 x 1"]  # `GOOD`'s own
    name = "good_full_conv.caffemodel"
    assert params(Path("plain", name)) == params(Path("made", name))
    assert len(params(Path("made", name))) == 4
    text = Path("made/net_full_conv.prototxt").read_text()
    assert text.endswith(ASIDE[effect].replace("HERE", str(place.folder)))
    assert not place.harmed()


#: In the way: the input goes through a layer in Python, whose shape is given.
BETWEEN = GOOD.replace(
    'layer { name: "conv"',
    'layer { name: "py" type: "Python" bottom: "data" top: "py" '
    'python_param { module: "marker" layer: "Layer" } }\nlayer { name: "conv"',
).replace('"Convolution" bottom: "data"', '"Convolution" bottom: "py"')
RUN_NETS = ("classify-map", "verify", "features")
PERMISSION = (
    "layer 'py' (Python) imports code ('marker'): real Caffe runs such a net only with --allow"
)


@pytest.mark.parametrize("engine", ["auto", "caffe"])
@pytest.mark.parametrize("command", RUN_NETS)
def test_what_stands_in_the_way_is_refused_in_one_line(
    command: str, engine: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(BETWEEN)
    for words in words_of(command):
        arguments = [engine if word == "caffe" else word for word in words]
        code = run([command, *arguments, "--input-shape", "py=1x1x8x8"])
        got = capsys.readouterr()
        assert code == (2 if command == "verify" else 1)
        assert got.err == f"error: net.prototxt:5:7: {PERMISSION} python\n"
        assert got.out == ""
        assert not list(Path().glob("out*"))
        assert not place.harmed()


#: A layer whose params are moved names a file.
NAMING = GOOD.replace('"Convolution"', '"Convolution" transform_param { mean_file: "/dev/zero" }')
READS = (
    "net.prototxt:5:7: layer 'conv' (Convolution) reads files ('/dev/zero'): real Caffe runs such"
)


def test_convert_moves_params_without_caffe_where_it_is_not_to_have_the_net(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(NAMING)
    both = ["convert", "net.prototxt", "good.caffemodel"]
    assert run([*both, "-o", "a"]) == 0
    out = capsys.readouterr().out
    assert f"note: {READS} a net only with --allow reads: the embedded engine was used\n" in out
    assert "by embedded in " in out
    assert run([*both, "-o", "b", "--engine", "caffe"]) == 1
    message = (
        f"error: {READS} a net only with --allow reads; --engine embedded converts without Caffe"
    )
    assert capsys.readouterr().err == message + "\n"
    assert not Path("b").exists()
    assert run([*both, "-o", "c", "--engine", "caffe", "--allow", "reads", "--verify"]) == 0
    name = "good_full_conv.caffemodel"
    assert params(Path("a", name)) == params(Path("c", name))


@pytest.mark.parametrize("command", ["classify-map", "verify", "features"])
def test_what_is_allowed_is_run(
    command: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(BETWEEN)
    words = words_of(command)[0]
    if command == "verify":
        words = ["net.prototxt", *words[1:2], "net.prototxt", *words[3:]]
    arguments = [command, *words, "--input-shape", "py=1x1x8x8", "--allow", "writes,python"]
    assert run(arguments) == 0, capsys.readouterr().err
    assert Path("imported").exists()


def test_what_is_written_is_written_where_that_is_allowed(place: Place) -> None:
    place.write(GOOD + ASIDE["HDF5Output"])
    path, options = Path("net.prototxt"), place.caffe
    for allow in ((), ("reads", "python")):
        with (
            netsurgery.open_engine(replace(options, allow=frozenset(allow))) as engine,
            pytest.raises(netsurgery.EffectRefused),
        ):
            engine.load(path)
        assert not place.harmed()
    with (
        netsurgery.open_engine(replace(options, allow=frozenset({"writes"}))) as engine,
        engine.load(path) as net,
    ):
        net.forward({}, ["prob"])
    assert Path("victim").read_bytes().startswith(b"\x89HDF")


def test_what_is_read_is_read_where_that_is_allowed(
    place: Place, allowed_caffe: netsurgery.Engine
) -> None:
    Path("list").write_text(f"{place.folder}/grey.png 3\n")
    place.write(
        'layer { name: "d" type: "ImageData" top: "data" top: "label" '
        'image_data_param { source: "HERE/list" } }'
    )
    with allowed_caffe.load(Path("net.prototxt")) as net:
        assert net.forward({}, ["label"])["label"] == 3
        assert net.blobs["data"] == (1, 3, 8, 8)


def test_a_net_is_cut_where_the_other_engine_runs_it_too(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """verify compares what an HDF5Output would have been given."""
    place.write(GOOD + ASIDE["HDF5Output"])
    both = ["net.prototxt", "good.caffemodel"] * 2
    for engine in ("auto", "caffe", "embedded"):
        assert run(["verify", *both, "--engine", engine]) == 0
        assert "prob" in capsys.readouterr().out


def test_a_text_that_we_cannot_read_is_not_given_to_caffe(
    place: Place, caffe_engine: PycaffeEngine
) -> None:
    for text in ("layer {", 'layer { name: "x" type: "Python" ', "[caffe.x]: 1"):
        place.write(text)
        with pytest.raises(netsurgery.PrototxtError):
            caffe_engine.load(Path("net.prototxt"))


def test_caffe_reads_the_text_that_was_checked(
    place: Place, caffe_engine: PycaffeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in the file by then."""
    checked = caffe_engine.permitted

    def swapped(net: NetDefinition) -> Prototxt:
        place.write(GOOD + ASIDE["HDF5Output"].replace("HERE/victim", "/tmp/none"))
        return checked(net)

    monkeypatch.setattr(caffe_engine, "permitted", swapped)
    place.write(GOOD)
    with caffe_engine.load(Path("net.prototxt")) as net:
        np.testing.assert_allclose(net.forward({}, ["prob"])["prob"], 1 / 3, rtol=1e-6)
    assert "HDF5Output" in Path("net.prototxt").read_text()


@pytest.mark.parametrize("number", ["011", "0xC", "5", "012"])
def test_a_type_by_its_number_is_known(
    number: str, place: Place, caffe_engine: PycaffeEngine
) -> None:
    """As protobuf reads it: 011 is HDF5_DATA."""
    place.write(f'layers {{ name: "e" type: {number} top: "a" hdf5_data_param {{ source: "x" }} }}')
    with pytest.raises(netsurgery.EffectRefused):
        caffe_engine.load(Path("net.prototxt"))


NAMES = """
import json, sys, caffe
net = caffe.Net(sys.argv[1], caffe.TEST)
print(json.dumps([list(net._layer_names), [layer.type for layer in net.layers]]))
"""


def spelled(text: str, draw: random.Random) -> str:
    """The text as strings of the text format: in pieces, with escapes, comments between them."""
    pieces = [""]
    for char in text:
        if draw.random() < 0.2:
            pieces.append("")
        ways = [char, f"\\{ord(char):o}", f"\\{ord(char):03o}", f"\\x{ord(char):02x}"]
        way = draw.choice(ways)
        # What an escape of fewer digits than there may be is followed by belongs to it.
        pieces[-1] += way if len(way) in (1, 4) else way + '" "'
    between = draw.choice([" ", "", '\n# a "comment"\n', "\t\r\n"])
    return between.join(f'"{piece}"' for piece in pieces)


@pytest.mark.parametrize("seed", range(5))
def test_types_and_names_are_those_that_caffe_reads(
    seed: int, place: Place, run_in_caffe: Callable[..., str]
) -> None:
    """Of a text that Caffe is given as it is: what is checked is what it would do."""
    draw, text = random.Random(seed), GOOD
    for index in range(60):
        kind = draw.choice(["ReLU", "TanH", "Sigmoid", "Power", "AbsVal"])
        opened, closed = draw.choice([("{", "}"), ("<", ">")])
        ends = draw.choice([" ", "; ", ", "])
        fields = [f"type: {spelled(kind, draw)}", f"name: {spelled(f'{kind} {index}', draw)}"]
        fields += ['bottom: "prob"', f'top: "top{index}"']
        draw.shuffle(fields)
        text += f"layer{draw.choice(['', ':', ' : '])} {opened} {ends.join(fields)} {closed}\n"
    place.write(text)
    net = NetDefinition.read("net.prototxt")
    names, kinds = json.loads(run_in_caffe(NAMES, place.folder / "net.prototxt"))
    caffes = [pair for pair in zip(names, kinds, strict=True) if pair[1] != "Split"]
    assert caffes == [(layer.name, layer.type) for layer in net.layers]
