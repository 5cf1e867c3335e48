"""Depth images into the marks of a scan, cell by cell instead of ray by ray, with equal results.

A cell that holds no hit is free if and only if some ray goes through it. Most are told from the
pyramid of nearness (`depth_blocks`); the few left, at surfaces, silhouettes and the borders of the
image, are searched ray by ray (`depth_search`).
"""

from __future__ import annotations

import math

import numpy as np

from cnn_perception.mapping.jit import inlined, kernel
from cnn_perception.mapping.keys import CELLS, KEY_ORIGIN, LAST_KEY
from cnn_perception.mapping.projection import PixelRays, check_size, pixel_rays, stretch, strided
from cnn_perception.mapping.scans import ScanReport
from cnn_perception.mapping.sweep.depth_blocks import (
    Judgement,
    collect_blocks,
    judge_block,
    large_rect,
    make_judgement,
    small_rect,
)
from cnn_perception.mapping.sweep.depth_pyramid import (
    View,
    build_pyramid,
    largest_reading,
    make_pyramid,
    points_beyond,
    read_depth,
)
from cnn_perception.mapping.sweep.depth_search import (
    Picture,
    SearchSpace,
    crossed,
    make_search_space,
)
from cnn_perception.mapping.voxels.cell_kernels import block_corner
from cnn_perception.mapping.voxels.ray_caster import RayCaster
from cnn_perception.mapping.voxels.voxel_kernels import (
    FREE,
    OCCUPIED,
    Store,
    allocate_marks,
    find,
    mark_hits,
)
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Int64Array,
    RigidTransform,
    UInt8Array,
)

__all__ = ["DepthSweep"]

# Beyond this, metres, squares of distances may overflow float32.
_TOO_FAR = 1e15


class DepthSweep:
    """Marks in a store what OctoMap's scan of a depth image would: `discretize` false.

    Keeps its scratch arrays from image to image.
    """

    def __init__(self, resolution: float) -> None:
        self._resolution = resolution
        self._caster = RayCaster(resolution)
        self._pyramid = make_pyramid(1, 1)
        self._size = (1, 1)
        self._cells = np.empty(1, np.int64)
        self._points = np.empty((0, 3), np.float32)
        self._whole = np.empty(1 << 10, np.int64)
        self._mixed = np.empty(1 << 10, np.int64)
        self._stack = np.empty(4 * 8 * 16, np.int64)
        self._judgement, self._space = make_judgement(), make_search_space()
        index = np.arange(CELLS)
        inside = np.stack([index & 7, (index >> 3) & 7, index >> 6])
        self._centers = (inside - 3.5) * resolution

    def mark(
        self,
        store: VoxelStore,
        depth: Float32Array,
        intrinsics: CameraIntrinsics,
        map_from_camera: RigidTransform,
        max_range: float,
        min_range: float = 0.0,
        stride: int = 1,
    ) -> ScanReport | None:
        """Mark the cells that the image's rays pass as free, those where they end as occupied.

        depth: float32 (H, W) metres; max_range: metres, negative is unlimited. Returns
        None, having marked nothing, where the answer would not be certain to be OctoMap's: when
        rays may leave the map, or coordinates are so large that float32 rounding is not small
        against a cell. Raises MessageError where image and intrinsics disagree.
        """
        check_size(depth, intrinsics)
        rays = pixel_rays(intrinsics, map_from_camera, stride)
        depth = strided(depth, stride)
        self._make_room(rays.columns.shape[1], rays.rows.shape[1])
        largest = largest_reading(depth)
        view = self._view(intrinsics, map_from_camera, stride, largest, max_range)
        box = self._box(intrinsics, map_from_camera, largest, view)
        if box is None:
            return None
        readings = read_depth(
            depth, rays, view, np.float32(min_range * min_range), self._pyramid, self._cells
        )
        if readings > 0:
            build_pyramid(self._pyramid)
            if largest > view.horizon:
                self._walk_beyond(store, view, depth, rays)
            self._mark(store, view, Picture(depth, rays, self._pyramid), *box)
        return ScanReport(readings, 0, 0)

    def _make_room(self, width: int, height: int) -> None:
        if self._size != (width, height):
            self._size = (width, height)
            self._pyramid = make_pyramid(width, height)
            self._cells = np.empty(width * height, np.int64)

    def _view(
        self,
        intrinsics: CameraIntrinsics,
        map_from_camera: RigidTransform,
        stride: int,
        depth: float,
        max_range: float,
    ) -> View:
        """Describe a camera with readings up to a depth."""
        fx, fy = intrinsics.fx / stride, intrinsics.fy / stride
        cx = (intrinsics.cx - stride // 2) / stride
        cy = (intrinsics.cy - stride // 2) / stride
        pinhole = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        project = pinhole @ np.linalg.inv(map_from_camera.rotation)
        eye = map_from_camera.translation.astype(np.float32).astype(np.float64)
        max_range = math.inf if max_range < 0 else max_range
        reach = min(depth * stretch(intrinsics), max_range)
        # Directions are right to 3e-7, tests along them to 1e-6 of the depth, and points are
        # rounded to float32.
        margin = 2e-6 * reach + 4e-7 * (float(np.abs(eye).max()) + reach) + 1e-6 * self._resolution
        spans = 2.0 ** np.arange(self._pyramid.widths.size + 1) - 0.5 + 0.02
        limits = (0.5 * self._resolution - 2 * margin) / np.hypot(spans / fx, spans / fy)
        extent = float(np.abs(project[2]).sum()) * (0.5 * self._resolution + margin)
        return View(
            project=project,
            slopes=map_from_camera.rotation @ np.linalg.inv(pinhole),
            eye=eye,
            resolution=self._resolution,
            per_metre=1.0 / self._resolution,
            max_range=max_range,
            furthest=_largest_square(max_range),
            margin=margin,
            extent=extent,
            # Of a block that is looked at, each cell is within the first limit.
            horizon=max(float(limits[0]) - 16 * extent, 1e-3 * self._resolution),
            offsets=(project @ self._centers).astype(np.float32),
            limits=limits,
        )

    def _box(
        self,
        intrinsics: CameraIntrinsics,
        map_from_camera: RigidTransform,
        depth: float,
        view: View,
    ) -> tuple[Int64Array, Int64Array] | None:
        """Return the first and last keys of blocks that the rays may pass, if sure to be exact."""
        if not view.margin < self._resolution / 16 or depth * stretch(intrinsics) > _TOO_FAR:
            return None
        columns = (np.array([-1, -1, intrinsics.width, intrinsics.width]) - intrinsics.cx) * (
            1 / intrinsics.fx
        )
        rows = (np.array([-1, intrinsics.height] * 2) - intrinsics.cy) * (1 / intrinsics.fy)
        corners = np.stack([columns, rows, np.ones(4)], axis=1) * depth
        corners = np.vstack([corners @ map_from_camera.rotation.T, np.zeros(3)])
        corners = np.clip(corners, -view.max_range, view.max_range) + view.eye
        room = view.margin + self._resolution
        low = np.floor((corners.min(axis=0) - room) * view.per_metre) + KEY_ORIGIN
        high = np.floor((corners.max(axis=0) + room) * view.per_metre) + KEY_ORIGIN
        if not ((low >= 0) & (high <= LAST_KEY)).all():
            return None
        return low.astype(np.int64) >> 3, high.astype(np.int64) >> 3

    def _mark(
        self, store: VoxelStore, view: View, picture: Picture, low: Int64Array, high: Int64Array
    ) -> None:
        done = 0
        while (done := mark_hits(store.arrays, self._cells, done)) < len(self._cells):
            store.grow()
        whole, mixed = self._collect(view, low, high)
        done = 0
        while (done := _mark_whole(store.arrays, whole, done)) < len(whole):
            store.grow()
        done = 0
        while True:
            done = _mark_mixed(
                store.arrays, view, picture, mixed, done, self._judgement, self._space
            )
            if done == len(mixed):
                return
            store.grow()

    def _walk_beyond(
        self, store: VoxelStore, view: View, depth: Float32Array, rays: PixelRays
    ) -> None:
        """Walk the rays that end where cells are smaller than pixels; there this is faster."""
        if len(self._points) < depth.size:
            self._points = np.empty((depth.size, 3), np.float32)
        count = points_beyond(depth, rays, view.horizon, self._pyramid, self._points)
        max_range = -1.0 if view.max_range == math.inf else view.max_range
        self._caster.mark(
            store, self._points[:count], rays.origin, max_range, discretize=False, hits=False
        )

    def _collect(
        self, view: View, low: Int64Array, high: Int64Array
    ) -> tuple[Int64Array, Int64Array]:
        """List the blocks that are passed wholly, and those that are passed in part."""
        shift = int((high - low).max()).bit_length()
        counts = np.zeros(2, np.int64)
        while True:
            collect_blocks(
                view, self._pyramid, low, high, shift, self._stack, self._whole, self._mixed, counts
            )
            whole, mixed = int(counts[0]), int(counts[1])
            if whole <= len(self._whole) and mixed <= len(self._mixed):
                return self._whole[:whole], self._mixed[:mixed]
            self._whole = np.empty(max(2 * whole, len(self._whole)), np.int64)
            self._mixed = np.empty(max(2 * mixed, len(self._mixed)), np.int64)


def _largest_square(max_range: float) -> np.float32:
    """Return the largest float32 whose root, in double, is at most max_range: OctoMap's test."""
    if max_range == math.inf:
        return np.float32(np.inf)
    square = np.float32(max_range * max_range)
    while math.sqrt(float(square)) > max_range:
        square = np.nextafter(square, np.float32(0))
    while math.sqrt(float(up := np.nextafter(square, np.float32(np.inf)))) <= max_range:
        square = up
    return square


@kernel
def _mark_whole(store: Store, blocks: Int64Array, start: int) -> int:
    """Mark all cells of blocks as free, from `start` on.

    Returns how many are done: fewer than there are when a pool is full.
    """
    for i in range(start, blocks.size):
        row = allocate_marks(store, blocks[i])
        if row < 0:
            return i
        hits = np.uint8(0)
        for cell in range(CELLS):
            hits |= store.marks[row, cell]
        if hits == 0:
            store.whole[row] = 1
        else:
            _mark_free(store.marks[row])
    return blocks.size


@inlined
def _mark_free(marks: UInt8Array) -> None:
    for cell in range(CELLS):
        marks[cell] = FREE if marks[cell] == 0 else marks[cell]


@kernel
def _mark_mixed(
    store: Store,
    view: View,
    picture: Picture,
    blocks: Int64Array,
    start: int,
    judgement: Judgement,
    space: SearchSpace,
) -> int:
    """Mark the cells of blocks that rays pass as free, from `start` on.

    Returns how many are done: fewer than there are when a pool is full.
    """
    project, pyramid, eye, offsets = view.project, picture.pyramid, view.eye, view.offsets
    resolution, size = view.resolution, 8 * view.resolution
    states, places, rect = judgement.states, judgement.places, space.rect
    for i in range(start, blocks.size):
        code = blocks[i]
        kx, ky, kz = block_corner(code)
        x = (kx - KEY_ORIGIN + 4) * resolution - eye[0]
        y = (ky - KEY_ORIGIN + 4) * resolution - eye[1]
        z = (kz - KEY_ORIGIN + 4) * resolution - eye[2]
        u = project[0, 0] * x + project[0, 1] * y + project[0, 2] * z
        v = project[1, 0] * x + project[1, 1] * y + project[1, 2] * z
        depth = project[2, 0] * x + project[2, 1] * y + project[2, 2] * z
        exits = math.sqrt(x * x + y * y + z * z) + 0.8661 * size + view.margin >= view.max_range
        level, wide, high = judge_block(view, pyramid, u, v, depth, judgement)
        slot = find(store, code)
        row = np.int64(-1) if slot < 0 else np.int64(store.mark_rows[slot])
        free = 0
        for cell in range(CELLS):
            if states[cell] == 0:
                continue
            if row >= 0 and store.marks[row, cell] == OCCUPIED:
                states[cell] = 0
            elif states[cell] == 2:
                if level >= 0:
                    near = places[2, cell] - view.extent
                    possible = small_rect(
                        pyramid, level, places[0, cell], places[1, cell], near, wide, high, rect
                    )
                else:
                    possible = large_rect(
                        view,
                        pyramid,
                        u + offsets[0, cell],
                        v + offsets[1, cell],
                        depth + offsets[2, cell],
                        rect,
                    )
                states[cell] = possible and crossed(
                    view,
                    picture,
                    kx | (cell & 7),
                    ky | ((cell >> 3) & 7),
                    kz | (cell >> 6),
                    exits,
                    space,
                )
            free += states[cell]
        if free == 0:
            continue
        row = allocate_marks(store, code)
        if row < 0:
            return i
        if free == CELLS:
            store.whole[row] = 1
            store.marks[row, :] = 0
        else:
            marks = store.marks[row]
            for cell in range(CELLS):
                marks[cell] |= states[cell]
    return blocks.size
