"""Grad-CAM and Grad-CAM++ against pytorch-grad-cam, and by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is an extra: [oracle]")

from pytorch_grad_cam import GradCAM, GradCAMPlusPlus  # noqa: E402
from pytorch_grad_cam.utils.image import scale_cam_image  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402
from torch import nn  # noqa: E402
from torchvision.models import get_model  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.grad_cam import grad_cam, grad_cam_plus_plus  # noqa: E402
from cnn_perception.offboard.explain_methods.network import randomise  # noqa: E402
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402

METHODS = [(grad_cam, GradCAM), (grad_cam_plus_plus, GradCAMPlusPlus)]


def _difference(
    method: Callable[..., np.ndarray], oracle: type, network: nn.Module, layer: str
) -> float:
    """Return the largest difference after pytorch-grad-cam's own normalisation."""
    network.eval()
    with oracle(network, [network.get_submodule(layer)]) as cam:
        (expected,) = cam(image(), [ClassifierOutputTarget(3)])
    found = method(network, layer, image(), class_target(3))
    assert expected.max() > 0.5, "nothing to compare"
    (scaled,) = scale_cam_image(found[None], (64, 64))
    (scaled,) = scale_cam_image(scaled[None])
    return float(np.abs(scaled - expected).max())


@pytest.mark.parametrize(("method", "oracle"), METHODS)
@pytest.mark.parametrize("layer", ["0", "4", "9"])
def test_as_pytorch_grad_cam(method: Callable[..., np.ndarray], oracle: type, layer: str) -> None:
    assert _difference(method, oracle, small_network(pooled=False), layer) < 1e-4


@pytest.mark.parametrize(("method", "oracle"), METHODS)
@pytest.mark.parametrize(
    ("name", "layer"), [("squeezenet1_1", "features.10"), ("resnet18", "layer3")]
)
def test_as_pytorch_grad_cam_on_published_networks(
    method: Callable[..., np.ndarray], oracle: type, name: str, layer: str
) -> None:
    network = get_model(name, weights=None, num_classes=5)
    randomise(network, torch.Size((2, 3, 64, 64)))
    assert _difference(method, oracle, network, layer) < 1e-4


def test_grad_cam_by_hand() -> None:
    # y = sum of pixels of 2 * map 0 - map 1, so the weights are 2 and -1.
    head = nn.Conv2d(2, 1, 2, bias=False)
    head.weight.data = torch.stack([torch.full((2, 2), 2.0), torch.full((2, 2), -1.0)])[None]
    network = nn.Sequential(nn.Identity(), head, nn.Flatten())
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 5.0], [7.0, 0.0]]]])
    found = grad_cam(network, "0", maps, class_target(0))
    np.testing.assert_allclose(found, [[1.0, 0.0], [0.0, 8.0]])
    assert found.dtype == np.float32
    # The paper's shares are 1 / (2 + g * sum A): 1 / 22 at each pixel, times four, times g.
    found = grad_cam_plus_plus(network, "0", maps, class_target(0), stabiliser=0.0)
    np.testing.assert_allclose(found, maps[0, 0].numpy() * 8 / 22, rtol=1e-5)


def test_what_speaks_against_a_class_everywhere_is_zero() -> None:
    network = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert not grad_cam(network, "0", -image().abs(), class_target(1)).any()


@pytest.mark.parametrize("method", [grad_cam, grad_cam_plus_plus])
def test_the_network_and_the_image_are_as_before(method: Callable[..., np.ndarray]) -> None:
    network, seen = small_network(in_place=True), image()
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network):
        method(network, "4", seen, class_target(0))
    assert torch.equal(seen, image())
    with unchanged(network), pytest.raises(ConfigError, match="target = 5 is no class"):
        method(network, "4", image(), class_target(5))
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        method(network, "4", image(), class_target(0))


def test_without_gradients_around() -> None:
    network = small_network()
    expected = grad_cam(network, "4", image(), class_target(0))
    with torch.inference_mode():
        found = grad_cam(network, "4", image(), class_target(0))
    np.testing.assert_array_equal(found, expected)


def test_an_unknown_layer() -> None:
    with pytest.raises(ConfigError, match="layer = 'conv9' is not in the network"):
        grad_cam(small_network(), "conv9", image(), class_target(0))
