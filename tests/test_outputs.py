"""The registry of what classify-map and features write."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from netsurgery.cli import cli
from netsurgery.cli.failure import report
from netsurgery.errors import NetError, NetsurgeryError, OutputError
from netsurgery.io.targets import WrongOutput
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.features import Features
from netsurgery.maps.image import Picture
from netsurgery.maps.transformer import place
from netsurgery.verbs import outputs
from netsurgery.verbs.classify_map_result import MapResult
from netsurgery.verbs.features_result import FeatureResult, ImageFeatures
from netsurgery.verbs.outputs import COLLECTIONS, OUTPUTS, MapView, Output
from netsurgery.verbs.outputs.blob_files import BlobFiles
from netsurgery.verbs.outputs.files import MapFiles

#: On Python 3.10 there is no library for Zarr.
FILES = [each for each in OUTPUTS.values() if each.suffix and each.of_map and each.is_available]
OF_BLOBS = [output for output in OUTPUTS.values() if output.suffix and output.of_features]
MODULES = {path.stem for path in Path(outputs.__file__).parent.glob("*.py")}


PLACED = place((8, 8), (8, 8))


def small_map() -> ClassMap:
    geometry = Geometry((4.0, 4.0), (4.0, 4.0), PLACED)
    picture = Picture("cat.png", np.zeros((8, 8, 3), np.uint8))
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    return ClassMap(picture, values, "fc", False, "data", geometry, boxes=())


def test_every_module_is_registered() -> None:
    makers: list[Any] = [output.of_map for output in OUTPUTS.values()]
    makers += [collection.open for collection in COLLECTIONS.values()]
    homes = {maker.__module__.rsplit(".", 1)[-1] for maker in makers}
    assert homes == MODULES - {"__init__", "record", "files", "blob_files"}
    assert all(output.suffix for output in OUTPUTS.values() if output.signs)
    readable = {"window", *(each.name for each in fields(MapView))}
    assert readable.issuperset(name for output in OUTPUTS.values() for name in output.reads)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_makes_bytes_of_a_map(name: str) -> None:
    make = OUTPUTS[name].of_map
    assert make is not None
    assert make(small_map(), MapView())
    assert make(small_map(), MapView("1", top_k=2, pretty=True, summary=True))


def test_records_have_the_members_that_their_schemas_name(repo_root: Path) -> None:
    schemas = {
        name: json.loads((repo_root / f"docs/json/{name}.schema.json").read_text())["$defs"]
        for name in ("classify-map", "features")
    }
    record = small_map().to_json()
    assert list(record) == schemas["classify-map"]["map"]["required"]
    blob = Features("cat.png", "fc", np.ones((2, 3, 3), np.float32), None, None, PLACED)
    image = FeatureResult("cat.png", "cat", ImageFeatures("cat.png", [blob])).to_json()
    assert list(image) == schemas["features"]["image"]["required"]
    assert list(image["blobs"][0]) == schemas["features"]["blob"]["required"]
    error = NetError("cat.png: too large")
    assert list(MapResult("cat.png", error=error).to_json()) == ["image", "error"]
    failed = FeatureResult("cat.png", "cat", error=error).to_json()
    assert list(failed) == schemas["features"]["failure"]["required"]


@pytest.mark.parametrize("output", FILES, ids=lambda output: output.name)
def test_an_output_that_is_a_file_is_an_option(output: outputs.Output) -> None:
    assert output.help
    text = CliRunner().invoke(cli, ["classify-map", "--help"]).output
    assert f"--{output.name} {'FOLDER' if output.signs else 'FILE'}{output.suffix}" in text


@pytest.mark.parametrize("output", OF_BLOBS, ids=lambda output: output.name)
def test_an_output_of_blobs_is_an_option_of_features(
    output: outputs.Output, tmp_path: Path
) -> None:
    text = CliRunner().invoke(cli, ["features", "--help"]).output
    assert f"--{output.name} FILE{output.suffix}" in text
    files = BlobFiles([], force=False)
    files.name({output.name: str(tmp_path / "out")}, ["cat"], ["conv/a", "fc"])
    blob_features = Features("cat.png", "fc", np.ones((2, 3, 3), np.float32), None, None, PLACED)
    files.content.update(files.contents("cat", {"fc": blob_features}))
    files.write()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"cat_fc{output.suffix}"]


@pytest.fixture
def new_output(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], click.Command]:
    """Registers one more output, and gives commands whose modules have been run since."""
    svg = Output(
        "svg",
        ".svg",
        "Draw.",
        of_map=lambda class_map, view: b"",
        of_features=lambda features, view, suffix: b"",
        reads=("class_", "top_k", "window"),
    )
    monkeypatch.setitem(OUTPUTS, "svg", svg)

    def command_of(name: str) -> click.Command:
        spec = importlib.util.find_spec(f"netsurgery.cli.{name}")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # where its dataclasses look
        spec.loader.exec_module(module)
        fresh: click.Command = module.command
        return fresh

    return command_of


@pytest.mark.parametrize(
    ("option", "outputs"),
    [
        (
            "--force",
            "--npy, --npz, --zarr, --geotiff, --picture, --html, --parquet, --boxes or --svg",
        ),
        (
            "--no-resume",
            "--npy, --npz, --zarr, --geotiff, --picture, --html, --parquet, --boxes or --svg",
        ),
        ("--class 1", "--geotiff, --picture, --html or --svg"),
        ("--top-k 3", "--json, --npz, --parquet or --svg"),
        (
            "--window 5",
            "--json, --npz, --zarr, --geotiff, --picture, --html, --parquet, --boxes or --svg",
        ),
    ],
)
def test_a_new_output_is_known_to_the_options_that_need_one(
    option: str, outputs: str, new_output: Callable[[str], click.Command]
) -> None:
    classify = new_output("classify_map")
    name = option.split()[0]
    refused = CliRunner().invoke(classify, ["x.png", *option.split()])
    assert f"Error: {name} does nothing without {outputs}\n" in refused.output
    written = CliRunner().invoke(classify, ["x.png", "--svg", "x.svg", *option.split()])
    assert isinstance(written.exception, NetsurgeryError)
    assert "does nothing" not in written.output


def test_a_new_output_is_known_to_features(new_output: Callable[[str], click.Command]) -> None:
    features_command = new_output("features")
    refused = CliRunner().invoke(features_command, ["x.png", "--blob", "b"])
    assert "Error: give --output, --picture or --svg\n" in refused.output
    written = CliRunner().invoke(features_command, ["x.png", "--blob", "b", "--svg", "x.svg"])
    assert isinstance(written.exception, NetsurgeryError)


@pytest.mark.parametrize("option", ["--npy", "--picture", "--svg"])
def test_no_record_follows_an_output_on_standard_output(
    option: str, new_output: object, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("-", "x"):
        report(NetError("x"), ["classify-map", "x.png", "--json", option, file])
        assert (capsys.readouterr().out == "") == (file == "-")


@pytest.mark.parametrize("output", FILES, ids=lambda output: output.name)
def test_where_it_goes(
    output: outputs.Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind, suffix = output.name, output.suffix

    def plan(images: list[str], name: str) -> list[str]:
        return MapFiles.plan(images, {kind: name}).paths[kind]

    assert plan(["cat.jpg"], f"m{suffix}") == [f"m{suffix}"]
    with pytest.raises(WrongOutput, match=f"expected a name ending in {suffix}"):
        plan(["cat.jpg"], "m.txt")
    with pytest.raises(WrongOutput, match="there are no images, expected one or more"):
        plan([], f"m{suffix}")
    if output.is_one_file:
        assert plan(["cat.jpg", "dog.jpg"], f"m{suffix}") == [f"m{suffix}"]
        if output.join:
            assert plan(["cat.jpg", "dog.jpg"], "-") == ["-"]
        else:
            with pytest.raises(WrongOutput, match=r" -: a table is written in pieces; name a file"):
                plan(["cat.jpg"], "-")
        Path("folder").mkdir()
        for name in ("folder", "new/"):
            with pytest.raises(WrongOutput, match="is a folder; expected a file"):
                plan(["cat.jpg", "dog.jpg"], name)
    else:
        assert plan(["cat.jpg", "dog.jpg"], "out") == [f"out/cat{suffix}", f"out/dog{suffix}"]
        with pytest.raises(WrongOutput, match="several images need a folder"):
            plan(["cat.jpg", "dog.jpg"], f"m{suffix}")
    Path(f"m{suffix}").touch()
    with pytest.raises(OutputError, match="exists already"):
        plan(["cat.jpg"], f"m{suffix}")
    if not output.is_one_file:  # a file in the folder's place is found before any work
        for folder in (f"m{suffix}/", f"m{suffix}/new/"):
            with pytest.raises(OutputError) as caught:
                plan(["cat.jpg"], folder)
            assert str(caught.value) == f"m{suffix}: is a file; {kind} {folder} needs a folder"
            with pytest.raises(OutputError, match=f"^m{suffix}: is a file; several images need"):
                plan(["cat.jpg", "dog.jpg"], folder)
