"""The engine "caffe": real Caffe, driven through pycaffe in a worker process.

What pycaffe itself decides is left to it. The process is confined before it is given a net.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from netsurgery.engines.caffe_claim import NetClaim
from netsurgery.engines.caffe_net import CaffeNet, shape_of
from netsurgery.engines.contract import EngineOptions, Shape
from netsurgery.engines.discovery import locate_caffe
from netsurgery.engines.handover import Handover
from netsurgery.engines.limits import Limits
from netsurgery.engines.model_file import check_loaded, check_model, check_params, raw_hint
from netsurgery.engines.probing import path_hint
from netsurgery.engines.solver import CaffeSolver
from netsurgery.engines.syscall_filter import syscall_filter
from netsurgery.engines.worker_process import WorkerProcess, wire_path, wire_text
from netsurgery.errors import EngineFailed, EngineMissing, EngineTimeout
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import Closeable
from netsurgery.io.unreadable import check_file
from netsurgery.io.wording import argument
from netsurgery.net.effects import permitted
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState

__all__ = [
    "CaffeNet",
    "Confinement",
    "Moved",
    "ParamCopy",
    "PycaffeEngine",
    "RefusedToLoad",
    "open_engine",
]

#: layer, target layer, and for each param its old and new shape.
Moved = tuple[str, str, list[tuple[Shape, Shape]]]


class RefusedToLoad(EngineFailed):
    """Caffe gave up loading a net, which another engine may run; carries Caffe's own words."""


class ParamCopy(NamedTuple):
    """The params of InnerProduct `layer` go to `target_layer` of another net.

    transpose: the weight is kept K x N (InnerProductParameter.transpose) and is turned first.
    """

    layer: str
    target_layer: str
    transpose: bool = False


def open_engine(
    options: EngineOptions, files: Sequence[Path] = (), outputs: Sequence[Path] = ()
) -> PycaffeEngine:
    """Start Caffe under the interpreter that `options` or the machine gives.

    files: weights that it is to load, besides those of the first net it is given. outputs: files
    that it is to save to, which exist. What is in neither is copied to it and from it.
    Raises EngineMissing when there is none that can import it, EngineFailed when it dies, and
    EngineTimeout when it is not up within `options.start_timeout` seconds.
    """
    return PycaffeEngine(locate_caffe(options.caffe_python), options, files, outputs)


class Confinement(NamedTuple):
    """How files reach a worker that is confined, and its limits."""

    handover: Handover
    limits: Limits


class PycaffeEngine(Closeable):
    """Caffe in a worker process. After the process died every call raises EngineFailed."""

    name = "caffe"
    note = ""

    def __init__(
        self,
        python: str,
        options: EngineOptions,
        files: Sequence[Path] = (),
        outputs: Sequence[Path] = (),
    ) -> None:
        """Start `python`, an absolute path, and import Caffe there."""
        self._options = options
        self._net_ids = itertools.count(1)
        self._prepared: dict[_Load, CaffeNet] = {}
        self._files, self._outputs = tuple(files), tuple(outputs)
        self._confinement: Confinement | None = None  # until the first net
        self._worker = WorkerProcess(python, options)
        try:
            self._info = self._started()
            self._worker.remove_scratch()
        except BaseException:
            self._worker.close()
            raise

    def _started(self) -> dict[str, Any]:
        python, gpu, limit = self._worker.python, self._options.gpu, self._options.start_timeout
        scratch = [Path(folder) for folder in [self._worker.scratch] if folder]
        places = [wire_path(place) for place in (*scratch, *self._outputs)]
        asked = {"gpu": gpu, "allow": sorted(self._options.allow), "places": places}
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
                    f"this Caffe ({python}) is compiled without CUDA; leave out "
                    f"{argument('--gpu')}, "
                    f"or choose another with {argument('--caffe-python')}"
                ) from None
            if self._worker.exit_status in range(128):
                # It ended by itself: not a Python at all, or one too old or too broken.
                raise EngineMissing(f"{python} cannot run Caffe. {failed}") from None
            raise

    def _confined(self, load: _Load) -> Confinement:
        """Have the worker give up what no net needs, before it loads the first.

        The weights of that net it may open itself.
        """
        options = self._options
        gpu, allow, pid = options.gpu, options.allow, self._info["pid"]
        files = [*self._files, *filter(None, [load.weights])]
        self._info["unconfined"] = lacking = self._worker.request(
            "confine",
            load.doing,
            options.timeout,
            gpu=gpu,
            allow=sorted(allow),
            files=[wire_path(file) for file in files],
            filter=syscall_filter(pid, gpu=gpu is not None, allow=allow).hex(),
            folder=wire_path(Path()) if allow & {"reads", "writes"} else None,
        )
        limits = Limits(pid, self._worker.pid, options)
        lacking["memory"] = limits.reason
        reads, writes = bool(lacking["reads"]), bool(lacking["writes"])
        shared = self._worker.files
        folders = self._worker.folders
        handover = Handover(*shared, files, self._outputs, folders, reads=reads, writes=writes)
        return Confinement(handover, limits)

    def info(self) -> dict[str, Any]:
        """What this Caffe is.

        version; file, of the caffe package; python and numpy, their versions; pid; layer_types,
        those it knows. Once a net was loaded, unconfined: "writes", "reads", "calls", "memory" and
        "processes", each with the reason why its process is not confined in that, or "".
        netsurgery.engines.discovery has more, CUDA and BLAS among it.
        """
        return dict(self._info)

    def fields(self) -> dict[str, dict[str, str | None]]:
        """Message -> its fields in this Caffe's caffe.proto, each with the name of its own message.

        A plain value has None. Empty for a Caffe without caffe.proto.caffe_pb2.
        """
        try:
            return dict(self._request("fields", "naming its fields")["fields"])
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

    @checks_arguments()
    def load(
        self,
        net: Path | NetDefinition,
        weights: Path | None = None,
        *,
        state: NetState = TEST,
        partial: bool = False,
        in_turn: bool = False,
    ) -> CaffeNet:
        """Load a net, of a prototxt in `state`; without weights its params are as its fillers give.

        A `Net` is loaded as it is, in its own state. `weights` is a caffemodel, or HDF5 if its
        name ends in .h5. Layers that the net lacks are left alone, and with `partial` also those
        that the weights lack. Else these raise, as does whatever does not fit: NetError and
        PrototxtError, naming the layer. Raises RefusedToLoad with Caffe's own words, EngineFailed
        for files that are not there, and CaffemodelError for weights that are not a caffemodel,
        which Caffe may load without a word. Raises EffectRefused for a layer that reads, writes or
        imports by itself where `options.allow` does not say so, and what `Net.read` raises: Caffe
        is given the text that was read here, never the file. in_turn: does nothing here, where
        every net keeps its blobs.
        """
        for path in (net, weights):
            if isinstance(path, Path):
                check_file(path, "a file of Caffe's", EngineFailed)
        net = net if isinstance(net, NetDefinition) else NetDefinition.read(net, state)
        load = _Load(net.prototxt, weights, net.state)
        ready = self._prepared.pop(load, None)
        if ready is not None:
            return ready
        self._worker.check_alive()
        checked = self.permitted(net)
        if weights is not None:
            check_model(weights)
        with NetWithWeights(net, None if partial else weights) as model:
            if model.has_weights:
                check_params(model)
            claim = NetClaim(net, gpu=self._options.gpu is not None)
            text = checked.to_bytes(checked.root.source.text)
            loaded = CaffeNet(*self._loaded("load", claim, load, text))
            try:
                if model.has_weights:
                    check_loaded(model, loaded.params)
            except BaseException:
                loaded.close()
                raise
        return loaded

    def solver(self, net: NetDefinition, solver: str, weights: Path | None = None) -> CaffeSolver:
        """Caffe's own solver over `net`, which is in the state that it is trained in.

        solver: its prototxt, but for the net. weights: a caffemodel; layers that it lacks begin as
        their fillers say. Raises what `load` raises.
        """
        if weights is not None:
            check_file(weights, "a file of Caffe's", EngineFailed)
            check_model(weights)
        self._worker.check_alive()
        checked = self.permitted(net)
        text = f"{solver}net_param {{\n{checked.root.source.text}\n}}\n"
        claim = NetClaim(net, gpu=self._options.gpu is not None, training=True)
        load = _Load(net.prototxt, weights, net.state)
        return CaffeSolver(*self._loaded("solver", claim, load, checked.to_bytes(text)))

    def _loaded(self, op: str, claim: NetClaim, load: _Load, text: bytes) -> _Loaded:
        """What a net is made of that Caffe has made of this text. Raises RefusedToLoad."""
        confinement = self._confinement = self._confinement or self._confined(load)
        handover, limits = confinement
        number = next(self._net_ids)
        limits.expect(number, claim.bound({}))
        with handover.text(text, load.path) as place, handover.weights(load.weights) as values:
            try:
                facts = self._request(op, load.doing, net=number, **load.fields(place, values))
            except EngineFailed as failed:
                words = str(failed).replace(str(values), str(load.weights))
                words = words.replace(str(place), load.path)
                raise RefusedToLoad(f"{words}{raw_hint(load.weights)}") from None
        return _Loaded(self, number, load.path, facts, claim, confinement)

    def permitted(self, net: NetDefinition) -> Prototxt:
        """The text of the net that Caffe may be given. Raises EffectRefused where there is none."""
        return permitted(net, self._options.allow, self._info["layer_types"])

    def prepare(self, net: NetDefinition, weights: Path | None) -> None:
        """Load a net now, for the next `load` of the same. Raises what `load` raises."""
        load = _Load(net.prototxt, weights, net.state)
        if load not in self._prepared:
            self._prepared[load] = self.load(net, weights)

    def transplant(
        self, original: CaffeNet, target: CaffeNet, moves: Sequence[ParamCopy]
    ) -> list[Moved]:
        """Copy params from `original` to `target`, value by value in row-major order.

        All moves are checked before the first is made: both layers exist, have as many params,
        and each param as many values. Raises SurgeryError, and then nothing was copied.
        """
        doing = f"moving params to {target.path}"
        nets = {"original": original.number, "target": target.number}
        result = self._request("transplant", doing, moves=moves, **nets)
        with self._worker.sense(doing):
            return [
                (str(layer), str(into), [(shape_of(old), shape_of(new)) for old, new in shapes])
                for layer, into, shapes in result["moves"]
            ]

    def _request(self, op: str, doing: str, **fields: Any) -> dict[str, Any]:
        try:
            return self._worker.request(op, doing, self._options.timeout, **fields)
        except EngineFailed as failed:
            hint = self._confinement.limits.explain(str(failed)) if self._confinement else ""
            raise type(failed)(f"{failed}{hint}") from None

    def close(self) -> None:
        """Kill the worker and wait for it; every net is gone with it."""
        self._worker.close()


class _Loaded(NamedTuple):
    """What a `CaffeNet` is made of."""

    engine: PycaffeEngine
    number: int
    path: str
    facts: dict[str, Any]
    claim: NetClaim
    confinement: Confinement


class _Load(NamedTuple):
    """A net to load."""

    prototxt: Prototxt
    weights: Path | None
    state: NetState

    @property
    def path(self) -> str:
        """The prototxt's name."""
        return self.prototxt.path

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
            "stages": [wire_text(stage) for stage in self.state.stages],
        }
