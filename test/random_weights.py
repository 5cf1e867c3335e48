"""Weights as torchvision publishes them, but random: with them, networks answer lively.

torchvision's own starting weights give nearly constant answers, of which any comparison holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from cnn_perception.offboard.pretrained.detections import answer_of_torchvision

__all__ = ["lively_network", "published_state", "write_random_weights"]


def write_random_weights(name: str, file: Path) -> None:
    """Write the state dict of a network of torchvision as its published file holds it."""
    torch.save(lively_network(name).state_dict(), file)


def published_state(name: str) -> dict[str, Tensor]:
    """Return a state dict with the names and shapes of torchvision's published file."""
    state: dict[str, Tensor] = get_model(name, weights=None, **_options(name)).state_dict()
    return state


def lively_network(name: str) -> nn.Module:
    """Return a network of torchvision with random weights whose activations keep their scale."""
    torch.manual_seed(0)
    network: nn.Module = get_model(name, weights=None, **_options(name))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, nn.BatchNorm2d):
                # The mean over all that was seen, instead of the latest.
                module.momentum = None
        detector = hasattr(network, "backbone") and hasattr(network, "transform")
        # Statistics of small maps are poor, and networks with poor ones magnify rounding errors.
        images = _images(2, 320) if detector else _images(4, 224)
        part = network.backbone if detector else network
        part.train()(images)
        network.eval()
        if detector:
            _make_detector_lively(network, images[0])
        else:
            _scale_logits(network, images)
    return network


def _options(name: str) -> dict[str, Any]:
    """What torchvision's builders do where they are given published weights."""
    published = next(iter(get_model_weights(name)))
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": True, "transform_input": True, "init_weights": False}
    if "box_map" in str(published.meta["_metrics"]):
        return {"weights_backbone": None, "num_classes": 91}
    if name.startswith(("fcn", "deeplab")):
        return {"weights_backbone": None, "aux_loss": True}
    return {"weights_backbone": None} if name.startswith("lraspp") else {}


def _images(count: int, size: int) -> Tensor:
    """Return parts of a simulated room with noise, normalised, float32 (count, 3, size, size)."""
    room = cv2.imread(str(Path(__file__).resolve().parents[1] / "models" / "room.jpg"))
    images = []
    for number in range(count):
        side = 480 - 60 * number
        part = room[480 - side :, 80 * number : 80 * number + side, ::-1]
        images.append(torch.from_numpy(cv2.resize(part, (size, size)).copy()))
    colors = torch.stack(images).permute(0, 3, 1, 2).float()
    return (colors - 115.0) / 58.0 + 0.1 * torch.randn(count, 3, size, size)


def _scale_logits(network: nn.Module, images: Tensor) -> None:
    """Give logits a standard deviation of 2, as trained networks have it or more."""
    answer = network(images)
    logits = answer["out"] if isinstance(answer, dict) else answer
    for module in network.modules():
        outputs = getattr(module, "out_channels", getattr(module, "out_features", None))
        if outputs == logits.shape[1] and isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.mul_(2.0 / logits.std())
            if module.bias is not None:
                module.bias.mul_(2.0 / logits.std())


def _make_detector_lively(network: nn.Module, image: Tensor) -> None:
    """Spread scores over 0 to 1 and keep boxes near their anchors.

    Saturated scores are equal, and equal scores have no order.
    """
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        if "bbox" in name or "regression_head" in name:
            _scale_once(module, 0.3)
        elif name.endswith(("cls_logits", "cls_score")):
            nn.init.zeros_(module.bias)
            # RetinaNet's coarse maps have larger values than the first, where this is measured.
            _scale_once(module, 0.3 if "classification_head" in name else 2.0)
    answer_of_torchvision(network, image[None])


def _scale_once(layer: nn.Module, spread: float) -> None:
    """Give a layer's next answer that standard deviation, and so its weights."""

    def scale(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        hook.remove()
        factor = spread / output.std()
        module.weight.mul_(factor)
        return output * factor

    hook = layer.register_forward_hook(scale)
