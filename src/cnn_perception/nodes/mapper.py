"""The mapper node: depth images or clouds, and transforms, in; an OctoMap out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.mapping.jit import compiling_while, is_cached
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.messages.stamps import REWIND_SLACK_NS, stamp_to_ns
from cnn_perception.parameters import (
    MAPPER,
    MapColors,
    MapperNodeConfig,
    MaskConfig,
    NodeParameters,
)
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.map_inputs import MapInput, Reading, map_inputs
from cnn_perception.ros.map_integrator import MapIntegrator
from cnn_perception.ros.map_interface import MapInterface
from cnn_perception.ros.query_interface import serve_queries
from cnn_perception.ros.run import run
from cnn_perception.ros.semantic_interface import SemanticInterface
from cnn_perception.ros.transform_listener import TransformListener

__all__ = ["MapperNode", "main"]

# A start that takes longer is worth a line in the log.
SLOW_START_S = 2.0


class MapperNode(PerceptionNode):
    """Keeps an occupancy map under octomap_server's topic, service and parameter names."""

    parameters: ClassVar[NodeParameters] = MAPPER

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._transforms = TransformListener(self)
        self._sensors: list[MapInput] = []
        self._map: Any = None  # a MapInterface while configured
        self._semantics: SemanticInterface | None = None
        self._queries: Any = None  # a QueryInterface while configured, where there is one

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; the end of the process need not wait until all kernels are compiled."""
        with compiling_while(self.context.ok):
            return super().on_configure(state)

    def load(self) -> None:
        """Make a map, empty or that of octomap_path, and announce it."""
        begin_s = time.monotonic()
        if not is_cached():
            self.get_logger().info(
                "compiling the mapping kernels, once on this machine: up to a minute"
            )
        settings, config = self.config(MapperNodeConfig), self.config(MapperConfig)
        self._frame_id = settings.frame_id.lstrip("/")
        self._sensors = map_inputs(self)
        self._mapper = OccupancyMap.continued(settings.octomap_path, config)
        if settings.octomap_path:
            resolution = self._mapper.config.resolution
            self.get_logger().info(
                f"the map continues that of {settings.octomap_path}, resolution {resolution:g} m"
            )
        self._mapper.warm_up()
        self._transforms.refused = 0
        self._integrator = MapIntegrator(self, self._mapper, self._transforms)
        self._map = MapInterface(self, self._mapper, self._frame_id)
        if settings.octomap_path:
            self._map.changed()
        if self.config(MaskConfig).enabled:
            cameras = tuple(sensor.prefix for sensor in self._sensors)
            self._semantics = SemanticInterface(
                self, self._mapper, self._frame_id, settings.publish_rate, cameras
            )
            self._map.attach(self._semantics)
            self._integrator.semantics = self._semantics
        elif self.config(MapColors).colored_map:
            self.get_logger().warning("colored_map does nothing without semantics.enabled")
        self._queries = serve_queries(
            self, self._mapper, self._transforms.buffer, self._frame_id, self._patience
        )
        seconds = time.monotonic() - begin_s
        if seconds > SLOW_START_S:
            self.get_logger().info(f"ready to map after {seconds:.0f} s")

    def unload(self) -> None:
        """Forget the map."""
        for part in (self._map, self._semantics, self._queries):
            if part is not None:
                part.close()
        self._map = self._semantics = self._queries = None

    def subscribe(self) -> None:
        """Listen to transforms and to depth or clouds."""
        self._transforms.subscribe()
        for sensor in self._sensors:
            sensor.reset()
            sensor.subscribe()
        if self._semantics is not None:
            self._semantics.listen()

    def process(self, message: Reading) -> float:
        """Put one depth image or cloud into the map."""
        header, sensor = message.message.header, message.source
        try:
            compute_s = self._integrator.integrate(message)
        except PerceptionError as error:
            sensor.failed(error, header.frame_id)
            raise
        sensor.mapped()
        self._map.changed(header.stamp)
        return compute_s

    def _patience(self) -> float:
        return self.config(MapperNodeConfig).transform_timeout

    def vet(self, values: Mapping[str, Any]) -> None:
        """Refuse what one engine cannot do, and colours where there are none."""
        colored = values["colored_map"] and not self.config(MapColors).colored_map
        if colored and not values["semantics.enabled"]:
            raise ConfigError("colored_map needs semantics.enabled, which is read at configure")
        if values["decay.after"] > 0 and values["engine"] != "voxel":
            raise ConfigError(
                f"decay.after = {values['decay.after']:g} needs engine = voxel, not "
                f"{values['engine']}"
            )

    def reconfigure(self) -> None:
        """Take over changed settings of the map, of what enters it and of how it is shown."""
        self._integrator.reconfigure()
        self._map.reconfigure()
        if self._semantics is not None:
            self._semantics.reconfigure()

    def rewind(self, stamp_ns: int) -> None:
        """Forget frames and transforms from the future, and the map too if time_jump says so."""
        self._transforms.buffer.rewind(stamp_ns)
        self.worker.discard(
            lambda reading: stamp_to_ns(reading.message.header.stamp) > stamp_ns + REWIND_SLACK_NS,
            "time_went_back",
        )
        later = self._integrator.rewind(stamp_ns)
        if later and self.config(MapperNodeConfig).time_jump == "reset":
            self._map.forget()

    def cancel(self) -> None:
        """Stop to wait for a transform or a camera_info."""
        self._transforms.buffer.cancel()
        for sensor in self._sensors:
            sensor.cancel()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to map, and save the map if autosave_period says so."""
        result = super().on_deactivate(state)
        self._map.autosave()
        return result

    def silence(self) -> str:
        """Say for each input from which nothing enters the map what is missing."""
        timeout_s, frames = (
            self.config(MapperNodeConfig).silence_timeout,
            self._transforms.buffer.frames(),
        )
        complaints = (s.complaint(timeout_s, self._frame_id, frames) for s in self._sensors)
        return "; ".join(dict.fromkeys(text for text in complaints if text))

    def describe(self) -> Mapping[str, str]:
        """Name the engine, and the size of the map when it was last published."""
        pairs = {"model": "octomap", "provider": self.config(MapperConfig).engine}
        if self._transforms.refused:
            pairs["refused_transforms"] = str(self._transforms.refused)
        if self._semantics is not None:
            pairs |= self._semantics.describe()
        size: dict[str, str] = self._map.describe()
        return pairs | size


def main() -> None:
    """Run the node."""
    run([lambda: MapperNode("mapper")])


if __name__ == "__main__":
    main()
