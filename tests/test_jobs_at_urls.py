"""Jobs at a URL, of an S3 server of this machine: the bytes are those of a job in a folder."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from killed_jobs import KilledJob
from PIL import Image
from s3_server import BUCKET, s3_server

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import JobError, NetError, OutputError
from netsurgery.io import url_lease
from netsurgery.io.lease import LEASE, own_note
from netsurgery.io.url_files import UrlFolder
from netsurgery.verbs.jobs import plan as plan_module
from netsurgery.verbs.jobs.folder import JobFolder, Tally
from netsurgery.verbs.jobs.store import JobStore, open_store
from netsurgery.verbs.jobs.worker import JobAssignment, JobWorker

EMBEDDED = ["--engine", "embedded"]

pytestmark = [
    # botocore and moto call what Python is about to lose.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """The files of a server, where this process's environment says."""
    with s3_server() as files:
        yield files


@pytest.fixture
def url(s3: Any, request: pytest.FixtureRequest) -> str:
    """Where nothing is yet."""
    return f"s3://{BUCKET}/{abs(hash(request.node.name))}/maps.job"


@pytest.fixture(params=["folder", "file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JobStore:
    """Each kind of store, empty; file is one that is not of objects."""
    if request.param == "s3":
        return open_store(str(request.getfixturevalue("url")))
    return open_store(tmp_path / "job" if request.param == "folder" else f"file://{tmp_path}/job")


def test_stores_have_one_contract(store: JobStore, tmp_path: Path) -> None:
    if store.folder is None:  # a command that was killed has left it
        store.write("net/0.caffemodel", b"net")
    store.prepare()
    assert (store.folders("parts"), store.names("parts/00000"), store.tree("parts")) == ([], [], {})
    with pytest.raises(FileNotFoundError):
        store.read("plan.json")
    store.write("plan.json", b"{}", new=True)
    with pytest.raises((OutputError, JobError)):
        store.write("plan.json", b"[]", new=True)
    assert store.read("plan.json") == b"{}"
    with pytest.raises(OutputError, match="is not empty and holds no job"):
        store.prepare()
    lease = store.take("parts/00000/lease", {"picture": 1})
    assert lease is not None
    with store.making("parts/00000", ["b.npy", "none.npy", "a.json"], tmp_path) as place:
        (place / "a.json").write_bytes(b"a")
        (place / "b.npy").write_bytes(b"bb")
    store.write("parts/00001/c.json", b"c")
    store.write("parts/00001/c.json", b"cc")
    assert sorted(store.folders("parts")) == ["00000", "00001"]
    assert sorted(store.names("parts/00000")) == ["a.json", "b.npy", "lease"]
    tree = {name: sorted(names) for name, names in store.tree("parts").items()}
    assert tree == {"00000": ["a.json", "b.npy", "lease"], "00001": ["c.json"]}
    with store.fetched("parts/00000", ["a.json", "b.npy"]) as place:
        assert ((place / "a.json").read_bytes(), (place / "b.npy").read_bytes()) == (b"a", b"bb")
    with store.fetched("parts/00000", ["b.npy"], tmp_path) as place:
        assert (place / "b.npy").read_bytes() == b"bb"
    with pytest.raises(ZeroDivisionError), store.making("parts/00001", ["d.json"], tmp_path):
        raise ZeroDivisionError
    store.remove("parts/00001/c.json")
    store.remove("parts/00001/c.json")
    assert store.names("parts/00001") == []
    lease.end()
    store.write("parts/00002/0.bands/plan.json", b"{}")
    lease = store.take("parts/00002/0.bands/lease", {}, new_folder=False)
    assert lease is not None
    store.discard("parts/00002/0.bands", "plan.json")
    assert (store.names("parts/00002/0.bands"), store.names("parts/00002")) == ([], [])
    lease.end()
    store.discard("parts/00002/0.bands", "plan.json")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "in").exists()


def test_a_place_has_one_address_in_every_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (
        "file://a.job",
        f"file:{tmp_path}/b.job",
        url.replace("/maps.job", "//maps.job/"),
    ):
        store = open_store(place)
        store.write("parts/00000/a.json", b"a", new=True)
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir("/")
            assert open_store(store.address).names("parts/00000") == ["a.json"]
    assert sorted(os.listdir(tmp_path)) == ["a.job", "b.job"]


def test_leases_have_one_contract(store: JobStore) -> None:
    store.prepare()
    name = "parts/00000/lease"
    assert not store.is_held(name)
    lease = store.take(name, {"picture": 3})
    assert lease is not None
    assert store.take(name, {}) is None
    assert store.is_held(name)
    lease.write({"picture": 4})
    lease.renew()
    assert store.note(name)["picture"] == 4
    assert store.note(name)["pid"] == os.getpid()
    lease.end()
    lease.end()
    assert (store.note(name), store.is_held(name)) == ({}, False)
    # Of a process of this machine that is gone, and of one elsewhere.
    store.write(name, json.dumps({**own_note({"tries": 2}), "started": "1"}).encode())
    assert not store.is_held(name)
    lease = store.take(name, {})
    assert lease is not None
    lease.end()
    store.write(name, b'{"place": "elsewhere", "pid": 1}')
    assert store.is_held(name)
    assert store.take(name, {}) is None
    assert all(not each.endswith(".clock") for each in store.folders(""))


def test_a_lease_from_elsewhere_ends_with_its_time(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    store.write("lease", b'{"place": "elsewhere"}')
    old = time.time() - LEASE - 1
    os.utime(tmp_path / "lease", (old, old))
    assert not store.is_held("lease")
    assert store.take("lease", {}) is not None


def test_a_lease_that_others_took_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"file://{tmp_path}")
    lease = store.take("lease", {})
    assert lease is not None
    store.write("lease", b'{"place": "elsewhere"}')
    monkeypatch.setattr(url_lease, "LEASE", 0.0)  # as if this process had been away
    for step in (lease.renew, lambda: lease.write({}), lease.end):
        step()
        assert store.note("lease") == {"place": "elsewhere"}


def test_whoever_made_a_lease_has_it_if_the_answer_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library asks again then, and finds that there is one."""
    create = UrlFolder.create

    def create_twice(self: UrlFolder, name: str, content: bytes) -> None:
        create(self, name, content)
        create(self, name, content)

    monkeypatch.setattr(UrlFolder, "create", create_twice)
    store = open_store(f"file://{tmp_path}")
    lease = store.take("lease", {})
    assert lease is not None
    assert store.take("lease", {}) is None
    lease.end()
    assert store.note("lease") == {}


def test_whoever_may_only_read_sees_who_is_at_a_job(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prepare()
    store.write("lease", b'{"place": "elsewhere", "pid": 1}')

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(UrlFolder, "write", refuse)
    assert store.is_held("lease")


def test_of_many_who_take_a_lease_at_once_one_has_it(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: open_store(url).take("lease", {}), range(8)))
    assert sum(lease is not None for lease in taken) == 1


def test_a_worker_and_the_driver_are_killed(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is resumed has the bytes of one process, a picture that cannot be read among them."""
    job = KilledJob(tmp_path, 6, 0)
    job.place = url
    (tmp_path / job.names[5]).write_bytes(b"no picture")
    job.one_process()
    driver = job.start(*job.plan("--workers", "2"), SLOWLY="0.2")
    job.wait_until_begun(3, driver=driver)
    job.kill_a_worker()
    driver.kill()
    driver.communicate()
    until = time.monotonic() + 20
    while os.listdir(job.temporary) and time.monotonic() < until:
        time.sleep(0.05)
    assert os.listdir(job.temporary) == []
    # What nobody finished, or did not put there, is nothing of the job's.
    for left in Tally(JobFolder.open(url)).count().open:
        for name in (f".{left.first:07d}.json.0123456789ab.netsurgery-tmp", "read.json"):
            left.store.write(f"{left.folder}/{name}", b'{"image"')
        left.store.write(f"{left.folder}/{left.first:07d}.npy", b"half")
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(job.temporary))
        assert run(["job", "resume", url, "--workers", "1"]) == 1
    out, errors = capsys.readouterr()
    assert out == f"{url}: 5 of 6 pictures done, 1 failed\n"
    assert errors.startswith(f"error: {job.names[5]}: ")
    job.check(deaths=2)
    status = ns.open_job(url).status().to_json()
    assert (status["done"], status["failed"], status["workers"]) == (5, 1, [])
    assert status["errors"][0]["image"] == job.names[5]


def test_workers_share_a_large_picture(url: str, tmp_path: Path) -> None:
    """One of them is killed, which costs a band."""
    job = KilledJob(tmp_path, 0, 2100, width=200)
    job.place = url
    job.one_process()
    driver = job.start(*job.plan("--workers", "2"), SLOWLY="0.3")
    job.wait_until_begun(2, driver=driver)
    (of_large,) = ns.open_job(url).status().bands
    assert (of_large["image"], of_large["bands"]) == ("pictures/large.png", 4)
    job.kill_a_worker()
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, out + err
    assert len({pid for pid, _ in job.begun_bands()}) > 1
    assert {band for _, band in job.begun_bands()} == set(range(4))
    assert [name for name in open_store(url).names("parts") if ".bands/" in name] == []
    job.check(deaths=1)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("s3://bucket/none", "holds no job (no plan.json); --job DIR of classify-map plans one"),
        ("s3://nobucket/none", "holds no job (no plan.json); --job DIR of classify-map plans one"),
        ("nonesuch://host/job", "Protocol not known: nonesuch"),
        ("s3://", "names no folder; expected one, as s3://BUCKET/NAME"),
        (
            "memory://job",
            "is in the memory of one process, and the workers of a job are others; expected a URL "
            "that they reach, as s3://BUCKET/NAME",
        ),
    ],
)
def test_where_no_job_can_be_is_one_line(
    s3: Any, place: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["job", "status", place]) == 1
    assert capsys.readouterr().err == f"error: {place}: {error}\n"


def test_a_bucket_that_is_not_there_gets_no_job(
    s3: Any, converted_net: Path, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["classify-map", str(repo_root / "examples/digits_canvas.png"), *EMBEDDED, "-q"]
    assert run([*words, "--job", "s3://nobucket/maps.job"]) == 1
    error = "The specified bucket does not exist"
    assert capsys.readouterr().err.endswith(f": {error}\n")


def test_credentials_that_do_not_count_are_one_line(
    s3: Any, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = os.environ["AWS_ENDPOINT_URL"]

    def check_after(requests: str) -> None:
        words = Request(f"{server}/moto-api/reset-auth", requests.encode())
        words.add_header("Content-Type", "text/plain")
        urlopen(words).close()

    check_after("0")
    try:
        assert run(["job", "status", url]) == 1
    finally:
        check_after("inf")
    assert capsys.readouterr().err == f"error: {url}/plan.json: Forbidden\n"


@pytest.mark.parametrize(
    ("module", "place", "error"),
    [
        ("fsspec.core", "s3://bucket/job", "fsspec is not installed; `pip install netsurgery[fssp"),
        ("gcsfs", "gs://bucket/job", "Please install gcsfs to access Google Storage"),
    ],
)
def test_a_library_that_is_missing_is_one_line(
    module: str, place: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(JobError, match=re.escape(f"{place}: {error}")):
        ns.open_job(place)


def test_a_machine_without_the_net_has_it_from_the_job(
    converted_net: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the URL of a file system that is no store of objects; the picture is where it was."""
    picture = repo_root / "examples/digits_canvas.png"
    Path("labels.txt").write_text("".join(f"class {number}\n" for number in range(11)))
    net, model = "digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel"
    settings = ns.Settings(net, model, labels="labels.txt")
    with ns.classify_maps(picture, settings, engine="embedded") as maps:
        list(maps.to_files({"npy": "one.npy", "html": "one.html"}))
    url, outputs = f"file://{converted_net}/there/maps.job", {"npy": "a.npy", "html": "a.html"}
    ns.plan_job(picture, settings, url, outputs=outputs, engine="embedded")
    os.rename(net, "old.prototxt")
    Path("labels.txt").write_text("others\n")
    (converted_net / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(converted_net / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    job = ns.open_job(url)
    assert job.resume(workers=1).done == 1
    job.merge()
    for kind in outputs:
        assert Path(f"a.{kind}").read_bytes() == Path(f"one.{kind}").read_bytes()
    assert os.listdir("tmp") == []
    # What is there is held against the plan.
    (copy,) = Path("there/maps.job/net").glob("*.txt")
    copy.write_text("yet others\n")
    next(Path("there/maps.job/parts").rglob("*.json")).unlink()
    with pytest.raises(JobError, match=rf"/net/{copy.name}: is not the file that the job was pl"):
        job.resume(workers=1)
    assert os.listdir("tmp") == []


def test_an_error_of_a_picture_names_the_net_as_the_plan_does(converted_net: Path) -> None:
    Image.new("L", (5, 5)).save("small.png")
    net, model = "digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel"
    settings, url = ns.Settings(net, model), f"file://{converted_net}/there/maps.job"
    with (
        ns.classify_maps("small.png", settings, engine="embedded", size="image") as maps,
        pytest.raises(NetError, match=f"{net}:29:7: layer 'conv2'") as raised,
    ):
        list(maps)
    job = ns.plan_job("small.png", settings, url, engine="embedded", size="image")
    os.rename(net, "old.prototxt")
    job.resume(workers=1)
    assert [each["error"] for each in job.status().errors] == [str(raised.value)]


def test_pictures_at_urls(
    s3: Any, url: str, converted_net: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that has neither pictures nor net, nor the folder that it was planned in."""
    pictures = [f"{url}/../a.png", f"{url}/../b.png", f"{url}/../none.png"]
    pictures = [os.path.normpath(name).replace("s3:/", "s3://") for name in pictures]
    pictures.append("nonesuch://host/c.png")
    files, canvas = UrlFolder(pictures[0].rpartition("/")[0]), repo_root / "examples"
    files.put(str(canvas / "digits_canvas.png"), "a.png")
    files.write("b.png", b"no picture")
    settings = ns.read_settings("netsurgery.toml")
    with ns.classify_maps(canvas / "digits_canvas.png", settings, engine="embedded") as maps:
        list(maps.to_files({"npy": "one.npy"}))
    ns.plan_job(pictures, settings, url, outputs={"npy": "maps/"}, engine="embedded")
    monkeypatch.chdir(repo_root)
    converted_net.rename(converted_net.with_name("elsewhere"))
    moved = converted_net.with_name("elsewhere")
    (moved / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(moved / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with JobWorker(JobAssignment(url, EngineOptions("embedded"), "run", None, True)) as worker:
        worker.do_all()
    assert os.listdir(moved / "tmp") == []
    job = ns.open_job(url)
    status = job.status()
    assert [each["error"] for each in status.errors] == [
        f"{pictures[1]}: not a picture of a kind that can be read (JPEG, PNG, PPM, BMP, GIF, TIFF, "
        "WebP)",
        f"{pictures[2]}: The specified key does not exist.",
        f"{pictures[3]}: Protocol not known: nonesuch",
    ]
    merged = job.merge({"npy": f"{moved}/maps/"}, records=moved / "all.jsonl")
    assert merged.written == (f"{moved}/maps/a.npy", f"{moved}/all.jsonl")
    assert (moved / "maps/a.npy").read_bytes() == (moved / "one.npy").read_bytes()
    records = [json.loads(line) for line in (moved / "all.jsonl").read_text().splitlines()]
    assert [record["image"] for record in records] == pictures
    assert os.listdir(moved / "tmp") == []


def test_a_picture_takes_few_requests(
    url: str,
    converted_net: Path,
    repo_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a worker that is alone, with 4 pictures in two chunks and an output beside the record."""
    monkeypatch.setattr(plan_module, "_CHUNKS", 2)
    pictures = [
        shutil.copy(repo_root / "examples/digits_canvas.png", f"{name}.png") for name in "abcd"
    ]
    engine = EngineOptions("embedded", threads=1)
    settings = ns.read_settings("netsurgery.toml")
    # As large as the pictures: notes are a few puts in all, however many pictures have them.
    job = ns.plan_job(
        pictures, settings, url, outputs={"npy": "maps/"}, size="image", engine=engine
    )
    with caplog.at_level("INFO", "werkzeug"):
        with JobWorker(JobAssignment(url, engine, "run", None, True)) as worker:
            caplog.clear()
            worker.do_all()
            requests = Counter(_request(each) for each in caplog.messages)
            caplog.clear()
        assert job.status().done == 4
        status = Counter(_request(each) for each in caplog.messages)
        caplog.clear()
        job.merge()
        merge = Counter(_request(each) for each in caplog.messages)
        caplog.clear()
    first_look, chunks, outputs = 2, 2, 2
    # Whether a merge was broken off, that this one is begun, and that it is over.
    begun = {"HEAD": 1, "list": 1, "PUT": 1, "DELETE": 1}
    assert requests == {
        "list": first_look + 2 * chunks, "PUT": chunks + 4 * (1 + outputs), "DELETE": chunks,
    }  # fmt: skip
    assert status == {"list": 2}
    assert merge == Counter({"list": 3, "GET": 4}) + Counter(begun)


def test_a_picture_that_kills_its_workers_fails(
    url: str, converted_net: Path, repo_root: Path
) -> None:
    picture, engine = repo_root / "examples/digits_canvas.png", EngineOptions("embedded", threads=1)
    settings = ns.read_settings("netsurgery.toml")
    job = ns.plan_job(picture, settings, url, engine=engine)
    store, name = open_store(url), "parts/00000/lease"
    lease = store.take(name, {})
    assert lease is not None
    assert [each["pid"] for each in job.status().workers] == [os.getpid()]
    lease.end()
    note = own_note({"run": "run", "picture": 0, "tries": 3}) | {"started": "1"}
    store.write(name, json.dumps(note).encode())
    assert job.status().workers == ()
    with JobWorker(JobAssignment(url, engine, "run", None, True)) as worker:
        worker.do_all()
    (error,) = job.status().errors
    assert error == {"image": str(picture), "error": "the worker died at it 3 times"}
    JobFolder.open(url).chunk_of(0).forget_error(0)
    assert job.status().left == 1


def _request(line: str) -> str:
    """What the server was asked, by a line of its log."""
    method = re.search(r"(GET|HEAD|PUT|DELETE) ", line)
    assert method is not None
    return "list" if "?list-type" in line else method[1]
