"""What failed, drawn: expected beside actual, on the image from which the answer came."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from cnn_perception.errors import MessageError
from cnn_perception.image.codec import encode_png
from cnn_perception.image.draw import Color, blend_heatmap, blend_mask, draw_boxes, palette
from cnn_perception.image.panels import Panel, panel_page, sized
from cnn_perception.messages.decode import LabelledBoxes, decode_color
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.moments import seconds
from cnn_perception.replay.run import ReplayRun
from cnn_perception.types import BoolArray, Float32Array, IntArray, UInt8Array

__all__ = [
    "Page",
    "box_page",
    "box_pages",
    "clear_pictures",
    "heat_page",
    "mask_page",
    "picture_file",
    "write_picture",
]

_RIGHT, _WRONG = (64, 178, 92), (232, 62, 62)
_BACKGROUND_IDS = 256  # enough colors for every mask of 8 bits; larger ids repeat them
_ABSENT = "(no answer)"

Legend = list[tuple[Color, str]]
Page = Callable[[UInt8Array], tuple[list[Panel], Legend]]
"""Draws on a source image, RGB uint8 (H, W, 3)."""


def clear_pictures(run: ReplayRun) -> None:
    """Remove the pictures of an earlier check of the same run."""
    for file in (run.out / "failures").glob("*.png"):
        file.unlink()


def picture_file(run: ReplayRun, name: str) -> Path:
    """Return where the picture of a check lies."""
    folder = run.out / "failures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_')}.png"


def write_picture(run: ReplayRun, name: str, node: str, recorded_ns: int, page: Page) -> Path:
    """Draw a page on the image that a node got at a time, and return its file."""
    topic = run.summary["nodes"].get(node, {}).get("topic")
    image = _source(run.bag, topic, recorded_ns)
    panels, legend = page(np.full((240, 320, 3), 128, np.uint8) if image is None else image)
    title = f"{name} at {seconds(run, recorded_ns):.3f} s"
    file = picture_file(run, name)
    file.write_bytes(encode_png(panel_page(title, panels, legend)))
    return file


def box_page(found: LabelledBoxes, wrong: BoolArray, title: str) -> Page:
    """Return a page of one picture with detections, some of which are wrong."""

    def draw(image: UInt8Array) -> tuple[list[Panel], Legend]:
        return [(title, _boxes(image, found, wrong))], [(_WRONG, "wrong"), (_RIGHT, "other")]

    return draw


def box_pages(
    expected: tuple[LabelledBoxes, BoolArray] | None, actual: tuple[LabelledBoxes, BoolArray] | None
) -> Page:
    """Return a page of expected beside actual detections, each with which have no partner."""

    def draw(image: UInt8Array) -> tuple[list[Panel], Legend]:
        panels = [
            (title, _boxes(image, *side)) if side else (f"{title} {_ABSENT}", sized(image)[0])
            for title, side in (("expected", expected), ("actual", actual))
        ]
        return panels, [(_RIGHT, "in both"), (_WRONG, "in one alone")]

    return draw


def mask_page(sides: Sequence[tuple[str, IntArray | None]], names: Sequence[str]) -> Page:
    """Return a page of titled masks, and of the pixels in which two of them differ."""

    def draw(image: UInt8Array) -> tuple[list[Panel], Legend]:
        colors = palette(max(len(names), _BACKGROUND_IDS), background=True)
        panels = [
            (f"{title} {_ABSENT}", sized(image)[0])
            if mask is None
            else (title, _mask(image, mask, colors))
            for title, mask in sides
        ]
        masks = [mask for _, mask in sides if mask is not None]
        legend: Legend = []
        for k in np.unique(np.concatenate([mask.ravel() for mask in masks])).tolist():
            red, green, blue = colors[k % len(colors)].tolist()
            legend.append(((red, green, blue), names[k] if k < len(names) else f"class {k}"))
        if len(masks) == 2 and masks[0].shape == masks[1].shape:
            differ = (masks[0] != masks[1]).astype(np.uint8)
            reds = np.array([(0, 0, 0), _WRONG], np.uint8)
            panels.append(("differing pixels", _mask(image, differ, reds)))
        return panels, legend

    return draw


def heat_page(expected: Float32Array | None, actual: Float32Array | None) -> Page:
    """Return a page of expected beside actual heat."""

    def draw(image: UInt8Array) -> tuple[list[Panel], Legend]:
        panels = []
        for title, heat in (("expected", expected), ("actual", actual)):
            large, _ = sized(image)
            if heat is None:
                panels.append((f"{title} {_ABSENT}", large))
                continue
            shown = cv2.resize(heat, large.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            panels.append((title, blend_heatmap(large, np.asarray(shown, np.float32))))
        return panels, []

    return draw


def _boxes(image: UInt8Array, found: LabelledBoxes, wrong: BoolArray) -> UInt8Array:
    large, scale = sized(image)
    order = np.argsort(~wrong, kind="stable").tolist()  # what is wrong on top
    return draw_boxes(
        large,
        (found.boxes * scale)[order].reshape(-1, 4),
        [f"{found.labels[k]} {found.scores[k]:.2f}" for k in order],
        [_WRONG if wrong[k] else _RIGHT for k in order],
    )


def _mask(image: UInt8Array, mask: IntArray, colors: UInt8Array) -> UInt8Array:
    large, _ = sized(image)
    size = large.shape[1::-1]
    labels = cv2.resize(mask.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
    return blend_mask(large, np.asarray(labels, np.uint16), colors, 0.6)


def _source(path: Path, topic: str | None, recorded_ns: int) -> UInt8Array | None:
    """Return the image on a topic that was recorded at a time, None where none can be shown."""
    with BagReader(path) as bag:
        if topic not in {known.name for known in bag.topics} or topic is None:
            return None
        for item in bag.messages([topic], start_ns=recorded_ns, stop_ns=recorded_ns + 1):
            try:
                return decode_color(item.message)
            except (MessageError, AttributeError):  # a depth image or a cloud is no picture
                return None
    return None
