"""``cnn-perception explain --method``: looks into networks with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_perception.cli.annotate import Annotation, Annotator
from cnn_perception.cli.explain import Method
from cnn_perception.errors import ConfigError
from cnn_perception.image.draw import blend_heatmap, draw_caption
from cnn_perception.types import Float32Array, UInt8Array

if TYPE_CHECKING:
    from cnn_perception.explain.methods.network import OpenNetwork

__all__ = ["looking_into"]

_FINE = 99.5
"""Percentile at which pictures of gradients are at full strength: a few pixels are far above."""


_LAYERED = {
    Method.gradcam,
    Method.gradcam_plus_plus,
    Method.guided_gradcam,
    Method.cam,
    Method.activations,
}
_GRADIENTS = {Method.guided_gradcam, Method.guided, Method.deconvnet, Method.saliency}
_SHEETS = {Method.activations, Method.filters}


def looking_into(
    method: Method, model: str, network: str, weights: str, layer: str, target: str, alpha: float
) -> Annotator:
    """Return what draws the explanation of a picture.

    network: a name of torchvision or of this package's SSDs, weights "none", "imagenet" or a file;
    without a name, weights is a checkpoint of ``cnn-perception train``, and without weights either
    model is a bundle. layer: its dotted name, empty for the last feature maps; target: name or
    number of a class, empty for the best one.
    """
    try:
        from cnn_perception.explain.methods.layers import check_layer, last_map_layer
        from cnn_perception.explain.methods.targets import best_class, class_target

        opened = _open(model, network, weights)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--method {method.value} needs {error.name}: install cnn_perception with the [train] "
            "extra"
        ) from error

    wanted = opened.class_id(target)
    layered = method in _LAYERED
    if layer and not layered:
        raise ConfigError(
            f"layer = {layer!r}: {method.value} is of the whole network: leave --layer out"
        )
    if layer:
        check_layer(opened.network, layer)

    def annotator(rgb: UInt8Array) -> Annotation:
        images, placement = opened.prepare(rgb)
        class_id, score = best_class(opened.answer(images), wanted)
        name = layer
        if layered and not name:
            name = last_map_layer(opened.network, images, class_target(class_id))
        if method in _SHEETS:
            sheet = _sheet(method, opened, name, images)
            caption = f"{opened.name}, {method.value} {name}".strip()
            return Annotation(
                draw_caption(rgb, caption), _record(method, name), caption, {method.value: sheet}
            )
        values = placement.map_to_source(_explain(method, opened, name, images, class_id), "linear")
        label = opened.label(class_id)
        caption = f"{label} {score:.2f}, {method.value} {name}".strip()
        heat, maps = _drawn(values, full=_FINE if method in _GRADIENTS else 100.0)
        return Annotation(
            blend_heatmap(rgb, heat, alpha, caption),
            _record(method, name, label=label, class_id=class_id, score=round(score, 4)),
            caption,
            maps,
        )

    return annotator


def _record(method: Method, layer: str, **found: object) -> dict[str, Any]:
    return {"explanation": {"method": method.value, "layer": layer or None, **found}}


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


def _sheet(method: Method, opened: OpenNetwork, layer: str, images: Any) -> UInt8Array:
    from cnn_perception.explain.methods.activations import draw_activations, layer_activations
    from cnn_perception.explain.methods.filters import draw_filters, first_filters

    if method is Method.filters:
        return draw_filters(first_filters(opened.network))
    return draw_activations(layer_activations(opened.network, layer, images))


def _drawn(values: Float32Array, full: float) -> tuple[Float32Array, dict[str, Any]]:
    """Return heat (H, W) in [0, 1], and the maps to store; of gradients in colour also those.

    full: percentile at which heat is 1.
    """
    strength = np.abs(values).max(2) if values.ndim == 3 else np.maximum(values, 0)
    most = float(np.percentile(strength, full)) or float(strength.max()) or 1.0
    heat = np.minimum(strength / most, 1)
    maps: dict[str, Any] = {"heat": np.round(heat * 65535).astype(np.uint16)}
    if values.ndim == 3:
        colours = 127.5 + 127.5 * np.clip(values / most, -1, 1)
        maps["gradient"] = np.round(colours).astype(np.uint8)
    return np.asarray(heat, np.float32), maps
