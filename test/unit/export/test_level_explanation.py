from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.export.level_explanation import (  # noqa: E402
    LevelClasses,
    LevelExplanation,
    level_classes,
    reference_cam,
)
from cnn_perception.networks.fold import folded  # noqa: E402
from cnn_perception.networks.ssd import ssdlite320_mobilenet_v3_large  # noqa: E402
from cnn_perception.networks.ssdlite import LevelHead  # noqa: E402


@pytest.mark.parametrize("size", [(6, 8), (2, 2), (1, 3)])
def test_grad_cam_in_closed_form_is_the_heads_gradient(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    head = LevelHead(12, 4, 5)
    torch.nn.init.normal_(head.classes.weight)
    head(torch.randn(8, 12, *size) * 4)  # leaves statistics behind, and values above 6
    head = folded(head)
    head = LevelClasses(head.spatial, head.classes, head.outputs)
    explanation = LevelExplanation(head, *size)
    feature = torch.randn(1, 12, *size).abs() * 4
    seen = 0.0
    for anchor in range(size[0] * size[1] * 4):
        for class_index in range(5):
            wanted = reference_cam(head, feature, anchor, class_index)
            answer = explanation(feature, torch.tensor([anchor]), torch.tensor([class_index]))
            torch.testing.assert_close(answer, wanted, atol=1e-5, rtol=1e-5)
            seen = max(seen, float(answer.max()))
    assert seen > 0


def test_torchvisions_ssdlite_is_explained_too() -> None:
    torch.manual_seed(0)
    network = ssdlite320_mobilenet_v3_large(3)
    for layer in network.head.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.3)
    network = folded(network)
    heads = level_classes(network)
    sizes = network.default_boxes.feature_maps
    assert len(heads) == len(sizes) == 6
    features = [
        torch.randn(1, head.spatial[0].in_channels, *size).abs() * 4
        for head, size in zip(heads, sizes, strict=True)
    ]
    logits = network.head(features)["cls_logits"]
    answers = [head(feature) for head, feature in zip(heads, features, strict=True)]
    torch.testing.assert_close(torch.cat(answers, 1), logits)
    for level in (1, 5):
        explanation = LevelExplanation(heads[level], *sizes[level])
        for anchor, class_index in ((0, 0), (explanation.cells * 6 - 1, 3)):
            wanted = reference_cam(heads[level], features[level], anchor, class_index)
            chosen = torch.tensor([anchor]), torch.tensor([class_index])
            answer = explanation(features[level], *chosen)
            torch.testing.assert_close(answer, wanted, atol=1e-4, rtol=1e-4)


def test_other_networks_are_not_explained() -> None:
    assert level_classes(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))) == []
