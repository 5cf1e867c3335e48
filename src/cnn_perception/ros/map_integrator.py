"""From a message of a sensor to the map: decoded, placed by its transform, filtered, taken in."""

from __future__ import annotations

import dataclasses
import time

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.crop import CropConfig
from cnn_perception.mapping.ground import GroundConfig
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.scan_filter import ScanFilter
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.parameters import MapperNodeConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.map_inputs import Reading
from cnn_perception.ros.semantic_interface import SemanticInterface
from cnn_perception.ros.transform_listener import TransformListener

__all__ = ["MapIntegrator"]


class MapIntegrator:
    """Takes readings into a map, on the node's worker thread."""

    def __init__(
        self, node: PerceptionNode, mapper: OccupancyMap, transforms: TransformListener
    ) -> None:
        self._node = node
        self._mapper = mapper
        self._transforms = transforms
        self._filter = ScanFilter(mapper, node.config(CropConfig), node.config(GroundConfig))
        self.semantics: SemanticInterface | None = None

    def integrate(self, reading: Reading) -> float:
        """Take one reading in; returns the seconds that the map itself took.

        Waits for the transform. Raises MessageError, TransformError, MapError.
        """
        header, settings = reading.message.header, self._node.config(MapperNodeConfig)
        stamp_ns, patience_s = stamp_to_ns(header.stamp), reading.source.patience()
        make_scan = reading.source.decode(reading.message)
        pose, base = self._transforms.pose(settings.frame_id, header, patience_s), None
        if self._filter.needs_base:
            base = self._transforms.pose(settings.base_frame_id, header, patience_s)
        start, scan = time.monotonic(), make_scan(pose)
        self._filter.integrate(scan, stamp_ns, base)
        if self.semantics is not None and isinstance(scan, DepthScan):
            self.semantics.mapped(header, scan, reading.source.prefix)
        return time.monotonic() - start

    def reconfigure(self) -> None:
        """Take over changed settings of the map and of what enters it."""
        node, resolution = self._node, self._mapper.config.resolution  # maybe that of a file
        self._mapper.config = dataclasses.replace(node.config(MapperConfig), resolution=resolution)
        self._filter.crop, self._filter.ground = node.config(CropConfig), node.config(GroundConfig)

    def rewind(self, stamp_ns: int) -> bool:
        """See ScanFilter."""
        return self._filter.rewind(stamp_ns)
