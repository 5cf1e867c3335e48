"""3D boxes from the depth pixels under 2D detections."""

from __future__ import annotations

import dataclasses

import numpy as np

from cnn_perception.errors import MessageError
from cnn_perception.types import (
    Boxes3D,
    CameraIntrinsics,
    Detections,
    Float32Array,
)

__all__ = ["boxes_from_depth", "scaled_to"]

MIN_PIXELS = 10

_SAME_SHAPE = 0.01
"""Most by which the scales of width and height differ in images of one field of view."""


def boxes_from_depth(
    depth: Float32Array, intrinsics: CameraIntrinsics, detections: Detections
) -> Boxes3D:
    """Fit a box to the depth pixels of each detection.

    depth is float32 (H, W) metres registered to the color image, NaN for no reading. The object's
    distance is the median depth of the middle half of its 2D box; pixels within half the object's
    own metric width of it (15 cm at least) belong to the object, which keeps out the wall behind it
    and what stands before it; the box spans their 2nd to 98th percentile.
    Raises MessageError(``size_mismatch``) when depth and camera disagree on the image size.
    """
    if depth.shape != (intrinsics.height, intrinsics.width):
        raise MessageError(
            "size_mismatch",
            f"depth is {depth.shape[1]}x{depth.shape[0]} but its camera_info says "
            f"{intrinsics.width}x{intrinsics.height}: remap the camera_info of the depth image",
        )
    count = len(detections)
    centers, sizes = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
    valid = np.zeros(count, np.bool_)
    for i, box in enumerate(detections.boxes):
        points = _object_points(depth, intrinsics, box)
        if len(points) >= MIN_PIXELS:
            low, high = np.percentile(points, (2, 98), axis=0)
            centers[i], sizes[i], valid[i] = (low + high) / 2, high - low, True
    return Boxes3D(centers, sizes, valid)


def scaled_to(detections: Detections, color: tuple[int, ...], depth: tuple[int, ...]) -> Detections:
    """Return detections of a color image in pixels of a depth image that is registered to it.

    color, depth: heights and widths; the two show the same field of view. Raises
    MessageError(``size_mismatch``) where their shapes say that they do not.
    """
    if color == depth:
        return detections
    height, width = depth[0] / color[0], depth[1] / color[1]
    if abs(height - width) > _SAME_SHAPE * width:
        raise MessageError(
            "size_mismatch",
            f"depth of {depth[1]}x{depth[0]} cannot be registered to a color image of "
            f"{color[1]}x{color[0]}: give depth that is registered to the color image",
        )
    scale = np.array([width, height, width, height], np.float32)
    return dataclasses.replace(detections, boxes=detections.boxes * scale)


def _object_points(
    depth: Float32Array, intrinsics: CameraIntrinsics, box: Float32Array
) -> Float32Array:
    """Return the float32 (N, 3) points of the object inside one 2D box."""
    x_min, y_min = np.floor(np.maximum(box[:2], 0)).astype(int)
    x_max, y_max = np.ceil(box[2:]).astype(int)
    region = depth[y_min:y_max, x_min:x_max]
    height, width = region.shape
    middle = region[height // 4 : height - height // 4, width // 4 : width - width // 4]
    readings = middle[np.isfinite(middle)]
    if len(readings) < MIN_PIXELS:
        return np.zeros((0, 3), np.float32)
    distance = float(np.median(readings))
    reach = max(0.15, 0.5 * float(box[2] - box[0]) * distance / intrinsics.fx)
    # NaN compares false: pixels without a reading never belong.
    rows, columns = np.nonzero(np.abs(region - distance) <= reach)
    z = region[rows, columns]
    x = (columns + x_min - intrinsics.cx) * z / intrinsics.fx
    y = (rows + y_min - intrinsics.cy) * z / intrinsics.fy
    return np.stack([x, y, z], axis=1).astype(np.float32)
