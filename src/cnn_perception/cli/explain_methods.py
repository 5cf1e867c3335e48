"""``cnn-perception explain --method``: looks into networks with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_perception.cli.annotate import Annotation, Annotator, annotate
from cnn_perception.cli.explain import Method
from cnn_perception.errors import ConfigError
from cnn_perception.image.draw import blend_heatmap, blend_signed
from cnn_perception.image.key import Key, draw_key, grey_key, heat_key, signed_key, viridis_key
from cnn_perception.types import Float32Array, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

    from cnn_perception.explain.methods.network import OpenNetwork
    from cnn_perception.image.preprocess import Placement

__all__ = [
    "EACH",
    "EMBEDDINGS",
    "GRADIENT",
    "LAYERED",
    "SHEETS",
    "Look",
    "Shown",
    "answer",
    "found_layers",
    "look",
    "look_into",
    "opened_network",
    "show",
]

LAYERED = {
    Method.gradcam,
    Method.gradcam_plus_plus,
    Method.guided_gradcam,
    Method.cam,
    Method.activations,
}
SHEETS = {Method.activations, Method.filters}
"""What is shown beside the picture, not over it."""
EMBEDDINGS = {Method.pca, Method.tsne}
_NOT_EACH = {*EMBEDDINGS, Method.maximisation, Method.all}
EACH = [method for method in Method if method not in _NOT_EACH]
"""What explains one picture."""
_GRADIENTS = {Method.guided_gradcam, Method.guided, Method.deconvnet, Method.saliency}
_SIGNED = {Method.cam, Method.occlusion}
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


def opened_network(model: str, network: str, weights: str) -> OpenNetwork:
    """Open what is looked into; raises ConfigError where PyTorch is not installed.

    network: a name of torchvision or of this package's SSDs, weights "none", "imagenet" or a file;
    without a name, weights is a checkpoint of ``cnn-perception train``, and without weights either
    model is a bundle.
    """
    try:
        return _open(model, network, weights)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"looking into a network needs {error.name}: install cnn_perception with the [train] "
            "extra"
        ) from error


def _open(model: str, network: str, weights: str) -> OpenNetwork:
    from cnn_perception.explain.methods.network import OpenNetwork, open_network

    if network:
        return open_network(network, weights or "none")
    if not weights:
        from cnn_perception.explain.methods.bundle import open_bundle
        from cnn_perception.runtime.bundle import load_bundle

        return open_bundle(load_bundle(model))
    if weights in ("none", "imagenet"):
        raise ConfigError(f"weights = {weights!r} are of a network: say by --network which")
    from cnn_perception.training.checkpoint import load_checkpoint

    loaded = load_checkpoint(Path(weights))
    name = str(loaded.plan.network.get("name", loaded.plan.task))
    return OpenNetwork(name, loaded.network, loaded.task.input, loaded.labels)


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

    methods: `all` stands for those of `EACH`. layers: dotted or published names, none for the last
    feature maps;
    target: name or number of a class, empty for the best one. Raises ConfigError for what does not
    go together.
    """
    from cnn_perception.cli.explain_embedding import embed

    methods = list(dict.fromkeys(EACH if Method.all in methods else methods))
    layers = found_layers(opened, layers)
    if EMBEDDINGS & set(methods):
        return embed(paths, out, methods, opened, layers, print_json=print_json)
    annotator = _annotator(methods, opened, layers, opened.class_id(target), alpha)
    return annotate(paths, out, "explanations", annotator, print_json=print_json)


def found_layers(opened: OpenNetwork, names: Sequence[str]) -> list[str]:
    """Return the dotted names of layers, each once; raises ConfigError for unknown ones."""
    from cnn_perception.explain.methods.layers import find_layer

    return list(dict.fromkeys(find_layer(opened.network, name) for name in names))


def _annotator(
    methods: Sequence[Method],
    opened: OpenNetwork,
    layers: Sequence[str],
    wanted: int | None,
    alpha: float,
) -> Annotator:
    """Return what draws one explanation of a picture, or the sheet of several."""
    from cnn_perception.cli.explain_sheet import comparing

    if layers and not LAYERED & set(methods):
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
        if method in SHEETS:
            caption = f"{opened.name}, {how}"
            overlay = draw_key(rgb, caption)
        else:
            caption = f"{seen.label} {seen.score:.2f}, {how}"
            overlay = draw_key(shown.picture, caption, shown.key)
            record |= answer(seen)
        return Annotation(overlay, {"explanation": record}, caption, shown.maps)

    return annotator


def look(opened: OpenNetwork, rgb: UInt8Array, wanted: int | None) -> Look:
    """Return a picture as a network sees it; wanted: the class to explain, None for the best."""
    from cnn_perception.explain.methods.targets import best_class

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
    from cnn_perception.explain.methods.layers import last_map_layer
    from cnn_perception.explain.methods.targets import class_target

    if method not in LAYERED:
        layer = ""
    elif not layer:
        layer = last_map_layer(opened.network, seen.images, class_target(seen.class_id))
    if method in SHEETS:
        sheet, key = _sheet(method, opened, layer, seen.images, most)
        return Shown(layer, sheet, key, {method.value: sheet})
    found = _explain(method, opened, layer, seen.images, seen.class_id)
    values = seen.placement.map_to_source(found, "linear")
    strength = np.abs(values).max(2) if values.ndim == 3 else np.maximum(values, 0)
    fine = method in _GRADIENTS
    full = float(np.percentile(strength, _FINE if fine else 100))
    full = full or float(strength.max()) or 1.0
    heat = np.asarray(np.minimum(strength / full, 1), np.float32)
    maps: dict[str, Any] = {"heat": np.round(heat * 65535).astype(np.uint16)}
    if values.ndim == 3:
        colors = 127.5 + 127.5 * np.clip(values / full, -1, 1)
        maps["gradient"] = np.round(colors).astype(np.uint8)
    if method in _SIGNED:
        signed = np.asarray(values / (float(np.abs(values).max()) or 1.0), np.float32)
        return Shown(layer, blend_signed(seen.rgb, signed, alpha), signed_key(alpha), maps)
    key = heat_key(alpha, _FINE_WORDS) if fine else heat_key(alpha)
    return Shown(layer, blend_heatmap(seen.rgb, heat, alpha), key, maps)


def answer(seen: Look) -> dict[str, Any]:
    """Return what is explained, for the JSON file."""
    return {"label": seen.label, "class_id": seen.class_id, "score": round(seen.score, 4)}


def _explain(
    method: Method, opened: OpenNetwork, layer: str, images: Any, class_id: int
) -> Float32Array:
    """Return a map (h, w) or gradients (H, W, 3) over the network's input."""
    from cnn_perception.explain.methods.cam import class_activation_map
    from cnn_perception.explain.methods.deconvnet import deconvnet
    from cnn_perception.explain.methods.grad_cam import grad_cam, grad_cam_plus_plus
    from cnn_perception.explain.methods.guided_backpropagation import (
        guided_backpropagation,
        guided_grad_cam,
    )
    from cnn_perception.explain.methods.occlusion import occlusion
    from cnn_perception.explain.methods.saliency import saliency
    from cnn_perception.explain.methods.targets import class_target

    network, target = opened.network, class_target(class_id)
    if method is Method.cam:
        return class_activation_map(network, layer, images, class_id)
    if method is Method.occlusion:
        window = max(1, min(images.shape[2:]) // 7)
        return occlusion(network, images, target, window=window, stride=(window + 1) // 2)
    layered: dict[Method, Callable[..., Float32Array]] = {
        Method.gradcam: grad_cam,
        Method.gradcam_plus_plus: grad_cam_plus_plus,
        Method.guided_gradcam: guided_grad_cam,
    }
    if method in layered:
        return layered[method](network, layer, images, target)
    plain: dict[Method, Callable[..., Float32Array]] = {
        Method.guided: guided_backpropagation,
        Method.deconvnet: deconvnet,
        Method.saliency: saliency,
    }
    return plain[method](network, images, target)


def _sheet(
    method: Method, opened: OpenNetwork, layer: str, images: Any, most: int
) -> tuple[UInt8Array, Key]:
    from cnn_perception.explain.methods.activations import draw_activations, layer_activations
    from cnn_perception.explain.methods.filters import draw_filters, first_filters

    if method is Method.filters:
        return draw_filters(first_filters(opened.network)), grey_key("1 of its largest weight")
    maps = layer_activations(opened.network, layer, images)
    return draw_activations(maps, most), viridis_key("least", "largest of each map")
