"""An open net: its layers, the shapes of its blobs, and its params, to be looked at and changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from netsurgery.errors import NetError
from netsurgery.io.closeable import Closeable
from netsurgery.net.net import Layer, NetInput, Shape
from netsurgery.net.net import NetDefinition as NetView
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.state import NetState
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.open_net.params import Params, Store

if TYPE_CHECKING:
    from typing_extensions import Self

    from netsurgery.net.field import ReceptiveField

__all__ = ["BlobMissing", "Blobs", "Net"]


class Net(Closeable):
    """A net and, where they are given, its weights; a context manager.

        with netsurgery.Net("deploy.prototxt", "model.caffemodel") as net:
            print(net.blobs["fc6"], net.params["fc6"][0].shape)
            net.params["fc6"][1][...] += 1
            net.save("raised.caffemodel")

    prototxt: text as of today or of 2014 (V1); one of 2013 (V0) is upgraded first. weights: a
    caffemodel or Caffe's HDF5, None to look at the net alone. phase ("TEST" or "TRAIN"), stages
    and level: which of the layers count, by their include and exclude rules, as Caffe has it.
    input_shapes: blob -> shape, for inputs and data layers' tops, as if the prototxt declared them.
    Nothing of the weights is read before it is asked for, and neither file ever changes. Engines
    and the verbs that take weights read files: save what was changed before.

    Raises PrototxtError and NetError for a net that cannot be read or contradicts itself,
    CaffemodelError for weights that cannot be read.
    """

    def __init__(
        self,
        prototxt: AnyPath,
        weights: AnyPath | None = None,
        *,
        phase: str = "TEST",
        stages: Sequence[str] = (),
        level: int = 0,
        input_shapes: Mapping[str, Shape] | None = None,
    ) -> None:
        if isinstance(stages, str):
            stages = [stages]
        state = NetState(phase, level, tuple(stages)).at(input_shapes)
        self._open(NetWithWeights.open(prototxt, weights, state))

    @classmethod
    def of_model(cls, model: NetWithWeights) -> Self:
        """The net of a model that is open, such as a surgery's result; closed with this one."""
        net = cls.__new__(cls)
        net._open(model)
        return net

    def _open(self, model: NetWithWeights) -> None:
        self._view = model.net
        self._store = Store(model) if model.has_weights else None

    @property
    def name(self) -> str:
        """The net's own name, "" where it has none."""
        return self._view.name

    @property
    def text(self) -> str:
        """The prototxt as its author wrote it (one of V0: upgraded), without a byte order mark."""
        return self._view.prototxt.text

    @property
    def view(self) -> NetView:
        """What the prototxt says, without weights: what plans are made of."""
        return self._view

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the net's state, in file order: each with name, type, bottoms, tops."""
        return self._view.layers

    @property
    def inputs(self) -> tuple[NetInput, ...]:
        """The inputs, in file order: name, and the shape declared (None where there is none)."""
        return self._view.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The blobs that no layer reads, in file order."""
        return self._view.outputs

    @property
    def blobs(self) -> Mapping[str, Shape]:
        """Blob -> its shape (N, C, H, W) at the inputs declared, in file order.

        A blob whose shape cannot be told is left out; asking for it, or for one that is not
        there, raises a NetError with the reason, which is a KeyError too. Raises PrototxtError
        where shapes contradict each other.
        """
        return Blobs(self.shapes(), self._view.prototxt.path)

    def shapes(self, inputs: Mapping[str, Shape] | None = None) -> Shapes:
        """The shapes of blobs and params, by Caffe's own arithmetic.

        inputs: other shapes, such as ``{"data": (1, 3, 451, 451)}``; those left out are as
        declared. Raises NetError for an input that the net has not, PrototxtError, naming the
        layer, where shapes contradict each other or an input is too small.
        """
        return infer(self._view, self._known(inputs))

    def fields(self, inputs: Mapping[str, Shape] | None = None) -> dict[str, ReceptiveField]:
        """Blob -> what one of its cells sees of the input: size, stride and offset in pixels.

        Blobs that no sliding window describes are left out. inputs and errors: as in `shapes`.
        """
        from netsurgery.net.field import fields

        return fields(self._view, self._known(inputs))

    @property
    def params(self) -> Params:
        """Layer -> its params: ``net.params["fc6"][0]`` is a float32 array (weights), [1] the bias.

        The arrays may be written to; `save` tells what becomes of that. Raises NetError for a
        layer without params, SurgeryError for a param whose shape in the weights is not the
        net's, and for values that do not fit; CaffemodelError where the file has changed.
        """
        return Params(self._store, self._view.prototxt.path)

    def changed(self) -> list[str]:
        """The layers with a param that is no more what the file has, in file order.

        Params that were handed out are compared with the file, bit by bit. Of layers that share
        a param the first is meant. Raises CaffemodelError where the file has changed.
        """
        changed = {layer for layer, _ in self._store.changed()} if self._store else set()
        return [layer.name for layer in self.layers if layer.name in changed]

    def save(
        self, weights: AnyPath, prototxt: AnyPath | None = None, *, force: bool = False
    ) -> None:
        """Write the weights as they are now, and the prototxt too where it is given a name.

        From caffemodel to caffemodel all but the changed params is copied byte for byte, layers
        that the net has not included; a name that ends in .h5 makes HDF5. All outputs appear
        whole, or none. force: replace files that exist (never the net's own). Raises NetError
        without weights, and for values that became NaN or infinite; OutputError, CaffemodelError
        where the net's file has changed.
        """
        from netsurgery.surgery.edit.plan import EditPlan
        from netsurgery.surgery.edit.session import EditSession
        from netsurgery.surgery.edit.weights import layer_changes
        from netsurgery.surgery.edit.write import EditPaths, write_edit

        if self._store is None:
            raise NetError(f"{self._view.prototxt.path}: no weights were given, none can be saved")
        self._store.insist_open()
        model = self._store.model
        model.check_unchanged()
        work = EditSession(model)
        work.arrays = self._store.changed()
        self._store.insist_finite(work.arrays)
        plan = EditPlan(self._view, self._view, (), layer_changes(work), {}, ())
        places = EditPaths(Path(weights), as_path(prototxt))
        write_edit(plan, model, places, force=force)

    def close(self) -> None:
        """Let go of the weights; arrays that were handed out stay valid."""
        if self._store is not None:
            self._store.close()

    def _known(self, inputs: Mapping[str, Shape] | None) -> dict[str, Shape]:
        """The shapes given, as tuples. A data layer's top may be given one too."""
        tops = {top for layer in self.layers if not layer.bottoms for top in layer.tops}
        known = tops | {one.name for one in self.inputs}
        for name in inputs or ():
            if name not in known:
                raise NetError(
                    f"{self._view.prototxt.path}: no input {name!r}; the net has "
                    f"{', '.join(map(repr, sorted(known))) or 'none'}{self._view.stage_hint}"
                )
        return {name: tuple(shape) for name, shape in (inputs or {}).items()}

    def __repr__(self) -> str:
        weights = "no weights" if self._store is None else self._store.shown_path
        return f"<Net {self.name!r}: {self._view.prototxt.path}, {weights}>"


class BlobMissing(NetError, KeyError):
    """There is no such blob, or its shape cannot be told."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError's would quote it


class Blobs(dict[str, Shape]):
    """Blob -> its shape (N, C, H, W), in file order.

    One that is not in it raises a NetError that says why, which is a KeyError too.
    """

    def __init__(self, shapes: Shapes, path: str) -> None:
        super().__init__(shapes.blobs)
        self._unknown, self._path = shapes.unknown, path

    def __missing__(self, blob: str) -> NoReturn:
        if blob in self._unknown:
            raise BlobMissing(
                f"{self._path}: the shape of blob {blob!r} is not known: {self._unknown[blob]}"
            )
        names = ", ".join(map(repr, self)) or "none whose shape is known"
        raise BlobMissing(f"{self._path}: no blob {blob!r}; the net has {names}")
