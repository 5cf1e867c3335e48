"""``torchvision``: what the detectors of torchvision answer."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cnn_perception.errors import ModelError
from cnn_perception.formats.format import BackgroundFormat, Bundle, Candidates, Tensors, best_above

__all__ = ["TorchvisionFormat"]


class TorchvisionFormat(BackgroundFormat):
    """Corners in pixels of the input, labels and scores; each object once, without a batch axis.

    torchvision keeps label 0 for the background (``output.background: 0``); it never answers it,
    and the labels above it move down to their class ids.
    """

    name = "torchvision"
    shapes: ClassVar = {"boxes": ("N", 4), "labels": ("N",), "scores": ("N",)}
    dtypes: ClassVar = {"labels": ("int64",)}
    batched = False
    final = True
    is_explained = False

    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        count = len(bundle.labels)
        ids = np.arange(count, dtype=np.int32)
        if self.background is not None:
            ids = np.insert(ids, min(self.background, count), -1)
        scores = tensors["scores"]
        keep = best_above(scores, threshold)
        labels = tensors["labels"][keep]
        unknown = labels[(labels < 0) | (labels >= len(ids))]
        if len(unknown):
            raise ModelError(
                f"{bundle.file}: the network answered label {unknown[0]} but labels and "
                f"output.background allow 0 to {len(ids) - 1}: correct them"
            )
        class_ids = ids[labels]
        real = class_ids >= 0
        keep, class_ids = keep[real], class_ids[real]
        size = np.array((bundle.input.width, bundle.input.height) * 2, np.float32)
        boxes = np.asarray(tensors["boxes"][keep] / size, np.float32)
        return Candidates(boxes, np.clip(scores[keep], 0, 1), class_ids, keep.astype(np.int32))
