"""Which file beside a training net's prototxt holds the net for deployment, as people name them."""

from __future__ import annotations

import os
import re

__all__ = ["deploy_hint"]

_TRAINING = re.compile(r"[-_.]?(train[-_.]?(val|test)|trainval|train|val|solver)$", re.IGNORECASE)


def deploy_hint(path: str) -> str:
    """The end of a message about a training net: the deploy net in the same folder, "" for none."""
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    base = _TRAINING.sub("", stem)
    # BVLC's own nets show both habits: lenet_train_test beside lenet, train_val beside deploy.
    likely = [f"{base}{mark}deploy" for mark in "_-."] if base else []
    likely += ["deploy", *([base] if base not in ("", stem) else [])]
    for each in likely:
        if each == stem:  # the file itself
            continue
        candidate = os.path.join(folder, each + suffix)
        if os.path.isfile(candidate):
            return f"; {candidate} may be its deploy net"
    return ""
