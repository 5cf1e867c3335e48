"""Grad-CAM of one detector level as a forward-only network, for an explain graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.ssdlite import SSDLiteHead

from cnn_perception.networks.ssd import Ssd
from cnn_perception.networks.ssdlite import SsdLite

__all__ = ["LevelClasses", "LevelExplanation", "level_classes", "reference_cam"]


class LevelClasses(nn.Module):
    """What an SSDLite level says of classes: a depthwise 3x3, ReLU6 and a 1x1, folded.

    spatial: the first two; classes: the 1x1, with `outputs` channels per default box. forward:
    float32 (B, F, h, w) -> logits (B, h * w * boxes, outputs).
    """

    def __init__(self, spatial: nn.Module, classes: nn.Conv2d, outputs: int) -> None:
        super().__init__()
        self.spatial = spatial
        self.classes = classes
        self.outputs = outputs

    def forward(self, feature: Tensor) -> Tensor:
        scores = self.classes(self.spatial(feature))
        return scores.permute(0, 2, 3, 1).reshape(feature.shape[0], -1, self.outputs)


def level_classes(network: nn.Module) -> list[LevelClasses]:
    """Return what each level of a folded SSDLite says of classes; nothing for other networks."""
    if isinstance(network, SsdLite):
        return [
            LevelClasses(head.spatial, head.classes, head.outputs) for head in network.head.heads
        ]
    if isinstance(network, Ssd) and isinstance(network.head, SSDLiteHead):
        head = network.head.classification_head
        return [LevelClasses(level[0], level[1], head.num_columns) for level in head.module_list]
    return []


class LevelExplanation(nn.Module):
    """The class activation map of one default box's class logit (Selvaraju et al. 2017, eq. 1-2).

    An SSDLite head is a depthwise 3x3, ReLU6 and a 1x1, so the gradient of a logit at cell p has a
    closed form: for channel k it is the class weight w_k, times 1 where ReLU6 passes, times the
    kernel laid around p. Its mean over the map is alpha_k; the map is relu(sum_k alpha_k A_k).

    forward: feature_map float32 (1, F, h, w), anchor int64 (1,) within the level, class_index int64
    (1,) with the background 0 -> float32 (1, h, w).
    """

    reach: Tensor
    weights: Tensor

    def __init__(self, head: LevelClasses, rows: int, columns: int) -> None:
        super().__init__()
        convolution = head.spatial[0]
        self.convolution = convolution
        self.outputs = head.outputs
        weights = head.classes.weight[:, :, 0, 0]
        self.boxes = weights.shape[0] // head.outputs
        self.cells = rows * columns
        channels = convolution.in_channels
        # How much of the kernel lies inside the map: the same convolution of ones, without bias.
        inside = nn.functional.conv2d(
            torch.ones(1, channels, rows, columns),
            convolution.weight,
            padding=1,
            groups=channels,
        )
        self.register_buffer("reach", inside.detach().reshape(channels, self.cells))
        self.register_buffer("weights", weights.detach().clone())

    def forward(self, feature_map: Tensor, anchor: Tensor, class_index: Tensor) -> Tensor:
        cell = torch.div(anchor, self.boxes, rounding_mode="floor")
        row = (anchor - cell * self.boxes) * self.outputs + class_index
        before = self.convolution(feature_map).reshape(-1, self.cells)
        value = torch.index_select(before, 1, cell)[:, 0]
        passes = torch.logical_and(value > 0.0, value < 6.0).to(feature_map.dtype)
        weight = torch.index_select(self.weights, 0, row)[0]
        reach = torch.index_select(self.reach, 1, cell)[:, 0]
        alpha = weight * passes * reach / float(self.cells)
        return torch.relu((alpha.reshape(1, -1, 1, 1) * feature_map).sum(1))


def reference_cam(head: LevelClasses, feature_map: Tensor, anchor: int, class_index: int) -> Tensor:
    """Return what `LevelExplanation` must return, by automatic differentiation of the head."""
    leaf = feature_map.detach().clone().requires_grad_(True)
    logits = head(leaf)
    (gradient,) = torch.autograd.grad(logits[0, anchor, class_index], leaf)
    alpha = gradient.mean((2, 3), keepdim=True)
    return torch.relu((alpha * leaf).sum(1)).detach()
