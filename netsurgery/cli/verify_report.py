"""What ``netsurgery verify`` tells, as JSON and for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from netsurgery.cli.printing import cell, echo, echo_table
from netsurgery.net.shapes import describe

if TYPE_CHECKING:
    from netsurgery.verbs.verify import BlobGap, Verification
    from netsurgery.verbs.verify_gaps import Difference
    from netsurgery.verbs.verify_map import MapGap

__all__ = ["facts", "show", "verified_lines"]

#: Of params with the same numbers.
_KEPT = ("equal", "reshaped", "reordered")


def facts(found: Verification) -> dict[str, Any]:
    """Everything there is to tell, as plain values; infinite differences are None."""
    return {
        "same": None if found.same and found.unchecked else found.same,
        "engines": list(found.engines),
        "inputs": {name: list(shape) for name, shape in found.inputs.items()},
        "samples": found.samples,
        "tolerance": found.tolerance,
        "outputs": [_blob(one) for one in found.outputs],
        "first_departing": None if found.departs is None else _blob(found.departs),
        "first_not_finite": None if found.not_finite is None else _blob(found.not_finite),
        "maps": [_map(one) for one in found.maps],
        "unchecked": [
            {"blob": one.blob, "other": one.other, "what": one.what, "why": one.why}
            for one in found.unchecked
        ],
        "params": [
            {
                "layer": one.layer,
                "new_layer": one.new_layer,
                "index": one.index,
                "status": one.status,
            }
            for one in found.params
        ],
        "notes": list(found.notes),
    }


def _blob(one: BlobGap) -> dict[str, Any]:
    return {
        "layer": one.layer or None,
        "blob": one.blob,
        "other": one.other,
        "shape": list(one.gap.shape),
        "other_shape": list(one.gap.other_shape),
        **_gap(one.gap),
        "not_finite": one.gap.not_finite,
    }


def _gap(gap: Difference) -> dict[str, float | None]:
    values = {"absolute": gap.absolute, "relative": gap.relative}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _map(one: MapGap) -> dict[str, Any]:
    check = one.check
    return {
        "blob": check.blob,
        "other": check.other,
        "input": list(check.shape),
        "window": list(check.window[2:]),
        "stride": list(check.stride),
        "map": list(check.cells),
        "cells": one.compared,
        "top_class_agrees": one.agreeing,
        **_gap(one.gap),
        "inexact_because": list(check.reasons),
    }


def show(found: Verification) -> None:
    """Print the facts for a person."""
    shapes = ", ".join(f"{name} {describe(shape)}" for name, shape in found.inputs.items())
    by = " and ".join(dict.fromkeys(found.engines))
    echo(f"{_inputs(found)} for {shapes}, by {by}")
    rows = [("output", "in B", "shape", "max difference", "relative")]
    for one in found.outputs:
        gap = one.gap
        both = describe(gap.shape), describe(gap.other_shape)
        numbers = (f"{gap.absolute:.3g}", f"{gap.relative:.3g}") if not gap.empty else ("", "")
        rows.append((one.blob, one.other, " -> ".join(dict.fromkeys(both)), *numbers))
    echo_table(rows, "lllrr")
    for line in _lines(found):
        echo(cell(line))


def _lines(found: Verification) -> Iterator[str]:
    if found.departs is not None:
        yield f"first blob that departs: {_departing(found.departs)}"
    if found.not_finite is not None:
        yield _not_finite(found.not_finite)
    if found.params:
        yield f"params: {_params(found)}"
    for reasons, maps in groupby(found.maps, lambda one: one.check.reasons):
        for one in maps:
            yield from _map_lines(one)
        yield from _reason_lines(reasons)
    yield from map(str, found.unchecked)
    for note in found.notes:
        yield f"note: {note}"
    yield f"{_verdict(found)} (tolerance {found.tolerance:g} relative)"


def _verdict(found: Verification) -> str:
    """What was seen, which proves a difference but never that there is none."""
    if not found.same:
        return "not the same function"
    told = f"no difference in the outputs on {_inputs(found)}"
    if found.unchecked:
        what = found.unchecked[-1].what
        told += (
            f"; {'an' if what == 'output' else 'a'} {what} could not be checked, so the nets are "
        )
        told += "not verified"
    if found.departs is not None:
        told += "; inner blobs differ while the outputs agree"
    if any(one.status not in _KEPT for one in found.params):
        told += "; params differ"
    return told


def _inputs(found: Verification) -> str:
    kinds = (found.pictures, "picture"), (found.random, "random input")
    return " and ".join(f"{count} {kind}{'s' * (count > 1)}" for count, kind in kinds if count)


def _departing(one: BlobGap) -> str:
    of = f" of layer {one.layer}" if one.layer else ""
    other = f" ({one.other} in B)" if one.other != one.blob else ""
    return f"{one.blob}{other}{of}, by {one.gap.absolute:.3g}, relative {one.gap.relative:.3g}"


def _not_finite(one: BlobGap) -> str:
    """Both nets overflow there, or have such params: no matter of what was changed."""
    of = f" of layer {one.layer}" if one.layer else ""
    count, all_of = one.gap.not_finite, math.prod(one.gap.shape)
    numbers = "number is" if count == 1 else "numbers are"
    return (
        f"first blob that is not finite: {one.blob}{of}: {count} of {all_of} {numbers} infinite "
        "or NaN in both nets, at the same places"
    )


def _params(found: Verification) -> str:
    statuses = Counter(one.status for one in found.params)
    words = ("equal", "reshaped", "reordered", "different", "removed", "added")
    told = ", ".join(f"{statuses[word]} {word}" for word in words if statuses[word])
    unlike = [f"{p.layer}[{p.index}]" for p in found.params if p.status not in _KEPT]
    more = f", {len(unlike) - 4} more" if len(unlike) > 5 else ""
    shown = unlike[:4] if more else unlike
    return f"{told} ({', '.join(shown)}{more})" if unlike else told


def _map_lines(one: MapGap) -> Iterator[str]:
    check = one.check
    (rows, columns), (high, wide) = check.cells, check.window[2:]
    yield (
        f"map {check.other}: {rows}x{columns} cells of an input of {describe(check.shape)}, "
        f"each against A on its window of {high}x{wide}:"
    )
    yield (
        f"    top class agrees in {one.agreeing} of {one.compared}, "
        f"max difference {one.gap.absolute:.3g}, relative {one.gap.relative:.3g}"
    )


def _reason_lines(reasons: tuple[str, ...]) -> Iterator[str]:
    if reasons:
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        yield f"    not meant to be equal: {'; '.join(reasons[:3])}{more}"
        yield "    (there A meets the edge of its window, and the map the pixels beyond it)"


def verified_lines(found: dict[str, Any]) -> Iterator[str]:
    """The facts in short, for what was verified on the way and found to be the same."""
    unseen = [one["other"] for one in found["unchecked"] if one["what"] == "output"]
    for one in found["outputs"]:
        if one["other"] not in unseen:
            yield f"verified: output {one['blob']} agrees, to {one['relative']:.3g} relative"
    for one in found["maps"]:
        reasons = one["inexact_because"]
        agree = f"has each window's top class in {one['top_class_agrees']} of {one['cells']} cells"
        if reasons:
            yield f"not verified: map {one['other']} {agree} (not meant to be equal: {reasons[0]})"
        else:
            yield f"verified: map {one['other']} {agree}, to {one['relative']:.3g} relative"
    for one in found["unchecked"]:
        yield f"not verified: {one['what']} {one['other']} could not be checked: {one['why']}"
