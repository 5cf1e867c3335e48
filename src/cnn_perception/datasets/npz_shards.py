"""Shards as compressed .npz files: being replaced by `cnn_perception.datasets.shards`."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.errors import ConfigError
from cnn_perception.types import BoolArray, Float32Array, UInt8Array

__all__ = ["RoomImages", "ShardFolder", "load_shard", "render_rooms", "save_shard"]

_KEYS = ("color", "mask", "boxes", "classes", "difficult", "image")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RoomImages:
    """A shard: many labelled images of one size in plain arrays.

    color: uint8 (N, H, W, 3) RGB; mask: uint8 (N, H, W); boxes: float32 (M, 4) corners in pixels;
    classes: int32 (M,); difficult: bool (M,); image: int32 (M,), ascending, the image of each box.
    """

    color: UInt8Array
    mask: UInt8Array
    boxes: Float32Array
    classes: NDArray[np.int32]
    difficult: BoolArray
    image: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.color)

    def __getitem__(self, index: int) -> LabelledImage:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        first, last = np.searchsorted(self.image, (index, index + 1))
        return LabelledImage(
            self.color[index],
            self.mask[index],
            self.boxes[first:last],
            self.classes[first:last],
            self.difficult[first:last],
        )

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self[index] for index in range(len(self)))


def load_shard(path: Path) -> RoomImages:
    """Return the images in an .npz file that `save_shard` wrote.

    Raises ConfigError for a file that is missing, cut off, or lacks an array.
    """
    try:
        with np.load(path) as arrays:
            missing = [key for key in _KEYS if key not in arrays]
            if missing:
                raise ConfigError(
                    f"{path} lacks {', '.join(missing)}: delete it and render the rooms again"
                )
            loaded = {key: arrays[key] for key in _KEYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not a readable .npz shard: {error}") from error
    order = np.argsort(loaded["image"], kind="stable")
    return RoomImages(
        loaded["color"],
        loaded["mask"],
        loaded["boxes"][order].astype(np.float32),
        loaded["classes"][order].astype(np.int32),
        loaded["difficult"][order].astype(bool),
        loaded["image"][order].astype(np.int32),
    )


def save_shard(path: Path, images: list[LabelledImage]) -> None:
    """Write images of one size to an .npz file; raises ConfigError for none."""
    if not images:
        raise ConfigError(f"{path}: no images to save: render at least one")
    counts = [len(image.classes) for image in images]
    np.savez_compressed(
        path,
        color=np.stack([image.color for image in images]),
        mask=np.stack([image.mask for image in images]),
        boxes=np.concatenate([image.boxes for image in images]),
        classes=np.concatenate([image.classes for image in images]),
        difficult=np.concatenate([image.difficult for image in images]),
        image=np.repeat(np.arange(len(images), dtype=np.int32), counts),
    )


class ShardFolder:
    """The shards ``train_*.npz`` of a folder; `refresh` takes in those written meanwhile."""

    def __init__(self, folder: Path, pattern: str = "train_*.npz") -> None:
        self.folder = folder
        self.pattern = pattern
        self.shards: dict[Path, RoomImages] = {}
        self._index = np.zeros((0, 2), np.int64)
        self.refresh()

    def __len__(self) -> int:
        return len(self._index)

    def refresh(self) -> int:
        """Load new shards, and return how many; unfinished ones are left for later."""
        fresh = 0
        for path in sorted(self.folder.glob(self.pattern)):
            if path in self.shards:
                continue
            try:
                self.shards[path] = load_shard(path)
                fresh += 1
            except ConfigError as error:
                _log.warning("%s", error)
        self._index = np.array(
            [(k, i) for k, shard in enumerate(self.shards.values()) for i in range(len(shard))],
            np.int64,
        ).reshape(-1, 2)
        return fresh

    def image(self, index: int) -> LabelledImage:
        """Return one image of all shards."""
        shard, row = self._index[index]
        return list(self.shards.values())[int(shard)][int(row)]


def render_rooms(seed: int, rooms: int, views: int = 1) -> Iterator[LabelledImage]:
    """Render `views` images of each of `rooms` rooms, from the room with this seed on.

    The images are those of the simulated camera, 320 x 240; equal calls give equal images. Raises
    PerceptionError where MuJoCo or OpenGL is missing.
    """
    from cnn_perception.simulation.room import Room

    for number in range(seed, seed + rooms):
        rng = np.random.default_rng([number, 2])
        with Room(number) as room:
            for _ in range(views):
                frame = room.render(room.sample_view(rng), depth=False)
                yield LabelledImage(
                    frame.color, frame.mask, frame.boxes, frame.classes, frame.difficult
                )
