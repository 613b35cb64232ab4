"""Models that are wrong in themselves, given to real Caffe: a clear error each, and no remains."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fuzz.seeds import blob, layer

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import PycaffeEngine, open_engine
from netsurgery.errors import EngineTimeout, NetsurgeryError
from netsurgery.io.wire import delimited, packed_varints, varint_field

pytestmark = pytest.mark.caffe

NET = """\
name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 7 } }
"""

BIAS = blob(7)
FINE = layer("fc", "InnerProduct", blob(7, 60), BIAS)


def odd(*fields: bytes) -> bytes:
    """A model whose fc has a weight of these fields."""
    return layer("fc", "InnerProduct", b"".join(fields), BIAS)


def shape(*dims: int) -> bytes:
    return delimited(7, packed_varints(1, dims))


CHECK = "Caffe gave up loading NET with MODEL: Check failed: "
UNREAD = (
    f"{CHECK}ReadProtoFromBinaryFile(param_file, param) Failed to parse NetParameter file: MODEL "
    "(upgrade_proto.cpp:97)"
)
#: model -> what is said of it; those without CHECK are refused before Caffe sees them.
MODELS = {
    odd(shape(7, 60), delimited(5, bytes(4 * 419))): (
        f"{CHECK}count_ == proto.data_size() (420 vs. 419) (blob.cpp:496)"
    ),
    odd(shape(7, 60)): f"{CHECK}count_ == proto.data_size() (420 vs. 0) (blob.cpp:496)",
    odd(shape(-7, 60), delimited(5, bytes(4 * 420))): (
        f"{CHECK}shape[i] >= 0 (-7 vs. 0) (blob.cpp:32)"
    ),
    odd(shape(1 << 40, 60)): f"{CHECK}data_ (blob.cpp:133)",
    odd(shape(*(1,) * 33)): f"{CHECK}shape.size() <= kMaxBlobAxes (33 vs. 32) (blob.cpp:24)",
    odd(shape(7, 60), varint_field(10, 2), delimited(12, bytes(840))): (  # half precision
        f"{CHECK}count_ == proto.data_size() (420 vs. 0) (blob.cpp:496); MODEL holds raw_data of "
        "NVIDIA's Caffe, which `netsurgery upgrade` writes as data"
    ),
    odd(shape(7, 60), delimited(5, bytes(1679))): UNREAD,
    layer("fc", "InnerProduct", blob(7, 60)): (
        f"{CHECK}target_blobs.size() == source_layer.blobs_size() (2 vs. 1) Incompatible number "
        "of blobs for layer fc (net.cpp:752)"
    ),
    FINE + delimited(2, delimited(4, b"old")): (
        "Caffe gave up loading NET with MODEL: Refusing to upgrade inconsistent NetParameter "
        "input; the definition includes both 'layer' and 'layers' fields. The current format "
        "defines 'layer' fields with string type like layer { type: 'Layer' ... } and not layers "
        "{ type: LAYER ... }. Manually switch the definition to 'layer' format to continue. "
        "(upgrade_proto.cpp:671)"
    ),
    b"\xa2\x06\x05\x0a\x7fabc": UNREAD,
    delimited(1, b"small"): "MODEL: this has no layers, so no weights",
    FINE[:-1]: (
        f"MODEL: byte 0: field 100 has {len(FINE) - 4} bytes, {len(FINE) - 5} are left: "
        "the file is cut short"
    ),
    bytes(range(255, 0, -1)): "MODEL: byte 0: a number of more than 10 bytes",
    b"\xa2\x06\xff\xff\xff\xff\x0f": (
        "MODEL: byte 0: field 100 has 4294967295 bytes, 0 are left: the file is cut short"
    ),
}

Live = Callable[[], PycaffeEngine]


@pytest.fixture(scope="module")
def live(caffe_python: str) -> Iterator[Live]:
    """Gives an engine; a new one where the last has died."""
    started: list[PycaffeEngine] = []

    def engine() -> PycaffeEngine:
        if not started or not started[-1].alive:
            started.append(open_engine(EngineOptions(caffe_python=caffe_python, threads=1)))
        return started[-1]

    yield engine
    for process in started:
        process.close()


def load(engine: PycaffeEngine, folder: Path, model: bytes) -> None:
    (folder / "net.prototxt").write_text(NET)
    (folder / "model.caffemodel").write_bytes(model)
    # Partially, since the check of the params would report most before Caffe does.
    engine.load(folder / "net.prototxt", folder / "model.caffemodel", partial=True)


@pytest.mark.parametrize(("model", "message"), MODELS.items(), ids=range(len(MODELS)))
def test_a_model_that_is_wrong(live: Live, tmp_path: Path, model: bytes, message: str) -> None:
    engine = live()
    with pytest.raises(NetsurgeryError) as caught:
        load(engine, tmp_path, model)
    said = str(caught.value).replace(str(tmp_path / "net.prototxt"), "NET")
    assert said.replace(str(tmp_path / "model.caffemodel"), "MODEL") == message
    assert engine.alive == ("Caffe gave up" not in message)
    assert Path(f"/proc/{engine.pid}").exists() == engine.alive
    assert [name for name in os.listdir("/dev/shm") if "netsurgery" in name] == []


def test_one_that_is_right(live: Live, tmp_path: Path) -> None:
    load(live(), tmp_path, FINE)


def test_a_caffe_that_stands_still(caffe_python: str, tmp_path: Path) -> None:
    with open_engine(EngineOptions(caffe_python=caffe_python, timeout=5.0)) as engine:
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(EngineTimeout, match=r"^Caffe did not finish loading .* in 5 s and was"):
            load(engine, tmp_path, FINE)
        assert not Path(f"/proc/{engine.pid}").exists()
