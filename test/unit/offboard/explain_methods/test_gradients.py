"""Saliency, guided backpropagation, deconvnet and guided Grad-CAM against captum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
captum_attr = pytest.importorskip("captum.attr", reason="captum is an extra: [oracle]")

from torch import nn  # noqa: E402
from torchvision.models import get_model  # noqa: E402

from cnn_perception.offboard.explain_methods.gradients import (  # noqa: E402  # noqa: E402
    deconvnet,
    guided_backpropagation,
    guided_grad_cam,
    input_gradient,
    saliency,
)
from cnn_perception.offboard.explain_methods.network import randomise  # noqa: E402
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402

# Captum's hooks on modules cannot stand those that work in place.
pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor")


@pytest.fixture(params=["small", "squeezenet1_1"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    if request.param == "small":
        return small_network(pooled=False).eval()
    network = get_model(request.param, weights=None, num_classes=5)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    randomise(network, torch.Size((2, 3, 64, 64)))
    return network


def _attribution(method: Callable[..., object], network: nn.Module, *more: object) -> np.ndarray:
    found = method(network, *more).attribute(image(), target=3)
    return found[0].detach().permute(1, 2, 0).numpy()


def _assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert np.abs(expected).max() > 0, "nothing to compare"
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.abs(expected).max()))


def test_saliency(network: nn.Module) -> None:
    expected = _attribution(captum_attr.Saliency, network).max(2)
    _assert_close(saliency(network, image(), class_target(3)), expected)


def test_guided_backpropagation(network: nn.Module) -> None:
    expected = _attribution(captum_attr.GuidedBackprop, network)
    _assert_close(guided_backpropagation(network, image(), class_target(3)), expected)


def test_deconvnet(network: nn.Module) -> None:
    expected = _attribution(captum_attr.Deconvolution, network)
    _assert_close(deconvnet(network, image(), class_target(3)), expected)


def test_guided_grad_cam() -> None:
    network = small_network(pooled=False).eval()
    method = captum_attr.GuidedGradCam(network, network[4])
    found = method.attribute(image(), target=3, interpolate_mode="bilinear")
    expected = found[0].detach().permute(1, 2, 0).numpy()
    _assert_close(guided_grad_cam(network, "4", image(), class_target(3)), expected)


def test_the_rules_differ() -> None:
    network = small_network(pooled=False)
    methods = (input_gradient, guided_backpropagation, deconvnet)
    plain, guided, projected = (f(network, image(), class_target(3)) for f in methods)
    for one, other in ((plain, guided), (guided, projected), (projected, plain)):
        assert np.abs(one - other).max() > 0.01 * np.abs(one).max()


@pytest.mark.parametrize("method", [saliency, guided_backpropagation, deconvnet])
def test_in_place_makes_no_difference(method: Callable[..., np.ndarray]) -> None:
    plain = method(small_network(pooled=False), image(), class_target(1))
    in_place = method(small_network(pooled=False, in_place=True), image(), class_target(1))
    np.testing.assert_array_equal(in_place, plain)


@pytest.mark.parametrize("method", [saliency, guided_backpropagation, deconvnet])
def test_the_network_and_the_image_are_as_before(method: Callable[..., np.ndarray]) -> None:
    network, seen = small_network(in_place=True), image()
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network):
        method(network, seen, class_target(0))
    assert torch.equal(seen, image())
    assert not seen.requires_grad
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        method(network, seen, class_target(0))


def test_guided_grad_cam_leaves_the_network_as_before() -> None:
    network = small_network(in_place=True)
    with unchanged(network):
        guided_grad_cam(network, "4", image(), class_target(0))
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        guided_grad_cam(network, "4", image(), class_target(0))
