"""What --json prints, of every command, against the schemas that docs/json.md describes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_tree import every_command
from jsonschema import Draft202012Validator

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.training.evaluation import Evaluation
from netsurgery.training.run_log import LoggedStep, RunLog

FOLDER = Path(__file__).resolve().parent.parent / "docs"

#: Command -> the words behind it; of some, all that a record may hold is in several runs together.
RUNS: dict[str, list[str]] = {
    "check": [
        "NET",
        "NET MODEL --stage s --level 2",
        "other MODEL",
        "wrong",
        "v1",
        "unknown",
        "forked MODEL",
        "NET_full_conv.prototxt",
    ],
    "classify-map": [
        "grey.png nowhere.png --prototxt NET_full_conv.prototxt --engine embedded --top-k 2 "
        "--labels names --weights MODEL_full_conv.caffemodel --background 1",
        "grey.png --prototxt NET_full_conv.prototxt --engine embedded --scales 1,1.1 "
        "--weights MODEL_full_conv.caffemodel --boxes b.json --threshold 0 --labels names --force",
        "grey.png --prototxt NET --weights MODEL --engine embedded --occlusion --patch 16 "
        "--labels names",
    ],
    "convert": [
        "NET MODEL -o out --engine embedded --force --verify",
        "pooled more -o out --dry-run",
        "pooled more -o out --dry-run --before-pooling",
        "NET MODEL -o out --engine embedded --force --draw out.svg",
    ],
    "dense": [
        "NET_full_conv.prototxt --stride 4 --dry-run",
        "NET_full_conv.prototxt --stride 2 -o dense.prototxt --force",
        "NET_full_conv.prototxt --stride 2 -o dense.prototxt --dry-run",
    ],
    "diff": [
        "NET NET",
        "NET other MODEL weights --text",
        "MODEL weights",
        "NET NET_full_conv.prototxt MODEL MODEL_full_conv.caffemodel",
        "NET v1",
        "NET other --draw difference.svg --force",
    ],
    "draw": [
        "NET MODEL --field -o net.svg --force --stage s",
        "repeated --fold -o net.dot --force",
        "unknown -o net.mmd --force",
    ],
    "edit": [
        "NET MODEL conv1[0]*=2 save:conv1[0]=x.npy outputs:conv2:drop=1,3 --dry-run",
        "NET MODEL ip2[0][5]=msra:seed=1 -o edited --force",
        "normalized norms fold -o edited --force --prototxt-out folded",
    ],
    "evaluate": [
        ". --annotations some.json --classes a=10 --background 0 --boxes --threshold -100 "
        "--coco-results results.json --force --size image --labels names --engine embedded "
        "--prototxt NET_full_conv.prototxt --weights MODEL_full_conv.caffemodel",
        ". --annotations masks --classes a=10 --classes b=1 --top-k 2 "
        "--engine embedded "
        "--prototxt NET_full_conv.prototxt --weights MODEL_full_conv.caffemodel",
    ],
    "export": [
        "NET MODEL -o net.onnx --force",
        "NET_full_conv.prototxt MODEL_full_conv.caffemodel -o net.onnx --force",
    ],
    "features": [
        "grey.png nowhere.png --prototxt NET --weights MODEL --blob conv1 --engine embedded "
        "-o f.npz --force"
    ],
    "init": ["NET -o new --force --seed 3", "normalized --missing padding -o new --force"],
    "inspect": [
        "NET",
        "MODEL",
        "NET MODEL --field --stats",
        "NET_full_conv.prototxt --field",
        "other MODEL --stats",
        "v1",
        "unknown --field --stage s",
        "twice",
        "NET padding",
        "NET MODEL --param conv1[0]",
    ],
    "job-merge": ["job --npy merged/ --force"],
    "job-resume": ["job"],
    "job-status": ["job"],
    "cache": ["", "--clear"],
    "presets": [""],
    "setup": ["NET MODEL --image grey.png --class 3 --engine embedded --force"],
    "transplant": [
        "NET MODEL other larger -o moved --force --slice",
        "NET MODEL NET_full_conv.prototxt -o moved --dry-run --map conv1=conv1",
    ],
    "upgrade": ["v1 --dry-run", "NET -o up --force"],
    "verify": [
        "NET MODEL NET MODEL --engine embedded",
        "NET MODEL NET weights --engine embedded --image grey.png --raw-scale 1",
        "NET MODEL NET_full_conv.prototxt MODEL_full_conv.caffemodel --engine embedded",
        "NET_full_conv.prototxt MODEL_full_conv.caffemodel NET MODEL --engine embedded",
        "padded padding padded_full_conv.prototxt padding_full_conv.caffemodel --engine embedded",
        "broken inf broken inf --engine embedded",
        "pooled more cam/pooled_full_conv.prototxt cam/more_full_conv.caffemodel --engine embedded",
        "padded_full_conv.prototxt padding_full_conv.caffemodel --tiles 20 --image grey.png "
        "--engine embedded",
    ],
    "train-plan": [
        "NET MODEL --annotations truth.json --images . -o plan --force --balance --hold-out 0.4 "
        "--skip-broken",
        "NET MODEL --annotations few.json --images . -o plan --force --keep-outputs --labels names "
        "--hold-out 0.5",
    ],
    "train-report": ["reported --curves curves.svg --force"],
    "train-run": ["learnt --threads 1 --force"],
    "caffe-info": [""],
}

#: What only real Caffe does.
NEEDS_CAFFE = {"train-run"}

#: Command -> words of what it does with real Caffe alone, and the keys that only this run fills.
CAFFE_RUNS = {
    "classify-map": (
        "grey.png --prototxt NET --weights MODEL --labels names --class 3,1 --grad-cam conv1",
        {"layer"},
    )
}

NET = """input: "x" input_shape { dim: [1, 1, 8, 8] }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
#: What stands behind a map.
POOLED = """
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }
layer { name: "score" type: "InnerProduct" bottom: "flat" top: "score"
  inner_product_param { num_output: 5 } }
"""
#: A block of two layers, three times.
REPEATED = NET[: NET.index("layer {")] + "".join(
    f'layer {{ name: "c{to}" type: "Convolution" bottom: "{of}" top: "c{to}" '
    "convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }"
    f'layer {{ name: "p{to}" type: "Pooling" bottom: "c{to}" top: "p{to}" '
    "pooling_param { pool: MAX kernel_size: 3 pad: 1 } }\n"
    for of, to in (("x", 1), ("p1", 2), ("p2", 3))
)
V1 = """input: "data" input_dim: [1, 4, 8, 8]
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1
  convolution_param { num_output: 2 kernel_size: 3 } }
"""


#: The words of a command of a group.
NAMES = {
    name: name.split("-")
    for name in (
        "caffe-info",
        "job-merge",
        "job-resume",
        "job-status",
        "train-plan",
        "train-report",
        "train-run",
    )
}


#: Keys without a value in any of the runs: an engine's note needs a Caffe that lacks something, and
#: a grey picture of no digit chooses no preset.
NEVER_SEEN = {
    "setup": {"chosen", "label", "settings"},
    "classify-map": CAFFE_RUNS["classify-map"][1],
    "caffe-info": {"chosen_engine"},
    # These are of workers that are at it.
    **{name: {"workers", "machine", "pid", "bands"} for name in ("job-resume", "job-status")},
    "convert": {"layers_sharing_params"},
    "edit": {"notes"},
    "export": {"notes"},
    "train-run": {"notes"},
    "transplant": {"notes", "params_without_layer"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nets with much to report of, their weights, a picture."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("json")
    root = FOLDER.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        net, model = (
            root / "prototxt/digits_deploy.prototxt",
            root / "models/digits/digits.caffemodel",
        )
        text = net.read_text()
        Path("NET").write_text(text)
        Path("MODEL").write_bytes(model.read_bytes())
        Path("other").write_text(
            text.replace("num_output: 96", "num_output: 97").replace('"conv1"', '"c1"')
            + 'layer { name: "sum" type: "Reduction" bottom: "prob" top: "sum" }'
        )
        Path("wrong").write_text(text.replace("kernel_size", "kernel_sise"))
        Path("unknown").write_text(text.replace("Pooling", "Zigzag"))
        Path("forked").write_text(text.replace("kernel_size: 5", "kernel_size: 5 hole: 1"))
        Path("v1").write_text(V1)
        Path("repeated").write_text(REPEATED)
        Path("names").write_text("".join(f"class {number}\n" for number in range(11)))
        Path("twice").write_text(text.replace('name: "prob"', 'name: "ip2"'))
        norm = 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }\n'
        Path("normalized").write_text(
            NET.replace('layer { name: "fc"', f'{norm}layer {{ name: "fc"')
        )
        assert run(["init", "normalized", "-o", "norms", "-q"]) == 0
        assert run(["init", "other", "-o", "larger", "-q"]) == 0
        Path("more.prototxt").write_text(NET.replace('"fc"', '"aux"') + POOLED)
        Path("pooled").write_text(NET[: NET.index('layer { name: "fc"')] + POOLED)
        assert run(["init", "more.prototxt", "-o", "more", "-q"]) == 0
        before = "convert pooled more -o cam --before-pooling --engine embedded -q"
        assert run(before.split()) == 0
        Path("padded").write_text(NET)
        assert run(["convert", "NET", "MODEL", "--engine", "embedded", "-q"]) == 0
        assert run(["init", str(net), "-o", "weights", "-q"]) == 0
        assert run(["init", "padded", "-o", "padding", "-q"]) == 0
        assert run(["convert", "padded", "padding", "--engine", "embedded", "-q"]) == 0
        Path("broken").write_text(NET.replace('type: "xavier"', 'type: "constant" value: 3e38'))
        assert run(["init", "broken", "-o", "inf", "-q"]) == 0
        Image.linear_gradient("L").resize((60, 30)).save("grey.png")
        Image.new("L", (60, 40)).save("empty.png")
        Image.new("L", (9, 9)).save("tiny.png")
        boxes = [{"class": "a", "box": [1, 2, 9, 10]}]
        truth = {
            "classes": ["a"],
            "pictures": [
                {"file": "grey.png", "boxes": boxes}, {"file": "empty.png"}, {"file": "tiny.png"},
                {"file": "nowhere.png"},
            ],
        }  # fmt: skip
        Path("truth.json").write_text(json.dumps(truth))
        pictures = [{"file": "grey.png", "boxes": boxes}, {"file": "empty.png"}]
        Path("few.json").write_text(json.dumps({"classes": ["a"], "pictures": pictures}))
        plan = "train plan NET MODEL --annotations few.json --images . -o learnt --steps 2"
        assert run([*plan.split(), "--hold-out", "0.5", "--batch", "1", "-q"]) == 0
        shutil.copytree("learnt", "reported")
        with RunLog(Path("reported"), 0) as log:
            log.add(LoggedStep(1, {"loss": 0.25}, 3))
            log.add_evaluation(Evaluation(1, np.array([[3, 1], [0, 2]]), 0.5, {"a.png": 0.5}))
        truth["pictures"] = [
            {"file": "grey.png", "boxes": boxes, "ignored": [[30, 0, 60, 30]]},
            {"file": "tiny.png", "height": 5, "width": 5},
        ]
        Path("some.json").write_text(json.dumps(truth))
        Path("masks").mkdir()
        Image.linear_gradient("L").resize((60, 30)).point(lambda at: at // 128).save(
            "masks/grey.png"
        )
        settings = ns.Settings("NET_full_conv.prototxt", "MODEL_full_conv.caffemodel")
        names = ["grey.png", "nowhere.png"]
        ns.plan_job(names, settings, "job", outputs={"npy": "maps/"}, engine="embedded").resume()
    return folder


def schema(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((FOLDER / "json" / f"{name}.schema.json").read_text())
    return result


def printed(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """The records that a command prints; of classify-map one a line."""
    capsys.readouterr()
    run([*NAMES.get(command, [command]), *words.split(), "--json"])
    out = capsys.readouterr().out
    return list(map(json.loads, out.splitlines() if command == "classify-map" else [out]))


@pytest.mark.parametrize("command", sorted(RUNS))
def test_what_is_printed_is_as_the_schema_says(
    command: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(files)
    if command in NEEDS_CAFFE:
        request.getfixturevalue("caffe_python")
    validator = Draft202012Validator(schema(command))
    seen = set[str]()
    for words in RUNS[command]:
        for record in printed(command, words, capsys):
            validator.validate(record)
            seen.update(filled(record))
    # The runs show what there is to show: no key is null or empty in all of them.
    keys = {key for part in objects(schema(command)) for key in part["properties"]}
    assert keys - seen <= {"note", *NEVER_SEEN.get(command, ())}


@pytest.mark.caffe
@pytest.mark.parametrize("command", CAFFE_RUNS)
def test_what_real_caffe_alone_gives_is_as_the_schema_says(
    command: str,
    files: Path,
    caffe_python: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    words, keys = CAFFE_RUNS[command]
    (record,) = printed(command, words, capsys)
    Draft202012Validator(schema(command)).validate(record)
    assert set(filled(record)) >= keys
    assert "error" not in record


def filled(part: Any) -> Iterator[str]:
    """The keys that have a value, at any depth."""
    if isinstance(part, dict):
        yield from (key for key, value in part.items() if value not in (None, [], {}))
    for value in part.values() if isinstance(part, dict) else part:
        if isinstance(value, (dict, list)):
            yield from filled(value)


def test_every_command_with_json_has_a_schema_and_is_run() -> None:
    commands = {
        name.replace(" ", "-")
        for name, command in every_command().items()
        if any(param.name == "as_json" for param in command.params)
    }
    assert set(RUNS) == commands
    schemas = {path.name.removesuffix(".schema.json") for path in (FOLDER / "json").iterdir()}
    assert schemas == {*RUNS, "error"}


def test_every_schema_has_its_section() -> None:
    """And each section names its schema."""
    text = (FOLDER / "json.md").read_text()
    sections = dict(re.findall(r"^## (\S.*)\n\n((?:.+\n)+)", text, re.MULTILINE))
    names = {title.replace(" ", "-"): body for title, body in sections.items()}
    names["error"] = names.pop("Errors")
    assert set(names) == {*RUNS, "error"}
    for name, body in names.items():
        assert f"json/{name}.schema.json" in body


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an object with properties in a schema."""
    if isinstance(part, dict):
        if "properties" in part and part.get("type") == "object":
            yield part
        for value in part.values():
            yield from objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from objects(value)


@pytest.mark.parametrize("name", sorted(RUNS))
def test_schemas_are_strict(name: str) -> None:
    """A key that no schema has is an error, as is one that is missing and not optional."""
    Draft202012Validator.check_schema(schema(name))
    for part in objects(schema(name)):
        assert part.get("additionalProperties") is False, part
        assert "required" in part or name == "check", part
