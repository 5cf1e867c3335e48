"""The occupancy map: depth images and point clouds in; cells, files and answers out."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError, MapError
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.files.storage import continue_map, save_map, sensor_notes
from cnn_perception.mapping.grid import project
from cnn_perception.mapping.keys import KEY_ORIGIN, LAST_KEY, cell_keys, check_on_map
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.octomap_tree import OctomapTree, PointTree
from cnn_perception.mapping.planning.queries import MapQueries
from cnn_perception.mapping.projection import check_size, depth_to_points, pixel_rays, strided
from cnn_perception.mapping.scans import DepthScan, Scan, ScanReport
from cnn_perception.mapping.sensor_model import SensorModel, log_odds
from cnn_perception.mapping.sweep.depth_sweep import DepthSweep
from cnn_perception.mapping.voxels.decay import Decay
from cnn_perception.mapping.voxels.ray_caster import RayCaster
from cnn_perception.mapping.voxels.store_codec import StoreCodec
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.settings import settings
from cnn_perception.types import (
    CameraIntrinsics,
    Cells,
    Float32Array,
    Float64Array,
    GridMap2D,
    MapStatistics,
    RigidTransform,
)

__all__ = ["OccupancyMap"]


class OccupancyMap:
    """One occupancy map with OctoMap's semantics, bit for bit, safe to use from several threads.

    A scan marks the cells that its rays pass as free and those where they end as occupied; then
    each marked cell is updated once. A cloud's rays are walked one by one. Of a depth image, most
    cells are told without walking any. The kernels run without Python's interpreter lock, and of
    an export only what changed since the last one of its kind is made anew.

    tree: what takes in the scans instead, an OctomapTree with `engine: octomap`. The blocks follow
    it when they are next asked for.
    """

    def __init__(self, config: MapperConfig, tree: PointTree | None = None) -> None:
        if tree is None and config.engine == "octomap":
            tree = OctomapTree(config.resolution)
        self._config, self._model = config, SensorModel.from_config(config)
        self._lock = threading.RLock()
        self._store = VoxelStore()
        self._codec = StoreCodec(self._store)
        self._caster, self._sweep = RayCaster(config.resolution), DepthSweep(config.resolution)
        self._tree = tree
        self._behind = False  # the blocks, as the tree has changed
        self._decay: Decay | None = None
        self._decay = self._decay_under(config)

    @property
    def config(self) -> MapperConfig:
        """The settings; only the live ones may change: assigning others raises ConfigError."""
        return self._config

    @config.setter
    def config(self, config: MapperConfig) -> None:
        for known in settings(MapperConfig):
            old, new = getattr(self._config, known.name), getattr(config, known.name)
            if old != new and not known.live:
                raise ConfigError(
                    f"{known.name} cannot change from {old!r} to {new!r} while the map exists: "
                    "configure the mapper anew"
                )
        with self._lock:
            self._decay = self._decay_under(config)
            self._config, self._model = config, SensorModel.from_config(config)

    def integrate(self, scan: Scan, stamp_ns: int | None = None) -> ScanReport:
        """Take in a scan; see `integrate_depth` and `integrate_cloud`."""
        if isinstance(scan, DepthScan):
            return self.integrate_depth(scan.depth, scan.intrinsics, scan.map_from_sensor, stamp_ns)
        return self.integrate_cloud(scan.points, scan.map_from_sensor, stamp_ns=stamp_ns)

    def integrate_depth(
        self,
        depth: Float32Array,
        intrinsics: CameraIntrinsics,
        map_from_sensor: RigidTransform,
        stamp_ns: int | None = None,
    ) -> ScanReport:
        """Take in a depth image, float32 (H, W) metres, seen from the optical frame `sensor`.

        stamp_ns says when it was taken, which decay needs to know. Raises MessageError where image
        and intrinsics disagree, MapError when the sensor is off the map.
        """
        check_size(depth, intrinsics)
        pose, config = map_from_sensor, self._config
        if self._tree is not None:
            near, stride = config.min_range, config.depth_stride
            points = depth_to_points(depth, intrinsics, near, math.inf, stride, pose)
            return self.insert_points(points, pose.translation, stamp_ns=stamp_ns)
        with self._scan(pose.translation, stamp_ns) as config:
            near, far, stride = config.min_range, config.max_range, config.depth_stride
            report = None
            if not config.discretize:
                report = self._sweep.mark(self._store, depth, intrinsics, pose, far, near, stride)
            if report is None:  # the sweep is not sure to be exact
                rays, chosen = pixel_rays(intrinsics, pose, stride), strided(depth, stride)
                report = self._caster.mark_depth(
                    self._store, chosen, rays, far, config.discretize, near
                )
            return report

    def integrate_cloud(
        self,
        points: Float32Array,
        map_from_sensor: RigidTransform,
        clearing: Float32Array | None = None,
        stamp_ns: int | None = None,
    ) -> ScanReport:
        """Take in points, float32 (N, 3) metres in the sensor's frame; rays start at its origin.

        The rest as for `insert_points`.
        """
        moved = self._moved(points, map_from_sensor)
        cleared = None if clearing is None else self._moved(clearing, map_from_sensor)
        return self.insert_points(moved, map_from_sensor.translation, cleared, stamp_ns)

    def insert_points(
        self,
        points: Float32Array,
        origin: Float32Array | Float64Array,
        clearing: Float32Array | None = None,
        stamp_ns: int | None = None,
    ) -> ScanReport:
        """Take in points, float32 (N, 3), whose rays start at the origin, (3,): map frame, metres.

        clearing: float32 (M, 3), points whose rays clear space and mark nothing, such as the
        ground's. stamp_ns as for `integrate_depth`. Points that are not finite are left out and
        counted. Raises MapError when the origin is off the map, and for clearing points with
        `engine: octomap`.
        """
        start = origin.astype(np.float32)
        with self._scan(origin, stamp_ns) as config:
            if self._tree is not None:
                self._behind = True
                return self._tree.insert(points, start, config, clearing)
            far, discretize, report = config.max_range, config.discretize, ScanReport()
            if clearing is not None:
                report = self._caster.mark(self._store, clearing, start, far, discretize, False)
            return report + self._caster.mark(self._store, points, start, far, discretize)

    def reset(self) -> None:
        """Forget the map."""
        with self._lock:
            self._restore(Leaves.empty())

    def clear_box(self, low: Float32Array, high: Float32Array, *, forget: bool = False) -> None:
        """Make the known cells that a box meets free, as octomap_server's clear_bbox, or unknown.

        low, high: (3,) metres in the map frame. Raises MapError unless low <= high.
        """
        corners = np.array([low, high], np.float64)
        if not (np.isfinite(corners).all() and (corners[0] <= corners[1]).all()):
            raise MapError(
                f"cannot clear the box from {corners[0].tolist()} to {corners[1].tolist()}: give "
                "finite corners, the lower first"
            )
        first, last = cell_keys(corners, self._config.resolution)
        with self._edited() as store:
            value = math.nan if forget else float(log_odds(self._config.clamp_min))
            store.fill_box(first, last, value)

    @contextmanager
    def blocks(self) -> Iterator[VoxelStore]:
        """Hold the map still and give its blocks, to be read."""
        with self._lock:
            yield self._present()

    @contextmanager
    def queries(self) -> Iterator[MapQueries]:
        """Hold the map still and answer questions about it."""
        with self.blocks() as store:
            yield MapQueries(store, self._config.resolution)

    def leaves(self) -> Leaves:
        """Return all known cells, pruned, whatever their height; the same until the map changes."""
        with self.blocks():
            return self._codec.leaves()

    def occupied_cells(self) -> Cells:
        """Return the occupied cells between occupancy_min_z and occupancy_max_z."""
        return self._cells(occupied=True)

    def free_cells(self) -> Cells:
        """Return the free cells between occupancy_min_z and occupancy_max_z."""
        return self._cells(occupied=False)

    def projected_map(self) -> GridMap2D:
        """Return the map seen from above: a column is occupied if any of its visible cells is."""
        return project(self._visible(), self._config.resolution)

    def binary_payload(self) -> bytes:
        """Return the data section of a .bt file, as octomap_msgs/Octomap carries it (binary)."""
        with self.blocks():
            return self._codec.binary()

    def full_payload(self) -> bytes:
        """Return the data section of a .ot file, as octomap_msgs/Octomap carries it (full)."""
        with self.blocks():
            return self._codec.full()

    def save(self, path: Path) -> None:
        """Write the map to a .bt, .ot or .vox file, whole or not at all. Raises MapError.

        Scans need not wait until it is written. A .vox file also says with which sensor model the
        map was made.
        """
        save_map(
            lambda binary: self.binary_payload() if binary else self.full_payload(),
            self._config.resolution,
            path,
            sensor_notes(self._config),
        )

    @classmethod
    def continued(cls, path: str, config: MapperConfig) -> OccupancyMap:
        """Return a map that goes on with that of a file, in its resolution.

        path: may begin with ~; empty: an empty map. Raises MapError for a file that cannot be read.
        """
        if not path:
            return cls(config)
        loaded = continue_map(Path(path).expanduser().absolute(), config)
        made = cls(dataclasses.replace(config, resolution=loaded.resolution))
        made._restore(loaded.leaves)
        return made

    def load(self, path: Path) -> None:
        """Replace the map by that of a .bt, .ot or .vox file.

        Raises MapError for a file that cannot be read, has another resolution or holds too much;
        the map then stays as it is.
        """
        config = self._config
        loaded = continue_map(path, config)
        if not np.isclose(loaded.resolution, config.resolution, rtol=1e-5, atol=0.0):
            raise MapError(
                f"the map {path} has resolution {loaded.resolution:g} m, the mapper "
                f"{config.resolution:g} m: set the mapper's resolution to that of the map"
            )
        with self._lock:
            self._restore(loaded.leaves)
            if self._decay is not None:
                self._decay.meet_anew()

    def statistics(self) -> MapStatistics:
        """Return how much is known, in cells of the finest size."""
        leaves = self.leaves()
        volumes = leaves.spans**3
        occupied = int(volumes[leaves.occupied].sum())
        holders = (self._store, self._tree, self._decay)
        memory = sum(holder.memory_bytes() for holder in holders if holder is not None)
        return MapStatistics(
            self._config.resolution, occupied, int(volumes.sum()) - occupied, memory
        )

    def warm_up(self) -> None:
        """Load and compile whatever the first scan would otherwise wait for."""
        # Kernels are compiled by what they are called with: a map of two cells asks for all.
        edge = self._config.resolution
        camera, here = CameraIntrinsics(2, 2, 1.0, 1.0, 0.5, 0.5), RigidTransform.identity()
        depth, point = np.full((2, 2), 2 * edge, np.float32), np.ones((1, 3), np.float32)
        for discretize in (False, True):
            config = MapperConfig(resolution=edge, discretize=discretize, decay_after=0.1)
            tiny = OccupancyMap(config)
            tiny.integrate_depth(depth, camera, here, stamp_ns=0)
            tiny.insert_points(point, here.translation, stamp_ns=10**9)
        tiny.binary_payload(), tiny.full_payload()
        tiny._restore(tiny.leaves())
        store, origin = tiny._store, np.full(3, KEY_ORIGIN)
        tiny._caster.mark_depth(store, depth, pixel_rays(camera, here), -1.0, False, 0.0)
        store.fill_box(origin, origin, math.nan)
        store.keep_box(origin, origin)
        store.lookup(origin[None, :])
        if self._tree is not None:
            octomap_codec.warm_up()
        # An image of a usual size into nothing: the first real one finds memory in place.
        camera = CameraIntrinsics(640, 480, 500.0, 500.0, 319.5, 239.5)
        cells = np.linspace(20, 60, camera.width * camera.height, dtype=np.float32)
        depth = cells.reshape(camera.height, camera.width) * np.float32(edge)
        store = VoxelStore()
        self._sweep.mark(store, depth, camera, here, -1.0)
        self._caster.mark_depth(store, depth, pixel_rays(camera, here), -1.0, True, 0.0)
        with self._lock:
            self._store.page_in()

    @contextmanager
    def _scan(
        self, position: Float32Array | Float64Array, stamp_ns: int | None
    ) -> Iterator[MapperConfig]:
        """Update the cells that are marked inside, each once; none when that fails.

        Then stale cells fade, and what is far from the sensor, (3,) metres, is forgotten.
        """
        with self._lock:
            config, decay, store = self._config, self._decay, self._store
            check_on_map(position, config.resolution)
            if decay is not None and stamp_ns is not None:
                decay.set_time(stamp_ns)
            try:
                yield config
            except BaseException:
                store.forget_marks()
                raise
            if decay is not None:
                decay.note_seen(store)
            store.merge(self._model)
            if decay is not None:
                decay.fade(store, config.decay_after, config.decay_rate)
            if config.local_window > 0:
                half = 0.5 * config.local_window
                ends = np.array([position - half, position + half])
                low, high = np.clip(cell_keys(ends, config.resolution), 0, LAST_KEY)
                with self._edited():
                    store.keep_box(low, high)

    def _moved(self, points: Float32Array, map_from_sensor: RigidTransform) -> Float32Array:
        """Return those points that are far enough from the sensor, in the map frame."""
        nearest = self._config.min_range
        if nearest > 0:
            distances = np.sqrt(np.einsum("ij,ij->i", points, points))
            points = points[~(distances < nearest)]
        with np.errstate(invalid="ignore", over="ignore"):  # such points are counted later
            return map_from_sensor.apply(points)

    def _present(self) -> VoxelStore:
        """Return the blocks, made anew where the tree has changed."""
        if self._tree is not None and self._behind:
            self._store.restore(self._tree.leaves())
            self._behind = False
        return self._store

    @contextmanager
    def _edited(self) -> Iterator[VoxelStore]:
        """Give the blocks to be changed; the tree follows."""
        with self._lock:
            store = self._present()
            self._behind = True  # until the tree has followed, it says what the map is
            yield store
            if self._tree is not None:
                self._tree.restore(self._codec.full())
            self._behind = False

    def _restore(self, leaves: Leaves) -> None:
        """Replace the map by these cells, or leave it as it is. Raises MapError."""
        self._store.restore(leaves)
        self._behind = True
        if self._tree is not None:
            self._tree.restore(self._codec.full())
        self._behind = False

    def _decay_under(self, config: MapperConfig) -> Decay | None:
        """Return the decay of changed settings. Raises ConfigError where the engine knows none."""
        if config.decay_after <= 0:
            return None
        if self._tree is not None:
            raise ConfigError(
                f"decay_after = {config.decay_after:g} needs the engine voxel: the engine octomap "
                "knows no decay"
            )
        return self._decay or Decay()

    def _cells(self, occupied: bool) -> Cells:
        leaves = self._visible()
        return leaves.select(leaves.occupied == occupied).cells(self._config.resolution)

    def _visible(self) -> Leaves:
        config = self._config
        return self.leaves().between(
            config.resolution, config.occupancy_min_z, config.occupancy_max_z
        )
