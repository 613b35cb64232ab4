"""What the attacks of another user begin with: a net of one's own, and a folder of a stranger's."""

from __future__ import annotations

import os
from pathlib import Path

from attacks.arena import ROOT, Arena, Done

__all__ = ["NAMES_A_NET", "as_strangers", "classify", "files_of_a_net"]

#: The settings of a stranger, whose net is run where they are believed.
NAMES_A_NET = '[model]\nprototxt = "net.prototxt"\nweights = "net.caffemodel"\n'

#: A user that no machine of ours has.
_STRANGER = 4_000_000_123


def files_of_a_net(arena: Arena, folder: str) -> Path:
    """A folder of the arena with a net and settings that name it."""
    arena.write(f"{folder}/net.prototxt", (ROOT / "prototxt/digits_deploy.prototxt").read_bytes())
    model = ROOT / "models" / "digits" / "digits.caffemodel"
    arena.write(f"{folder}/net.caffemodel", model.read_bytes())
    arena.write(f"{folder}/netsurgery.toml", NAMES_A_NET)
    return arena.folder / folder


def as_strangers(path: Path) -> None:
    """Give a file, folder or link to another user; without root, let everybody write to it."""
    if os.geteuid() == 0:
        os.lchown(path, _STRANGER, -1)
    elif not path.is_symlink():
        path.chmod(path.stat().st_mode | 0o022)


def classify(arena: Arena, folder: Path, *more: str, env: dict[str, str | None]) -> Done:
    """Run what takes its net from the settings that it finds."""
    picture = ROOT / "examples" / "digits_canvas.png"
    words = ["classify-map", picture, "--blob", "conv1", "--engine", "embedded", "-q", *more]
    settings: dict[str, str | None] = {"XDG_CONFIG_HOME": str(arena.folder / "configuration")}
    return arena.run(*words, cwd=folder, env={**settings, **env})
