"""Which topics of a bag are the camera: colour, depth, calibration."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.errors import BagError
from cnn_perception.replay.bag import BagReader

__all__ = ["CameraStreams", "camera_streams"]

_RAW = "sensor_msgs/msg/Image"
_COMPRESSED = "sensor_msgs/msg/CompressedImage"
_INFO = "sensor_msgs/msg/CameraInfo"


@dataclass(frozen=True, slots=True)
class CameraStreams:
    """The topics of one RGB-D camera; `compressed` tells which message type the images have."""

    color: str
    depth: str
    camera_info: str
    compressed: bool

    @property
    def color_base(self) -> str:
        """Return the name that image_transport calls the colour topic: without the suffix."""
        return _base(self.color) if self.compressed else self.color

    @property
    def depth_base(self) -> str:
        """Return the name that image_transport calls the depth topic: without the suffix."""
        return _base(self.depth) if self.compressed else self.depth


def camera_streams(bag: BagReader) -> CameraStreams:
    """Find the camera of a bag by message types and names.

    Depth is the image topic with "depth" in its name; raw images are preferred to compressed ones.
    Raises BagError when the bag has no RGB-D camera.
    """
    topics = [topic for topic in bag.topics if topic.count]
    for msgtype in (_RAW, _COMPRESSED):
        images = [topic.name for topic in topics if topic.msgtype == msgtype]
        depths = [name for name in images if "depth" in name.lower()]
        colors = [name for name in images if name not in depths]
        if depths and colors:
            infos = [topic.name for topic in topics if topic.msgtype == _INFO]
            if not infos:
                raise BagError(f"{bag.path} has no {_INFO}: record the camera's camera_info too")
            color, info = _nearest(depths[0], colors), _nearest(depths[0], infos)
            return CameraStreams(color, depths[0], info, msgtype == _COMPRESSED)
    raise BagError(
        f"{bag.path} has no colour image beside a depth image (a topic with 'depth' in its name): "
        f"it has {', '.join(topic.name for topic in topics) or 'nothing'}"
    )


def _nearest(depth: str, names: list[str]) -> str:
    """Return the name that shares the longest beginning with the depth topic's: its camera's."""
    parts = depth.split("/")

    def shared(name: str) -> int:
        pairs = zip(name.split("/"), parts, strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(parts))

    return max(names, key=shared)


def _base(topic: str) -> str:
    return topic.rpartition("/")[0]
