from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.formats.default_boxes import DefaultBoxSpec  # noqa: E402
from cnn_perception.offboard.networks.fold import folded  # noqa: E402
from cnn_perception.offboard.networks.rooms import RoomsNetwork  # noqa: E402


def test_folding_changes_nothing() -> None:
    torch.manual_seed(1)
    spec = DefaultBoxSpec(((8, 8), (4, 4), (2, 2)), (0.1, 0.3, 0.6, 0.9), ((2.0,),) * 3)
    network = RoomsNetwork(spec, 5, 7, width=0.25, box_width=16, mask_width=16).train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(4, 3, 64, 64))
    network.eval()
    image = torch.randn(2, 3, 64, 64)
    fused = folded(network)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    with torch.no_grad():
        plain, quick = network(image), fused(image)
    torch.testing.assert_close(quick.mask_logits, plain.mask_logits, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        quick.boxes.class_logits, plain.boxes.class_logits, atol=1e-4, rtol=1e-3
    )
