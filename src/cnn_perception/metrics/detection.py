"""Average precision and recall of detections over many images: PASCAL VOC's and COCO's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.metrics.average_precision import (
    PrecisionRecall,
    all_point_ap,
    coco_ap,
    eleven_point_ap,
    precision_recall,
)
from cnn_perception.metrics.figures import known_mean
from cnn_perception.metrics.matching import (
    FALSE,
    NOT_COUNTED,
    box_areas,
    match_coco,
    match_voc,
    same_class_iou,
)
from cnn_perception.types import BoolArray, Detections, Float32Array, Float64Array

__all__ = ["COCO_IOUS", "SIZES", "DetectionMetric"]

COCO_IOUS = np.linspace(0.5, 0.95, 10)
"""Overlaps over which COCO averages."""

SIZES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's sizes of objects, square pixels; a limit belongs to both of its sizes."""

_LOWEST, _HIGHEST = np.array(list(SIZES.values())).T[:, :, None]
_PLACE = {size: place for place, size in enumerate(SIZES)}
_MOST = 100
"""How many detections of a class COCO looks at in an image."""


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What became of the N detections of an image, or of many, best first in each image.

    scores, classes and ranks (the place among those of its class in the image): (N,); voc: int8
    (N,); coco: int8 (4 sizes, 10 overlaps, N).
    """

    scores: Float32Array
    classes: NDArray[np.integer]
    ranks: NDArray[np.int64]
    voc: NDArray[np.int8]
    coco: NDArray[np.int8]


class DetectionMetric:
    """Collects the detections of many images and computes average precision and recall.

    VOC's looks at all detections and at one overlap, COCO's at the best 100 of each class in an
    image and at ten overlaps. Figures of classes without objects are NaN, and means leave them out.

    Sources: Everingham et al., The PASCAL Visual Object Classes Challenge, and its development kit;
    cocoapi, cocoeval.py.
    """

    def __init__(self, classes: int, voc_iou: float = 0.5) -> None:
        self.classes = classes
        self.voc_iou = voc_iou
        self._objects = np.zeros((len(SIZES), classes), np.int64)
        self._images = [_nothing_judged()]
        self._all: _Judged | None = None

    def update(
        self,
        found: Detections,
        boxes: Float32Array,
        classes: NDArray[np.integer],
        difficult: BoolArray,
        crowd: BoolArray | None = None,
        areas: Float64Array | None = None,
    ) -> None:
        """Add one image: what was found, and its M objects.

        boxes: float32 (M, 4); classes: (M,); difficult: bool (M,), objects that count neither for
        nor against; crowd: bool (M,), regions of many objects, in which any number of detections
        does not count; areas: float64 (M,), square pixels, by default the boxes'. Raises
        ConfigError for a class out of range.
        """
        for name, ids in (("found", found.class_ids), ("true", classes)):
            if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= self.classes):
                raise ConfigError(
                    f"{name} classes {np.unique(ids).tolist()}: ids go from 0 to {self.classes - 1}"
                )
        crowd = np.zeros(len(classes), bool) if crowd is None else crowd
        ignored = difficult | crowd | ~_within(box_areas(boxes) if areas is None else areas)
        for size, counted in enumerate(~ignored):
            self._objects[size] += np.bincount(classes[counted], minlength=self.classes)
        order = np.argsort(-found.scores, kind="stable")
        places, ids = found.boxes[order], found.class_ids[order]
        iou = same_class_iou(places, ids, boxes, classes, crowd)
        coco = match_coco(iou, ignored, crowd, COCO_IOUS)
        # What found nothing and is of another size was not asked for.
        coco[(coco == FALSE) & ~_within(box_areas(places))[:, None]] = NOT_COUNTED
        voc = match_voc(iou, difficult, crowd, self.voc_iou)
        self._all = None
        self._images.append(_Judged(found.scores[order], ids, _ranks(ids), voc, coco))

    def objects(self, size: str = "all") -> NDArray[np.int64]:
        """Return int64 (classes,): how many objects count."""
        counts: NDArray[np.int64] = self._objects[_PLACE[size]].copy()
        return counts

    def curves(self) -> list[PrecisionRecall]:
        """Return VOC's curve of each class."""
        judged = self._collected()
        return [
            precision_recall(judged.scores[mine], judged.voc[mine], objects)
            for mine, objects in self._by_class(judged, "all")
        ]

    def voc_ap(self, *, eleven_points: bool = False) -> Float64Array:
        """Return float64 (classes,): the area under the curve, or VOC 2007's eleven points."""
        area = eleven_point_ap if eleven_points else all_point_ap
        return self._known(np.array([area(curve) for curve in self.curves()]), "all")

    def coco_ap(self, size: str = "all") -> Float64Array:
        """Return float64 (10 overlaps, classes) average precision."""
        return self._coco(size, _MOST)[0]

    def coco_recall(self, size: str = "all", most: int = _MOST) -> Float64Array:
        """Return float64 (10 overlaps, classes): recall of the best `most` of class and image."""
        return self._coco(size, most)[1]

    def coco_figures(self) -> dict[str, float]:
        """Return the twelve figures that pycocotools prints, in its order; NaN for its -1."""
        precision, recall = zip(*(self._coco(size, _MOST) for size in SIZES), strict=True)
        figures = {"ap": precision[0], "ap_50": precision[0][0], "ap_75": precision[0][5]}
        sizes = list(SIZES)[1:]
        figures |= {f"ap_{size}": precision[_PLACE[size]] for size in sizes}
        figures |= {f"ar_{most}": self.coco_recall("all", most) for most in (1, 10)}
        figures |= {f"ar_{_MOST}": recall[0]}
        figures |= {f"ar_{size}": recall[_PLACE[size]] for size in sizes}
        return {name: known_mean(values) for name, values in figures.items()}

    def map_50(self) -> float:
        """Return VOC's mean average precision at IoU 0.5 (or `voc_iou`)."""
        return known_mean(self.voc_ap())

    def map_50_95(self) -> float:
        """Return COCO's mean average precision over IoU 0.50:0.95."""
        return known_mean(self.coco_ap())

    def figures(self) -> dict[str, float]:
        """Return the headline figures: map_50 is VOC's, the others are COCO's."""
        coco = self.coco_figures()
        return {
            "map_50": self.map_50(),
            "map_50_95": coco["ap"],
            "map_75": coco["ap_75"],
            "map_small": coco["ap_small"],
            "map_medium": coco["ap_medium"],
            "map_large": coco["ap_large"],
            "ar_100": coco["ar_100"],
        }

    def _coco(self, size: str, most: int) -> tuple[Float64Array, Float64Array]:
        """Return average precision and highest recall, each float64 (10 overlaps, classes)."""
        judged = self._collected()
        values = np.zeros((2, len(COCO_IOUS), self.classes))
        for index, (mine, objects) in enumerate(self._by_class(judged, size)):
            chosen = mine[judged.ranks[mine] < most]
            for level, verdicts in enumerate(judged.coco[_PLACE[size]][:, chosen]):
                curve = precision_recall(judged.scores[chosen], verdicts, objects)
                values[:, level, index] = coco_ap(curve), curve.recall.max(initial=0.0)
        return self._known(values[0], size), self._known(values[1], size)

    def _by_class(self, judged: _Judged, size: str) -> list[tuple[NDArray[np.int64], int]]:
        """Return which detections are of each class, and how many objects it has."""
        limits = np.searchsorted(judged.classes, np.arange(1, self.classes))
        groups = np.split(np.arange(len(judged.classes)), limits)
        return list(zip(groups, self.objects(size).tolist(), strict=True))

    def _known(self, values: Float64Array, size: str) -> Float64Array:
        """Return figures by class (the last axis) with NaN where no object counts."""
        return np.where(self.objects(size) > 0, values, np.nan)

    def _collected(self) -> _Judged:
        """Return the detections of all images, by class and best first."""
        if self._all is None:
            columns = {
                name: np.concatenate([getattr(image, name) for image in self._images], axis=-1)
                for name in ("scores", "classes", "ranks", "voc", "coco")
            }
            order = np.lexsort((-columns["scores"], columns["classes"]))
            self._all = _Judged(**{name: values[..., order] for name, values in columns.items()})
        return self._all


def _nothing_judged() -> _Judged:
    none = np.zeros(0, np.int8)
    coco = np.zeros((len(SIZES), len(COCO_IOUS), 0), np.int8)
    return _Judged(none.astype(np.float32), none, none.astype(np.int64), none, coco)


def _within(areas: Float64Array) -> BoolArray:
    """Return bool (4 sizes, N)."""
    return np.asarray((areas >= _LOWEST) & (areas <= _HIGHEST), bool)


def _ranks(classes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return int64 (N,): how many earlier entries are of the same class."""
    order = np.argsort(classes, kind="stable")
    starts = np.searchsorted(classes[order], classes[order])
    ranks = np.empty(len(classes), np.int64)
    ranks[order] = np.arange(len(classes)) - starts
    return ranks
