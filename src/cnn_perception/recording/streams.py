"""Which topics of a bag are the sensors: the camera's color, depth, calibration; clouds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagReader, BagTopic

__all__ = [
    "TF",
    "TF_STATIC",
    "CameraStreams",
    "ScanStream",
    "camera_streams",
    "image_topics",
    "nearest_topic",
    "scan_streams",
]

TF, TF_STATIC = "/tf", "/tf_static"

_RAW = "sensor_msgs/msg/Image"
_COMPRESSED = "sensor_msgs/msg/CompressedImage"
_INFO = "sensor_msgs/msg/CameraInfo"
_CLOUD = "sensor_msgs/msg/PointCloud2"


@dataclass(frozen=True, slots=True)
class CameraStreams:
    """The topics of one RGB-D camera; `compressed` tells which message type the images have."""

    color: str
    depth: str
    camera_info: str
    compressed: bool

    @property
    def color_base(self) -> str:
        """Return the name that image_transport calls the color topic: without the suffix."""
        return _base(self.color) if self.compressed else self.color

    @property
    def depth_base(self) -> str:
        """Return the name that image_transport calls the depth topic: without the suffix."""
        return _base(self.depth) if self.compressed else self.depth

    @property
    def with_transforms(self) -> frozenset[str]:
        """Return the topics of the camera, and those of the transforms."""
        return frozenset({self.color, self.depth, self.camera_info, TF, TF_STATIC})


@dataclass(frozen=True, slots=True)
class ScanStream:
    """A topic of depth images with that of their calibration, or one of clouds, which needs none.

    `camera_info` is empty for clouds.
    """

    topic: str
    camera_info: str = ""


def camera_streams(bag: BagReader) -> CameraStreams:
    """Find the camera of a bag by message types and names.

    Depth is the image topic with "depth" in its name; raw images are preferred to compressed ones.
    Raises BagError when the bag has no RGB-D camera.
    """
    topics = [topic for topic in bag.topics if topic.count]
    for msgtype in (_RAW, _COMPRESSED):
        colors, depths = image_topics([topic for topic in topics if topic.msgtype == msgtype])
        if depths and colors:
            infos = [topic.name for topic in topics if topic.msgtype == _INFO]
            if not infos:
                raise BagError(f"{bag.path} has no {_INFO}: record the camera's camera_info too")
            color, info = nearest_topic(depths[0], colors), nearest_topic(depths[0], infos)
            return CameraStreams(color, depths[0], info, msgtype == _COMPRESSED)
    raise BagError(
        f"{bag.path} has no color image beside a depth image (a topic with 'depth' in its name): "
        f"it has {', '.join(topic.name for topic in topics) or 'nothing'}"
    )


def scan_streams(
    bag: BagReader,
    depth_topics: Sequence[str] = (),
    camera_info_topics: Sequence[str] = (),
    cloud_topics: Sequence[str] = (),
) -> tuple[ScanStream, ...]:
    """Return what can be mapped in a bag: the topics named, or else what is found.

    The first depth image is taken (raw ones before compressed ones), where there is none the first
    cloud. Depth images without a named camera_info get the one whose name is most like theirs.
    Raises BagError when there is nothing to map, or a depth image has no calibration.
    """
    topics = [topic for topic in bag.topics if topic.count]
    if not (depth_topics or cloud_topics):
        _, depths = image_topics(topics)
        clouds = [topic.name for topic in topics if topic.msgtype == _CLOUD]
        depth_topics, cloud_topics = depths[:1], ([] if depths else clouds[:1])
    if not (depth_topics or cloud_topics):
        raise BagError(
            f"{bag.path} has no depth image (a topic with 'depth' in its name) and no {_CLOUD}: "
            f"it has {', '.join(topic.name for topic in topics) or 'nothing'}"
        )
    infos = list(camera_info_topics) or [t.name for t in topics if t.msgtype == _INFO]
    if depth_topics and not infos:
        raise BagError(f"{bag.path} has no {_INFO}: record the camera's camera_info too")
    return (
        *(ScanStream(topic, nearest_topic(topic, infos)) for topic in depth_topics),
        *(ScanStream(topic) for topic in cloud_topics),
    )


def image_topics(topics: Sequence[BagTopic]) -> tuple[list[str], list[str]]:
    """Return the topics of color images and of depth images, raw ones first.

    Depth images are those with "depth" in their name.
    """
    images = [
        topic.name
        for msgtype in (_RAW, _COMPRESSED)
        for topic in topics
        if topic.msgtype == msgtype
    ]
    depths = [name for name in images if "depth" in name.lower()]
    return [name for name in images if name not in depths], depths


def nearest_topic(topic: str, names: Sequence[str]) -> str:
    """Return the name that shares the longest beginning with a topic's: its own camera's."""
    parts = topic.split("/")

    def shared(name: str) -> int:
        pairs = zip(name.split("/"), parts, strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(parts))

    return max(names, key=shared)


def _base(topic: str) -> str:
    return topic.rpartition("/")[0]
