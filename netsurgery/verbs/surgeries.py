"""What changes nets, from files to files: each is a plan first, and `dry_run` stops there.

Outputs appear whole or not at all, inputs are never changed, and an output that is there already
is an error without `force`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import as_settings
from netsurgery.net.net import NetDefinition as NetView
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.open_net.net import Net

if TYPE_CHECKING:
    from netsurgery.formats.settings import Settings
    from netsurgery.surgery.convolution.plan import ConvolutionPlan
    from netsurgery.surgery.edit.plan import EditPlan
    from netsurgery.surgery.initial_params import InitialPlan
    from netsurgery.surgery.transplant.plan import TransplantPlan
    from netsurgery.verbs.convert import Conversion
    from netsurgery.verbs.export import Exported
    from netsurgery.verbs.upgrade import Upgrade

# The jobs are imported where they are used: most programs need one or two of them.

__all__ = ["convert", "edit", "export_onnx", "init", "plan_convolution", "transplant", "upgrade"]


def plan_convolution(
    net: Net | AnyPath,
    *,
    suffix: str = "-conv",
    layers: str | Sequence[str] | None = None,
    input_size: tuple[int, int] | None = None,
    map_size: tuple[int, int] | None = None,
    input_shapes: Mapping[str, Shape] | None = None,
    keep_global_pooling: bool = False,
    skip_refused: bool = False,
    state: NetState = TEST,
) -> ConvolutionPlan:
    """What making a classifier fully convolutional would do: each InnerProduct a Convolution.

    net: an open net or a prototxt (of V0 too, which is upgraded first). suffix: put behind the
    names of the layers converted. layers: the InnerProduct layer or layers to convert, None for
    all. input_size: (height, width) of the new input in pixels; None to take what gives a map of
    `map_size` (rows, columns), 8 x 8 by default: old size + total stride x (cells - 1).
    input_shapes: blob -> shape, for inputs whose shape the prototxt does not tell.
    keep_global_pooling: leave global Pooling layers alone; the map then has one cell.
    skip_refused: leave layers that cannot be converted, instead of refusing all. state: in which a
    prototxt is read; an open net is in its own.

    The plan tells the new `text`, the `moves` of params with their shapes, the `inputs` that grow
    and the `maps` that come out, and `notes`. Raises SurgeryError naming each layer that stands in
    the way and why, PrototxtError, NetError.
    """
    from netsurgery.surgery.convolution import plan as planning

    return planning.plan_convolution(
        net.view if isinstance(net, Net) else NetView.read(net, state),
        suffix=suffix,
        layers=[layers] if isinstance(layers, str) else layers,
        input_size=input_size,
        map_size=map_size,
        input_shapes=input_shapes,
        keep_global_pooling=keep_global_pooling,
        skip_refused=skip_refused,
    )


def convert(
    plan: ConvolutionPlan | AnyPath,
    weights: AnyPath,
    folder: AnyPath | None = None,
    *,
    prototxt_out: AnyPath | None = None,
    weights_out: AnyPath | None = None,
    settings: Settings | AnyPath | None = None,
    engine: EngineOptions | None = None,
    verify: bool = False,
    force: bool = False,
) -> Conversion:
    """Write a classifier made fully convolutional: prototxt, weights and netsurgery.toml.

    plan: from `plan_convolution`, or a prototxt to be planned as it does by default. folder: where
    ``DEPLOY_full_conv.prototxt`` and ``MODEL_full_conv.caffemodel`` go (default: the current one),
    unless prototxt_out and weights_out name them. settings: the net's preprocessing and labels,
    which the new netsurgery.toml remembers. engine: which one moves the params (the result is the
    same) and verifies. verify: run both nets on the same input before anything appears.

    The result's `paths` are the files, `engine` is what did it. Raises SurgeryError where the net
    cannot be converted, where net and weights do not fit or the outputs differ, OutputError,
    EngineError, FormatError; nothing is written then.
    """
    from netsurgery.verbs import convert as job

    if isinstance(plan, (str, Path)):
        plan = plan_convolution(plan)
    paths = job.output_paths(
        Path(plan.net.prototxt.path),
        Path(weights),
        folder=as_path(folder),
        prototxt_out=as_path(prototxt_out),
        weights_out=as_path(weights_out),
    )
    return job.convert(
        plan,
        Path(weights),
        paths,
        settings=as_settings(settings),
        engine=engine or EngineOptions(),
        force=force,
        verify=verify,
    )


def init(
    prototxt: AnyPath,
    weights_out: AnyPath,
    *,
    seed: int = 0,
    input_shapes: Mapping[str, Shape] | None = None,
    as_caffe: bool = False,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
) -> InitialPlan:
    """Write weights as the prototxt's own fillers give them; returns which filled what.

    weights_out: HDF5 if its name ends in .h5, else a caffemodel. seed: from 0; the same one gives
    the same numbers on every machine. input_shapes: blob -> shape, (N, C, H, W) for pictures, for
    inputs and data layers' tops whose shape the prototxt does not tell. as_caffe: begin the
    statistics of a BatchNorm with Caffe's zeros, not with ones, with which the net can be run.
    state: phase, stages and level to read the net in. Raises SurgeryError naming each layer whose
    params cannot be filled, PrototxtError, NetError (for a shape of a blob that takes none, too),
    OutputError.
    """
    from netsurgery.surgery.initial_params import plan_initial_params
    from netsurgery.verbs.init import initialize

    plan = plan_initial_params(NetView.read(prototxt, state), input_shapes, as_caffe=as_caffe)
    if not dry_run:
        initialize(plan, Path(weights_out), seed=seed, force=force)
    return plan


def edit(
    prototxt: AnyPath,
    weights: AnyPath,
    operations: Sequence[str],
    weights_out: AnyPath,
    prototxt_out: AnyPath | None = None,
    *,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
) -> EditPlan:
    """Change params, and the structure around them, by the operations of ``netsurgery edit``.

    operations: done from left to right, all or none; ``conv[0][2]=gaussian:sigma=1``,
    ``conv[1]+=1``, ``fold``, ``outputs:conv2:drop=1,3-7``. `Net` is the way to numbers of one's
    own; this one knows kernels and structure. prototxt_out: needed where the structure changes.
    state: phase, stages, level and shapes to read the net in.

    The plan's `steps` tell what each operation did, `text` is the new prototxt (None where it is
    the old). Raises SurgeryError with every operation that cannot be done and why, FormatError,
    NetError, OutputError; nothing is written then.
    """
    from netsurgery.surgery.edit.plan import plan_edit
    from netsurgery.surgery.edit.write import EditPaths, check_edit_paths, write_edit

    if isinstance(operations, str):
        operations = [operations]
    paths = EditPaths(Path(weights_out), as_path(prototxt_out))
    with NetWithWeights.open(prototxt, weights, state) as model:
        plan = plan_edit(model, operations)
        check_edit_paths(plan, paths)
        if not dry_run:
            write_edit(plan, model, paths, force=force)
    return plan


def transplant(
    source: tuple[AnyPath, AnyPath],
    target: tuple[AnyPath, AnyPath | None],
    weights_out: AnyPath,
    *,
    names: Mapping[str, str] | None = None,
    prefix: str = "",
    suffix: str = "",
    cut: bool = False,
    strict: bool = False,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
) -> TransplantPlan:
    """Put the params of one net into another, layers matched by name.

    source, target: (prototxt, weights) each; the target's weights may be None, and what nothing
    comes for is then left for Caffe to fill. A param goes where it has the same shape, or the same
    numbers in another (O x C*H*W of an InnerProduct in O x C x H x W); one of another size is
    refused, never repeated or cut, unless `cut` asks for the part that overlaps. names: layer ->
    target layer, "" for none. prefix, suffix: put before or behind every other name. strict:
    every layer of the target must have its params. state: phase, stages, level and shapes to read
    both nets in.

    The plan's `transfers` tell each param's verdict: copied, reshaped, turned, reordered,
    sliced, dropped or left. Raises SurgeryError with every refusal, FormatError, NetError,
    OutputError.
    """
    from netsurgery.surgery.transplant.plan import NameRule
    from netsurgery.verbs import transplant as job

    rule = NameRule(dict(names or {}), prefix, suffix)
    one = (Path(source[0]), Path(source[1]))
    other = (Path(target[0]), as_path(target[1]))
    with job.planned_transplant(one, other, rule, state=state, cut=cut, strict=strict) as plan:
        if not dry_run:
            job.transplant(plan, Path(weights_out), force=force)
    return plan


def upgrade(
    path: AnyPath, output: AnyPath, *, force: bool = False, dry_run: bool = False
) -> Upgrade:
    """Bring a prototxt or a caffemodel of Caffe's first years (V0, V1) up to date.

    Which of the two it is its content tells. A prototxt keeps its comments, order and layout; the
    message is the one that Caffe's own upgrade tools give. The result's `changes` are what was
    done, `generation` what it was. Raises FormatError, PrototxtError, CaffemodelError,
    OutputError.
    """
    from netsurgery.verbs import upgrade as job

    with job.planned_upgrade(Path(path)) as plan:
        if not dry_run:
            job.upgrade(plan, Path(output), force=force)
    return plan


def export_onnx(
    prototxt: AnyPath,
    weights: AnyPath,
    output: AnyPath,
    *,
    blobs: str | Sequence[str] = (),
    linked: bool = False,
    preprocess: Settings | AnyPath | None = None,
    state: NetState = TEST,
    force: bool = False,
) -> Exported:
    """Write a net and its weights as one ONNX model, its values called as Caffe's blobs are.

    blobs: what the model is to give, instead of the net's outputs; layers that they do not depend
    on may be anything. linked: leave the weights in the caffemodel, which must lie in the output's
    folder or below. preprocess: fold these settings in, so that the model takes RGB pixels,
    0..255. Height, width and batch are dynamic where the net allows it. state: phase, stages, level
    and shapes to read the net in; data layers of known shapes become inputs. Raises
    NetsurgeryError for a layer that ONNX has no words for, FormatError, OutputError.
    """
    from netsurgery.verbs.export import export

    settings = None if preprocess is None else as_settings(preprocess)
    paths = Path(prototxt), Path(weights), Path(output)
    wanted = [blobs] if isinstance(blobs, str) else blobs
    return export(
        *paths, blobs=wanted, linked=linked, preprocess=settings, state=state, force=force
    )
