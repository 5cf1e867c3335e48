from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.formats.default_boxes import DefaultBoxSpec  # noqa: E402
from cnn_perception.offboard.networks.mobilenet_v2 import MobileNetV2Trunk  # noqa: E402
from cnn_perception.offboard.networks.rooms import RoomsNetwork  # noqa: E402
from cnn_perception.offboard.networks.ssdlite import LevelHead, SsdLiteHead  # noqa: E402

SPEC = DefaultBoxSpec(
    ((12, 16), (6, 8), (3, 4), (2, 2)), (0.1, 0.2, 0.4, 0.7, 1.0), ((2.0,), (2.0, 3.0), (2.0,), ())
)


def test_taps_have_their_strides_and_the_trunk_is_torchvisions() -> None:
    from torchvision.models import MobileNetV2

    torch.manual_seed(0)
    trunk = MobileNetV2Trunk(0.5).eval()
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        taps = trunk(image)
        model = MobileNetV2(width_mult=0.5, num_classes=1).eval()
        model.features[:18].load_state_dict(trunk.features.state_dict())
        wanted = model.features[:18](image)
    torch.testing.assert_close(taps.stride32, wanted)
    for tap, channels, stride in zip(taps, trunk.channels, (4, 8, 16, 32), strict=True):
        assert tap.shape == (1, channels, 96 // stride, 128 // stride)


def test_outputs_fit_the_default_boxes() -> None:
    network = RoomsNetwork(SPEC, 12, 15, width=0.25, box_width=16, mask_width=16).eval()
    with torch.no_grad():
        outputs = network(torch.randn(2, 3, 96, 128))
    assert outputs.boxes.class_logits.shape == (2, SPEC.count, 13)
    assert outputs.boxes.box_deltas.shape == (2, SPEC.count, 4)
    assert outputs.mask_logits.shape == (2, 15, 24, 32)
    for feature, size in zip(outputs.boxes.features, SPEC.feature_maps, strict=True):
        assert feature.shape == (2, 16, *size)


def test_heads_alone_answer_as_the_whole() -> None:
    network = RoomsNetwork(SPEC, 3, 4, width=0.25, box_width=16, mask_width=16).eval()
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        whole = network(image)
        torch.testing.assert_close(network.detector()(image).box_deltas, whole.boxes.box_deltas)
        torch.testing.assert_close(network.segmenter()(image), whole.mask_logits)


def test_untrained_head_says_background() -> None:
    head = LevelHead(8, 4, 13)
    with torch.no_grad():
        logits, _ = head(torch.zeros(1, 8, 2, 2))
    assert logits.softmax(-1)[..., 0].min() == pytest.approx(0.9, abs=0.01)


def test_answers_come_in_the_order_of_default_boxes() -> None:
    head = LevelHead(1, 2, 3)
    torch.nn.init.constant_(head.offsets.weight, 1.0)
    feature = torch.zeros(1, 1, 2, 3)
    feature[0, 0, 1, 2] = 5.0
    head.spatial = torch.nn.Identity()
    with torch.no_grad():
        _, deltas = head(feature)
    assert deltas[0].abs().sum(1).nonzero().flatten().tolist() == [10, 11]


def test_too_few_levels_are_refused() -> None:
    spec = DefaultBoxSpec(((12, 16), (6, 8)), (0.1, 0.3, 0.9), ((2.0,), (2.0,)))
    with pytest.raises(ConfigError, match="at least 3"):
        SsdLiteHead((8, 8, 8, 8), 3, spec, 16)
