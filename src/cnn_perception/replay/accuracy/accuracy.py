"""How right a replay's answers are, where the recording says what was really there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cnn_perception.errors import BagError
from cnn_perception.metrics.average_precision import PrecisionRecall
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.metrics.figures import by_name, rounded
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.accuracy.map_accuracy import MapAccuracy, measure_map
from cnn_perception.replay.accuracy.truth import FrameCounts, boxes_measured, masks_measured
from cnn_perception.replay.class_names import ClassNames, read_class_names
from cnn_perception.replay.plan import USUAL_DETECTIONS, USUAL_MASK, Truth
from cnn_perception.replay.run import ReplayRun

__all__ = ["Accuracy", "measure"]


@dataclass(frozen=True, slots=True, eq=False)
class Accuracy:
    """What was measured; None where there is no truth of a kind, or no answer to measure.

    labels, mask_labels: the models' classes, whose figures the metrics hold; unknown_labels: how
    often the truth has objects and pixels of classes that the model does not know, which do not
    count; frames: by ``detections`` and ``mask``, how many had both truth and answer, or one alone.
    """

    detection: DetectionMetric | None = None
    labels: tuple[str, ...] = ()
    segmentation: SegmentationMetric | None = None
    mask_labels: tuple[str, ...] = ()
    map: MapAccuracy | None = None
    unknown_labels: Mapping[str, int] = field(default_factory=dict)
    frames: Mapping[str, FrameCounts] = field(default_factory=dict)

    def curves(self) -> dict[str, PrecisionRecall]:
        """Return precision over recall at IoU 0.5 of each class that the truth shows."""
        if self.detection is None:
            return {}
        pairs = zip(self.labels, self.detection.curves(), self.detection.objects(), strict=True)
        return {label: curve for label, curve, objects in pairs if objects}

    def as_mapping(self) -> dict[str, Any]:
        """Return the figures as JSON holds them, rounded; None for what cannot be said."""
        found: dict[str, Any] = {}
        if self.detection is not None:
            found["map_50"] = rounded(self.detection.map_50())
            found["map_50_95"] = rounded(self.detection.map_50_95())
            found["ap"] = by_name(self.labels, self.detection.voc_ap())
        if self.segmentation is not None:
            found["miou"] = rounded(self.segmentation.mean_iou())
            found["iou"] = by_name(self.mask_labels, self.segmentation.iou())
        if self.map is not None:
            found["map_precision"] = rounded(self.map.precision)
            found["map_recall"] = rounded(self.map.recall)
        if self.unknown_labels:
            found["unknown_labels"] = dict(sorted(self.unknown_labels.items()))
        if self.frames:
            found["frames"] = {kind: asdict(counts) for kind, counts in self.frames.items()}
        return found


def measure(run: ReplayRun, truth: Truth) -> Accuracy | None:
    """Measure a replay, a frame at a time; None where nothing says what was really there.

    Boxes are matched as `DetectionMetric` does, by the names of their classes; masks by class id,
    where an id that the segmenter does not have is unlabelled. Answers and truth belong together by
    stamp and frame. Raises BagError for a topic that the bag does not have, MapError for a map that
    cannot be read, MessageError for truth that cannot be decoded.
    """
    with BagReader(run.bag) as source, BagReader(run.results) as results:
        known = {topic.name for topic in source.topics if topic.count}
        boxes = _chosen(source, known, truth.detections, USUAL_DETECTIONS)
        masks = _chosen(source, known, truth.mask, USUAL_MASK)
        classes = read_class_names(results)
        unknown: Counter[str] = Counter()
        frames: dict[str, FrameCounts] = {}
        labels, mask_labels = _labels(classes), _mask_labels(classes)
        detection = segmentation = None
        if boxes and labels:
            detection, frames["detections"] = boxes_measured(
                run, (source, results), boxes, labels, unknown
            )
        if masks and mask_labels:
            segmentation, frames["mask"] = masks_measured(
                run, (source, results), masks, mask_labels, unknown
            )
    mapped = measure_map(run.map_file, truth.map) if run.map_file and truth.map else None
    if detection is None and segmentation is None and mapped is None:
        return None
    return Accuracy(detection, labels, segmentation, mask_labels, mapped, unknown, frames)


def _chosen(source: BagReader, known: set[str], named: str | None, usual: str) -> str | None:
    if named is None:
        return usual if usual in known else None
    if named not in known:
        raise BagError(
            f"{source.path} has nothing on {named}, which the plan names as truth: it has "
            f"{', '.join(sorted(known))}"
        )
    return named


def _labels(classes: Mapping[str, ClassNames]) -> tuple[str, ...]:
    """Return the labels of all detectors."""
    own = (names.names for node, names in classes.items() if _kind(node) == "detector")
    return tuple(dict.fromkeys(label for names in own for label in names.values()))


def _mask_labels(classes: Mapping[str, ClassNames]) -> tuple[str, ...]:
    """Return the labels of the segmenters by id; all cameras must have the same.

    Raises BagError when they do not.
    """
    own = {names.listed() for node, names in classes.items() if _kind(node) == "segmenter"}
    if len(own) > 1:
        raise BagError(
            "the cameras' segmenters have different labels, which masks cannot be measured by "
            "together: replay one camera at a time"
        )
    return own.pop() if own else ()


def _kind(node: str) -> str:
    return node.rpartition("/")[2]
