"""``netsurgery.train``: a planned training, run by Caffe's own solver."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from netsurgery.engines.contract import AnyEngine, EngineOptions, as_engine_options
from netsurgery.engines.pycaffe import PycaffeEngine, open_engine
from netsurgery.errors import EngineMissing, OutputError, SettingsError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.shape_text import shape_text
from netsurgery.io.size import as_size
from netsurgery.io.terminal import say
from netsurgery.io.wording import argument, naming_options
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.open_net.arguments import AnyPath
from netsurgery.training.feed import PlanFeed, open_plan
from netsurgery.training.initial_weights import initial_weights
from netsurgery.training.losses import write_losses
from netsurgery.training.plan_lock import alone_with
from netsurgery.training.result_files import write_results
from netsurgery.training.run import (
    Schedule,
    Trained,
    TrainingProgress,
    TrainingTask,
    run_training,
)
from netsurgery.training.run_log import LOG
from netsurgery.training.snapshots import snapshots
from netsurgery.verbs.next_command import command_in, engine_words
from netsurgery.verbs.train_result import Training

__all__ = ["TrainingProgress", "train"]

#: Evaluations of a run where nobody says how many steps apart.
_EVALUATIONS = 5
#: Steps between snapshots where nobody says.
_SNAPSHOT = 100


@checks_arguments()
def train(
    folder: AnyPath,
    *,
    resume: bool = False,
    evaluate: int | None = None,
    snapshot: int = _SNAPSHOT,
    loss_map: bool = False,
    engine: AnyEngine = "caffe",
    force: bool = False,
    progress: Callable[[TrainingProgress], object] | None = None,
) -> Training:
    """Run a training that `train_plan` has planned, in its folder, by real Caffe's solver.

    resume: go on from the newest snapshot; the end is that of a run that was never stopped, bit for
    bit where the engine has one thread. evaluate, snapshot: after how many steps the held-out
    pictures are looked at (None: at five moments of the run) and the run is saved; both also at
    the end. The newest two snapshots are kept. loss_map: in the end draw the losses of the cells of
    the held-out pictures into the folder's loss/. engine: where Caffe is, and with `gpu` on which
    device it trains. force: begin from scratch where the folder has a run. progress: called after
    each step and each evaluation; where it returns False the run is saved and stops.

    A finished run leaves deploy.prototxt, model.caffemodel, labels.txt and netsurgery.toml in the
    folder. In Python, Ctrl-C leaves the newest snapshot; the command saves before it ends.

    >>> import netsurgery as ns
    >>> def show(progress: ns.TrainingProgress) -> None:
    ...     print(progress.step, progress.loss, progress.seconds_left)
    >>> training = ns.train("plan", progress=show)  # doctest: +SKIP
    >>> print(training)  # doctest: +SKIP
    plan: 60 of 60 steps; cells of the held-out pictures right: 99.88% before, 99.91% after

    Raises FormatError for a folder that is no plan, and where a file has changed since it was
    planned; TrainingError for a folder with a run, where neither resume nor force is given, and
    where numbers stop being finite: it names the layer; SettingsError, EngineError, OutputError.
    """
    path = Path(folder)
    if resume and force:
        raise SettingsError(
            f"{argument('--resume')} and {argument('--force')} exclude each other; give one of them"
        )
    _check_numbers(evaluate, snapshot)
    options = as_engine_options(engine, "caffe")
    if options.choice != "caffe":
        raise SettingsError(f"{argument('--engine')}: only Caffe trains nets")
    feed = open_plan(path)
    looks = {argument("--evaluate"): evaluate is not None, argument("--loss-map"): loss_map}
    _check_held_out(path, feed, looks)
    steps = feed.plan.solver.steps
    schedule = Schedule(evaluate or max(1, steps // _EVALUATIONS), snapshot)
    again = [*_run_words(evaluate, snapshot, loss_map=loss_map), *engine_words(options)]
    with alone_with(path):
        files: tuple[str, ...] = ()
        with (
            initial_weights(feed.net, Path(feed.plan.model), feed.plan.seed) as weights,
            _caffe(options) as caffe,
        ):
            if force:  # only now that another can begin
                _remove_run(path)
            task = TrainingTask(
                feed.net, weights, feed.plan.solver, feed, schedule, _identity(feed)
            )

            def finish(trained: Trained) -> None:
                nonlocal files
                files = write_results(path, feed.plan, feed.net, trained.save)
                if loss_map:
                    files = (*files, write_losses(path, feed, trained.scores))

            outcome = run_training(
                task,
                path,
                caffe,
                resume=resume,
                finish=finish,
                watch=progress,
                say=lambda words: _say_how_to_go_on(path, again, words),
            )
            description = caffe.description
    return Training(
        folder=str(path),
        step=outcome.step,
        steps=steps,
        names=feed.plan.names,
        before=outcome.before,
        after=outcome.after,
        files=files,
        engine=description,
        notes=(*feed.net.notes, *outcome.notes),
        next=_next(path, feed.plan.options.size) if files else None,
    )


def _next(folder: Path, how: PictureOptions) -> str:
    """A map of a picture that is made as large as those that were learnt from."""
    words = ["netsurgery", "classify-map", "IMAGE"]
    with naming_options():  # a command also where Python ran the training
        if how.size != "net":
            size = how.size if how.size == "image" else shape_text(as_size(how.size))
            words += [argument("--size"), size]
        if how.fit != "warp":
            words += [argument("--fit"), how.fit]
    return command_in(folder, words)


def _check_numbers(evaluate: int | None, snapshot: int) -> None:
    for option, number in ((argument("--evaluate"), evaluate), (argument("--snapshot"), snapshot)):
        if number is not None and not 1 <= number < 2**31:
            raise SettingsError(f"{option} {number}: expected a number from 1 on")


def _check_held_out(folder: Path, feed: PlanFeed, asked: Mapping[str, bool]) -> None:
    """Raise SettingsError where something is asked of pictures that are held out, and none are."""
    for option, is_asked in asked.items():
        if is_asked and not feed.plan.held_out:
            raise SettingsError(
                f"{option}: no picture of {folder} is held out; leave it out, or plan "
                f"again with a larger {argument('--hold-out')}"
            )


def _caffe(options: EngineOptions) -> PycaffeEngine:
    try:
        return open_engine(options)
    except EngineMissing as missing:
        raise EngineMissing(f"training needs real Caffe: {missing}") from None


def _identity(feed: PlanFeed) -> str:
    """What a snapshot must be of to go on from it: all that decides what is learnt."""
    record = json.dumps(feed.plan.to_json(), sort_keys=True, default=str)
    return hashlib.sha256(
        f"{record}\n{feed.net.text}".encode("utf-8", "surrogateescape")
    ).hexdigest()


def _remove_run(folder: Path) -> None:
    for each in snapshots(folder):
        each.remove()
    try:
        (folder / LOG).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder / LOG}: {error.strerror}") from None


def _run_words(evaluate: int | None, snapshot: int, *, loss_map: bool) -> list[str]:
    """The options of a run as they are typed, but for those that are as usual."""
    with naming_options():  # a command also where Python runs the training
        words = [] if evaluate is None else [argument("--evaluate"), str(evaluate)]
        words += [] if snapshot == _SNAPSHOT else [argument("--snapshot"), str(snapshot)]
        return [*words, *([argument("--loss-map")] if loss_map else [])]


def _say_how_to_go_on(folder: Path, options: Sequence[str], words: str) -> None:
    # With another number of threads, or other evaluations, it would not end as this run.
    with naming_options():
        again = [*options, argument("--resume")]
    command = shlex.join(["netsurgery", "train", "run", str(folder), *again])
    say(f"{words}; `{command}` goes on\n")
