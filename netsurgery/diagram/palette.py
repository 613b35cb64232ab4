"""The colours of a drawing, light and dark, by what they are of.

A tone is the name of such a colour, the same in both themes: "ink", "tint-convolution".
"""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.diagram.graph import Mark
from netsurgery.diagram.kinds import Kind
from netsurgery.drawing.colors import Tone

__all__ = ["DARK", "LIGHT", "TONES", "bar", "mark_tone", "tint"]


def bar(kind: str) -> str:
    """The tone of a kind's own colour: a box's left edge."""
    return f"bar-{kind.lower().replace('_', '-')}"


def tint(kind: str) -> str:
    """The tone on which a box's text stands."""
    return f"tint-{kind.lower().replace('_', '-')}"


def mark_tone(mark: Mark) -> str:
    """The tone of the border and the text of what was added, removed or changed."""
    return mark.word


def _mixed(color: str, paper: str, share: float) -> str:
    """`share` of the colour over the paper."""
    pairs = [(int(color[at : at + 2], 16), int(paper[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(c * share + p * (1 - share)):02x}" for c, p in pairs)


def _with_kinds(tones: Mapping[str, str], share: float) -> dict[str, str]:
    """With each kind's bar and tint; black, which a dark paper swallows, is the ink there."""
    result = dict(tones)
    for kind in Kind:
        color = tones["ink"] if kind is Kind.INPUT else kind.color
        result[bar(kind.name)] = color
        result[tint(kind.name)] = _mixed(color, tones["paper"], share)
    return result


LIGHT = _with_kinds(
    {
        "paper": "#ffffff",
        "ink": "#16191f",
        "pale": "#4d5563",
        "edge": "#6b7280",
        "line": "#9aa1ad",
        "frame": "#f4f5f7",
        "added": "#00634a",
        "removed": "#9c3d00",
        "changed": "#6a2c86",
    },
    0.14,
)
DARK = _with_kinds(
    {
        "paper": "#14171c",
        "ink": "#eceef2",
        "pale": "#b4bac6",
        "edge": "#8d95a3",
        "line": "#646c7a",
        "frame": "#1d2127",
        "added": "#5fe0b7",
        "removed": "#ffa873",
        "changed": "#dcb0f2",
    },
    0.22,
)
TONES = {name: Tone(name, LIGHT[name], DARK[name]) for name in LIGHT}
