"""Depth images and the masks of the same moments brought together, live and offline alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MessageError
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.semantics import FusionReport, SemanticLayer
from cnn_perception.messages.decode import decode_header, decode_mask
from cnn_perception.messages.stamps import StampedSynchroniser
from cnn_perception.types import Header

__all__ = ["MaskFusion", "MaskResult"]

# How many depth images wait for masks: a second of a camera at 30 Hz, 37 MB of 640 x 480 pixels.
_WAITING = 30


@dataclass(frozen=True, slots=True)
class MaskResult:
    """What became of a mask: how it voted, or why it could not."""

    report: FusionReport | None = None
    error: MessageError | None = None


class MaskFusion:
    """Lets each mask vote together with the depth image of its stamp, whichever comes first.

    The map never waits for masks: depth images are handed in when they are in the map, and a mask
    that comes later votes with the pose of then. Masks are counted: received = fused + dropped +
    waiting, dropped by reason. Each camera has its own stamps. One thread at a time.
    """

    def __init__(self, layer: SemanticLayer, config: MapperConfig, slop_s: float = 0.0) -> None:
        self.layer = layer
        self.config = config
        self.fused = 0
        self._slop_ns = round(slop_s * 1e9)
        self._cameras: dict[str, StampedSynchroniser] = {}
        self._refused: Counter[str] = Counter()

    @property
    def dropped(self) -> dict[str, int]:
        """How many masks did not vote, by reason."""
        total = Counter(self._refused)
        for pairs in self._cameras.values():
            total.update(pairs.dropped("mask"))
        return dict(sorted(total.items()))

    @property
    def received(self) -> int:
        """How many masks came of which it is known what became of them, or that they wait."""
        return self.fused + self.waiting + sum(self.dropped.values())

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

    def clear(self) -> None:
        """Let go of all that waits for a partner."""
        for pairs in self._cameras.values():
            pairs.clear()

    def _pairs(self, camera: str) -> StampedSynchroniser:
        if camera not in self._cameras:
            self._cameras[camera] = StampedSynchroniser(
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
        return MaskResult(report)

    def _fuse(self, header: Header, scan: DepthScan, message: Any) -> FusionReport:
        if not self.layer.labels:
            raise MessageError(
                "no_labels",
                "a mask came but no label_info: publish it, or name classes in semantics.labels",
            )
        frame_id = decode_header(message.header).frame_id
        if frame_id not in ("", header.frame_id):
            raise MessageError(
                "frame_mismatch",
                f"the mask is of {frame_id}, its depth image of {header.frame_id}: give "
                "depth that is registered to the colour image",
            )
        return self.layer.fuse(
            scan.depth,
            decode_mask(message),
            scan.intrinsics,
            scan.map_from_sensor,
            min_range=self.config.min_range,
            max_range=self.config.max_range,
            stride=self.config.depth_stride,
        )
