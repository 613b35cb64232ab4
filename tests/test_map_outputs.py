"""Maps as Zarr, GeoTIFF and .npz, read back by other libraries, and maps that lie in a file."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.ort import EmbeddedNet
from netsurgery.errors import OutputError
from netsurgery.io import locked_folder
from netsurgery.io.files import Outputs
from netsurgery.io.locked_folder import machine_mark
from netsurgery.maps import row_blocks as row_blocks_module
from netsurgery.maps.box_rules import BoxRules
from netsurgery.maps.boxes import map_boxes, with_boxes
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap, HoldsNaN
from netsurgery.maps.color_scale import finite_range
from netsurgery.maps.image import Picture
from netsurgery.maps.row_blocks import row_blocks
from netsurgery.maps.transformer import place
from netsurgery.verbs.outputs import OUTPUTS, FolderContent, MapView, record, zarr_store
from netsurgery.verbs.outputs.files import MapFiles, put

AVAILABLE = [name for name, output in OUTPUTS.items() if output.is_available]
with_zarr = pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr 3 wants Python 3.11")

CLASSIFY = "classify-map canvas.png --engine embedded -q --labels labels.txt"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo_root: Path) -> Path:
    """With the converted demo net and its picture."""
    monkeypatch.chdir(tmp_path)
    net = repo_root / "prototxt/digits_deploy.prototxt"
    model = repo_root / "models/digits/digits.caffemodel"
    ns.convert(net, model, ".", input_size=(192, 288), engine=ns.EngineOptions("embedded"))
    Path("canvas.png").write_bytes((repo_root / "examples/digits_canvas.png").read_bytes())
    labels = repo_root / "models/digits/digits_labels.txt"
    Path("labels.txt").write_bytes(labels.read_bytes())
    return tmp_path


@pytest.fixture
def digits(repo_root: Path) -> list[dict[str, Any]]:
    truth = json.loads((repo_root / "examples/digits_canvas.json").read_text())
    placed: list[dict[str, Any]] = truth["digits"]
    return placed


def opened(path: Path | str) -> Any:
    """A Zarr store."""
    import zarr

    return zarr.open_group(str(path), mode="r")


def write_geotiff(name: str, transform: Affine, crs: str | None) -> None:
    """The canvas as a GeoTIFF."""
    with Image.open("canvas.png") as image:
        pixels = np.asarray(image.convert("L"))
    height, width = pixels.shape
    with rasterio.open(
        name, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8",
        transform=transform, crs=crs,
    ) as file:  # fmt: skip
        file.write(pixels, 1)


def at(file: Any, x: float, y: float) -> int:
    """The class that the raster has at a place."""
    row, column = file.index(x, y)
    return int(file.read(1)[row, column])


@pytest.mark.parametrize("size", ["net", "384x576", "96x144"])
def test_digits_lie_where_they_are_in_the_picture(
    size: str, folder: Path, digits: list[dict[str, Any]]
) -> None:
    more = [] if size == "net" else ["--size", size]
    assert run([*CLASSIFY.split(), *more, "--geotiff", "m.tif", "--npy", "m.npy"]) == 0
    values = np.load("m.npy")
    with rasterio.open("m.tif") as file:
        assert file.crs is None
        assert (file.count, *file.shape) == (2, *values.shape[1:])
        assert np.array_equal(file.read(1), values.argmax(axis=0))
        assert np.array_equal(file.read(2), values.max(axis=0))
        assert file.descriptions == ("likeliest class", "its probability")
        assert file.tags(1)["class_10"] == "background"
        for digit in digits if size == "net" else []:  # else they are not of the net's size
            x0, y0, x1, y1 = digit["box"]
            assert at(file, (x0 + x1) / 2, (y0 + y1) / 2) == digit["digit"]
    # A pixel is a cell's share of the picture, about the center of its window.
    class_map = ns.classify_map(
        "canvas.png", "netsurgery.toml", engine="embedded",
        size="net" if size == "net" else tuple(map(int, size.split("x"))),
    )  # fmt: skip
    windows = class_map.windows()
    assert windows is not None
    with rasterio.open("m.tif") as file:
        for row, column in ((0, 0), (2, 5), (file.height - 1, file.width - 1)):
            x0, y0, x1, y1 = windows[row, column]
            assert file.xy(row, column) == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2))


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.5, 0, 430_000, 0, -0.5, 5_400_000),
        Affine(0.3, 0.1, 430_000, 0.1, -0.3, 5_400_000),
    ],
    ids=["north up", "turned"],
)
def test_a_geotiff_lends_its_coordinates(
    transform: Affine, folder: Path, digits: list[dict[str, Any]]
) -> None:
    write_geotiff("place.tif", transform, "EPSG:32632")
    assert run("classify-map place.tif --engine embedded -q --geotiff m.tif".split()) == 0
    with rasterio.open("m.tif") as file:
        assert file.crs.to_epsg() == 32632
        for digit in digits:
            x0, y0, x1, y1 = digit["box"]
            assert at(file, *(transform @ ((x0 + x1) / 2, (y0 + y1) / 2))) == digit["digit"]


def test_a_geotiff_that_is_turned_upright_has_other_places(folder: Path) -> None:
    write_geotiff("place.tif", Affine(0.5, 0, 430_000, 0, -0.5, 5_400_000), "EPSG:32632")
    with Image.open("place.tif") as image:
        image.load()  # which turns it upright, if it is not
        tags = image.tag_v2
        tags[274] = 3  # its orientation: upside down
        image.save("turned.tif", tiffinfo=tags)
    with rasterio.open("turned.tif") as turned:
        assert turned.crs is not None
    assert run("classify-map turned.tif --engine embedded -q --geotiff m.tif".split()) == 0
    with rasterio.open("m.tif") as written:
        assert written.crs is None
        assert written.transform[:2] == (8, 0)


def test_a_geotiff_of_a_picture_whose_name_is_not_utf8(folder: Path) -> None:
    """Its coordinates are found, and its name is in the file by escapes."""
    transform = Affine(0.5, 0, 430_000, 0, -0.5, 5_400_000)
    write_geotiff("place.tif", transform, "EPSG:32632")
    os.rename("place.tif", "\udce9.tif")
    assert run(["classify-map", "\udce9.tif", *"--engine embedded -q --geotiff m.tif".split()]) == 0
    with rasterio.open("m.tif") as file:
        assert file.crs.to_epsg() == 32632
        assert file.tags()["image"] == "\\udce9.tif"


def test_blocks_of_a_geotiff_are_of_all_its_bands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many classes are named, what is in memory at once is as large."""
    sizes: list[int] = []
    stack = np.stack

    def stacked(arrays: Any) -> Any:
        result = stack(arrays)
        sizes.append(result.size)
        return result

    limit = 33 * 12 * 2  # two rows of the map, twelve bands
    monkeypatch.setattr(row_blocks_module, "_BLOCK", limit)
    monkeypatch.setattr("numpy.stack", stacked)
    named = ",".join(map(str, range(10)))
    assert run([*CLASSIFY.split(), "--geotiff", "m.tif", "--class", named]) == 0
    assert sum(sizes) == 12 * 21 * 33
    assert max(sizes) == limit


def test_an_array_that_is_called_like_a_geotiff_is_none(folder: Path) -> None:
    """Another picture's coordinates are not this one's."""
    write_geotiff("place.tif", Affine(0.5, 0, 430_000, 0, -0.5, 5_400_000), "EPSG:32632")
    picture = Picture("place.tif", np.zeros((96, 96, 1), np.uint8))
    maps = ns.classify_maps([picture], "netsurgery.toml", size="image", engine="embedded")
    (result,) = maps.to_files({"geotiff": "m.tif"})
    assert result.error is None
    with rasterio.open("m.tif") as file:
        assert file.crs is None


@pytest.mark.parametrize(
    ("named", "numbers"), [("7", [7]), ("3,background", [3, 10]), ("max", []), ("each", None)]
)
def test_a_band_for_each_class(named: str, numbers: list[int] | None, folder: Path) -> None:
    line = [*CLASSIFY.split(), "--geotiff", "m.tif", "--npy", "m.npy", "--class", named]
    assert run(line) == 0
    values = np.load("m.npy")
    if numbers is None:
        class_map = ns.classify_map("canvas.png", "netsurgery.toml", engine="embedded")
        numbers = [row.number for row in class_map.foreground()]
        assert len(numbers) > 5
    with rasterio.open("m.tif") as file:
        assert np.array_equal(file.read()[2:], values[numbers])
        assert file.descriptions[2:] == tuple(
            f"probability of class {number}" + (": background" if number == 10 else "")
            for number in numbers
        )


def test_no_data_where_a_cell_is_not_on_the_picture(folder: Path) -> None:
    Image.new("L", (200, 60), 255).save("canvas.png")
    line = [*CLASSIFY.split(), "--size", "200x200", "--fit", "pad", "--geotiff", "m.tif"]
    assert run(line) == 0
    with rasterio.open("m.tif") as file:
        assert np.isnan(file.nodata)
        empty = np.isnan(file.read(1))
        centers = np.array([file.xy(row, 0)[1] for row in range(file.height)])
    assert np.array_equal(empty.all(axis=1), (centers < 0) | (centers >= 60))
    assert np.array_equal(empty.any(axis=1), empty.all(axis=1))
    assert 0 < empty.sum() < empty.size


@with_zarr
def test_zarr(folder: Path) -> None:
    assert run([*CLASSIFY.split(), "--zarr", "m.zarr", "--npy", "m.npy"]) == 0
    group = opened("m.zarr")
    values = group["values"]
    assert np.array_equal(values[:], np.load("m.npy"))
    assert values.chunks[0] == 11
    assert values.metadata.dimension_names == ("class", "y", "x")
    class_map = ns.classify_map("canvas.png", "netsurgery.toml", engine="embedded")
    windows = class_map.windows()
    assert windows is not None
    for name, low, high, cells in (
        ("y", 1, 3, windows[:, 0]),
        ("x", 0, 2, windows[0]),
    ):
        centers = group[name]
        assert np.allclose(centers[:], (cells[:, low] + cells[:, high]) / 2)
        assert centers.metadata.dimension_names == (name,)
    attributes = dict(group.attrs)
    assert attributes["labels"] == [*map(str, range(10)), "background"]
    assert attributes["window_size"] == [32, 32]
    assert attributes["window_stride"] == [8, 8]
    assert attributes["window_start"] == [0, 0]
    assert attributes["image"] == "canvas.png"
    assert attributes["image_size"] == [192, 288]
    assert attributes["blob"] == class_map.blob == "prob"
    assert attributes["is_probability"] is True
    assert attributes["background"] == 10
    assert attributes["engine"] == class_map.engine
    assert group.metadata.zarr_format == 3
    kinds = {name: str(group[name].dtype) for name in group}
    assert kinds == {"values": "float32", "y": "float64", "x": "float64"}


@with_zarr
def test_zarr_chunks_hold_whole_cells(tmp_path: Path) -> None:
    shape = (300, 150, 70)
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    content = record_of("zarr", map_of(values))
    content.write(str(tmp_path / "m.zarr"))
    array = opened(tmp_path / "m.zarr")["values"]
    assert array.chunks == (300, 59, 59)
    assert np.array_equal(array[:], values)


@with_zarr
def test_zarr_replaces_its_own_kind_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*CLASSIFY.split(), "--zarr", "m.zarr"]
    assert run(line) == 0
    (Path("m.zarr") / "stale").touch()
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedNet, "forward", None)  # it is said before any work
        assert run(line) == 1
    assert capsys.readouterr().err == "error: m.zarr: exists already; --force replaces it\n"
    assert run([*line, "--force"]) == 0
    assert not (Path("m.zarr") / "stale").exists()
    Path("mine.zarr").mkdir()
    (Path("mine.zarr") / "thesis.tex").touch()
    assert run([*CLASSIFY.split(), "--zarr", "mine.zarr", "--force"]) == 1
    assert (Path("mine.zarr") / "thesis.tex").exists()
    capsys.readouterr()
    assert run([*CLASSIFY.split(), "--zarr", "missing/m.zarr"]) == 1
    assert "m.zarr: there is no folder missing; make it first" in capsys.readouterr().err
    assert run([*CLASSIFY.split(), "--zarr", "-"]) == 2
    assert not [path for path in folder.iterdir() if path.name.endswith("netsurgery-tmp")]


@with_zarr
def test_zarr_replaces_no_folder_with_an_input(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("m.zarr/group").mkdir(parents=True)
    Path("m.zarr/zarr.json").touch()
    name = "m.zarr/group/canvas.png"
    Path(name).write_bytes(Path("canvas.png").read_bytes())
    line = CLASSIFY.replace("canvas.png", name)
    assert run([*line.split(), "--zarr", "./m.zarr", "--force"]) == 1
    assert capsys.readouterr().err == (
        f"error: ./m.zarr: holds an input ({name}); give the output another name\n"
    )
    assert Path(name).exists()


@with_zarr
def test_a_full_disk_costs_no_tiles(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does a process that was killed while it wrote: what it has left goes."""
    line = [*CLASSIFY.split(), "--tile", "96", "--zarr", "m.zarr"]

    def full(path: str, class_map: ClassMap) -> None:
        (Path(path) / "part").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zarr_store, "_write", full)
        assert run(line) == 1
    assert capsys.readouterr().err == "error: m.zarr: No space left on device\n"
    of_run = {".m.zarr.netsurgery-journal", ".m.zarr.netsurgery-tiles"}
    assert {path.name for path in folder.iterdir() if "netsurgery-" in path.name} == of_run
    (folder / f".m.zarr.{machine_mark()}.0123456789ab.netsurgery-tmp").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedNet, "forward", None)
        patch.setattr(locked_folder, "_cleared", {})  # as of a process that begins
        assert run(line) == 0
    assert not [path for path in folder.iterdir() if "netsurgery-" in path.name]
    assert opened("m.zarr")["values"].shape == (11, 21, 33)


@with_zarr
def test_zarr_of_several_pictures(folder: Path) -> None:
    Path("other.png").write_bytes(Path("canvas.png").read_bytes())
    assert run([*CLASSIFY.split(), "other.png", "--zarr", "maps"]) == 0
    assert sorted(path.name for path in Path("maps").iterdir()) == ["canvas.zarr", "other.zarr"]


@pytest.mark.parametrize(("more", "kind"), [([], "float16"), (["--blob", "ip2-conv"], "float32")])
def test_npz(more: list[str], kind: str, folder: Path) -> None:
    """Scores that are no probabilities may be larger than float16 has them."""
    assert (
        run([*CLASSIFY.split()[:-2], *more, "--npz", "m.npz", "--npy", "m.npy", "--top-k", "3"])
        == 0
    )
    values = np.load("m.npy")
    order = np.argsort(-values, axis=0, kind="stable")[:3]
    with np.load("m.npz") as file:
        assert file["classes"].dtype == np.uint16
        assert np.array_equal(file["classes"], order)
        scores = np.take_along_axis(values, order, axis=0)
        assert file["scores"].dtype == np.dtype(kind)
        assert np.array_equal(file["scores"], scores.astype(kind))
        assert file["window_stride"].tolist() == [8, 8]


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("zarr", "zarr", "zarr"),
        ("geotiff", "rasterio", "geo"),
        ("parquet", "pyarrow", "parquet"),
    ],
)
def test_a_library_that_is_not_there(
    name: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before any work."""
    monkeypatch.setattr(record, "find_spec", lambda module: None)
    with pytest.raises(OutputError) as caught:
        MapFiles.plan(["x.png"], {name: f"m.{name}"})
    assert str(caught.value) == (
        f"{name} needs the library {library}, which is not installed: "
        f"pip install 'netsurgery[{extra}]'"
    )


def map_of(values: NDArray[np.float32], *, is_probability: bool = True) -> ClassMap:
    """A map whose cells lie 8 pixels apart on a picture of 160 x 160."""
    size = (160, 160)
    geometry = Geometry((8.0, 8.0), (32.0, 32.0), place(size, size))
    picture = Picture("p.png", np.zeros((*size, 3), np.uint8))
    return ClassMap(picture, values, "prob", is_probability, "data", geometry)


def record_of(name: str, class_map: ClassMap, view: MapView | None = None) -> Any:
    if name == "boxes":
        class_map = with_boxes(class_map, map_boxes(class_map, BoxRules(0.95)))
    make = OUTPUTS[name].of_map
    assert make is not None
    return make(class_map, view or MapView())


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few rows each."""
    monkeypatch.setattr(row_blocks_module, "_BLOCK", 700)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("view", [MapView(), MapView("3", top_k=4), MapView("each", top_k=99)])
@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("is_probability", [True, False])
def test_a_map_in_a_file_gives_the_same(
    name: str, view: MapView, is_probability: bool, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 40, (12, 20, 17)).astype(np.float32) / 40
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    contents = []
    for number, array in enumerate((values, mapped)):
        content = record_of(name, map_of(array, is_probability=is_probability), view)
        path = tmp_path / f"{number}"
        if isinstance(content, FolderContent):
            path.mkdir()
            content.write(str(path))
        else:
            with Outputs([path]) as outputs:
                put(content, outputs[path])
        contents.append(
            {
                str(file.relative_to(path)): file.read_bytes()
                for file in [path, *path.rglob("*")]
                if file.is_file()
            }
        )
    assert contents[0]
    assert contents[0] == contents[1]


@pytest.mark.usefixtures("small_blocks")
def test_blocks_give_what_the_whole_gives() -> None:
    values: NDArray[np.float32] = np.random.default_rng(0).random((12, 20, 17), np.float32)
    values = np.rint(values * 40)  # many are equal
    assert len(list(row_blocks(values.shape))) == 7
    class_map = map_of(values)
    assert np.array_equal(class_map.argmax(), values.argmax(axis=0))
    order = np.argsort(-values, axis=0, kind="stable")
    for count in (1, 2, 12, 15):
        assert np.array_equal(class_map.top(count), order[:count])
    values[3, 7, 2] = np.nan
    with pytest.raises(HoldsNaN, match="NaN in 1 of 340 cells"):
        map_of(values)
    values[3, 7, 2], values[5, 19, 16], values[2, 0, 0] = -np.inf, 70, -3
    assert finite_range(values) == (-3, 70)


#: Peak of anonymous memory, in MiB, that outputs of a mapped map take beside what a small one's do.
MEASURE = """
import sys, threading, time
import numpy as np
from test_map_outputs import map_of, record_of
from netsurgery.io.files import Outputs
from netsurgery.verbs.outputs.files import put
from netsurgery.verbs.outputs import FolderContent, MapView
from pathlib import Path

def anonymous():
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024

def write(values):
    content = record_of(sys.argv[1], map_of(values), MapView("3", top_k=2, summary=True))
    if isinstance(content, FolderContent):
        content.write(f"{len(values)}.zarr")
    else:
        with Outputs(["out"], force=True) as outputs:
            put(content, outputs["out"])

peak, done = 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)

write(np.zeros((5, 20, 20), np.float32))
before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
write(np.load("large.npy", mmap_mode="r"))
done = True
watcher.join()
print(peak - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a map of 1000 x 176 x 176 values, 118 MiB."""
    folder = tmp_path_factory.mktemp("large")
    values = np.lib.format.open_memmap(
        folder / "large.npy", "w+", np.dtype(np.float32), (1000, 176, 176)
    )
    random = np.random.default_rng(0)
    for plane in values:
        plane[:] = random.random(plane.shape, np.float32)
    values.flush()
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory is anonymous")
@pytest.mark.parametrize("name", AVAILABLE)
def test_a_map_in_a_file_is_not_read_whole(name: str, large: Path) -> None:
    """118 MiB of it. HTML takes what it claims, 1000 bytes a cell, and 18 for each of its text;
    Parquet 200 bytes for each of two rows a cell.
    """
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, name],
        cwd=large, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    assert float(measured.stdout) < {"html": 78, "parquet": 32}.get(name, 40)
