"""What all labelled data on disk have in common: lazy reading, and broken files told by name."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError, DatasetError, MessageError
from cnn_perception.image.codec import decode_compressed
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "PICTURE_SUFFIXES",
    "UNLABELLED",
    "Broken",
    "Dataset",
    "checked_boxes",
    "read_bytes",
    "read_color",
]

Broken = Literal["raise", "skip"]
"""What to do about a file that cannot be used."""

UNLABELLED = 255
"""The mask value of pixels that count neither in training nor in measuring."""

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")

_TOLERANCE = 1.0
"""Pixels by which a box may leave the image: annotators round, and VOC counts from 1."""

_log = logging.getLogger(__name__)


class Dataset(ABC):
    """Labelled images that are listed at once and read when asked for.

    labels: names, the index is the class id; mask_labels: names by mask value, empty where there
    are no masks. With broken = "raise" a file that cannot be used raises DatasetError; with "skip"
    it is left out, and `broken_files` says by name why.
    """

    def __init__(self, names: Sequence[str], labels: Sequence[str], broken: Broken) -> None:
        if broken not in ("raise", "skip"):
            raise ConfigError(f"broken = {broken!r}: say 'raise' or 'skip'")
        if len(labels) >= UNLABELLED:
            raise ConfigError(f"{len(labels)} classes: masks of 8 bits tell {UNLABELLED - 1} apart")
        self.names = tuple(names)
        self.labels = tuple(labels)
        self.mask_labels: tuple[str, ...] = ()
        self.broken: Broken = broken
        self.broken_files: dict[str, str] = {}
        self._broken: set[int] = set()

    def __len__(self) -> int:
        """Return how many images are listed, the broken ones among them."""
        return len(self.names)

    def __getitem__(self, index: int) -> LabelledImage:
        """Read one image; raises DatasetError for a broken one whatever `broken` says."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return self._read(index)

    def __iter__(self) -> Iterator[LabelledImage]:
        return self.images(range(len(self)))

    def images(self, order: Iterable[int]) -> Iterator[LabelledImage]:
        """Read images in an order, which may be endless; broken ones are raised or skipped.

        Raises DatasetError when none of the images is usable.
        """
        for index in order:
            if index in self._broken:
                continue
            try:
                image = self[index]
            except DatasetError as error:
                if self.broken == "raise":
                    raise
                self._broken.add(index)
                self._skip(self.names[index], str(error))
                if len(self._broken) == len(self):
                    raise DatasetError(
                        f"none of the {len(self)} images can be used, the last because: {error}"
                    ) from error
                continue
            yield image

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return all indices in a random order in which reading them is not slow."""
        return rng.permutation(len(self))

    def check(self) -> dict[str, str]:
        """Read everything once, and return why files are broken, by name."""
        for index in set(range(len(self))) - self._broken:
            try:
                self[index]
            except DatasetError as error:
                self._broken.add(index)
                self.broken_files[self.names[index]] = str(error)
        return self.broken_files

    def _report(self, name: str, text: str) -> None:
        """Raise, or skip and remember, something found while listing."""
        if self.broken == "raise":
            raise DatasetError(text)
        self._skip(name, text)

    def _skip(self, name: str, text: str) -> None:
        self.broken_files[name] = text
        _log.warning("skipped: %s", text)

    @abstractmethod
    def _read(self, index: int) -> LabelledImage: ...


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises DatasetError when it is missing, unreadable or empty."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # the latter: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(
            f"{path} cannot be read ({reason}): restore it or take it off the list"
        ) from error
    if not data:
        raise DatasetError(f"{path} is empty: copy it again or take it off the list")
    return data


def read_color(path: Path) -> UInt8Array:
    """Return a JPEG or PNG as RGB uint8 (H, W, 3), as stored: annotations ignore EXIF's rotation.

    Raises DatasetError for a file that is missing, cut short or no picture.
    """
    data = read_bytes(path)
    try:
        return decode_compressed(np.frombuffer(data, np.uint8))
    except MessageError as error:
        reason = {
            "unknown_encoding": "is neither JPEG nor PNG",
            "truncated_data": "is cut short or damaged",
            "image_too_large": "is too large",
        }.get(error.reason, "does not decode")
        raise DatasetError(
            f"{path} {reason} ({len(data)} bytes): copy it again or take it off the list"
        ) from error


def checked_boxes(
    boxes: Sequence[Sequence[float]], what: Sequence[str], size: tuple[int, int], path: Path
) -> Float32Array:
    """Return float32 (N, 4) corner boxes limited to an image of size (width, height).

    A box may leave the image by a pixel. Raises DatasetError, with the file's `path` and `what` the
    box is around, for one that leaves it by more, is not finite or has no area.
    """
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    limit = np.array([*size, *size], np.float64)
    clipped = np.clip(corners, 0, limit)
    inside = (np.abs(corners - clipped) <= _TOLERANCE).all(1)
    rounded = clipped.astype(np.float32)
    solid = (rounded[:, 2:] > rounded[:, :2]).all(1)
    for good, reason in (
        (np.isfinite(corners).all(1), "is not finite"),
        (inside, f"leaves the image of {size[0]}x{size[1]} pixels"),
        (solid, "has no area"),
    ):
        for index in np.flatnonzero(~good)[:1]:
            shown = ", ".join(f"{value:g}" for value in corners[index])
            raise DatasetError(
                f"{path}: the box of {what[index]} from corner to corner ({shown}) {reason}: "
                "correct or delete it"
            )
    return rounded
