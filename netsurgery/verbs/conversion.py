"""How a conversion is written: prototxt, caffemodel and netsurgery.toml, by either engine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import (
    EffectRefused,
    EngineFailed,
    EngineMissing,
    NetError,
    SurgeryError,
)
from netsurgery.formats.settings import SETTINGS_NAME, Settings
from netsurgery.formats.weights import is_hdf5_name, kept_layer, open_weights, write_weights
from netsurgery.io.files import OutputFile, Outputs
from netsurgery.io.folders import check_output_folder, output_folders
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.targets import check_outputs
from netsurgery.io.wording import argument
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.columns import taken, to_natural
from netsurgery.surgery.convolution.plan import ConvolutionPlan, ParamMove
from netsurgery.surgery.convolution.weights import (
    WeightsMatch,
    added_layers,
    convolution_changes,
    new_params,
)
from netsurgery.verbs.convert_settings import SettingsOutcome, plan_settings
from netsurgery.verbs.default_names import default_prototxt, default_weights

if TYPE_CHECKING:
    from netsurgery.engines.pycaffe import CaffeNet
    from netsurgery.net.write_weights import ModelChange
    from netsurgery.verbs.verify_result import Verification

__all__ = [
    "ENDING",
    "OutputPaths",
    "Written",
    "check_can_be_verified",
    "model_change",
    "output_paths",
    "planned_outputs",
    "verify_conversion",
    "write_conversion",
]

#: Of the outputs' names.
ENDING = "full_conv"


class OutputPaths(NamedTuple):
    """Where the outputs go.

    >>> OutputPaths(Path("out/net.prototxt"), Path("out/net.caffemodel")).settings.as_posix()
    'out/netsurgery.toml'
    """

    prototxt: Path
    weights: Path

    @property
    def settings(self) -> Path:
        """The netsurgery.toml beside the new prototxt."""
        return self.prototxt.parent / SETTINGS_NAME

    def written(self, outcome: SettingsOutcome) -> list[Path]:
        """The outputs in the order they appear; the prototxt last, as it implies its weights."""
        return [self.weights, *([self.settings] if outcome.text is not None else []), self.prototxt]


class Written(NamedTuple):
    """What was written: by which engine, in how many seconds.

    engine_note: why the embedded engine moved the params although there is a Caffe, "" elsewhere.
    settings: what became of netsurgery.toml. verification: the comparison
    of both nets, where that was asked for.
    """

    files: tuple[str, ...]
    engine: str
    engine_note: str
    seconds: float
    settings: SettingsOutcome
    verification: Verification | None = None


def output_paths(
    prototxt: str,
    weights: str,
    *,
    folder: Path | None = None,
    prototxt_out: Path | None = None,
    weights_out: Path | None = None,
) -> OutputPaths:
    """``STEM_full_conv`` of each input in `folder` (default: the current one), unless given.

    What is read as HDF5 is written so. Raises OutputError for a `folder` that can be none.
    """
    folder = Path() if folder is None else folder
    files = f"{argument('--prototxt-out')} and {argument('--weights-out')} name files"
    check_output_folder(folder, f"; {files}")
    return OutputPaths(
        prototxt_out or folder / default_prototxt(prototxt, ENDING),
        weights_out or folder / default_weights(weights, ENDING),
    )


def planned_outputs(
    plan: ConvolutionPlan,
    model: NetWithWeights,
    paths: OutputPaths,
    settings: Settings,
    drawing: Path | None = None,
) -> tuple[SettingsOutcome, list[Path]]:
    """What becomes of netsurgery.toml, and the files to write. Raises OutputError."""
    outcome = plan_settings(plan, settings, paths.settings, paths.prototxt, paths.weights)
    files = [*([] if drawing is None else [drawing]), *paths.written(outcome)]
    # In a folder that is still to be made nothing is in the way; only one level is made.
    to_check = [
        path
        for path in files
        if os.path.isdir(path.parent) or not os.path.isdir(path.parent.parent)
    ]
    # That a file exists is for `Outputs` to refuse, and for a dry run to report.
    check_outputs(to_check, inputs=[*model.files, *settings.files], force=True)
    return outcome, files


def model_change(plan: ConvolutionPlan, model: NetWithWeights) -> ModelChange:
    """What becomes of the weights."""
    from netsurgery.net.write_weights import ModelChange

    weights = model.weights
    return ModelChange(plan.new, convolution_changes(plan, weights), added_layers(plan, weights))


def check_can_be_verified(plan: ConvolutionPlan) -> None:
    """Raise SurgeryError for a map to which others are added: the classifier has no such scores.

    And for a net of another phase: in training Dropout draws at random.
    """
    if plan.fusions:
        raise SurgeryError(
            f"{argument('--verify')} compares the classifier's map, and {argument('--skip')} adds "
            "those of other layers to it; convert without it first to verify the classifier's"
        )
    if plan.net.state.phase != "TEST":
        raise SurgeryError(
            f"{plan.net.prototxt.path}: what is converted in the {plan.net.state.phase} phase "
            "cannot be verified, since nets are run in the TEST phase; leave out "
            f"{argument('--verify')}"
        )


def write_conversion(
    plan: ConvolutionPlan,
    model: NetWithWeights,
    matched: WeightsMatch,
    paths: OutputPaths,
    *,
    settings: Settings,
    engine: EngineOptions,
    drawing: tuple[Path, bytes] | None = None,
    force: bool = False,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write what `plan` says, the params moved by real Caffe or at the protobuf level.

    settings: the preprocessing to remember; the names of the net's files are set here. drawing: a
    file that is written with them, and what it holds. verify: run
    both nets in `engine` before any output appears. progress: called with the bytes written so far
    and those in all, where the engine says. Raises SurgeryError where the nets' outputs differ,
    OutputError, EngineError; nothing is written then.
    """
    started = time.monotonic()
    outcome, files = planned_outputs(plan, model, paths, settings, drawing and drawing[0])
    # Folders outermost: those that were made are removed on an error, once they are empty.
    inputs = [*model.files, *settings.files]
    with output_folders(files), Outputs(files, inputs=inputs, force=force) as outputs:
        outputs[paths.prototxt].write(plan.new.prototxt.to_bytes())
        if drawing is not None:
            outputs[drawing[0]].write(drawing[1])
        if outcome.text is not None:
            outputs[paths.settings].write(outcome.text.encode())
        by, note = _move(plan, model, outputs, paths, matched, engine, progress)
        verification = _verified_outputs(model, outputs, paths, engine) if verify else None
    seconds = time.monotonic() - started
    return Written(tuple(map(str, files)), by, note, seconds, outcome, verification)


def _move(
    plan: ConvolutionPlan,
    model: NetWithWeights,
    outputs: Outputs,
    paths: OutputPaths,
    matched: WeightsMatch,
    options: EngineOptions,
    progress: Callable[[int, int], None] | None,
) -> tuple[str, str]:
    """Write the new weights; returns what did it, and a note on that or ""."""
    target, note = outputs[paths.weights], ""
    # Asked before Caffe starts, which would abort on such a layer (Net::CopyTrainedLayersFrom).
    if options.choice == "auto" and matched.unfit:
        note = f"Caffe does not load layer {matched.unfit[0].layer!r}: the embedded engine was used"
    elif options.choice != "embedded":
        # Imported where there may be a Caffe: converting without needs none of it.
        from netsurgery.engines.model_file import check_found_by_caffe
        from netsurgery.engines.pycaffe import ParamCopy
        from netsurgery.engines.registry import fall_back, open_caffe

        if options.choice == "caffe":
            # Under auto `what_caffe_lacks` asks the same, and the embedded engine takes over.
            check_found_by_caffe(model)
        try:
            # Named before the worker is confined, so that it writes this file itself.
            caffe, note = open_caffe(options, [model], [Path(target.temporary)])
        except EngineMissing:
            if options.choice == "caffe":
                raise
            # Under auto a Caffe that is not there is not worth a note.
            caffe = None
        if caffe is not None:
            with fall_back(options) as notes, caffe:
                nets = _for_caffe(plan, model, options)
                # Renamed layers have no params yet; all others are those of the net before.
                with _way_out(options):
                    before = caffe.load(nets[0], Path(model.path))
                    after = caffe.load(nets[1], Path(model.path), partial=True)
                # Caffe copies what keeps its order; other columns are gathered here.
                plain = [move for move in plan.moves if move.columns is None]
                moves = [ParamCopy(move.layer, move.target, move.transpose) for move in plain]
                caffe.transplant(before, after, moves)
                for move in plan.moves:
                    if move.columns is not None:
                        _gather(before, after, move)
                for name, params in new_params(plan).items():
                    for number, param in enumerate(params):
                        after.set_param(name, number, param)
                _save(after.save, target)
                return caffe.description, ""
            # Reached where Caffe refused a net, which `fall_back` made a note.
            note = "".join(notes)
    from netsurgery.net.write_weights import write_model

    write_model(target, model, model_change(plan, model), progress)
    return "embedded", note


def _for_caffe(
    plan: ConvolutionPlan, model: NetWithWeights, options: EngineOptions
) -> tuple[NetDefinition, NetDefinition]:
    """The old net and the new one, without what does more than is allowed and moves no params."""
    from netsurgery.net.effects import harmless

    holding = {*model.stored, *(move.target for move in plan.moves)}
    if plan.upsampling is not None:
        holding.add(plan.upsampling.layer)
    nets = []
    for net in (plan.net, plan.new):
        tops = [top for layer in net.layers if layer.name in holding for top in layer.tops]
        nets.append(harmless(net, tops, options.allow))
    return nets[0], nets[1]


def _gather(before: CaffeNet, after: CaffeNet, move: ParamMove) -> None:
    """Move the params of an InnerProduct whose columns go elsewhere."""
    for index, shape in enumerate(move.new):
        values = before.param(move.layer, index)
        # Index 1 is the bias, which has no columns.
        if index == 0 and move.columns is not None:
            values = taken(values, to_natural(move.columns, move.first), turned=move.transpose)
        after.set_param(move.target, index, values.reshape(shape))


@contextmanager
def _way_out(options: EngineOptions) -> Iterator[None]:
    """Where Caffe refuses a net, a fork's layers in it perhaps, say what needs no Caffe."""
    try:
        yield
    except (EffectRefused, EngineFailed, NetError) as error:
        # `fall_back` notes what Caffe refuses, and the embedded engine is used anyway.
        if options.choice == "auto":
            raise
        raise type(error)(
            f"{error}; {argument('--engine embedded')} converts without Caffe"
        ) from None


def _save(save: Callable[[Path], None], target: OutputFile) -> None:
    """Have Caffe save its net; HDF5 by way of a caffemodel, since our lock keeps its HDF5 out."""
    if not is_hdf5_name(target.path):
        _save_as(save, Path(target.temporary), Path(target.path))
        return
    with scratch_folder() as folder:
        saved = folder / "saved.caffemodel"
        save(saved)
        with open_weights(saved) as weights:
            write_weights(target, [kept_layer(layer) for layer in weights.layers])


def _save_as(save: Callable[[Path], None], path: Path, target: Path) -> None:
    """Save to `path`. Errors name the target, which the user knows."""
    try:
        save(path)
    except EngineFailed as failed:
        raise EngineFailed(str(failed).replace(str(path), str(target))) from None


def verify_conversion(
    old: NetWithWeights, new: NetWithWeights, options: EngineOptions
) -> Verification:
    """Run the net and what it became. Raises SurgeryError where they differ."""
    from netsurgery.verbs.verify import verify_models
    from netsurgery.verbs.verify_inputs import Samples

    verification = verify_models(old, new, Samples(), [options])
    if not verification.outputs and verification.unchecked:
        raise SurgeryError(
            f"nothing could be verified: {verification.unchecked[0]}; leave out "
            f"{argument('--verify')}"
        )
    # Stricter than `verify`: conversion changes no number, so no blob inside may differ.
    if not verification.same or verification.first_difference is not None:
        raise SurgeryError(
            f"the converted net is not the same function: {verification.explanation}"
        )
    return verification


def _verified_outputs(
    model: NetWithWeights,
    outputs: Outputs,
    paths: OutputPaths,
    options: EngineOptions,
) -> Verification:
    """The same of outputs that have no names yet."""
    new = Path(outputs[paths.prototxt].temporary)
    with (
        _weights_as_file(outputs[paths.weights]) as weights,
        NetWithWeights.open(new, weights, model.net.state) as after,
    ):
        try:
            return verify_conversion(model, after, options)
        except (EffectRefused, EngineFailed, NetError) as error:
            # What is wrong is said of the outputs, by the names that the user knows.
            words = str(error).replace(str(new), str(paths.prototxt))
            raise type(error)(words.replace(str(weights), str(paths.weights))) from None


@contextmanager
def _weights_as_file(output: OutputFile) -> Iterator[Path]:
    """The output as a file that Caffe reads: HDF5 has to have its name, and no lock."""
    if not is_hdf5_name(output.path):
        yield Path(output.temporary)
        return
    import shutil

    with scratch_folder() as folder:
        copied = folder / "made.caffemodel.h5"
        shutil.copyfile(output.temporary, copied)
        yield copied
