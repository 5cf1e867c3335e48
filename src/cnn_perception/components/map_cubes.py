"""A map's cells as cubes and points to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.semantic.semantics import LabelledCells
from cnn_perception.messages.encode import CubeList
from cnn_perception.types import Float32Array, Float64Array, IntArray, UInt8Array

__all__ = ["class_cubes", "height_palette", "height_shades", "labelled_points", "leaf_cubes"]

_SHADES = 256

# The names and types that PCL gives to coordinates, color and label (pcl::PointXYZRGBL); rgb is
# three bytes within a float.
_POINT = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "rgb")] + [("label", "<u4"), ("confidence", "<f4")]
)


def leaf_cubes(
    leaves: Leaves, resolution: float, palette: Float32Array, shades: IntArray | None = None
) -> list[CubeList]:
    """Return cells by their depth in the tree, from 0 to 16, as 17 lists of cubes.

    palette: float32 (K, 4) RGBA in [0, 1]; shades: its index for each cell, or None: all have the
    first. Depths without cells delete what was shown of them.
    """
    red, green, blue, alpha = palette[0].astype(float).tolist()
    lists = []
    for depth in range(TREE_DEPTH + 1):
        span = 1 << (TREE_DEPTH - depth)
        chosen = np.flatnonzero(leaves.depths == depth)
        keys = leaves.keys[chosen].astype(np.float64)
        centers = (keys + (0.5 * span - KEY_ORIGIN)) * resolution
        colors = None if shades is None else palette[shades[chosen]].astype(np.float32)
        lists.append(CubeList(centers, span * resolution, (red, green, blue, alpha), colors))
    return lists


def height_palette(color_factor: float) -> Float32Array:
    """Return the colors from the lowest height to the highest, float32 (256, 4) RGBA.

    As octomap_server's use_height_map they run along the color circle (HSV with full saturation
    and value) from hue color_factor, a part of the circle, to 0, which is red.
    """
    hue = np.linspace(color_factor, 0.0, _SHADES)
    palette = np.ones((_SHADES, 4), np.float32)
    for channel, offset in enumerate((0.0, 4.0, 2.0)):
        # Red is full within a sixth of the circle of hue 0, green of 1/3, blue of 2/3.
        distance = np.abs((hue * 6.0 + offset) % 6.0 - 3.0) - 1.0
        palette[:, channel] = np.clip(distance, 0.0, 1.0)
    return palette


def height_shades(cells: Leaves, known: Leaves) -> IntArray:
    """Return the shade of each cell, 0 at the bottom of everything known and 255 at its top."""
    middle: Float64Array = cells.keys[:, 2] + 0.5 * cells.spans
    low = float(known.keys[:, 2].min()) if len(known) else 0.0
    high = float((known.keys[:, 2] + known.spans).max()) if len(known) else 1.0
    fraction = np.clip((middle - low) / (high - low), 0.0, 1.0)
    return np.asarray(np.rint(fraction * (_SHADES - 1)), np.int64)


def class_cubes(
    cells: LabelledCells, resolution: float, colors: UInt8Array, names: Mapping[int, str]
) -> list[CubeList]:
    """Return a list of cubes for each class, in a namespace with its name.

    colors: uint8 (n, 3) RGB by class id. A class without cells deletes what was shown of it.
    """
    centers = cells.cells(resolution).centers.astype(np.float64)
    lists = []
    for class_id, name in sorted(names.items()):
        red, green, blue = (float(v) / 255.0 for v in colors[class_id])
        chosen = centers[cells.class_ids == class_id]
        lists.append(CubeList(chosen, resolution, (red, green, blue, 1.0), namespace=name))
    return lists


def labelled_points(cells: LabelledCells, resolution: float, colors: UInt8Array) -> NDArray[Any]:
    """Return the centres of cells as records: x, y, z, rgb (packed as in PCL), label, confidence.

    colors: uint8 (n, 3) RGB by class id. A record takes 24 bytes.
    """
    points = np.empty(len(cells), _POINT)
    for name, column in zip("xyz", cells.cells(resolution).centers.T, strict=True):
        points[name] = column
    red, green, blue = colors[cells.class_ids].astype("<u4").T
    points["rgb"] = ((red << 16) | (green << 8) | blue).view("<f4")
    points["label"] = cells.class_ids
    points["confidence"] = cells.confidences
    return points
