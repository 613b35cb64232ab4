"""The command ``netsurgery edit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command
from netsurgery.cli.options import (
    dry_run_option,
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_text, text_diff
from netsurgery.cli.progress import bytes_written
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import NetState
from netsurgery.surgery.edit.plan import EditPlan, plan_edit
from netsurgery.surgery.edit.write import EditPaths, check_edit_paths, write_edit

__all__ = ["command"]

_OPERATIONS = """Change params, and the structure around them, on the author's own files.

    An operation is one word. All are done from left to right, or none is.

    \b
    Params: LAYER[BLOB] is a param (conv[0] the weights, conv[1] the bias), LAYER[BLOB][SLICES]
    a part of it, as in numpy (conv[0][2], conv[0][:,0,1:-1,1:-1]). Behind it:
      =NUMBER  +=NUMBER  -=NUMBER  *=NUMBER  /=NUMBER    for NUMBER also npy:FILE
      =zero  =clip:low=-1,high=1     one of low and high may be left out
      =normalize  =normalize:l1      each filter divided by its norm: l2, l1, or its sum (sum)
      =prune:fraction=0.5            the half of least magnitude becomes 0
      =gaussian:sigma=1  =log:sigma=1  =gabor:sigma=2,lambda=4,theta=45,psi=0,gamma=1
      =sobel-x  =sobel-y  =scharr-x  =scharr-y  =scharr  =laplacian  =box  =identity  =bilinear
                                     a kernel of the filter's own size; ,channels=0,2 (alone
                                     :channels=0,2) fills these input channels, the rest stays
      save:LAYER[BLOB]=FILE.npy      write it to a file as it is then

    \b
    Kernels: gaussian, box and identity sum to 1 in each channel, log and laplacian to 0; sobel
    and scharr are in whole numbers, bilinear is Caffe's filler; angles are in degrees. sobel fits
    2 x 2 and larger, laplacian and log 3 x 3 and larger, scharr (which is scharr-x) 3 x 3,
    bilinear squares, the others any size.

    \b
    Structure:
      fold:LAYER             a BatchNorm, and the Scale behind it, into the layer before (*)
      fold                   every one that can be (*)
      split-batch-norm       NVCaffe's BatchNorm with scale and bias, and BN of PSPNet and SegNet,
                             into the BatchNorm and Scale that Caffe 1.0 reads; :LAYER one alone (*)
      swap-input-channels    BGR to RGB in the first layers; :LAYER for one alone
      fold-mean:104,117,123  the mean (or a mean file) into the first biases (*); where a layer is
                             padded it is refused, but for fold-mean:104,117,123:padding=approximate
                             (where there is a scale, fold-scale goes before it)
      fold-scale:0.017       the input's scale into the first weights; before fold-mean, since
                             Caffe's input is (x - mean) * scale
      rgb-to-grey            one input channel for three, the first weights summed: what the net
                             gave for a grey picture in all three (*); fold-mean goes before it
      grey-to-rgb            three for one, which the net makes grey of by itself: .114 of the first
                             channel, .587, .299 (BGR); :rgb the other way round, :mean a third
                             each, :0.1,0.6,0.3 shares of your own (*)
      outputs:conv2:keep=0,4-9   these outputs alone, in this order (*)
      outputs:conv2:drop=1,3-7   all outputs but these (*)
      outputs:fc8:add=5          five outputs more, of zeros (*)
    (*) changes the prototxt too: give --prototxt-out.

    What reads a layer's outputs is cut to match: the inputs of layers behind, the channels of
    BatchNorm, Scale, Bias and PReLU, depthwise convolutions, and all layers that an Eltwise or
    Scale joins with it; through Concat, Slice, Flatten, Permute and the like to the channels that
    are meant. The new net gives what the old one gives with zeros in place of the weights that
    read what is gone. Where a layer between computes with all channels, or is not known, the
    operation is refused; LRN across channels and Normalize, which change the others, pass with
    :normalization=approximate behind the operation.

    `=`, fold and split-batch-norm change nothing when they are done again on their own result.
    All others do: +=, -=, *=, /=, swap-input-channels, fold-mean, fold-scale, outputs; rgb-to-grey
    and grey-to-rgb are refused then.

    \b
    Example:
      netsurgery edit conv.prototxt conv.caffemodel -o new.caffemodel \\
          'conv[0][0]=gaussian:sigma=1' 'conv[1]+=1'
      netsurgery edit net.prototxt net.caffemodel -o folded.caffemodel \\
          --prototxt-out folded.prototxt fold
    """


@click.command("edit", cls=Command, help=_OPERATIONS)
@click.argument("prototxt", type=click.Path(path_type=Path))
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("operations", nargs=-1, required=True, metavar="OPERATION...")
@output_option(
    "-o",
    "--weights-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="Where the new weights go; HDF5 if it ends in .h5.",
)
@output_option(
    "--prototxt-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the new prototxt goes, needed where the structure changes.",
)
@state_options
@dry_run_option
@json_option
@quiet_option
@force_option
def command(
    prototxt: Path,
    weights: Path,
    operations: tuple[str, ...],
    weights_out: Path,
    prototxt_out: Path | None,
    state: NetState,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """See _OPERATIONS."""
    paths = EditPaths(weights_out, prototxt_out)
    with NetWithWeights.open(prototxt, weights, state) as model:
        plan = plan_edit(model, operations)
        check_edit_paths(plan, paths)
        written: tuple[str, ...] = ()
        if not dry_run:
            with bytes_written(quiet) as progress:
                written = write_edit(plan, model, paths, force=force, progress=progress)
    found = _facts(plan, paths, written)
    if as_json:
        echo_json(found)
    elif not quiet:
        _show(found)


def _facts(plan: EditPlan, paths: EditPaths, written: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operations": [
            {
                "operation": step.operation,
                "effects": [
                    {"layer": effect.layer, "blob": effect.blob, "what": effect.what}
                    for effect in step.effects
                ],
            }
            for step in plan.steps
        ],
        "notes": list(plan.notes),
        "weights": str(paths.weights),
        "prototxt": None if paths.prototxt is None else str(paths.prototxt),
        "saved": list(plan.saved),
        "dry_run": not written,
    }
    if not written:
        text = plan.new.prototxt.text
        found["diff"] = text_diff(plan.net.prototxt, text, str(paths.prototxt))
    return found


def _show(found: dict[str, Any]) -> None:
    for step in found["operations"]:
        echo(step["operation"])
        for effect in step["effects"]:
            blob = "" if effect["blob"] is None else f"[{effect['blob']}]"
            echo(f"  {effect['layer']}{blob}: {effect['what']}")
        if not step["effects"]:
            echo("  nothing to do")
    echo_notes(found["notes"])
    files = [found["weights"], *found["saved"], *filter(None, [found["prototxt"]])]
    if found["dry_run"]:
        echo(f"would write {', '.join(files)}")
        echo_text(f"\n{found['diff']}" if found["diff"] else "")
        return
    for name in files:
        echo(f"wrote {name}")
