"""`import netsurgery`: what it costs, and that each of its names is documented and typed."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lacking import lacking

import netsurgery as ns

SOURCE = Path(ns.__file__)
MODULE_OF: dict[str, str] = vars(ns)["_MODULE_OF"]
NAMES = [name for name in ns.__all__ if name != "__version__"]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(ns, name))]


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys; import netsurgery; "
        "print(*sorted(m for m in sys.modules if m.startswith('netsurgery'))); "
        "print(*sorted({'numpy', 'PIL', 'h5py', 'onnxruntime', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "netsurgery\n\n"


def test_opening_a_net_costs_no_numpy(repo_root: Path) -> None:
    code = (
        "import sys; import netsurgery as ns; "
        "net = ns.Net('prototxt/digits_deploy.prototxt', 'models/digits/digits.caffemodel'); "
        "print(net.params['ip1'].shapes, net.blobs['prob'].shape, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repo_root
    )
    assert done.stdout == "((96, 128), (96,)) (1, 11) False\n"


def test_names_are_sorted_and_each_is_there_once() -> None:
    assert ns.__all__ == sorted(set(ns.__all__))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'netsurgery' has no attribute 'nets'"):
        _ = ns.nets  # type: ignore[attr-defined]


def test_no_name_is_that_of_a_module_which_would_hide_it() -> None:
    modules = {module.name for module in pkgutil.iter_modules([str(SOURCE.parent)])}
    assert modules & set(NAMES) == set()


def test_what_type_checkers_see_is_what_is_imported() -> None:
    """``__init__.pyi`` against the table of modules."""
    tree = ast.parse(SOURCE.with_suffix(".pyi").read_text(encoding="utf-8"))
    seen = {
        alias.asname: str(item.module).removeprefix("netsurgery.")
        for item in tree.body
        if isinstance(item, ast.ImportFrom)
        for alias in item.names
    }
    assert seen == MODULE_OF
    assert all(name == alias for name, alias in exported(tree))


def exported(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    for item in tree.body:
        if isinstance(item, ast.ImportFrom):
            yield from ((alias.name, alias.asname) for alias in item.names)


def test_dir_lists_the_public_names_alone() -> None:
    assert dir(ns) == ns.__all__


def own_doc(value: Any) -> str | None:
    """A docstring that is not only inherited."""
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, (classmethod, staticmethod)):
        value = value.__func__
    return getattr(value, "__doc__", None)


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties a class of ours defines or inherits from one of ours."""
    for base in kind.__mro__:
        if base.__module__.startswith("netsurgery."):
            for name, value in vars(base).items():
                routine = inspect.isroutine(value) or isinstance(
                    value, (property, classmethod, staticmethod)
                )
                if routine and not name.startswith("_"):
                    yield name, value


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_documented(name: str) -> None:
    public = getattr(ns, name)
    assert public.__module__.startswith("netsurgery."), "it is another library's"
    doc = public.__doc__
    assert doc
    assert doc.strip()
    # What dataclass writes of itself is not a documentation.
    assert not doc.startswith(f"{name}(")


@pytest.mark.parametrize("name", CLASSES)
def test_public_methods_are_documented(name: str) -> None:
    bare = [member for member, value in members(getattr(ns, name)) if not own_doc(value)]
    assert bare == []


def callables(name: str) -> Iterator[tuple[str, Any]]:
    public = getattr(ns, name)
    if not inspect.isclass(public):
        yield name, public
        return
    for member, thing in members(public):
        thing = thing.fget if isinstance(thing, property) else thing
        thing = thing.func if isinstance(thing, functools.cached_property) else thing
        yield f"{name}.{member}", getattr(thing, "__func__", thing)
    written = not dataclasses.is_dataclass(public) and not getattr(public, "_is_protocol", False)
    if "__init__" in vars(public) and written:
        yield f"{name}.__init__", vars(public)["__init__"]


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_fully_annotated(name: str) -> None:
    for called, function in callables(name):
        signature = inspect.signature(function)
        if not called.endswith("__init__"):
            assert signature.return_annotation is not inspect.Signature.empty, called
        for parameter in signature.parameters.values():
            if parameter.name not in ("self", "cls"):
                assert parameter.annotation is not inspect.Parameter.empty, (called, parameter)


VERBS = [name for name in NAMES if MODULE_OF[name].startswith("verbs.") and name.islower()]


@pytest.mark.parametrize("name", VERBS)
def test_verbs_document_their_parameters_and_errors(name: str) -> None:
    """Every parameter is in the docstring, but for files that their names explain."""
    plain = {"path", "output", "weights", "prototxt", "image", "weights_out", "force", "dry_run"}
    verb = getattr(ns, name)
    documented = set(re.findall(r"\w+", verb.__doc__))
    assert set(inspect.signature(verb).parameters) - documented - plain == set()
    assert "Raises" in documented


def test_type_checkers_see_that_it_is_typed() -> None:
    assert SOURCE.with_name("py.typed").is_file()


def test_every_error_is_under_one_root() -> None:
    errors = [name for name in CLASSES if issubclass(getattr(ns, name), Exception)]
    assert len(errors) == 23
    assert all(issubclass(getattr(ns, name), ns.NetsurgeryError) for name in errors)


def test_the_site_is_built_without_a_warning(repo_root: Path, tmp_path: Path) -> None:
    """By mkdocs, as `make docs` does."""
    if importlib.util.find_spec("mkdocs") is None:
        lacking("no mkdocs; `pip install .[dev]` brings it")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        cwd=repo_root,
        check=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    page = (tmp_path / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    assert [name for name in NAMES if f'id="netsurgery.{name}"' not in page] == []
    assert 'id="netsurgery.Net.save"' in page
    assert "&gt;&gt;&gt;" in page
    for html in tmp_path.rglob("*.html"):  # every picture is a file of the site
        for source in re.findall(r'<img[^>]* src="([^"]+)"', html.read_text(encoding="utf-8")):
            assert (html.parent / source).is_file(), f"{html}: {source}"
