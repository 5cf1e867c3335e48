"""From a message of a sensor to the map: decoded, placed by its transform, filtered, taken in."""

from __future__ import annotations

import dataclasses
import time

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.crop import CropConfig
from cnn_perception.mapping.ground import GroundConfig
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.mapping.scan_filter import ScanFilter
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS, stamp_to_ns
from cnn_perception.parameters import MapperNodeConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.map_inputs import DepthScan, Reading
from cnn_perception.ros.semantic_interface import SemanticInterface
from cnn_perception.ros.transform_listener import TransformListener

__all__ = ["MapIntegrator"]


class MapIntegrator:
    """Takes readings into a map, on the node's worker thread."""

    def __init__(self, node: PerceptionNode, mapper: Mapper, transforms: TransformListener) -> None:
        self._node = node
        self._mapper = mapper
        self._transforms = transforms
        self._filter = ScanFilter(mapper, node.config(CropConfig), node.config(GroundConfig))
        self._newest_ns = 0
        self.semantics: SemanticInterface | None = None

    def integrate(self, reading: Reading) -> float:
        """Take one reading in; returns the seconds that the map itself took.

        Waits for the transform. Raises MessageError, TransformError, MapError.
        """
        header, settings = reading.message.header, self._node.config(MapperNodeConfig)
        stamp_ns, patience_s = stamp_to_ns(header.stamp), reading.source.patience()
        scan = reading.source.decode(reading.message)
        pose, base = self._transforms.pose(settings.frame_id, header, patience_s), None
        if self._filter.needs_base:
            base = self._transforms.pose(settings.base_frame_id, header, patience_s)
        start = time.monotonic()
        if isinstance(scan, DepthScan):
            depth, camera = scan.depth, scan.intrinsics
            self._filter.integrate_depth(depth, camera, pose, base, stamp_ns)
            if self.semantics is not None:
                self.semantics.mapped(header, depth, camera, pose, reading.source.prefix)
        else:
            self._filter.integrate_cloud(scan, pose, base, stamp_ns)
        self._newest_ns = max(self._newest_ns, stamp_ns)
        return time.monotonic() - start

    def reconfigure(self) -> None:
        """Take over changed settings of the map and of what enters it."""
        node, resolution = self._node, self._mapper.config.resolution  # maybe that of a file
        self._mapper.config = dataclasses.replace(node.config(MapperConfig), resolution=resolution)
        self._filter.crop, self._filter.ground = node.config(CropConfig), node.config(GroundConfig)

    def rewind(self, stamp_ns: int) -> bool:
        """Say whether something later than a stamp is in the map, to which time went back.

        The clock and every input show the same jump: what was mapped since is not later.
        """
        later = self._newest_ns - stamp_ns > BACKWARD_JUMP_NS
        if later:
            self._newest_ns = 0
        return later
