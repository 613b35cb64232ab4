"""What an engine is: something that loads a net and runs it.

The engines differ to callers by name only ("caffe", "embedded"): callers hold an `Engine` and the
`LoadedNet` it returns, and close both (each is a context manager). Arrays are C-contiguous
float32 numpy arrays; shapes are tuples of ints, N x C x H x W for images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, get_args

from netsurgery.errors import EngineError
from netsurgery.formats.engine_choice import EngineChoice
from netsurgery.io.argument_types import as_names, checked_argument, checks_arguments, whole_numbers
from netsurgery.io.closeable import Closeable
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.net.effect import Effect
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.net.net import NetDefinition

    Array = NDArray[np.float32]

__all__ = [
    "EFFECTS",
    "AnyEngine",
    "Engine",
    "EngineChoice",
    "EngineOptions",
    "LoadedNet",
    "Shape",
    "as_engine_options",
    "check_array",
    "check_shape",
    "engine_record",
    "no_backward",
]

Shape = tuple[int, ...]

#: The words by which a user allows what layers do by themselves.
EFFECTS = tuple(effect.value for effect in Effect)


@checks_arguments()
@dataclass(frozen=True)
class EngineOptions:
    """How the user wants nets to be run.

    choice: "auto" (caffe if there is one and it knows the net, else embedded), "caffe" or
    "embedded".
    caffe_python: the interpreter that has pycaffe; None to look for one.
    gpu: CUDA device number, None for the CPU.
    start_timeout, timeout: seconds, for the engine to start and for one request.
    threads: number of threads, None for the engine's own choice.
    verbose: pass on what the engine prints to standard error.
    allow: what the nets' own layers may do besides computing: "reads" and "writes" of files they
    name, "python": importing modules. Raises EngineError for other words.

    >>> options = EngineOptions("embedded", threads=1)
    >>> options.choice, options.timeout
    ('embedded', 600.0)
    """

    choice: EngineChoice = "auto"
    caffe_python: str | None = None
    gpu: int | None = None
    start_timeout: float = 60.0
    timeout: float = 600.0
    threads: int | None = None
    verbose: bool = False
    allow: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        choices = get_args(EngineChoice)
        if self.choice not in choices:
            raise EngineError(f"engine {self.choice!r}: expected {', '.join(choices)}")
        if isinstance(self.allow, str):  # a set of letters
            raise EngineError(f"allow is {self.allow!r}, expected a set: {{{self.allow!r}}}")
        object.__setattr__(self, "allow", frozenset(as_names(self.allow, "allow")))
        for word in self.allow:
            if word not in EFFECTS:
                raise EngineError(f"allow has {word!r}, expected any of {', '.join(EFFECTS)}")


#: What runs nets: a name, or all there is to say about it.
AnyEngine = EngineOptions | EngineChoice


def as_engine_options(engine: AnyEngine, default: EngineChoice | None = None) -> EngineOptions:
    """The options as they are, or those of an engine by its name; for "auto" it is `default`.

    Raises EngineError.

    >>> as_engine_options("auto", "embedded").choice
    'embedded'
    """
    engine = checked_argument("engine", engine, "AnyEngine")
    options = engine if isinstance(engine, EngineOptions) else EngineOptions(engine)
    return replace(options, choice=default) if default and options.choice == "auto" else options


def engine_record(description: str, note: str = "") -> dict[str, str | None]:
    """What JSON says of the engine that did a job, by its `description` and `note`.

    >>> engine_record("caffe 1.0.0, CPU (/usr/bin/python3)")["name"]
    'caffe'
    """
    name = description.split(" ")[0]
    return {"name": name, "description": description, "note": note or None}


class LoadedNet(Closeable, Protocol):
    """One net, loaded with its weights; for one thread at a time, as its engine is.

    >>> import numpy as np, netsurgery as ns
    >>> from pathlib import Path
    >>> files = Path("prototxt/digits_deploy.prototxt"), Path("models/digits/digits.caffemodel")
    >>> with ns.open_engine(ns.EngineOptions("embedded")) as engine, engine.load(*files) as net:
    ...     net.reshape({"data": (2, 1, 32, 32)})
    ...     net.check_memory({"data": (2, 1, 32, 32)}, ["prob"])
    ...     net.set_param("ip2", 1, np.zeros(11, np.float32))
    ...     result = net.forward({"data": np.zeros((2, 1, 32, 32), np.float32)}, ["prob"])
    ...     result["prob"].shape, net.memory({"data": (2, 1, 32, 32)}, ["prob"]) > 0
    ((2, 11), True)
    """

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The net's input blobs and their present shapes, in file order."""

    @property
    def blobs(self) -> Mapping[str, Shape]:
        """Every blob and its present shape, in file order."""

    @property
    def params(self) -> Mapping[str, tuple[Shape, ...]]:
        """Every layer with params, and the shape of each."""

    def reshape(self, shapes: Mapping[str, Shape]) -> None:
        """Give inputs new shapes; every other blob follows. Raises EngineFailed."""

    def memory(self, inputs: Mapping[str, Shape], blobs: Sequence[str]) -> int:
        """Bytes that running the net at these inputs takes at most, handing `blobs` back."""

    def check_memory(
        self, inputs: Mapping[str, Shape], blobs: Sequence[str], more: int = 0
    ) -> None:
        """Raise MemoryLimitError where that, and `more` bytes, is more than may be used.

        `forward` claims it.
        """

    def forward(self, inputs: Mapping[str, Array], blobs: Sequence[str]) -> dict[str, Array]:
        """Run the net once and return the blobs asked for by name.

        Inputs must have the present input shapes exactly (nothing is broadcast). An input not
        given keeps what it had last (zeros at first).
        """

    def at_once(
        self, blobs: Sequence[str], most: int
    ) -> tuple[int, Callable[[Mapping[str, Array]], dict[str, Array]]]:
        """How many threads, `most` or fewer, may run the net at its present shapes at once; and
        what they call for it, with inputs of their own.

        1 where runs take turns. Each thread has its share of those that `forward` works with, so
        that sums may be added up in another order. What is called raises EngineError where the
        memory it takes was needed for something else since.

        >>> import netsurgery as ns
        >>> import numpy as np
        >>> from pathlib import Path
        >>> files = Path("prototxt/digits_deploy.prototxt"), Path("models/digits/digits.caffemodel")
        >>> with ns.open_engine(ns.EngineOptions("embedded", threads=2)) as engine:
        ...     with engine.load(*files) as net:
        ...         count, forward = net.at_once(["prob"], most=8)
        ...         count, forward({"data": np.zeros((1, 1, 32, 32), np.float32)})["prob"].shape
        (2, (1, 11))
        """

    def backward(self, top: str, gradient: Array, blob: str) -> Array:
        """The gradient of sum(`gradient` * `top`) as to `blob`, both seen after their last writers,
        at what `forward` ran on last.

        The net's text has to say `force_backward: true`. Raises EngineError for an engine that has
        no backward pass.

        >>> import netsurgery as ns
        >>> import numpy as np
        >>> from pathlib import Path
        >>> with ns.open_engine(ns.EngineOptions("embedded")) as engine:
        ...     with engine.load(Path("prototxt/digits_deploy.prototxt")) as net:
        ...         try:
        ...             net.backward("prob", np.ones((1, 11), np.float32), "conv2")
        ...         except ns.EngineError as error:
        ...             print(str(error).partition(",")[0])
        gradients need the backward pass of real Caffe
        """

    def set_param(self, layer: str, index: int, array: Array) -> None:
        """Have the net run with other values of a param, float32 of exactly its shape.

        Layers that share the param see them too. No file changes. Raises EngineError.
        """

    def close(self) -> None:
        """Release the net."""


class Engine(Closeable, Protocol):
    """Something that can run a net.

    >>> import netsurgery as ns
    >>> from pathlib import Path
    >>> with ns.open_engine(ns.EngineOptions("embedded")) as engine:
    ...     with engine.load(Path("prototxt/digits_deploy.prototxt")) as net:
    ...         engine.name, net.inputs
    ('embedded', {'data': (1, 1, 32, 32)})
    """

    @property
    def name(self) -> str:
        """Which engine it is, "caffe" or "embedded"."""

    @property
    def description(self) -> str:
        """One line for a summary: "caffe 1.0.0, CPU (/path/to/python)"."""

    @property
    def note(self) -> str:
        """Why "auto" is this engine although there is another; "" where nothing is to be said."""

    def load(
        self,
        net: Path | NetDefinition,
        weights: Path | None = None,
        *,
        state: NetState = TEST,
        in_turn: bool = False,
    ) -> LoadedNet:
        """Load a net, of a prototxt in `state`; without weights its params are as its fillers give.

        A `Net` is loaded as it is, in its own state: it may be less than its prototxt. in_turn:
        nets that are loaded so share the memory that a run takes, where the engine can.
        """

    def close(self) -> None:
        """Release the engine and every net it loaded."""


def no_backward(note: str = "") -> str:
    """What to say of a gradient asked of the embedded engine; note: why it is not Caffe."""
    why = f" ({note})" if note else ""
    return (
        "gradients need the backward pass of real Caffe, which the embedded engine does not have: "
        f"use {argument('--engine caffe')}; `netsurgery caffe install` installs it{why}"
    )


def check_shape(name: str, shape: Shape) -> Shape:
    """The shape of the input `name`. Raises EngineError for one that it cannot have."""
    sizes = whole_numbers(shape)
    if sizes is None or min(sizes, default=1) < 1:
        raise EngineError(f"input {name} cannot have the shape {shape!r}")
    return sizes


def check_array(what: str, array: Array, shape: Shape) -> None:
    """Raise EngineError unless `array` is float32 of exactly this shape."""
    import numpy as np

    if isinstance(array, np.generic):  # a float32 perhaps, which numpy does not call an array
        raise EngineError(f"{what} is a single number; Caffe takes an array of float32")
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise EngineError(f"{what} is {kind}; Caffe takes float32")
    if array.shape != shape:
        raise EngineError(f"{what} is {shape_text(array.shape)}; the net takes {shape_text(shape)}")
