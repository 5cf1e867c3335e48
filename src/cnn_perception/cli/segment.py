"""``cnn-perception segment``: a class for every pixel of pictures and videos."""

from __future__ import annotations

from pathlib import Path

import typer

from cnn_perception.cli.options import Json, Model, Out, Paths, option
from cnn_perception.config import SegmenterConfig, SessionConfig

__all__ = ["command"]


def command(
    paths: Paths,
    model: Model = "rooms_fcn",
    out: Out = Path("out/segment"),
    alpha: float = option(SegmenterConfig, "overlay_alpha"),
    print_json: Json = False,
    provider: str = option(SessionConfig, "provider"),
    threads: int = option(SessionConfig, "threads"),
) -> None:
    """Label every pixel; writes tinted pictures, masks of class ids (PNG), and segments.json.

    Exit code 1 when a file could not be read; the others are done nevertheless.
    """
    import numpy as np

    from cnn_perception.cli.annotate import Annotation, annotate
    from cnn_perception.image.draw import blend_mask
    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.segmentation.segmenter import Segmenter
    from cnn_perception.types import UInt8Array

    segmenter = Segmenter(
        load_bundle(model),
        SegmenterConfig(overlay_alpha=alpha),
        SessionConfig(provider=provider, threads=threads),
    )

    def annotator(rgb: UInt8Array) -> Annotation:
        mask = segmenter.segment(rgb)
        counts = np.bincount(mask.ravel(), minlength=len(segmenter.labels))
        shares = {
            label: round(int(count) / mask.size, 6)
            for label, count in zip(segmenter.labels, counts, strict=True)
            if count
        }
        largest = sorted(shares.items(), key=lambda item: -item[1])
        words = ", ".join(f"{label} {share:.1%}" for label, share in largest)
        overlay = blend_mask(rgb, mask, segmenter.palette, alpha)
        return Annotation(overlay, {"shares": shares}, words, {"mask": mask})

    if not annotate(paths, out, "segments", annotator, print_json=print_json):
        raise typer.Exit(1)
