"""Where a map's scans come from: depth cameras and lidars, each under a prefix of its own."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.qos import QoSCompatibility, qos_check_compatible
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, PointCloud2

from cnn_perception.errors import ConfigError, MessageError, PerceptionError, TransformError
from cnn_perception.mapping.scans import CloudScan, DepthScan, Scan
from cnn_perception.messages.decode import decode_camera_info, decode_depth, decode_point_cloud
from cnn_perception.parameters import MapperNodeConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.recent import Recent
from cnn_perception.types import RigidTransform

__all__ = ["DepthCamera", "Lidar", "MapInput", "Reading", "map_inputs"]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A message that waits for the worker, and whose it is."""

    source: MapInput
    message: Any


class MapInput(ABC):
    """One sensor: its topics, and what became of its last messages.

    It knows what to say when nothing of it reaches the map. alone: no other sensor waits meanwhile.
    """

    alone = True

    def __init__(self, node: PerceptionNode, prefix: str, topic: str) -> None:
        self.prefix = prefix
        self._node = node
        self._topic = f"{prefix}/{topic}" if prefix else topic
        self._trouble: PerceptionError | None = None
        self._trouble_frame = ""
        self._subscription: Subscription[Any] | None = None
        self.reset()

    def reset(self) -> None:
        """Begin to listen anew."""
        self._heard_s = self._mapped_s = time.monotonic()
        self._impatient_until_s = 0.0
        self._trouble = None

    @abstractmethod
    def subscribe(self) -> None:
        """Create the subscriptions."""

    @abstractmethod
    def decode(self, message: Any) -> Callable[[RigidTransform], Scan]:
        """Return what makes a scan of the sensor's place in the map.

        Waits for a camera_info. Raises MessageError.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Stop to wait for whatever `decode` waits for."""

    def patience(self) -> float:
        """Return for how many seconds to wait for this sensor's transform and camera_info.

        Waiting keeps the other sensors waiting too. One for which it was in vain is not waited for
        again until four times as long has gone by.
        """
        if not self.alone and time.monotonic() < self._impatient_until_s:
            return 0.0
        return self._node.config(MapperNodeConfig).transform_timeout

    def mapped(self) -> None:
        """Note that a message entered the map."""
        self._mapped_s = time.monotonic()
        self._impatient_until_s = 0.0
        self._trouble = None

    def failed(self, error: PerceptionError, frame_id: str) -> None:
        """Note why a message of a frame did not enter the map."""
        self._trouble, self._trouble_frame = error, frame_id
        in_vain = isinstance(error, TransformError) or getattr(error, "reason", "") == "no_match"
        if in_vain and (waited := self.patience()):
            self._impatient_until_s = time.monotonic() + 4.0 * waited

    def complaint(self, timeout_s: float, map_frame: str, frames: tuple[str, ...]) -> str:
        """Say what is missing if nothing entered the map for so long, else nothing."""
        now = time.monotonic()
        silent_s, unmapped_s = now - self._heard_s, now - self._mapped_s
        if unmapped_s < timeout_s:
            return ""
        name = self._topic if self._subscription is None else self._subscription.topic_name
        if silent_s >= timeout_s:
            return f"{name}: nothing heard for {silent_s:.0f} s {self._publishers()}"
        if isinstance(self._trouble, TransformError):
            known = ", ".join(frames) or "none"
            return (
                f"no transform {map_frame} <- {self._trouble_frame} for {unmapped_s:.0f} s; "
                f"frames seen: {known}"
            )
        if self._trouble is not None:
            return f"{name}: nothing mapped for {unmapped_s:.0f} s: {self._trouble}"
        return ""

    def _offer(self, message: Any) -> None:
        self._heard_s = time.monotonic()
        self._node.offer(message, self._topic, Reading(self, message))

    def _publishers(self) -> str:
        """Say how many publish on the topic, and which of them offer what cannot be received."""
        subscription = self._subscription
        if subscription is None:
            return ""
        offers = self._node.get_publishers_info_by_topic(subscription.topic_name)
        text = f"({len(offers)} publishers)"
        for offer in offers:
            compatible, reason = qos_check_compatible(offer.qos_profile, subscription.qos_profile)
            if compatible == QoSCompatibility.ERROR:
                sender = f"{offer.node_namespace.rstrip('/')}/{offer.node_name}"
                text += f"; {sender} offers an incompatible QoS: {reason.strip()}"
        return text


class DepthCamera(MapInput):
    """Depth images, and the camera_info beside them."""

    def __init__(self, node: PerceptionNode, prefix: str) -> None:
        self._info_topic = f"{prefix}/depth/camera_info" if prefix else "depth/camera_info"
        self._infos: Recent[Any] = Recent()
        super().__init__(node, prefix, "depth/image")

    def reset(self) -> None:
        """See MapInput."""
        super().reset()
        self._infos.reset()

    def subscribe(self) -> None:
        """See MapInput."""
        self._node.listen(CameraInfo, self._info_topic, self._infos.add)
        self._subscription = self._node.listen_images(self._topic, self._offer, "compressedDepth")

    def decode(self, message: Any) -> partial[DepthScan]:
        """See MapInput."""
        depth = decode_depth(message)
        try:
            info = self._infos.near(message.header, self.patience())
        except MessageError as error:
            name = self._node.resolve_topic_name(self._info_topic)
            count = self._node.count_publishers(name)
            raise MessageError(
                error.reason, f"no camera_info on {name} ({count} publishers)"
            ) from error
        if info.header.frame_id not in ("", message.header.frame_id):
            raise MessageError(
                "frame_mismatch",
                f"the depth image is of {message.header.frame_id}, its camera_info of "
                f"{info.header.frame_id}: give each camera topics of its own",
            )
        return partial(DepthScan, depth, decode_camera_info(info))

    def cancel(self) -> None:
        """See MapInput."""
        self._infos.cancel()


class Lidar(MapInput):
    """Point clouds, of whatever sensor."""

    def __init__(self, node: PerceptionNode, prefix: str) -> None:
        super().__init__(node, prefix, "cloud_in")

    def subscribe(self) -> None:
        """See MapInput."""
        self._subscription = self._node.listen(PointCloud2, self._topic, self._offer)

    def decode(self, message: Any) -> partial[CloudScan]:
        """See MapInput."""
        return partial(CloudScan, decode_point_cloud(message))

    def cancel(self) -> None:
        """See MapInput: it waits for nothing."""


def map_inputs(node: PerceptionNode) -> list[MapInput]:
    """Return the inputs that the parameters name. Raises ConfigError for a name given twice."""
    settings = node.config(MapperNodeConfig)
    prefixes = [prefix.strip("/") for prefix in settings.cameras]
    if not prefixes or len(set(prefixes)) < len(prefixes):
        raise ConfigError(
            f"cameras = {list(settings.cameras)}: give each input a prefix of its own, or [''] for "
            "the only one"
        )
    kinds: dict[str, tuple[type[DepthCamera] | type[Lidar], ...]] = {
        "depth": (DepthCamera,),
        "cloud": (Lidar,),
        "both": (DepthCamera, Lidar),
    }
    inputs: list[MapInput] = [
        kind(node, prefix) for kind in kinds[settings.source] for prefix in prefixes
    ]
    for sensor in inputs:
        sensor.alone = len(inputs) == 1
    return inputs
