"""Images for classification: one folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.dataset import (
    PICTURE_SUFFIXES,
    UNLABELLED,
    Broken,
    Dataset,
    read_color,
)
from cnn_perception.offboard.datasets.labelled import LabelledImage

__all__ = ["FolderDataset"]


class FolderDataset(Dataset):
    """The JPEG and PNG images of ``root/CLASS/``, to any depth; names starting with . are not read.

    `label` of an image is its folder's place in `labels`, by default the folders' sorted names, as
    torchvision's ImageFolder has it. A folder without pictures, and one that is not in `labels`, is
    broken. Raises DatasetError when there is no class.
    """

    def __init__(
        self, root: Path, *, labels: Sequence[str] | None = None, broken: Broken = "raise"
    ) -> None:
        if not root.is_dir():
            raise DatasetError(f"{root} is no folder: give one that holds a folder per class")
        folders = sorted(
            entry.name
            for entry in os.scandir(root)
            if entry.is_dir() and not entry.name.startswith(".")
        )
        if not folders:
            raise DatasetError(f"{root} holds no folders: make one per class")
        known = tuple(labels or folders)
        files = {folder: _pictures(root, folder) for folder in folders}
        listed = [(name, folder) for folder in folders if folder in known for name in files[folder]]
        super().__init__([name for name, _ in listed], known, broken)
        self.root = root
        self._label = [known.index(folder) for _, folder in listed]
        for folder in folders:
            if folder not in known:
                self._report(folder, f"{root / folder}: unknown class: rename it or add a label")
            elif not files[folder]:
                self._report(
                    folder,
                    f"{root / folder} holds no picture ({', '.join(PICTURE_SUFFIXES)}): add one or "
                    "delete it",
                )

    def _read(self, index: int) -> LabelledImage:
        name = self.names[index]
        color = read_color(self.root / name)
        return LabelledImage(
            color,
            np.full(color.shape[:2], UNLABELLED, np.uint8),
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, bool),
            label=self._label[index],
            name=name,
        )


def _pictures(root: Path, folder: str) -> list[str]:
    """Return the sorted paths of pictures below a folder, relative to root."""
    found = []
    for place, folders, files in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name).relative_to(root).as_posix()
            for name in files
            if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found)
