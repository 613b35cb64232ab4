"""One ONNX graph in ONNX Runtime: weights mapped from the caffemodel, run with a time limit."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netsurgery import __version__
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import EngineError, EngineFailed, EngineMissing, EngineTimeout
from netsurgery.export import protobuf
from netsurgery.export.graph import Constant, Graph
from netsurgery.export.protobuf import ExternalData
from netsurgery.io.mapping import watch
from netsurgery.io.reader import Reader, open_source
from netsurgery.io.terminal import unheard
from netsurgery.io.wording import argument
from netsurgery.net.memory import is_rewritten

if TYPE_CHECKING:
    from netsurgery.engines.contract import Array, Shape
    from netsurgery.formats.weights import WeightsFile


# Else importing it writes an identity and a diary of use under the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
try:
    with unheard():  # without /proc it prints of a processor that it cannot name
        import onnxruntime as ort
except ImportError as missing:
    raise EngineMissing(
        f"the embedded engine needs ONNX Runtime, which cannot be imported ({missing}): "
        "pip install onnxruntime"
    ) from None

__all__ = ["VERSION", "Providers", "Session", "find_cuda", "providers"]

#: ONNX Runtime's own version.
VERSION: str = ort.__version__

#: Execution providers as ONNX Runtime takes them, the preferred one first.
Providers = list[Any]

#: Bytes of an array from which on it is handed to ONNX Runtime apart from the graph.
LARGE = 1 << 20

#: Microseconds that a thread waits busily for the next layer. Left to ONNX Runtime, which waits
#: longer, a forward takes up to a quarter more of the processor's time where the cores have other
#: work, such as to prepare and draw pictures (`python -m benchmarks.waiting`).
SPIN = 1000

_FOLDER = "session.model_external_initializers_file_folder_path"


def providers(gpu: int | None) -> Providers:
    """What to run on. Raises EngineMissing for a GPU that this ONNX Runtime cannot use."""
    if gpu is None:
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise EngineMissing(
            "this ONNX Runtime is built without CUDA; for --gpu: pip uninstall onnxruntime "
            "&& pip install 'onnxruntime-gpu[cuda,cudnn]' (the two cannot live together)"
        )
    # TF32 keeps 10 bits of a float's 23: not what Caffe computes with.
    cuda = {"device_id": str(gpu), "use_tf32": "0"}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def find_cuda(verbose: bool) -> None:
    """Have ONNX Runtime find CUDA's and cuDNN's libraries where pip puts them.

    What it says of them, on both standard streams, is for --verbose alone.
    """
    if not verbose:
        ort.set_default_logger_severity(4)
    with contextlib.redirect_stdout(sys.stderr if verbose else io.StringIO()):
        if hasattr(ort, "preload_dlls"):  # since 1.21; those before look where the system does
            ort.preload_dlls()


class _Form(NamedTuple):
    """A graph as bytes, and where its external data are."""

    model: bytes
    folder: str | None = None
    values: Mapping[str, Array] | None = None


class Session:
    """A graph that can be run; `inputs` are the names it takes, `outputs` those it gives."""

    def __init__(
        self,
        graph: Graph,
        model: WeightsFile | None,
        options: EngineOptions,
        shares_arena: bool = False,
    ) -> None:
        """shares_arena: as in `ort_arena.share`.

        Raises EngineFailed, with ONNX Runtime's own words, for what it does not take.
        """
        self.inputs, self.outputs = list(graph.inputs), list(graph.outputs)
        self._starts = {value: layer for value, (layer, _) in graph.starts.items()}
        graph.outputs.update({value: shape for value, (_, shape) in graph.starts.items()})
        self._options, self._shares_arena = options, shares_arena
        self._session = self._created(graph, model)
        used = self._session.get_providers()[0]
        if options.gpu is not None and used != "CUDAExecutionProvider":
            raise EngineFailed(
                f"ONNX Runtime cannot use GPU {options.gpu}: it fell back to {used}; its CUDA "
                "and cuDNN libraries, or the GPU's driver, are missing or too old (try pip install "
                "'onnxruntime-gpu[cuda,cudnn]'; --verbose shows what it says)"
            )

    def _created(self, graph: Graph, model: WeightsFile | None) -> ort.InferenceSession:
        slim, arrays = _apart(graph)
        if model is None or not _ranges(graph):
            return self._opened(_Form(_encoded(slim, "memory"), None, arrays))
        real = os.path.realpath(model.path)
        root = os.path.splitdrive(real)[0] + os.sep
        try:
            real.encode("utf-8")
            watch(real, model.source.size)  # which ONNX Runtime maps
            located = _below(slim, root)
            return self._opened(_Form(_encoded(located, os.path.relpath(real, root)), root, arrays))
        except (EngineFailed, UnicodeEncodeError, ValueError):
            # A name or a place that ONNX Runtime refuses (hard links, links inside the path,
            # names that are not UTF-8): hand it the mapped arrays instead. Trouble of the graph
            # itself comes up again.
            mapped = {**_mapped(graph, model), **arrays}
            return self._opened(_Form(_encoded(_below(slim, None), "weights"), None, mapped))

    def _opened(self, form: _Form) -> ort.InferenceSession:
        settings = ort.SessionOptions()
        settings.log_severity_level = 2 if self._options.verbose else 4
        # Packing the weights of Gemm copies them, 0.16 s for 200 MB, and gains nothing that
        # could be measured for one image.
        settings.add_session_config_entry("session.disable_prepacking", "1")
        # A plan of one block, made in the first run, would lie beside what that run has allocated.
        settings.enable_mem_pattern = False
        settings.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN))
        if self._options.threads is not None:
            settings.intra_op_num_threads = self._options.threads
        if self._shares_arena:
            from netsurgery.engines.ort_arena import share

            share(settings)
        if form.folder is not None:
            settings.add_session_config_entry(_FOLDER, form.folder)
        if form.values:
            values = [ort.OrtValue.ortvalue_from_numpy(array) for array in form.values.values()]
            settings.add_external_initializers(list(form.values), values)
        try:
            with unheard(shown=self._options.verbose):
                return ort.InferenceSession(
                    form.model, settings, providers=providers(self._options.gpu)
                )
        except Exception as error:  # the binding's classes have no common root but this
            raise EngineFailed(f"ONNX Runtime does not take the net: {_line(error)}") from None

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs, in order. Raises EngineTimeout and EngineFailed."""
        limit, running = self._options.timeout, ort.RunOptions()
        over = threading.Event()

        def stop() -> None:
            over.set()
            running.terminate = True

        timer = threading.Timer(min(limit, threading.TIMEOUT_MAX), stop)
        timer.daemon = True
        timer.start()
        try:
            with unheard(shown=self._options.verbose):
                outputs = self._session.run([*self.outputs, *self._starts], dict(feed), running)
        except Exception as error:
            if over.is_set():
                raise EngineTimeout(f"the net did not run within {limit:g} s") from None
            reason = _line(error)
            node = re.search(r"Name:'(.+)/\w+'", reason)  # as LayerContext names it
            at = f" at layer {node[1]!r}" if node else ""
            raise EngineFailed(f"ONNX Runtime gave up{at}: {reason}") from None
        finally:
            timer.cancel()
            timer.join()  # else its thread may be there for a moment more
        count = len(self.outputs)
        self._check_starts(outputs[count:])
        return [np.asarray(array, np.float32) for array in outputs[:count]]

    def _check_starts(self, rows: Sequence[Array]) -> None:
        for row, layer in zip(rows, self._starts.values(), strict=True):
            if row.any():
                raise EngineError(
                    f"layer {layer!r}: the first row of cont is not 0, so that it goes on from "
                    "the forward before; the embedded engine keeps no state "
                    f"({argument('--engine caffe')} does)"
                )


def _encoded(graph: Graph, location: str | None) -> bytes:
    # ONNX Runtime rewrites the layout of kernels unless a run may give others in their place.
    kernels = {node.inputs[1] for node in graph.nodes if node.kind == "Conv"}
    large = {
        name: constant.shape
        for name, constant in graph.constants.items()
        if name in kernels and not is_rewritten(constant.shape)
    }
    pieces = replace(graph, inputs={**graph.inputs, **large}).encode("net", location)
    domains = sorted({node.domain for node in graph.nodes if node.domain})
    return protobuf.join(protobuf.model(pieces, {}, __version__, domains))


def _apart(graph: Graph) -> tuple[Graph, dict[str, Array]]:
    """The graph with its large arrays as external data, and those arrays.

    Inside the graph's bytes they would be copied three times, and no more than 2 GiB would fit.
    """
    arrays = {
        name: constant.data
        for name, constant in graph.constants.items()
        if isinstance(constant.data, np.ndarray)
        and constant.data.dtype == np.float32
        and constant.data.nbytes >= LARGE
    }
    external = {
        name: Constant(graph.constants[name].shape, ExternalData(0, array.nbytes))
        for name, array in arrays.items()
    }
    return replace(graph, constants={**graph.constants, **external}), arrays


def _ranges(graph: Graph) -> dict[str, tuple[Shape, ExternalData]]:
    """The shape and the place of each constant that is in the file of weights."""
    return {
        name: (constant.shape, constant.data)
        for name, constant in graph.constants.items()
        if isinstance(constant.data, ExternalData)
    }


def _below(graph: Graph, root: str | None) -> Graph:
    """The graph with the paths of its external data below a folder, or with none at all.

    Raises ValueError for one on another drive.
    """

    def below(constant: Constant) -> Constant:
        data = constant.data
        if not (isinstance(data, ExternalData) and data.path):
            return constant
        path = "" if root is None else os.path.relpath(os.path.realpath(data.path), root)
        return Constant(constant.shape, data._replace(path=path))

    return replace(graph, constants={k: below(c) for k, c in graph.constants.items()})


def _mapped(graph: Graph, model: WeightsFile) -> dict[str, Array]:
    """The constants that are in files, as views of the mapped files. Raises CaffemodelError."""
    arrays = {}
    for name, (shape, data) in _ranges(graph).items():
        weights = contextlib.nullcontext(model.source)
        with open_source(data.path) if data.path else weights as source:
            arrays[name] = Reader(source).floats(data.offset, shape)
    return arrays


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
