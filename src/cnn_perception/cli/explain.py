"""``cnn-perception explain``: where pictures and videos speak for what was found in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnn_perception.cli.options import Json, Out, Paths, Provider, ProviderOption, Threads

__all__ = ["command"]


def command(
    paths: Paths,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Bundle: a name, a folder or a model.yaml.")
    ] = "rooms_ssdlite",
    out: Out = Path("out/explain"),
    target: Annotated[
        str, typer.Option(help="Explain the best answer of this class; empty: the best of all.")
    ] = "",
    score: Annotated[
        float,
        typer.Option(min=-1.0, max=1.0, help="Lowest score; negative takes the model's own."),
    ] = -1.0,
    alpha: Annotated[float, typer.Option(min=0.0, max=1.0, help="Opacity of the heat.")] = 0.5,
    print_json: Json = False,
    provider: ProviderOption = Provider.auto,
    threads: Threads = 1,
) -> None:
    """Explain the best answer by Grad-CAM; writes heat over pictures, and explanations.json.

    The heat itself is stored as a 16-bit PNG, 65535 where it is 1. Exit code 1 when a file could
    not be read; the others are done nevertheless.
    """
    import numpy as np

    from cnn_perception.cli.annotate import Annotation, annotate
    from cnn_perception.config import ExplainerConfig, SessionConfig
    from cnn_perception.explain.explainer import Explainer
    from cnn_perception.image.draw import blend_heatmap
    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.types import UInt8Array

    explainer = Explainer(
        load_bundle(model),
        ExplainerConfig(target_class=target, score_threshold=score, overlay_alpha=alpha),
        SessionConfig(provider=provider.value, threads=threads),
    )

    def annotator(rgb: UInt8Array) -> Annotation:
        found = explainer.explain(rgb)
        if found.class_id is None:
            record: dict[str, object] = {"label": None, "class_id": None}
        else:
            record = {
                "label": explainer.labels[found.class_id],
                "class_id": found.class_id,
                "score": round(found.score, 4),
                "box": None if found.box is None else [round(float(edge), 2) for edge in found.box],
            }
        heat = np.round(found.heatmap * 65535).astype(np.uint16)
        caption = explainer.caption(found)
        overlay = blend_heatmap(rgb, found.heatmap, alpha, caption)
        return Annotation(overlay, {"explanation": record}, caption, {"heat": heat})

    if not annotate(paths, out, "explanations", annotator, print_json=print_json):
        raise typer.Exit(1)
