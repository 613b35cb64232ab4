"""An open net: its layers, the shapes of its blobs, and its params, to be looked at and changed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import AnyEngine, EngineOptions, as_engine_options
from netsurgery.errors import NetError
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.closeable import Closeable, in_turn
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.short_repr import short_repr
from netsurgery.io.size import as_shape
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.scratch_model import changed_model
from netsurgery.net.shapes import Shapes
from netsurgery.net.state import NetState, Phase
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.open_net.blobs import Blobs, BlobStore
from netsurgery.open_net.params import Params, Store
from netsurgery.open_net.running import Runner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

    from netsurgery.net.field import ReceptiveField

    Array = NDArray[np.float32]

__all__ = ["Net"]


class Net(Closeable):
    """A net and, where they are given, its weights; a context manager.

        with netsurgery.Net("deploy.prototxt", "model.caffemodel") as net:
            before = net.forward(data=images)["prob"]
            net.params["fc6"][1][...] += 1
            after = net.forward()["prob"]
            net.save("raised.caffemodel")

    prototxt: text as of today or of 2014 (V1); one of 2013 (V0) is upgraded first. weights: a
    caffemodel or Caffe's HDF5, None to look at the net alone. phase ("TEST" or "TRAIN"), stages
    and level: which of the layers count, by their include and exclude rules, as Caffe has it.
    input_shapes: blob -> shape, for inputs and data layers' tops, as if the prototxt declared them.
    engine: what `forward` runs the net in, "auto" (real Caffe where there is one that knows the
    net), "caffe", "embedded" or EngineOptions. Nothing of the weights is read before it is asked
    for, and neither file ever changes. Verbs that take the net take its present params.

    Raises PrototxtError and NetError for a net that cannot be read or contradicts itself,
    CaffemodelError for weights that cannot be read.

    >>> import netsurgery as ns
    >>> net = ns.Net("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> net.blobs["conv1"].shape, net.params["conv1"][0].shape
    ((1, 16, 28, 28), (16, 1, 5, 5))
    """

    @checks_arguments()
    def __init__(
        self,
        prototxt: AnyPath,
        weights: AnyPath | None = None,
        *,
        phase: Phase = "TEST",
        stages: str | Iterable[str] = (),
        level: int = 0,
        input_shapes: Mapping[str, Shape] | None = None,
        engine: AnyEngine = "auto",
    ) -> None:
        state = NetState(phase, level, tuple(as_names(stages, "stages"))).at(input_shapes)
        self._open(NetWithWeights.open(prototxt, weights, state), engine)

    @classmethod
    def of_model(cls, model: NetWithWeights, engine: AnyEngine = "auto") -> Self:
        """The net of a model that is open, such as a surgery's result; closed with this one."""
        net = cls.__new__(cls)
        net._open(model, engine)
        return net

    def _open(self, model: NetWithWeights, engine: AnyEngine) -> None:
        self._model, self._view = model, model.net
        self._store = Store(model) if model.has_weights else None
        self._blobs = BlobStore(model.net)
        self._options = as_engine_options(engine)
        self.turn = threading.RLock()
        self._runner = Runner(model, self._store)
        # A worker process must not outlive a net that nobody closed. The runner, for its part, must
        # not refer to the net, which would never be collected then.
        self._stop = weakref.finalize(self, self._runner.close)

    @property
    def name(self) -> str:
        """The net's own name, "" where it has none."""
        return self._view.name

    @property
    def has_weights(self) -> bool:
        """Whether it was opened with weights."""
        return self._model.has_weights

    @property
    def text(self) -> str:
        """The prototxt as its author wrote it (one of V0: upgraded), without a byte order mark."""
        return self._view.prototxt.text

    @property
    def view(self) -> NetDefinition:
        """What the prototxt says, without weights: what plans are made of."""
        return self._view

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the net's state, in file order: each with name, type, bottoms, tops."""
        return self._view.layers

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, in file order."""
        return tuple(declared.name for declared in self._view.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the blobs that no layer reads, in file order."""
        return self._view.outputs

    @property
    def blobs(self) -> Blobs:
        """Blob -> its `shape` (N, C, H, W) and, once the net has run, its `data`, in file order.

        Shapes are those that the inputs' present shapes lead to: the declared ones, until `forward`
        is given arrays of others. A name that no blob has, and a shape that cannot be inferred,
        raise a NetError with the reason, which is a KeyError too; shapes that contradict each other
        a PrototxtError.
        """
        return Blobs(self._blobs)

    @checks_arguments()
    @in_turn
    def forward(
        self,
        inputs: Mapping[str, ArrayLike] | None = None,
        # So that an input may be called `inputs`: it comes in `arrays`.
        /,
        *,
        blobs: str | Iterable[str] | None = None,
        engine: AnyEngine | None = None,
        **arrays: ArrayLike,
    ) -> dict[str, Array]:
        """Run the net with its present params; returns blob -> float32 array, the caller's own.

        arrays: by the inputs' names, ``net.forward(data=x)``, N x C x H x W for pictures; inputs
        takes those whose names are not words of Python. They are converted to float32, and the net
        is reshaped to them: batch, height and width may be others than the prototxt declares. An
        input that is left out has what it had last; without any the net runs on what
        ``net.blobs["data"].data`` holds. blobs: what to return besides the outputs. engine: as in
        `Net`, from this call on; it is started by the first one and stays.

        Afterwards ``net.blobs[name].data`` holds the same numbers for the blobs that are returned,
        in an array that the next call writes to. Raises NetError for an array of other axes or
        channels, saying which are expected, and for a size that the net's params do not fit;
        BlobMissing for blobs that are not there; PrototxtError where an input is too small;
        EngineError and what else the engine raises. What is refused leaves the inputs as they were.
        A param that was changed may hold anything. Threads may share the net: each call waits for
        the one before, and what it returns is of its own input.

        >>> import netsurgery as ns
        >>> import numpy as np
        >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
        >>> with ns.Net(*paths, engine="embedded") as net:
        ...     results = net.forward(data=np.zeros((5, 1, 32, 32)), blobs="ip1")
        >>> {name: array.shape for name, array in results.items()}
        {'prob': (5, 11), 'ip1': (5, 96)}
        """
        self._model.check_unchanged()
        if not isinstance(inputs, Mapping | None):
            raise TypeError("forward takes arrays by the inputs' names, and blobs=[...] by theirs")
        names = as_names(() if blobs is None else blobs, "blobs")
        for name in names:
            self._blobs.check(name)
        options = self._options if engine is None else as_engine_options(engine)
        self._blobs.put({**(inputs or {}), **arrays})
        asked = list(dict.fromkeys((*self.outputs, *names)))
        results = self._runner.forward(options, self._blobs.inputs, asked)
        # Only now: an engine that could not run the net is not kept.
        self._options = options
        self._blobs.keep(results)
        return results

    def reshape(self, **shapes: Sequence[int]) -> None:
        """Give inputs other shapes, ``net.reshape(data=(1, 3, 451, 451))``; they hold zeros then.

        Every other blob follows by itself, and `forward` reshapes to its arrays: what is left of
        pycaffe's ``net.reshape()`` is nothing. Raises NetError for a name that is not an input's;
        no input is reshaped then.

        >>> net = Net("prototxt/digits_deploy.prototxt")
        >>> net.blobs["data"].reshape(3, 1, 32, 32)
        >>> net.reshape()
        >>> net.blobs["prob"].shape
        (3, 11)
        """
        self._blobs.reshape(shapes)

    @property
    def engine(self) -> str:
        """What ran the net last, "embedded (ONNX Runtime 1.20.1), CPU"; "" before `forward`."""
        running = self._runner.engine
        return "" if running is None else running.description

    @property
    def engine_options(self) -> EngineOptions:
        """What `forward` runs the net in, as it was asked for."""
        return self._options

    @checks_arguments()
    def shapes(self, inputs: Mapping[str, Shape] | None = None) -> Shapes:
        """The shapes of blobs and params, by Caffe's own arithmetic.

        inputs: other shapes, such as ``{"data": (1, 3, 451, 451)}``; those left out are as they
        are now. Raises NetError for an input that the net does not have, PrototxtError, naming the
        layer, where shapes contradict each other or an input is too small.

        >>> net = Net("prototxt/digits_deploy.prototxt")
        >>> net.shapes({"data": (1, 1, 40, 40)}).blobs["conv1"]
        (1, 16, 36, 36)
        """
        return self._blobs.shapes(self._known(inputs))

    @checks_arguments()
    def fields(self, inputs: Mapping[str, Shape] | None = None) -> dict[str, ReceptiveField]:
        """Blob -> what one of its cells sees of the input: size, stride and offset in pixels.

        Blobs that no sliding window describes are left out. inputs and errors: as in `shapes`.

        >>> fields = Net("prototxt/digits_deploy.prototxt").fields()
        >>> [float(side) for side in fields["conv1"].size]
        [5.0, 5.0]
        """
        from netsurgery.net.field import fields

        return fields(self._view, {**self._blobs.present, **self._known(inputs)})

    @property
    def params(self) -> Params:
        """Layer -> its params: ``net.params["fc6"][0]`` is a float32 array (weights), [1] the bias.

        The arrays may be written to: `forward` computes with them, `save` writes them. Raises
        NetError for a layer without params, SurgeryError for a param whose shape in the weights is
        not the net's, and for values that do not fit; CaffemodelError where the file has changed.
        """
        return Params(self._store, self._view.prototxt.path)

    def changed(self) -> list[str]:
        """The layers with a param that is not what the file has, in file order.

        Params that were handed out are compared with the file, bit by bit. Of layers that share
        a param the first is meant. Raises CaffemodelError where the file has changed.

        >>> with Net("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel") as net:
        ...     net.params["ip1"][1][...] = 0
        ...     net.changed()
        ['ip1']
        """
        self._model.check_unchanged()
        changed = {layer for layer, _ in self._store.changed()} if self._store else set()
        return [layer.name for layer in self.layers if layer.name in changed]

    @checks_arguments()
    def save(
        self, weights: AnyPath, prototxt: AnyPath | None = None, *, force: bool = False
    ) -> None:
        """Write the weights as they are now, and the prototxt too where it has a name.

        From caffemodel to caffemodel all but the changed params is copied byte for byte, layers
        that the net lacks included; a name that ends in .h5 makes HDF5. All outputs appear
        whole, or none. force: replace files that exist (never the net's own). Raises NetError
        without weights, and for values that became NaN or infinite; OutputError, CaffemodelError
        where the net's file has changed.

        >>> with Net("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel") as net:
        ...     net.params["ip1"][1][...] = 0
        ...     net.save("zero_bias.caffemodel")
        """
        from netsurgery.surgery.edit.plan import EditPlan
        from netsurgery.surgery.edit.write import EditPaths, write_edit

        self._model.check_unchanged()
        if self._store is None:
            raise NetError(
                f"{self._view.prototxt.path}: opened without weights, so that none can be saved"
            )
        changed = self._store.changed()
        self._store.insist_finite(changed)
        change = self._store.change(changed)
        # An edit without operations: one writer for what either changes.
        plan = EditPlan(self._view, self._view, (), dict(change.layers), {}, ())
        write_edit(plan, self._model, EditPaths(Path(weights), as_path(prototxt)), force=force)

    @checks_arguments()
    @contextmanager
    def present_model(self, *, finite: bool = False) -> Iterator[NetWithWeights]:
        """The net with its present params, for what reads weights from a file.

        Params that were changed are in a temporary file, which goes at the end of the context;
        where none is, it is the net's own model. finite: for what may be written, as in `save`.
        Raises CaffemodelError where the file has changed, and NetError where, if they are to be
        finite, values became NaN or infinite.
        """
        self._model.check_unchanged()
        changed = self._store.changed() if self._store is not None else {}
        if self._store is None or not changed:
            yield self._model
            return
        if finite:
            self._store.insist_finite(changed)
        with changed_model(self._model, self._store.change(changed)) as model:
            yield model

    def close(self) -> None:
        """Close the weights and end the engine; arrays that were handed out stay valid."""
        self._model.close()
        self._stop()  # the finalizer, which runs only once: not again at the end
        if self._store is not None:
            self._store.close()

    def _known(self, inputs: Mapping[str, Shape] | None) -> dict[str, Shape]:
        """The shapes, as tuples. A data layer's top may have one too."""
        tops = (top for layer in self.layers if not layer.bottoms for top in layer.tops)
        known = dict.fromkeys((*self.inputs, *tops))
        for name in inputs or ():
            if name not in known:
                hint = did_you_mean(name, known, "inputs") or "; it has none"
                raise NetError(
                    f"{self._view.prototxt.path}: no input {name!r}{hint}{self._view.stage_hint}"
                )
        return {name: as_shape(each, f"input {name!r}") for name, each in (inputs or {}).items()}

    def _repr_html_(self) -> str:
        """The table of layers, for notebooks; shapes are the present ones."""
        import html

        from netsurgery.net.layer_table import layer_table, summarize

        shapes = self.shapes()
        layers = summarize(self._view, shapes, self._model.stored)
        inputs = {name: shapes.blobs.get(name) for name in self.inputs}
        return f"<p>{html.escape(repr(self))}</p>\n{layer_table(layers, inputs).html()}"

    def __repr__(self) -> str:
        weights = "no weights" if self._store is None else self._store.shown_path
        return short_repr(f"Net {self.name!r}: {self._view.prototxt.path}, {weights}")
