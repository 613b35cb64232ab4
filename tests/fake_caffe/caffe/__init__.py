"""A caffe that computes next to nothing and fails on demand, for tests of the worker.

It runs under any Python that the worker does. The first line of its "prototxt", a comment or not,
is what the net does wrong: "load abort", "again abort" (the second that is loaded), "forward hang",
or "nothing"; "run" is for one that has taken over the process, and runs what stands in its lines
that begin with "#|". A blob `data` of
1 x 1 x 2 x 2 is summed into `sum`; layers `ip` and `conv` have params of shapes 3 x 4 and
3 x 1 x 2 x 2.
"""

from __future__ import absolute_import, division, print_function

import os
import signal
import struct
import subprocess
import sys
import time
from collections import OrderedDict

import numpy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # noqa: F401

__all__ = ["TEST", "TRAIN", "Net", "layer_type_list", "set_device", "set_mode_cpu", "set_mode_gpu"]

__version__ = "0.fake"
TRAIN, TEST = 0, 1
FATAL = (
    "F1120 14:07:26.879383  5563 %s\n*** Check failure stack trace: ***\n    @  0x7f (unknown)\n"
)


def misbehave(how):
    # type: (str) -> None
    if how == "abort":
        sys.stderr.write(FATAL % "net.cpp:66] Check failed: bottom == top (1 vs. 2) ")
        sys.stderr.flush()
        os.abort()
    elif how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(3)
    elif how == "hang":
        time.sleep(60)
    elif how == "garbage":
        os.write(int(sys.argv[1]), b"I1120 a line of a log, where an answer should be\n")
    elif how == "stale":
        body = b'{"id": 999, "result": {}}'
        os.write(int(sys.argv[1]), struct.pack(">4sI", b"NSW1", len(body)) + body)
    elif how == "half":
        os.write(int(sys.argv[1]), b"NSW1\0\0\1\0{")
        os._exit(0)
    elif how == "raise":
        raise ValueError("two\nlines of it")
    elif how == "quit":
        sys.exit("enough")
    elif how == "family":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        os.abort()
    elif how == "chatter":
        for _ in range(20000):
            sys.stderr.write("I1120 14:07:26.879383  5563 net.cpp:1] " + "x" * 100 + "\n")


class Blob(object):
    def __init__(self, *shape):
        # type: (*int) -> None
        self.data = numpy.zeros(shape, numpy.float32)  # type: Any

    @property
    def shape(self):
        # type: () -> Any
        return self.data.shape

    def reshape(self, *shape):
        # type: (*int) -> None
        self.data = numpy.zeros(shape, numpy.float32)


class Layer(object):
    def __init__(self, kind, *blobs):
        # type: (str, *Blob) -> None
        self.type, self.blobs = kind, list(blobs)
        for blob in blobs:
            blob.data[...] = numpy.arange(blob.data.size).reshape(blob.data.shape)


class Net(object):
    made = 0

    def __init__(self, path, phase):
        # type: (Any, int) -> None
        with open(path) as file:
            self.wrong = (file.readline().strip("#").split() + ["", ""])[:2]
            self.code = "".join(line[2:] for line in file if line.startswith("#|"))
        self.fail("load" if not Net.made else "again")
        Net.made += 1
        self.blobs = OrderedDict([("data", Blob(1, 1, 2, 2)), ("sum", Blob(1))])
        self.inputs = ["data"]
        self._layer_names = ["data", "ip", "conv", "small"]
        self.layers = [
            Layer("Input"),
            Layer("InnerProduct", Blob(3, 4), Blob(3)),
            Layer("Convolution", Blob(3, 1, 2, 2), Blob(3)),
            Layer("Convolution", Blob(3, 1, 2, 1), Blob(3)),
        ]
        named = zip(self._layer_names, self.layers)
        self.params = OrderedDict([(name, layer.blobs) for name, layer in named if layer.blobs])

    def fail(self, when):
        # type: (str) -> None
        if self.wrong == [when, "run"]:
            exec(self.code, {})
        elif self.wrong[0] == when:
            misbehave(self.wrong[1])

    def copy_from(self, path):
        # type: (Any) -> None
        with open(path, "rb") as file:
            # One layer of twelve bytes, which are the bias of ip.
            self.params["ip"][1].data[...] = numpy.frombuffer(file.read()[3:15], "<f4")

    def reshape(self):
        # type: () -> None
        self.blobs["sum"].reshape(self.blobs["data"].shape[0])
        self.fail("reshape")

    def forward(self):
        # type: () -> None
        self.fail("forward")
        self.blobs["sum"].data[...] = self.blobs["data"].data.sum(axis=(1, 2, 3))

    def save(self, path):
        # type: (Any) -> None
        """A NetParameter of four layers, each empty; the last cut short if the net is to."""
        if self.wrong == ["save", "full"]:
            sys.stderr.write(FATAL % "io.cpp:69] Check failed: proto.SerializeToOstream(&output) ")
            sys.stderr.flush()
            os.abort()
        with open(path, "wb") as file:
            file.write(b"\n\1n" + 4 * b"\xa2\6\0")
            if self.wrong == ["save", "short"]:
                file.truncate(14)


def layer_type_list():
    # type: () -> Any
    return ["Input", "InnerProduct"]


def set_mode_cpu():
    # type: () -> None
    pass


def set_mode_gpu():
    # type: () -> None
    pass


def set_device(number):
    # type: (int) -> None
    sys.stderr.write(FATAL % "common.cpp:66] Cannot use GPU in CPU-only Caffe: check mode.")
    sys.stderr.flush()
    os.abort()


misbehave(os.environ.get("FAKE_CAFFE", ""))
