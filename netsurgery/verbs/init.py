"""``netsurgery.init``: a caffemodel from a prototxt's own fillers, or what a model lacks of one.

An output appears whole or not at all, inputs are never changed, and an output that exists with
another content is an error without `force`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import NetError, SurgeryError
from netsurgery.formats.caffemodel_new import Chunks, NewBlob, NewLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.formats.weights import WeightsBlob, numbers, write_weights
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import OutputFile, Outputs
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.io.targets import STDOUT, check_outputs, wrote
from netsurgery.io.wording import counted
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shared_params import Param
from netsurgery.net.state import TEST, NetState
from netsurgery.net.write_weights import ModelChange, write_model
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.open_net.models import check_net
from netsurgery.surgery.fillers import fill
from netsurgery.surgery.initial_params import InitialParam, InitialPlan, plan_initial_params
from netsurgery.surgery.plan import Refusal, refuse
from netsurgery.verbs.open_result import OpenResult

if TYPE_CHECKING:
    from netsurgery.open_net.net import Net

__all__ = ["Initialization", "init"]

OnBytes = Callable[[int, int], None]


class Initialization(OpenResult):
    """The params that `init` fills, by which fillers, and the net with them.

    written: the file written last, () for none. A model that lacked them stays open until this is
    closed or collected.

    >>> import netsurgery as ns
    >>> with ns.init("prototxt/digits_deploy.prototxt", seed=3) as result:
    ...     result.save("start.caffemodel")
    ('start.caffemodel',)
    """

    noun = "initialization"

    def __init__(
        self, plan: InitialPlan, seed: int, model: NetWithWeights, source: ExitStack
    ) -> None:
        """model: the net, and the weights that lack params where there are some."""
        super().__init__(source, model)
        self.plan, self.seed, self._model = plan, seed, model
        self.path: Path | None = None  # of the output
        self.written: tuple[str, ...] = ()
        self._bytes: int | None = None

    @property
    def params(self) -> tuple[InitialParam, ...]:
        """Each param filled: its layer, index, shape and filler, in file order."""
        return self.plan.params

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        notes = [*self.plan.notes]
        if self._model.has_weights and not self.params:
            notes.append(f"{self._model.path} has params for every layer of the net")
        return tuple(filter(None, (self._model.another_net(), *notes)))

    @cached_property
    def net(self) -> Net:
        """The net with its params, open, in a temporary file; the caller's to close."""
        from netsurgery.net.scratch_model import ScratchModel
        from netsurgery.open_net.net import Net

        self.check_open()
        return Net.of_model(ScratchModel(self.plan.net, self._write))

    @checks_arguments()
    def save(
        self, weights: AnyPath, *, force: bool = False, progress: OnBytes | None = None
    ) -> tuple[str, ...]:
        """Write the params; returns the files written.

        weights: HDF5 if its name ends in .h5, else a caffemodel; "-" is standard output. progress:
        called with the bytes written so far and those in all. A file that holds these params
        already is left as it is; another is replaced by `force` alone. Raises OutputError;
        nothing is written then.
        """
        self.check_open()
        path = Path(weights)
        # The same seed gives the same bytes, so a file made before is no obstacle.
        with Outputs(
            [path], inputs=self._model.files, force=force, stdout=True, repeatable=True
        ) as outputs:
            size = self._write(outputs[path], progress)
        self.path, self._bytes, self.written = path, size, (str(path),)
        return self.written

    def _write(self, output: OutputFile, progress: OnBytes | None = None) -> int:
        if self._model.has_weights:
            return write_model(output, self._model, self._change(), progress)
        net = self.plan.net
        layers = [self._layer(layer) for layer in _named_first(net)]
        return write_weights(output, layers, net_name=net.name, progress=progress)

    def _change(self) -> ModelChange:
        """The layers that get params: changed where the model names them, else added."""
        net, filled = self.plan.net, {param.layer for param in self.params}
        layers = [self._layer(layer) for layer in _named_first(net) if layer.name in filled]
        present = {layer.name for layer in self._model.weights.layers}
        changes = {each.name: LayerChange(blobs=each.blobs) for each in layers}
        return ModelChange(
            net,
            {name: change for name, change in changes.items() if name in present},
            [layer for layer in layers if layer.name not in present],
        )

    def _layer(self, layer: Layer) -> NewLayer:
        blobs = tuple(self._blob(param) for param in self._by_layer.get(layer.name, ()))
        return NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, blobs)

    def _blob(self, param: InitialParam) -> NewBlob:
        """The param filled, or as a layer of the model has it that shares it."""
        blob = self._stored.get(self.plan.net.sharing.owner((param.layer, param.index)))
        return NewBlob(param.shape, _chunks(param, self.seed) if blob is None else numbers(blob))

    @cached_property
    def _stored(self) -> Mapping[Param, WeightsBlob]:
        """Each param that the model has: by its owner, which several layers may share."""
        owner, stored = self.plan.net.sharing.owner, self._model.stored
        return {
            owner((layer.name, index)): blob
            # Reversed, so that of layers that share a param the first has the last word.
            for layer in reversed(self.plan.net.layers)
            if layer.name in stored
            for index, blob in enumerate(stored[layer.name].blobs)
        }

    @cached_property
    def _by_layer(self) -> Mapping[str, Sequence[InitialParam]]:
        params: dict[str, list[InitialParam]] = {}
        for param in self.params:
            params.setdefault(param.layer, []).append(param)
        return params

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery init --json` prints it."""
        return {
            "params": [
                {
                    "layer": param.layer,
                    "index": param.index,
                    "shape": list(param.shape),
                    "filler": param.filler.type,
                }
                for param in self.params
            ],
            "seed": self.seed,
            "missing_from": self._model.path if self._model.has_weights else None,
            "notes": list(self.notes),
            "weights": None if self.path is None else str(self.path),
            "bytes": self._bytes,
            "dry_run": not self.written,
        }

    def __str__(self) -> str:
        count, layers = len(self.params), len({param.layer for param in self.params})
        text = (
            f"{counted(count, 'param')} of {counted(layers, 'layer')} filled with seed {self.seed}"
        )
        return f"{text}{wrote(self.written)}"

    def table(self) -> Table:
        """A row for each param."""
        table = Table((Column("param"), Column("filler"), Column("shape")))
        for param in self.params:
            name = f"{param.layer}[{param.index}]"
            table.add(name, param.filler.type, shape_text(param.shape))
        return table


@checks_arguments()
def init(
    net: Net | AnyPath,
    weights_out: AnyPath | None = None,
    *,
    missing: AnyPath | None = None,
    seed: int = 0,
    input_shapes: Mapping[str, Shape] | None = None,
    as_caffe: bool = False,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
    progress: OnBytes | None = None,
) -> Initialization:
    """Give a net params from its prototxt's own fillers.

    net: a prototxt, or an open net, whose text counts and whose params do not. weights_out: the
    file to write, see `Initialization.save`; without one nothing is written. missing: a model of
    the net that lacks params of some layers: those alone are filled, and all that it has stays
    byte for byte; what it has must fit the net. seed: from 0; the same one gives the same numbers
    on every machine. input_shapes: blob -> shape, (N, C, H, W) for pictures, for inputs and data
    layers' tops whose shape the prototxt does not say. as_caffe: begin the statistics of a
    BatchNorm with Caffe's zeros, not with ones, with which the net can be run. state: phase,
    stages, level and shapes to read a prototxt in. dry_run: write nothing all the same. progress:
    see `Initialization.save`.

    >>> import netsurgery as ns
    >>> result = ns.init("prototxt/digits_deploy.prototxt", "fresh.caffemodel", seed=1)
    >>> print(result)
    10 params of 5 layers filled with seed 1; wrote fresh.caffemodel
    >>> result.net.params["ip2"][0].shape, str(result.net.params["ip2"][0].dtype)
    ((11, 96), 'float32')

    Raises SurgeryError naming each layer whose params cannot be filled, or do not fit the net;
    PrototxtError, NetError (for a model of another net, and for a shape of a blob that takes none),
    CaffemodelError for a model that cannot be read, OutputError; nothing is written then.
    """
    if seed < 0:
        raise SurgeryError(f"seed {seed}: expected a whole number from 0")
    check_net(net)
    read = NetDefinition.read(net, state) if isinstance(net, (str, Path)) else net.view
    definition = read.at(input_shapes)
    with ExitStack() as stack:
        model = stack.enter_context(NetWithWeights(definition, as_path(missing)))
        layers, shapes = (None, None) if missing is None else (_lacking(model), model.shapes)
        plan = plan_initial_params(definition, as_caffe=as_caffe, layers=layers, shapes=shapes)
        result = Initialization(plan, seed, model, stack.pop_all())
    if weights_out is not None and not dry_run:
        result.save(weights_out, force=force, progress=progress)
    elif weights_out is not None:
        if str(weights_out) != STDOUT:
            check_outputs([weights_out], inputs=model.files, force=True)
        result.path = Path(weights_out)
    return result


def _lacking(model: NetWithWeights) -> tuple[str, ...]:
    """The layers that the model lacks; refuses one whose params for the others do not fit."""
    mismatches = model.fit.mismatches
    # One cause instead of a refusal for each layer.
    if mismatches and (reason := model.another_net()):
        raise NetError(reason)
    refusals = [
        Refusal(layer, "; ".join(each.reasons(model.path))) for layer, each in mismatches.items()
    ]
    refuse(model.net.prototxt.path, refusals)
    return model.fit.missing


def _named_first(net: NetDefinition) -> Iterator[Layer]:
    """The layers, of several of one name the first; Caffe would load the others' params into it."""
    first = {layer.name: layer for layer in reversed(net.layers)}
    return (layer for layer in net.layers if first[layer.name] is layer)


def _chunks(param: InitialParam, seed: int) -> Chunks:
    def chunks() -> Iterator[memoryview]:
        for piece in fill(param.filler, param.shape, seed, param.key):
            # protobuf packs floats in little endian.
            yield piece.astype("<f4", copy=False).data.cast("B")

    return chunks
