"""Labels and a file name that are markup, in the page of a map.

Idea: `--html` puts labels of a stranger's file, and the name of his picture, into a page that the
user opens, with the rights of a file on his disk: a script in it could read what is beside it.

Verdict: the page has the elements of any other page; names are text, and its policy allows no
script but its own.
"""

from __future__ import annotations

import re
import shutil

from attacks.arena import ROOT, Arena

NAMES = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "\u2028alert(1)//",
)
EMBEDDED = {"NETSURGERY_ENGINE": "embedded"}
NET = ("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")


def attack(arena: Arena) -> None:
    """Be a label, and the name of a picture."""
    labels = [*NAMES, *map(str, range(11 - len(NAMES)))]
    arena.write("labels.txt", "\n".join(labels))
    net = [str(ROOT / path) for path in NET]
    done = arena.run("convert", *net, "--labels", "labels.txt", "-o", "net", env=EMBEDDED)
    assert done.code == 0, done.err
    elements = list[list[str]]()
    for name in ("plain.png", "<img src=x onerror=alert(1)>.png"):
        shutil.copy(ROOT / "examples" / "digits_canvas.png", arena.folder / "net" / name)
        page = arena.folder / f"{len(elements)}.html"
        done = arena.run(
            "classify-map", name, "--html", page, env=EMBEDDED, cwd=arena.folder / "net"
        )
        assert done.code == 0, done.err
        text = page.read_text("ascii")
        assert "onerror" in text
        assert "onerror=alert(1)>" not in text
        elements.append(re.findall(r"<[/!a-z-]+", text))
    assert elements[0] == elements[1]
    assert elements[0].count("<script") == elements[0].count("</script") == 3
