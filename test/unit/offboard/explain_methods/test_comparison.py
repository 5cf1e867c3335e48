"""Explanations side by side: tiles in even rows above one legend."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.image.key import grey_key, viridis_key
from cnn_perception.offboard.explain_methods.comparison import Tile, draw_comparison
from cnn_perception.types import UInt8Array

RED, BLUE, GROUND = (250, 10, 20), (10, 20, 250), (226, 229, 233)


def _plain(color: tuple[int, ...], size: tuple[int, int] = (60, 80)) -> UInt8Array:
    return np.full((*size, 3), color, np.uint8)


def _has(drawn: UInt8Array, color: tuple[int, ...]) -> np.ndarray:
    return (drawn == color).all(-1)


def test_tiles_are_of_one_size_and_stand_in_even_rows() -> None:
    tiles = [Tile("title", "note", _plain((k, 100, 100))) for k in range(6)]
    drawn = draw_comparison(tiles, (60, 80))
    places = np.array([np.argwhere(_has(drawn, (k, 100, 100))).min(0) for k in range(6)])
    sizes = np.array([np.argwhere(_has(drawn, (k, 100, 100))).max(0) for k in range(6)]) - places
    assert (sizes == (224, 299)).all()
    rows, columns = places.T
    np.testing.assert_array_equal(columns[:3], columns[3:])
    assert len(set(rows[:3])) == len(set(rows[3:])) == 1
    assert rows[3] > rows[0] + 225
    assert len({columns[1] - columns[0], columns[2] - columns[1]}) == 1
    # Words stand above each.
    for row, column in places:
        assert (drawn[row - 40 : row, column : column + 300].min(-1) < 160).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3000, 2000), (48, 48)])
def test_pictures_of_every_shape_are_shown_whole(size: tuple[int, int]) -> None:
    pictures = [Tile("", "", _plain(RED, size)), Tile("", "", _plain(BLUE, (30, 30)))]
    drawn = draw_comparison(pictures, size)
    shown = np.argwhere(_has(drawn, RED))
    height, width = shown.max(0) - shown.min(0) + 1
    scale = min(300 / size[1], round(300 * min(max(size[0] / size[1], 0.5), 1.5)) / size[0])
    assert abs(height - max(1, size[0] * scale)) <= 1
    assert abs(width - max(1, size[1] * scale)) <= 1


def test_a_key_is_explained_once() -> None:
    grey, also, colors = grey_key("most"), grey_key("most"), viridis_key("least", "most")
    one = draw_comparison(
        [Tile("a", "", _plain(RED), grey), Tile("b", "", _plain(RED), also)], (1, 1)
    )
    tiles = [Tile("a", "", _plain(RED), grey), Tile("b", "", _plain(RED), colors)]
    two = draw_comparison(tiles, (1, 1))
    without = draw_comparison([Tile("a", "", _plain(RED)), Tile("b", "", _plain(RED))], (1, 1))
    assert without.shape[0] < one.shape[0] < two.shape[0]
    # Black of the grey bar; yellow at the end of the other.
    assert _has(one[-30:], (0, 0, 0)).any()
    assert [(np.ptp(x[-30:].astype(int), axis=-1) > 150).any() for x in (one, two)] == [False, True]


def test_what_is_not_to_be_had_is_said_within_its_tile() -> None:
    why = (
        "CAM needs logits that are a linear layer on the averages of a layer "
        + 9 * "or "
        + "x" * 99
    )
    drawn = draw_comparison([Tile("gradcam", "", _plain(RED)), Tile("cam", "", why)], (60, 80))
    ground = np.argwhere(_has(drawn, GROUND))
    (top, left), (bottom, right) = ground.min(0), ground.max(0)
    ink = drawn.min(-1) < 120
    assert ink[top:bottom, left + 8 : right - 8].sum() > 500
    assert not ink[top:, right - 6 :].any() and not ink[bottom + 1 :, left:].any()


def test_long_titles_stay_within_their_tiles() -> None:
    tiles = [Tile("guided-gradcam " * 9, "features.16.conv " * 9, _plain(RED)) for _ in range(6)]
    drawn = draw_comparison(tiles, (60, 80))
    columns = np.nonzero((drawn[:58].min(-1) < 160).any(0))[0]
    gaps = [x for x in (323, 639) if not (abs(columns - x) <= 4).any()]
    assert gaps == [323, 639]
    assert columns.max() < drawn.shape[1] - 10
