"""The mapper in a replay: scans placed by the bag's transforms, and the map at the end."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn_perception.config import MapperConfig, SemanticsConfig
from cnn_perception.mapping.crop import CropConfig
from cnn_perception.mapping.files.color_codec import COLOR_TREE
from cnn_perception.mapping.ground import GroundConfig
from cnn_perception.mapping.map_view import MapView
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.output_filters import OutputConfig
from cnn_perception.mapping.scan_filter import ScanFilter
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.class_map import ClassMap
from cnn_perception.messages.decode import decode_label_info
from cnn_perception.parameters import MapColors, MapperNodeConfig, MaskConfig, read
from cnn_perception.recording.compose import encode
from cnn_perception.recording.scan_queue import QueuedScan, ScanQueue
from cnn_perception.recording.streams import ScanStream
from cnn_perception.replay.nodes.node import Answer, Arrival, Output, ReplayNode
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.types import Header

__all__ = ["MapperReplay"]

_LOG = logging.getLogger(__name__)

_OCTOMAP = "octomap_msgs/msg/Octomap"
_GRID = "nav_msgs/msg/OccupancyGrid"


class MapperReplay(ReplayNode):
    """The mapper, with the parameters of the live node.

    scans: what is mapped; infos: number of messages of each topic of the bag; masks: topics of
    masks by depth topic, for `semantics.enabled`. Raises MapError for a map that cannot be
    continued.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        scans: tuple[ScanStream, ...],
        patience_ns: int,
        infos: Mapping[str, int],
        masks: Mapping[str, str],
    ) -> None:
        self.name = "mapper"
        self.main_topics = tuple(stream.topic for stream in scans)
        self._settings = read(values, MapperNodeConfig)
        self._frame_id = self._settings.frame_id.lstrip("/")
        self.mapper = OccupancyMap.continued(
            self._settings.octomap_path, read(values, MapperConfig)
        )
        self.mapper.warm_up()
        self._filter = ScanFilter(self.mapper, read(values, CropConfig), read(values, GroundConfig))
        base = self._settings.base_frame_id if self._filter.needs_base else None
        self._queue = ScanQueue(scans, self._frame_id, patience_ns, base_frame=base, infos=infos)
        self._view = MapView(self.mapper, read(values, OutputConfig))
        self._classes: ClassMap | None = None
        self._masks: dict[str, str] = {}  # depth topics by topic of the masks that vote
        self._infos: set[str] = set()
        self._is_colored = read(values, MapColors).colored_map
        if (settings := read(values, MaskConfig)).enabled:
            self._classes = _class_map(settings, self.mapper, read(values, SemanticsConfig))
            self._masks = {mask: depth for depth, mask in masks.items()}
            if not settings.names:
                self._infos = {f"{mask.rpartition('/')[0]}/label_info" for mask in self._masks}
        elif self._is_colored:
            _LOG.warning("colored_map does nothing without semantics.enabled")
        # Stamp of the last scan, and when it was recorded.
        self._last: tuple[int, int] | None = None

    @property
    def inputs(self) -> frozenset[str]:
        """See ReplayNode."""
        return frozenset(self._queue.topics) | self._masks.keys() | self._infos

    def take(self, arrival: Arrival) -> Iterator[Answer]:
        """Take a scan, a transform, a camera_info; map the scans that have all they need."""
        item = arrival.item
        if self._classes is not None and item.topic in self._masks:
            self._classes.add_mask(item.message, self._masks[item.topic])
        elif self._classes is not None and item.topic in self._infos:
            self._classes.layer.labels = decode_label_info(item.message)
        else:
            yield from self._mapped(self._queue.take(item))

    def finish(self) -> Iterator[Answer]:
        """Map or drop what waits, and publish the map."""
        yield from self._mapped(self._queue.finish())
        if self._last is not None:
            stamp_ns, recorded_ns = self._last
            header = encode.header(Header(stamp_ns, self._frame_id))
            yield Answer(recorded_ns, tuple(self._published(header)))

    def rewind(self, stamp_ns: int) -> Iterator[Answer]:
        """Forget transforms and scans from the future, and the map too if time_jump says so."""
        yield from self._mapped(self._queue.rewind(stamp_ns))
        if self._filter.rewind(stamp_ns) and self._settings.time_jump == "reset":
            self.mapper.reset()
            if self._classes is not None:
                self._classes.layer.clear()

    def describe(self) -> dict[str, Any]:
        """Name the engine, and what became of transforms and masks."""
        told: dict[str, Any] = {
            "engine": self.mapper.config.engine,
            "refused_transforms": self._queue.refused_transforms,
        }
        if (classes := self._classes) is not None:
            told |= {
                "masks_fused": classes.fused,
                "masks_waiting": classes.waiting,
                "masks_dropped": classes.dropped,
                "classified_cells": len(classes.layer),
            }
        return told

    def save(self, path: Path) -> dict[str, Any] | None:
        """Write the map, and return what metrics.json says of it; None if nothing was mapped."""
        if self._last is None:
            return None
        self.mapper.save(path)
        size = self.mapper.statistics()
        return {
            "frame_id": self._frame_id,
            "resolution": size.resolution,
            "occupied": size.occupied,
            "free": size.free,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }

    def _mapped(self, scans: Iterable[QueuedScan]) -> Iterator[Answer]:
        for queued in scans:
            start = time.perf_counter()
            if queued.error is not None:
                yield self._dropped(queued.item, queued.error)
                continue
            try:
                self._integrate(queued)
            except Exception as error:  # as in a live node, one bad scan does not end the others
                yield self._dropped(queued.item, error)
                continue
            seconds = queued.seconds + time.perf_counter() - start
            record = self._processed(queued.item, seconds, 0)
            yield Answer(queued.item.stamp_ns, record=record)

    def _integrate(self, queued: QueuedScan) -> None:
        scan, stamp_ns = queued.scan, queued.header.stamp_ns
        if scan is not None:
            self._filter.integrate(scan, stamp_ns, queued.base_from_sensor)
        if self._classes is not None and isinstance(scan, DepthScan):
            self._classes.add_depth(queued.header, scan, queued.item.topic)
        self._last = stamp_ns, queued.item.stamp_ns

    def _published(self, header: Any) -> Iterator[Output]:
        """Yield the map as the live node publishes it."""
        resolution = self.mapper.config.resolution
        tree = None
        if self._classes is not None:
            payload = self._classes.color_payload(self._classes.labelled())
            tree = encode.octomap(header, payload, resolution, binary=False, kind=COLOR_TREE)
        binary = encode.octomap(header, self.mapper.binary_payload(), resolution, binary=True)
        yield Output("/octomap_binary", _OCTOMAP, binary, latched=True)
        full = tree if self._is_colored else None
        if full is None:
            full = encode.octomap(header, self.mapper.full_payload(), resolution, binary=False)
        yield Output("/octomap_full", _OCTOMAP, full, latched=True)
        grid = encode.occupancy_grid(header, self._view.projected_map())
        yield Output("/projected_map", _GRID, grid, latched=True)
        if tree is not None:
            yield Output("/color_octomap", _OCTOMAP, tree, latched=True)


def _class_map(settings: MaskConfig, mapper: OccupancyMap, config: SemanticsConfig) -> ClassMap:
    palette = load_bundle(settings.palette).palette if settings.palette else None
    classes = ClassMap(mapper, config, settings.slop, palette)
    classes.layer.labels = settings.names
    return classes
