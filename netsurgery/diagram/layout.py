"""Where boxes stand and edges run: by graphlay, a library of layered drawings.

It places boxes of given sizes in layers, by network simplex, and leads edges around them at right
angles. A drawing that would be a long ribbon is wrapped into columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netsurgery.drawing.arrow import Point
from netsurgery.errors import NetsurgeryError

__all__ = ["NetLayout", "Place", "lay_out"]

#: Pixels above the boxes of a frame, for its two lines of text.
FRAME_HEAD = 30.0
_FRAME_PAD = 14.0
#: Pixels of a box's side for each edge that ends there (an arrow's head and some air), and for each
#: of its corners.
_PORT, _CORNER = 12.0, 8.0
#: Width over height that a drawing is wrapped to.
_ASPECT = 1.1
#: From so many boxes on, and from so many edges at one box on, less effort is made: the finest
#: placement would take the square of their number.
_MANY, _CROWD = 1500, 100
_REFINED = ("port_relax_rounds", "overlap_repair_rounds")

_TUNING = {"wrap": {"max_rows": 12, "max_cut_edges": 2}}
#: Bundled, many edges between two boxes would not fit between them.
_ROUTING = {"bundle_parallel": False}
_OPTIONS = {
    "direction": "topbottom",
    "spacing": {
        "layer_gap": 34.0,
        "node_gap": 22.0,
        "dummy_gap": 18.0,
        "port_gap": 14.0,
        "isolated_gap": 22.0,
        "compound_padding": _FRAME_PAD,
        "compound_header": FRAME_HEAD,
    },
    "wrap": {"viewport_aspect": _ASPECT},
    "tuning": _TUNING,
}


@dataclass(frozen=True)
class Place:
    """A rectangle: its left top corner and its size, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of its right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of its lower side."""
        return self.y + self.height

    def meets(self, place: Place) -> bool:
        """Whether the two have a point inside in common."""
        return (
            self.x < place.right
            and place.x < self.right
            and self.y < place.bottom
            and place.y < self.bottom
        )


@dataclass(frozen=True)
class NetLayout:
    """boxes: by key. frames, routes: in the order in which frames and edges were given; a route is
    its corners, from the box that it leaves to the one that it reaches. All x, y from 0 on."""

    boxes: Mapping[int, Place]
    frames: tuple[Place, ...]
    routes: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def lay_out(
    sizes: Mapping[int, tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    frames: Sequence[Sequence[int]] = (),
    blobs: Sequence[str] | None = None,
) -> NetLayout:
    """Place boxes of these sizes (width, height) and lead the edges from box to box.

    frames: the keys of the boxes that each frame is around. blobs: what each edge
    carries. Raises NetsurgeryError where there is no graphlay.

    >>> drawn = lay_out({1: (60, 30), 2: (60, 30)}, [(1, 2)])
    >>> drawn.boxes[1].bottom < drawn.boxes[2].y, len(drawn.routes[0])
    (True, 2)
    """
    try:
        import graphlay
    except ImportError as missing:
        raise NetsurgeryError(
            f"drawing a net needs the library graphlay, which cannot be imported ({missing}): "
            "pip install 'netsurgery[draw]'"
        ) from None
    graph = graphlay.Graph()
    inside = {key: place for place, keys in enumerate(frames) for key in keys}
    around = [graph.node(("frame", place)) for place in range(len(frames))]
    # A blob that a box reads twice is one line.
    carried = list(zip(edges, blobs or map(str, range(len(edges))), strict=True))
    lines = {each: place for place, each in enumerate(dict.fromkeys(carried))}
    forks, ports = _ports(lines)
    for key, (width, height) in sizes.items():
        room = max(width, _PORT * ports[key] + 2 * _CORNER)
        if key in inside:
            graph.node(key, width=room, height=height, parent=around[inside[key]])
        else:
            graph.node(key, width=room, height=height)
    for (source, target), _ in lines:
        graph.edge(source, target)
    options: dict[str, Any] = {**_OPTIONS, "routing": _ROUTING}
    crowded = max(ports.values(), default=0) > _CROWD
    if crowded:
        options["tuning"] = {**_TUNING, "routing": dict.fromkeys(_REFINED, 0)}
    elif forks:
        options["routing"] = {**_ROUTING, "merge_edges": "forks"}
    if len(sizes) > _MANY:
        options["effort"] = "fast"
    if len(sizes) > _MANY or crowded:
        options["coords"] = {"placement": "brandes_koepf"}
    drawn = _as_layout(graphlay.layout(graph, options=options).raw, list(sizes), len(frames))
    return replace(drawn, routes=tuple(drawn.routes[lines[each]] for each in carried))


def _ports(lines: Iterable[tuple[tuple[int, int], str]]) -> tuple[bool, Counter[int]]:
    """Whether lines that leave a box together may share their beginning: if they carry one blob.

    And how many lines end, or begin, at each box, whichever is more.
    """
    carried: dict[int, set[str]] = {}
    leaving: Counter[int] = Counter()
    reaching: Counter[int] = Counter()
    for (source, target), blob in lines:
        carried.setdefault(source, set()).add(blob)
        leaving[source] += 1
        reaching[target] += 1
    return all(len(blobs) == 1 for blobs in carried.values()), leaving | reaching


def _as_layout(raw: Mapping[str, Any], keys: Sequence[int], frames: int) -> NetLayout:
    """The library's answer, its frames before its boxes, moved to begin at (0, 0)."""
    left, top = raw["bounds"]["min"]["x"], raw["bounds"]["min"]["y"]
    places = []
    for node in raw["nodes"]:
        width, height = node["size"]["width"], node["size"]["height"]
        x, y = node["center"]["x"] - width / 2 - left, node["center"]["y"] - height / 2 - top
        places.append(Place(round(x, 1), round(y, 1), width, height))
    routes = tuple(
        tuple((round(p["x"] - left, 1), round(p["y"] - top, 1)) for p in edge["points"])
        for edge in raw["edges"]
    )
    return NetLayout(
        dict(zip(keys, places[frames:], strict=True)),
        tuple(places[:frames]),
        routes,
        raw["bounds"]["max"]["x"] - left,
        raw["bounds"]["max"]["y"] - top,
    )
