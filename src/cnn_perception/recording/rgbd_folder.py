"""Folders of RGB-D frames with poses, as 7-Scenes and tsdf-fusion-python lay them out.

``camera-intrinsics.txt`` (3 x 3), and for each frame ``frame-N.depth.png`` (uint16 millimetres, 0
and 65535 no reading), ``frame-N.pose.txt`` (4 x 4, world from optical frame) and, where there is
one, ``frame-N.color.jpg`` or ``.png``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cnn_perception.errors import BagError
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Float64Array,
    RigidTransform,
    UInt8Array,
)

__all__ = ["RgbdFolder", "RgbdFrame"]

_LOG = logging.getLogger(__name__)
_NO_READING = (0, 65535)
_DEPTH_SUFFIX = ".depth.png"


@dataclass(frozen=True, slots=True, eq=False)
class RgbdFrame:
    """One frame: float32 (H, W) depth in metres, NaN for none, and where the camera was."""

    name: str
    depth: Float32Array
    world_from_camera: RigidTransform
    color_path: Path | None

    def color(self) -> UInt8Array | None:
        """Read the color picture, RGB uint8 (H, W, 3); None where the frame has none."""
        if self.color_path is None:
            return None
        picture = cv2.imread(str(self.color_path), cv2.IMREAD_COLOR)
        if picture is None:
            raise BagError(f"cannot read {self.color_path}: it is no picture, or damaged")
        return np.ascontiguousarray(picture[..., ::-1], np.uint8)


class RgbdFolder:
    """A folder of RGB-D frames, in the order of their names.

    Raises BagError for a folder without frames, a missing or damaged file, and images of unequal
    sizes. Frames whose pose is not finite (tracking was lost) are left out with a warning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise BagError(f"{path} is no folder: give one with frame-N.depth.png files")
        self._stems = sorted(
            file.name[: -len(_DEPTH_SUFFIX)] for file in path.glob(f"frame-*{_DEPTH_SUFFIX}")
        )
        if not self._stems:
            raise BagError(f"{path} has no frame-N.depth.png: it is no RGB-D folder")
        matrix = _matrix(path / "camera-intrinsics.txt", (3, 3))
        height, width = self._depth(self._stems[0]).shape
        self.intrinsics = CameraIntrinsics(
            width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
        )

    @staticmethod
    def recognises(path: Path) -> bool:
        """Tell whether a path looks like such a folder."""
        return path.is_dir() and next(path.glob(f"frame-*{_DEPTH_SUFFIX}"), None) is not None

    def __len__(self) -> int:
        return len(self._stems)

    def __iter__(self) -> Iterator[RgbdFrame]:
        return self.frames()

    def frames(self, every: int = 1) -> Iterator[RgbdFrame]:
        """Yield the first of each `every` frames; the others are not read."""
        for stem in self._stems[::every]:
            pose = _matrix(self.path / f"{stem}.pose.txt", (4, 4))
            if not np.isfinite(pose).all():
                _LOG.warning("%s has no finite pose: left out", self.path / stem)
                continue
            yield RgbdFrame(
                stem, self._depth(stem), RigidTransform.from_matrix(pose), self._color(stem)
            )

    def _depth(self, stem: str) -> Float32Array:
        path = self.path / f"{stem}{_DEPTH_SUFFIX}"
        raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if raw is None or raw.ndim != 2 or raw.dtype != np.uint16:
            raise BagError(f"cannot read {path}: expected a PNG with 16-bit depth in millimetres")
        depth = raw * np.float32(0.001)
        for value in _NO_READING:
            depth[raw == value] = np.nan
        return np.asarray(depth, np.float32)

    def _color(self, stem: str) -> Path | None:
        candidates = (self.path / f"{stem}.color{suffix}" for suffix in (".jpg", ".png"))
        return next((path for path in candidates if path.is_file()), None)


def _matrix(path: Path, shape: tuple[int, int]) -> Float64Array:
    try:
        matrix = np.loadtxt(path, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise BagError(f"cannot read {path}: {error}") from error
    if matrix.shape != shape:
        raise BagError(
            f"{path} holds {matrix.shape} numbers: expected a {shape[0]} x {shape[1]} matrix"
        )
    return matrix
