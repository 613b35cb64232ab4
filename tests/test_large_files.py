"""Files of more than 4 GiB, which take no room: offsets beyond 32 bits, and no reading in vain."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from torture import NET, write_model

from netsurgery.cli import run
from netsurgery.net.net_with_weights import NetWithWeights

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

ROOT = Path(__file__).resolve().parent.parent
DIGITS = f"{ROOT}/prototxt/digits_deploy.prototxt"
MODEL = f"{ROOT}/models/digits/digits.caffemodel"
CANVAS = f"{ROOT}/examples/digits_canvas.png"
GIB = 1 << 30


@pytest.fixture
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    return tmp_path


def test_params_beyond_32_bits(current_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = 5 * 1024 * 256
    (current_folder / "net.prototxt").write_text(NET % outputs)
    write_model(current_folder / "big.caffemodel", outputs)
    size = os.path.getsize("big.caffemodel")
    with open("big.caffemodel", "r+b") as file:
        file.seek(size - 4 * 3)
        file.write(np.array([1, 2, 3], "<f4").tobytes())
    assert run(["inspect", "net.prototxt", "big.caffemodel"]) == 0
    assert run(["convert", "net.prototxt", "big.caffemodel", "--dry-run"]) == 0
    with NetWithWeights.open("net.prototxt", "big.caffemodel") as model:
        bias = model.weights.layers[0].blobs[1].numpy()
    assert bias.shape == (outputs,)
    assert list(bias[-4:]) == [0, 1, 2, 3]
    capsys.readouterr()


def bytes_read() -> int:
    """How many bytes this process has read so far."""
    (counted,) = re.findall(r"rchar: (\d+)", Path("/proc/self/io").read_text())
    return int(counted)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (DIGITS, "inspect large"),
        ("", "upgrade large -o out.prototxt"),
        (MODEL, f"inspect {DIGITS} large"),
        ("", f"inspect {DIGITS} large"),
        (MODEL, f"convert {DIGITS} large -o out"),
        (MODEL, f"transplant {DIGITS} large {DIGITS} -o out.caffemodel"),
        ("", "upgrade large.caffemodel -o out.caffemodel"),
        ("", f"convert {DIGITS} {MODEL} -o out --mean large.binaryproto"),
        ("", f"convert {DIGITS} {MODEL} -o out --labels large"),
        ("", f"classify-map {CANVAS}"),
        ("", f"classify-map large --prototxt {DIGITS} --weights {MODEL} --blob pool1"),
    ],
)
def test_more_than_makes_sense(
    current_folder: Path, capsys: pytest.CaptureFixture[str], head: str, words: str
) -> None:
    """5 GiB of nothing behind a file that is right, or behind none: refused, at once."""
    named = [word for word in words.split() if word.startswith("large")]
    name = named[0] if named else "netsurgery.toml"
    (current_folder / name).write_bytes(Path(head).read_bytes() if head else b"")
    os.truncate(name, 5 * GIB)
    read = bytes_read()
    assert run(words.split()) in (1, 2)
    assert bytes_read() - read < GIB // 16
    err = capsys.readouterr().err
    assert err.count("error: ") == 1
    assert name in err
    assert os.listdir(current_folder) == [name]
