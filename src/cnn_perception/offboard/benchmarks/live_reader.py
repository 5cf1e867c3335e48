"""The outside reader of live nodes' results: a process that records them all.

Its argument is the bag to write; it ends with its standard input, so with its parent too.
"""

from __future__ import annotations

import sys

from cnn_perception.recording.bag import BagWriter
from cnn_perception.ros.recorder import RecordedTopic, open_recorder

__all__ = ["RESULTS", "main"]

_DETECTIONS = "vision_msgs/msg/Detection2DArray"
_IMAGE = "sensor_msgs/msg/Image"
_LABELS = "vision_msgs/msg/LabelInfo"

RESULTS = (
    RecordedTopic("/detector/detections", _DETECTIONS),
    RecordedTopic("/detector/detections_3d", "vision_msgs/msg/Detection3DArray"),
    RecordedTopic("/segmenter/mask", _IMAGE),
    RecordedTopic("/explainer/heatmap", _IMAGE),
    RecordedTopic("/explainer/explained", _DETECTIONS),
    RecordedTopic("/explainer/evidence", _DETECTIONS),
    RecordedTopic("/octomap_binary", "octomap_msgs/msg/Octomap", latched=True),
    RecordedTopic("/detector/label_info", _LABELS, latched=True),
    RecordedTopic("/segmenter/label_info", _LABELS, latched=True),
)
"""What is read: every basic result of the four nodes."""


def main() -> None:
    """Record until standard input ends."""
    with BagWriter(sys.argv[1], fast=True) as writer, open_recorder(writer, RESULTS) as recorder:
        sys.stdin.read()
        recorder.wait_until(lambda: True, 0.0)  # raises what ended the recording


if __name__ == "__main__":
    main()
