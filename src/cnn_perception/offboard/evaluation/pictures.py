"""Pictures of an image's truth and a bundle's answer, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from cnn_perception.image.draw import Color, blend_mask, draw_boxes, palette
from cnn_perception.image.panels import panel_page, sized
from cnn_perception.image.sheet import FAINT, GRID, Sheet, text_width
from cnn_perception.metrics.matching import FALSE, HIT
from cnn_perception.offboard.datasets.dataset import UNLABELLED
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.evaluation.worst import (
    DetectionMistakes,
    Mistakes,
    SegmentationMistakes,
    WrongClass,
)
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.types import Float32Array, IntArray, UInt8Array

__all__ = ["draw_mistakes"]

_RIGHT, _WRONG, _UNCOUNTED = (64, 178, 92), (232, 62, 62), (158, 164, 172)
_MOST_BARS = 5


def draw_mistakes(bundle: ModelBundle, image: LabelledImage, mistakes: Mistakes) -> UInt8Array:
    """Return what is wrong with the answer to an image, as RGB uint8 (H, W, 3)."""
    if isinstance(mistakes, DetectionMistakes):
        return _draw_boxes(bundle, image, mistakes)
    if isinstance(mistakes, SegmentationMistakes):
        return _draw_masks(bundle, image, mistakes)
    assert isinstance(mistakes, WrongClass)
    return _draw_classes(bundle, image, mistakes)


def _draw_boxes(
    bundle: ModelBundle, image: LabelledImage, mistakes: DetectionMistakes
) -> UInt8Array:
    """Draw truth and answer: right in green, wrong in red, what does not count in grey."""
    color, scale = sized(image.color)
    uncounted = image.difficult if image.crowd is None else image.difficult | image.crowd
    truth = [
        _WRONG if missed else _UNCOUNTED if skipped else _RIGHT
        for missed, skipped in zip(mistakes.missed, uncounted, strict=True)
    ]
    color_of = {HIT: _RIGHT, FALSE: _WRONG}
    found = mistakes.found
    answer = [color_of.get(verdict, _UNCOUNTED) for verdict in mistakes.verdicts.tolist()]
    names = [bundle.labels[index] for index in image.classes]
    said = [
        f"{bundle.labels[index]} {score:.2f}"
        for index, score in zip(found.class_ids.tolist(), found.scores.tolist(), strict=True)
    ]
    draw = partial(_drawn, color)
    return panel_page(
        f"{image.name}: {_count(int(mistakes.missed.sum()), 'object')} missed, "
        f"{_count(int((mistakes.verdicts == FALSE).sum()), 'false alarm')}",
        [
            ("truth", draw(image.boxes * scale, names, truth)),
            (
                f"answer, score {bundle.thresholds.score:g} or more",
                draw(found.boxes * scale, said, answer),
            ),
        ],
        [(_RIGHT, "found"), (_WRONG, "missed, false"), (_UNCOUNTED, "does not count")],
    )


def _drawn(
    color: UInt8Array, boxes: Float32Array, texts: Sequence[str], colors: Sequence[Color]
) -> UInt8Array:
    """Draw boxes with what is wrong on top."""
    order = sorted(range(len(texts)), key=lambda k: colors[k] != _WRONG)
    return draw_boxes(color, boxes[order], [texts[k] for k in order], [colors[k] for k in order])


def _draw_masks(
    bundle: ModelBundle, image: LabelledImage, mistakes: SegmentationMistakes
) -> UInt8Array:
    """Draw the image, truth and answer, and say the IoU of each label in sight."""
    color, _ = sized(image.color)
    count = len(bundle.labels)
    own = palette(count, background=True) if bundle.palette is None else bundle.palette
    colors = np.full((max(count, UNLABELLED + 1), 3), 255, np.uint8)
    colors[:count] = own

    def blended(mask: IntArray) -> UInt8Array:
        size = (color.shape[1], color.shape[0])
        large = cv2.resize(mask.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
        return blend_mask(color, np.asarray(large, np.uint16), colors, 0.6)

    ranked = np.argsort(mistakes.iou, kind="stable")
    legend = [
        (_rgb(colors[k]), f"{bundle.labels[k]} {mistakes.iou[k]:.2f}")
        for k in ranked[~np.isnan(mistakes.iou[ranked])]
    ]
    if (image.mask == UNLABELLED).any():
        legend.append(((255, 255, 255), "not labelled"))
    return panel_page(
        f"{image.name}: mean IoU {mistakes.mean_iou:.2f}",
        [
            ("image", color),
            ("truth", blended(image.mask)),
            ("answer", blended(mistakes.mask)),
        ],
        legend,
    )


def _draw_classes(bundle: ModelBundle, image: LabelledImage, wrong: WrongClass) -> UInt8Array:
    """Draw the image, and bars for its best classes and the true one."""
    color, _ = sized(image.color)
    best = np.argsort(-wrong.scores, kind="stable")[:_MOST_BARS].tolist()
    shown = best if wrong.truth in best else [*best, wrong.truth]
    names = [bundle.labels[k] for k in shown]
    left = max(text_width(name, 9.5) for name in names) + 16
    bars = Sheet(round(left + 220), max(color.shape[0], 30 * len(shown) + 6))
    for row, (k, name) in enumerate(zip(shown, names, strict=True)):
        y = 18 + row * 30
        score = float(wrong.scores[k])
        shade = _RIGHT if k == wrong.truth else _WRONG if k == wrong.answer else FAINT
        bars.text(name, left - 10, y, anchor="right", bold=k == wrong.truth)
        bars.fill(left, y - 9, 160, 18, GRID)
        bars.fill(left, y - 9, max(160 * score, 1), 18, shade)
        bars.text(f"{score:.2f}", left + 168, y, color=FAINT, height=8)
    return panel_page(
        f"{image.name}: {bundle.labels[wrong.truth]} taken for {bundle.labels[wrong.answer]}",
        [("image", color), ("scores", bars.finished())],
        [(_RIGHT, "truth"), (_WRONG, "answer")],
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _rgb(color: UInt8Array) -> Color:
    red, green, blue = color.tolist()
    return red, green, blue
