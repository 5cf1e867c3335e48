"""What a method shows of a picture: over it or beside it, with a key of its colors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from cnn_perception.explain.registry import Method, Shows
from cnn_perception.image.draw import blend_heatmap, blend_signed
from cnn_perception.image.key import Key, grey_key, heat_key, signed_key
from cnn_perception.image.preprocess import Placement
from cnn_perception.offboard.explain_methods.layers import last_map_layer
from cnn_perception.offboard.explain_methods.network import OpenNetwork
from cnn_perception.offboard.explain_methods.targets import best_class, class_target
from cnn_perception.types import UInt8Array

__all__ = ["GRADIENT", "Look", "Shown", "look", "show"]

_FINE = 99.5
"""Percentile at which pictures of gradients are at full strength: a few pixels are far above."""
_FINE_WORDS = f"1 of its {_FINE}th percentile"
GRADIENT = grey_key(_FINE_WORDS)
"""Of gradients in their colors."""


@dataclass(frozen=True, slots=True)
class Look:
    """A picture as a network sees it, and the class that is explained."""

    rgb: UInt8Array
    images: Tensor
    placement: Placement
    class_id: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What a method shows, over the picture or beside it, and what its colors mean.

    layer: whose it is, empty where it is the whole network's. maps: to be stored.
    """

    layer: str
    picture: UInt8Array
    key: Key
    maps: dict[str, Any]


def look(opened: OpenNetwork, rgb: UInt8Array, wanted: int | None) -> Look:
    """Return a picture as a network sees it; wanted: the class to explain, None for the best."""
    images, placement = opened.prepare(rgb)
    class_id, score = best_class(opened.answer(images), wanted)
    return Look(rgb, images, placement, class_id, opened.label(class_id), score)


def show(
    method: Method, opened: OpenNetwork, seen: Look, layer: str, alpha: float, most: int = 256
) -> Shown:
    """Return what a method shows of a picture.

    layer: empty for the last feature maps; most: maps in a sheet of activations. Raises ConfigError
    where the network cannot be explained so.
    """
    target = class_target(seen.class_id)
    if not method.of_layer:
        layer = ""
    elif not layer:
        layer = last_map_layer(opened.network, seen.images, target)
    found = method.run(
        network=opened.network,
        layer=layer,
        images=seen.images,
        target=target,
        class_id=seen.class_id,
        most=most,
    )
    if method.shows is Shows.SHEET:
        sheet, key = found
        return Shown(layer, sheet, key, {method.value: sheet})
    values = seen.placement.map_to_source(found, "linear")
    strength = np.abs(values).max(2) if values.ndim == 3 else np.maximum(values, 0)
    fine = method.shows is Shows.GRADIENT
    full = float(np.percentile(strength, _FINE if fine else 100))
    full = full or float(strength.max()) or 1.0
    heat = np.asarray(np.minimum(strength / full, 1), np.float32)
    maps: dict[str, Any] = {"heat": np.round(heat * 65535).astype(np.uint16)}
    if values.ndim == 3:
        colors = 127.5 + 127.5 * np.clip(values / full, -1, 1)
        maps["gradient"] = np.round(colors).astype(np.uint8)
    if method.shows is Shows.SIGNED:
        signed = np.asarray(values / (float(np.abs(values).max()) or 1.0), np.float32)
        return Shown(layer, blend_signed(seen.rgb, signed, alpha), signed_key(alpha), maps)
    key = heat_key(alpha, _FINE_WORDS) if fine else heat_key(alpha)
    return Shown(layer, blend_heatmap(seen.rgb, heat, alpha), key, maps)
