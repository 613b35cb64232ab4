"""The table of docs/how-to/finer-maps.md: every way to a map with everything that is made of it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import netsurgery as ns
from netsurgery.cli import run

PAGE = "docs/how-to/finer-maps.md"
POOLED = """input: "data" input_shape { dim: [1, 1, 32, 32] }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 8 stride: 8
    weight_filler { type: "gaussian" std: 1 } } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "p" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } } }
"""
EXPLAINED = ("`--occlusion`", "`--grad-cam`")
#: A heading of a column, and the options that it stands for, beside the net.
WAYS = [
    ("a map of windows", "--engine embedded"),
    ("`--stride`", "--stride 4 --engine embedded"),
    ("`--scales`", "--scales 0.8,1 --engine embedded"),
    ("an activation map", "--engine embedded"),
    (EXPLAINED[0], "--occlusion --engine embedded"),
    pytest.param(EXPLAINED[1], "--grad-cam last --engine caffe", marks=pytest.mark.caffe),
]
#: What a heading of a row stands for.
MADE = {
    "text, `--json`": "--json",
    "`--picture`": "--picture o.png",
    "`--html`": "--html o.html",
    "`--npy`": "--npy o.npy",
    "`--upsample pixels`": "--npy o.npy --upsample pixels",
    "`--geotiff`": "--geotiff o.tif",
    "`--npz`": "--npz o.npz",
    "`--zarr`": "--zarr o.zarr",
    "`--parquet`": "--parquet o.parquet",
    "`--boxes`": "--boxes o.json --threshold 0.5",
    "`--job`": "--npy o.npy --job work",
    "`--no-resume`": "--npy o.npy --no-resume",
}


def table(repo_root: Path) -> dict[str, dict[str, str]]:
    """Way -> what is made -> what the page says of both."""
    text = (repo_root / PAGE).read_text()
    part = text[text.index("## What goes with what") :]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    end = next(at for at, row in enumerate(rows) if at and row[0] == "the layer")
    head, rows = rows[0], rows[2:end]
    return {way: {row[0]: row[at] for row in rows} for at, way in enumerate(head) if way}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def options(row: str) -> list[str]:
    """The options that a row is about."""
    return shlex.split(MADE.get(row, row.strip("`")))


def words_of(way: str, more: str, repo_root: Path) -> list[str]:
    """The command that makes a map in that way."""
    prototxt = str(repo_root / "prototxt/digits_deploy.prototxt")
    weights = str(repo_root / "models/digits/digits.caffemodel")
    words = ["classify-map", str(repo_root / "examples/digits_canvas.png"), "-q"]
    if way == "an activation map":
        Path("net.prototxt").write_text(POOLED)
        ns.init("net.prototxt", "w.caffemodel", seed=1)
        prototxt, weights = "net.prototxt", "w.caffemodel"
    if way not in EXPLAINED:
        paths = ns.convert(
            prototxt, weights, "net", before_pooling=way == "an activation map", engine="embedded"
        ).paths
        prototxt, weights = str(paths.prototxt), str(paths.weights)
        words += ["--size", "64x96"]
    return [*words, "--prototxt", prototxt, "--weights", weights, *shlex.split(more)]


@pytest.mark.parametrize(("way", "more"), WAYS)
def test_the_page_says_what_goes_with_what(
    way: str, more: str, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it says goes is made, all at once where it can be; the rest is one line and no file."""
    words, said = words_of(way, more, repo_root), table(repo_root)[way]
    assert set(said.values()) <= {"yes", "no", "-"}
    before = {path.name for path in Path().iterdir()}
    for row in (row for row, says in said.items() if says == "no"):
        # With -q something has to be asked for.
        asked = [] if "o." in MADE.get(row, "") else ["--json"]
        assert run([*words, *options(row), *asked]) != 0, row
        assert capsys.readouterr().err.count("\n") == 1, row
        assert {path.name for path in Path().iterdir()} == before, row
    alone = {"`--job`", "`--no-resume`"}
    goes = [row for row, says in said.items() if says == "yes"]
    together = [word for row in goes if row not in alone for word in options(row)]
    assert run([*words, *together]) == 0, capsys.readouterr().err
    files = {word for word in together if word.startswith("o.")}
    assert len(files) >= 3
    assert files == {path.name for path in Path().iterdir() if path.name.startswith("o.")}
    for row in sorted(alone.intersection(goes)):
        assert run([*words, *options(row), "--force"]) == 0, capsys.readouterr().err
