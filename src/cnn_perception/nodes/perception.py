"""All four nodes in one process."""

from __future__ import annotations

from cnn_perception.nodes.detector import DetectorNode
from cnn_perception.nodes.explainer import ExplainerNode
from cnn_perception.nodes.mapper import MapperNode
from cnn_perception.nodes.segmenter import SegmenterNode
from cnn_perception.ros.run import run

__all__ = ["main"]


def main() -> None:
    """Run detector, segmenter, explainer and mapper."""
    run(
        [
            lambda: DetectorNode("detector"),
            lambda: SegmenterNode("segmenter"),
            lambda: ExplainerNode("explainer"),
            lambda: MapperNode("mapper"),
        ]
    )


if __name__ == "__main__":
    main()
