"""What is fuzzed: functions that take any bytes and may raise nothing but NetsurgeryError.

Each writes the bytes to a file in the current folder where its reader wants a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from netsurgery.errors import NetsurgeryError

__all__ = ["TARGETS", "run_target"]


@contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    path = Path(name)
    path.write_bytes(data)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def prototxt(data: bytes) -> None:
    """The text comes back byte for byte; what it means can be asked."""
    from netsurgery.formats.prototxt import Prototxt
    from netsurgery.net.cost import costs
    from netsurgery.net.field import fields
    from netsurgery.net.net import NetDefinition
    from netsurgery.net.shapes import infer
    from netsurgery.surgery.convolution.plan import plan_convolution

    document = Prototxt.parse(data.decode("utf-8", "surrogateescape"), "net")
    assert document.to_bytes() == data.removeprefix(b"\xef\xbb\xbf")
    net = NetDefinition.of(document)
    _ = net.outputs
    costs(net, infer(net))
    fields(net)
    plan = plan_convolution(net)
    NetDefinition.of(Prototxt.parse(plan.text))


def upgrade(data: bytes) -> None:
    """The upgraded text is up to date."""
    from netsurgery.formats.prototxt import Prototxt
    from netsurgery.formats.upgrade.text import plan_upgrade

    plan = plan_upgrade(Prototxt.parse(data.decode("utf-8", "surrogateescape"), "net"))
    again = plan_upgrade(plan.result)
    assert again.text == plan.text, "an upgrade of an upgrade"


def wire(data: bytes) -> None:
    """Every field lies in the file, one behind the other."""
    from netsurgery.io.segments import FileSource
    from netsurgery.io.wire import Wire, WireReader

    with _file("wire", data) as path:
        source = FileSource(path)
        try:
            reader, at = WireReader(source), 0
            for field in reader.fields(0, reader.size):
                assert field.start == at < field.end <= reader.size
                assert field.start < field.body <= field.end
                assert reader.run(field, reader.size).end >= field.end
                if field.wire == Wire.DELIMITED and field.end - field.body <= 1 << 20:
                    reader.text(field)
                at = field.end
        finally:
            source.close()


def caffemodel(data: bytes) -> None:
    """What is indexed can be read; rewritten without a change it is the same bytes.

    But for raw numbers, which are the same numbers then, where Caffe 1.0 reads them.
    """
    from netsurgery.formats.caffemodel import Caffemodel
    from netsurgery.formats.caffemodel_write import rewrite
    from netsurgery.io.segments import write_segments

    with _file("model", data) as path, Caffemodel.open(path) as model:
        for layer in model.layers:
            for blob in layer.blobs:
                assert blob.numpy().size == blob.count <= len(data)
        out = os.open("rewritten", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            write_segments(out, rewrite(model, {}, None))
            blobs = [blob for layer in model.layers for blob in layer.blobs]
            if not any(blob.raw for blob in blobs):
                assert os.pread(out, len(data) + 1, 0) == data
                return
            with Caffemodel.open("rewritten") as again:
                written = [blob for layer in again.layers for blob in layer.blobs]
                assert not any(blob.raw for blob in written)
                for first, second in zip(blobs, written, strict=True):
                    assert first.numpy().tobytes() == second.numpy().tobytes()
        finally:
            os.close(out)


def hdf5(data: bytes) -> None:
    """What is indexed can be read."""
    from netsurgery.formats.hdf5 import Hdf5Weights

    with _file("model.h5", data) as path, Hdf5Weights.open(path) as model:
        for layer in model.layers:
            for blob in layer.blobs:
                assert blob.numpy().size == blob.count


def npy(data: bytes) -> None:
    """A mean is finite float32."""
    from netsurgery.formats.mean import load_mean

    with _file("mean.npy", data) as path:
        assert load_mean(path).dtype == "float32"


def binaryproto(data: bytes) -> None:
    """Likewise."""
    from netsurgery.formats.mean import load_mean

    with _file("mean.binaryproto", data) as path:
        assert load_mean(path).dtype == "float32"


def image(data: bytes) -> None:
    """A picture can be had in one channel, in three and as a thumbnail."""
    from netsurgery.maps.image import read_picture

    with _file("picture", data) as path:
        picture = read_picture(str(path))
        if picture.size[0] * picture.size[1] < 1 << 20:
            for count in (1, 3):
                assert picture.channels(count)[0].shape == (*picture.size, count)
            picture.thumbnail((5, 5))


def settings(data: bytes) -> None:
    """What is read can be written and read again."""
    from netsurgery.formats.settings import read_settings

    with _file("netsurgery.toml", data) as path:
        settings_read = read_settings(path)
        path.write_text(settings_read.to_toml("."), encoding="utf-8")
        again = read_settings(path)
        assert (again.mean is None) == (settings_read.mean is None)
        assert (again.window, again.raw_scale) == (settings_read.window, settings_read.raw_scale)


def owners(data: bytes) -> None:
    """Settings among files of several owners; see `owners`."""
    from fuzz.owners import check_owners

    check_owners(data)


def labels(data: bytes) -> None:
    """Every line can be had and found."""
    from netsurgery.formats.labels import read_labels

    with _file("labels", data) as path:
        names = read_labels(path)
        assert all(names[i].strip() == names[i] != "" for i in range(len(names)))
        for number in range(min(len(names), 3)):
            names.short(number)
        names.find(names[0])


def command(data: bytes) -> None:
    """A whole command line over a folder of files; see `commands`."""
    from fuzz.commands import Case

    Case.from_bytes(data).check()


def signals(data: bytes) -> None:
    """A command that a signal ends; see `ended`."""
    from fuzz import ended

    ended.check(data)


def layers(data: bytes) -> None:
    """A whole command on a net of many layers, in time and memory by their number."""
    from fuzz.layers import Case

    Case.from_bytes(data).check()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "prototxt": prototxt,
    "upgrade": upgrade,
    "wire": wire,
    "caffemodel": caffemodel,
    "hdf5": hdf5,
    "npy": npy,
    "binaryproto": binaryproto,
    "image": image,
    "settings": settings,
    "owners": owners,
    "labels": labels,
    "command": command,
    "signals": signals,
    "layers": layers,
}


def run_target(name: str, data: bytes) -> str:
    """Run a target on `data`; returns the one line it was refused with, or ""."""
    try:
        TARGETS[name](data)
    except NetsurgeryError as error:
        line = str(error)
        assert line, "an error without a word"
        return line
    return ""
