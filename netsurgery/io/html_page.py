"""A page of HTML in one file, with its style, its script and its data.

A Content-Security-Policy in it allows the script and the style sheets of this file by their hashes
and nothing from anywhere: no request, no eval. What a name might hold cannot run, even if it were
taken for markup.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

__all__ = ["html_page"]


def html_page(
    template: str,
    fields: Mapping[str, str],
    *,
    style: str,
    script: str,
    inner_styles: Sequence[str] = (),
    images: str = "'none'",
) -> str:
    """The template with every ``{{name}}`` in it replaced: of `fields`, style, script and policy.

    fields: markup, in which texts are escaped. inner_styles: the style sheets in it. images: the
    sources of images that the policy allows.

    >>> html_page("<p>{{a}}</p><style>{{style}}</style>", {"a": "{{b}}"}, style="", script="")
    '<p>{{b}}</p><style></style>'
    """
    policy = {
        "default-src": "'none'",
        "img-src": images,
        "style-src": " ".join(map(_hash, (style, *inner_styles))),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    known = {
        **fields,
        "style": style,
        "script": script,
        "policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
    }
    # What is put in is never searched: braces in a name are text.
    pieces = re.split(r"{{(\w+)}}", template)
    pieces[1::2] = [known[name] for name in pieces[1::2]]
    return "".join(pieces)


def _hash(text: str) -> str:
    """What a policy calls a script or a style sheet by."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
