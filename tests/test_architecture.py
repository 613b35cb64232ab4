"""The borders inside the package, read from its source."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import netsurgery as ns
from netsurgery.net import types
from netsurgery.verbs import outputs

PACKAGE = Path(__file__).resolve().parent.parent / "netsurgery"

#: Public name -> its module.
MODULE_OF = {name: f"netsurgery.{module}" for name, module in vars(ns)["_MODULE_OF"].items()}

#: A package may import itself and those before it; the modules beside them stand for themselves.
LEVELS = [
    ["errors", "__version__"],
    ["io"],
    ["formats", "drawing"],
    ["net"],
    ["surgery", "export"],
    ["engines"],
    ["maps"],
    ["training"],
    ["diagram"],
    ["open_net"],
    ["verbs"],
    ["cli"],
    ["__main__"],
]

#: Libraries that only these files may import.
ONLY = {
    "caffe": {"engines/caffe_worker.py", "engines/caffe_probe.py"},
    "onnxruntime": {"engines/ort"},
    "click": {"cli/"},
    "PIL": {"maps/", "drawing/"},
    "pyvips": {"maps/vips_rows.py"},
    "rasterio": {"maps/geo_rows.py", "verbs/outputs/geotiff.py"},
    "graphlay": {"diagram/layout.py"},
    "isal": {"drawing/picture_file.py"},
    "platformdirs": {"io/user_folders.py"},
    "fcntl": {"io/locks.py", "engines/caffe_worker.py"},  # Windows has none
    "google": {"formats/schema/descriptors.py"},
    "ray": {"verbs/jobs/on_ray.py"},
    "fsspec": {"io/url_files.py"},
    "h5py": {"formats/hdf5", "verbs/outputs/hdf5.py"},
    "pyarrow": {"verbs/outputs/parquet.py"},
    "zarr": {"verbs/outputs/zarr_store.py"},
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def rank(package: str) -> int:
    return next(i for i, level in enumerate(LEVELS) if package in level)


@cache
def imports(path: Path) -> tuple[tuple[str, int], ...]:
    """What a module imports, and in which line."""
    imported: list[tuple[str, int]] = []
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Import):
            imported += ((alias.name, item.lineno) for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{path}:{item.lineno}: a relative import"
            imported.append((item.module or "", item.lineno))
            if item.module == "netsurgery":
                imported += ((f"netsurgery.{alias.name}", item.lineno) for alias in item.names)
    return tuple(imported)


def upward_imports(path: Path) -> Iterator[str]:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name, line in imports(path):
        pieces = name.split(".")
        if pieces[0] == "netsurgery" and len(pieces) > 1:
            target = pieces[1]
            if rank(target) > rank(own) or (rank(target) == rank(own) and target != own):
                yield f"{path}:{line}: {own} imports {target}"


def test_imports_go_one_way() -> None:
    inside = [path for path in MODULES if path != PACKAGE / "__init__.py"]
    upward = [each for path in inside for each in upward_imports(path)]
    assert not upward, "\n".join(upward)


def test_cells_are_placed_by_net_alone() -> None:
    """Strides and offsets are worked out in net/; other packages ask net.field."""
    importers: dict[str, set[str]] = {}
    for path in MODULES:
        for name, _ in imports(path):
            importers.setdefault(name, set()).add(path.relative_to(PACKAGE).parts[0])
    assert importers["netsurgery.net.geometry"] == {"net"}
    assert importers["netsurgery.net.windows"].isdisjoint({"maps", "open_net", "verbs", "cli"})


def test_what_runs_nets_changes_none() -> None:
    """Engines and maps take a net as it is read; surgeries are the commands' business."""
    for package in ("engines", "maps"):
        for path in (PACKAGE / package).glob("*.py"):
            imported = [name for name, _ in imports(path) if name.startswith("netsurgery.surgery")]
            assert not imported, f"{path} imports {imported}"


def is_for_commands(module: str, name: str) -> bool:
    """Whether a command may import this name of a module of verbs/.

    It may if the name is public, a type or a table of a result's module, one of the registry of
    outputs, or the type of an argument of the module's public verb.
    """
    imported = importlib.import_module(module)
    value, public_name = getattr(imported, name), MODULE_OF.get(name) == module
    if public_name or module.endswith("_result"):
        return public_name or not inspect.isfunction(value)
    if imported is outputs:
        return name in outputs.__all__
    verbs = [getattr(imported, verb) for verb, home in MODULE_OF.items() if home == module]
    annotations = (
        parameter.annotation
        for verb in filter(inspect.isfunction, verbs)
        for parameter in inspect.signature(verb).parameters.values()
    )
    return any(re.search(rf"\b{name}\b", annotation) for annotation in annotations)


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda p: p.stem)
def test_commands_call_public_verbs_alone(path: Path) -> None:
    """What a command does, a call of the library does: no command has a verb of its own."""
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Import):
            assert not any(alias.name.startswith("netsurgery.verbs") for alias in item.names)
        elif isinstance(item, ast.ImportFrom) and item.module == "netsurgery":
            assert all(alias.name != "verbs" for alias in item.names), item.lineno
        elif isinstance(item, ast.ImportFrom) and str(item.module).startswith("netsurgery.verbs"):
            for alias in item.names:
                assert is_for_commands(str(item.module), alias.name), f"{item.lineno}: {alias.name}"


@pytest.mark.parametrize(
    ("module", "name", "allowed"),
    [
        ("verbs.inspect", "inspect", True),
        ("verbs.inspect", "NewInputSize", True),
        ("verbs.inspect", "inspect_net", False),
        ("verbs.features_result", "FeatureResult", True),
        ("verbs.features_result", "find_collection", False),
        ("verbs.outputs", "OUTPUTS", True),
        ("verbs.outputs.files", "MapFiles", False),
    ],
)
def test_what_of_verbs_is_for_commands(module: str, name: str, allowed: bool) -> None:
    assert is_for_commands(f"netsurgery.{module}", name) == allowed


def is_misplaced(library: str, place: str) -> bool:
    return library in ONLY and not any(place.startswith(allowed) for allowed in ONLY[library])


def test_each_library_has_its_place() -> None:
    places = {path: path.relative_to(PACKAGE).as_posix() for path in MODULES}
    misplaced = [
        f"{place}:{line}: {name}"
        for path, place in places.items()
        for name, line in imports(path)
        if is_misplaced(name.split(".")[0], place)
    ]
    assert not misplaced, "\n".join(misplaced)


def test_no_module_has_more_than_400_lines() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in MODULES}
    long = [f"{path}: {count}" for path, count in lines.items() if count > 400]
    assert not long, "\n".join(long)


@pytest.mark.parametrize(
    "name",
    [
        "caffe_worker.py",
        "caffe_probe.py",
        "caffe_channel.py",
        "caffe_confine.py",
        "caffe_import.py",
        "caffe_solver.py",
    ],
)
def test_what_caffes_own_python_runs_is_written_for_3_5(name: str) -> None:
    """Its grammar, at least; the tests of the worker run it on whatever older Pythons there are."""
    tree = ast.parse((PACKAGE / "engines" / name).read_text(), feature_version=(3, 5))
    assert not any(isinstance(item, ast.JoinedStr) for item in ast.walk(tree))
    with pytest.raises(SyntaxError):
        ast.parse("name: str", feature_version=(3, 5))


def literals(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every string of the code, but for docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(item.body[0].value)
        for item in ast.walk(tree)
        if isinstance(item, documented) and isinstance(item.body[0], ast.Expr)
    }
    for item in ast.walk(tree):
        if not isinstance(item, ast.Constant) or id(item) in docstrings:
            continue
        if isinstance(item.value, str):
            yield item.value, item.lineno


@pytest.mark.parametrize(
    "package",
    ["net", "surgery", "drawing", "maps", "training", "diagram", "open_net", "verbs", "cli"],
)
def test_what_a_layer_type_is_stands_in_its_record_alone(package: str) -> None:
    """No name of a type, and no list of names, outside the records and the converters."""
    names = {name for each in types.RECORDS.values() for name in (each.name, *each.aliases)}
    named = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted((PACKAGE / package).rglob("*.py"))
        if PACKAGE / "net" / "types" not in path.parents
        for text, line in literals(ast.parse(path.read_text()))
        if text.split() and names.issuperset(text.split()) and text == text.strip(" ")
    ]
    assert named == []


def public(tree: ast.Module) -> set[str]:
    defined = (ast.FunctionDef, ast.ClassDef)
    return {item.name for item in tree.body if isinstance(item, defined)} - {"_"}


def undocumented(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    exported: list[str] = next(
        (
            ast.literal_eval(item.value)
            for item in tree.body
            if isinstance(item, ast.Assign)
            and isinstance(item.targets[0], ast.Name)
            and item.targets[0].id == "__all__"
            and isinstance(item.value, ast.List)
        ),
        [],
    )
    if not ast.get_docstring(tree):
        yield f"{path}: the module has no docstring"
    for item in tree.body:
        if not isinstance(item, (ast.FunctionDef, ast.ClassDef)) or item.name not in exported:
            continue
        if not ast.get_docstring(item):
            yield f"{path}: {item.name} has no docstring"


def test_public_names_exist_and_are_documented() -> None:
    lacking = [each for path in MODULES for each in undocumented(path)]
    assert not lacking, "\n".join(lacking)


def test_the_version_costs_no_heavy_import() -> None:
    code = (
        "import sys; from netsurgery.cli import run; run(['--version']); "
        "print(*sorted({m.split('.')[0] for m in sys.modules} "
        "& {'numpy', 'PIL', 'onnx', 'onnxruntime', 'google', 'platformdirs', 'caffe'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, heavy = done.stdout.split("\n")[:2]
    assert version.startswith("netsurgery, version ")
    assert heavy == ""


@pytest.mark.parametrize(
    ("words", "drawing"),
    [
        ("inspect {net} {model} -q", False),
        ("convert {net} {model} -o out --engine embedded -q", False),
        ("diff {net} {net} -q", False),
        ("draw {net} -o net.dot -q", False),
        ("classify-map {image} --prototxt {net} --weights {model} --blob conv1 -q", False),
        ("draw {net} -o net.svg -q", True),
    ],
)
def test_what_draws_nothing_costs_no_fonts(
    words: str, drawing: bool, tmp_path: Path, repo_root: Path
) -> None:
    net, model, image = (
        f"{repo_root}/{name}"
        for name in (
            "prototxt/digits_deploy.prototxt",
            "models/digits/digits.caffemodel",
            "examples/digits_canvas.png",
        )
    )
    code = f"""
import sys
from netsurgery.cli import run
assert run({words.format(net=net, model=model, image=image).split()!r}) == 0
print("netsurgery.drawing.fonts" in sys.modules, "netsurgery.drawing.scene" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-2:] == [str(drawing)] * 2


def test_planning_a_conversion_costs_no_numpy() -> None:
    code = (
        "import sys; import netsurgery.verbs.conversion, netsurgery.surgery.convolution.plan; "
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_goes_well_costs_no_protobuf(tmp_path: Path, repo_root: Path) -> None:
    """convert, inspect and export look fields up in the index; the schemas stay unread."""
    net = f"{repo_root}/prototxt/digits_deploy.prototxt"
    model = f"{repo_root}/models/digits/digits.caffemodel"
    code = f"""
import sys
from netsurgery.cli import run
assert run(["convert", {net!r}, {model!r}, "-o", "out", "-q", "--engine", "embedded"]) == 0
assert run(["inspect", {net!r}, {model!r}, "-q"]) == 0
assert run(["export", {net!r}, {model!r}, "-o", "net.onnx", "-q"]) == 0
print("google.protobuf" in sys.modules)
assert run(["diff", {net!r}, {net!r}, "-q"]) == 0
print("google.protobuf" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (r"\bPopen\(|subprocess\.(run|call|check_\w+)\(|os\.(fork|posix_spawn)", "children.py"),
        (r"\b(mkdtemp|mkstemp|TemporaryDirectory|NamedTemporaryFile)\(", "scratch.py"),
        (r"\bsignal\.(signal|set_wakeup_fd)\(", "__main__.py"),
    ],
)
def test_what_a_signal_must_not_leave_is_made_in_one_place(call: str, place: str) -> None:
    """Processes and scratch folders; and no handler is installed but by the command."""
    modules = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if re.search(call, path.read_text()) and path.name not in ("caffe_worker.py", place)
    }
    assert modules == set()


def test_what_threads_of_a_blas_may_compute_is_in_one_place() -> None:
    """Matrix products: where they are large, OpenBLAS starts threads that wait for each other."""
    products = {"dot", "inner", "linalg", "matmul", "tensordot", "vdot", "vecdot"}
    places = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.MatMult)
        or (
            (isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np", "numpy"))
            and node.attr in products
        )
    }
    assert places == {"maps/resize_axis.py"}
