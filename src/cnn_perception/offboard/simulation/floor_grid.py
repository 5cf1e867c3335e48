"""Which parts of a room's floor are taken, and how high."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from cnn_perception.offboard.simulation.shapes import Shape
from cnn_perception.types import Float64Array, UInt8Array

__all__ = ["CELL", "FloorGrid"]

CELL = 0.05
"""Edge of a cell of the floor grid, metres."""


class FloorGrid:
    """Which cells of the floor are taken: by anything, and up to which height."""

    def __init__(self, width: float, depth: float) -> None:
        self.width, self.depth = width, depth
        self.heights: Float64Array = np.zeros((int(depth / CELL), int(width / CELL)))

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Return row, column of a point, clamped to the grid."""
        rows, columns = self.heights.shape
        row = int(np.clip((y + self.depth / 2) / CELL, 0, rows - 1))
        return row, int(np.clip((x + self.width / 2) / CELL, 0, columns - 1))

    def footprint(self, shape: Shape, x: float, y: float, yaw: float, margin: float) -> UInt8Array:
        """Return uint8 (rows, columns), 1 where the shape's bounding rectangle stands."""
        (x0, y0, _), (x1, y1, _) = shape.low, shape.high
        corners = np.array(
            [
                (x0 - margin, y0 - margin),
                (x1 + margin, y0 - margin),
                (x1 + margin, y1 + margin),
                (x0 - margin, y1 + margin),
            ]
        )
        c, s = np.cos(yaw), np.sin(yaw)
        middle = np.array([x + self.width / 2, y + self.depth / 2])
        pixels = (corners @ np.array([[c, s], [-s, c]]) + middle) / CELL - 0.5
        mask = np.zeros(self.heights.shape, np.uint8)
        cv2.fillConvexPoly(mask, np.round(pixels).astype(np.int32), 1)
        return mask

    def inside(self, shape: Shape, x: float, y: float, yaw: float) -> bool:
        """Say whether the shape's bounding rectangle lies between the walls."""
        c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
        ends = [
            (x0 * np.cos(yaw) - y0 * np.sin(yaw) + x, x0 * np.sin(yaw) + y0 * np.cos(yaw) + y)
            for x0 in (shape.low[0], shape.high[0])
            for y0 in (shape.low[1], shape.high[1])
        ]
        slack = 0.02 * (c + s)
        return all(
            abs(px) <= self.width / 2 - slack and abs(py) <= self.depth / 2 - slack
            for px, py in ends
        )

    def take(self, shape: Shape, x: float, y: float, yaw: float) -> None:
        """Mark the shape's place as taken."""
        mask = self.footprint(shape, x, y, yaw, 0.0).astype(bool)
        self.heights[mask] = np.maximum(self.heights[mask], shape.high[2])

    def clearance(self, height: float = 0.0) -> Float64Array:
        """Return for each cell the metres to the nearest wall or thing taller than `height`."""
        free = np.pad((self.heights <= height).astype(np.uint8), 1)
        distance = cv2.distanceTransform(free, cv2.DIST_L2, 5)[1:-1, 1:-1]
        return np.asarray(distance * CELL, np.float64)

    def visible(self, start: ArrayLike, end: ArrayLike) -> bool:
        """Say whether nothing tall blocks the line between two points, short of the last 0.5 m."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        length = float(np.linalg.norm(b[:2] - a[:2]))
        t = np.arange(0.1, length - 0.5, CELL) / max(length, 1e-6)
        points = a + t[:, None] * (b - a)
        limits = np.array(self.heights.shape) - 1
        middle = np.array([self.depth, self.width]) / 2
        cells = np.clip(((points[:, 1::-1] + middle) / CELL).astype(int), 0, limits)
        return not bool((self.heights[cells[:, 0], cells[:, 1]] > points[:, 2]).any())
