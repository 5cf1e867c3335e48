"""All four nodes in one process."""

from __future__ import annotations

from cnn_perception.nodes.detector import DetectorNode
from cnn_perception.nodes.explainer import ExplainerNode
from cnn_perception.nodes.mapper import MapperNode
from cnn_perception.nodes.segmenter import SegmenterNode
from cnn_perception.ros.run import run
from cnn_perception.runtime.inference import InferencePool

__all__ = ["main"]


def main() -> None:
    """Run detector, segmenter, explainer and mapper; equal networks run once per image."""
    networks = InferencePool()
    run(
        [
            lambda: DetectorNode("detector", networks=networks),
            lambda: SegmenterNode("segmenter", networks=networks),
            lambda: ExplainerNode("explainer", networks=networks),
            lambda: MapperNode("mapper"),
        ]
    )


if __name__ == "__main__":
    main()
