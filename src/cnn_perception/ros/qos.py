"""Quality of service of inputs, results and maps (REP-2003)."""

from __future__ import annotations

import os

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

__all__ = [
    "LATCHED",
    "SENSOR",
    "TRANSFORM",
    "TRANSFORM_STATIC",
    "result_qos",
    "warn_of_small_transport",
]

_LARGE_MESSAGE = 500_000
_TRANSPORT_VARIABLES = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
)


def _keep_last(
    depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


# Best effort and volatile: matches every publisher, whatever it offers. The newest frame wins in
# the worker's mailbox, where the others are counted; a queue of one would lose them before that,
# unseen, whenever a busy interpreter keeps the callback waiting.
SENSOR = _keep_last(10, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
LATCHED = _keep_last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
# Deep, since transforms are taken many at a time, when a frame needs them.
TRANSFORM = _keep_last(1000, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
TRANSFORM_STATIC = _keep_last(100, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)


def result_qos(latched: bool, depth: int) -> QoSProfile:
    """Return what results are offered with; latched: the last are kept for late readers."""
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return _keep_last(depth, ReliabilityPolicy.RELIABLE, durability)


def warn_of_small_transport(node: Node, size: int) -> None:
    """Log a warning where messages of so many bytes will be lost between processes."""
    if size <= _LARGE_MESSAGE or any(os.environ.get(name) for name in _TRANSPORT_VARIABLES):
        return
    if "fastrtps" in os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        node.get_logger().warning(
            f"images of {size} bytes overflow Fast DDS's default shared memory and get lost: "
            "set FASTDDS_DEFAULT_PROFILES_FILE (FASTRTPS_... before kilted) to "
            "config/fastdds_large_images.xml"
        )
