"""``cnn-perception explain --method``: looks into networks with PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_perception.cli.annotate import Annotation, Annotator, annotate
from cnn_perception.cli.explain_embedding import embed
from cnn_perception.errors import ConfigError
from cnn_perception.explain.methods.comparison import Tile, draw_comparison
from cnn_perception.explain.methods.layers import find_layers
from cnn_perception.explain.methods.network import OpenNetwork
from cnn_perception.explain.methods.shown import GRADIENT, Look, Shown, look, show
from cnn_perception.explain.registry import Method, Shows
from cnn_perception.image.key import draw_key
from cnn_perception.types import UInt8Array

__all__ = ["comparing", "look_into"]

_MAPS = 36
"""As many maps of activations as a tile shows well."""


def look_into(
    paths: Sequence[Path],
    out: Path,
    opened: OpenNetwork,
    methods: Sequence[Method],
    layers: Sequence[str],
    target: str,
    alpha: float,
    *,
    print_json: bool,
) -> bool:
    """Explain pictures one by one or, by pca and tsne, together; returns whether all were read.

    layers: dotted or published names, none for the last feature maps; target: name or number of a
    class, empty for the best one. Raises ConfigError for what does not go together.
    """
    methods = list(dict.fromkeys(Method.of_one_picture() if Method.all in methods else methods))
    layers = find_layers(opened.network, layers)
    if any(method.shows is Shows.POINTS for method in methods):
        return embed(paths, out, methods, opened, layers, print_json=print_json)
    annotator = _annotator(methods, opened, layers, opened.class_id(target), alpha)
    return annotate(paths, out, "explanations", annotator, print_json=print_json)


def _annotator(
    methods: Sequence[Method],
    opened: OpenNetwork,
    layers: Sequence[str],
    wanted: int | None,
    alpha: float,
) -> Annotator:
    """Return what draws one explanation of a picture, or the sheet of several."""
    if layers and not any(method.of_layer for method in methods):
        raise ConfigError(
            f"layer = {layers[0]!r}: {methods[0].value} is of the whole network: leave --layer out"
        )
    if len(methods) > 1 or len(layers) > 1:
        return comparing(methods, opened, layers, wanted, alpha)
    (method,), layer = methods, layers[0] if layers else ""

    def annotator(rgb: UInt8Array) -> Annotation:
        seen = look(opened, rgb, wanted)
        shown = show(method, opened, seen, layer, alpha)
        how = f"{method.value} {shown.layer}".strip()
        record = {"method": method.value, "layer": shown.layer or None}
        if method.shows is Shows.SHEET:
            caption = f"{opened.name}, {how}"
            overlay = draw_key(rgb, caption)
        else:
            caption = f"{seen.label} {seen.score:.2f}, {how}"
            overlay = draw_key(shown.picture, caption, shown.key)
            record |= _answer(seen)
        return Annotation(overlay, {"explanation": record}, caption, shown.maps)

    return annotator


def comparing(
    methods: Sequence[Method],
    opened: OpenNetwork,
    layers: Sequence[str],
    wanted: int | None,
    alpha: float,
) -> Annotator:
    """Return what draws one tile per method, for those of a layer one per layer.

    A method that cannot be had for the network becomes a tile that says why.
    """
    each = [(x, layer) for x in methods for layer in (layers or [""] if x.of_layer else [""])]

    def annotator(rgb: UInt8Array) -> Annotation:
        seen = look(opened, rgb, wanted)
        answered = f"{seen.label} {seen.score:.2f}"
        tiles = [Tile(opened.name, answered, rgb)]
        records = []
        for method, layer in each:
            record: dict[str, Any] = {"method": method.value, "layer": layer or None}
            try:
                shown = show(method, opened, seen, layer, alpha, _MAPS)
            except ConfigError as error:
                tiles.append(Tile(method.value, layer, str(error)))
                record["error"] = str(error)
            else:
                words = shown.layer if method.shows is Shows.SHEET else f"{answered}, {shown.layer}"
                tiles.append(_tile(method.value, words.removesuffix(", "), shown))
                record["layer"] = shown.layer or None
            records.append(record)
        words = f"{answered}, {len(each)} explanations"
        record = {**_answer(seen), "explanations": records}
        return Annotation(draw_comparison(tiles, rgb.shape[:2]), record, words)

    return annotator


def _tile(title: str, note: str, shown: Shown) -> Tile:
    """Return what is shown as a tile; gradients in their colours, as they are mostly printed."""
    if "gradient" in shown.maps:
        return Tile(title, note, shown.maps["gradient"], GRADIENT)
    return Tile(title, note, shown.picture, shown.key)


def _answer(seen: Look) -> dict[str, Any]:
    """Return what is explained, for the JSON file."""
    return {"label": seen.label, "class_id": seen.class_id, "score": round(seen.score, 4)}
