"""`draw`: everything of the net is in the drawing, and nothing stands on anything else."""

from __future__ import annotations

import html
import io
import json
import re
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from drawings import (
    DrawnSvg,
    boxes_of_dot,
    boxes_of_mermaid,
    expected_edges,
    inside,
    lines_of,
    read_svg,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from others_data import bound
from pages import elements
from PIL import Image, ImageFont

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.diagram.faces import frame_lines
from netsurgery.diagram.graph import Mark
from netsurgery.diagram.kinds import Kind
from netsurgery.diagram.palette import DARK, LIGHT, mark_tone, tint
from netsurgery.diagram.typeface import shown, text_width
from netsurgery.drawing.fonts import FONTS, Fonts, Glyphs, ascii_form
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io import memory
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights

DIGITS = Path(__file__).resolve().parent.parent / "prototxt" / "digits_deploy.prototxt"
INPUT = 'input: "x" input_shape { dim: [1, 2, 8, 8] }\n'


def convolution(name: str, bottom: str, top: str = "", kernel: int = 1) -> str:
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top or name}" '
        f"convolution_param {{ num_output: 2 kernel_size: {kernel} }} }}\n"
    )


def layer(name: str, kind: str, bottoms: str, tops: str) -> str:
    blobs = [f'bottom: "{blob}"' for blob in bottoms.split()]
    blobs += [f'top: "{blob}"' for blob in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} }}\n'


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drawing_of(text: str, **options: bool) -> ns.NetDrawing:
    """The drawing of a net, after one that is written to the current folder."""
    Path("net.prototxt").write_text(text)
    return ns.draw("net.prototxt", **options)  # type: ignore[arg-type]


def readable(path: Path) -> bool:
    """Whether there is a net in the file in the TEST phase: solvers and parts of nets are none."""
    try:
        return bool(NetDefinition.read(path).layers)
    except ns.NetsurgeryError:
        return False


def all_is_there(drawn: DrawnSvg, net: NetDefinition) -> None:
    """Every layer and every edge of the net, once each."""
    layers = [each for several in drawn.layers.values() for each in several]
    assert Counter(layers) == Counter((each.name, each.type) for each in net.layers)
    # Boxes are in the net's order, and so are the layers of one name.
    places: dict[str, str] = {}
    heads: dict[str, str] = {}
    rest = list(net.layers)
    tails: dict[str, str] = {}
    for key, several in drawn.layers.items():
        for name, kind in several:
            at = next(i for i, each in enumerate(rest) if (each.name, each.type) == (name, kind))
            index = str(rest.pop(at).index)
            places[index] = key
            heads.setdefault(key, index)
            tails[key] = index
    ends = {key: blob for key, (_, blob) in drawn.blobs.items()}
    edges = Counter(
        (
            tails.get(source, ends.get(source, "")),
            "out" if target in ends else heads[target],
            blob,
        )
        for source, target, blob, _ in drawn.edges
    )
    assert edges == expected_edges(net)


def nothing_overlaps(drawn: DrawnSvg) -> None:
    assert drawn.overlaps() == []
    assert drawn.texts_outside() == []
    assert drawn.loose_edges() == []
    assert drawn.edges_through_boxes() == []
    boxes = list(drawn.boxes.values())
    lines = [line for edge in drawn.edges for line in lines_of(edge[3])]
    for label in drawn.labels:
        assert not any(label.meets(each) for each in (*boxes, *lines))
    assert not any(first.meets(second) for first, second in combinations(drawn.labels, 2))
    sheet = [*boxes, *drawn.frames, *drawn.labels]
    assert all(each.left >= 0 and each.top >= 0 for each in sheet)
    assert all(each.right <= drawn.width and each.bottom <= drawn.height for each in sheet)


def test_the_nets_of_others_are_drawn_whole(shared_data: Path) -> None:
    paths = [path for path in sorted(shared_data.rglob("*.prototxt")) if readable(path)]
    assert len(paths) > bound(shared_data, whole=40, served=20)
    for path in paths:
        net, drawing = NetDefinition.read(path), ns.draw(path)
        drawn = read_svg(drawing.svg())
        all_is_there(drawn, net)
        nothing_overlaps(drawn)
        edges = Counter((source, target) for source, target, _, _ in drawn.edges)
        for text, read in (
            (drawing.dot(), boxes_of_dot),
            (drawing.mermaid(), boxes_of_mermaid),
        ):
            boxes, joined = read(text)
            assert joined == edges, path
            assert set(boxes) == set(drawn.boxes)
            for key, layers in drawn.layers.items():
                names = {name for name, _ in layers}
                assert all(any(name in line for line in boxes[key]) for name in names), path


def test_folded_they_are_too(shared_data: Path) -> None:
    folded = 0
    for path in sorted(shared_data.rglob("*.prototxt")):
        if not readable(path):
            continue
        drawing = ns.draw(path, fold=True)
        drawn = read_svg(drawing.svg())
        nothing_overlaps(drawn)
        framed = {key for frame in drawing.graph.frames for key in map(str, frame.boxes)}
        names = [
            n for key, several in drawn.layers.items() if key not in framed for n, _ in several
        ]
        names += [name for block in drawn.blocks for name in block]
        net = NetDefinition.read(path)
        assert Counter(names) == Counter(each.name for each in net.layers), path
        folded += bool(drawn.blocks)
        for frame, place in zip(drawing.graph.frames, drawn.frames, strict=True):
            assert all(inside(drawn.boxes[str(key)], place) for key in frame.boxes)
    assert folded > bound(shared_data, whole=8, served=2)


def test_googlenet_folds_into_its_three_stages(shared_data: Path) -> None:
    drawing = ns.draw(shared_data / "bvlc" / "bvlc_googlenet.prototxt", fold=True)
    groups = drawing.to_json()["groups"]
    assert [len(group["blocks"]) for group in groups] == [2, 5, 2]
    assert [block[-1] for block in groups[1]["blocks"]] == [
        f"inception_4{letter}/output" for letter in "abcde"
    ]
    assert str(drawing).endswith("3 groups of repeated blocks")


def test_the_drawing_in_the_documentation_is_of_the_bundled_net(repo_root: Path) -> None:
    drawn = read_svg((repo_root / "docs" / "digits_net.svg").read_text())
    all_is_there(drawn, NetDefinition.read(DIGITS))
    nothing_overlaps(drawn)


def test_layers_in_place_share_a_box_unless_others_read_between(draw: Path) -> None:
    chain = (
        INPUT
        + convolution("c", "x")
        + layer("r", "ReLU", "c", "c")
        + layer("d", "Dropout", "c", "c")
    )
    boxes = [[layer.name for layer in box.layers] for box in drawing_of(chain).graph.boxes]
    assert boxes == [[], ["c", "r", "d"], []]
    between = (
        INPUT + convolution("c", "x") + convolution("early", "c") + layer("r", "ReLU", "c", "c")
        + convolution("late", "c")
    )  # fmt: skip
    drawing = drawing_of(between)
    boxes = [[layer.name for layer in box.layers] for box in drawing.graph.boxes if box.layers]
    assert boxes == [["c"], ["early"], ["r"], ["late"]]
    all_is_there(read_svg(drawing.svg()), NetDefinition.read("net.prototxt"))
    # What a Slice makes beside it is not the ReLU's.
    several = INPUT + layer("s", "Slice", "x", "a b") + layer("r", "ReLU", "a", "a")
    assert [len(box.layers) for box in drawing_of(several).graph.boxes] == [0, 1, 1, 0, 0]


def test_a_box_says_what_the_layer_is(draw: Path) -> None:
    text = INPUT + (
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { '
        "num_output: 4 kernel_h: 3 kernel_w: 5 stride: 2 pad: 1 dilation: 2 group: 2 } }\n"
        'layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE '
        "global_pooling: true engine: CAFFE } }\n"
        'layer { name: "e" type: "Eltwise" bottom: "p" bottom: "p" top: "e" eltwise_param { '
        "operation: MAX } }\n"
    )
    drawing = drawing_of(text, fields=True)
    details = {layer.name: layer.detail for layer in drawing.graph.layers}
    assert details == {
        "c": "3x5, stride 2, pad 1, dilation 2, group 2",
        "p": "3x1 (whole map), ave",
        "e": "max",
    }
    record = drawing.to_json()
    assert [(layer["params"], layer["multiply_adds"]) for layer in record["layers"]] == [
        (64, 180),
        (0, 0),
        (0, 0),
    ]
    svg = drawing.svg()
    assert ">field 5x9, stride 2x2<" in svg
    assert ">1x4x3x1<" in svg
    assert "field" not in drawing_of(text).svg()


def test_the_totals_say_what_is_not_known_of(draw: Path) -> None:
    text = INPUT + convolution("a", "x")
    totals = "6 params \N{MIDDLE DOT} 256 multiply-adds"
    assert f">1 layer \N{MIDDLE DOT} {totals}<" in drawing_of(text).svg()
    least = "at least 6 params \N{MIDDLE DOT} at least 256 multiply-adds"
    text += layer("o", "Python", "a", "o")
    assert f">2 layers \N{MIDDLE DOT} {least}<" in drawing_of(text).svg()
    assert str(ns.inspect("net.prototxt")).startswith("2 layers, at least 6 params")


def test_shapes_stand_beside_their_lines_alone(draw: Path) -> None:
    """Also where many lines leave a box side by side, and where there is a frame."""
    parts = [f"part{number}" for number in range(9)]
    text = INPUT.replace("2, 8, 8", "9, 8, 8") + layer("cut", "Slice", "x", " ".join(parts))
    text += layer("sum", "Eltwise", " ".join(parts[:5]), "sum")
    text += layer("all", "Concat", " ".join(["sum", *parts[3:]]), "all")
    svg = drawing_of(text).svg()
    drawn = read_svg(svg)
    nothing_overlaps(drawn)
    assert len(drawn.labels) > 3
    assert ">part8 1x1x8x8<" in svg  # of several blobs of one box the name too
    assert ">1x7x8x8<" in svg
    blocks = "".join(
        convolution(f"a{number}", bottom)
        + layer(f"s{number}", "Eltwise", f"a{number} {bottom}", top)
        for number, (bottom, top) in enumerate((("x", "s0"), ("s0", "s1"), ("s1", "s2")))
    )
    framed = read_svg(drawing_of(INPUT + blocks, fold=True).svg())
    assert len(framed.frames) == 1
    nothing_overlaps(framed)


def test_blocks_of_other_windows_do_not_repeat(draw: Path) -> None:
    same = INPUT + convolution("a", "x") + convolution("b", "a") + convolution("c", "b")
    assert [len(frame.blocks) for frame in drawing_of(same, fold=True).graph.frames] == [3]
    wider = INPUT + convolution("a", "x") + convolution("b", "a", kernel=3) + convolution("c", "b")
    assert drawing_of(wider, fold=True).graph.frames == ()
    # A blob that somebody reads past the next block is not lost in it.
    skipped = same + layer("e", "Eltwise", "a c", "e")
    assert drawing_of(skipped, fold=True).graph.frames == ()


def test_a_frame_says_that_its_costs_are_of_all_blocks(draw: Path) -> None:
    """However narrow it is: beside "3 x" a sum would be taken for the cost of each."""
    same = INPUT + convolution("a", "x") + convolution("b", "a") + convolution("c", "b")
    (frame,) = drawing_of(same, fold=True).graph.frames
    costs = set()
    for width in range(20, 400):
        _, *rest = frame_lines(frame, width)
        costs |= {span.text for line in rest for span in line.spans}
    assert len(costs) == 3
    assert all(text.startswith(("together ", "in all ")) for text in costs)


def test_the_last_block_leads_on(draw: Path) -> None:
    text = INPUT + convolution("in", "x", kernel=3)
    for number, bottom in enumerate(("in", "b0", "b1", "b2")):
        text += convolution(f"a{number}", bottom) + layer(
            f"b{number}", "Eltwise", f"a{number} {bottom}", f"b{number}"
        )
    drawing = drawing_of(text + layer("end", "Softmax", "b3", "end"), fold=True)
    (frame,) = drawing.graph.frames
    assert [[layer.name for box in block for layer in box.layers] for block in frame.blocks] == [
        [f"a{number}", f"b{number}"] for number in range(4)
    ]
    names = {box.key: box.name or box.layers[0].name for box in drawing.graph.boxes}
    edges = [(names[e.source], names[e.target], e.blob) for e in drawing.graph.edges]
    assert ("b0", "end", "b3") in edges
    assert frame.params == 4 * 6


def test_phases_and_stages_choose_what_is_drawn(draw: Path) -> None:
    text = (
        INPUT + convolution("c", "x")
        + 'layer { name: "t" type: "Dropout" bottom: "c" top: "t" include { phase: TRAIN } }\n'
        + 'layer { name: "s" type: "ReLU" bottom: "c" top: "s" include { stage: "deploy" } }\n'
    )  # fmt: skip
    Path("net.prototxt").write_text(text)
    for words, names in (
        ([], ["c"]),
        (["--phase", "TRAIN"], ["c", "t"]),
        (["--stage", "deploy"], ["c", "s"]),
    ):
        assert run(["draw", "net.prototxt", "-o", "net.svg", "--force", "-q", *words]) == 0
        layers = read_svg(Path("net.svg").read_text()).layers.values()
        assert [name for several in layers for name, _ in several] == names


@st.composite
def wirings(draw_from: st.DrawFn) -> str:
    """A net of a few layers of a type that is not known, wired at random, some of them in place."""
    text, blobs = INPUT, ["x"]
    for number in range(draw_from(st.integers(1, 14))):
        bottoms = draw_from(st.lists(st.sampled_from(blobs[-5:]), min_size=0, max_size=3))
        if len(bottoms) == 1 and draw_from(st.booleans()):
            tops = bottoms
        else:
            tops = [f"t{number}{place}" for place in range(draw_from(st.integers(0, 3)))]
        blobs += [top for top in tops if top not in blobs]
        text += layer(f"layer{number}", "Own", " ".join(bottoms), " ".join(tops))
    return text


@settings(max_examples=60, deadline=None)
@given(text=wirings())
def test_any_wiring_is_drawn_whole(text: str) -> None:
    net = NetDefinition.of(Prototxt.parse(text))
    for fold in (False, True):
        with ns.Net.of_model(NetWithWeights(net)) as opened:
            drawing = ns.draw(opened, fold=fold)
        drawn = read_svg(drawing.svg())
        nothing_overlaps(drawn)
        if not fold:
            all_is_there(drawn, net)
        assert sorted(each.name for each in drawing.graph.layers) == sorted(
            each.name for each in net.layers
        )


HOSTILE = [
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "]]><x>",
    '\\"]; click b0 \\"javascript:alert(1)\\"',
    "a --> b",
    "%%{init: {}}%%",
    "#quot;&quot;&lt;b&gt;`*_`",
    "\\\\l\\\\N}",
    "end",
    "1. list",
    "\\n\\t\\r",
    "\\001\\033[31m\\177",
    "\\342\\200\\256txet",
    "\\377\\376",
    "\\360\\237\\246\\212 \\344\\270\\255",
    "ends with \\\\",
    "x" * 5000,
    "",
]


def net_called(names: list[str]) -> str:
    text, bottom = f'name: "{names[0]}"\n' + INPUT, "x"
    for number, name in enumerate(names):
        text += convolution(name, bottom, f"t{number}")
        text += layer(name, name or "a", f"t{number}", "").removesuffix(" }\n")
        text += f' top: "{name}{number}" }}\n'
        bottom = f"t{number}"
    return text


def test_names_are_text_and_never_markup(draw: Path) -> None:
    hostile = drawing_of(net_called(HOSTILE))
    plain = drawing_of(net_called([f"name{number}" for number in range(len(HOSTILE))]))
    root = ElementTree.fromstring(hostile.svg())
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "title", "style", "rect", "g", "path", "text"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name for name in attributes)
    # The page has the same tags, whatever the names are; of a long one no more lines. But a text
    # fills its room only in the font that this was measured in.
    fill = {"textlength", "lengthadjust"}
    ours, theirs = (
        {(tag, tuple(n for n in names if n not in fill)) for tag, names in elements(drawing.html())}
        for drawing in (hostile, plain)
    )
    assert ours == theirs
    for drawing in (hostile, plain):
        for text, read in ((drawing.dot(), boxes_of_dot), (drawing.mermaid(), boxes_of_mermaid)):
            boxes, edges = read(text)
            assert len(boxes) == len(drawing.graph.boxes)
            assert edges.total() == len(drawing.graph.edges)
            for box in drawing.graph.boxes:
                name = box.layers[0].name if box.layers else box.name
                assert boxes[str(box.key)][0] == shown(name, 1000)
            # Nothing but nodes, edges and what every drawing has, each on its line.
            assert len(text.splitlines()) - len(boxes) - edges.total() < 20
            assert text.replace("\n", "").isprintable()
    assert hostile.png().startswith(b"\x89PNG")


def test_a_page_has_the_lines_of_every_layer(draw: Path) -> None:
    text = INPUT + convolution("c", "x") + "# a comment\n" + layer("r", "ReLU", "c", "c")
    page = drawing_of(text.replace("\n", "\r\n")).html()
    shown = re.findall(
        r'<pre data-box="(\d+)" data-layer="(\w+)" data-line="(\d+)">(.*?)</pre>', page
    )
    assert [(box, name, line) for box, name, line, _ in shown] == [("1", "c", "2"), ("1", "r", "4")]
    assert html.unescape(shown[1][3]) == layer("r", "ReLU", "c", "c").strip()


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_can_be_read(theme: dict[str, str]) -> None:
    texts = ["ink", "pale", *(mark_tone(mark) for mark in Mark)]
    grounds = ["paper", "frame", *(tint(kind.name) for kind in Kind)]
    for text in texts:
        for ground in grounds:
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    assert contrast(theme["edge"], theme["paper"]) >= 3
    assert set(LIGHT) == set(DARK)


def test_kinds_have_the_colours_of_okabe_and_ito() -> None:
    okabe_ito = "#000000 #e69f00 #56b4e9 #009e73 #f0e442 #0072b2 #d55e00 #cc79a7".split()
    colors = [kind.color for kind in Kind if kind is not Kind.OTHER]
    assert sorted(colors) == sorted(okabe_ito)
    assert Kind.OTHER.color == "#999999"


def test_the_command_writes_what_the_ending_says(
    draw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("net.prototxt").write_text(DIGITS.read_text())
    assert run(["draw", "net.prototxt"]) == 0
    assert capsys.readouterr().out == "Digits: 15 layers in 11 boxes, 10 edges; wrote net.svg\n"
    heads = {
        "a.svg": b"<svg ",
        "a.png": b"\x89PNG",
        "a.html": b"<!DOCTYPE html>",
        "a.HTM": b"<!DOCTYPE html>",
        "a.mmd": b"---\ntitle",
        "a.dot": b"digraph ",
        "a.gv": b"digraph ",
    }
    for name, head in heads.items():
        assert run(["draw", "net.prototxt", "-o", name, "-q"]) == 0
        assert Path(name).read_bytes().startswith(head)
    assert run(["draw", "net.prototxt", "--format", "mermaid", "-q"]) == 0
    assert Path("net.mmd").read_bytes() == Path("a.mmd").read_bytes()
    assert run(["draw", "net.prototxt", "-o", "a.txt", "--format", "dot", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == "a.txt"
    assert Path("a.txt").read_bytes() == Path("a.dot").read_bytes()
    assert run(["draw", "net.prototxt", "-o", "-", "--format", "dot"]) == 0
    out, err = capsys.readouterr()
    assert out.encode() == Path("a.dot").read_bytes()
    assert err == "Digits: 15 layers in 11 boxes, 10 edges\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            "-o a.pdf",
            2,
            "a.pdf: found the ending .pdf, expected one of .svg, .png, .html, .mmd, .dot",
        ),
        ("-o plain", 2, "plain: found no ending, expected one of .svg"),
        ("-o there.svg", 1, "there.svg: exists already; --force replaces it"),
        ("-o net.prototxt --format svg --force", 1, "net.prototxt"),
        ("-o no/where.svg", 1, "no/where.svg"),
    ],
)
def test_what_cannot_be_written_is_refused(
    words: str, code: int, message: str, draw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("net.prototxt").write_text(DIGITS.read_text())
    Path("there.svg").write_text("mine")
    before = {path.name: path.read_bytes() for path in draw.iterdir()}
    assert run(["draw", "net.prototxt", *words.split()]) == code
    err = capsys.readouterr().err
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in draw.iterdir()} == before


@pytest.mark.parametrize("output", [None, "net.svg", "-"])
def test_a_form_that_is_none_is_refused(draw: Path, output: str | None) -> None:
    wrong = r"^found the form 'pdf', expected one of svg, png, html, mermaid, dot$"
    form: Any = "pdf"
    with pytest.raises(ns.OutputError, match=wrong):
        ns.draw(DIGITS, output=output, format=form)
    with pytest.raises(ns.OutputError, match=wrong):
        ns.draw(DIGITS).save(output, format=form)
    with pytest.raises(ns.OutputError, match=wrong):
        ns.draw("no such net", output=output, format=form)  # before any work
    assert list(draw.iterdir()) == []


def test_without_the_library_one_line_says_what_to_install(
    draw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "graphlay", None)
    assert run(["draw", str(DIGITS), "-o", "a.svg"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: drawing a net needs the library graphlay, which cannot be ")
    assert err.endswith("pip install 'netsurgery[draw]'\n")
    assert list(draw.iterdir()) == []
    # Graphviz and Mermaid lay out what they draw themselves.
    assert run(["draw", str(DIGITS), "-o", "a.dot", "-q"]) == 0


def test_a_png_has_two_pixels_for_one(draw: Path) -> None:
    drawing = ns.draw(DIGITS)
    drawn = read_svg(drawing.svg())
    with Image.open(io.BytesIO(drawing.png())) as picture:
        assert picture.size == (2 * drawn.width, 2 * drawn.height)
        colors = picture.convert("RGB").getcolors(1 << 20)
        assert colors is not None
        assert max(colors)[1] == (255, 255, 255)
        assert tuple(bytes.fromhex(Kind.CONVOLUTION.color[1:])) in {color for _, color in colors}


@pytest.mark.parametrize(
    "name", ["conv1", "卷积一", "数据", "تفاف", "Ελλ", "Ψάρι", "é", "שלום", "Ж" * 30]
)
def test_a_png_writes_names_in_any_script(name: str, tmp_path: Path) -> None:
    """In a font that has all of the name, or in ASCII where none has; never boxes, never cut."""
    size = 26
    room = 2 * text_width(name, size / 2)  # as a PNG, with two pixels for one
    text = FONTS.fitted(name, size, room)
    font = FONTS.font(text, size)
    assert text in (name, ascii_form(name))
    assert font.getlength(text) <= room
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert Glyphs(font.path if isinstance(font.path, str) else None).has(text)
    # Without any font but Pillow's own there is the room for the ASCII form, too.
    assert Fonts(folders=[tmp_path]).length(name, size) <= room


@pytest.mark.usefixtures("fresh_budget")
def test_a_png_that_is_too_large_is_refused() -> None:
    drawing = ns.draw(DIGITS)
    drawn = read_svg(drawing.svg())
    needed = round(4 * 2 * drawn.width * 2 * drawn.height)
    memory.set_max_memory(needed - 1)
    with pytest.raises(ns.MemoryLimitError, match="a picture of"):
        drawing.png()
    memory.set_max_memory(needed)
    assert drawing.png()


def test_weights_say_what_the_prototxt_does_not(draw: Path) -> None:
    Path("net.prototxt").write_text(
        INPUT + 'layer { name: "p" type: "Own" bottom: "x" top: "p" }\n'
    )
    Path("like.prototxt").write_text(INPUT + convolution("p", "x"))
    ns.init("like.prototxt", "model.caffemodel")
    assert ns.draw("net.prototxt").to_json()["layers"][0]["params"] is None
    drawing = ns.draw("net.prototxt", "model.caffemodel")
    assert drawing.to_json()["layers"][0]["params"] == 6
    # Weights that do not fit change nothing, and are named.
    assert ns.draw("like.prototxt", "model.caffemodel").notes == ()
    Path("wider.prototxt").write_text(INPUT + convolution("p", "x", kernel=3))
    (note,) = ns.draw("wider.prototxt", "model.caffemodel").notes
    assert note == "params of layer 'p': 2x2x3x3, 2 in the net, 2x2x1x1, 2 in the model"


def test_an_open_net_is_drawn_as_its_file_is(draw: Path) -> None:
    with ns.Net(DIGITS) as net:
        assert ns.draw(net)._repr_svg_() == ns.draw(DIGITS).svg()


def test_a_conversion_marks_the_layers_it_changes(draw: Path) -> None:
    model = DIGITS.parent.parent / "models" / "digits" / "digits.caffemodel"
    words = ["convert", str(DIGITS), str(model), "--engine", "embedded", "-q"]
    assert run([*words, "-o", "out", "--draw", "change.svg"]) == 0
    svg = Path("change.svg").read_text()
    drawn = read_svg(svg)
    nothing_overlaps(drawn)
    assert drawn.marks == {"changed": 3}
    assert ">was ip1<" in svg
    assert ">type: InnerProduct -&gt; Convolution<" in svg
    # One that is in the way stops the whole conversion.
    assert run([*words, "-o", "other", "--draw", "change.svg"]) == 1
    assert run([*words, "-o", "other", "--draw", "change.pdf"]) == 2
    assert run([*words, "-o", "other", "--draw", "-"]) == 1
    assert not Path("other").exists()
    assert run([*words, "-o", "other", "--draw", "change.svg", "--dry-run"]) == 0
    assert Path("change.svg").read_text() == svg


OLD = "".join(
    (
        INPUT,
        convolution("a", "x"),
        layer("ra", "ReLU", "a", "a"),
        layer("da", "Dropout", "a", "a"),
        layer("pool", "Softmax", "a", "pool"),
        convolution("b", "pool"),
        layer("rb", "ReLU", "b", "b"),
    )
)
NEW = "".join(
    (
        INPUT,
        convolution("a", "x", kernel=3),
        layer("da", "Dropout", "a", "a"),
        convolution("b", "a"),
        layer("rb", "ReLU", "b", "b"),
        layer("end", "TanH", "b", "end"),
    )
)


def test_a_difference_marks_what_was_added_removed_and_changed(draw: Path) -> None:
    Path("old.prototxt").write_text(OLD)
    Path("new.prototxt").write_text(NEW)
    assert run(["diff", "old.prototxt", "new.prototxt", "--draw", "d.svg", "-q"]) == 1
    drawn = read_svg(Path("d.svg").read_text())
    nothing_overlaps(drawn)
    boxes = [[name for name, _ in several] for several in drawn.layers.values() if several]
    # A layer of a chain is gone from its box; the pooling has a box between its neighbours.
    assert sorted(boxes) == [["a", "ra", "da"], ["b", "rb"], ["end"], ["pool"]]
    assert drawn.marks == {"changed": 2, "removed": 2, "added": 1}
    names = {key: several[0][0] for key, several in drawn.layers.items() if several}
    edges = {(names.get(s), names.get(t)) for s, t, _, _ in drawn.edges}
    assert {("a", "b"), ("a", "pool"), ("pool", "b"), ("b", "end")} <= edges
    for name in ("d.png", "d.html", "d.mmd", "d.dot"):
        assert run(["diff", "old.prototxt", "new.prototxt", "--draw", name, "-q"]) == 1
    assert run(["diff", "old.prototxt", "new.prototxt", "--draw", "d.svg"]) == 2
    assert run(["diff", "old.prototxt", "new.prototxt", "--draw", "d.svg", "--force", "-q"]) == 1
    assert run(["diff", "old.prototxt", "old.prototxt", "--draw", "same.svg", "-q"]) == 0
    assert read_svg(Path("same.svg").read_text()).marks == {}


def test_a_box_costs_what_the_new_net_has_in_it(draw: Path) -> None:
    new = INPUT + convolution("a", "x")
    Path("old.prototxt").write_text(new + layer("s", "Scale", "a", "a"))
    Path("new.prototxt").write_text(new)
    assert ns.inspect("new.prototxt").to_json()["total"]["params"] == 6
    assert run(["diff", "old.prototxt", "new.prototxt", "--draw", "d.dot", "-q"]) == 1
    (lines,) = (lines for lines in boxes_of_dot(Path("d.dot").read_text())[0].values() if lines[1:])
    assert lines[-2:] == ["- s Scale", "6 params \N{MIDDLE DOT} 256 multiply-adds"]
    assert run(["diff", "new.prototxt", "old.prototxt", "--draw", "e.dot", "-q"]) == 1
    (lines,) = (lines for lines in boxes_of_dot(Path("e.dot").read_text())[0].values() if lines[1:])
    assert lines[-2:] == ["+ s Scale", "8 params \N{MIDDLE DOT} 256 multiply-adds"]


def test_a_difference_of_weights_is_marked(draw: Path) -> None:
    Path("net.prototxt").write_text(NEW)
    ns.init("net.prototxt", "one.caffemodel", seed=1)
    ns.edit("net.prototxt", "one.caffemodel", ["b[0]+=1"], "two.caffemodel")
    pair = ("net.prototxt", "one.caffemodel"), ("net.prototxt", "two.caffemodel")
    ns.diff(*pair, draw="d.dot")
    assert Path("d.dot").read_text().count("param 0 differs") == 1


@pytest.mark.parametrize(
    ("kind", "count"),
    [("chain", 1000), ("residual", 1000), ("inception", 1000), ("slices", 200), ("readers", 200)],
)
def test_a_thousand_layers_are_drawn_whole(kind: str, count: int, draw: Path) -> None:
    """In seconds; `python -m benchmarks.layers --commands draw` measures."""
    from benchmarks.many_layers import SHAPES

    Path("net.prototxt").write_text(SHAPES[kind](count).text)
    drawing = ns.draw("net.prototxt")
    drawn = read_svg(drawing.svg())
    all_is_there(drawn, NetDefinition.read("net.prototxt"))
    assert drawn.overlaps() == []
    assert drawn.loose_edges() == []
