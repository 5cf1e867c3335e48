"""A drive as a VGA camera at 30 Hz would have recorded it: another bag, enlarged and sped up."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cnn_perception.errors import BagError
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_color,
    decode_depth,
    decode_header,
    decode_transforms,
)
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.recording.compose import encode
from cnn_perception.recording.streams import TF, TF_STATIC, CameraStreams, camera_streams
from cnn_perception.types import CameraIntrinsics, Header

__all__ = ["write_vga_drive"]

_SIZE = _WIDTH, _HEIGHT = 640, 480
_PERIOD_NS = 33_333_333


def write_vga_drive(source: Path, target: Path) -> None:
    """Write a drive's camera and transforms again: raw 640x480 images, 30 a second.

    The pictures are the same, enlarged; time goes by faster where they came slower. Equal input
    gives an equal bag. Raises BagError for a drive without an RGB-D camera, or of one image.
    """
    with BagReader(source) as bag, BagWriter(target, fast=True, overwrite=True) as writer:
        streams = camera_streams(bag)
        count = bag.topic(streams.color).count
        stamps = [raw.stamp_ns for raw in bag.raw_messages([streams.color])]
        if count < 2:
            raise BagError(f"{source} has {count} image: a rate needs two at least")
        remake = _Remake(streams, stamps[0], (stamps[-1] - stamps[0]) // (count - 1))
        have = {topic.name for topic in bag.topics}
        for item in bag.messages(streams.with_transforms & have):
            topic, msgtype, message = remake(item.topic, item.msgtype, item.message)
            stamp_ns, latched = remake.stamp_ns(item.stamp_ns), bag.topic(item.topic).latched
            writer.write(topic, msgtype, message, stamp_ns, latched=latched)


@dataclasses.dataclass(frozen=True, slots=True)
class _Remake:
    """Makes one message after the other; start_ns and period_ns: of the images as recorded."""

    streams: CameraStreams
    start_ns: int
    period_ns: int

    def stamp_ns(self, stamp_ns: int) -> int:
        return self.start_ns + (stamp_ns - self.start_ns) * _PERIOD_NS // self.period_ns

    def __call__(self, topic: str, msgtype: str, message: Any) -> tuple[str, str, Any]:
        if topic == TF_STATIC:
            return topic, msgtype, message
        if topic == TF:
            edges = [
                dataclasses.replace(edge, stamp_ns=self.stamp_ns(edge.stamp_ns))
                for edge in decode_transforms(message)
            ]
            return topic, msgtype, encode.transforms(*edges)
        old = decode_header(message.header)
        header = encode.header(Header(self.stamp_ns(old.stamp_ns), old.frame_id))
        if topic == self.streams.camera_info:
            camera = _enlarged(decode_camera_info(message))
            return topic, msgtype, encode.camera_info(header, camera)
        if topic == self.streams.color:
            rgb = cv2.resize(decode_color(message), _SIZE, interpolation=cv2.INTER_LINEAR)
            image = encode.image(header, np.asarray(rgb, np.uint8))
            return self.streams.color_base, "sensor_msgs/msg/Image", image
        depth = cv2.resize(decode_depth(message), _SIZE, interpolation=cv2.INTER_NEAREST)
        millimetres = np.rint(np.nan_to_num(depth) * 1000).astype(np.uint16)
        image = encode.depth_image(header, millimetres)
        return self.streams.depth_base, "sensor_msgs/msg/Image", image


def _enlarged(camera: CameraIntrinsics) -> CameraIntrinsics:
    x, y = _WIDTH / camera.width, _HEIGHT / camera.height
    return CameraIntrinsics(
        *(_WIDTH, _HEIGHT, camera.fx * x, camera.fy * y),
        # The centre of the first pixel is at 0.
        *((camera.cx + 0.5) * x - 0.5, (camera.cy + 0.5) * y - 0.5),
    )
