"""Whole command lines on mutated files, in this process, in a folder of their own."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz import seeds
from fuzz.mutation import WORDS, Edit, edited, edits
from hypothesis import strategies as st

__all__ = ["COMMANDS", "FILES", "Case", "case_of", "cases"]

DENSE = (
    seeds.PROTOTXT.replace(b'"ip1"', b'"ip1-conv"')
    .replace(b'"ip2"', b'"ip2-conv"')
    .replace(b"InnerProduct", b"Convolution")
    .replace(
        b"inner_product_param { num_output: 4", b"convolution_param { num_output: 4 kernel_size: 3"
    )
    .replace(
        b"inner_product_param { num_output: 3", b"convolution_param { num_output: 3 kernel_size: 1"
    )
)


def dense_model() -> bytes:
    """The weights of `DENSE`."""
    return b"".join(
        (
            seeds.layer("conv", "Convolution", seeds.blob(2, 1, 3, 3), seeds.blob(2)),
            seeds.layer("ip1-conv", "Convolution", seeds.blob(4, 2, 3, 3), seeds.blob(4)),
            seeds.layer("ip2-conv", "Convolution", seeds.blob(3, 4, 1, 1), seeds.blob(3)),
        )
    )


FILES: dict[str, bytes] = {
    "deploy.prototxt": seeds.PROTOTXT,
    "other.prototxt": seeds.V1_PROTOTXT,
    "dense.prototxt": DENSE,
    "dense.caffemodel": dense_model(),
    "old.prototxt": seeds.V0_PROTOTXT,
    "model.caffemodel": seeds.model(),
    "old.caffemodel": seeds.old_model(),
    "model.caffemodel.h5": seeds.hdf5(),
    "mean.npy": seeds.npy(np.ones((1, 8, 8), "f4")),
    "mean.binaryproto": seeds.blob(1, 1, 8, 8, legacy=True),
    "three.npy": seeds.npy(np.eye(3)),
    "labels.txt": b"zero\none\ntwo\n",
    "cat.png": seeds.PICTURE,
    "netsurgery.toml": seeds.SETTINGS,
}

#: Command lines; the files that each reads are found among its words, settings' in the settings.
_LINES = """
convert deploy.prototxt model.caffemodel -o out
convert deploy.prototxt model.caffemodel -o out --json --mean mean.npy --labels labels.txt
convert deploy.prototxt model.caffemodel -o out --mean mean.binaryproto --input-size 16
convert deploy.prototxt model.caffemodel --dry-run
convert deploy.prototxt model.caffemodel -o out --on-refusal skip --force
convert other.prototxt old.caffemodel -o out
convert deploy.prototxt model.caffemodel.h5 -o out
convert deploy.prototxt model.caffemodel --weights-out model.caffemodel --force
inspect deploy.prototxt
inspect deploy.prototxt model.caffemodel --field --stats
inspect deploy.prototxt model.caffemodel --json --size 16x12 --stats
inspect other.prototxt old.caffemodel
inspect old.caffemodel --stats
inspect model.caffemodel.h5 --stats
draw deploy.prototxt -o out.svg --fold --field
draw other.prototxt old.caffemodel -o out.html --json
draw old.prototxt -o out.mmd
check deploy.prototxt model.caffemodel
check other.prototxt old.caffemodel --json
check old.prototxt
diff deploy.prototxt other.prototxt --text
diff deploy.prototxt old.prototxt --strict --json
diff deploy.prototxt other.prototxt --draw out.dot
diff model.caffemodel old.caffemodel --json
init deploy.prototxt -o out.caffemodel
init deploy.prototxt -o out.caffemodel.h5
init other.prototxt -o out.caffemodel
export deploy.prototxt model.caffemodel -o out.onnx
classify-map cat.png --window 8x8 DENSE
classify-map cat.png --json --size 8x8 DENSE
classify-map cat.png --picture out.png --npy out.npy --size 9x12 DENSE
classify-map cat.png cat.png --size image --fit pad DENSE
classify-map cat.png DENSE
features cat.png --blob pool -o out.npz
upgrade old.prototxt -o out.prototxt
upgrade other.prototxt -o out.prototxt
upgrade old.caffemodel -o out.caffemodel
edit deploy.prototxt model.caffemodel -o out.caffemodel conv[0][0,0]=npy:three.npy ip1[1]+=1
edit deploy.prototxt model.caffemodel -o out.caffemodel fold-mean:104 ip1[0]=normalize
edit deploy.prototxt model.caffemodel -o out.caffemodel ip1[0]=msra:seed=1 conv[0]=gaussian:std=1
edit deploy.prototxt model.caffemodel -o out.h5 --prototxt-out out outputs:ip2:keep=2,0 fold
edit deploy.prototxt model.caffemodel -o out.h5 --prototxt-out out outputs:conv:drop=0
edit deploy.prototxt model.caffemodel -o out.h5 --prototxt-out out grey-to-rgb outputs:ip1:add=1
transplant deploy.prototxt model.caffemodel dense.prototxt -o out.caffemodel --suffix -conv
transplant deploy.prototxt model.caffemodel dense.prototxt dense.caffemodel -o out.h5 --slice
verify deploy.prototxt model.caffemodel dense.prototxt dense.caffemodel
"""

COMMANDS = [
    line.replace("DENSE", "--prototxt dense.prototxt --weights dense.caffemodel").split()
    for line in _LINES.strip().splitlines()
]

_SETTINGS_FILES = ("netsurgery.toml", "deploy.prototxt", "model.caffemodel", "mean.npy",
                   "labels.txt")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A command line and the files it finds in the current folder."""

    args: tuple[str, ...]
    files: dict[str, bytes]

    @classmethod
    def from_bytes(cls, data: bytes) -> Case:
        """A case from its JSON."""
        read = json.loads(data)
        files = {name: base64.b64decode(text) for name, text in read["files"].items()}
        return cls(tuple(read["args"]), files)

    def to_bytes(self) -> bytes:
        """The case as JSON, the files in base64."""
        files = {name: base64.b64encode(data).decode() for name, data in self.files.items()}
        return json.dumps({"args": self.args, "files": files}, indent=1).encode()

    def check(self) -> None:
        """Run it; whatever the files hold, it ends with 0, 1 or 2 and one line that says why."""
        with _folder() as folder:
            for name, data in self.files.items():
                (folder / name).write_bytes(data)
            code, out, err = _run(self.args)
            if self.args[0] in ("diff", "verify", "check") and code == 1:
                code = 0  # they differ, and it has said how
            if self.args[0] == "inspect" and code == 1 and "error: " not in err:
                code = 0  # the weights do not fit, and it has said so
            _check_words(code, out, err)
            for name, data in self.files.items():
                assert (folder / name).read_bytes() == data, f"{name} was written to"
            outputs = {path.name for path in folder.iterdir()} - set(self.files)
            assert not any(name.startswith(".") for name in outputs), f"left over: {outputs}"
            some = "images failed\n" in err  # and the others' outputs are there
            assert code == 0 or some or not outputs, f"exit code {code}, but wrote {outputs}"


def _check_words(code: int, out: str, err: str) -> None:
    assert code in (0, 1, 2), f"exit code {code}"
    for text in (out, err):
        rest = text.replace("\n", "").replace("\t", "")
        assert rest.isprintable(), "control characters reach the terminal"
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert bool(errors) == bool(code), f"exit code {code} and on stderr {err!r}"
    assert "out of memory" not in err, "out of memory"
    assert "standard output:" not in err, "an OSError from somewhere"
    if code == 1:
        assert all(len(line) < 9999 for line in err.splitlines()), "an endless line"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    before = os.getcwd()
    folder = tempfile.mkdtemp(prefix="case-", dir=before)
    os.chdir(folder)
    try:
        yield Path(folder)
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def _run(args: tuple[str, ...]) -> tuple[int, str, str]:
    from netsurgery.cli import run

    os.environ["NETSURGERY_ENGINE"] = "embedded"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(list(args))
    return code, out.getvalue(), err.getvalue()


def case_of(
    args: list[str],
    changes: Sequence[tuple[int, list[Edit]]] = (),
    put: Sequence[str] = (),
) -> Case:
    """A command line on its files, these changed, with more words behind it."""
    names = [word for word in args if word in FILES]
    names += _SETTINGS_FILES if args[0] in ("classify-map", "features") else []
    names += ["three.npy"] if args[0] == "edit" else []
    files = {name: FILES[name] for name in names}
    for which, some in changes:
        name = names[which % len(names)]
        files[name] = edited(files[name], some)
    return Case((*args, *put), files)


_WORD = st.one_of(
    st.sampled_from([word.decode("utf-8", "replace").replace("\0", "") for word in WORDS]),
    st.sampled_from(
        "--input-size --map-size --suffix --layers --input-shape data=1x1x8x8 --phase TRAIN "
        "--stage a --level 1 --raw-scale --channel-swap --mean 1,2,3 --class max --top-k --window "
        "--blob prob --size image -q --json --force --stats --field --keep-global-pooling "
        "--verify".split()
    ),
)
_words = st.lists(_WORD, max_size=3)
_changes = st.lists(st.tuples(st.integers(0, 5), edits), max_size=2)

#: Mutated files under a real command line, which now and then has odd words behind it.
cases: st.SearchStrategy[Case] = st.builds(
    case_of,
    st.sampled_from(COMMANDS),
    _changes,
    st.one_of(st.just([]), st.just([]), _words),
)
