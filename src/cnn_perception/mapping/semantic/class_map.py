"""The classes of a map, live and offline alike: masks in; labelled cells, a colored map out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from cnn_perception.config import SemanticsConfig
from cnn_perception.errors import MessageError
from cnn_perception.mapping.files.color_codec import encode_color
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.class_colors import class_colors, color_leaves
from cnn_perception.mapping.semantic.semantics import FusionReport, LabelledCells, SemanticLayer
from cnn_perception.messages.decode import check_frames, decode_header, decode_mask
from cnn_perception.messages.sync import ApproximateTimeSynchronizer
from cnn_perception.types import Header, UInt8Array

__all__ = ["ClassMap", "MaskResult"]

# How many depth images wait for masks: a second of a camera at 30 Hz, 37 MB of 640 x 480 pixels.
_WAITING = 30


@dataclass(frozen=True, slots=True)
class MaskResult:
    """What became of a mask: how it voted, or why it could not."""

    report: FusionReport | None = None
    error: MessageError | None = None


class ClassMap:
    """The classes of a map's cells: each mask votes together with the depth image of its stamp.

    The map never waits for masks: depth images are handed in when they are in the map, and a mask
    that comes later votes with the pose of then. Masks are counted: received = fused + dropped +
    waiting, dropped by reason. Each camera has its own stamps. One thread at a time.

    slop_s: most seconds between the two stamps. palette: uint8 (K, 3) RGB by class id, where the
    model of the masks has one. The labels and votes are those of `layer`, whose kernels are
    compiled before the first mask comes.
    """

    def __init__(
        self,
        mapper: OccupancyMap,
        config: SemanticsConfig,
        slop_s: float = 0.0,
        palette: UInt8Array | None = None,
    ) -> None:
        self.layer = SemanticLayer(mapper.config.resolution, config)
        self.layer.warm_up()
        self.fused = 0
        self._mapper = mapper
        self._palette = palette
        self._slop_ns = round(slop_s * 1e9)
        self._cameras: dict[str, ApproximateTimeSynchronizer] = {}
        self._refused: Counter[str] = Counter()

    @property
    def colors(self) -> UInt8Array:
        """The color of each class id, uint8 (n, 3) RGB; see `class_colors`."""
        return class_colors(self.layer.labels, self._palette)

    @property
    def dropped(self) -> dict[str, int]:
        """How many masks did not vote, by reason."""
        total = Counter(self._refused)
        for pairs in self._cameras.values():
            total.update(pairs.dropped("mask"))
        return dict(sorted(total.items()))

    @property
    def waiting(self) -> int:
        """How many masks wait for their depth image."""
        return sum(pairs.pending("mask") for pairs in self._cameras.values())

    def add_depth(self, header: Header, scan: DepthScan, camera: str = "") -> MaskResult | None:
        """Take a depth image that is in the map; returns what its mask did, None without one."""
        pair = self._pairs(camera).add("depth", header.stamp_ns, (header, scan))
        return None if pair is None else self._vote(*pair)

    def add_mask(self, message: Any, camera: str = "") -> MaskResult | None:
        """Take a mask, a sensor_msgs/Image of class ids; returns what it did, None if it waits."""
        pair = self._pairs(camera).add("mask", decode_header(message.header).stamp_ns, message)
        return None if pair is None else self._vote(*pair)

    def stop_waiting(self) -> None:
        """Let go of all that waits for a partner."""
        for pairs in self._cameras.values():
            pairs.clear()

    def labelled(self) -> LabelledCells:
        """Return the occupied cells that have a class; see `SemanticLayer.labelled`."""
        return self.layer.labelled(self._mapper.leaves())

    def color_payload(self, cells: LabelledCells) -> bytes:
        """Return the whole map as a ColorOcTree, as octomap_msgs/Octomap carries it (full).

        cells: those of `labelled`, which get the colors of their classes.
        """
        return encode_color(color_leaves(self._mapper.leaves(), cells, self.colors))

    def _pairs(self, camera: str) -> ApproximateTimeSynchronizer:
        if camera not in self._cameras:
            self._cameras[camera] = ApproximateTimeSynchronizer(
                ("depth", "mask"), slop_ns=self._slop_ns, queue_size=_WAITING
            )
        return self._cameras[camera]

    def _vote(self, seen: tuple[Header, DepthScan], message: Any) -> MaskResult:
        try:
            report = self._fuse(*seen, message)
        except MessageError as error:
            self._refused[error.reason] += 1
            return MaskResult(error=error)
        self.fused += 1
        if self.layer.wants_pruning:
            self.layer.prune(self._mapper.leaves())
        return MaskResult(report)

    def _fuse(self, header: Header, scan: DepthScan, message: Any) -> FusionReport:
        if not self.layer.labels:
            raise MessageError(
                "no_labels",
                "a mask came but no label_info: publish it, or name classes in semantics.labels",
            )
        check_frames(header, decode_header(message.header), "mask")
        config = self._mapper.config
        return self.layer.fuse(
            scan.depth,
            decode_mask(message),
            scan.intrinsics,
            scan.map_from_sensor,
            min_range=config.min_range,
            max_range=config.max_range,
            stride=config.depth_stride,
        )
