"""The forms that a drawing is written in, by the ending of a file's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netsurgery.diagram.dot import dot_text
from netsurgery.diagram.format_names import FormatName
from netsurgery.diagram.graph import NetGraph
from netsurgery.diagram.mermaid import mermaid_text
from netsurgery.errors import OutputError
from netsurgery.io.targets import WrongOutput
from netsurgery.io.wording import argument

__all__ = ["FORMATS", "Format", "format_named", "format_of"]


@dataclass(frozen=True)
class Format:
    """One form: its endings, the usual one first, and what makes it of a graph.

    text: whether it may be printed on a terminal.
    """

    name: FormatName
    endings: tuple[str, ...]
    render: Callable[[NetGraph], bytes]
    text: bool = True


#: Pixels of a PNG for one of the drawing: two where it stays below so many in all.
_FINE, _MANY = 2, 80_000_000


def _svg(graph: NetGraph) -> bytes:
    from netsurgery.diagram.scene import scene_of
    from netsurgery.drawing.svg import to_svg

    return to_svg(scene_of(graph)).encode()


def _png(graph: NetGraph) -> bytes:
    """A pixel of the drawing is 2 x 2, or 1 if it is large. Raises MemoryLimitError."""
    from netsurgery.diagram.scene import scene_of
    from netsurgery.drawing.picture_file import encoded

    scene = scene_of(graph)
    scene.scale = _FINE if scene.width * scene.height * _FINE**2 <= _MANY else 1
    return encoded(scene, ".png", dpi=96 * scene.scale)


def _html(graph: NetGraph) -> bytes:
    from netsurgery.diagram.page import page_text
    from netsurgery.diagram.scene import scene_of

    return page_text(graph, scene_of(graph)).encode()


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("svg", (".svg",), _svg),
        Format("png", (".png",), _png, text=False),
        Format("html", (".html", ".htm"), _html),
        Format("mermaid", (".mmd", ".mermaid"), lambda graph: mermaid_text(graph).encode()),
        Format("dot", (".dot", ".gv"), lambda graph: dot_text(graph).encode()),
    )
}


def format_named(name: str) -> Format:
    """The form of this name. Raises OutputError for one that is none's.

    >>> format_named("dot").endings
    ('.dot', '.gv')
    """
    if name not in FORMATS:
        raise OutputError(f"found the form {name!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of(path: str | Path) -> Format:
    """The form of a file of this name. Raises WrongOutput for an ending that is none's.

    >>> format_of("net.HTML").name
    'html'
    """
    ending = Path(path).suffix.lower()
    for each in FORMATS.values():
        if ending in each.endings:
            return each
    known = ", ".join(each.endings[0] for each in FORMATS.values())
    raise WrongOutput(
        f"{path}: found {f'the ending {ending}' if ending else 'no ending'}, expected one of "
        f"{known}, by which the form is chosen; or give {argument('--format')}"
    )
