"""Pictures of chosen frames: the camera's, and over it what the nodes answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from cnn_perception.errors import MessageError
from cnn_perception.html.document import jpeg_uri
from cnn_perception.image.draw import blend_heatmap, blend_mask, draw_detections
from cnn_perception.messages.decode import (
    decode_classification,
    decode_color,
    decode_depth,
    decode_detections,
    decode_label_info,
    decode_mask,
)
from cnn_perception.messages.stamps import header_stamp_ns
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.moments import FrameTime
from cnn_perception.replay.report.colors import LabelColors
from cnn_perception.types import UInt8Array

__all__ = [
    "KINDS",
    "CameraNamespace",
    "MomentPictures",
    "draw_moments",
    "label_names",
    "narrowed",
]

KINDS = ("camera", "detections", "mask", "Grad-CAM")
"""The pictures of a frame, by title."""

_WIDTH = 320
_QUALITY = 80
_CALM = 0.45  # opacity of masks and heat


@dataclass(frozen=True, slots=True)
class CameraNamespace:
    """The names of one camera. name: empty where there is only one; color: topic of its images."""

    name: str
    color: str

    def result(self, name: str) -> str:
        """Return a topic of the results, given as ``detector/detections``."""
        return f"/{self.name}/{name}" if self.name else f"/{name}"


@dataclass(slots=True)
class MomentPictures:
    """A chosen frame: data URIs and words by title, and what was found, (label, score)."""

    frame: FrameTime
    pictures: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    found: list[tuple[str, float]] = field(default_factory=list)


def label_names(results: BagReader, topic: str) -> dict[int, str]:
    """Return class names by id of a vision_msgs/LabelInfo topic; none where there is no such."""
    if topic not in {known.name for known in results.topics}:
        return {}
    try:
        return next(
            (decode_label_info(item.message) for item in results.messages([topic])),
            dict[int, str](),
        )
    except MessageError:
        return {}


def draw_moments(
    source: BagReader,
    results: BagReader,
    camera: CameraNamespace,
    chosen: Sequence[FrameTime],
    colors: LabelColors,
) -> Iterator[MomentPictures]:
    """Yield the pictures of chosen frames; what cannot be shown is said in `words`."""
    present = {topic.name for topic in results.topics}
    topics = [
        topic
        for topic in map(
            camera.result,
            (
                "detector/detections",
                "segmenter/mask",
                "explainer/heatmap",
                "explainer/explained",
                "explainer/classification",
            ),
        )
        if topic in present
    ]
    names = label_names(results, camera.result("segmenter/label_info"))
    for frame in chosen:
        moment = MomentPictures(frame)
        image = _at(source, [camera.color], frame).get(camera.color)
        answers = _at(results, topics, frame) if topics else {}
        prefix = len(camera.result(""))
        _draw(moment, image, {topic[prefix:]: msg for topic, msg in answers.items()}, names, colors)
        yield moment


def _at(bag: BagReader, topics: Sequence[str], frame: FrameTime) -> dict[str, Any]:
    """Return the messages of a frame by topic."""
    window = {"start_ns": frame.recorded_ns, "stop_ns": frame.recorded_ns + 1}
    return {
        raw.topic: bag.deserialize(raw)
        for raw in bag.raw_messages(topics, **window)
        if header_stamp_ns(raw.data) == frame.stamp_ns
    }


def _draw(
    moment: MomentPictures,
    image: Any,
    answers: Mapping[str, Any],
    names: Mapping[int, str],
    colors: LabelColors,
) -> None:
    """Fill in the pictures that there can be."""
    try:
        if image is None:
            raise MessageError("truncated_data", "the image is not in the bag")
        rgb = decode_color(image)
    except MessageError as error:
        moment.words["camera"] = str(error)
        return
    small = narrowed(rgb, _WIDTH)
    moment.pictures["camera"] = jpeg_uri(small, _QUALITY)
    drawings: dict[str, Callable[[], None]] = {}
    if "detector/detections" in answers:
        boxes = answers["detector/detections"]
        drawings["detections"] = lambda: _draw_boxes(moment, small, rgb.shape[1], boxes, colors)
    if "segmenter/mask" in answers:
        mask = answers["segmenter/mask"]
        drawings["mask"] = lambda: _draw_mask(moment, small, mask, names, colors)
    if "explainer/heatmap" in answers:
        drawings["Grad-CAM"] = lambda: _draw_heat(moment, small, answers)
    for title, drawing in drawings.items():
        try:
            drawing()
        except MessageError as error:  # one bad answer must not cost the others
            moment.words[title] = str(error)


def _draw_boxes(
    moment: MomentPictures, small: UInt8Array, width: int, msg: Any, colors: LabelColors
) -> None:
    found = decode_detections(msg)
    moment.found = list(zip(found.labels, found.scores.tolist(), strict=True))
    detections, texts, table = colors.detections(found)
    scale = np.float32(small.shape[1] / width)
    scaled = type(detections)(detections.boxes * scale, detections.scores, detections.class_ids)
    picture = draw_detections(small, scaled, texts, table)
    moment.pictures["detections"] = jpeg_uri(picture, _QUALITY)
    count = len(found.labels)
    moment.words["detections"] = "1 object" if count == 1 else f"{count} objects"


def _draw_mask(
    moment: MomentPictures,
    small: UInt8Array,
    msg: Any,
    names: Mapping[int, str],
    colors: LabelColors,
) -> None:
    mask = decode_mask(msg)
    size = (small.shape[1], small.shape[0])
    reduced = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint16)
    table = colors.of_ids(names, int(reduced.max()))
    moment.pictures["mask"] = jpeg_uri(blend_mask(small, reduced, table, _CALM), _QUALITY)
    shares = np.bincount(mask.ravel()) / mask.size
    largest = np.argsort(-shares, kind="stable")[:3].tolist()
    moment.words["mask"] = ", ".join(
        f"{names.get(k, f'class {k}')} {shares[k]:.0%}" for k in largest if shares[k] >= 0.005
    )


def _draw_heat(moment: MomentPictures, small: UInt8Array, answers: Mapping[str, Any]) -> None:
    # A heat map is an image of the encoding of depth, in which 0 is no reading.
    heat = np.nan_to_num(decode_depth(answers["explainer/heatmap"]))
    size = (small.shape[1], small.shape[0])
    reduced = np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_AREA), np.float32)
    moment.pictures["Grad-CAM"] = jpeg_uri(blend_heatmap(small, reduced), _QUALITY)
    said = None
    if "explainer/explained" in answers:
        said = decode_detections(answers["explainer/explained"])
    elif "explainer/classification" in answers:
        said = decode_classification(answers["explainer/classification"])
    named = [] if said is None else list(zip(said.labels, said.scores.tolist(), strict=True))
    words = [f"{label} {score:.2f}" for label, score in named[:2]]
    moment.words["Grad-CAM"] = ", ".join(words) or "nothing to explain"


def narrowed(rgb: UInt8Array, widest: int) -> UInt8Array:
    """Return a picture, uint8 (H, W, 3), made smaller where it is wider than that, in pixels."""
    rows, columns = rgb.shape[:2]
    if columns <= widest:
        return rgb
    size = (widest, max(1, round(rows * widest / columns)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
