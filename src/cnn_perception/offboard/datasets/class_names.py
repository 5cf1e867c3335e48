"""Classes of data and of a model, matched by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cnn_perception.offboard.datasets.dataset import UNLABELLED
from cnn_perception.offboard.datasets.labelled import LabelledImage

__all__ = ["ClassMatch", "match_classes", "relabelled"]

_SYNONYMS = {
    "aeroplane": "airplane",
    "bg": "background",
    "hairdryer": "hairdrier",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "television": "tv",
    "tvmonitor": "tv",
}
"""Pascal VOC and MS COCO call the same things by different names."""

_UNUSED = re.compile(r"n/?a|unused[-_ ]?\d*", re.IGNORECASE)
"""Names of class ids that stand for nothing: COCO's 80 categories have ids up to 90."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassMatch:
    """Which of a model's classes each class of the data is.

    ids: int32 (classes of the data,), the model's class id or -1; only_data and only_model: the
    names that the other side does not have, without those of unused ids.
    """

    ids: NDArray[np.int32]
    only_data: tuple[str, ...]
    only_model: tuple[str, ...]


def match_classes(data: Sequence[str], model: Sequence[str]) -> ClassMatch:
    """Match names; case, spaces, hyphens, underscores and VOC's names for COCO's do not matter."""
    places: dict[str, int] = {}
    for index, label in enumerate(model):
        places.setdefault(_key(label), index)
    ids = [places.get(_key(label), -1) for label in data]
    return ClassMatch(
        np.array(ids, np.int32),
        tuple(label for label, index in zip(data, ids, strict=True) if index < 0),
        tuple(
            label
            for index, label in enumerate(model)
            if index not in ids and not _UNUSED.fullmatch(label)
        ),
    )


def relabelled(
    image: LabelledImage, objects: ClassMatch | None, mask: ClassMatch | None
) -> LabelledImage:
    """Return the image with the model's class ids.

    Objects of classes that the model does not have are left out, pixels become 255, unlabelled. A
    part whose match is None is left as it is.
    """
    if objects is not None:
        ids = objects.ids[image.classes]
        known = ids >= 0
        image = replace(image.only(known), classes=ids[known])
    if mask is not None:
        table = np.full(256, UNLABELLED, np.uint8)
        table[: len(mask.ids)] = np.where(mask.ids < 0, UNLABELLED, mask.ids)
        image = replace(image, mask=table[image.mask])
    return image


def _key(label: str) -> str:
    plain = "".join(character for character in label.casefold() if character.isalnum())
    return _SYNONYMS.get(plain, plain)
