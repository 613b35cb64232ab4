"""Large pictures of a job, in bands that workers share: the bytes are those of one process."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from killed_jobs import JOB, KilledJob
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.io.checksum import sha256_of
from netsurgery.maps import bands as bands_module
from netsurgery.maps.any_picture import as_picture
from netsurgery.maps.bands import BandRunner, BandStore, plan_bands
from netsurgery.verbs.jobs import band_worker
from netsurgery.verbs.jobs.band_worker import BandWorker
from netsurgery.verbs.jobs.bands import BandFolder
from netsurgery.verbs.jobs.folder import Chunk
from netsurgery.verbs.jobs.url_pictures import picture_at
from netsurgery.verbs.jobs.worker import JobAssignment, JobWorker

ONE_THREAD = EngineOptions("embedded", threads=1)
TILED = ns.PictureOptions("image", tile=190)


@pytest.fixture(autouse=True)
def short_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process bands of few rows, so that small pictures have some."""
    monkeypatch.setattr(bands_module, "_ROWS", 64)


@pytest.fixture
def picture(converted_net: Path) -> str:
    """A current folder with the converted net and a picture that is wider than a tile."""
    pixels = np.random.default_rng(0).integers(0, 256, (430, 260), np.uint8)
    Image.fromarray(pixels).save("large.png")
    return "large.png"


def settings() -> ns.Settings:
    return ns.Settings("digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel")


def mapper(size: ns.PictureOptions, **options: Any) -> ns.Mapper:
    return ns.open_mapper(settings(), ONE_THREAD, size=size, **options)


def planned(picture: str, **options: Any) -> JobWorker:
    """A worker of a job of one picture, in this process, that is yet to begin."""
    ns.plan_job(picture, settings(), JOB, size=TILED, engine=ONE_THREAD, **options)
    return JobWorker(JobAssignment(JOB, ONE_THREAD, "run", None, True))


def begun(worker: JobWorker, chunk: Chunk) -> BandFolder:
    """The bands of the picture, which the worker has planned."""
    with picture_at(chunk.plan.pictures[0], worker._scratch) as current:
        _, bands = worker._bands.opened(chunk, 0, current, begun=False)
    assert bands is not None
    return bands


def file_of(chunk: Chunk, band: int) -> str:
    return chunk.file(0, f".bands/{band:05d}.npy")


def lease_of_the_dead(path: Path, **note: object) -> None:
    """What a worker leaves that was killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run": "run", "picture": 0, **note, "place": "gone", "pid": 1}))
    os.utime(path, (0, 0))


@pytest.mark.parametrize("fit", ["warp", "pad"])
@pytest.mark.parametrize("blob", ["prob", "pool2", "conv1"])
def test_bands_in_any_order_have_the_bits_of_the_whole(
    picture: str, blob: str, fit: Any, tmp_path: Path
) -> None:
    """Of pictures that are scaled, too, and of a mean that has a value for each pixel."""
    size = ns.PictureOptions((440, 300) if fit == "pad" else "image", fit=fit, tile=190)
    with mapper(replace(size, tile="none"), blob=blob) as whole:
        expected = whole.map(picture).values
    with mapper(size, blob=blob) as tiled:
        opened = ns.read_picture(picture)
        plan = plan_bands(tiled, opened)
        assert plan is not None
        assert len(plan.bands) > 2
        files = [str(tmp_path / f"{number}.npy") for number in range(len(plan.bands))]
        for number in np.random.default_rng(0).permutation(len(files)):
            values = BandRunner(tiled, opened, plan).run(plan.bands[number])
            assert values.nbytes < expected.nbytes / 2
            np.save(files[number], values)
        store = BandStore("map.npy", blob=blob, plan=plan, files=files, resume=True)
        tiled.run = None  # type: ignore[assignment, method-assign]
        together = tiled.map(opened, store=store)
    assert together.values.tobytes() == expected.tobytes()
    store.remove()


def test_bands_that_are_run_in_stages(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a net with strides and padding, whose bands overlap by much."""
    monkeypatch.setattr(bands_module, "_TIMES_OVERLAP", 1)
    net, model = repo_root / "prototxt/small_caffenet.prototxt", tmp_path / "model.caffemodel"
    ns.init(net, model, seed=1)
    settings = ns.convert(net, model, tmp_path, engine="embedded").paths.settings
    assert settings is not None
    pixels = np.random.default_rng(0).integers(0, 256, (501, 307, 3), np.uint8)
    opened = as_picture(pixels)
    with ns.open_mapper(settings, ONE_THREAD, size="image") as whole:
        expected = whole.map(opened).values
    size = ns.PictureOptions("image", tile=300)
    with ns.open_mapper(settings, ONE_THREAD, size=size) as tiled:
        plan = plan_bands(tiled, opened)
        assert plan is not None
        runner = BandRunner(tiled, opened, plan)
        parts = [runner.run(band) for band in plan.bands]
        assert ", from 'conv1' on in " in tiled.tiled
    assert len(parts) > 2
    assert np.concatenate(parts, 1).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (ns.PictureOptions("image", tile="none"), {}),
        (ns.PictureOptions("image"), {}),  # as a whole: it fits the memory
        (ns.PictureOptions("net", tile=190), {}),
        (TILED, {"stride": 2}),
        (TILED, {"scales": ns.Scales((0.8, 1))}),
    ],
)
def test_what_is_not_large_has_no_bands(
    picture: str, size: ns.PictureOptions, options: dict[str, Any]
) -> None:
    with mapper(TILED) as of_large, mapper(size, **options) as of_none:
        opened = ns.read_picture(picture)
        assert plan_bands(of_large, opened) is not None
        assert plan_bands(of_none, opened) is None


def test_bands_that_would_change_bits_are_not_made(picture: str) -> None:
    """Threads share a band's columns out, and each needs some."""
    opened, many = ns.read_picture(picture), EngineOptions("embedded", threads=16)
    with ns.open_mapper(settings(), many, size=TILED) as of_many:
        assert plan_bands(of_many, opened) is None


def test_a_worker_whose_bands_are_done_by_others_makes_the_outputs(picture: str) -> None:
    """Without running the net: what is in the bands is what becomes the map."""
    with planned(picture, outputs={"npy": "map.npy"}) as worker:
        (chunk,) = worker.folder.chunks
        bands = begun(worker, chunk)
        assert worker._bands.do(chunk, 0, bands)
        np.save(file_of(chunk, 1), np.load(file_of(chunk, 1)) + 7)
        worker.do_all()
        assert sorted(os.listdir(chunk.path)) == ["0000000.json", "0000000.npy"]
        values = np.load(chunk.file(0, ".npy"))
    with mapper(TILED) as tiled:
        expected = tiled.map(picture).values
    assert bands.plan is not None
    changed = bands.plan.bands[1]
    expected[:, changed.first : changed.end] += 7
    np.testing.assert_array_equal(values, expected)


def test_a_helper_takes_bands_of_a_picture_that_another_worker_has(picture: str) -> None:
    with planned(picture) as worker:
        (chunk,) = worker.folder.chunks
        bands = begun(worker, chunk)
        holder, of_band = chunk.take({}), bands.take(2, {})
        assert holder is not None
        assert of_band is not None
        assert not worker.do(chunk)
        assert bands.left() == [2]
        status = ns.open_job(JOB).status()
        assert str(status) == (
            f"{JOB}: 0 of 1 picture done, 1 left, of 1 picture {bands.count - 1} of {bands.count} "
            "bands done, 1 at work"
        )
        of_band.end()
        holder.end()
        worker.do_all()
    assert ns.open_job(JOB).status().to_json()["bands"] == []


def test_a_worker_whose_bands_would_have_other_bits_takes_none(picture: str) -> None:
    """As one of more threads; where nobody else is there it makes the picture as a whole."""
    with planned(picture, outputs={"npy": "map.npy"}) as planner:
        (chunk,) = planner.folder.chunks
        bands = begun(planner, chunk)
    many = EngineOptions("embedded", threads=16)
    with JobWorker(JobAssignment(JOB, many, "run", None, True)) as worker:
        left, holder = bands.left(), chunk.take({})
        assert holder is not None
        assert not worker.do(chunk)
        assert bands.left() == left
        holder.end()
        worker.do_all()
        assert sorted(os.listdir(chunk.path)) == ["0000000.json", "0000000.npy"]
    with ns.open_mapper(settings(), many, size=TILED) as tiled:
        expected = tiled.map(picture).values
    np.testing.assert_array_equal(np.load(chunk.file(0, ".npy")), expected)


@pytest.mark.parametrize("file", ["lease", "0000000.bands/00001.lease"])
def test_a_picture_or_a_band_that_kills_its_workers_fails(picture: str, file: str) -> None:
    with planned(picture) as worker:
        (chunk,) = worker.folder.chunks
        begun(worker, chunk)
        lease_of_the_dead(chunk.path / file, tries=3)
        worker.do_all()
        assert sorted(os.listdir(chunk.path))[0] == "0000000.error"
    status = ns.open_job(JOB).status()
    assert [each["error"] for each in status.errors] == ["the worker died at it 3 times"]


def test_bands_that_are_none_are_an_error_of_the_picture(picture: str) -> None:
    with planned(picture) as worker:
        (chunk,) = worker.folder.chunks
        bands = begun(worker, chunk)
        worker._bands.do(chunk, 0, bands)
        np.save(file_of(chunk, 1), np.zeros((11, 1, 1), np.float32))
        worker.do_all()
    (error,) = ns.open_job(JOB).status().errors
    assert error["error"].endswith("00001.npy: has another shape than its band; remove it")
    assert chunk.bands(0).plan is None


@pytest.mark.parametrize("shape", [(430, 260), (500, 300)])
def test_bands_of_a_picture_that_has_changed_are_not_used(
    picture: str, shape: tuple[int, int]
) -> None:
    with planned(picture, outputs={"npy": "map.npy"}) as worker:
        (chunk,) = worker.folder.chunks
        bands = begun(worker, chunk)
        assert worker._bands.do(chunk, 0, bands)
        os.unlink(file_of(chunk, 1))
        Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, np.uint8)).save(picture)
        holder = chunk.take({})
        assert holder is not None
        assert not worker.do(chunk)
        assert bands.left() == [1]
        holder.end()
        worker.do_all()
        values = np.load(chunk.file(0, ".npy"))
    with mapper(TILED) as tiled:
        expected = tiled.map(picture).values
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("is_at_url", [False, True])
def test_machines_that_share_no_folder_share_a_picture(picture: str, is_at_url: bool) -> None:
    """It is the same whatever its file's time is, and not where its bytes are others."""
    url = f"file://{os.getcwd()}/there/maps.job"
    name = f"file://{os.path.abspath(picture)}" if is_at_url else picture
    outputs = {"npy": "map.npy"}
    job = ns.plan_job(name, settings(), url, size=TILED, engine=ONE_THREAD, outputs=outputs)
    with JobWorker(JobAssignment(url, ONE_THREAD, "run", None, True)) as worker:
        (chunk,) = worker.folder.chunks
        bands = begun(worker, chunk)
        os.utime(picture, (1, 1))
        holder = chunk.take({})
        assert holder is not None
        assert not worker.do(chunk)
        assert bands.left() == []
        os.unlink(f"there/maps.job/{bands.folder}/00001.npy")
        pixels = np.random.default_rng(1).integers(0, 256, (430, 260), np.uint8)
        Image.fromarray(pixels).save(picture)
        assert not worker.do(chunk)
        assert bands.left() == [1]
        holder.end()
        worker.do_all()
    job.merge()
    with mapper(TILED) as tiled:
        expected = tiled.map(picture).values
    np.testing.assert_array_equal(np.load("map.npy"), expected)
    assert os.listdir("there/maps.job/parts/00000") == ["0000000.json", "0000000.npy"]


def test_only_pictures_in_bands_are_read_for_their_bytes(
    picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a URL; one whose file changes meanwhile is done by one worker, as it is then."""
    hashed: list[str] = []

    def noted(file: str) -> str:
        hashed.append(file)
        return sha256_of(file)

    def changed(file: str) -> str:
        state = noted(file)
        os.utime(file, (len(hashed), len(hashed)))
        return state

    Image.fromarray(np.zeros((40, 40), np.uint8)).save("small.png")
    url = f"file://{os.getcwd()}/there/maps.job"
    ns.plan_job(["small.png", picture], settings(), url, size=TILED, engine=ONE_THREAD)
    with JobWorker(JobAssignment(url, ONE_THREAD, "run", None, True)) as worker:
        small, large = worker.folder.chunks
        for number, hashing in enumerate((noted, changed)):
            monkeypatch.setattr(band_worker, "sha256_of", hashing)
            assert worker._bands.opened(small, 0, "small.png", begun=False)[1] is None
            bands = worker._bands.opened(large, 1, picture, begun=False)[1]
            assert (bands is None) == bool(number)
        assert worker._bands.opened(large, 1, picture, begun=True)[1] is None
    assert hashed == 4 * [picture]


@pytest.mark.parametrize("suffixes", [[".bands"], [".over"], [".bands", ".over"]])
def test_bands_of_a_worker_that_died_when_it_was_done_go(picture: str, suffixes: list[str]) -> None:
    """It had written the record, and was yet to remove them, or at that."""
    with planned(picture) as worker:
        (chunk,) = worker.folder.chunks
        begun(worker, chunk)
        shutil.copytree(chunk.file(0, ".bands"), "kept")
        worker.do_all()
    for suffix in suffixes:
        shutil.copytree("kept", chunk.file(0, suffix))
    assert ns.open_job(JOB).resume(workers=1).done == 1
    assert os.listdir(chunk.path) == ["0000000.json"]


def test_a_plan_of_bands_that_is_none_is_refused(
    picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with planned(picture) as worker:
        (chunk,) = worker.folder.chunks
        begun(worker, chunk)
    (chunk.path / "0000000.bands/plan.json").write_text('{"size": 3}')
    assert run(["job", "status", JOB]) == 1
    assert "plan.json: is no plan of bands (" in capsys.readouterr().err


def test_a_worker_taken_for_dead_ends_without_an_error(
    picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another has made the picture of all bands meanwhile, and has removed them."""
    with planned(picture) as worker:
        (chunk,) = worker.folder.chunks
        bands = begun(worker, chunk)
        write = BandWorker._write

        def late(self: BandWorker, *words: Any) -> None:
            Path(chunk.file(0, ".json")).write_text("{}\n")
            bands.remove()
            write(self, *words)

        monkeypatch.setattr(BandWorker, "_write", late)
        worker.do_all()
    assert ns.open_job(JOB).status().done == 1


def test_killed_workers_cost_a_band_each(tmp_path: Path, repo_root: Path) -> None:
    """Of one large picture, which two workers share; the driver is killed, too."""
    job = KilledJob(tmp_path, 0, 3100, width=200)
    job.one_process()
    driver = job.start(*job.plan("--workers", "2"), SLOWLY="0.5")
    job.wait_until_begun(3)
    job.kill_a_worker()
    job.wait_until_begun(5)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    status = json.loads(job.run("job", "status", JOB, "--json").stdout)
    schema = json.loads((repo_root / "docs/json/job-status.schema.json").read_text())
    jsonschema.validate(status, schema)
    (of_large,) = status["bands"]
    assert of_large["image"] == "pictures/large.png"
    assert 0 < of_large["done"] < of_large["bands"] == 6
    resumed = job.run("job", "resume", JOB, "--workers", "2")
    assert resumed.stdout == f"{JOB}: 1 of 1 picture done\n", resumed.stderr
    assert len({pid for pid, _ in job.begun_bands()}) > 2
    assert {band for _, band in job.begun_bands()} == set(range(6))
    job.check(deaths=3)
