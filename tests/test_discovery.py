"""Which Caffe is used, and why the others are not. The interpreters are scripts and fakes."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from processes import alive

from netsurgery.engines import caffe_probe, discovery, probing
from netsurgery.engines.discovery import candidates, chosen, find_caffe, locate_caffe, probe_all
from netsurgery.engines.probing import NotUsable, probe, resolve_python
from netsurgery.errors import EngineMissing

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

FACTS: dict[str, object] = {
    "version": "1.0.0",
    "python_version": "3.9.2",
    "path": "/somewhere/caffe",
    "blas": None,
    "blas_path": None,
    "cuda": True,
    "layer_types": ["Convolution", "InnerProduct"],
    "landlock": 7,
    "unconfined": {"writes": "", "reads": "no Landlock", "memory": ""},
}
REMEDY = "`netsurgery caffe install` gets one"


def interpreter(path: Path, body: str = "") -> str:
    """A script that answers as the probe would under an interpreter with Caffe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + (body or f"cat <<'END'\n{json.dumps(FACTS)}\nEND\n"))
    path.chmod(0o755)
    return str(path)


def install_into(prefix: Path) -> str:
    """What a finished `netsurgery caffe install` looks like from outside."""
    python = interpreter(prefix / "install/python")
    (prefix / "install/stamp.json").write_text('{"suite": "bullseye"}')
    return python


@pytest.fixture(autouse=True)
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Caffe anywhere: not named, not in this interpreter, not installed."""
    monkeypatch.delenv("NETSURGERY_CAFFE_PYTHON", raising=False)
    monkeypatch.setenv("NETSURGERY_CAFFE_PREFIX", str(tmp_path / "prefix"))
    monkeypatch.setattr(discovery, "_why_not_importable", lambda: "no module named caffe")
    return tmp_path / "prefix"


def test_none_anywhere_says_what_was_tried(prefix: Path) -> None:
    message = (
        f"no Caffe found: this interpreter ({sys.executable}): no module named caffe; "
        f"installed ({prefix}): nothing installed there; {REMEDY}"
    )
    for look in (find_caffe, locate_caffe):
        with pytest.raises(EngineMissing) as error:
            look()
        assert str(error.value) == message


def test_on_windows_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsurgery.engines.discovery.sys.platform", "win32")
    with pytest.raises(EngineMissing) as caught:
        find_caffe("/somewhere/python")
    assert str(caught.value) == ("real Caffe is not run on Windows; --engine embedded needs none")


def test_the_one_given_comes_first(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen_python = interpreter(tmp_path / "given")
    named = interpreter(tmp_path / "named")
    installed = install_into(prefix)
    assert find_caffe().origin == "installed"
    assert locate_caffe() == find_caffe().python == installed
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", named)
    assert find_caffe().origin == "NETSURGERY_CAFFE_PYTHON"
    assert locate_caffe() == find_caffe().python == named
    assert find_caffe(chosen_python).origin == "--caffe-python"
    assert locate_caffe(chosen_python) == find_caffe(chosen_python).python == chosen_python


def test_the_variables_value_given_as_the_option_is_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = interpreter(tmp_path / "named")
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", named)
    origins = [candidate.origin for candidate in candidates(named)]
    assert origins == ["NETSURGERY_CAFFE_PYTHON", "this interpreter", "installed"]


def test_an_empty_variable_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", "")
    assert [c.origin for c in candidates()] == ["this interpreter", "installed"]


def test_one_given_that_does_not_work_is_an_error(prefix: Path, tmp_path: Path) -> None:
    install_into(prefix)
    bad = interpreter(tmp_path / "bad", 'echo \'{"error": "import caffe: no libglog"}\'')
    with pytest.raises(EngineMissing) as error:
        find_caffe(bad)
    assert str(error.value) == (
        f"--caffe-python: {bad}: import caffe: no libglog; "
        f"give a Python that has pycaffe, or leave it out: {REMEDY}"
    )
    findings = probe_all(bad)
    assert [finding.caffe is not None for finding in findings] == [False, False, True]
    assert chosen(findings) is None


def test_one_given_that_is_not_there_is_an_error(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_into(prefix)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", "/no/such/python")
    for look in (find_caffe, locate_caffe):
        with pytest.raises(EngineMissing) as error:
            look()
        assert str(error.value) == (
            "NETSURGERY_CAFFE_PYTHON: /no/such/python: no such file; "
            f"give a Python that has pycaffe, or leave it out: {REMEDY}"
        )


def test_this_interpreter_is_used_before_the_installed_one(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_into(prefix)
    own = interpreter(tmp_path / "own")
    monkeypatch.setattr(discovery, "_why_not_importable", lambda: "")
    monkeypatch.setattr(sys, "executable", own)
    assert find_caffe().origin == "this interpreter"
    assert locate_caffe() == own


def test_this_interpreters_broken_caffe_gives_way(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install_into(prefix)
    monkeypatch.setattr(discovery, "_why_not_importable", lambda: "")
    monkeypatch.setattr(sys, "executable", interpreter(tmp_path / "own", "exit 3"))
    assert locate_caffe() == find_caffe().python == installed


def test_a_half_made_install_is_not_one(prefix: Path) -> None:
    interpreter(prefix / "install/python")
    with pytest.raises(EngineMissing):
        locate_caffe()
    (prefix / "install/stamp.json").write_text("")
    with pytest.raises(EngineMissing):
        locate_caffe()


def test_facts_cross_unchanged(tmp_path: Path) -> None:
    caffe = probe(interpreter(tmp_path / "python"), "--caffe-python")
    assert caffe == probing.Caffe(
        python=str(tmp_path / "python"),
        version="1.0.0",
        python_version="3.9.2",
        path="/somewhere/caffe",
        blas=None,
        blas_path=None,
        cuda=True,
        layer_types=("Convolution", "InnerProduct"),
        origin="--caffe-python",
        landlock=7,
        unconfined={"writes": "", "reads": "no Landlock", "memory": ""},
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 3", "import caffe ended with status 3"),
        ("echo oops >&2; exit 1", "import caffe ended with status 1: oops"),
        ("echo 'Check failed: x' >&2; kill -6 $$", "import caffe was killed by SIGABRT: "
         "Check failed: x"),
        ("kill -40 $$", "import caffe was killed by signal 40"),
        ("echo hello", "it does not answer as a Python interpreter would"),
        ("echo '{}'", "it does not answer as a Python interpreter would"),
        ("echo 3", "it does not answer as a Python interpreter would"),
    ],
)  # fmt: skip
def test_why_a_probe_failed(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(NotUsable) as error:
        probe(interpreter(tmp_path / "python", body))
    assert str(error.value) == reason


def test_a_hang_ends_with_all_it_started(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "python", f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    with pytest.raises(NotUsable) as error:
        probe(python, timeout=0.5)
    assert str(error.value) == "import caffe took longer than 0.5 s"
    pid = (tmp_path / "pid").read_text().strip()
    end = time.monotonic() + 20
    while alive(int(pid)):
        assert time.monotonic() < end, "what the interpreter started is still running"
        time.sleep(0.02)


def test_no_program_at_all(tmp_path: Path) -> None:
    file = tmp_path / "python"
    file.write_bytes(b"\0\1\2")
    file.chmod(0o755)
    with pytest.raises(NotUsable) as error:
        probe(str(file))
    assert str(error.value) == "cannot be run: Exec format error"


def test_resolve_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter(tmp_path / "bin/python2.7")
    (tmp_path / "bin/link").symlink_to("python2.7")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    assert resolve_python("python2.7") == str(tmp_path / "bin/python2.7")
    assert resolve_python("bin/link") == str(tmp_path / "bin/link")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_python("~/bin/link") == str(tmp_path / "bin/link")


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("no-such-python", "no such file, and no such command on PATH"),
        ("/no/such/python", "no such file"),
        ("/", "this is a folder; give the Python interpreter itself"),
        (__file__, "not executable; give the Python interpreter itself"),
    ],
)
def test_resolve_python_refuses(python: str, reason: str) -> None:
    with pytest.raises(NotUsable) as error:
        resolve_python(python)
    assert str(error.value) == reason


# --- the probe itself, under this interpreter


def fake_caffe(folder: Path, text: str) -> Path:
    package = folder / "caffe"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(text)
    return package


def test_a_folder_named_caffe_is_not_caffe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "layers/caffe").mkdir(parents=True)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(tmp_path / "layers"))
    with pytest.raises(NotUsable) as error:
        probe(sys.executable)
    folder = tmp_path / "layers/caffe"
    assert str(error.value) == f"{folder} is named caffe but is not pycaffe: it has no caffe.Net"


def test_neither_the_current_folder_nor_the_probes_is_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_caffe(tmp_path, "print('the wrong caffe')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":")
    beside = tmp_path / "probe"
    beside.mkdir()
    for name in ("caffe_probe.py", "caffe_confine.py", "caffe_import.py"):
        shutil.copy(probing.PROBE.with_name(name), beside)
    fake_caffe(beside, "print('the wrong caffe')")
    monkeypatch.setattr(probing, "PROBE", beside / "caffe_probe.py")
    with pytest.raises(NotUsable) as error:
        probe(sys.executable)
    assert str(error.value) == "import caffe: No module named 'caffe'"


def test_pythonpath_does_not_reach_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither do the other variables of Python's, some of which name code to run."""
    fake_caffe(tmp_path / "python", "print('the wrong caffe')")
    startup = tmp_path / "startup.py"
    startup.write_text("print('the wrong start')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "python"))
    monkeypatch.setenv("PYTHONSTARTUP", str(startup))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    with pytest.raises(NotUsable) as error:
        probe(sys.executable)
    assert str(error.value) == (
        f"import caffe: No module named 'caffe'; for a caffe in {tmp_path}/python set "
        "NETSURGERY_CAFFE_PYTHONPATH, PYTHONPATH is not used"
    )


def test_a_path_for_caffe_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", "/opt/caffe/python:python")
    with pytest.raises(NotUsable) as error:
        probe(sys.executable)
    assert str(error.value) == (
        "NETSURGERY_CAFFE_PYTHONPATH: 'python' is relative; give the whole path"
    )


def test_what_caffe_prints_does_not_disturb_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "import os\nimport _ctypes as _caffe\n"
        "os.write(1, b'Loading...\\n')\nprint('welcome')\n"
        "class Net: pass\n__version__ = '1.0.0-rc5'\n"
        "def layer_type_list(): return ['ReLU', 'Input']\n"
    )
    package = fake_caffe(tmp_path / "python", text)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(tmp_path / "python"))
    caffe = probe(sys.executable)
    assert (caffe.version, caffe.path, caffe.cuda) == ("1.0.0-rc5", str(package), False)
    assert caffe.layer_types == ("Input", "ReLU")
    assert caffe.python_version == "{}.{}.{}".format(*sys.version_info[:3])


def test_a_crash_leaves_no_core_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import os, resource\nprint(resource.getrlimit(resource.RLIMIT_CORE), flush=True)\n"
        "os.abort()\n"
    )
    fake_caffe(tmp_path / "python", text)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(tmp_path / "python"))
    with pytest.raises(NotUsable) as error:
        probe(sys.executable)
    assert str(error.value) == "import caffe was killed by SIGABRT: (0, 0)"


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [
        (["/usr/lib/x/libblas.so.3", "/usr/lib/x/libopenblasp-r0.3.13.so"], "OpenBLAS"),
        (["/opt/intel/libmkl_rt.so.2", "/usr/lib/libopenblas.so.0"], "MKL"),
        (["/usr/lib/atlas-base/libsatlas.so.3"], "ATLAS"),
        (["/usr/lib/x/libblas.so.3"], "reference BLAS"),
        (["/site-packages/numpy.libs/libopenblas64_.so", "/usr/lib/libc.so.6"], None),
    ],
)
def test_blas_is_named_by_what_is_mapped(libraries: list[str], expected: str | None) -> None:
    assert caffe_probe.blas_of(libraries)[0] == expected


SYMBOL = "namespace caffe { void caffe_gpu_memcpy(const std::size_t, const void *, void *) {} }"


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler here")
@pytest.mark.parametrize(("source", "expected"), [(SYMBOL, True), ("", False)])
def test_cuda_is_recognised_by_a_function_that_only_gpu_builds_have(
    tmp_path: Path, source: str, expected: bool
) -> None:
    (tmp_path / "caffe.cpp").write_text(f"#include <cstddef>\n{source}\n")
    library = tmp_path / "libcaffe.so"
    # _caffe is a door to libcaffe: the function is in a library that it is linked with.
    subprocess.run(["c++", "-shared", "-fPIC", "-o", library, tmp_path / "caffe.cpp"], check=True)
    (tmp_path / "door.cpp").write_text("int door;\n")
    door = tmp_path / "_caffe.so"
    options = ["-Wl,--no-as-needed", f"-Wl,-rpath,{tmp_path}", str(library)]
    subprocess.run(
        ["c++", "-shared", "-fPIC", "-o", door, tmp_path / "door.cpp", *options], check=True
    )
    assert caffe_probe.has_cuda(str(door), []) is expected


def test_cuda_of_a_fork_is_recognised_by_its_libraries(tmp_path: Path) -> None:
    import _ctypes

    extension = _ctypes.__file__
    assert caffe_probe.has_cuda(extension, ["/x/libcublas.so.8.0", "/x/libcurand.so.8.0"])
    assert not caffe_probe.has_cuda(extension, ["/x/libcublas.so.8.0", "/x/libcudart.so.8.0"])


# --- `import caffe` in the running interpreter, looked at without importing


@pytest.fixture
def why_not_importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Undo the fixture above, and make a folder on sys.path."""
    monkeypatch.undo()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "on path"), ""])
    (tmp_path / "on path").mkdir()
    return tmp_path / "on path"


def test_no_caffe_on_path(why_not_importable: Path) -> None:
    assert discovery._why_not_importable() == "no module named caffe"


def test_a_folder_named_caffe_on_path(why_not_importable: Path) -> None:
    (why_not_importable / "caffe").mkdir()
    assert discovery._why_not_importable() == (
        f"{why_not_importable}/caffe is a folder named caffe, not pycaffe"
    )


def test_a_caffe_without_its_extension_on_path(why_not_importable: Path) -> None:
    package = fake_caffe(why_not_importable, "")
    assert discovery._why_not_importable() == (
        f"{package}/__init__.py is named caffe but is not a built pycaffe: no _caffe.so beside it"
    )
    (package / f"_caffe{EXTENSION_SUFFIXES[0]}").write_text("")
    assert discovery._why_not_importable() == ""


def test_a_caffe_on_pythonpath_alone_is_none(
    why_not_importable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = fake_caffe(tmp_path / "built", "")
    (package / f"_caffe{EXTENSION_SUFFIXES[0]}").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "built"), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "built"))
    assert discovery._why_not_importable() == (
        f"no module named caffe; for a caffe in {tmp_path}/built set NETSURGERY_CAFFE_PYTHONPATH, "
        "PYTHONPATH is not used"
    )
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(tmp_path / "built"))
    assert discovery._why_not_importable() == ""


def test_the_current_folder_is_not_looked_in(
    why_not_importable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = fake_caffe(tmp_path / "here", "")
    (package / f"_caffe{EXTENSION_SUFFIXES[0]}").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", ["", os.getcwd(), *sys.path])
    assert discovery._why_not_importable() == "no module named caffe"


def test_who_imports_the_probe_goes_on_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where it is run by its path does it leave no bytecode."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.reload(caffe_probe)
    assert not sys.dont_write_bytecode
