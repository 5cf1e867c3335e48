"""The small frozen types that the parts of the package exchange; numpy inside, no ROS.

Conventions, everywhere: color is RGB uint8 (H, W, 3); depth is float32 metres (H, W) with NaN
where there is no reading; boxes are float32 (N, 4) corners ``x_min, y_min, x_max, y_max`` in pixels
of the source image; time is integer nanoseconds; frames follow REP-103 and REP-105.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError, MessageError

__all__ = [
    "BoolArray",
    "Boxes3D",
    "CameraIntrinsics",
    "Cells",
    "Detections",
    "ExplainedAnswer",
    "Explanation",
    "Float32Array",
    "Float64Array",
    "GridMap2D",
    "Header",
    "Int64Array",
    "IntArray",
    "MapStatistics",
    "RigidTransform",
    "StampedTransform",
    "UInt8Array",
]

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Header:
    """When and where a measurement was taken: nanoseconds, and a frame id without leading '/'."""

    stamp_ns: int
    frame_id: str


@dataclass(frozen=True, slots=True)
class CameraIntrinsics:
    """A rectified pinhole camera: image size and focal lengths and principal point in pixels.

    Raises MessageError(``bad_intrinsics``) for a value that is not finite and a focal length that
    is not positive.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not np.isfinite(values).all() or self.fx <= 0 or self.fy <= 0:
            raise MessageError(
                "bad_intrinsics",
                f"camera intrinsics fx, fy, cx, cy = {values} are not usable: calibrate the camera "
                "or fix the driver's camera_info",
            )
        if self.width <= 0 or self.height <= 0:
            raise MessageError(
                "bad_intrinsics",
                f"camera_info says the image is {self.width}x{self.height}: both must be positive",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Objects found in one image, best first.

    boxes: float32 (N, 4) corners in pixels of the source image; scores: float32 (N,) in [0, 1];
    class_ids: int32 (N,) indices into the bundle's labels; anchors: int32 (N,) index of the default
    box that each came from, or None where the output format has none.
    """

    boxes: Float32Array
    scores: Float32Array
    class_ids: NDArray[np.int32]
    anchors: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        expected = {"boxes": (count, 4), "scores": (count,), "class_ids": (count,)}
        if self.anchors is not None:
            expected["anchors"] = (count,)
        for name, shape in expected.items():
            actual = getattr(self, name).shape
            if actual != shape:
                raise ConfigError(f"Detections.{name} has shape {actual}: expected {shape}")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class Boxes3D:
    """Axis-aligned boxes in the camera's optical frame, one for each detection.

    centers, sizes: float32 (N, 3) metres; valid: bool (N,), false where too few depth pixels lay
    under the detection (its row is zero then).
    """

    centers: Float32Array
    sizes: Float32Array
    valid: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedAnswer:
    """One answer of a network that a heat map explains.

    score: of the class, in [0, 1]; for masks the share of the pixels looked at. box: float32 (4,)
    corners of the detection or of the class's region, None for a classification. evidence: float32
    (4,) corners of where the heat is, None where nothing speaks for the answer. All in pixels of
    the source image.
    """

    class_id: int
    score: float
    box: Float32Array | None = None
    evidence: Float32Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why a network answered as it did.

    heatmap: float32 (H, W) in [0, 1] at the size of the source image, the largest of the answers'
    own maps, each by its own largest value; all zero when nothing in the image speaks for them.
    answers: those that are explained, the best first; none when nothing was found. left_out: how
    many more there were that time did not allow.
    """

    heatmap: Float32Array
    answers: tuple[ExplainedAnswer, ...] = ()
    left_out: int = 0

    @property
    def best(self) -> ExplainedAnswer | None:
        """The first answer, None when nothing was found."""
        return self.answers[0] if self.answers else None


@dataclass(frozen=True, slots=True, eq=False)
class RigidTransform:
    """A rotation and a translation: p_target = rotation @ p_source + translation.

    rotation: float64 (3, 3), orthonormal; translation: float64 (3,), metres.
    """

    rotation: Float64Array
    translation: Float64Array

    @classmethod
    def identity(cls) -> RigidTransform:
        """The transform that changes nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(
        cls, translation: tuple[float, float, float], xyzw: tuple[float, float, float, float]
    ) -> RigidTransform:
        """Build from metres and a quaternion (x, y, z, w), normalised here.

        Raises MessageError(``bad_transform``) for values that are not finite and for a zero
        quaternion.
        """
        quaternion = np.asarray(xyzw, np.float64)
        position = np.asarray(translation, np.float64)
        norm = float(np.linalg.norm(quaternion))
        if not np.isfinite(position).all() or not np.isfinite(norm) or norm < 1e-6:
            raise MessageError(
                "bad_transform",
                f"transform with translation {translation} and quaternion {xyzw} is not a rigid "
                "motion: fix the node that publishes it",
            )
        x, y, z, w = quaternion / norm
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, position)

    @classmethod
    def from_matrix(cls, matrix: Float64Array) -> RigidTransform:
        """Build from a homogeneous (4, 4) matrix."""
        return cls(np.array(matrix[:3, :3], np.float64), np.array(matrix[:3, 3], np.float64))

    def quaternion(self) -> tuple[float, float, float, float]:
        """Return the rotation as a unit quaternion (x, y, z, w) with w >= 0 (Shepperd's method)."""
        r = self.rotation
        trace = np.array([np.trace(r), r[0, 0], r[1, 1], r[2, 2]])
        pivot = int(np.argmax(trace))
        if pivot == 0:
            q = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1.0 + trace[0]])
        else:
            i = pivot - 1
            j, k = (i + 1) % 3, (i + 2) % 3
            q = np.zeros(4)
            q[i] = 1.0 + r[i, i] - r[j, j] - r[k, k]
            q[j] = r[j, i] + r[i, j]
            q[k] = r[k, i] + r[i, k]
            q[3] = r[k, j] - r[j, k]
        q /= np.linalg.norm(q)
        if q[3] < 0:
            q = -q
        return float(q[0]), float(q[1]), float(q[2]), float(q[3])

    def __matmul__(self, other: RigidTransform) -> RigidTransform:
        return RigidTransform(
            self.rotation @ other.rotation,
            self.rotation @ other.translation + self.translation,
        )

    def inverse(self) -> RigidTransform:
        """Return the transform in the other direction."""
        transposed = self.rotation.T.copy()
        return RigidTransform(transposed, -(transposed @ self.translation))

    def apply(self, points: Float32Array) -> Float32Array:
        """Return float32 (N, 3) points moved into the target frame."""
        moved = points @ self.rotation.T.astype(np.float32)
        moved += self.translation.astype(np.float32)
        return np.asarray(moved, np.float32)


@dataclass(frozen=True, slots=True)
class StampedTransform:
    """One edge of the transform tree: parent_from_child at a stamp."""

    parent: str
    child: str
    stamp_ns: int
    parent_from_child: RigidTransform


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cubes of an occupancy map: float32 (N, 3) centres and float32 (N,) edge lengths, metres."""

    centers: Float32Array
    sizes: Float32Array

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True, slots=True, eq=False)
class GridMap2D:
    """A map from above: int8 (rows along y, columns along x), 100 occupied, 0 free, -1 unknown.

    origin is the metric x, y of the corner of cell [0, 0]; resolution is metres per cell.
    """

    cells: NDArray[np.int8]
    origin: tuple[float, float]
    resolution: float


@dataclass(frozen=True, slots=True)
class MapStatistics:
    """Size of a map: resolution in metres, leaf counts at that resolution, bytes held."""

    resolution: float
    occupied: int
    free: int
    memory_bytes: int
