"""The weights that training begins with: the net's own, as its conversion has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netsurgery.engines.model_file import check_params
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.scratch_model import changed_model
from netsurgery.net.write_weights import ModelChange
from netsurgery.surgery.convolution.weights import (
    added_layers,
    convolution_changes,
    match_weights,
)
from netsurgery.training.added_rows import row_changes
from netsurgery.training.training_net import TrainingNet

__all__ = ["initial_weights"]


@contextmanager
def initial_weights(net: TrainingNet, weights: Path, seed: int = 0) -> Iterator[Path]:
    """A file with the weights for `net`, made of those of the net that it came of.

    Layers whose outputs are all new are not in it under their names. seed: of the new rows of
    layers that grow. Raises NetError for weights that lack a layer's params or are of another net,
    FormatError, OutputError, SurgeryError.
    """
    with _converted(net, weights) as path:
        if not net.grown:
            yield path
            return
        with NetWithWeights(net.base if net.plan is None else net.plan.new, path) as model:
            change = ModelChange(model.net, row_changes(net, model, seed))
            with changed_model(model, change) as changed:
                yield Path(changed.path)


@contextmanager
def _converted(net: TrainingNet, weights: Path) -> Iterator[Path]:
    """The weights as the net's conversion has them, with the outputs that they have."""
    with NetWithWeights(net.base, weights) as model:
        if net.plan is None:
            check_params(model)
            yield weights
            return
        planned = NetWithWeights(net.plan.net, model.weights)
        match_weights(net.plan, planned)
        change = ModelChange(
            net.plan.new,
            convolution_changes(net.plan, model.weights),
            added_layers(net.plan, model.weights),
        )
        with changed_model(planned, change) as changed:
            yield Path(changed.path)
