"""The engine "caffe": real Caffe, driven through pycaffe in a worker process.

What pycaffe itself decides is left to it; what a user can get wrong is checked here first, so
that the message names the blob and Caffe need not abort.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netsurgery.engines.contract import EngineOptions, Shape, check_array, check_shape
from netsurgery.engines.discovery import locate_caffe
from netsurgery.engines.handover import Handover
from netsurgery.engines.model_file import check_model, check_params, check_saved, raw_hint
from netsurgery.engines.probing import path_hint
from netsurgery.engines.syscall_filter import syscall_filter
from netsurgery.engines.worker_process import WorkerProcess
from netsurgery.errors import EngineError, EngineFailed, EngineMissing, EngineTimeout
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.closing import Closing
from netsurgery.net.net import Net
from netsurgery.net.shapes import describe
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    from netsurgery.engines.contract import Array

__all__ = ["CaffeNet", "Move", "Moved", "PycaffeEngine", "RefusedToLoad", "open_engine"]

#: layer, target layer, and for each param its old and new shape.
Moved = tuple[str, str, list[tuple[Shape, Shape]]]


class RefusedToLoad(EngineFailed):
    """Caffe gave up loading a net, which another engine may run; carries Caffe's own words."""


class Move(NamedTuple):
    """The params of InnerProduct `layer` go to `target_layer` of another net.

    transpose: the weight is kept K x N (InnerProductParameter.transpose) and is turned first.
    """

    layer: str
    target_layer: str
    transpose: bool = False


def open_engine(options: EngineOptions, files: Sequence[Path] = ()) -> PycaffeEngine:
    """Start Caffe under the interpreter that `options` or the machine gives.

    files: weights that it is to load; others are copied through memory when they are.
    Raises EngineMissing when there is none that can import it, EngineFailed when it dies, and
    EngineTimeout when it is not up within `options.start_timeout` seconds.
    """
    return PycaffeEngine(locate_caffe(options.caffe_python), options, files)


class PycaffeEngine(Closing):
    """Caffe in a worker process. After the process died every call raises EngineFailed."""

    name = "caffe"
    note = ""

    def __init__(self, python: str, options: EngineOptions, files: Sequence[Path] = ()) -> None:
        """Start `python`, an absolute path, import Caffe there and confine it."""
        self._options = options
        self._net_ids = itertools.count(1)
        self._prepared: dict[_Load, CaffeNet] = {}
        self._worker = WorkerProcess(python, options)
        try:
            self._info = self._started()
            self._handover = self._confined(files)
        except BaseException:
            self._worker.close()
            raise

    def _started(self) -> dict[str, Any]:
        python, gpu, limit = self._worker.python, self._options.gpu, self._options.start_timeout
        asked = {"gpu": gpu, "allow": sorted(self._options.allow), "scratch": self._worker.scratch}
        try:
            return self._worker.request("start", "starting", limit, **asked)
        except EngineMissing as missing:
            raise EngineMissing(f"{python} has no usable Caffe: {missing}{path_hint()}") from None
        except EngineTimeout:
            raise EngineTimeout(
                f"{python} did not start Caffe in {limit:g} s and was stopped"
            ) from None
        except EngineFailed as failed:
            if "CPU-only Caffe" in str(failed):
                raise EngineFailed(
                    f"this Caffe ({python}) is compiled without CUDA; leave out --gpu, "
                    "or choose another with --caffe-python"
                ) from None
            if self._worker.exit_status in range(128):
                # It ended by itself: not a Python at all, or one too old or too broken.
                raise EngineMissing(f"{python} cannot run Caffe. {failed}") from None
            raise

    def _confined(self, files: Sequence[Path]) -> Handover:
        """Have the worker give up what no net needs. `unconfined` is what it could not."""
        options, pid = self._options, int(self._info.pop("pid"))
        self._worker.remove_scratch()
        self._info["unconfined"] = lacking = self._worker.request(
            "confine",
            "starting",
            options.start_timeout,
            gpu=options.gpu,
            allow=sorted(options.allow),
            files=[wire_path(file) for file in files],
            filter=syscall_filter(pid, gpu=options.gpu is not None, allow=options.allow).hex(),
            folder=wire_path(Path()) if options.allow & {"reads", "writes"} else None,
        )
        reads, writes = bool(lacking["reads"]), bool(lacking["writes"])
        return Handover(*self._worker.files, files, reads=reads, writes=writes)

    def info(self) -> dict[str, Any]:
        """What this Caffe is.

        version; file, of the caffe package; python and numpy, their versions; layer_types,
        those it knows; unconfined: "reads", "writes", "seccomp" and "limits", each with the reason
        why its process is not confined in that, or "". netsurgery.engines.discovery has more, CUDA
        and BLAS among it.
        """
        return dict(self._info)

    def fields(self) -> dict[str, dict[str, str | None]]:
        """Message -> its fields in this Caffe's caffe.proto, each with the name of its own message.

        A plain value has None. Empty for a Caffe without caffe.proto.caffe_pb2.
        """
        try:
            return dict(self._request("fields", "telling its fields")["fields"])
        except EngineMissing:
            return {}

    @property
    def description(self) -> str:
        """One line for a summary: "caffe 1.0.0, CPU (/path/to/python)"."""
        device = "CPU" if self._options.gpu is None else f"GPU {self._options.gpu}"
        return f"caffe {self._info['version']}, {device} ({self._worker.python})"

    @property
    def alive(self) -> bool:
        """False once the engine was closed or its process died."""
        return self._worker.alive

    @property
    def pid(self) -> int:
        """The worker's process, which leads its process group."""
        return self._worker.pid

    def load(
        self,
        net: Path | Net,
        weights: Path | None = None,
        *,
        state: NetState = TEST,
        partial: bool = False,
    ) -> CaffeNet:
        """Load a net, of a prototxt in `state`; without weights its params are as its fillers give.

        A `Net` is loaded as it is, in its own state. `weights` is a caffemodel, or HDF5 if its
        name ends in .h5. Layers that the net lacks are left alone, and with `partial` also those
        that the weights lack. Else these raise, as does whatever does not fit: NetError and
        PrototxtError, naming the layer. Raises RefusedToLoad with Caffe's own words, EngineFailed
        for files that are not there, and CaffemodelError for weights that are no caffemodel, which
        Caffe may load without a word.
        """
        load = _Load.of(net, weights, state)
        ready = self._prepared.pop(load, None)
        if ready is not None:
            return ready
        self._worker.check_alive()
        for path in (load.prototxt, weights):
            if isinstance(path, Path) and not path.is_file():
                raise EngineFailed(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
        if weights is not None:
            check_model(weights)
            if not partial:
                check_params(net, weights, state)
        with (
            self._handover.prototxt(load.prototxt) as text,
            self._handover.weights(weights) as values,
        ):
            try:
                number = next(self._net_ids)
                facts = self._request("load", load.doing, net=number, **load.fields(text, values))
            except EngineFailed as failed:
                words = str(failed).replace(str(values), str(weights)).replace(str(text), load.path)
                raise RefusedToLoad(f"{words}{raw_hint(weights)}") from None
        return CaffeNet(self, number, load.path, facts)

    def prepare(self, net: Net, weights: Path | None) -> None:
        """Load a net now, for the next `load` of the same. Raises what `load` raises."""
        load = _Load.of(net, weights, net.state)
        if load not in self._prepared:
            self._prepared[load] = self.load(net, weights)

    def transplant(
        self, original: CaffeNet, target: CaffeNet, moves: Sequence[Move]
    ) -> list[Moved]:
        """Copy params from `original` to `target`, value by value in row-major order.

        All moves are checked before the first is made: both layers exist, have as many params,
        and each param as many values. Raises SurgeryError, and then nothing was copied.
        """
        result = self._request(
            "transplant",
            f"moving params to {target.path}",
            original=original.number,
            target=target.number,
            moves=moves,
        )
        return [
            (layer, into, [(tuple(old), tuple(new)) for old, new in shapes])
            for layer, into, shapes in result["moves"]
        ]

    def _request(self, op: str, doing: str, **fields: Any) -> dict[str, Any]:
        return self._worker.request(op, doing, self._options.timeout, **fields)

    def close(self) -> None:
        """Kill the worker and wait for it; every net is gone with it."""
        self._worker.close()


class _Load(NamedTuple):
    """A net to load: the file it is in, or its prototxt."""

    prototxt: Path | Prototxt
    weights: Path | None
    state: NetState

    @classmethod
    def of(cls, net: Path | Net, weights: Path | None, state: NetState) -> _Load:
        if isinstance(net, Net):
            return cls(net.prototxt, weights, net.state)
        return cls(net, weights, state)

    @property
    def path(self) -> str:
        """The prototxt's name."""
        return self.prototxt.path if isinstance(self.prototxt, Prototxt) else str(self.prototxt)

    @property
    def doing(self) -> str:
        return f"loading {self.path}" + (f" with {self.weights}" if self.weights else "")

    def fields(self, prototxt: Path, weights: Path | None) -> dict[str, Any]:
        """The worker's request: the files are under paths that it can open."""
        return {
            "prototxt": wire_path(prototxt),
            "weights": None if weights is None else wire_path(weights),
            "phase": self.state.phase,
            "level": self.state.level,
            "stages": [wire_text(one) for one in self.state.stages],
        }


class CaffeNet(Closing):
    """A net inside the worker. Arrays go to it and come from it as copies."""

    def __init__(
        self, engine: PycaffeEngine, number: int, path: str, facts: Mapping[str, Any]
    ) -> None:
        """`facts` is the worker's answer to "load"; `number` is what it calls the net."""
        self.number, self.path = number, path
        self._engine, self._worker = engine, engine._worker
        self._layers = [(str(name), str(kind)) for name, kind in facts["layers"]]
        self._inputs = [str(name) for name in facts["inputs"]]
        self._params = {
            str(layer): tuple(tuple(shape) for shape in shapes) for layer, shapes in facts["params"]
        }
        self._blobs = shapes_by_name(facts["blobs"])
        self._open = True

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The input blobs and their present shapes, in file order."""
        return {name: self._blobs[name] for name in self._inputs}

    @property
    def blobs(self) -> Mapping[str, Shape]:
        """Every blob and its present shape, in file order (splits of Caffe's own included)."""
        return dict(self._blobs)

    @property
    def params(self) -> Mapping[str, tuple[Shape, ...]]:
        """Every layer with params, and the shape of each."""
        return dict(self._params)

    @property
    def layers(self) -> Sequence[tuple[str, str]]:
        """(name, type) of every layer Caffe made, in the order it runs them."""
        return list(self._layers)

    def reshape(self, shapes: Mapping[str, Shape]) -> None:
        """Give inputs new shapes; every other blob follows.

        What the inputs held is not to be relied on afterwards. Raises EngineError for a name
        or a shape that cannot be, EngineFailed when a layer refuses the shape: Caffe aborts
        then, and the engine is gone.
        """
        for name, shape in shapes.items():
            self._check_input(name)
            check_shape(name, shape)
        wanted = ", ".join(f"{name} to {describe(shape)}" for name, shape in shapes.items())
        result = self._request(
            "reshape",
            f"reshaping {self.path}, {wanted}",
            shapes=[[name, list(shape)] for name, shape in shapes.items()],
        )
        self._blobs = shapes_by_name(result["blobs"])

    def forward(self, inputs: Mapping[str, Array], blobs: Sequence[str]) -> dict[str, Array]:
        """Run the net once and return the blobs asked for by name, float32, the caller's own.

        An input must be float32 and have the present shape exactly. One that is not given keeps
        what it had, which is what a layer working in place on it made of it. A blob is seen
        after its last writer. Raises EngineError for inputs and names that do not fit.
        """
        import numpy as np

        arrays = []
        for name, array in inputs.items():
            self._check_input(name)
            check_array(f"input {name}", array, self._blobs[name])
            arrays.append(np.ascontiguousarray(array).reshape(array.shape))
        for name in blobs:
            if name not in self._blobs:
                raise EngineError(
                    f"{self.path} has no blob {name}; there is {', '.join(self._blobs)}"
                )
        self._check_open()
        offsets = self._worker.put(arrays)
        given = [[name, offset] for name, offset in zip(inputs, offsets, strict=True)]
        result = self._request("forward", f"running {self.path}", inputs=given, blobs=list(blobs))
        taken = {}
        for name, (shape, offset) in zip(blobs, result["blobs"], strict=True):
            self._blobs[name] = tuple(shape)
            taken[name] = self._worker.take(tuple(shape), offset)
        return taken

    def param(self, layer: str, index: int) -> Array:
        """A copy of param `index` of `layer` (0 is the weight, 1 the bias, where there is one)."""
        self._check_param(layer, index)
        result = self._request("param", f"reading layer {layer}", layer=layer, index=index)
        ((shape, offset),) = result["blobs"]
        return self._worker.take(tuple(shape), offset)

    def set_param(self, layer: str, index: int, array: Array) -> None:
        """Set param `index` of `layer` to `array`, float32 and of exactly its shape."""
        import numpy as np

        self._check_param(layer, index)
        check_array(f"param {index} of layer {layer}", array, self._params[layer][index])
        self._check_open()
        self._worker.put([np.ascontiguousarray(array).reshape(array.shape)])
        self._request("set_param", f"setting layer {layer}", layer=layer, index=index)

    def save(self, path: Path) -> None:
        """Write the net's params to `path` as Caffe's own save does, replacing what is there.

        Caffe does not notice a disk that fills up at the end, so the file is checked to be
        whole. Raises EngineFailed. Writing beside and renaming is the caller's business.
        """
        try:
            self._check_open()
            self._worker.check_alive()
            with self._engine._handover.saved(path) as place:
                self._request("save", f"saving to {path}", path=wire_path(place))
        except EngineFailed as failed:
            if "SerializeToOstream" not in str(failed):
                raise
            raise EngineFailed(f"{path}: Caffe could not write it; is the disk full?") from None
        check_saved(path, len(self._layers))

    def _check_input(self, name: str) -> None:
        if name not in self._inputs:
            known = ", ".join(f"{name} ({describe(self._blobs[name])})" for name in self._inputs)
            raise EngineError(f"{self.path} has no input {name}; its inputs: {known or 'none'}")

    def _check_param(self, layer: str, index: int) -> None:
        if layer not in self._params:
            known = ", ".join(self._params) or "none"
            raise EngineError(f"{self.path} has no params of a layer {layer}; those with: {known}")
        if not 0 <= index < len(self._params[layer]):
            count = len(self._params[layer])
            raise EngineError(f"layer {layer} has params 0 to {count - 1}, not {index}")

    def _check_open(self) -> None:
        if not self._open:
            raise EngineError(f"{self.path} was closed")

    def _request(self, op: str, doing: str, **fields: Any) -> dict[str, Any]:
        self._check_open()
        return self._engine._request(op, doing, net=self.number, **fields)

    def close(self) -> None:
        """Let go of the net; the engine goes on. May be called again."""
        if self._open and self._worker.alive:
            self._request("close", f"closing {self.path}")
        self._open = False


def shapes_by_name(pairs: Sequence[tuple[str, Sequence[int]]]) -> dict[str, Shape]:
    return {name: tuple(shape) for name, shape in pairs}


def wire_path(path: Path) -> str:
    """An absolute path as the worker takes it: a character for each byte of the name."""
    return os.fsencode(os.path.abspath(path)).decode("latin-1")


def wire_text(text: str) -> str:
    """A prototxt's text as the worker takes it: a character for each byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
