"""Jobs: the class maps of many pictures, by many workers, in a folder that survives all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netsurgery.engines.contract import AnyEngine
from netsurgery.errors import JobError, OutputError
from netsurgery.formats.presets import PresetName
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.argument_types import as_list, checked_argument, checks_arguments
from netsurgery.io.targets import STDOUT
from netsurgery.maps.box_rules import BoxRules, box_search
from netsurgery.maps.picture_options import AnyPictureOptions, as_picture_options
from netsurgery.maps.scales import AnyScales, as_scales
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.job_result import Job
from netsurgery.verbs.jobs.folder import JobFolder, check_places
from netsurgery.verbs.jobs.merging import Merging
from netsurgery.verbs.jobs.net_files import send_files
from netsurgery.verbs.jobs.plan import (
    JobPlan,
    make_plan,
    places_of,
    write_plan,
)
from netsurgery.verbs.jobs.store import JobStore, UrlStore, open_store
from netsurgery.verbs.jobs.url_pictures import is_read_once
from netsurgery.verbs.outputs import MapView

__all__ = ["open_job", "plan_job"]


@checks_arguments()
def plan_job(
    images: AnyPath | Iterable[AnyPath],
    settings: Settings | AnyPath | None,
    folder: AnyPath,
    *,
    outputs: Mapping[str, AnyPath] | None = None,
    view: MapView | None = None,
    size: AnyPictureOptions = "net",
    stride: int | None = None,
    scales: AnyScales | None = None,
    boxes: BoxRules | None = None,
    box_scales: Iterable[float] = (1.0,),
    blob: str | None = None,
    drop_labels: bool | None = None,
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
    inputs: Iterable[AnyPath] = (),
    force: bool = False,
) -> Job:
    """The job of mapping pictures, in a folder: made, or gone on with where it is the same.

    images: paths; for a job at a URL also URLs, which the workers fetch. folder: a path, or as text
    a URL of any file system that fsspec knows. outputs, view, inputs, force: as in
    `ClassMaps.to_files`; where the outputs are to go, which `Job.merge` has done. settings, size,
    stride, scales, boxes, box_scales, blob, drop_labels, preprocess, engine, state: as in
    `classify_maps`. Nothing is mapped yet: `Job.resume` does that. What the engine is allowed to
    do, and where it is, is not in the plan: each `resume` is given it.

    Whatever can be refused is, before anything is written. Raises what `classify_maps` and
    `to_files` raise, and JobError for a folder that holds another job, or a URL that cannot be
    reached.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> pictures = ["examples/digits_canvas.png", "none.png"]
    >>> job = ns.plan_job(pictures, settings, "digits.job", outputs={"npy": "maps/"}, blob="conv1",
    ...                   engine="embedded")
    >>> job.status().left
    2
    >>> status = job.resume(workers=1)
    >>> status.done, [each["error"] for each in status.errors]
    (1, ['none.png: No such file or directory'])
    >>> job.merge().written
    ('maps/digits_canvas.npy',)
    """
    names = [str(checked_argument("images", path, "AnyPath")) for path in as_list(images)]
    for name in names:
        if name == STDOUT or is_read_once(name):
            raise JobError(f"{name}: the pictures of a job are files, which every worker can read")
    places, store = places_of(outputs), open_store(folder)
    check_places(store, places.values())
    force = force or Merging(store, places.values()).again
    drop = blob is not None if drop_labels is None else drop_labels
    plan, notes = make_plan(
        names, as_settings(settings, preprocess), outputs=places, view=view or MapView(),
        size=as_picture_options(size), stride=stride, scales=as_scales(scales),
        boxes=box_search(boxes, box_scales), blob=blob, drop_labels=drop, engine=engine,
        state=state, inputs=inputs, force=force,
    )  # fmt: skip
    return Job(_placed(plan, store), notes, is_planned=True)


def _placed(plan: JobPlan, store: JobStore) -> JobFolder:
    """The plan in its place. Raises JobError where another is there, OutputError."""
    earlier = JobFolder.find(store)
    if earlier is None:
        try:
            return _written(plan, store)
        except (JobError, OutputError):
            earlier = JobFolder.find(store)  # of the same command on another machine
            if earlier is None:
                raise
    before = earlier.plan.to_json()
    changed = [
        key
        for key, value in plan.to_json().items()
        if before[key] != value and key != "engine_note"  # in words of Caffe's
    ]
    if changed:
        name = store.name
        raise JobError(
            f"{name}: holds a job of another plan (its {changed[0]}); name another folder, or "
            f"`netsurgery job resume {name}` goes on with that one"
        )
    return earlier


def _written(plan: JobPlan, store: JobStore) -> JobFolder:
    """The plan in a place that has none."""
    store.prepare()
    if isinstance(store, UrlStore):  # before the plan, which says that they are there
        send_files(plan, store)
    write_plan(plan, store)
    return JobFolder(store, plan)


@checks_arguments()
def open_job(folder: AnyPath) -> Job:
    """The job in a folder, as `plan_job` made it, on this machine or another. Raises JobError.

    folder: a path, or as text a URL.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> ns.plan_job("examples/digits_canvas.png", settings, "one.job", blob="conv1",
    ...             engine="embedded")
    <Job: one.job: 0 of 1 picture done, 1 left>
    >>> print(ns.open_job("one.job").status())
    one.job: 0 of 1 picture done, 1 left
    """
    return Job(JobFolder.open(folder))
