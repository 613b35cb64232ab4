"""A net whose weights no file of the user's holds: what a surgery leads to, before it is saved.

Its weights lie in a temporary file, so that whatever takes a model takes this one: params are
mapped from it, engines read it, saving copies its ranges. No memory grows with its size.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from netsurgery.formats.weights import is_hdf5_name
from netsurgery.io.files import OutputFile, Outputs
from netsurgery.io.scratch import scratch_folder
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.write_weights import ModelChange, write_model

__all__ = ["ScratchModel", "changed_model"]


class ScratchModel(NetWithWeights):
    """A net and the weights that `write` gives it; the file goes when the model is closed.

    It goes as well when the model is collected, and when the process ends.
    """

    #: The name of a temporary file means nothing to a user.
    known_path = None

    def __init__(
        self, net: NetDefinition, write: Callable[[OutputFile], object], *, hdf5: bool = False
    ) -> None:
        """write: gets the output to write the weights to, a caffemodel or HDF5.

        Raises what `write` raises, and OutputError where there is no place for temporary files.
        """
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder())
            path = folder / ("weights.h5" if hdf5 else "weights.caffemodel")
            with Outputs([path]) as outputs:
                write(outputs[path])
            super().__init__(net, path)
            # Only now: where anything before raises, the stack removes the folder.
            self._remove = weakref.finalize(self, stack.pop_all().close)

    def close(self) -> None:
        """Close the weights and remove their file; arrays that were handed out stay valid."""
        super().close()
        self._remove()


def changed_model(model: NetWithWeights, change: ModelChange) -> ScratchModel:
    """What `write_model` writes for this change, as an open model; `model` may be closed then.

    Raises what `write_model` raises.
    """
    hdf5 = model.has_weights and is_hdf5_name(Path(model.path))
    return ScratchModel(change.net, lambda output: write_model(output, model, change), hdf5=hdf5)
