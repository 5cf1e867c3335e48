"""``cnn-perception detect``: objects in pictures and videos."""

from __future__ import annotations

from pathlib import Path

import typer

from cnn_perception.cli.options import Json, Model, Out, Paths, option
from cnn_perception.config import DetectorConfig, SessionConfig

__all__ = ["command"]


def command(
    paths: Paths,
    model: Model = "rooms_ssdlite",
    out: Out = Path("out/detect"),
    score: float = option(DetectorConfig, "score_threshold"),
    iou: float = option(DetectorConfig, "iou_threshold"),
    most: int = option(DetectorConfig, "max_detections"),
    print_json: Json = False,
    provider: str = option(SessionConfig, "provider"),
    threads: int = option(SessionConfig, "threads"),
) -> None:
    """Find objects; writes pictures with boxes, and detections.json.

    Exit code 1 when a file could not be read; the others are done nevertheless.
    """
    from cnn_perception.cli.annotate import Annotation, annotate
    from cnn_perception.detection.detector import Detector
    from cnn_perception.image.draw import draw_detections
    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.types import UInt8Array

    detector = Detector(
        load_bundle(model),
        DetectorConfig(score_threshold=score, iou_threshold=iou, max_detections=most),
        SessionConfig(provider=provider, threads=threads),
    )

    def annotator(rgb: UInt8Array) -> Annotation:
        found = detector.detect(rgb)
        objects = [
            {
                "label": detector.labels[class_id],
                "class_id": int(class_id),
                "score": round(float(value), 4),
                "box": [round(float(edge), 2) for edge in box],
            }
            for box, value, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True)
        ]
        words = ", ".join(f"{item['label']} {item['score']:.2f}" for item in objects)
        overlay = draw_detections(rgb, found, detector.labels, detector.bundle.palette)
        return Annotation(overlay, {"detections": objects}, words or "nothing")

    if not annotate(paths, out, "detections", annotator, print_json=print_json):
        raise typer.Exit(1)
