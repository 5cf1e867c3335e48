"""Pictures as points, drawn: each is to be found, where it belongs and in its class's color."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.image.draw import palette
from cnn_perception.offboard.explain_methods.scatter import THUMBNAIL, draw_scatter, thumbnail
from cnn_perception.types import UInt8Array


def _plain(shade: int, size: tuple[int, int] = (20, 30)) -> UInt8Array:
    return np.full((*size, 3), shade, np.uint8)


def _centre(drawn: UInt8Array, color: object) -> tuple[float, float]:
    """Return x and y of the middle of what has a color, above the legend."""
    rows, columns = np.nonzero((drawn[:920] == color).all(-1))
    return columns.mean(), rows.mean()


@pytest.mark.parametrize(
    ("size", "small"),
    [((300, 600), (36, 72)), ((600, 300), (72, 36)), ((1, 1), (1, 1)), ((1, 2000), (1, 72))],
)
def test_thumbnails_keep_their_proportions(size: tuple[int, int], small: tuple[int, int]) -> None:
    found = thumbnail(_plain(77, size))
    assert found.shape == (*small, 3) and max(small) <= THUMBNAIL
    assert (found == 77).all()


def test_pictures_lie_where_their_points_do() -> None:
    points = np.array([[0, 0], [10, 0], [0, 5], [4, 2]], np.float32)
    shades = (40, 80, 120, 160)
    drawn = draw_scatter(points, [_plain(shade) for shade in shades], [], "title")
    places = np.array([_centre(drawn, (shade,) * 3) for shade in shades])
    found = places - places[0]
    # One scale for both axes, y upwards.
    scale = found[1, 0] / 10
    np.testing.assert_allclose(found, points * (scale, -scale), atol=1.01)
    assert scale > 90


def test_what_has_no_room_is_a_dot_and_classes_have_colors() -> None:
    points = np.array([[0, 0], [0, 0.01], [9, 9]], np.float32)
    drawn = draw_scatter(points, [_plain(s) for s in (40, 80, 120)], ["b", "a", "b"], "title")
    first, second = palette(2)
    assert (drawn[:920] == (40,) * 3).all(-1).any() and (drawn[:920] == (120,) * 3).all(-1).any()
    assert not (drawn[:920] == (80,) * 3).all(-1).any()
    area = (drawn[:920] == first).all(-1).sum()
    assert 50 < area < 90  # a dot of the class "a"
    assert (drawn[:920] == second).all(-1).sum() > 2 * 250  # two frames
    for color in (first, second):
        assert (drawn[920:] == color).all(-1).sum() >= 100  # the legend


@pytest.mark.parametrize("points", [np.zeros((3, 2)), np.array([[0, 1], [0, 2], [0, 3]])])
def test_points_in_one_place_or_on_a_line(points: np.ndarray) -> None:
    drawn = draw_scatter(points.astype(np.float32), [_plain(40)] * 3, [], "title", ("x", "y"))
    seen = (drawn == (40,) * 3).all(-1).sum()
    # In one place, the dots of the other two lie upon the first.
    assert seen == 3 * 20 * 30 if points.any() else 300 < seen < 20 * 30


def test_many_classes_have_a_legend_of_several_rows() -> None:
    points = np.random.default_rng(0).standard_normal((80, 2)).astype(np.float32)
    names = [f"a class of its own {k}" for k in range(80)]
    few = draw_scatter(points, [_plain(40)] * 80, ["one", *["two"] * 79], "title")
    drawn = draw_scatter(points, [_plain(40)] * 80, names, "title")
    assert drawn.shape[0] > few.shape[0] + 100
    assert (drawn[-25:].min(-1) < 128).any()
