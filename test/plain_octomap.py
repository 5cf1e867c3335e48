"""OctoMap's update rules written out plainly: slow, the oracle of the map.

One voxel, one ray and one number at a time, in the floating-point types that OctoMap 1.10 uses
(OccupancyOcTreeBase.hxx, OcTreeBaseImpl.hxx): coordinates and directions are float32, positions
along a ray are double, log-odds are float32.
"""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.files.octomap_codec import decode_full
from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.octomap_tree import usable_points
from cnn_perception.mapping.scans import ScanReport
from cnn_perception.mapping.sensor_model import SensorModel
from cnn_perception.types import Float32Array
from pruned_leaves import prune

Key = tuple[int, int, int]


class PlainTree:
    """A dictionary from keys to log-odds behind the PointTree protocol."""

    def __init__(self, resolution: float) -> None:
        self._resolution = resolution
        self._cells: dict[Key, np.float32] = {}

    def insert(
        self,
        points: Float32Array,
        origin: Float32Array,
        config: MapperConfig,
        clearing: Float32Array | None = None,
    ) -> ScanReport:
        """See PointTree."""
        free, occupied, report = self._cast(points, origin, config)
        if clearing is not None:
            more_free, _, cleared = self._cast(clearing, origin, config)
            free, report = free | more_free, report + cleared
        model = SensorModel.from_config(config)
        for key in free - occupied:
            self._update(key, model.miss, model)
        for key in occupied:
            self._update(key, model.hit, model)
        return report

    def _cast(
        self, points: Float32Array, origin: Float32Array, config: MapperConfig
    ) -> tuple[set[Key], set[Key], ScanReport]:
        usable, report = usable_points(points, origin, config)
        max_range = config.max_range
        ends = [np.asarray(point, np.float32) for point in usable]
        if config.discretize:
            ends = [self._center(key) for key in dict.fromkeys(self._key(end) for end in ends)]
        free: set[Key] = set()
        occupied: set[Key] = set()
        for end in ends:
            distance = _norm(end - origin)
            if max_range < 0 or distance <= max_range:
                occupied.add(self._key(end))
            else:
                direction = (end - origin) / np.float32(distance)
                end = origin + direction * np.float32(max_range)
            free.update(self._ray(origin, end))
        return free, occupied, report

    def leaves(self) -> Leaves:
        """See PointTree."""
        keys = np.array(list(self._cells), np.uint16).reshape(-1, 3)
        values = np.array(list(self._cells.values()), np.float32)
        depths = np.full(len(keys), TREE_DEPTH, np.uint8)
        return prune(sort_leaves(Leaves(keys, depths, values)))

    def restore(self, payload: bytes) -> None:
        """See PointTree."""
        finest = decode_full(payload).finest()
        self._cells = {
            (int(x), int(y), int(z)): value
            for (x, y, z), value in zip(finest.keys, finest.log_odds, strict=True)
        }

    def memory_bytes(self) -> int:
        """See PointTree."""
        return 16 * len(self._cells)

    def _key(self, point: Float32Array) -> Key:
        x, y, z = (math.floor((1.0 / self._resolution) * float(c)) + KEY_ORIGIN for c in point)
        return x, y, z

    def _center(self, key: Key) -> Float32Array:
        return np.array([(k - KEY_ORIGIN + 0.5) * self._resolution for k in key], np.float32)

    def _update(self, key: Key, change: np.float32, model: SensorModel) -> None:
        value = self._cells.get(key, np.float32(0))
        # A map made with other limits: what is beyond these is left alone.
        beyond = value >= model.highest if change >= 0 else value <= model.lowest
        if not beyond:
            value = min(max(value + change, model.lowest), model.highest)
        self._cells[key] = np.float32(value)

    def _ray(self, origin: Float32Array, end: Float32Array) -> list[Key]:
        """Return the keys from the origin's up to, not including, the end's (Amanatides & Woo)."""
        current, last = list(self._key(origin)), list(self._key(end))
        if current == last:
            return []
        length = np.float32(_norm(end - origin))
        direction = (end - origin) / length
        step, border, spacing = [0, 0, 0], [math.inf] * 3, [math.inf] * 3
        for axis in range(3):
            if direction[axis] == 0:
                continue
            step[axis] = 1 if direction[axis] > 0 else -1
            edge = (current[axis] - KEY_ORIGIN + 0.5) * self._resolution
            edge += float(np.float32(step[axis] * self._resolution * 0.5))
            border[axis] = (edge - float(origin[axis])) / float(direction[axis])
            spacing[axis] = self._resolution / abs(float(direction[axis]))
        passed = [tuple(current)]
        while True:
            nearest = _nearest(border)
            current[nearest] += step[nearest]
            border[nearest] += spacing[nearest]
            # Rounding can make a ray miss its last cell; then its length ends it.
            if current == last or min(border) > float(length):
                return [(x, y, z) for x, y, z in passed]
            passed.append(tuple(current))


def _nearest(border: list[float]) -> int:
    """Return the axis whose border comes first; ties as OctoMap breaks them."""
    x, y, z = border
    if x < y:
        return 0 if x < z else 2
    return 1 if y < z else 2


def _norm(vector: Float32Array) -> float:
    """Return the length: squares summed in float32, the root taken in double."""
    x, y, z = vector
    with np.errstate(over="ignore"):
        return math.sqrt(float(x * x + y * y + z * z))
