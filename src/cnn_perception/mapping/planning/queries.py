"""What planners ask a map: occupancy at points and in boxes, ray casts, the nearest obstacle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import cell_keys
from cnn_perception.mapping.planning.box_kernels import count_in_boxes, count_in_oriented_box
from cnn_perception.mapping.planning.distance_kernels import nearest_obstacles
from cnn_perception.mapping.planning.query_kernels import cast_rays, look_up_points
from cnn_perception.mapping.planning.query_results import (
    BoxOccupancy,
    NearestObstacles,
    Occupancy,
    RayCasts,
)
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import Float32Array, Float64Array

__all__ = ["MapQueries"]

# Cells that are tested whether they meet an oriented box: a second or two.
_MOST_CELLS = 1 << 28
# Added to the cosines between axes, so that rounding separates no box from a cell that it meets.
_SLACK = 1e-9


class MapQueries:
    """Questions to a store of a resolution, metres; the store must not change meanwhile.

    All coordinates are metres in the frame of the map. Rays are rounded to float32, as OctoMap
    rounds them; nothing else is. Every question takes many points, boxes or rays at once; MapError
    names the first that cannot be answered. `OccupancyMap.queries` is the usual way to these.
    """

    def __init__(self, store: VoxelStore, resolution: float) -> None:
        self._store = store
        self._resolution = resolution

    def occupancy(self, points: ArrayLike) -> Occupancy:
        """Return what is known at points, (N, 3). Whatever is off the map is unknown."""
        points = _vectors("point", points)
        log_odds = np.empty(len(points), np.float32)
        look_up_points(self._store.arrays, points, self._resolution, log_odds)
        return Occupancy(log_odds)

    def boxes(self, low: ArrayLike, high: ArrayLike) -> BoxOccupancy:
        """Count the cells that boxes along the axes meet, given by their corners, (N, 3) each.

        Those with the keys of the corners and all between them, as OctoMap's bounding boxes.
        """
        corners = _vectors("low corner", low), _vectors("high corner", high)
        if len(corners[0]) != len(corners[1]):
            raise MapError(
                f"{len(corners[0])} low corners and {len(corners[1])} high ones: give a pair a box"
            )
        wrong = np.flatnonzero((corners[0] > corners[1]).any(axis=1))
        if wrong.size:
            first = wrong[0]
            raise MapError(
                f"box {first} goes from {corners[0][first].tolist()} to "
                f"{corners[1][first].tolist()}: give the lower corner first"
            )
        first, last = cell_keys(np.array(corners), self._resolution)
        counts = np.empty((len(first), 2), np.int64)
        count_in_boxes(self._store.arrays, first, last, counts)
        volumes = (last - first + 1).prod(axis=1)
        return BoxOccupancy(counts[:, 0], counts[:, 1], volumes - counts.sum(axis=1))

    def oriented_boxes(
        self, centers: ArrayLike, sizes: ArrayLike, rotations: ArrayLike
    ) -> BoxOccupancy:
        """Count the cells that share a point with boxes in any orientation.

        centers: (N, 3); sizes: (N, 3), full edge lengths; rotations: (N, 3, 3), the axes of each
        box in its columns, orthonormal. Where a rotation is the identity, the cells are those of
        `boxes`.
        """
        middle, size = _vectors("centre", centers), _vectors("size", sizes)
        rotation = np.ascontiguousarray(rotations, np.float64)
        if rotation.shape != (len(middle), 3, 3) or len(size) != len(middle):
            raise MapError(
                f"{len(middle)} centres, {len(size)} sizes and rotations of shape "
                f"{rotation.shape}: give one of each for every box, rotations as (N, 3, 3)"
            )
        if not np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-6):
            raise MapError("a box's rotation is not orthonormal: give rotation matrices")
        if (size < 0).any():
            first = int(np.flatnonzero((size < 0).any(axis=1))[0])
            raise MapError(f"box {first} has size {size[first].tolist()}: give positive lengths")
        counts = np.zeros((len(middle), 3), np.int64)
        for i in range(len(middle)):
            self._count_oriented(middle[i], 0.5 * size[i], rotation[i], counts[i])
        return BoxOccupancy(counts[:, 0], counts[:, 1], counts[:, 2] - counts[:, :2].sum(axis=1))

    def cast_rays(
        self,
        origins: ArrayLike,
        directions: ArrayLike,
        *,
        ignore_unknown: bool = False,
        max_range: float = np.inf,
    ) -> RayCasts:
        """Find the first occupied cell on each ray, as OctoMap's castRay does, cell for cell.

        origins: (N, 3), or (1, 3) for all; directions: (N, 3), of any length but zero.
        ignore_unknown: unknown cells let rays pass. max_range: metres to a cell's centre; OctoMap's
        0 or less is unlimited.
        """
        directions = _directions(directions)
        origins = _origins(origins)
        if len(origins) == 1:
            origins = np.repeat(origins, len(directions), axis=0)
        count = len(directions)
        if len(origins) != count:
            raise MapError(
                f"{len(origins)} origins and {count} directions: give one origin, or as many"
            )
        if np.isnan(max_range):
            raise MapError("the ray's max_range is NaN: give metres, or infinity")
        found = RayCasts(
            np.empty(count, np.uint8),
            np.empty((count, 3), np.float32),
            np.empty(count, np.float64),
            np.empty((count, 3), np.float64),
        )
        cast_rays(
            self._store.arrays,
            origins,
            directions,
            self._resolution,
            bool(ignore_unknown),
            float(max_range) if np.isfinite(max_range) else -1.0,
            found.stops,
            found.cells,
            found.distances,
        )
        lengths = np.linalg.norm(directions.astype(np.float64), axis=1)
        along = np.where(found.hits, found.distances, np.nan) / lengths
        found.points[:] = origins + along[:, None] * directions
        return found

    def nearest_obstacles(
        self,
        points: ArrayLike,
        max_distance: float = np.inf,
        *,
        unknown_as_obstacle: bool = False,
    ) -> NearestObstacles:
        """Return how far points, (N, 3), are from the nearest occupied cell: exact, Euclidean.

        max_distance: metres within which obstacles count; the less, the faster. With
        unknown_as_obstacle unknown cells are obstacles too, and all that is off the map.
        """
        points = _vectors("point", points)
        if not max_distance >= 0:
            raise MapError(f"max_distance is {max_distance:g} m: give 0 or more, or infinity")
        found = NearestObstacles(
            np.empty(len(points), np.float64), np.empty((len(points), 3), np.float32)
        )
        nearest_obstacles(
            self._store.arrays,
            points,
            self._resolution,
            float(max_distance),
            bool(unknown_as_obstacle),
            found.distances,
            found.cells,
        )
        return found

    def warm_up(self) -> None:
        """Compile what the first question would otherwise wait for."""
        zero, one = np.zeros((1, 3)), np.ones((1, 3))
        self.occupancy(zero)
        self.boxes(zero, zero)
        self.oriented_boxes(zero, zero, np.array([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]]))
        self.cast_rays(zero, one, max_range=self._resolution)
        self.nearest_obstacles(zero, self._resolution)

    def _count_oriented(
        self,
        center: Float64Array,
        half: Float64Array,
        rotation: Float64Array,
        counts: NDArray[np.int64],
    ) -> None:
        if np.array_equal(rotation, np.eye(3)):
            found = self.boxes([center - half], [center + half])
            counts[0], counts[1] = found.occupied[0], found.free[0]
            counts[2] = found.unknown[0] + counts[:2].sum()
            return
        # A cell's centre relative to the box's is rounded as their coordinates are: what touches
        # must not be lost to that.
        half = half + 16 * np.finfo(np.float64).eps * (np.abs(center).max() + self._resolution)
        with np.errstate(over="ignore"):
            reach = np.abs(rotation) @ half
            around = np.stack([center - reach, center + reach])
        # A box that touches a cell from above meets it too, and rounding may hide that it does.
        low, high = cell_keys(around, self._resolution) + np.array([[-1], [1]])
        if float((high - low + 1.0).prod()) > _MOST_CELLS:
            raise MapError(
                f"a box of {(2 * half).tolist()} m has too many cells of {self._resolution:g} m to "
                "be counted: ask for smaller ones, or for one along the axes of the map"
            )
        counts[:] = count_in_oriented_box(
            self._store.arrays,
            tuple(center.tolist()),
            tuple(tuple(axis) for axis in rotation.T.tolist()),
            tuple(half.tolist()),
            _reaches(half, rotation, 0.5 * self._resolution),
            tuple(low.tolist()),
            tuple(high.tolist()),
            self._resolution,
        )


def _reaches(half: Float64Array, rotation: Float64Array, radius: float) -> tuple[float, ...]:
    """Return how far a box's and a cube's centres may be apart along each of 15 axes to meet.

    half: half the box's edges; radius: half the cube's. The axes are the world's, the box's, and
    their cross products, box axis by box axis (Gottschalk, Lin & Manocha 1996).
    """
    cosines = np.abs(rotation) + _SLACK
    reaches = [*(radius + cosines @ half), *(half + radius * cosines.sum(axis=0))]
    for j in range(3):
        for i in range(3):
            cube = radius * (cosines[(i + 1) % 3, j] + cosines[(i + 2) % 3, j])
            box = half[(j + 1) % 3] * cosines[i, (j + 2) % 3]
            reaches.append(cube + box + half[(j + 2) % 3] * cosines[i, (j + 1) % 3])
    return tuple(float(reach) for reach in reaches)


def _vectors(what: str, values: ArrayLike) -> Float64Array:
    vectors = np.ascontiguousarray(values, np.float64)
    if vectors.ndim != 2 or vectors.shape[1] != 3:
        raise MapError(f"{what}s have shape {vectors.shape}: expected (N, 3)")
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if wrong.size:
        raise MapError(f"{what} {wrong[0]} is {vectors[wrong[0]].tolist()}: give finite numbers")
    return vectors


def _origins(values: ArrayLike) -> Float32Array:
    # Farther than float32 reaches is as far off the map as its largest number.
    limit = float(np.finfo(np.float32).max)
    return np.clip(_vectors("origin", values), -limit, limit).astype(np.float32)


def _directions(values: ArrayLike) -> Float32Array:
    """Return directions whose squares neither overflow nor vanish in float32."""
    directions = _vectors("direction", values)
    longest = np.abs(directions).max(axis=1, initial=0.0)
    if (longest == 0).any():
        raise MapError(f"direction {int(np.argmin(longest))} is (0, 0, 0): it leads nowhere")
    extreme = (longest < 1e-15) | (longest > 1e15)
    directions[extreme] /= longest[extreme, None]
    return directions.astype(np.float32)
