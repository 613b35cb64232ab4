"""A Caffe of another user's in the place where ours would be installed.

The data folder is in a place where others can write, or belongs to them: they put an interpreter
there, stamped as finished. The next command that wants Caffe would run it.

Verdict: what others can change is not run, and nothing is installed beside it; the message names
the place. `--caffe-python` takes it all the same.
"""

from __future__ import annotations

from attacks.arena import ROOT, Arena
from attacks.strangers import as_strangers

_NET = ROOT / "prototxt" / "digits_deploy.prototxt"
_MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


def attack(arena: Arena) -> None:
    """Plant it, and do what runs Caffe, looks for it or installs it."""
    install = arena.folder / "data" / "netsurgery" / "caffe" / "install"
    (install / "root").mkdir(parents=True)
    arena.write("data/netsurgery/caffe/install/stamp.json", '{"suite": "bullseye"}')
    python = arena.write("data/netsurgery/caffe/install/python", "#!/bin/sh\n: > RAN\n")
    python.write_text(f"#!/bin/sh\n: > {arena.folder}/RAN\n")
    python.chmod(0o755)
    as_strangers(install.parent)
    hostile = {"XDG_DATA_HOME": str(arena.folder / "data"), "NETSURGERY_CAFFE_PYTHON": None}
    words = ["another user" if install.parent.stat().st_uid else "written by others"]
    done = arena.run("convert", _NET, _MODEL, "-o", "out", "--engine", "caffe", env=hostile)
    arena.one_line(done, words=[*words, "not run"])
    assert arena.run("caffe", "info", env=hostile).code == 1
    done = arena.run("caffe", "install", env=hostile)
    arena.one_line(done, words=[*words, "run later"])
    assert not (arena.folder / "RAN").exists()
    assert not (arena.folder / "out").exists()
