"""Labelled images to measure a bundle on, in terms of its classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cnn_perception.errors import ModelError
from cnn_perception.offboard.datasets.class_names import ClassMatch, match_classes, relabelled
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.types import BoolArray

__all__ = ["EvaluationData", "match_data"]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationData:
    """Images of a data set with a bundle's class ids, at most `count`.

    source: what they are, in words; match: the classes of both sides.
    """

    source: str
    dataset: Dataset
    task: str
    match: ClassMatch
    count: int

    def __iter__(self) -> Iterator[LabelledImage]:
        """Read the images; those of classes that the bundle does not have are left out."""
        taken = 0
        for image in self.dataset:
            if taken == self.count:
                return
            matched = self._matched(image)
            if matched is not None:
                taken += 1
                yield matched

    def known(self, labels: int) -> BoolArray:
        """Return bool (labels,): the bundle's labels that the data have; others do not count."""
        return np.isin(np.arange(labels), self.match.ids)

    def _matched(self, image: LabelledImage) -> LabelledImage | None:
        if self.task == "detection":
            return relabelled(image, self.match, None)
        if self.task == "segmentation":
            return relabelled(image, None, self.match)
        if image.label is None or self.match.ids[image.label] < 0:
            return None
        return replace(image, label=int(self.match.ids[image.label]))


def match_data(
    bundle: ModelBundle, dataset: Dataset, source: str, most: int | None = None
) -> EvaluationData:
    """Return a data set in terms of a bundle's classes, at most `most` images of it.

    Objects, pixels and images of classes that the bundle does not have do not count. Raises
    ModelError when there is no class in common.
    """
    masks = bundle.task == "segmentation"
    names = dataset.mask_labels if masks else dataset.labels
    match = match_classes(names, bundle.labels)
    # Every mask has a background; that alone is nothing in common.
    if (match.ids[int(masks) :] < 0).all():
        raise ModelError(
            f"{bundle.name} and {source} have no class in common: the data know {', '.join(names)}"
        )
    count = len(dataset) if most is None else min(most, len(dataset))
    return EvaluationData(source, dataset, bundle.task, match, count)
