"""CAM: what makes a logit, and how Grad-CAM relates to it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.grad_cam import (  # noqa: E402
    class_activation_map,
    grad_cam,
)
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402


def test_its_mean_and_the_bias_make_the_logit() -> None:
    network = small_network().eval()
    with torch.no_grad():
        logits = network(image())[0]
    for class_id, logit in enumerate(logits.tolist()):
        cam = class_activation_map(network, "9", image(), class_id)
        assert (cam.shape, cam.dtype) == ((16, 16), np.float32)
        assert cam.mean() + float(network[-1].bias.detach()[class_id]) == pytest.approx(
            logit, abs=1e-5
        )


def test_its_positive_part_is_grad_cam() -> None:
    # Selvaraju et al. 2017, section 3.1: equal up to the number of pixels.
    network = small_network()
    cam = class_activation_map(network, "9", image(), 3)
    assert cam.min() < 0 < cam.max()
    again = grad_cam(network, "9", image(), class_target(3)) * 16 * 16
    np.testing.assert_allclose(again, np.maximum(cam, 0), atol=1e-5 * cam.max())


def test_networks_and_layers_of_another_form_are_refused() -> None:
    for network, layer in (
        (small_network(pooled=False), "9"),
        (small_network(), "8"),
        (small_network(), "4"),
    ):
        with pytest.raises(ConfigError, match=f"averages of layer {layer}: .*choose gradcam"):
            class_activation_map(network, layer, image(), 0)
    with pytest.raises(ConfigError, match="target = 5 is no class: give one of 0 to 4"):
        class_activation_map(small_network(), "9", image(), 5)


def test_the_network_and_the_image_are_as_before() -> None:
    network, seen = small_network(in_place=True), image()
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network):
        class_activation_map(network, "9", seen, 0)
    assert torch.equal(seen, image())
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        class_activation_map(network, "9", image(), 0)
