"""Pictures and answers in which there is nothing, for all methods: defined, or one clear line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402

from cnn_perception.cli.explain_methods import Request, comparing  # noqa: E402
from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.explain.registry import Method, Shows  # noqa: E402
from cnn_perception.image.draw import blend_heatmap, blend_signed  # noqa: E402
from cnn_perception.image.preprocess import InputSpec  # noqa: E402
from cnn_perception.offboard.explain_methods.grad_cam import class_activation_map  # noqa: E402
from cnn_perception.offboard.explain_methods.network import OpenNetwork  # noqa: E402
from cnn_perception.offboard.explain_methods.shown import look, show  # noqa: E402
from cnn_perception.types import UInt8Array  # noqa: E402
from looked_into import CLASSES, small_network, unchanged  # noqa: E402

EACH = Method.of_one_picture()
SIGNED = {Method.cam, Method.occlusion}
SPEC = InputSpec("images", 48, 48, mean=(128.0,) * 3, std=(64.0,) * 3)
NOISE = np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8)


def _opened(network: nn.Module | None = None) -> OpenNetwork:
    return OpenNetwork("small", network or small_network(), SPEC, tuple("abcde"))


@pytest.mark.parametrize("method", EACH)
@pytest.mark.parametrize(
    "rgb",
    [
        np.full((1, 1, 3), 200, np.uint8),
        np.full((1, 50, 3), 200, np.uint8),
        np.zeros((30, 40, 3), np.uint8),
        np.full((30, 40, 3), 128, np.uint8),  # all zeros to the network
        NOISE,
    ],
    ids=["pixel", "line", "black", "mean", "noise"],
)
def test_pictures_with_nothing_in_them(method: Method, rgb: UInt8Array) -> None:
    opened = _opened()
    with unchanged(opened.network):
        shown = show(method, opened, look(opened, rgb, 3), "", 0.5)
    assert shown.layer == ("9" if method.of_layer else "")
    assert shown.picture.dtype == np.uint8
    if method.shows is Shows.SHEET:
        return
    assert shown.picture.shape == rgb.shape
    heat = shown.maps["heat"]
    assert (heat.shape, heat.dtype) == (rgb.shape[:2], np.uint16)
    assert heat.max() in (0, 65535)


@pytest.mark.parametrize("method", EACH)
def test_a_class_that_nothing_speaks_for(method: Method) -> None:
    # The class has no weights, so that maps and gradients are 0 everywhere, not by rounding.
    network = small_network()
    with torch.no_grad():
        network[-1].weight[3] = 0
    opened = _opened(network)
    shown = show(method, opened, look(opened, NOISE, 3), "", 0.5)
    if method.shows is Shows.SHEET:
        return
    assert not shown.maps["heat"].any()
    blend = blend_signed if method in SIGNED else blend_heatmap
    expected = blend(NOISE, np.zeros(NOISE.shape[:2], np.float32), 0.5)
    np.testing.assert_array_equal(shown.picture, expected)
    if "gradient" in shown.maps:
        assert (shown.maps["gradient"] == 128).all()


@pytest.mark.parametrize("method", EACH)
def test_a_class_that_everything_speaks_against(method: Method) -> None:
    network = small_network()
    with torch.no_grad():
        network[-1].weight[3] = -network[-1].weight[3].abs() - 0.1
    opened = _opened(network)
    seen = look(opened, NOISE, 3)
    shown = show(method, opened, seen, "", 0.5)
    if method.shows is Shows.SHEET:
        return
    if method in {Method.gradcam, Method.gradcam_plus_plus, Method.guided_gradcam, Method.cam}:
        assert not shown.maps["heat"].any()
    if method is Method.cam:  # shown in blue all the same
        cam = class_activation_map(network, "9", seen.images, 3)
        assert cam.max() < 0
        values = seen.placement.map_to_source(cam / -cam.min(), "linear")
        np.testing.assert_array_equal(shown.picture, blend_signed(NOISE, values / -values.min()))


@pytest.mark.parametrize("class_id", [CLASSES, 10**6])
def test_a_class_that_there_is_not(class_id: int) -> None:
    with pytest.raises(ConfigError, match=f"target = {class_id} is no class: give one of 0 to 4"):
        look(_opened(), NOISE, class_id)


@pytest.mark.parametrize("method", [x for x in EACH if x.of_layer])
@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ("conv9", "layer = 'conv9' is not in the network"),
        ("13", r"layer 13 answers with shape \(1, 5\)"),
        ("", None),
    ],
)
def test_layers_that_cannot_be_shown(method: Method, layer: str, why: str | None) -> None:
    opened = _opened()
    seen = look(opened, NOISE, 0)
    with unchanged(opened.network):
        if why is None:
            assert show(method, opened, seen, layer, 0.5).layer == "9"
            return
        with pytest.raises(ConfigError, match=why) as caught:
            show(method, opened, seen, layer, 0.5)
    assert "\n" not in str(caught.value)


def test_a_network_without_convolutions_says_so_in_every_tile() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, CLASSES))
    annotation = comparing(Request([], Path(), _opened(linear), EACH))(NOISE)
    found = {x["method"]: x.get("error") for x in annotation.record["explanations"]}
    assert set(found) == {method.value for method in EACH}
    for method in EACH:
        said = found[method.value]
        if method.of_layer:
            assert "no last feature maps" in said
        elif method is Method.filters:
            assert "sees no image" in said
        else:
            assert said is None
    assert annotation.overlay.shape[1] > 1000


def test_a_sheet_of_one_pixel() -> None:
    pixel = np.full((1, 1, 3), 200, np.uint8)
    sheet = comparing(Request([], Path(), _opened(), EACH))(pixel).overlay
    assert (cv2.cvtColor(sheet, cv2.COLOR_RGB2GRAY) < 255).mean() > 0.5
