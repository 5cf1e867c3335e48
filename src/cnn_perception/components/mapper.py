"""The mapper: depth images or clouds, and transforms, in; an OctoMap out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from cnn_perception.components.component import (
    Component,
    Done,
    Event,
    Frame,
    Input,
    Output,
    Service,
    Setup,
    Timer,
    Topic,
)
from cnn_perception.components.map_classes import MapClasses
from cnn_perception.components.map_queries import query_services
from cnn_perception.components.map_services import map_services, save_path
from cnn_perception.components.map_topics import MapTopics
from cnn_perception.config import MapperConfig
from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.mapping.crop import CropConfig
from cnn_perception.mapping.ground import GroundConfig
from cnn_perception.mapping.jit import is_cached
from cnn_perception.mapping.map_view import MapView
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.output_filters import OutputConfig
from cnn_perception.mapping.scan_filter import ScanFilter
from cnn_perception.mapping.scan_queue import QueuedScan, ScanQueue
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.parameters import (
    MAPPER,
    MapColors,
    MapperNodeConfig,
    MaskConfig,
    NodeParameters,
)

__all__ = ["MapperComponent"]

_WAITING = 30
"""Most scans of one sensor that wait for their transforms: a second of a camera."""

_SLOW_START_S = 2.0
"""A start that takes longer is worth a line in the log."""

_KINDS = {"depth": ("depth/image",), "cloud": ("cloud_in",), "both": ("depth/image", "cloud_in")}


class MapperComponent(Component):
    """Keeps an occupancy map under octomap_server's topic, service and parameter names.

    occupancy: the map. Raises MapError for one that cannot be continued.
    """

    kind: ClassVar[str] = "mapper"
    parameters: ClassVar[NodeParameters] = MAPPER
    uses_transforms: ClassVar[bool] = True

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        begin_s = time.monotonic()
        settings = self.config(MapperNodeConfig)
        self.silence_s = settings.silence_timeout
        self.frame_id = settings.frame_id.lstrip("/")
        self._sensors = _sensors(settings)
        if not is_cached():
            self.log.info("compiling the mapping kernels, once on this machine: up to a minute")
        self.occupancy = OccupancyMap.continued(settings.octomap_path, self.config(MapperConfig))
        if settings.octomap_path:
            resolution = self.occupancy.config.resolution
            self.log.info(
                "the map continues that of %s, resolution %g m", settings.octomap_path, resolution
            )
        self.occupancy.warm_up()
        self._filter = ScanFilter(
            self.occupancy, self.config(CropConfig), self.config(GroundConfig)
        )
        self._queue = ScanQueue(
            {name: not name.endswith("cloud_in") for name in self._sensors},
            self.transforms,
            self.frame_id,
            lambda: self.patience_ns(self.config(MapperNodeConfig).transform_timeout),
            base_frame=lambda: settings.base_frame_id if self._filter.needs_base else None,
            limit=None if setup.timeless else _WAITING,
        )
        self.classes: MapClasses | None = None
        if self.config(MaskConfig).enabled:
            self.classes = MapClasses(self, self.occupancy)
        elif self.config(MapColors).colored_map:
            self.log.warning("colored_map does nothing without semantics.enabled")
        view = MapView(self.occupancy, self.config(OutputConfig))
        view.warm_up()
        self._topics = MapTopics(self, view)
        if settings.octomap_path:
            self.changed()
        self._last: Frame | None = None
        if (seconds := time.monotonic() - begin_s) > _SLOW_START_S:
            self.log.info("ready to map after %.0f s", seconds)

    # --- what it reads, publishes and offers

    def inputs(self) -> Sequence[Input]:
        """See Component."""
        inputs = []
        for name in self._sensors:
            take, prefix = partial(self._take_scan, name), name.rpartition("depth/image")[0]
            if name.endswith("cloud_in"):
                kind = "sensor_msgs/msg/PointCloud2"
                inputs.append(Input(name, kind, take, waits=True, decode=Frame.points))
                continue
            inputs += [
                Input(
                    f"{prefix}depth/camera_info",
                    "sensor_msgs/msg/CameraInfo",
                    partial(self._take_info, name),
                    counted=False,
                    lazy=True,
                ),
                self.image_input(
                    name, take, waits=True, suffix="compressedDepth", decode=Frame.depth
                ),
            ]
            if self.classes is not None:
                inputs.append(self.classes.mask_input(prefix))
        if self.classes is not None:
            inputs += self.classes.label_inputs()
        return inputs

    def outputs(self) -> Sequence[Topic]:
        """See Component."""
        return self._topics.topics

    def services(self) -> Sequence[Service]:
        """See Component."""
        return (*map_services(self, self._topics), *query_services(self))

    def timers(self) -> Sequence[Timer]:
        """Publish the map, and save it if autosave_period says so."""
        settings = self.config(MapperNodeConfig)
        timers = [Timer(1.0 / settings.publish_rate, self._topics.publish)]
        if settings.autosave_period > 0:
            timers.append(Timer(settings.autosave_period, self._autosave))
        return timers

    def announce(self) -> Iterator[Output]:
        """Name the classes, if they are known."""
        if self.classes is not None:
            yield from self.classes.announce()

    # --- scans

    def _take_scan(self, sensor: str, frame: Frame) -> Iterator[Event]:
        yield from self._mapped(self._queue.add(sensor, frame))
        yield from self.advance(frame.received_ns)

    def _take_info(self, sensor: str, frame: Frame) -> Iterator[Event]:
        self._queue.add_info(sensor, frame.message)
        yield from self.advance(frame.received_ns)

    @property
    def deadline_ns(self) -> int | None:
        """When the patience with a scan ends."""
        return self._queue.deadline_ns

    def advance(self, now_ns: int) -> Iterator[Event]:
        """Map the scans that have all they need, and drop those that waited long enough."""
        yield from self._mapped(self._queue.leaving(now_ns))

    def _mapped(self, scans: Iterable[QueuedScan]) -> Iterator[Event]:
        for queued in scans:
            error: Exception | None = queued.error
            start = time.perf_counter()
            if error is None:
                try:
                    self._integrate(queued)
                except Exception as failure:  # one bad scan does not end the others
                    error = failure
            yield Done(queued.frame, compute_s=time.perf_counter() - start, error=error)

    def _integrate(self, queued: QueuedScan) -> None:
        scan, stamp_ns = queued.scan, queued.header.stamp_ns
        if scan is None:
            raise TypeError("a scan without an error has content")
        self._filter.integrate(scan, stamp_ns, queued.base_from_sensor)
        if self.classes is not None and isinstance(scan, DepthScan):
            self.classes.add_depth(queued.header, scan, queued.sensor)
        self._last = queued.frame
        self.changed(stamp_ns)

    def rewind(self, stamp_ns: int) -> Iterator[Event]:
        """Forget scans and transforms from the future, and the map too if time_jump says so."""
        self.transforms.rewind(stamp_ns)
        yield from self._mapped(self._queue.rewind(stamp_ns))
        later = self._filter.rewind(stamp_ns)
        if later and self.config(MapperNodeConfig).time_jump == "reset":
            self.forget()

    def finish(self) -> Iterator[Event]:
        """Map or drop what waits, and publish the map."""
        yield from self._mapped(self._queue.leaving(None))
        if (last := self._last) is not None:
            for output in self._topics.publish():
                yield dataclasses.replace(output, frame=last)

    def stop(self) -> Sequence[Frame]:
        """Let go of the scans that wait, and save what was mapped if autosave_period says so."""
        if self.config(MapperNodeConfig).autosave_period > 0 and self._last is not None:
            self._autosave()
        if self.classes is not None:
            self.classes.stop_waiting()
        return self._queue.clear()

    # --- the map

    def changed(self, stamp_ns: int | None = None) -> None:
        """Note that the map, or how it is shown, changed; by a scan with this stamp, if any."""
        self._topics.changed(stamp_ns)

    def forget(self) -> None:
        """Make the map empty."""
        self.occupancy.reset()
        self.replaced()

    def replaced(self) -> None:
        """Note that another map is there, whose classes nobody knows."""
        if self.classes is not None:
            self.classes.clear()
        self.changed()

    def save(self, path: Path) -> bool:
        """Write what was mapped; false if nothing was. Raises MapError."""
        if self._last is None:
            return False
        self.occupancy.save(path)
        return True

    def _autosave(self) -> Iterable[Output]:
        try:
            self.occupancy.save(save_path(self.config(MapperNodeConfig)))
        except (PerceptionError, OSError, RuntimeError) as error:
            self.log.error("the map was not saved: %s", error)
        return ()

    # --- settings and diagnostics

    def vet(self, values: Mapping[str, Any]) -> None:
        """Refuse what one engine cannot do, and colors where there are none."""
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
        resolution = self.occupancy.config.resolution  # maybe that of a file
        config = self.config(MapperConfig)
        self.occupancy.config = dataclasses.replace(config, resolution=resolution)
        self._filter.crop, self._filter.ground = self.config(CropConfig), self.config(GroundConfig)
        self.silence_s = self.config(MapperNodeConfig).silence_timeout
        if self.classes is not None:
            self.classes.reconfigure()
        self._topics.reconfigure()

    def describe(self) -> dict[str, Any]:
        """Name the engine, what became of transforms and masks, and the size last published."""
        engine = self.occupancy.config.engine
        return {
            "model": "octomap",
            "engine": engine,
            "provider": engine,
            "refused_transforms": self.transforms.refused,
            **({} if self.classes is None else self.classes.describe()),
            **self._topics.describe(),
        }


def _sensors(settings: MapperNodeConfig) -> list[str]:
    """Return the topics of the sensors. Raises ConfigError for a prefix given twice."""
    prefixes = [prefix.strip("/") for prefix in settings.cameras]
    if not prefixes or len(set(prefixes)) < len(prefixes):
        raise ConfigError(
            f"cameras = {list(settings.cameras)}: give each input a prefix of its own, or [''] for "
            "the only one"
        )
    return [
        f"{prefix}/{kind}".lstrip("/") for kind in _KINDS[settings.source] for prefix in prefixes
    ]
