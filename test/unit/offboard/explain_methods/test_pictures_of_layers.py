"""Activations and first filters: the values, and the sheets that show them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import nn  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.layer_pictures import (  # noqa: E402  # noqa: E402
    draw_activations,
    draw_filters,
    first_filters,
    layer_activations,
    tiled,
)
from looked_into import Breaking, Broken, image, small_network, unchanged  # noqa: E402


def test_activations_are_those_before_the_next_layer_works_in_place() -> None:
    network = small_network(in_place=True).eval()
    with torch.no_grad():
        expected = network[:6](image())[0].numpy()
    found = layer_activations(network, "5", image())
    assert (found.shape, found.dtype) == ((10, 32, 32), np.float32)
    assert found.min() < 0
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_activations_leave_the_network_as_before() -> None:
    network, seen = small_network(in_place=True), image()
    network[0] = nn.Sequential(nn.ReLU(inplace=True), network[0])
    with unchanged(network):
        layer_activations(network, "5", seen)
    assert torch.equal(seen, image())
    network[7] = Breaking()
    with unchanged(network), pytest.raises(Broken):
        layer_activations(network, "5", image())
    with pytest.raises(ConfigError, match="layer = 'conv' is not in the network"):
        layer_activations(network, "conv", image())


def test_each_map_spans_its_colors_and_a_constant_one_is_dark() -> None:
    maps = np.zeros((3, 48, 48), np.float32)
    maps[0, 10, 20], maps[1, 5, 6], maps[2] = 1000.0, -0.001, 7.0
    sheet = draw_activations(maps)
    assert sheet.shape == (2 * 50 + 2, 2 * 50 + 2, 3)
    dark, bright = (
        cv2.applyColorMap(np.full((1, 1), x, np.uint8), cv2.COLORMAP_VIRIDIS)[0, 0, ::-1]
        for x in (0, 255)
    )
    first, second, third = sheet[2:50, 2:50], sheet[2:50, 52:100], sheet[52:100, 2:50]
    assert (first[10, 20] == bright).all() and (first[0, 0] == dark).all()
    assert (second[5, 6] == dark).all() and (second[0, 0] == bright).all()
    assert (third == dark).all()
    assert len(np.unique(draw_activations(maps, most=1).reshape(-1, 3), axis=0)) == 3


def test_first_filters() -> None:
    network = small_network()
    with unchanged(network):
        filters = first_filters(network)
    assert (filters.shape, filters.dtype) == ((8, 3, 3, 3), np.float32)
    weight = network[0].weight
    assert filters[5, 0, 2, 1] == float(weight[5, 1, 0, 2])
    filters[:] = 0
    assert bool(weight.any())
    with pytest.raises(ConfigError, match="sees no image"):
        first_filters(nn.Conv2d(4, 2, 3))
    with pytest.raises(ConfigError, match="sees no image"):
        first_filters(nn.Linear(4, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_drawn_about_grey(channels: int) -> None:
    filters = np.zeros((1, 2, 2, channels), np.float32)
    filters[0, 0, 0], filters[0, 1, 1] = 4.0, -2.0
    sheet = draw_filters(filters)
    assert sheet.shape == (48, 48, 3)
    assert sheet[3, 3].tolist() == [255] * 3
    assert sheet[3, 40].tolist() == [128] * 3
    assert sheet[40, 40].tolist() == [64] * 3


def test_tiles_stand_in_rows() -> None:
    pictures = [np.full((2, 3, 3), shade, np.uint8) for shade in (100, 150, 200)]
    sheet = tiled(pictures, scale=2, gap=1)
    assert sheet.shape == (2 * 5 + 1, 2 * 7 + 1, 3)
    assert [int(sheet[y, x, 0]) for y, x in ((1, 1), (1, 8), (6, 1))] == [100, 150, 200]
    assert int(sheet[6, 8, 0]) == int(sheet[0, 0, 0]) == 32
