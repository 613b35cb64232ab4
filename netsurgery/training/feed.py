"""What a planned run is fed: the inputs of each step, and the pictures that it is judged by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.maps.image import read_picture
from netsurgery.training.batches import Batches
from netsurgery.training.evaluation import HeldOut
from netsurgery.training.objects import AnnotatedPicture, Annotations
from netsurgery.training.plan import TrainingPlan, read_plan
from netsurgery.training.trained_maps import TrainedMaps
from netsurgery.training.training_net import TrainingNet
from netsurgery.training.truth import label_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["PlanFeed", "open_plan"]


@dataclass(frozen=True)
class PlanFeed:
    """The inputs that a plan's steps and evaluations are fed."""

    plan: TrainingPlan
    net: TrainingNet
    annotations: Annotations

    @cached_property
    def maps(self) -> TrainedMaps:
        """The maps of the training net."""
        return self.plan.maps(self.net)

    @cached_property
    def batches(self) -> Batches:
        """Those of the pictures that are learnt from."""
        return self.plan.batches(self.maps, self.plan.learnt(self.annotations))

    def inputs(self, step: int) -> dict[str, Array]:
        """The inputs of a step, by blob; the first is step 0.

        Raises what reading a picture and its truth raises.
        """
        batch = self.batches.batch(step)
        (data,) = self.net.data
        inputs = {data: batch.data, **batch.labels}
        if self.net.infogain:
            matrix = np.diag(np.array(self.plan.weights, np.float32))
            inputs[self.net.infogain] = matrix[np.newaxis, np.newaxis]
        return inputs

    def held_out(self) -> Iterator[HeldOut]:
        """The pictures that are held out, each as a whole, in the order of the annotations."""
        names = set(self.plan.held_out)
        for picture in self.annotations.pictures:
            if picture.name in names:
                yield self._whole(picture)

    def _whole(self, annotated: AnnotatedPicture) -> HeldOut:
        picture, plan = read_picture(annotated.path), self.plan
        geometry, shape = self.maps.of_picture(picture.size)
        size = self.maps.input_size(picture.size)
        data, _ = self.batches.transformer.blob(picture, size)
        labels = label_map(
            annotated, geometry, shape, plan.numbers, plan.background, plan.options.rules
        )
        return HeldOut(annotated.name, data, labels)


def open_plan(folder: Path) -> PlanFeed:
    """What the plan in a folder feeds, after a look at its files.

    Raises FormatError where one has changed since, and for what is not a plan.
    """
    plan = read_plan(folder)
    plan.check_files()
    net = plan.training_net(plan.read_net())
    return PlanFeed(plan, net, plan.read_annotations())
