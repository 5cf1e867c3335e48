"""The transform tree as it is published on /tf and /tf_static."""

from __future__ import annotations

from typing import Any

from tf2_msgs.msg import TFMessage

from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS, stamp_to_ns
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.qos import TRANSFORM, TRANSFORM_STATIC
from cnn_perception.types import RigidTransform

__all__ = ["TransformListener"]


class TransformListener:
    """Fills a TransformBuffer from topics. refused: how many transforms could not be used."""

    def __init__(self, node: PerceptionNode) -> None:
        self.buffer = TransformBuffer(jump_ns=BACKWARD_JUMP_NS)
        self.refused = 0
        self._node = node

    def subscribe(self) -> None:
        """Listen from activate to deactivate."""
        self.buffer.resume()
        self._node.listen(TFMessage, "/tf_static", lambda m: self._learn(m, True), TRANSFORM_STATIC)
        self._node.listen(TFMessage, "/tf", lambda m: self._learn(m, False), TRANSFORM)

    def pose(self, target: str, header: Any, timeout_s: float) -> RigidTransform:
        """Return target_from_sensor at a header's stamp; waits, raises TransformError."""
        stamp_ns = stamp_to_ns(header.stamp)
        return self.buffer.wait(target, header.frame_id, stamp_ns, timeout_s)

    def _learn(self, message: TFMessage, static: bool) -> None:
        refused = self.buffer.learn(message, static)
        self.refused += len(refused)
        for refusal in refused:
            self._node.log_rarely("tf", f"transform refused: {refusal}")
