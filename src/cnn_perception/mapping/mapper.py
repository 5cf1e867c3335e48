"""The mapper: depth images and point clouds in, an occupancy map and its exports out."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError, MapError
from cnn_perception.mapping.engine import MapEngine, ScanReport, create_engine, log_odds
from cnn_perception.mapping.files.octomap_codec import MapFile
from cnn_perception.mapping.files.storage import load_map, save_map
from cnn_perception.mapping.grid import project
from cnn_perception.mapping.leaves import KEY_ORIGIN, Leaves, cell_keys
from cnn_perception.mapping.planning.queries import MapQueries
from cnn_perception.mapping.upkeep import Upkeep
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.settings import settings
from cnn_perception.types import (
    BoolArray,
    CameraIntrinsics,
    Cells,
    Float32Array,
    GridMap2D,
    MapStatistics,
    RigidTransform,
)

__all__ = ["Mapper"]

_log = logging.getLogger(__name__)


class Mapper:
    """One occupancy map with OctoMap's semantics, safe to use from several threads.

    The engine `voxel` makes of an export only what changed since the last one of its kind.
    """

    def __init__(self, config: MapperConfig, engine: MapEngine | None = None) -> None:
        self._config = config
        self._engine = create_engine(config) if engine is None else engine
        self._upkeep = Upkeep(self._engine, config)
        self._lock = threading.RLock()
        self._leaves: Leaves | None = None
        self._copy: tuple[Leaves, VoxelStore] | None = None

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
            self._upkeep.retune(config)
            self._engine.retune(config)
            self._config = config

    def warm_up(self) -> None:
        """Load and compile whatever the first scan would otherwise wait for."""
        self._engine.warm_up()
        self._upkeep.warm_up()

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
        config = self._config
        with self._scan(map_from_sensor, stamp_ns):
            return self._engine.integrate_depth(
                depth,
                intrinsics,
                map_from_sensor,
                max_range=config.max_range,
                discretize=config.discretize,
                min_range=config.min_range,
                stride=config.depth_stride,
            )

    def integrate_cloud(
        self,
        points: Float32Array,
        map_from_sensor: RigidTransform,
        clearing: Float32Array | None = None,
        stamp_ns: int | None = None,
    ) -> ScanReport:
        """Take in points, float32 (N, 3) metres in the sensor's frame; rays start at its origin.

        clearing: float32 (M, 3), points whose rays clear space and mark nothing, such as the
        ground's. stamp_ns as for `integrate_depth`. Points that are not finite are left out and
        counted. Raises MapError when the sensor is off the map.
        """
        config = self._config
        moved = self._moved(points, map_from_sensor)
        cleared = None if clearing is None else self._moved(clearing, map_from_sensor)
        origin = map_from_sensor.translation.astype(np.float32)
        with self._scan(map_from_sensor, stamp_ns):
            return self._engine.integrate(
                moved, origin, config.max_range, config.discretize, cleared
            )

    @contextmanager
    def _scan(self, map_from_sensor: RigidTransform, stamp_ns: int | None) -> Iterator[None]:
        with self._lock:
            self._leaves = None
            self._upkeep.before_scan(stamp_ns)
            yield
            self._upkeep.after_scan(map_from_sensor.translation)

    def _moved(self, points: Float32Array, map_from_sensor: RigidTransform) -> Float32Array:
        """Return those points that are far enough from the sensor, in the map frame."""
        nearest = self._config.min_range
        if nearest > 0:
            distances = np.sqrt(np.einsum("ij,ij->i", points, points))
            points = points[~(distances < nearest)]
        with np.errstate(invalid="ignore", over="ignore"):  # the engine counts such points
            return map_from_sensor.apply(points)

    def reset(self) -> None:
        """Forget the map."""
        with self._lock:
            self._leaves = None
            self._engine.clear()

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
        with self._lock:
            self._leaves = None
            value = np.nan if forget else float(log_odds(self._config.clamp_min))
            self._engine.fill_box(first, last, value)

    @contextmanager
    def blocks(self) -> Iterator[VoxelStore | None]:
        """Hold the map still and give its blocks; None where the engine has none."""
        with self._lock:
            store = getattr(self._engine, "store", None)
            yield store if isinstance(store, VoxelStore) else None

    @contextmanager
    def queries(self) -> Iterator[MapQueries]:
        """Hold the map still and answer questions about it."""
        with self.blocks() as store:
            yield MapQueries(self._as_blocks() if store is None else store, self._config.resolution)

    def _as_blocks(self) -> VoxelStore:
        """Return the map of an engine that has no blocks as blocks, made anew when it changed."""
        leaves = self.leaves()
        if self._copy is None or self._copy[0] is not leaves:
            store = VoxelStore()
            store.restore(leaves)
            self._copy = leaves, store
        return self._copy[1]

    def leaves(self) -> Leaves:
        """Return all known cells, pruned, whatever their height."""
        with self._lock:
            if self._leaves is None:
                self._leaves = self._engine.leaves()
            return self._leaves

    def occupied_cells(self) -> Cells:
        """Return the occupied cells between occupancy_min_z and occupancy_max_z."""
        leaves = self._visible()
        return leaves.select(leaves.occupied).cells(self._config.resolution)

    def free_cells(self) -> Cells:
        """Return the free cells between occupancy_min_z and occupancy_max_z."""
        leaves = self._visible()
        return leaves.select(~leaves.occupied).cells(self._config.resolution)

    def projected_map(self) -> GridMap2D:
        """Return the map seen from above: a column is occupied if any of its visible cells is."""
        return project(self._visible(), self._config.resolution)

    def binary_payload(self) -> bytes:
        """Return the data section of a .bt file, as octomap_msgs/Octomap carries it (binary)."""
        with self._lock:
            return self._engine.encode(binary=True)

    def full_payload(self) -> bytes:
        """Return the data section of a .ot file, as octomap_msgs/Octomap carries it (full)."""
        with self._lock:
            return self._engine.encode(binary=False)

    def save(self, path: Path) -> None:
        """Write the map to a .bt, .ot or .vox file, whole or not at all. Raises MapError.

        Scans need not wait until it is written. A .vox file also says with which sensor model the
        map was made.
        """

        def encode(binary: bool) -> bytes:
            with self._lock:
                return self._engine.encode(binary)

        config = self._config
        save_map(encode, config.resolution, path, {"sensor_model": _sensor_model(config)})

    @classmethod
    def continued(cls, path: str, config: MapperConfig) -> Mapper:
        """Return a mapper that goes on with the map of a file, in its resolution.

        path: may begin with ~; empty: an empty map. Raises MapError for a file that cannot be read.
        """
        if not path:
            return cls(config)
        loaded = _read(Path(path).expanduser().absolute(), config)
        made = cls(dataclasses.replace(config, resolution=loaded.resolution))
        made._engine.restore(loaded.leaves)
        return made

    def load(self, path: Path) -> None:
        """Replace the map by that of a .bt, .ot or .vox file. Raises MapError."""
        config = self._config
        loaded = _read(path, config)
        if not np.isclose(loaded.resolution, config.resolution, rtol=1e-5, atol=0.0):
            raise MapError(
                f"the map {path} has resolution {loaded.resolution:g} m, the mapper "
                f"{config.resolution:g} m: set the mapper's resolution to that of the map"
            )
        with self._lock:
            self._leaves = None
            self._engine.restore(loaded.leaves)
            self._upkeep.map_replaced()

    def statistics(self) -> MapStatistics:
        """Return how much is known, in cells of the finest size."""
        leaves = self.leaves()
        volumes = leaves.spans**3
        occupied = int(volumes[leaves.occupied].sum())
        return MapStatistics(
            self._config.resolution,
            occupied,
            int(volumes.sum()) - occupied,
            self._engine.memory_bytes() + self._upkeep.memory_bytes(),
        )

    def _visible(self) -> Leaves:
        leaves, config = self.leaves(), self._config
        bottom = (leaves.keys[:, 2] - float(KEY_ORIGIN)) * config.resolution
        top = bottom + leaves.spans * config.resolution
        seen: BoolArray = (top > config.occupancy_min_z) & (bottom < config.occupancy_max_z)
        return leaves if seen.all() else leaves.select(seen)


def _read(path: Path, config: MapperConfig) -> MapFile:
    """Read a map file; what is only free or occupied in it gets the limits of log-odds."""
    free, occupied = log_odds(config.clamp_min), log_odds(config.clamp_max)
    loaded = load_map(path, float(free), float(occupied))
    made_with = loaded.notes.get("sensor_model", _sensor_model(config))
    if made_with != _sensor_model(config):
        _log.warning(
            "the map %s was made with the sensor model %s and goes on with %s",
            path,
            made_with,
            _sensor_model(config),
        )
    return loaded


def _sensor_model(config: MapperConfig) -> dict[str, float]:
    names = ("probability_hit", "probability_miss", "clamp_min", "clamp_max")
    return {name: getattr(config, name) for name in names}
