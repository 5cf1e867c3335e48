"""What metrics.json says of a replay."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import cv2
import numpy
import onnxruntime

import cnn_perception
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.host import ReplayNode
from cnn_perception.replay.inputs import Inputs
from cnn_perception.replay.plan import NODES, ReplayPlan
from cnn_perception.replay.results import ResultsWriter

__all__ = ["summarise", "timing", "versions"]


def summarise(
    bag: BagReader,
    plan: ReplayPlan,
    inputs: Inputs,
    nodes: list[ReplayNode],
    results: ResultsWriter,
) -> dict[str, Any]:
    """Return all of metrics.json that depends on bag, plan and models alone."""
    read = {name for node in nodes for name in node.topics}
    read -= {name for node in nodes for name in node.results}
    return {
        "bag": {
            "name": bag.path.name,
            "path": str(bag.path.absolute()),
            "start_ns": bag.start_ns,
            "end_ns": bag.end_ns,
            "duration_s": bag.duration_ns / 1e9,
            "messages": bag.message_count,
            "window_s": list(plan.window_s),
            "left_out": dict(inputs.left_out),
            "unread": [t.name for t in bag.topics if t.name not in read | plan.truth_topics],
        },
        "topics": {
            name: {"color": each.color, "depth": each.depth, "camera_info": each.camera_info}
            for name, each in inputs.cameras.items()
        },
        "nodes": {
            node.name: {
                "topic": ", ".join(node.main_topics),
                **node.component.summarise(),
                **_publishes(node),
                **results.frame_statistics(node.name),
            }
            for node in nodes
        },
        "digests": results.digests(),
        "configuration": plan.as_mapping(),
    }


def _publishes(node: ReplayNode) -> dict[str, Any]:
    """Name the topics of an installed component, and which of them has a message for each frame."""
    if node.name.rpartition("/")[2] in NODES:
        return {}
    return {
        "publishes": {
            name: "latched" if topic.latched else "frames" if topic.every_frame else "sometimes"
            for name, topic in node.results.items()
        }
    }


def timing(
    bag: BagReader,
    plan: ReplayPlan,
    nodes: list[ReplayNode],
    results: ResultsWriter,
    seconds: float,
) -> dict[str, Any]:
    """Return how fast it went, which the machine decides; seconds: the pass over the bag."""
    start_s, stop_s = plan.window_s
    end_s = min(bag.duration_ns / 1e9, stop_s or float("inf"))
    return {
        "seconds": round(seconds, 3),
        "frames": results.frames,
        "frames_per_second": round(results.frames / seconds, 2),
        "times_real_time": round(max(end_s - start_s, 0.0) / seconds, 3),
        "latency_ms": {node.name: results.latency_ms(node.name) for node in nodes},
    }


def versions() -> dict[str, str]:
    """Return what else may make results differ."""
    return {
        "cnn_perception": cnn_perception.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        # Of the modules: the packages have several names (headless, gpu, a distribution's own).
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "onnxruntime": onnxruntime.__version__,
        "rosbags": version("rosbags"),
    }
