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
from netsurgery.training.training_net import TrainingNet

__all__ = ["initial_weights"]


@contextmanager
def initial_weights(net: TrainingNet, weights: Path) -> Iterator[Path]:
    """A file with the weights for `net`, made of those of the net that it came of.

    Layers whose outputs are new are not in it under their names. Raises NetError for weights that
    lack a layer's params or are of another net, FormatError, OutputError.
    """
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
