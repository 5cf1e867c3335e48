"""Keys: the bar that explains the colors, and room for its words at every size."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.image.draw import blend_heatmap, blend_signed
from cnn_perception.image.key import Key, draw_key, grey_key, heat_key, signed_key, viridis_key
from cnn_perception.types import UInt8Array

CAPTION = "golden retriever 0.93, guided-gradcam features.16.conv.0"
RED_GREEN = Key(np.repeat([[[255, 0, 0], [0, 255, 0]]], 128, axis=1).astype(np.uint8), "a", "b")


def _grey(height: int, width: int) -> UInt8Array:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_bars_are_in_the_colors_of_the_maps(alpha: float) -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    heat, signed = heat_key(alpha), signed_key(alpha)
    np.testing.assert_array_equal(heat.bar, blend_heatmap(_grey(1, 256), ramp, alpha))
    np.testing.assert_array_equal(signed.bar, blend_signed(_grey(1, 256), 2 * ramp - 1, alpha))
    for key in (heat, signed, grey_key("most"), viridis_key("least", "most")):
        assert (key.bar.shape, key.bar.dtype) == ((1, 256, 3), np.uint8)
        assert len(np.unique(key.bar[0], axis=0)) > 60
        assert key.low and key.high


@pytest.mark.parametrize(
    ("size", "factor"),
    [((1, 1), 320), ((60, 80), 4), ((240, 320), 1), ((480, 640), 1), ((1080, 1920), 1)],
)
@pytest.mark.parametrize("text", ["", "cup 0.93", CAPTION, CAPTION * 3])
def test_words_and_bar_have_room_at_every_size(
    size: tuple[int, int], factor: int, text: str
) -> None:
    picture = _grey(*size)
    drawn = draw_key(picture, text, RED_GREEN)
    assert (picture == 128).all()
    assert drawn.shape[1] == factor * size[1] >= 320
    assert drawn.shape[0] >= factor * size[0]
    red, green = ((drawn == color).all(-1) for color in ((255, 0, 0), (0, 255, 0)))
    (top, left), (bottom, right) = np.argwhere(red).min(0), np.argwhere(green).max(0)
    assert bottom - top >= 8 and right - left >= 70
    assert right < drawn.shape[1] - 8 and bottom < drawn.shape[0] - 3
    # Words do not run into the bar, nor out of the picture.
    bright = drawn.min(-1) > 200
    assert not bright[:, -2:].any() and not bright[-2:].any()
    assert not bright[top : bottom + 1, left - 2 : right + 3].any()
    assert bright[top : bottom + 1, right + 3 :].any()  # "b"


def test_a_picture_that_is_all_words_gets_a_footer() -> None:
    drawn = draw_key(_grey(4, 400), CAPTION * 2)
    assert drawn.shape[0] > 30 and drawn.shape[1] == 400
    assert draw_key(_grey(100, 400), "cup")[:70].tolist() == _grey(70, 400).tolist()
