"""What `verify` says beside its table, in lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    from netsurgery.verbs.verify_result import BlobDifference, MapDifference

__all__ = [
    "blob_line",
    "map_lines",
    "mean_lines",
    "not_finite_line",
    "reason_lines",
    "verified_lines",
]


def mean_lines(outputs: Sequence[BlobDifference]) -> Iterator[str]:
    """Of outputs that are compared by the mean of a map."""
    for each in outputs:
        if each.mean is not None:
            yield (
                f"map {each.new_blob}: its mean is compared with A's {each.blob}, over {each.mean}"
            )


def blob_line(each: BlobDifference) -> str:
    """A blob, its partner, its layer, and how far apart they are."""
    layer = f" of layer {each.layer}" if each.layer else ""
    partner = f" ({each.new_blob} in B)" if each.new_blob != each.blob else ""
    apart = each.difference
    numbers = f"by {apart.absolute:.3g}, relative {apart.relative:.3g}"
    return f"{each.blob}{partner}{layer}, {apart.why_infinite or numbers}"


def not_finite_line(each: BlobDifference) -> str:
    """Both nets overflow there, or have such params: no matter of what was changed."""
    layer = f" of layer {each.layer}" if each.layer else ""
    count, size = each.difference.not_finite, math.prod(each.difference.shape)
    numbers = "number is" if count == 1 else "numbers are"
    return (
        f"first blob that is not finite: {each.blob}{layer}: {count} of {size} {numbers} infinite "
        "or NaN in both nets, at the same places"
    )


def map_lines(each: MapDifference) -> Iterator[str]:
    """A map against the classifier on its windows."""
    check, apart = each.check, each.difference
    yield (
        f"map {check.new_blob}: {shape_text(check.cells)} cells of an input of "
        f"{shape_text(check.shape)}, "
        f"each against A on its window of {shape_text(check.window[2:])}:"
    )
    yield (
        f"    top class agrees in {each.agreeing} of {each.compared}, "
        f"max difference {apart.absolute:.3g}, relative {apart.relative:.3g}"
    )


def reason_lines(reasons: tuple[str, ...]) -> Iterator[str]:
    """Why cells are not exactly the classifier's answers, where there are reasons."""
    if reasons:
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        yield f"    not meant to be equal: {'; '.join(reasons[:3])}{more}"
        yield "    (there A meets the edge of its window, and the map the pixels beyond it)"


def verified_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """In short, of a verification as JSON has it."""
    unseen = [each["new_blob"] for each in record["unchecked"] if each["what"] == "output"]
    for each in record["outputs"]:
        mean = each["mean_over"]
        if mean is not None:
            yield (
                f"verified: the mean of map {each['new_blob']} over {shape_text(mean['map_size'])} "
                f"cells is output {each['blob']}, to {each['relative']:.3g} relative"
            )
        elif each["new_blob"] not in unseen:
            yield f"verified: output {each['blob']} agrees, to {each['relative']:.3g} relative"
    for each in record["maps"]:
        reasons, name = each["inexact_because"], each["new_blob"]
        agree = (
            f"has each window's top class in {each['top_class_agrees']} of "
            f"{counted(each['cells'], 'cell')}"
        )
        if reasons:
            yield f"not verified: map {name} {agree} (not meant to be equal: {reasons[0]})"
        else:
            yield f"verified: map {name} {agree}, to {each['relative']:.3g} relative"
    for each in record["unchecked"]:
        what = f"{each['what']} {each['new_blob']}"
        yield f"not verified: {what} could not be checked: {each['reason']}"
