"""The worker, its process and the engine over them, with a fake caffe in a real process.

Every test runs under the running interpreter and under those that NETSURGERY_WORKER_PYTHONS
lists (paths with os.pathsep between; each needs numpy).
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netsurgery.engines import registry
from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
from netsurgery.engines.pycaffe import (
    CaffeNet,
    ParamCopy,
    PycaffeEngine,
    RefusedToLoad,
    open_engine,
)
from netsurgery.errors import (
    EngineError,
    EngineFailed,
    EngineMissing,
    EngineTimeout,
    NetsurgeryError,
    SurgeryError,
)
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import NetState

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

OTHERS = os.environ.get("NETSURGERY_WORKER_PYTHONS", "")
PYTHONS = [sys.executable, *(python for python in OTHERS.split(os.pathsep) if python)]
FAKE = Path(__file__).parent / "fake_caffe"

Opener = Callable[..., PycaffeEngine]


@pytest.fixture(params=PYTHONS, ids=lambda path: "/".join(Path(path).parts[-3:]))
def python(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An interpreter that finds the fake caffe; checks that the test leaves nothing behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(FAKE))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    gc.collect()  # what earlier tests left open in cycles is not this one's
    before = (open_files(), threading.active_count())
    yield str(request.param)
    assert (open_files(), threading.active_count()) == before
    assert list(scratch.iterdir()) == []
    assert [name for name in os.listdir("/dev/shm") if "netsurgery" in name] == []


@pytest.fixture
def start(python: str) -> Iterator[Opener]:
    """Starts engines, and ends those that a test left running."""
    engines = []

    def opener(**options: object) -> PycaffeEngine:
        engines.append(open_engine(EngineOptions(caffe_python=python, **options)))  # type: ignore[arg-type]
        return engines[-1]

    yield opener
    for engine in engines:
        engine.close()
        assert family_in_the_end(engine.pid) == []


@pytest.fixture
def net_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(wrong: str) -> Path:
        path = tmp_path / "net.prototxt"
        shape = "input_param { shape { dim: [1, 1, 2, 2] } }"
        path.write_text(f'# {wrong}\nlayer {{ name: "data" type: "Input" top: "data" {shape} }}\n')
        return path

    return write


@pytest.fixture
def net(start: Opener, net_file: Callable[[str], Path]) -> CaffeNet:
    return start().load(net_file("nothing"))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def family(leader: int) -> list[str]:
    """The processes of the group and session that a worker led; zombies only if they are ours."""
    processes = []
    for entry in os.listdir("/proc"):
        try:
            stat = Path("/proc", entry, "stat").read_text() if entry.isdigit() else ""
        except OSError:
            continue
        state, parent, group, session = (stat.rpartition(")")[2].split() or ["Z", "0", "0", "0"])[
            :4
        ]
        alive = state != "Z" or int(parent) == os.getpid()
        if alive and leader in (int(group), int(session)):
            processes.append(stat)
    return processes


def family_in_the_end(leader: int) -> list[str]:
    """`family` once it is empty, or after 10 s: death by a signal takes the kernel a moment."""
    deadline = time.monotonic() + 10
    while family(leader) and time.monotonic() < deadline:
        time.sleep(0.01)
    return family(leader)


def test_the_engine_fits_the_contract(start: Opener, net_file: Callable[[str], Path]) -> None:
    engine: Engine = start()
    loaded: LoadedNet = engine.load(net_file("nothing"))
    assert engine.name == "caffe"
    assert loaded.inputs == {"data": (1, 1, 2, 2)}


def test_stages_and_a_level_where_caffe_is_too_old_for_them(
    start: Opener, net_file: Callable[[str], Path]
) -> None:
    engine = start()
    with engine.load(net_file("nothing"), state=NetState("TRAIN")):
        pass
    for state in (NetState(level=1), NetState(stages=("a",))):
        with pytest.raises(EngineFailed, match="a level, which old Caffes do not take: TypeError"):
            engine.load(net_file("nothing"), state=state)
    assert engine.alive


def test_description_and_info(start: Opener, python: str) -> None:
    engine = start()
    assert engine.description == f"caffe 0.fake, CPU ({python})"
    info = engine.info()
    assert info["version"] == "0.fake"
    assert info["layer_types"] == ["Input", "InnerProduct"]
    assert Path(info["file"]).parent == FAKE / "caffe"


def test_shapes_of_a_net(net: CaffeNet) -> None:
    assert net.inputs == {"data": (1, 1, 2, 2)}
    assert list(net.blobs.items()) == [("data", (1, 1, 2, 2)), ("sum", (1,))]
    assert net.params == {
        "ip": ((3, 4), (3,)), "conv": ((3, 1, 2, 2), (3,)), "small": ((3, 1, 2, 1), (3,)),
    }  # fmt: skip
    assert list(net.layers) == [
        ("data", "Input"), ("ip", "InnerProduct"), ("conv", "Convolution"),
        ("small", "Convolution"),
    ]  # fmt: skip


def test_forward_after_reshape(net: CaffeNet) -> None:
    net.reshape({"data": (2, 3, 5, 7)})
    assert net.blobs == {"data": (2, 3, 5, 7), "sum": (2,)}
    image = np.arange(210, dtype=np.float32).reshape(2, 3, 5, 7)
    result = net.forward({"data": image}, ["sum", "data"])
    assert list(result) == ["sum", "data"]
    np.testing.assert_array_equal(result["data"], image)
    np.testing.assert_array_equal(result["sum"], image.sum(axis=(1, 2, 3)))
    assert result["data"].flags["OWNDATA"] or result["data"].base is None
    assert result["data"].flags["WRITEABLE"]


def test_an_input_not_given_keeps_its_values(net: CaffeNet) -> None:
    assert net.forward({}, ["sum"])["sum"] == 0
    net.forward({"data": np.ones((1, 1, 2, 2), np.float32)}, [])
    assert net.forward({}, ["sum"])["sum"] == 4


def test_a_strided_input_is_taken_in_its_own_order(net: CaffeNet) -> None:
    image = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2).transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(net.forward({"data": image}, ["data"])["data"], image)


def test_results_outlive_the_next_forward(net: CaffeNet) -> None:
    first = net.forward({"data": np.ones((1, 1, 2, 2), np.float32)}, ["data"])["data"]
    net.forward({"data": np.zeros((1, 1, 2, 2), np.float32)}, ["data"])
    assert first.sum() == 4


def test_a_shape_may_be_a_list(net: CaffeNet) -> None:
    of_list: Any = {"data": [2, 1, 2, 2]}
    net.check_memory(of_list, ["sum"])
    assert net.memory(of_list, ["sum"]) == net.memory({"data": (2, 1, 2, 2)}, ["sum"])
    net.reshape(of_list)
    assert net.inputs == {"data": (2, 1, 2, 2)}


def test_large_arrays(net: CaffeNet) -> None:
    image = np.random.default_rng(1).random((1, 3, 2000, 2000), np.float32)
    net.reshape({"data": (1, 3, 2000, 2000)})
    np.testing.assert_array_equal(net.forward({"data": image}, ["data"])["data"], image)


#: What is asked of a net -> why it is refused.
REFUSED: list[tuple[Callable[[Any], object], str]] = [
    (lambda net: net.forward({"dat": 0}, []),
     "{net} has no input dat; its inputs: data (1x1x2x2)"),
    (lambda net: net.forward({"sum": np.zeros(1, np.float32)}, []),
     "{net} has no input sum; its inputs: data (1x1x2x2)"),
    (lambda net: net.forward({"data": np.zeros((1, 2, 2), np.float32)}, []),
     "input data is 1x2x2; the net takes 1x1x2x2"),
    (lambda net: net.forward({"data": np.zeros((1, 1, 2, 2))}, []),
     "input data is float64; Caffe takes float32"),
    (lambda net: net.forward({"data": [[[[1.0]]]]}, []),
     "input data is list; Caffe takes float32"),
    (lambda net: net.forward({}, ["fc8"]), "{net} has no blob fc8; there is data, sum"),
    (lambda net: net.reshape({"fc8": (1,)}),
     "{net} has no input fc8; its inputs: data (1x1x2x2)"),
    (lambda net: net.reshape({"data": (1, 0, 2, 2)}),
     "input data cannot have the shape (1, 0, 2, 2)"),
    (lambda net: net.reshape({"data": (1, 1.5)}),
     "input data cannot have the shape (1, 1.5)"),
    (lambda net: net.memory({"fc8": (1,)}, []),
     "{net} has no input fc8; its inputs: data (1x1x2x2)"),
    (lambda net: net.check_memory({"data": (1, 0, 2, 2)}, []),
     "input data cannot have the shape (1, 0, 2, 2)"),
    (lambda net: net.param("fc8", 0),
     "{net} has no params of a layer fc8; those with: ip, conv, small"),
    (lambda net: net.param("ip", 2), "layer ip has params 0 to 1, not 2"),
    (lambda net: net.param("ip", -1), "layer ip has params 0 to 1, not -1"),
    (lambda net: net.set_param("ip", 1, np.zeros(4, np.float32)),
     "param 1 of layer ip is 4; the net takes 3"),
]  # fmt: skip


def test_what_does_not_fit_is_refused_before_caffe_sees_it(net: CaffeNet) -> None:
    for act, message in REFUSED:
        with pytest.raises(EngineError) as caught:
            act(net)
        assert str(caught.value) == message.format(net=net.path)
        assert net.forward({}, ["sum"])["sum"] == 0


def test_params_are_read_and_set(net: CaffeNet) -> None:
    np.testing.assert_array_equal(net.param("ip", 1), [0, 1, 2])
    weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    net.set_param("ip", 0, weight.T.copy().T)
    np.testing.assert_array_equal(net.param("ip", 0), weight)


def test_weights_are_loaded(start: Opener, net_file: Callable[[str], Path], tmp_path: Path) -> None:
    weights = tmp_path / "a model \udcff.caffemodel"
    bias = np.array([7, 8, 9], "<f4").tobytes()
    weights.write_bytes(b"\xa2\6\x0c" + bias)
    loaded = start().load(net_file("nothing"), weights, partial=True)
    np.testing.assert_array_equal(loaded.param("ip", 1), [7, 8, 9])


def test_a_relative_path_is_the_clients(
    start: Opener, net_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(net_file("nothing").parent)
    assert start().load(Path("net.prototxt")).path == "net.prototxt"


def test_missing_files(start: Opener, tmp_path: Path) -> None:
    with pytest.raises(EngineFailed) as caught:
        start().load(tmp_path / "none.prototxt")
    assert str(caught.value) == f"{tmp_path}/none.prototxt: No such file or directory"


def test_transplant_moves_every_value(net: CaffeNet) -> None:
    weight = np.random.default_rng(2).random((3, 4), np.float32)
    net.set_param("ip", 0, weight)
    net.set_param("ip", 1, np.array([5, 6, 7], np.float32))
    moved = net._engine.transplant(net, net, [ParamCopy("ip", "conv")])
    assert moved == [("ip", "conv", [((3, 4), (3, 1, 2, 2)), ((3,), (3,))])]
    np.testing.assert_array_equal(net.param("conv", 0), weight.reshape(3, 1, 2, 2))
    np.testing.assert_array_equal(net.param("conv", 1), [5, 6, 7])


def test_transplant_turns_a_transposed_weight(net: CaffeNet) -> None:
    weight = np.random.default_rng(3).random((3, 4), np.float32)
    net.set_param("ip", 0, weight)
    net._engine.transplant(net, net, [ParamCopy("ip", "conv", transpose=True)])
    np.testing.assert_array_equal(net.param("conv", 0), weight.T.reshape(3, 1, 2, 2))


MISFITS = [
    (ParamCopy("ip", "small"),
     "layer ip to layer small: param 0 is 3x4 (12 values), its place is 3x1x2x1 "
     "(6 values); nothing was copied"),
    (ParamCopy("small", "conv"),
     "layer small to layer conv: param 0 is 3x1x2x1 (6 values), its place is "
     "3x1x2x2 (12 values); nothing was copied"),
    (ParamCopy("conv", "ip", transpose=True),
     "layer conv to layer ip: param 0 is 3x1x2x2 (12 values), which cannot be "
     "transposed; nothing was copied"),
    (ParamCopy("fc6", "conv"), "the net has no layer fc6"),
    (ParamCopy("data", "conv"), "layer data has no params"),
]  # fmt: skip


def test_transplant_checks_all_moves_before_the_first(net: CaffeNet) -> None:
    net.set_param("conv", 0, np.full((3, 1, 2, 2), 9, np.float32))
    for move, reason in MISFITS:
        with pytest.raises(SurgeryError) as caught:
            net._engine.transplant(net, net, [ParamCopy("ip", "conv"), move])
        assert str(caught.value) == reason
        assert np.all(net.param("conv", 0) == 9)


def test_save(net: CaffeNet, tmp_path: Path) -> None:
    net.save(tmp_path / "out.caffemodel")
    assert (tmp_path / "out.caffemodel").stat().st_size == 15


def test_a_save_that_was_cut_short_is_found_out(
    start: Opener, net_file: Callable[[str], Path], tmp_path: Path
) -> None:
    loaded = start().load(net_file("save short"))
    with pytest.raises(EngineFailed) as caught:
        loaded.save(tmp_path / "out.caffemodel")
    assert str(caught.value) == (
        f"{tmp_path}/out.caffemodel: Caffe's save was cut short; is the disk full?"
    )


def test_a_save_that_finds_no_room(
    start: Opener, net_file: Callable[[str], Path], tmp_path: Path
) -> None:
    loaded = start().load(net_file("save full"))
    with pytest.raises(EngineFailed) as caught:
        loaded.save(tmp_path / "out.caffemodel")
    assert str(caught.value) == (
        f"{tmp_path}/out.caffemodel: Caffe could not write it; is the disk full?"
    )


def test_a_closed_net_and_a_closed_engine(net: CaffeNet) -> None:
    engine = net._engine
    net.close()
    net.close()
    with pytest.raises(EngineError, match=r"net\.prototxt was closed$"):
        net.forward({}, ["sum"])
    assert engine.alive
    engine.close()
    engine.close()
    with pytest.raises(EngineFailed) as caught:
        engine.load(Path(net.path))
    assert str(caught.value) == "Caffe is not running any more: it was closed"


def test_an_exception_in_caffe_leaves_the_engine_running(
    start: Opener, net_file: Callable[[str], Path]
) -> None:
    engine = start()
    for wrong, words in (("raise", "ValueError: two lines of it"), ("quit", "SystemExit: enough")):
        with pytest.raises(EngineFailed) as caught:
            engine.load(net_file(f"load {wrong}"))
        assert str(caught.value) == f"Caffe gave up loading {net_file('')}: {words}"
    assert engine.load(net_file("nothing")).forward({}, ["sum"])["sum"] == 0


DEATHS = {
    "abort": "Caffe gave up {doing}: Check failed: bottom == top (1 vs. 2) (net.cpp:66)",
    "segfault": "Caffe's process was killed by SIGSEGV while {doing}",
    "kill": "Caffe's process was killed by SIGKILL (out of memory, perhaps) while {doing}",
    "exit": "Caffe's process ended with status 3 while {doing}",
    "garbage": ("Caffe's process gave an answer that makes no sense while {doing} (not a message)"),
    "stale": (
        "Caffe's process gave an answer that makes no sense while {doing} "
        "(not an answer to what was asked)"
    ),
    "half": "Caffe's process ended with status 0 while {doing}",
    "family": "Caffe's process was killed by SIGABRT while {doing}",
    "hang": "Caffe did not finish {doing} in 0.3 s and was stopped; --timeout gives it longer",
}


@pytest.mark.parametrize("death", DEATHS)
def test_deaths_of_each_kind(start: Opener, net_file: Callable[[str], Path], death: str) -> None:
    """One after another: what each leaves behind would be there after the last."""
    for when in ("load", "forward", "reshape"):
        doing = f"{'running' if when == 'forward' else 'loading'} {net_file('')}"
        # Only what imports modules of its own may start processes.
        allow = frozenset({"python"} if death == "family" else ())
        engine = start(timeout=0.3 if death == "hang" else 20.0, allow=allow)
        with pytest.raises(EngineError) as caught:
            run_into(engine, net_file(f"{when} {death}"))
        if when == "reshape":
            doing = f"reshaping {net_file('')}, data to 3x1x2x2"
        assert str(caught.value) == DEATHS[death].format(doing=doing)
        failed = RefusedToLoad if when == "load" else EngineFailed
        assert type(caught.value) is (EngineTimeout if death == "hang" else failed)
        assert not engine.alive
        assert family_in_the_end(engine.pid) == []
        with pytest.raises(EngineFailed, match=r"^Caffe is not running any more: it "):
            engine.load(net_file("nothing"))


def run_into(engine: PycaffeEngine, path: Path) -> None:
    net = engine.load(path)
    net.forward({}, ["sum"])
    net.reshape({"data": (3, 1, 2, 2)})


def test_a_talkative_caffe_does_not_get_stuck(
    start: Opener, net_file: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert start().load(net_file("load chatter")).inputs
    assert capfd.readouterr() == ("", "")


def test_verbose_passes_on_what_caffe_prints(
    start: Opener, net_file: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    engine = start(verbose=True)
    with pytest.raises(EngineFailed):
        engine.load(net_file("load abort"))
    out, err = capfd.readouterr()
    assert out == ""
    assert "net.cpp:66] Check failed: bottom == top (1 vs. 2)" in err
    assert "Check failure stack trace" in err


@pytest.mark.parametrize(
    ("fake", "kind", "message"),
    [
        ("abort", EngineFailed,
         "Caffe gave up starting: Check failed: bottom == top (1 vs. 2) (net.cpp:66)"),
        ("segfault", EngineFailed, "Caffe's process was killed by SIGSEGV while starting"),
        ("exit", EngineMissing,
         "{python} cannot run Caffe. Caffe's process ended with status 3 while starting"),
        ("raise", EngineMissing,
         "{python} has no usable Caffe: import caffe: ValueError: two lines of it"),
        ("hang", EngineTimeout, "{python} did not start Caffe in 1.5 s and was stopped"),
    ],
)  # fmt: skip
def test_caffe_that_does_not_start(
    start: Opener, python: str, monkeypatch: pytest.MonkeyPatch,
    fake: str, kind: type[NetsurgeryError], message: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("FAKE_CAFFE", fake)
    with pytest.raises(kind) as caught:
        start(start_timeout=1.5 if fake == "hang" else 20.0)
    assert str(caught.value) == message.format(python=python)


@pytest.mark.parametrize("fake", ["abort", "segfault", "hang", "exit", "raise"])
def test_auto_goes_on_without_a_caffe_that_does_not_start(
    python: str, monkeypatch: pytest.MonkeyPatch, fake: str
) -> None:
    """With a note, but where there simply is none that could be meant."""
    monkeypatch.setenv("FAKE_CAFFE", fake)
    limit = 1.5 if fake == "hang" else 20.0
    options = EngineOptions(caffe_python=python, start_timeout=limit)
    with registry.open_engine(options) as engine:
        assert engine.name == "embedded"
        assert engine.note.endswith(": the embedded engine was used") is (
            fake not in ("exit", "raise")
        )
    with pytest.raises(EngineError):
        registry.open_engine(replace(options, choice="caffe"))


@pytest.mark.parametrize("death", ["abort", "kill", "exit", "hang", "raise", "nothing"])
def test_auto_goes_on_without_a_caffe_that_does_not_load_a_net(
    python: str, net_file: Callable[[str], Path], death: str
) -> None:
    """Its words are in the note; what it loads is not loaded again."""
    path = net_file("again abort" if death == "nothing" else f"load {death}")
    options = EngineOptions(caffe_python=python, timeout=1.5 if death == "hang" else 20.0)
    net = NetDefinition.read(path)
    with registry.open_engine(options, [NetWithWeights(net)]) as engine:
        assert engine.name == ("caffe" if death == "nothing" else "embedded")
        if death == "nothing":
            assert dict(engine.load(net).inputs) == {"data": (1, 1, 2, 2)}
        else:
            assert f"loading {path}" in engine.note
            assert engine.note.endswith(": the embedded engine was used")


def test_gpu_with_a_caffe_that_has_none(start: Opener, python: str) -> None:
    with pytest.raises(EngineFailed) as caught:
        start(gpu=0)
    assert str(caught.value) == (
        f"this Caffe ({python}) is compiled without CUDA; leave out --gpu, "
        "or choose another with --caffe-python"
    )


def test_a_folder_named_caffe_is_no_caffe(
    start: Opener, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").touch()
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineMissing) as caught:
        start()
    assert str(caught.value) == (
        f"{python} has no usable Caffe: what it imports as caffe is not pycaffe ({tmp_path}/caffe)"
    )


def test_neither_the_current_folder_nor_the_workers_own_is_searched(
    start: Opener, net_file: Callable[[str], Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "caffe.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    # An empty entry means the current folder.
    monkeypatch.setenv("PYTHONPATH", os.pathsep + str(tmp_path))
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", os.pathsep + str(FAKE))
    assert start().info()["version"] == "0.fake"


def test_not_a_python_at_all(python: str) -> None:
    with pytest.raises(EngineMissing) as caught:
        open_engine(EngineOptions(caffe_python="/bin/true"))
    assert str(caught.value) == (
        "/bin/true cannot run Caffe. Caffe's process ended with status 0 while starting"
    )


def test_threads_are_set_for_every_blas(start: Opener) -> None:
    raw = Path(f"/proc/{start(threads=3).pid}/environ").read_bytes().split(b"\0")
    assert {b"OPENBLAS_NUM_THREADS=3", b"OMP_NUM_THREADS=3", b"MKL_NUM_THREADS=3"} <= set(raw)


CLIENT = """
import sys
from pathlib import Path
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import open_engine
engine = open_engine(EngineOptions(caffe_python=sys.argv[1]))
net = engine.load(Path(sys.argv[2]))
print(engine.pid, flush=True)
net.forward({}, ["sum"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_client_that_is_ended_takes_the_worker_along(
    python: str, net_file: Callable[[str], Path], repo_root: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", CLIENT, python, str(net_file("forward hang"))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=repo_root
    ) as client:
        assert client.stdout is not None
        worker = int(client.stdout.readline())
        assert family(worker)
        time.sleep(0.2)
        client.send_signal(number)
        assert client.wait(20) == -number
    assert family_in_the_end(worker) == []


def test_ctrl_c_in_a_request_ends_the_worker_at_once(
    start: Opener, net_file: Callable[[str], Path]
) -> None:
    engine = start()
    net = engine.load(net_file("forward hang"))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        net.forward({}, ["sum"])
    assert family(engine.pid) == []
    with pytest.raises(EngineFailed) as caught:
        net.forward({}, ["sum"])
    assert str(caught.value) == "Caffe is not running any more: it was interrupted"


def test_an_engine_that_is_forgotten_ends(python: str) -> None:
    engine = open_engine(EngineOptions(caffe_python=python))
    worker = engine.pid
    del engine
    assert family(worker) == []


def test_no_core_file_and_no_folder_to_leave_one_in(
    start: Opener, net_file: Callable[[str], Path]
) -> None:
    worker = start().pid
    limits = Path(f"/proc/{worker}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert int(line.split()[4]) <= 1
    assert os.readlink(f"/proc/{worker}/cwd").endswith(" (deleted)")


def test_a_launcher_that_stays_in_between(
    python: str, net_file: Callable[[str], Path], tmp_path: Path
) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\n"{python}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    engine = open_engine(EngineOptions(caffe_python=str(launcher)))
    with engine, pytest.raises(EngineFailed) as caught:
        engine.load(net_file("load abort"))
    assert str(caught.value) == DEATHS["abort"].format(doing=f"loading {net_file('')}")
    assert family_in_the_end(engine.pid) == []


def test_arrays_pass_by_a_file_where_there_is_no_memfd(
    python: str, net_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with open_engine(EngineOptions(caffe_python=python)) as engine:
        net = engine.load(net_file("nothing"))
        image = np.ones((1, 1, 2, 2), np.float32)
        assert net.forward({"data": image}, ["sum"])["sum"] == 4


def test_no_room_for_an_array(
    python: str, net_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_engine(EngineOptions(caffe_python=python)) as engine,
        FileIO("/dev/full", "r+") as full,
    ):
        net = engine.load(net_file("nothing"))
        monkeypatch.setattr(engine._worker, "_shared", full)
        with pytest.raises(EngineFailed) as caught:
            net.forward({"data": np.ones((1, 1, 2, 2), np.float32)}, [])
    assert str(caught.value) == "no room to hand an array to Caffe: No space left on device"


def test_from_a_thread_that_ends_before_its_engine(
    start: Opener, net_file: Callable[[str], Path]
) -> None:
    engines = []
    thread = threading.Thread(target=lambda: engines.append(start()))
    thread.start()
    thread.join()
    assert engines[0].load(net_file("nothing")).forward({}, ["sum"])["sum"] == 0
