"""``cnn-perception explain``: where pictures and videos speak for what was found in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnn_perception.cli.opened_network import opened_network
from cnn_perception.cli.options import (
    Json,
    Model,
    Network,
    Out,
    Weights,
    option,
)
from cnn_perception.config import ExplainerConfig, SessionConfig
from cnn_perception.explain.registry import Method
from cnn_perception.offboard.explain_methods.optimisation_config import ImageOptimisationConfig

if TYPE_CHECKING:
    from cnn_perception.cli.annotate import Annotator
    from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["command"]

_NO_HURRY_MS = 10000.0
_WITHOUT_PICTURE = " and ".join(method.value for method in Method if method.without_picture)


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATHS...",
            help=f"Pictures, videos, folders; not needed for {_WITHOUT_PICTURE}.",
        ),
    ] = None,
    model: Model = "rooms_ssdlite",
    out: Out = Path("out/explain"),
    target: Annotated[
        str, typer.Option(help="Explain the best answer of this class; empty: the best of all.")
    ] = "",
    score: float = option(ExplainerConfig, "score_threshold"),
    region: Annotated[
        str,
        typer.Option(metavar="X,Y[,X,Y]", help="Of a bundle: what is at a point, or in a box."),
    ] = "",
    most: int = option(ExplainerConfig, "max_answers", of="a bundle"),
    plus_plus: Annotated[
        bool, typer.Option("--plus-plus", help="Of a bundle: by Grad-CAM++.")
    ] = False,
    alpha: float = option(ExplainerConfig, "overlay_alpha"),
    method: Annotated[
        list[Method] | None,
        typer.Option(
            help="How, with PyTorch; without it and --layer a bundle explains itself. Several, or "
            "all, make a sheet; pca and tsne show all pictures as points."
        ),
    ] = None,
    network: Network = "",
    weights: Weights = "",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer of the network, as features.14 or conv5_3 (default: its last maps)."
        ),
    ] = None,
    steps: int = option(ImageOptimisationConfig, "steps", of="maximisation"),
    seed: int = option(ImageOptimisationConfig, "seed", of="maximisation"),
    print_json: Json = False,
    provider: str = option(SessionConfig, "provider"),
    threads: int = option(SessionConfig, "threads"),
) -> None:
    """Explain the best answer by Grad-CAM; writes heat over pictures, and explanations.json.

    The heat itself is stored as a 16-bit PNG, 65535 where it is 1. A bundle explains itself without
    PyTorch; bundles and other networks are looked into by any --method. Gradients are also stored
    in color, zero is grey; activations and filters as a sheet. Several methods or layers are
    compared in one picture each; pca and tsne place all pictures in one, and in points.json.
    Maximisation seeks an image that --target, a class or a channel of --layer, is large for.
    --score, --region, --most, --plus-plus, --provider and --threads are for bundles that explain
    themselves. Exit code 1 when a file could not be read; the others are done nevertheless.
    """
    ways = method or [Method.gradcam]
    if not paths and not ways[0].without_picture:
        raise typer.BadParameter("give pictures, videos or folders", param_hint="PATHS...")
    if method or layer or network or weights or not paths:
        opened = opened_network(model, network, weights)
        from cnn_perception.cli.explain_methods import Request, look_into

        done = look_into(
            Request(
                paths or (), out, opened, ways, layer or (), target, alpha, steps, seed, print_json
            )
        )
    else:
        from cnn_perception.cli.annotate import annotate

        config = ExplainerConfig(
            method="gradcam++" if plus_plus else "gradcam",
            target_class=target,
            region=_numbers(region),
            score_threshold=score,
            max_answers=most,
            budget_ms=_NO_HURRY_MS,
            overlay_alpha=alpha,
        )
        session = SessionConfig(provider=provider, threads=threads)
        annotator = _bundle_annotator(model, config, session)
        done = annotate(paths or (), out, "explanations", annotator, print_json=print_json)
    if not done:
        raise typer.Exit(1)


def _bundle_annotator(model: str, config: ExplainerConfig, session: SessionConfig) -> Annotator:
    """Return what draws a bundle's own explanation."""
    import numpy as np

    from cnn_perception.cli.annotate import Annotation
    from cnn_perception.explain.explainer import Explainer
    from cnn_perception.image.draw import blend_heatmap
    from cnn_perception.image.key import draw_key, heat_key
    from cnn_perception.runtime.bundle import load_bundle

    explainer = Explainer(load_bundle(model), config, session)
    key = heat_key(config.overlay_alpha)

    def annotator(rgb: UInt8Array) -> Annotation:
        found = explainer.explain(rgb)
        records: list[dict[str, object]] = [
            {
                "label": explainer.labels[answer.class_id],
                "class_id": answer.class_id,
                "score": round(answer.score, 4),
                "box": _corners(answer.box),
                "evidence": _corners(answer.evidence),
            }
            for answer in found.answers
        ]
        record = records[0] if records else {"label": None, "class_id": None}
        further = {"further": records[1:]} if records[1:] else {}
        heat = np.round(found.heatmap * 65535).astype(np.uint16)
        caption = explainer.caption(found)
        overlay = blend_heatmap(rgb, found.heatmap, config.overlay_alpha)
        named = f"{caption}, {config.method}" if records else caption
        overlay = draw_key(overlay, named, key)
        return Annotation(overlay, {"explanation": record, **further}, caption, {"heat": heat})

    return annotator


def _numbers(region: str) -> tuple[float, ...]:
    """Return the numbers of a text like 320,240; of an empty one what stands for anywhere."""
    from cnn_perception.errors import ConfigError

    try:
        return tuple(float(part) for part in region.split(",")) if region else (-1.0,)
    except ValueError as error:
        raise ConfigError(
            f"--region {region}: give x,y or x_min,y_min,x_max,y_max in pixels, as 320,240"
        ) from error


def _corners(box: Float32Array | None) -> list[float] | None:
    return None if box is None else [round(float(edge), 2) for edge in box]
