"""Data sets in memory, of pictures that the bundles of `models` answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.datasets.labelled import LabelledImage
from models import cell_box, paint

SIZE = (128, 96)


class Listed(Dataset):
    """Images in memory."""

    def __init__(
        self,
        images: list[LabelledImage],
        labels: tuple[str, ...],
        mask_labels: tuple[str, ...] = (),
    ) -> None:
        super().__init__([image.name for image in images], labels, "raise")
        self.mask_labels = mask_labels
        self._images = images

    def _read(self, index: int) -> LabelledImage:
        return self._images[index]


def labelled(
    name: str,
    color: np.ndarray,
    objects: list[tuple[int, tuple[float, ...]]] | None = None,
    *,
    mask: np.ndarray | None = None,
    label: int | None = None,
) -> LabelledImage:
    """An image with objects (class, box)."""
    objects = objects or []
    return LabelledImage(
        color,
        np.full(color.shape[:2], 255, np.uint8) if mask is None else mask,
        np.array([box for _, box in objects], np.float32).reshape(-1, 4),
        np.array([index for index, _ in objects], np.int32),
        np.zeros(len(objects), bool),
        label=label,
        name=name,
    )


def painted(cells: dict[tuple[int, int], str]) -> np.ndarray:
    return paint(cells, width=SIZE[0], height=SIZE[1])


def box(row: int, column: int) -> tuple[float, ...]:
    return cell_box(row, column, width=SIZE[0], height=SIZE[1])


def files_in(path: Path) -> list[str]:
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
