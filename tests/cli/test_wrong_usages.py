"""What a new user may get wrong: exit code, one line that names the way out, nothing written.

A usage is a command line, run in a folder of `usage_folder`, in its subfolder with a converted net
where its files begin with "../".
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from usage_folder import make_folder

from netsurgery.cli import run

LENET = "lenet.prototxt lenet_iter_10000.caffemodel"
_LENET = "../lenet.prototxt ../lenet_iter_10000.caffemodel"

#: Usage -> exit code, and what is said, in this order; " ... " stands for anything.
USAGES: dict[str, tuple[int, str]] = {
    # The two files of a net.
    "convert digits.caffemodel digits_deploy.prototxt --dry-run": (
        1,
        "digits.caffemodel: is binary data, expected a prototxt ... are the prototxt and "
        "the caffemodel exchanged?",
    ),
    "convert digits_deploy.prototx digits.caffemodel": (1, "did you mean digits_deploy.prototxt?"),
    "convert digits_deploy.prototxt digits.caffemodl": (1, "did you mean digits.caffemodel?"),
    "convert lenet.prototxt digits.caffemodel --dry-run": (
        1,
        "digits.caffemodel is of another net",
    ),
    "convert lenet.prototxt digits.caffemodel -o o1": (
        1,
        "digits.caffemodel is of another net",
    ),
    "convert digits_deploy.prototxt lenet_iter_10000.caffemodel -o o1": (
        1,
        "lenet_iter_10000.caffemodel is of another net",
    ),
    "convert lenet_train_test.prototxt lenet_iter_10000.caffemodel -o o1": (
        1,
        "this is a training net ... lenet.prototxt may be its deploy net ... "
        "--input-shape data=NxCxHxW",
    ),
    "convert lenet.prototxt.gz lenet_iter_10000.caffemodel -o o1": (
        1,
        "lenet.prototxt.gz: is a gzip file, expected a prototxt; unpack it first",
    ),
    "convert lenet.zip lenet_iter_10000.caffemodel -o o1": (
        1,
        "lenet.zip: is a zip archive, expected a prototxt; unpack it first",
    ),
    "convert lenet.prototxt lenet.zip -o o1": (
        1,
        "lenet.zip: is a zip archive, expected a caffemodel; unpack it first",
    ),
    "convert lenet.prototxt lenet.tar.gz -o o1": (
        1,
        "lenet.tar.gz: is a gzip file, expected a caffemodel; unpack it first",
    ),
    "convert lenet.prototxt age_net_html.caffemodel -o o1": (
        1,
        "is a web page, expected a caffemodel; the download of the file itself went wrong",
    ),
    "convert lenet.prototxt gtsrb_lfs_pointer.caffemodel -o o1": (
        1,
        "is a git-lfs pointer ... fetch that with 'git lfs pull'",
    ),
    "convert lenet.prototxt trunc.caffemodel -o o1": (1, "trunc.caffemodel: byte  ... cut short"),
    "convert lenet.prototxt empty.caffemodel -o o1": (1, "empty.caffemodel: is empty, expected"),
    "convert empty.prototxt lenet_iter_10000.caffemodel -o o1": (
        1,
        "empty.prototxt ... it is empty",
    ),
    "convert adir lenet_iter_10000.caffemodel -o o1": (1, "adir: is a folder, expected a prototxt"),
    "convert lenet.prototxt adir -o o1": (1, "adir: is a folder, expected a caffemodel"),
    "convert https://github.com/BVLC/caffe/raw/master/models/bvlc_alexnet/deploy.prototxt "
    "lenet_iter_10000.caffemodel": (
        1,
        "error: "
        "https://github.com/BVLC/caffe/raw/master/models/bvlc_alexnet/deploy.prototxt "
        "... : is a URL, not a file; download it first",
    ),
    "convert lenet.prototxt http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel -o o1": (
        1,
        "error: http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel: is a URL",
    ),
    # Options.
    f"convert {LENET} -o lenet.prototxt": (1, "lenet.prototxt: is a file ... --prototxt-out"),
    f"convert {LENET} --layers fc6 -o o1": (1, "no layer named 'fc6' ... ip1"),
    f"convert {LENET} --layers ip3 -o o1": (1, "did you mean ip1 or ip2?"),
    f"convert {LENET} --layers conv1 -o o1": (1, "expected InnerProduct; there are ip1, ip2"),
    f"convert {LENET} --map-size 8 -o o1": (0, ""),
    f"convert {LENET} --map-size 8,8 -o o1": (2, "--map-size: '8,8' is not HEIGHTxWIDTH"),
    f"convert {LENET} --map-size 8x8 --input-size 60x60 -o o1": (2, "exclude each other"),
    f"convert {LENET} --input-size 10x10 -o o1": (1, "the smallest that works is 25x25"),
    f"convert {LENET} --ouput-dir o1": (
        2,
        "--ouput-dir: no such option; did you mean --output-dir?",
    ),
    f"convert {LENET} --mapsize 8x8": (2, "did you mean --map-size?"),
    f"conver {LENET}": (2, "conver: no such command; did you mean convert?"),
    "classify cat.jpg": (2, "did you mean classify-map?"),
    "classify_map cat.jpg": (2, "did you mean classify-map?"),
    f"convert {LENET} --mean ilsvrc_2012_mean.npy -o o1": (
        1,
        "mean ilsvrc_2012_mean.npy: 3 channels ... input has 1 ... --mean takes",
    ),
    f"convert {LENET} --mean mean_str.npy -o o1": (1, "mean_str.npy:  ... expected numbers"),
    f"convert {LENET} --mean mean_hwc.npy -o o1": (1, "mean_hwc.npy:  ... .transpose(2, 0, 1)"),
    f"convert {LENET} --mean mean_obj.npy -o o1": (1, "mean_obj.npy:  ... Python objects"),
    f"convert {LENET} --mean mean.npz -o o1": (1, "mean.npz: is a .npz archive ... .npy"),
    f"convert {LENET} --mean mean_c128.npy -o o1": (1, "mean_c128.npy: 128 channels ... has 1"),
    f"convert {LENET} --mean nofile.npy -o o1": (1, "nofile.npy: No such file"),
    f"convert {LENET} --mean 104,117,123 -o o1": (
        1,
        "mean 104,117,123: 3 channels, but the net's input has 1 ... --mean takes",
    ),
    f"convert {LENET} --mean '104;117' -o o1": (1, "104;117:  ... numbers such as 104,117,123"),
    f"convert {LENET} --labels five.txt -o o1": (1, "five.txt: 5 labels ... 10 classes"),
    f"convert {LENET} --labels cat.jpg -o o1": (
        1,
        "cat.jpg: is a JPEG picture, expected one label",
    ),
    f"convert {LENET} --channel-swap 2,1,0 -o o1": (1, "channel swap 2,1,0:  ... leave it out"),
    f"convert {LENET} --channel-swap bgr -o o1": (1, "channel swap 2,1,0:  ... leave it out"),
    f"convert {LENET} --raw-scale abc -o o1": (2, "--raw-scale: found 'abc', expected a number"),
    f"convert {LENET} -o ro/x/y": (1, "there is no folder ro/x/y; make it first"),
    f"convert {LENET} -o /proc/x": (1, "there is no folder /proc/x"),
    f"convert {LENET} --engine gpu": (2, "--engine: found 'gpu', expected auto, caffe or embedded"),
    f"convert {LENET} --gpu 0 -o o1": (2, "--gpu does nothing with --engine embedded"),
    f"convert {LENET} --engine caffe --gpu 0 -o o1": (1, "compiled without CUDA; leave out --gpu"),
    f"convert {LENET} --engine caffe --caffe-python /usr/bin/python3 -o o1": (
        1,
        "/usr/bin/python3 has no usable Caffe: ",
    ),
    f"convert {LENET} --timeout 0": (2, "--timeout: found '0.0', expected a number above 0"),
    "convert lenet.prototxt": (2, "missing argument MODEL.caffemodel"),
    f"convert {LENET} extra": (2, "unexpected extra; expected DEPLOY.prototxt MODEL.caffemodel"),
    "convert cifar10_small.prototxt cifar10_small.caffemodel.h5 -o h5out": (
        0,
        "wrote h5out/cifar10_small_full_conv.caffemodel.h5",
    ),
    "convert cifar10_small.prototxt cifar10_small.caffemodel.h5 --weights-out "
    "h5out/x.caffemodel -o h5out --force": (
        0,
        "wrote h5out/x.caffemodel",
    ),
    "classify-map cat.jpg": (1, "give --prototxt FILE and --weights FILE ... netsurgery.toml"),
    f"convert {LENET} --verify --dry-run": (2, "--verify and --dry-run exclude each other"),
    f"convert {LENET} --engine caffe --caffe-python nopython -o o3": (
        1,
        "--caffe-python: nopython:",
    ),
    f"convert {LENET} --caffe-python FOLDER -o o3": (
        2,
        "--caffe-python does nothing with --engine",
    ),
    f"convert {LENET} --input-scale 0.00390625 -o lc": (1, "exists already; --force replaces it"),
    "convert digits_deploy.prototxt digits.caffemodel -o dc --labels digits_labels.txt": (
        1,
        "digits_labels.txt: 10 labels, but blob 'prob' has 11 classes",
    ),
    # Pictures.
    "classify-map ../cat.jpg.txt": (1, "../cat.jpg.txt: not a picture"),
    "classify-map ../digits.caffemodel": (1, "../digits.caffemodel: not a picture"),
    "classify-map ../digits_labels.txt": (1, "../digits_labels.txt: not a picture"),
    "classify-map ../digits_canvas.png.gz": (1, "is a gzip file, expected a picture; unpack it"),
    "classify-map ../adir": (1, "../adir: is a folder, expected a picture"),
    "classify-map https://example.com/cat.jpg": (1, "is a URL, not a file; download it first"),
    "classify-map ../cat.jpg --size 10x10": (1, "the smallest that works is 25x25"),
    "classify-map ../cat.jpg --size 100": (0, ""),
    "classify-map ../cat.jpg --size huge": (2, "--size: 'huge' is not HEIGHTxWIDTH, net or image"),
    "classify-map ../cat.jpg --size 0x0": (2, "--size: '0x0' is not a size between 1 and 1000000"),
    "classify-map ../cat.jpg --size 100000x100000": (1, "100000x100000"),
    "classify-map ../cat.jpg --blob fc8": (1, "no blob 'fc8'; --blob takes conv1, pool1"),
    "classify-map ../cat.jpg --blob ip2": (1, "no blob 'ip2'; did you mean ip2-conv?"),
    "classify-map ../cat.jpg --blob conv1 --picture c1.png": (0, ""),
    "classify-map ../cat.jpg --labels ../synset_words.txt": (1, "1000 labels, but blob 'prob' has"),
    "classify-map ../cat.jpg --class eight": (
        2,
        "--class does nothing without --geotiff, --picture",
    ),
    "classify-map ../cat.jpg --class 8": (2, "--class does nothing without --geotiff, --picture"),
    "classify-map ../cat.jpg --picture out.gif": (2, "expected a name ending in .png, .jpg, "),
    "classify-map ../cat.jpg --picture out": (2, "expected a name ending in .png"),
    "classify-map ../cat.jpg --picture nodir/out.png": (1, "there is no folder nodir; make it"),
    "classify-map ../cat.jpg ../digits_canvas.png --picture out.png": (2, "need a folder"),
    "classify-map ../cat.jpg ../digits_canvas.png --picture outdir": (0, ""),
    "classify-map ../cat.jpg ../cat.jpg --picture outdir2": (0, ""),
    "classify-map ../cat.jpg --npy out.txt": (2, "--npy out.txt: expected a name ending in .npy"),
    "classify-map ../cat.jpg --top-k 3": (2, "--top-k does nothing without --json"),
    "classify-map ../cat.jpg --top-k 99 --json": (0, ""),
    "classify-map ../cat.jpg --mean 104,117,123": (1, "mean 104,117,123: 3 channels ... --mean"),
    "classify-map ../cat.jpg --prototxt ../digits_deploy.prototxt": (1, "`netsurgery convert`"),
    "classify-map ../cat.jpg --prototxt ../digits_deploy.prototxt --weights ../digits.caffemodel": (
        1,
        "`netsurgery convert` ... --blob takes",
    ),
    "classify-map ../cat.jpg --prototxt ../digits_deploy.prototxt --weights "
    "../digits.caffemodel --size image": (
        1,
        "`netsurgery convert` ... --blob takes",
    ),
    "classify-map ../cat.jpg --weights ../lenet_iter_10000.caffemodel": (1, "'ip1-conv'"),
    "classify-map ../cat.jpg --window 5": (
        2,
        "--window does nothing without --json, --npz, --zarr, --geotiff, --picture, --html, "
        "--parquet or --boxes",
    ),
    "classify-map ../cat.jpg --windoww 5x5": (2, "did you mean --window?"),
    # The other commands.
    "inspect": (2, "missing argument [NET.prototxt] [MODEL.caffemodel]"),
    "inspect ../lenet_iter_10000.caffemodel ../lenet.prototxt -q": (0, ""),
    "inspect ../lenet.prototxt ../lenet.prototxt": (2, "found 2 prototxts and 0 caffemodels"),
    "inspect ../lenet.prototxt ../digits.caffemodel": (1, "is of another net"),
    "inspect ../lenet_train_test.prototxt": (0, "this is a training net"),
    "inspect ../cat.jpg": (1, "is a JPEG picture, expected a prototxt or a caffemodel"),
    "inspect ../noperm.prototxt": (1, "../noperm.prototxt: Permission denied"),
    "diff ../lenet.prototxt": (2, "expected two prototxts, two caffemodels or two of each"),
    "diff ../lenet.prototxt ../digits.caffemodel": (2, "found 1 of the first and 1 of the second"),
    f"verify {_LENET}": (2, "missing argument B.prototxt"),
    f"verify {_LENET} ../lenet.prototxt": (2, "missing argument B.caffemodel"),
    f"verify {_LENET} ../digits_deploy.prototxt ../digits.caffemodel": (1, "not the same function"),
    f"verify {_LENET} ../lc/lenet_full_conv.prototxt "
    "../lc/lenet_iter_10000_full_conv.caffemodel --engines foo,bar": (
        2,
        "--engines: 'foo,bar' ... as in caffe,embedded",
    ),
    f"edit {_LENET} 'ip1[0]*=2'": (0, "lenet_iter_10000_edited.caffemodel"),
    f"edit {_LENET} -o ../lenet_iter_10000.caffemodel 'ip1[0]*=2' --force": (1, "is an input too"),
    f"edit {_LENET} -o x.caffemodel": (2, "missing argument OPERATION..."),
    f"edit {_LENET} -o x.caffemodel 'ip1*=2'": (1, "LAYER[0]  ... LAYER[1] "),
    f"edit {_LENET} -o x.caffemodel 'ip1[2]*=2'": (1, "there is no param 2; it has 2"),
    f"edit {_LENET} -o x.caffemodel 'ip1[0][900]=0'": (1, "index 900 of 50"),
    f"edit {_LENET} -o x.caffemodel 'ip1[0]=npy:nofile.npy'": (1, "nofile.npy: No such file"),
    f"edit {_LENET} -o x.caffemodel 'ip1[0]=1e999'": (1, "NaN or infinite"),
    f"edit {_LENET} -o x.caffemodel 'ip1[0]=abc'": (1, "found 'abc' ... a number or npy:FILE"),
    f"edit {_LENET} -o x.caffemodel 'ip1[0]/=0'": (1, "NaN or infinite"),
    f"edit {_LENET} -o x.caffemodel fold": (0, ""),
    f"edit {_LENET} -o x.caffemodel outputs:ip2:keep=0,1": (0, "lenet_edited.prototxt"),
    f"edit {_LENET} -o x.caffemodel swap-input-channels": (
        1,
        "swap-input-channels: layer ... expected 3",
    ),
    f"transplant {_LENET} ../digits_deploy.prototxt -o x.caffemodel": (1, "layer 'conv1'"),
    "features ../cat.jpg -o f.npz": (2, "missing option --blob"),
    "features ../cat.jpg --blob ip1 -o f.npz": (1, "no blob 'ip1'; did you mean ip1-conv?"),
    "features ../cat.jpg --blob ip1-conv -o f.npy --blob prob": (2, "give a .npz or .h5"),
    "features ../cat.jpg --blob ip1-conv -o f.csv": (2, "ending in .npy, .npz, .h5 or .hdf5"),
    f"export {_LENET} -o x.pb": (2, "x.pb: expected a name ending in .onnx"),
    f"export {_LENET}": (2, "missing option -o/--output"),
    "upgrade ../lenet.prototxt -o up.prototxt": (0, ""),
    "upgrade ../lenet.prototxt": (2, "missing option -o/--output, or --dry-run"),
    "upgrade ../cat.jpg -o up.prototxt": (1, "is a JPEG picture, expected a prototxt"),
    "init ../lenet.prototxt": (2, "missing option -o/--weights-out"),
    "init ../lenet.prototxt -o m.caffemodel --seed abc": (
        2,
        "--seed: found 'abc', expected a whole",
    ),
    "caffe": (2, "expected a command:  ... install"),
    "caffe instal": (2, "did you mean install?"),
    "--help convert": (0, "Usage: netsurgery [OPTIONS] COMMAND"),
    "help": (0, "Usage: netsurgery [OPTIONS] COMMAND"),
    "help convert": (0, "Usage: netsurgery convert [OPTIONS]"),
    "-V": (0, "netsurgery, version "),
    "--versoin": (2, "--versoin: no such option; did you mean --version?"),
}

#: Those that are no error: the exit code is the answer, and a report is printed.
REPORTS = ("inspect ../lenet.prototxt ../digits", f"verify {_LENET} ../digits")

Snapshot = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def usage_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("usages")
    make_folder(folder)
    return folder


@pytest.fixture
def folder(usage_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder; what a test writes in it is taken away again."""
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    before = snapshot(usage_folder)
    yield usage_folder
    for name in sorted(snapshot(usage_folder).keys() - before.keys(), reverse=True):
        path = usage_folder / name
        path.rmdir() if path.is_dir() else path.unlink()


def snapshot(folder: Path) -> Snapshot:
    """Every file and folder in it: size and time."""
    states = {path: path.stat() for path in folder.rglob("*")}
    return {
        str(path.relative_to(folder)): (state.st_size, state.st_mtime_ns)
        for path, state in states.items()
    }


def start(folder: Path, line: str) -> Path:
    """Where the usage is tried: beside a netsurgery.toml where it needs one."""
    return folder / "lc" if "../" in line or "//example" in line else folder


def says(text: str, expected: str) -> bool:
    pattern = ".*".join(map(re.escape, expected.split(" ... ")))
    return re.search(pattern, text, re.DOTALL) is not None


PYTHON = "/usr/bin/python3"


def without_caffe(path: Path) -> str:
    """An interpreter that finds no module but Python's own."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    path.chmod(0o755)
    return str(path)


def refusing(real: Callable[..., int], name: str) -> Callable[..., int]:
    """os.open of a user who may not read the file of that name, root too."""

    def opened(path: str | Path, *args: Any, **keywords: Any) -> int:
        if os.path.basename(path) == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *args, **keywords)

    return opened


def test_all_are_tried() -> None:
    assert len(USAGES) == 142


@pytest.mark.parametrize("line", USAGES)
def test_usage(
    line: str, folder: Path, tmp_path: Path, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, said = USAGES[line]
    if "--engine caffe --gpu" in line:
        request.getfixturevalue("caffe_python")
    if PYTHON in line:  # that of the machine may have Caffe
        python = without_caffe(tmp_path / "python3")
        line, said = line.replace(PYTHON, python), said.replace(PYTHON, python)
    monkeypatch.setattr(os, "open", refusing(os.open, "noperm.prototxt"))
    monkeypatch.chdir(start(folder, line))
    before = snapshot(folder)
    assert run(shlex.split(line)) == code
    out, err = capsys.readouterr()
    assert says(out + err, said)
    assert "Traceback" not in out + err
    errors = [text for text in err.splitlines() if not text.startswith(("model: ", "note: "))]
    if code and not line.startswith(REPORTS):
        (error,) = errors
        assert error.startswith("error: ")
        # Which model is used is said once the command line is known to be right.
        of_picture = error.startswith(("error: ../", "error: https://example.com"))
        assert err.count("\n") == 1 or of_picture
        assert out == ""
    else:
        assert not errors
    if code:
        assert snapshot(folder) == before


@pytest.mark.parametrize(
    "line",
    [
        "convert digits_deploy.prototxt digits.caffemodl",
        f"conver {LENET}",
        f"convert {LENET} --map-size 8,8 -o o1",
        "classify-map ../cat.jpg --blob fc8",
        "diff ../lenet.prototxt",
    ],
)
def test_as_a_whole_process(line: str, folder: Path) -> None:
    code, said = USAGES[line]
    before = snapshot(folder)
    done = subprocess.run(
        [sys.executable, "-m", "netsurgery", *shlex.split(line)],
        cwd=start(folder, line),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert says(done.stderr, said)
    assert snapshot(folder) == before
