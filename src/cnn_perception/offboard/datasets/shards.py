"""Labelled images of one size in one file, which is read where it is needed and not loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.offboard.datasets.dataset import Broken, Dataset, checked_boxes
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.simulation.labels import MASK_LABELS, OBJECT_CLASSES

__all__ = ["RoomsFolder", "open_shard", "save_shard", "shard_splits"]

_SUFFIX = ".npy"
_SIZES = ("color", "classes")
"""Fields whose shapes say how large the images are, and how many objects fit in."""


class RoomsFolder(Dataset):
    """Simulated rooms in the shards ``SPLIT_XXXX.npy`` of a folder, or those in one such file.

    Pixels stay in the file until they are asked for, and in the system's cache after that: worker
    processes share them. Raises DatasetError for a folder without shards of the split.
    """

    def __init__(self, path: Path, split: str = "train", *, broken: Broken = "raise") -> None:
        super().__init__((), OBJECT_CLASSES, broken)
        self.mask_labels = MASK_LABELS
        self.path = path
        listed = [path] if path.is_file() else sorted(path.glob(f"{split}_*{_SUFFIX}"))
        if not listed:
            known = ", ".join(shard_splits(path)) or "none"
            raise DatasetError(
                f"{path} holds no {split}_*{_SUFFIX}: the splits of this folder are: {known}"
            )
        self.shards: list[Path] = []
        self._open: dict[int, NDArray[np.void]] = {}
        sizes = []
        for shard in listed:
            try:
                sizes.append(len(open_shard(shard)))
                self.shards.append(shard)
            except DatasetError as error:
                self._report(shard.name, str(error))
        if not self.shards:
            raise DatasetError(f"{path}: none of {len(listed)} shards can be used: render again")
        self._first = np.cumsum([0, *sizes])
        self.names = tuple(
            f"{shard.name}[{row}]"
            for shard, size in zip(self.shards, sizes, strict=True)
            for row in range(size)
        )

    def __getstate__(self) -> dict[str, object]:
        # A map of a file would be sent to another process as the bytes of the whole file.
        return {**self.__dict__, "_open": {}}

    def _read(self, index: int) -> LabelledImage:
        place = int(np.searchsorted(self._first, index, side="right")) - 1
        if place not in self._open:
            self._open[place] = open_shard(self.shards[place])
        record = self._open[place][index - int(self._first[place])]
        return _labelled(record, self.shards[place].with_name(self.names[index]))


def shard_splits(folder: Path) -> tuple[str, ...]:
    """Return the names of the splits that a folder has shards of."""
    return tuple(sorted({path.stem.rsplit("_", 1)[0] for path in folder.glob(f"*_*{_SUFFIX}")}))


def open_shard(path: Path) -> NDArray[np.void]:
    """Return the records of a shard, mapped into memory, from a file that `save_shard` wrote.

    Raises DatasetError for a file that is missing, cut short, or something else.
    """
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy parses the header as Python: damage raises anything
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path} is no readable shard ({reason}): render it again") from error
    if records.ndim != 1 or not _is_record(records.dtype):
        raise DatasetError(f"{path} is no shard of rooms but {records.dtype}: render it again")
    return records


def save_shard(path: Path, images: Sequence[LabelledImage]) -> None:
    """Write images of one size to a .npy file, of which nothing is seen before it is whole.

    Raises ConfigError for no images, and for images of several sizes.
    """
    if not images:
        raise ConfigError(f"{path}: no images to save: render at least one")
    sizes = {image.mask.shape for image in images}
    if len(sizes) > 1:
        raise ConfigError(f"{path}: images of the sizes {sizes}: a shard holds one size")
    height, width = sizes.pop()
    objects = max(len(image.classes) for image in images)
    records = np.zeros(len(images), _record_type(height, width, objects))
    for record, image in zip(records, images, strict=True):
        count = len(image.classes)
        record["color"], record["mask"], record["objects"] = image.color, image.mask, count
        record["boxes"][:count] = image.boxes
        record["classes"][:count] = image.classes
        record["difficult"][:count] = image.difficult
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.save(file, records)
    partial.replace(path)


def _record_type(height: int, width: int, objects: int) -> np.dtype[np.void]:
    """Return what an image takes; `objects` says how many of the boxes are in use."""
    return np.dtype(
        [
            ("color", "u1", (height, width, 3)),
            ("mask", "u1", (height, width)),
            ("objects", "<i4"),
            ("boxes", "<f4", (objects, 4)),
            ("classes", "<i4", (objects,)),
            ("difficult", "?", (objects,)),
        ]
    )


def _is_record(dtype: np.dtype[Any]) -> bool:
    """Return whether a file's type is that of images of some size with some number of objects."""
    fields: Mapping[str, Any] = dtype.fields or {}
    color, classes = (fields[name][0].shape if name in fields else () for name in _SIZES)
    return len(color) == 3 and len(classes) == 1 and dtype == _record_type(*color[:2], *classes)


def _labelled(record: np.void, name: Path) -> LabelledImage:
    """Return a record as an image; its pixels stay in the file's map, which cannot be written."""
    count = int(record["objects"])
    if not 0 <= count <= len(record["classes"]):
        raise DatasetError(f"{name} has {count} objects: the file is damaged, render it again")
    mask, classes = np.asarray(record["mask"]), record["classes"][:count].astype(np.int32)
    for ids, names in ((classes, OBJECT_CLASSES), (mask, MASK_LABELS)):
        if ids.size and not (ids.min() >= 0 and ids.max() < len(names)):
            raise DatasetError(
                f"{name} has ids up to {ids.max()}: there are {len(names)}, render it again"
            )
    boxes = record["boxes"][:count]
    what = [OBJECT_CLASSES[index] for index in classes]
    return LabelledImage(
        np.asarray(record["color"]),
        mask,
        checked_boxes(boxes, what, (mask.shape[1], mask.shape[0]), name),
        classes,
        record["difficult"][:count].view(np.uint8) != 0,
        name=name.name,
    )
