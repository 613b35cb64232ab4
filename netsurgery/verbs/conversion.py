"""How a conversion is written: prototxt, caffemodel and netsurgery.toml, by either engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import (
    EffectRefused,
    EngineFailed,
    EngineMissing,
    NetError,
    OutputError,
    SurgeryError,
)
from netsurgery.formats.prototxt import as_file
from netsurgery.formats.settings import SETTINGS_NAME, Settings
from netsurgery.formats.weights import is_hdf5_name, kept_layer, open_weights, write_weights
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.files import OutputFile, Outputs
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.targets import check_links, check_outputs
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.write_weights import ModelChange, write_model
from netsurgery.surgery.columns import taken, to_natural
from netsurgery.surgery.convolution.plan import ConvolutionPlan, ParamMove
from netsurgery.surgery.convolution.weights import (
    WeightsMatch,
    added_layers,
    convolution_changes,
    match_weights,
)
from netsurgery.verbs.convert_settings import SettingsOutcome, check_settings, plan_settings

if TYPE_CHECKING:
    from netsurgery.engines.pycaffe import CaffeNet
    from netsurgery.verbs.verify_result import Verification

__all__ = [
    "Conversion",
    "DryRun",
    "OutputPaths",
    "check_conversion",
    "output_paths",
    "write_conversion",
]


@dataclass(frozen=True)
class OutputPaths:
    """Where the outputs go."""

    prototxt: Path
    weights: Path

    @property
    def settings(self) -> Path:
        """The netsurgery.toml beside the new prototxt."""
        return self.prototxt.parent / SETTINGS_NAME

    def written(self, kept: SettingsOutcome) -> list[Path]:
        """The outputs in the order they appear; the prototxt last, as it implies its weights."""
        return [self.weights, *([self.settings] if kept.text is not None else []), self.prototxt]


@dataclass(frozen=True)
class DryRun:
    """What a conversion would do: how the weights match, why no netsurgery.toml, which outputs are
    there already."""

    weights: WeightsMatch
    settings_note: str
    written: tuple[Path, ...]
    existing: tuple[Path, ...]


@dataclass(frozen=True)
class Conversion:
    """What was done: by which engine, how the weights matched, and in how many seconds.

    engine_note: why the embedded engine moved them although there is a Caffe, "" elsewhere.
    settings_note: why no netsurgery.toml was written, "" if one was. verified: what running both
    nets found, where that was asked for.
    """

    plan: ConvolutionPlan
    paths: OutputPaths
    weights: WeightsMatch
    engine: str
    engine_note: str
    seconds: float
    settings_note: str
    verified: Verification | None = None


def output_paths(
    prototxt: Path,
    weights: Path,
    *,
    folder: Path | None = None,
    prototxt_out: Path | None = None,
    weights_out: Path | None = None,
) -> OutputPaths:
    """``STEM_full_conv`` of each input in `folder` (default: the current one), unless given.

    A prototxt from standard input ("-") has the stem "net". What is read as HDF5 is written so.
    Raises OutputError for a `folder` that is a file.
    """
    folder = Path() if folder is None else folder
    if folder.is_file():
        hint = "--prototxt-out and --weights-out name files"
        raise OutputError(f"{folder}: is a file, expected a folder for the outputs; {hint}")
    stem = "net" if str(prototxt) == "-" else prototxt.stem
    model, form = weights.stem, ".caffemodel"
    if is_hdf5_name(weights):
        model, form = model.removesuffix(".caffemodel"), ".caffemodel.h5"
    return OutputPaths(
        prototxt_out or folder / f"{stem}_full_conv.prototxt",
        weights_out or folder / f"{model}_full_conv{form}",
    )


def check_conversion(
    plan: ConvolutionPlan, weights: Path, paths: OutputPaths, *, settings: Settings
) -> DryRun:
    """Check all that `write_conversion` checks before it writes. Raises what it would."""
    check_settings(plan, settings)
    kept = plan_settings(plan, settings, paths.settings, paths.prototxt, paths.weights)
    written = paths.written(kept)
    with NetWithWeights(plan.net, weights) as model:
        matched = match_weights(plan, model)
    if all(path.parent.is_dir() for path in written):
        check_outputs(written, inputs=[plan.net.prototxt.path, weights], force=True)
    existing = tuple(path for path in written if path.exists())
    return DryRun(matched, kept.note, tuple(written), existing)


def write_conversion(
    plan: ConvolutionPlan,
    weights: Path,
    paths: OutputPaths,
    *,
    settings: Settings,
    engine: EngineOptions,
    force: bool = False,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write what `plan` says, the params moved by real Caffe or on the wire.

    settings: the preprocessing to remember; what tells the model is set here.
    verify: run both nets in `engine` before any output appears; nets of the TEST phase only.
    progress: called with the bytes written so far and those in all, where the engine says.
    Raises SurgeryError where net and model do not fit, or the nets' outputs differ, OutputError,
    EngineError; nothing is written then.
    """
    started = time.monotonic()
    if verify and plan.net.state.phase != "TEST":
        # In training Dropout leaves the outputs to chance.
        raise SurgeryError(
            f"{plan.net.prototxt.path}: what is converted in the {plan.net.state.phase} phase "
            "cannot be verified, since nets are run in the TEST phase; leave out --verify"
        )
    check_settings(plan, settings)
    kept = plan_settings(plan, settings, paths.settings, paths.prototxt, paths.weights)
    written = paths.written(kept)
    with NetWithWeights(plan.net, weights) as model, _folders(written):
        matched = match_weights(plan, model)
        with Outputs(written, inputs=model.files, force=force) as outputs:
            outputs[paths.prototxt].write(plan.new.prototxt.to_bytes())
            if kept.text is not None:
                outputs[paths.settings].write(kept.text.encode())
            by, note = _move(plan, model, outputs, paths, matched, engine, progress)
            found = _verified(plan, model, outputs, paths, engine) if verify else None
    seconds = time.monotonic() - started
    return Conversion(plan, paths, matched, by, note, seconds, kept.note, found)


@contextmanager
def _folders(paths: list[Path]) -> Iterator[None]:
    """Make the outputs' folders; those that were made are taken away again on an error."""
    made = []
    try:
        for folder in {path.parent for path in paths}:
            if not folder.exists():
                check_links(folder)
                try:
                    with step:
                        folder.mkdir()
                        made.append(Undo(folder.rmdir))
                except (FileNotFoundError, FileExistsError, NotADirectoryError):
                    pass  # what is wrong with its name is said when a file goes there
                except OSError as error:
                    raise OutputError(f"{folder}: {error.strerror}") from error
        yield
    except BaseException:
        for undo in made:
            with suppress(OSError):
                undo()
        raise
    finally:
        for undo in made:
            undo.forget()


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
    if options.choice == "auto" and matched.unfit:
        note = f"Caffe does not load layer {matched.unfit[0].layer!r}: the embedded engine was used"
    elif options.choice != "embedded":
        from netsurgery.engines.model_file import check_found_by_caffe
        from netsurgery.engines.pycaffe import ParamCopy
        from netsurgery.engines.registry import fall_back, open_caffe

        if options.choice == "caffe":
            check_found_by_caffe(model)
        try:
            caffe, note = open_caffe(options, [model], [Path(target.temporary)])
        except EngineMissing:
            if options.choice == "caffe":
                raise
            caffe = None
        if caffe is not None:
            with fall_back(options) as notes, caffe:
                nets = _for_caffe(plan, model, options)
                # Renamed layers have no params yet; all others are those of the net before.
                with _way_out(options):
                    before = caffe.load(nets[0], Path(model.path))
                    after = caffe.load(nets[1], Path(model.path), partial=True)
                plain = [move for move in plan.moves if move.columns is None]
                moves = [ParamCopy(move.layer, move.target, move.transpose) for move in plain]
                caffe.transplant(before, after, moves)
                for move in plan.moves:
                    if move.columns is not None:
                        _gather(before, after, move)
                _save(after.save, target)
                return caffe.description, ""
            note = "".join(notes)
    weights = model.weights
    change = ModelChange(plan.new, convolution_changes(plan, weights), added_layers(plan, weights))
    write_model(target, model, change, progress)
    return "embedded", note


def _for_caffe(
    plan: ConvolutionPlan, model: NetWithWeights, options: EngineOptions
) -> tuple[NetDefinition, NetDefinition]:
    """The old net and the new one, without what does more than is allowed and moves no params."""
    from netsurgery.net.effects import harmless

    holding = {*model.stored, *(move.target for move in plan.moves)}
    nets = []
    for net in (plan.net, plan.new):
        tops = [top for layer in net.layers if layer.name in holding for top in layer.tops]
        nets.append(harmless(net, tops, options.allow))
    return nets[0], nets[1]


def _gather(before: CaffeNet, after: CaffeNet, move: ParamMove) -> None:
    """Move the params of an InnerProduct whose columns go elsewhere."""
    for index, shape in enumerate(move.new):
        values = before.param(move.layer, index)
        if index == 0 and move.columns is not None:
            values = taken(values, to_natural(move.columns, move.first), turned=move.transpose)
        after.set_param(move.target, index, values.reshape(shape))


@contextmanager
def _way_out(options: EngineOptions) -> Iterator[None]:
    """Where Caffe refuses a net, a fork's layers in it perhaps, say what needs no Caffe."""
    try:
        yield
    except (EffectRefused, EngineFailed, NetError) as error:
        if options.choice == "auto":
            raise
        raise type(error)(f"{error}; --engine embedded converts without Caffe") from None


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
    """Save to `path`. What goes wrong is told of the target, the name that the user knows."""
    try:
        save(path)
    except EngineFailed as failed:
        raise EngineFailed(str(failed).replace(str(path), str(target))) from None


def _verified(
    plan: ConvolutionPlan,
    model: NetWithWeights,
    outputs: Outputs,
    paths: OutputPaths,
    options: EngineOptions,
) -> Verification:
    """Run the net and what was made of it. Raises SurgeryError where they differ."""
    from netsurgery.verbs.verify import verify_models
    from netsurgery.verbs.verify_inputs import Samples

    new = Path(outputs[paths.prototxt].temporary)
    state = plan.net.state
    with (
        as_file(plan.net.prototxt) as old,
        _weights_as_file(outputs[paths.weights]) as made,
        NetWithWeights.open(old, model.path, state) as one,
        NetWithWeights.open(new, made, state) as other,
    ):
        try:
            found = verify_models(one, other, Samples(), [options])
        except (EffectRefused, EngineFailed, NetError) as error:
            # What is wrong is said of the outputs, by the names that the user knows.
            words = str(error).replace(str(new), str(paths.prototxt))
            words = words.replace(str(old), plan.net.prototxt.path)
            raise type(error)(words.replace(str(made), str(paths.weights))) from None
    if not found.same or found.first_difference is not None:
        raise SurgeryError(f"the converted net is not the same function: {found.explanation}")
    return found


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
