"""Quality of service of inputs, results and maps (REP-2003)."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

__all__ = ["LATCHED", "SENSOR", "TRANSFORM", "TRANSFORM_STATIC", "result_qos"]


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
