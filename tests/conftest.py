"""Fixtures shared by all tests: where things are, and real Caffe where there is one."""

from __future__ import annotations

import gc
import gzip
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lacking import lacking
from others_data import serve

import netsurgery
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.discovery import locate_caffe
from netsurgery.engines.probing import guest_environment
from netsurgery.engines.pycaffe import PycaffeEngine, open_engine
from netsurgery.errors import EngineMissing
from netsurgery.io import memory

REPO_ROOT = Path(__file__).resolve().parent.parent


#: Where this run, all its processes, keeps what netsurgery keeps in the user's cache.
CACHE = "NETSURGERY_CACHE"


def pytest_configure(config: pytest.Config) -> None:
    """No test sees what whoever runs it has configured (`netsurgery caffe use`) or in a cache."""
    os.environ["XDG_CONFIG_HOME"] = os.devnull
    if not hasattr(config, "workerinput"):  # processes of workers have that of whom started them
        os.environ[CACHE] = tempfile.mkdtemp(prefix="cache-of-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """What was kept goes with the run."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[CACHE], ignore_errors=True)


def pytest_collection_finish() -> None:
    """What was collected lives as long as the run: no collection of garbage looks through it."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on what was not run, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"{reasons.total()} tests were not run: {listed}")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return REPO_ROOT


@pytest.fixture
def bundled_nets(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own, with the bundled nets in it."""
    for name in ("prototxt", "models"):
        (tmp_path / name).symlink_to(repo_root / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def converted_net(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own, with the bundled net, converted, and its settings."""
    monkeypatch.chdir(tmp_path)
    net = repo_root / "prototxt/digits_deploy.prototxt"
    model = repo_root / "models/digits/digits.caffemodel"
    netsurgery.convert(net, model, ".", engine=EngineOptions("embedded"))
    return tmp_path


@pytest.fixture(scope="session")
def shared_data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real nets, weights and pictures of others, beside the repository and no part of it.

    Where they are not, what Debian's Caffe and its documentation have of them.
    """
    folder = REPO_ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    docs: Path = request.getfixturevalue("caffe_docs")
    engine: PycaffeEngine = request.getfixturevalue("live_caffe_engine")()
    package = Path(engine.info()["file"]).parent
    return serve(docs, package, tmp_path_factory.mktemp("data"))


@pytest.fixture
def fresh_budget() -> Iterator[None]:
    """The budget of memory, none of it in use by what earlier tests have left; no limit after."""
    gc.collect()
    earlier, memory._BUDGET.taken = memory._BUDGET.taken, 0
    yield
    memory.set_max_memory(None)
    memory._BUDGET.taken += earlier


@pytest.fixture(scope="session")
def caffe_python() -> str:
    """The interpreter that has pycaffe, found as the product finds it."""
    try:
        return locate_caffe()
    except EngineMissing as missing:
        lacking(str(missing))


@pytest.fixture(scope="session")
def live_caffe_engine(caffe_python: str) -> Iterator[Callable[[], PycaffeEngine]]:
    """Gives the one engine of the run; a new one if a test killed it or closed it.

    It has one thread: OpenBLAS's threads wait for each other busily, and other tests run beside.
    """
    engines: list[PycaffeEngine] = []

    def live() -> PycaffeEngine:
        if not engines or not engines[-1].alive:
            engines.append(open_engine(EngineOptions(caffe_python=caffe_python, threads=1)))
        return engines[-1]

    yield live
    for engine in engines:
        engine.close()


@pytest.fixture
def caffe_engine(live_caffe_engine: Callable[[], PycaffeEngine]) -> PycaffeEngine:
    """Real Caffe, started once for the whole run."""
    return live_caffe_engine()


@pytest.fixture(scope="session")
def allowed_caffe(caffe_python: str) -> Iterator[PycaffeEngine]:
    """Real Caffe for nets that read files of a test's own."""
    options = EngineOptions(caffe_python=caffe_python, threads=1, allow=frozenset({"reads"}))
    with open_engine(options) as engine:
        yield engine


@pytest.fixture(scope="session")
def refusal_of_caffe(caffe_python: str) -> Callable[[Path], str]:
    """What Caffe itself prints when it is given a prototxt that nobody here has read."""

    def words(prototxt: Path) -> str:
        script = "import sys, caffe; caffe.Net(sys.argv[1], caffe.TEST)"
        command = ["sh", "-c", 'ulimit -c 0; exec "$@"', "sh", caffe_python, "-c", script]
        done = subprocess.run(
            [*command, prototxt], cwd="/", capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode != 0, "Caffe takes it"
        return done.stderr

    return words


@pytest.fixture(scope="session")
def run_in_caffe(caffe_python: str) -> Callable[..., str]:
    """Runs a script with arguments under Caffe's interpreter; gives what it prints."""
    # What few scripts use, SciPy and scikit-image, is most of what `import caffe` takes.
    later = (REPO_ROOT / "netsurgery/engines/caffe_import.py").read_text() + "put_off_pictures()\n"

    def run(script: str, *arguments: object) -> str:
        command = [caffe_python, "-c", later + script, *map(str, arguments)]
        env = {**guest_environment(), "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd="/", env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def caffe_docs(
    live_caffe_engine: Callable[[], PycaffeEngine], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Debian's caffe-doc: models/ and examples/, prototxts unpacked where they were gzipped."""
    package = Path(live_caffe_engine().info()["file"])
    places = [root / "usr/share/doc/caffe-doc" for root in [*package.parents, Path("/")]]
    source = next((place for place in places if place.is_dir()), None)
    if source is None:
        lacking(f"no caffe-doc beside {package}")
    return unpacked(source, tmp_path_factory.mktemp("caffe-doc"))


def unpacked(source: Path, folder: Path) -> Path:
    for path in sorted(source.rglob("*")):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith(".prototxt.gz"):
            target.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        elif path.suffix in {".prototxt", ".jpg", ".png"}:
            shutil.copy(path, target)
    return folder


@pytest.fixture
def option_names() -> Iterator[None]:
    """Messages name options, as in a command, and not the arguments of Python."""
    from netsurgery.io.wording import naming_options

    with naming_options():
        yield
