"""What happens to a map beside the scans: stale cells fade, and what is far away is forgotten."""

from __future__ import annotations

import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError
from cnn_perception.mapping.engine import MapEngine
from cnn_perception.mapping.leaves import KEY_ORIGIN, cell_keys
from cnn_perception.mapping.voxels.decay import Decay
from cnn_perception.mapping.voxels.voxel_engine import VoxelEngine
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.types import Float64Array

__all__ = ["Upkeep"]


class Upkeep:
    """The decay and the local window of a map, under decay_after, decay_rate and local_window."""

    def __init__(self, engine: MapEngine, config: MapperConfig) -> None:
        self._engine = engine
        self._decay: Decay | None = None
        self.retune(config)

    def retune(self, config: MapperConfig) -> None:
        """Take over changed settings. Raises ConfigError where the engine knows no decay."""
        wanted = config.decay_after > 0
        if isinstance(self._engine, VoxelEngine):
            if wanted and self._decay is None:
                self._decay = Decay()
                self._engine.before_merge = self._decay.touch
            elif not wanted:
                self._decay = self._engine.before_merge = None
        elif wanted:
            raise ConfigError(
                f"decay_after = {config.decay_after:g} needs the engine voxel, not "
                f"{type(self._engine).__name__}"
            )
        self._config = config

    def warm_up(self) -> None:
        """Compile what a decay that is switched on later would need at once."""
        decay, store = Decay(), VoxelStore()
        decay.set_time(0)
        decay.touch(store)
        decay.set_time(10**9)
        decay.fade(store, 1.0, 1.0)

    def before_scan(self, stamp_ns: int | None) -> None:
        """Note when the next scan was taken; None leaves the time as it is."""
        if self._decay is not None and stamp_ns is not None:
            self._decay.set_time(stamp_ns)

    def after_scan(self, position: Float64Array) -> None:
        """Let stale cells fade, and forget what is far from the sensor, (3,) metres."""
        config = self._config
        if self._decay is not None and isinstance(self._engine, VoxelEngine):
            self._decay.fade(self._engine.store, config.decay_after, config.decay_rate)
        if config.local_window > 0:
            half = 0.5 * config.local_window
            ends = np.array([position - half, position + half])
            low, high = np.clip(cell_keys(ends, config.resolution), 0, 2 * KEY_ORIGIN - 1)
            self._engine.keep_box(low, high)

    def map_replaced(self) -> None:
        """Hear that another map was loaded: nobody knows when its cells were seen."""
        if self._decay is not None:
            self._decay.meet_anew()

    def memory_bytes(self) -> int:
        """Return the bytes that it holds beside the map."""
        return 0 if self._decay is None else self._decay.memory_bytes()
