from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.export.level_explanation import LevelExplanation, reference_cam  # noqa: E402
from cnn_perception.networks.fold import folded  # noqa: E402
from cnn_perception.networks.ssdlite import LevelHead  # noqa: E402


@pytest.mark.parametrize("size", [(6, 8), (2, 2), (1, 3)])
def test_grad_cam_in_closed_form_is_the_heads_gradient(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    head = LevelHead(12, 4, 5)
    torch.nn.init.normal_(head.classes.weight)
    head(torch.randn(8, 12, *size) * 4)  # leaves statistics behind, and values above 6
    head = folded(head)
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
