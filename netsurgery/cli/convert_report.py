"""What ``netsurgery convert`` tells: the facts of a conversion, as JSON and as a table."""

from __future__ import annotations

from typing import Any

from netsurgery.cli.printing import echo, echo_notes
from netsurgery.cli.table import echo_table
from netsurgery.cli.text_diff import text_diff
from netsurgery.cli.verify_report import facts as verified
from netsurgery.cli.verify_report import verified_lines
from netsurgery.jobs.convert import Conversion, Places, Rehearsal
from netsurgery.surgery.convolution.plan import ConvolutionPlan

__all__ = ["facts", "show"]


def facts(plan: ConvolutionPlan, places: Places, made: Conversion | Rehearsal) -> dict[str, Any]:
    """Everything there is to tell; a dry run tells the diff too."""
    found: dict[str, Any] = {
        "layers": [
            {
                "layer": move.layer,
                "target": move.target,
                "old": [list(old) for old in move.old],
                "new": [list(new) for new in move.new],
                "transpose": move.transpose,
                **({"reordered": True} if move.columns is not None else {}),
            }
            for move in plan.moves
        ],
        "renamed_blobs": plan.renames,
        "windows": {layer: list(size) for layer, size in plan.windows.items()},
        "removed_layers": list(plan.removed),
        "inputs": [
            {
                "name": one.name,
                "old": list(one.old),
                "new": list(one.new),
                "window": list(one.window),
                "stride": None if one.stride is None else [float(step) for step in one.stride],
            }
            for one in plan.inputs
        ],
        "maps": {blob: list(shape) for blob, shape in plan.maps.items()},
        "layers_without_params": list(made.weights.missing),
        "params_without_layer": list(made.weights.extra),
        "notes": [*_bom(plan), *plan.notes, *_notes(made)],
        "prototxt": str(places.prototxt),
        "weights": str(places.weights),
        "settings": None if made.settings_note else str(places.settings),
    }
    if isinstance(made, Rehearsal):
        diff = text_diff(plan.net.prototxt, plan.text, str(places.prototxt))
        return {**found, "dry_run": True, "diff": diff}
    found |= {"dry_run": False, "engine": made.engine, "seconds": round(made.seconds, 3)}
    return found if made.verified is None else {**found, "verified": verified(made.verified)}


def _bom(plan: ConvolutionPlan) -> list[str]:
    told = "the prototxt's byte order mark, which Caffe cannot read, is not written"
    return [told] if plan.net.prototxt.bom else []


def _notes(made: Conversion | Rehearsal) -> list[str]:
    notes = [made.engine_note] if isinstance(made, Conversion) and made.engine_note else []
    notes += made.weights.notes
    extra = ", ".join(repr(name) for name in made.weights.extra)
    if extra and isinstance(made, Conversion):
        kept = made.engine == "embedded"
        fate = "kept in the new one" if kept else "lost: Caffe saves the net's own layers only"
        notes.append(f"params of layers that the net has not ({extra}) are {fate}")
    elif extra:
        notes.append(f"the model has params of layers that the net has not: {extra}")
    if made.settings_note:
        notes.append(made.settings_note)
    if isinstance(made, Rehearsal):
        notes += [f"{path} exists already; --force replaces it" for path in made.existing]
    return notes


def show(found: dict[str, Any]) -> None:
    """Print the facts for a person."""
    rows = [("layer", "params", "becomes", "params")]
    for layer in found["layers"]:
        old, new = (", ".join(map(shape_text, layer[key])) for key in ("old", "new"))
        rows.append((layer["layer"], old, layer["target"], new))
    rows += [(i["name"], shape_text(i["old"]), "", shape_text(i["new"])) for i in found["inputs"]]
    echo_table(rows)
    for blob, shape in found["maps"].items():
        echo(f"map {blob}: {shape_text(shape)}")
    for given in found["inputs"]:
        (height, width), stride = given["window"], given["stride"]
        every = "" if stride is None else f", one every {stride[0]:g} x {stride[1]:g} pixels"
        of = f" in {given['name']}" if len(found["inputs"]) > 1 else ""
        echo(f"window of a cell{of}: {height} x {width} pixels{every}")
    echo_notes(found["notes"])
    if found["dry_run"]:
        echo(f"would write {', '.join(_outputs(found))}\n")
        echo(found["diff"], nl=False)
        return
    for line in verified_lines(found["verified"]) if "verified" in found else ():
        echo(line)
    echo(f"by {found['engine']} in {found['seconds']:.2f} s")
    for path in _outputs(found):
        echo(f"wrote {path}")


def _outputs(found: dict[str, Any]) -> list[str]:
    return [found[key] for key in ("weights", "settings", "prototxt") if found[key] is not None]


def shape_text(shape: list[int]) -> str:
    """[4096, 256, 6, 6] is "4096 x 256 x 6 x 6"."""
    return " x ".join(map(str, shape))
