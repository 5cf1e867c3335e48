"""``cnn-perception explain`` with several methods or layers: a sheet that compares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cnn_perception.cli.annotate import Annotation, Annotator
from cnn_perception.cli.explain import Method
from cnn_perception.cli.explain_methods import GRADIENT, LAYERED, SHEETS, Shown, answer, look, show
from cnn_perception.errors import ConfigError
from cnn_perception.explain.methods.comparison import Tile, draw_comparison
from cnn_perception.types import UInt8Array

if TYPE_CHECKING:
    from cnn_perception.explain.methods.network import OpenNetwork

__all__ = ["comparing"]

_MAPS = 36
"""As many maps of activations as a tile shows well."""


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
    each = [(x, layer) for x in methods for layer in (layers or [""] if x in LAYERED else [""])]

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
                words = shown.layer if method in SHEETS else f"{answered}, {shown.layer}"
                tiles.append(_tile(method.value, words.removesuffix(", "), shown))
                record["layer"] = shown.layer or None
            records.append(record)
        words = f"{answered}, {len(each)} explanations"
        record = {**answer(seen), "explanations": records}
        return Annotation(draw_comparison(tiles, rgb.shape[:2]), record, words)

    return annotator


def _tile(title: str, note: str, shown: Shown) -> Tile:
    """Return what is shown as a tile; gradients in their colors, as they are mostly printed."""
    if "gradient" in shown.maps:
        return Tile(title, note, shown.maps["gradient"], GRADIENT)
    return Tile(title, note, shown.picture, shown.key)
