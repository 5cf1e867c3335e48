"""MS COCO: one JSON file of instances with boxes and masks, and a folder of images."""

from __future__ import annotations

import gc
import json
import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.offboard.datasets.coco_masks import decode_segmentation
from cnn_perception.offboard.datasets.dataset import (
    UNLABELLED,
    Broken,
    Dataset,
    checked_boxes,
    read_bytes,
    read_color,
)
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.types import UInt8Array

__all__ = ["CocoDataset"]


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage among millions of new lists: a third of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


class CocoDataset(Dataset):
    """Images of an ``instances_*.json``; the file is read at once, pictures when asked for.

    Class ids count from 0 in the order of the file's category ids: COCO's 80 categories have ids
    from 1 to 90. Boxes [x, y, width, height] become corners. Crowds are kept and count as
    difficult. masks: 0 is the background and classes count from 1; pixels that objects of different
    classes claim are 255, unlabelled. Raises DatasetError for a file that is no such JSON, and
    ConfigError for masks without pycocotools.

    Source: Lin et al., Microsoft COCO: Common Objects in Context; https://cocodataset.org/#format-data
    """

    @_collector_paused()
    def __init__(
        self,
        annotations: Path,
        images: Path,
        *,
        boxes: bool = True,
        masks: bool = False,
        broken: Broken = "raise",
    ) -> None:
        if masks and find_spec("pycocotools") is None:
            raise ConfigError(
                "masks of MS COCO need pycocotools: install cnn_perception with the [train] extra"
            )
        content = _load(annotations)
        pictures, categories, objects = (
            _entries(content, key, needed, annotations)
            for key, needed in (
                ("images", ("id", "file_name")),
                ("categories", ("id", "name")),
                ("annotations", ("image_id", "category_id", "bbox")),
            )
        )
        categories.sort(key=lambda entry: entry["id"])
        labels = [str(entry["name"]) for entry in categories]
        super().__init__([str(entry["file_name"]) for entry in pictures], labels, broken)
        if masks:
            self.mask_labels = ("background", *self.labels)
        self.annotations = annotations
        self.folder = images
        self.category_ids: tuple[int, ...] = tuple(entry["id"] for entry in categories)
        self.boxes = boxes
        self.masks = masks
        self._ids = {category: index for index, category in enumerate(self.category_ids)}
        self._sizes = [(entry.get("width"), entry.get("height")) for entry in pictures]
        self._objects = self._sorted(objects, [entry["id"] for entry in pictures])

    def _sorted(self, objects: list[dict[str, Any]], ids: list[int]) -> list[bytes]:
        """Return the annotations of each image, pickled.

        As Python objects those of COCO would take 0.6 GB, more with outlines, in every process that
        loads images.
        """
        places = {key: index for index, key in enumerate(ids)}
        found: list[list[dict[str, Any]]] = [[] for _ in ids]
        for item in objects:
            place = places.get(item["image_id"])
            if place is None:
                name = f"annotation {item.get('id')}"
                self._report(
                    name,
                    f"{self.annotations}: {name} is for the image {item['image_id']}, which is not "
                    "listed: delete it or list the image",
                )
                continue
            if not self.masks:
                # Outlines are nine tenths of the file.
                item.pop("segmentation", None)
            found[place].append(item)
        return [pickle.dumps(items) for items in found]

    def _read(self, index: int) -> LabelledImage:
        objects = pickle.loads(self._objects[index])
        path = self.folder / self.names[index]
        color = read_color(path)
        height, width = color.shape[:2]
        said = self._sizes[index]
        if said not in ((width, height), (None, None)):
            raise DatasetError(
                f"{path} has {width}x{height} pixels, {self.annotations.name} says "
                f"{said[0]}x{said[1]}: they do not belong together"
            )
        classes = np.array([self._class(item, path) for item in objects], np.int32)
        crowd = np.array([bool(item.get("iscrowd", 0)) for item in objects], bool)
        mask = np.full((height, width), UNLABELLED, np.uint8)
        if self.masks:
            mask = self._mask(objects, classes, path, (height, width))
        if not self.boxes:
            objects, classes, crowd = [], classes[:0], crowd[:0]
        what = [f"annotation {item.get('id')}" for item in objects]
        boxes = [_corners(item, path) for item in objects]
        return LabelledImage(
            color,
            mask,
            checked_boxes(boxes, what, (width, height), path),
            classes,
            crowd,
            crowd=crowd,
            areas=np.array([_area(item, path) for item in objects], np.float64),
            name=self.names[index],
        )

    def _class(self, item: dict[str, Any], path: Path) -> int:
        category = item["category_id"]
        try:
            return self._ids[category]
        except (KeyError, TypeError) as error:
            raise DatasetError(
                f"{path}: annotation {item.get('id')} has the unknown category {category!r}: "
                f'correct it, or add it to "categories" of {self.annotations.name}'
            ) from error

    def _mask(
        self, objects: list[dict[str, Any]], classes: Any, path: Path, size: tuple[int, int]
    ) -> UInt8Array:
        mask = np.zeros(size, np.uint8)
        for item, index in zip(objects, classes, strict=True):
            try:
                region = decode_segmentation(item.get("segmentation"), size)
            except DatasetError as error:
                raise DatasetError(
                    f"{path}: annotation {item.get('id')}: {error}: correct it in "
                    f"{self.annotations.name}"
                ) from error
            free = (mask == 0) | (mask == index + 1)
            mask[region] = np.where(free[region], index + 1, UNLABELLED)
        return mask


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no JSON ({error}): copy it again") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds no JSON object: give a COCO instances file")
    return content


def _entries(
    content: dict[str, Any], key: str, needed: tuple[str, ...], path: Path
) -> list[dict[str, Any]]:
    """Return a list of the file, after a look at the keys of each entry."""
    entries = content.get(key)
    if not isinstance(entries, list):
        raise DatasetError(f'{path} has no list "{key}": give a COCO instances file')
    seen = set()
    for place, entry in enumerate(entries):
        missing = [name for name in needed if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise DatasetError(f'{path}: "{key}"[{place}] lacks {", ".join(missing)}: add it')
        # The first needed key says which entry, or which image, is meant.
        number = entry[needed[0]]
        if not isinstance(number, int):
            raise DatasetError(
                f'{path}: "{key}"[{place}] has the {needed[0]} {number!r}: use a whole number'
            )
        if needed[0] == "id" and number in seen:
            raise DatasetError(f'{path}: "{key}"[{place}] has the id {number} of another: renumber')
        seen.add(number)
    return entries


def _corners(item: dict[str, Any], path: Path) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(value) for value in item["bbox"])
    except (OverflowError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: annotation {item.get('id')} has the bbox {item['bbox']!r}: write "
            "[x, y, width, height]"
        ) from error
    return x, y, x + width, y + height


def _area(item: dict[str, Any], path: Path) -> float:
    """Return the area of an object's outline, or of its box where the file does not say it."""
    area = item.get("area", math.prod(float(side) for side in item["bbox"][2:]))
    if not isinstance(area, int | float) or not 0 <= area < math.inf:
        raise DatasetError(
            f"{path}: annotation {item.get('id')} has the area {area!r}: write square pixels"
        )
    return float(area)
