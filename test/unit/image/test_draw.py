"""Overlays: what must change, what must stay, and that every shape of input is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.image.draw import (
    blend_heatmap,
    blend_mask,
    blend_signed,
    color_mask,
    draw_caption,
    draw_detections,
    palette,
)
from cnn_perception.types import Detections, UInt8Array

SIZES = [(240, 320), (480, 640), (720, 1280), (8, 8), (1, 1)]


def _grey(height: int, width: int) -> UInt8Array:
    return np.full((height, width, 3), 90, np.uint8)


def _detections(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.5, count).astype(np.float32),
        np.arange(count, dtype=np.int32),
    )


def test_palette_is_stable_distinct_and_a_prefix_of_a_longer_one() -> None:
    colors = palette(60)
    np.testing.assert_array_equal(colors[:10], palette(10))
    distance = np.abs(colors[:, None].astype(int) - colors[None]).sum(axis=-1)
    distance[np.diag_indices(60)] = 999
    assert distance.min() >= 30
    assert palette(0).shape == (0, 3)
    np.testing.assert_array_equal(palette(300)[256:], palette(44))


def test_palette_with_background_shifts_by_one() -> None:
    colors = palette(5, background=True)
    assert colors.shape == (5, 3)
    assert not colors[0].any()
    np.testing.assert_array_equal(colors[1:], palette(4))


@pytest.mark.parametrize("shape", SIZES)
def test_boxes_are_drawn_in_the_class_color_on_a_copy(shape: tuple[int, int]) -> None:
    picture = _grey(*shape)
    height, width = shape
    box = (width * 0.25, height * 0.5, width * 0.75, height * 0.9)
    drawn = draw_detections(picture, _detections(box), ["cup"])
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    assert (picture == 90).all()
    assert (drawn != 90).any()
    if height > 100:
        middle = round(height * 0.9), round(width * 0.5)
        np.testing.assert_array_equal(drawn[middle], palette(1)[0])
        inside = round(height * 0.7), round(width * 0.5)
        np.testing.assert_array_equal(drawn[inside], (90, 90, 90))


def test_the_best_box_is_on_top() -> None:
    same = (40.0, 40.0, 200.0, 200.0)
    drawn = draw_detections(_grey(240, 320), _detections(same, same), ["a", "b"])
    np.testing.assert_array_equal(drawn[200, 120], palette(1)[0])


def test_nothing_detected_changes_nothing() -> None:
    np.testing.assert_array_equal(
        draw_detections(_grey(48, 64), Detections.empty(), []), _grey(48, 64)
    )


def test_odd_boxes_and_unknown_classes_are_survived() -> None:
    detections = _detections(
        (-1e9, -1e9, 1e9, 1e9),
        (10, 10, 10, 10),
        (60, 40, 5, 5),
        (np.nan, 0, 1, 1),
        (0, 0, np.inf, 9),
    )
    drawn = draw_detections(_grey(48, 64), detections, {0: "ü" * 300, 1: "two\nlines"})
    assert drawn.shape == (48, 64, 3)
    only_bad = draw_detections(_grey(48, 64), _detections((np.nan, 0, 1, 1)), ["x"])
    np.testing.assert_array_equal(only_bad, _grey(48, 64))


def test_own_colors_are_used() -> None:
    colors = np.array([[1, 2, 3]], np.uint8)
    drawn = draw_detections(_grey(240, 320), _detections((50, 50, 200, 200)), ["a"], colors)
    np.testing.assert_array_equal(drawn[200, 120], (1, 2, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_mask_colors(dtype: type) -> None:
    colors = palette(7, background=True)
    mask = np.random.default_rng(0).integers(0, 7, (30, 40)).astype(dtype)
    colored = color_mask(mask, colors)
    np.testing.assert_array_equal(colored, colors[mask])
    assert colored.dtype == np.uint8
    np.testing.assert_array_equal(color_mask(mask + dtype(7), colors), colored)


def test_mask_tints_classes_and_leaves_the_background() -> None:
    picture = _grey(60, 80)
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:60] = 1
    colors = np.array([[0, 0, 0], [250, 0, 0]], np.uint8)
    blended = blend_mask(picture, mask, colors, 0.5)
    np.testing.assert_array_equal(blended[mask == 0], picture[mask == 0])
    np.testing.assert_array_equal(blended[30, 45], (170, 45, 45))
    assert blended[20, 45, 0] > 200  # the outline is stronger
    np.testing.assert_array_equal(blend_mask(picture, mask, colors, 0.0), picture)


def test_heat_shows_where_it_is_and_not_elsewhere() -> None:
    picture = _grey(60, 80)
    heat = np.zeros((60, 80), np.float32)
    heat[:, 40:] = 0.8
    heat[0, 0] = np.nan
    blended = blend_heatmap(picture, heat, 0.6)
    hot, cold = blended[30, 60].astype(int), blended[30, 20].astype(int)
    assert hot[0] - hot[2] > 60
    assert np.ptp(cold) <= 3
    assert 60 <= cold[0] <= 90
    np.testing.assert_array_equal(blended[0, 0], blended[30, 20])
    np.testing.assert_array_equal(blend_heatmap(picture, heat, 0.0), picture)


def test_heat_beyond_its_range_is_clipped() -> None:
    picture = _grey(8, 8)
    one, many = np.ones((8, 8), np.float32), np.full((8, 8), 7.0, np.float32)
    np.testing.assert_array_equal(blend_heatmap(picture, many), blend_heatmap(picture, one))
    zero, negative = np.zeros((8, 8), np.float32), np.full((8, 8), -7.0, np.float32)
    np.testing.assert_array_equal(blend_heatmap(picture, negative), blend_heatmap(picture, zero))


def test_signed_values_have_two_hues_of_equal_lightness_about_the_picture() -> None:
    values = np.tile(np.linspace(-1, 1, 255, dtype=np.float32), (2, 1))
    values[1, 0] = np.nan
    blended = blend_signed(np.zeros((2, 255, 3), np.uint8), values, 1.0).astype(int)
    negative, zero, positive = blended[0, :127][::-1], blended[0, 127], blended[0, 128:]
    assert not zero.any() and not blended[1, 0].any()
    assert (positive[20:, 0] > positive[20:, 2]).all()
    assert (negative[20:, 2] > negative[20:, 0]).all()
    for side in (positive, negative):
        lightness = _lightness(side)
        assert (np.diff(lightness) >= 0).all()
        np.testing.assert_allclose(lightness, np.linspace(0, 0.84, 127), atol=0.1)
    np.testing.assert_allclose(_lightness(positive), _lightness(negative), atol=0.04)
    picture = _grey(2, 255)
    np.testing.assert_array_equal(blend_signed(picture, 9 * values, 0.0), picture)
    beyond = blend_signed(picture, 9 * values)[0]
    assert (beyond[200:] == blend_signed(picture, values)[0, -1]).all()


def _lightness(colors: np.ndarray) -> np.ndarray:
    """Return Oklab's lightness of sRGB colors (N, 3)."""
    encoded = colors / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.transpose(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ [0.2104542553, 0.7936177850, -0.0040720468]


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("text", ["why: cup 0.93", "a very long caption " * 20])
def test_captions_fit_in_the_lower_edge(shape: tuple[int, int], text: str) -> None:
    picture = _grey(*shape)
    captioned = draw_caption(picture, text)
    assert captioned.shape == picture.shape
    assert (picture == 90).all()
    if shape[0] > 100:
        changed = (captioned != picture).any(axis=(1, 2))
        assert changed[-1]
        assert not changed[: int(shape[0] * 0.85)].any()


def test_sizes_must_agree() -> None:
    with pytest.raises(ConfigError, match=r"mask has shape \(4, 5\) and the picture \(4, 4, 3\)"):
        blend_mask(_grey(4, 4), np.zeros((4, 5), np.uint8), palette(2))
    with pytest.raises(ConfigError, match="heat map has shape"):
        blend_heatmap(_grey(4, 4), np.zeros((5, 4), np.float32))
    with pytest.raises(ConfigError, match="palette is empty"):
        color_mask(np.zeros((4, 4), np.uint8), palette(0))
