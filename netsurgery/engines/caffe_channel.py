"""What passes between netsurgery and the worker, seen from the worker: messages and arrays.

Each message on the control socket, either way, is 4 bytes "NSW1", the length of what follows (4
bytes, big endian), and one JSON object. A request has "id" and "op"; its answer has the same "id"
and either "result" or "error": {"kind", "text"}. Arrays pass as float32 through an unlinked file,
at offsets that the messages give. Paths and stages are bytes, each byte one character.

It stands alone beside caffe_worker.py, which loads it by its path: the standard library and numpy,
in the syntax of Python 2.7 and 3.5 at once.
"""

from __future__ import absolute_import, division, print_function

import io
import json
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

__all__ = ["CHUNK", "HEADER", "MAGIC", "Channel", "Refused", "SharedFile"]

HEADER = struct.Struct(">4sI")
MAGIC = b"NSW1"
#: Bytes read or written at once; some kernels refuse 2 GiB and more.
CHUNK = 1 << 28


class Refused(Exception):
    """A request that is answered with an error; `kind` is "missing", "failed" or "surgery"."""

    def __init__(self, kind, text):
        # type: (str, str) -> None
        Exception.__init__(self, text)
        self.kind, self.text = kind, text


class Channel(object):
    """Messages to and from the client."""

    def __init__(self, descriptor):
        # type: (int) -> None
        self.descriptor = descriptor

    def receive(self):
        # type: () -> Optional[Dict[str, Any]]
        """The next request; None when the client has gone."""
        header = self._read(HEADER.size)
        magic, length = HEADER.unpack(header) if header else (None, 0)
        body = self._read(length) if magic == MAGIC else None
        return None if body is None else dict(json.loads(body.decode("utf-8")))

    def _read(self, count):
        # type: (int) -> Optional[bytes]
        parts = []
        while count:
            part = os.read(self.descriptor, count)
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def send(self, message):
        # type: (Dict[str, Any]) -> None
        body = json.dumps(message).encode("ascii")
        data = HEADER.pack(MAGIC, len(body)) + body
        while data:
            data = data[os.write(self.descriptor, data) :]


class SharedFile(object):
    """The file through which arrays pass. It is read and written, not mapped: where no room is
    left a write fails, while touching a map would kill the process."""

    def __init__(self, descriptor, numpy):
        # type: (int, Any) -> None
        self.file, self.numpy = io.FileIO(descriptor, "r+b"), numpy

    def read_into(self, array, offset):
        # type: (Any, int) -> None
        """Fill the C-contiguous float32 `array` from the file."""
        if array.dtype != self.numpy.float32 or not array.flags["C_CONTIGUOUS"]:
            raise Refused("failed", "this Caffe keeps its blobs as %s, not float32" % array.dtype)
        raw, done = array.reshape(-1).view(self.numpy.uint8), 0
        self.file.seek(offset)
        while done < raw.size:
            count = self.file.readinto(raw[done : done + CHUNK])
            if not count:
                raise Refused("failed", "the shared file ends before the array does")
            done += count

    def write(self, arrays):
        # type: (List[Any]) -> List[Tuple[List[int], int]]
        """Put `arrays` one after another; returns (shape, offset) of each."""
        places, offset = [], 0
        for array in arrays:
            shape = [int(size) for size in array.shape]
            whole = self.numpy.ascontiguousarray(array, self.numpy.float32)
            raw, done = whole.reshape(-1).view(self.numpy.uint8), 0
            self.file.seek(offset)
            while done < raw.size:
                done += self.file.write(raw[done : done + CHUNK])
            places.append((shape, offset))
            offset += raw.size
        return places
