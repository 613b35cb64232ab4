"""How far Caffe's process is confined, and what is said where it cannot be.

What must not work from inside is tried by the attack scripts 30 to 39.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from lacking import as_root, lacking

from netsurgery.engines import caffe_confine, probing, syscall_filter
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.probing import NotUsable
from netsurgery.engines.pycaffe import PycaffeEngine, open_engine
from netsurgery.errors import EngineFailed

ROOT = Path(__file__).resolve().parents[1]
FAKE = ROOT / "tests" / "fake_caffe"
NO_LANDLOCK = "no Landlock: Linux has it from 5.13 on, where it is not switched off"
INPUT = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1, 2, 2] } } }'
)

#: A Python for which the kernel has no such system calls.
WITHOUT = """\
    #!{python}
    import ctypes, os, sys
    sys.path.insert(0, {root!r})
    from netsurgery.engines import caffe_confine, syscall_filter
    rules = syscall_filter._Rules(syscall_filter._library())
    for name in {calls!r}:
        rules.deny(name, error=38)
    assert caffe_confine.install_filter(rules.program()) == ""
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
    """


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake Caffe, on a machine that can confine it."""
    if not caffe_confine.landlock_version():
        lacking("no Landlock here")
    if not syscall_filter.syscall_filter(1, gpu=False, allow=()):
        lacking("no libseccomp here")
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(FAKE))


@pytest.fixture
def start() -> Iterator[Callable[..., PycaffeEngine]]:
    engines = []

    def opener(python: object = sys.executable, **options: object) -> PycaffeEngine:
        engines.append(open_engine(EngineOptions(caffe_python=str(python), **options)))  # type: ignore[arg-type]
        return engines[-1]

    yield opener
    for engine in engines:
        engine.close()


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(f"# nothing\n{INPUT}\n")
    return path


def python_without(folder: Path, *calls: str) -> Path:
    launcher = folder / "python"
    text = textwrap.dedent(WITHOUT).format(python=sys.executable, root=str(ROOT), calls=calls)
    launcher.write_text(text)
    launcher.chmod(0o755)
    return launcher


def weights_file(folder: Path, name: str, *values: float) -> Path:
    path = folder / name
    path.write_bytes(b"\xa2\6\x0c" + np.array(values, "<f4").tobytes())
    return path


def test_all_of_it_holds_where_linux_has_it(
    start: Callable[..., PycaffeEngine], net_file: Path
) -> None:
    engine = start()
    engine.load(net_file)
    held = dict(engine.info()["unconfined"])
    assert held.pop("processes") == ("root has no limit of them" * (os.getuid() == 0))
    assert set(held.values()) == {""}
    status = Path(f"/proc/{engine.pid}/status").read_text()
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status
    limits = Path(f"/proc/{engine.pid}/limits").read_text()
    assert "Max open files            256                  256" in limits


def test_the_probe_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "caffe"
    package.mkdir()
    (package / "__init__.py").write_text("import _ctypes as _caffe\nclass Net: pass\n")
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(tmp_path))
    caffe = probing.probe(sys.executable)
    assert caffe.landlock == caffe_confine.landlock_version()
    assert {caffe.unconfined[what] for what in ("writes", "reads", "calls", "memory")} == {""}
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'written')!r}, 'w')\n")
    with pytest.raises(NotUsable, match="Permission denied"):
        probing.probe(sys.executable)


def test_every_thread_is_filtered(start: Callable[..., PycaffeEngine], net_file: Path) -> None:
    """Those too that were there before, as a BLAS's are."""
    engine = start(threads=4)
    engine.load(net_file)
    threads = [path.read_text() for path in Path(f"/proc/{engine.pid}/task").glob("*/status")]
    assert len(threads) > 1, "numpy's BLAS has threads of its own"
    assert all("Seccomp:\t2\n" in status for status in threads)


@pytest.mark.parametrize("allow", [set(), {"reads"}, {"writes"}, {"python"}])
def test_files_cross_whatever_is_allowed(
    start: Callable[..., PycaffeEngine], net_file: Path, tmp_path: Path, allow: set[str]
) -> None:
    """Weights that were named first, others named later, changed ones, and what is saved."""
    engine = start(allow=frozenset(allow))
    for number in range(3):
        weights = weights_file(tmp_path, f"{number}.caffemodel", 7, 8, number)
        with engine.load(net_file, weights, partial=True) as net:
            np.testing.assert_array_equal(net.param("ip", 1), [7, 8, number])
            net.save(tmp_path / "saved.caffemodel")
        assert (tmp_path / "saved.caffemodel").stat().st_size == 15
    replaced = weights_file(tmp_path, "new", 1, 2, 3)
    replaced.rename(tmp_path / "0.caffemodel")
    with engine.load(net_file, tmp_path / "0.caffemodel", partial=True) as net:
        np.testing.assert_array_equal(net.param("ip", 1), [1, 2, 3])


def test_without_landlock_all_goes_on_and_is_said(
    start: Callable[..., PycaffeEngine], net_file: Path, tmp_path: Path
) -> None:
    engine = start(python_without(tmp_path, "landlock_create_ruleset"))
    weights = weights_file(tmp_path, "w.caffemodel", 7, 8, 9)
    net = engine.load(net_file, weights, partial=True)
    np.testing.assert_array_equal(net.param("ip", 1), [7, 8, 9])
    net.save(tmp_path / "saved.caffemodel")
    assert (tmp_path / "saved.caffemodel").stat().st_size == 15
    unconfined = engine.info()["unconfined"]
    assert unconfined["writes"] == unconfined["reads"] == NO_LANDLOCK
    assert unconfined["calls"] == ""


def test_without_libseccomp_all_goes_on_and_is_said(
    start: Callable[..., PycaffeEngine], net_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscall_filter, "_library", lambda: None)
    engine = start()
    engine.load(net_file)
    network = "the network but for TCP" if caffe_confine.landlock_version() >= 4 else "the network"
    assert engine.info()["unconfined"]["calls"] == (
        f"no seccomp: libseccomp.so.2 is not there: {network} and other processes can be reached"
    )
    assert engine.info()["unconfined"]["reads"] == ""


def test_a_place_that_holds_the_home_is_never_granted_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert caffe_confine.too_wide("/")
    assert caffe_confine.too_wide(str(tmp_path.parent))
    assert caffe_confine.too_wide(str(tmp_path))
    assert not caffe_confine.too_wide(str(tmp_path / "lib"))
    assert not caffe_confine.too_wide(str(tmp_path) + "-other")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "prefix", str(tmp_path.parent))
    assert not any(caffe_confine.too_wide(place) for place in caffe_confine.own_places())


@pytest.mark.parametrize(
    ("entry", "home"), [("__editable__.own.finder", None), ("", "~")], ids=["hook", "no home"]
)
def test_no_name_is_sought_from_a_folder_that_is_gone(
    start: Callable[..., PycaffeEngine],
    net_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entry: str,
    home: str | None,
) -> None:
    """A name in sys.path that is no path; and "~", which a user without a home keeps."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.path.append({entry!r})\n")
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", f"{tmp_path}{os.pathsep}{FAKE}")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    engine = start()
    assert os.readlink(f"/proc/{engine.pid}/cwd").endswith(" (deleted)")
    engine.load(net_file)
    assert engine.info()["unconfined"]["reads"] == ""


def test_what_allow_python_lets_in(
    start: Callable[..., PycaffeEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHONPATH, its relative entries being ours; nothing of the current folder."""
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "own.py").write_text("WORDS = 'mine'")
    (tmp_path / "beside.py").write_text("")
    net = tmp_path / "net.prototxt"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "layers:")
    own = "#|import own\n#|raise ValueError(own.WORDS)\n"
    for allow, code, words in (
        ({"python"}, own, "ValueError: mine"),
        (set(), own, "No module named 'own'"),
        ({"python"}, "#|import beside\n", "No module named 'beside'"),
    ):
        net.write_text(f"# load run\n{code}{INPUT}\n")
        with pytest.raises(EngineFailed, match=words):
            start(allow=frozenset(allow)).load(net)


def test_relative_names_in_a_net_are_the_users(
    start: Callable[..., PycaffeEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_text("seen")
    net = tmp_path / "net.prototxt"
    net.write_text(f"# load run\n#|raise ValueError(open('list.txt').read())\n{INPUT}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineFailed, match="ValueError: seen"):
        start(allow=frozenset({"reads"})).load(net)
    with pytest.raises(EngineFailed, match="No such file or directory"):
        start().load(net)


@as_root
def test_processes_are_limited_for_others_than_root(tmp_path: Path) -> None:
    code = (
        "import os, resource; from netsurgery.engines import caffe_confine as c; os.setuid(54321);"
        "print(repr(c.lower_limits(256)), resource.getrlimit(resource.RLIMIT_NPROC))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # It has this one process.
    assert done.stdout == "'' (1025, 1025)\n"
