"""Pictures of maps: what is where, and in which color."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.mapping.pictures.cell_grid import ceiling
from cnn_perception.mapping.pictures.legend import height_colors
from cnn_perception.mapping.pictures.views import render_isometric, render_top
from cnn_perception.types import Cells, Float32Array, UInt8Array

WIDTH, HEIGHT = 320, 240


def cells(*corners: tuple[float, float, float], edge: float = 1.0) -> Cells:
    centers = np.array(corners, np.float32).reshape(-1, 3) + edge / 2
    return Cells(centers.astype(np.float32), np.full(len(centers), edge, np.float32))


def isometric(drawn: Cells, path: Float32Array | None = None, turns: int = 0) -> UInt8Array:
    return render_isometric(
        drawn, width=WIDTH, height=HEIGHT, camera_path=path, quarter_turns=turns
    )


def top(drawn: Cells, free: Cells | None = None) -> UInt8Array:
    return render_top(drawn, free, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("draw", [isometric, top])
def test_an_empty_map_is_an_empty_sheet(draw: object) -> None:
    assert callable(draw)
    picture = draw(cells())
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


def test_a_cube_shows_three_faces_lit_from_the_upper_left() -> None:
    picture = isometric(cells((0, 0, 0))).astype(int)
    middle, center = HEIGHT // 2, WIDTH // 2
    upper = picture[middle - 30, center].sum()
    left, right = picture[middle + 20, [center - 20, center + 20]].sum(axis=1)
    assert upper > left > right


def test_the_nearer_cube_hides_the_farther() -> None:
    near_is_high = isometric(cells((0, 0, 0), (5, 5, 5)))
    low, high = height_colors(np.array([0.0, 1.0], np.float32))
    place = near_is_high[HEIGHT // 2 - 6, WIDTH // 2].astype(float)
    assert np.abs(place - high).sum() < np.abs(place - low).sum()


def test_a_large_cube_looks_like_its_parts() -> None:
    corners = [(float(x), float(y), float(z)) for x, y, z in np.ndindex(2, 2, 2)]
    small = cells(*corners, (4, 0, 0))
    large = Cells(np.array([[1, 1, 1], [4.5, 0.5, 0.5]], np.float32), np.array([2, 1], np.float32))
    np.testing.assert_array_equal(isometric(small), isometric(large))


def test_no_seam_opens_between_neighbours() -> None:
    plate = cells(*[(float(x), float(y), 0.0) for x, y in np.ndindex(40, 40)])
    picture = isometric(plate)
    background = picture[0, 0]
    middle = picture[HEIGHT // 2 - 30 : HEIGHT // 2 + 30, WIDTH // 2 - 40 : WIDTH // 2 + 40]
    assert not (middle == background).all(axis=2).any()


def test_turning_brings_the_other_side_to_the_front() -> None:
    # A low cube behind a wall at quarter turn 0, before it at 2.
    wall = [(3.0, float(y), float(z)) for y, z in np.ndindex(6, 8)]
    scene = cells(*wall, (0, 0, 0), (0, 3, 0))
    lowest = height_colors(np.zeros(1, np.float32))[0]

    def dark(picture: UInt8Array) -> int:
        return int((np.abs(picture - lowest).sum(axis=2) < 12).sum())

    assert dark(isometric(scene, turns=2)) > dark(isometric(scene, turns=0))


def test_the_viewer_stands_where_the_camera_was() -> None:
    wall = cells(*[(3.0, float(y), float(z)) for y, z in np.ndindex(6, 8)])
    behind = np.array([[-9, -9, 2], [-9, -8, 2]], np.float32)
    chosen = render_isometric(wall, width=WIDTH, height=HEIGHT, camera_path=behind)
    np.testing.assert_array_equal(chosen, isometric(wall, behind, turns=2))


def test_the_camera_path_is_drawn_over_the_map() -> None:
    plate = cells(*[(float(x), float(y), 0.0) for x, y in np.ndindex(9, 9)])
    path = np.array([[1, 1, 1], [8, 8, 1]], np.float32)
    without, with_path = isometric(plate), isometric(plate, path)
    changed = (without != with_path).any(axis=2)
    assert changed.any()
    red, green, _ = with_path[changed].astype(int).T
    assert (red > green + 100).any()


def test_a_ceiling_can_be_left_out() -> None:
    room = cells((0, 0, 0), (0, 0, 5), (1, 0, 0))
    np.testing.assert_array_equal(
        render_isometric(room, width=WIDTH, height=HEIGHT, below=2.0),
        isometric(cells((0, 0, 0), (1, 0, 0))),
    )


def test_from_above_x_is_right_and_y_is_up() -> None:
    # The tallest column is at +x, +y: upper right.
    scene = cells((0, 0, 0), (9, 0, 0), (0, 9, 0), (9, 9, 0), (9, 9, 1), (9, 9, 2))
    picture = top(scene).astype(float)
    highest = height_colors(np.ones(1, np.float32))[0]
    rows, columns = np.nonzero(np.abs(picture - highest).sum(axis=2) < 12)
    square = columns < WIDTH * 0.8  # not the scale of heights at the right
    assert square.any()
    assert (rows[square] < HEIGHT / 2).all()
    assert (columns[square] > WIDTH / 2).all()


def test_free_and_unknown_space_differ_from_above() -> None:
    picture = top(cells((0, 0, 0)), cells((3, 3, 0), (2, 0, 0)))
    colors = {tuple(color) for color in np.unique(picture.reshape(-1, 3), axis=0)}
    assert (255, 255, 255) in colors
    assert (226, 229, 233) in colors


def test_a_very_wide_map_is_drawn_coarser() -> None:
    wide = cells((0, 0, 0), (4000, 0, 0), (0, 3000, 40), edge=0.05)
    for picture in (isometric(wide), top(wide)):
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


def test_cells_in_colors_of_their_own_have_a_legend_of_names() -> None:
    red, blue = (200, 40, 40), (40, 60, 200)
    cells = Cells(
        np.array([[0.05, 0.05, 0.05], [0.05, 0.05, 0.15], [2.05, 0.05, 0.05]], np.float32),
        np.full(3, 0.1, np.float32),
    )
    colors = np.array([red, blue, blue], np.uint8)
    plain = render_isometric(cells, quarter_turns=0)
    own = render_isometric(cells, quarter_turns=0, colors=colors)
    named = render_isometric(
        cells, quarter_turns=0, colors=colors, legend={"chair": red, "wall": blue}
    )

    def count(picture: np.ndarray, color: tuple[int, int, int]) -> int:
        return int((picture == color).all(axis=2).sum())

    assert count(plain, red) == count(plain, blue) == 0
    tops = count(own, blue)  # faces of full brightness: the tops of two towers
    assert tops > 100
    assert count(own, red) == 0  # the red cell lies under a blue one
    for color in (red, blue):
        assert count(named, color) - count(own, color) == 14 * 14
    assert (own[..., 0] > own[..., 2] + 50).sum() > 100  # its sides are red


def test_a_ceiling_is_found_above_the_camera() -> None:
    floor = [(float(x), float(y), 0.0) for x, y in np.ndindex(10, 10)]
    wall = [(0.0, float(y), float(z)) for y, z in np.ndindex(10, 12)]
    cover = [(float(x), float(y), 8.0) for x, y in np.ndindex(10, 6)]
    path = np.array([[5.0, 5.0, 2.5], [6.0, 5.0, 3.0]], np.float32)
    assert ceiling(cells(*floor, *wall), path) == np.inf
    room = cells(*floor, *wall, *cover)
    assert ceiling(room, path) == 8.0
    # A floor below the camera is none, and without a camera there is no telling.
    assert ceiling(room, path + np.float32([0, 0, 9])) == np.inf
    assert ceiling(room, np.zeros((0, 3), np.float32)) == np.inf
    assert ceiling(cells(), path) == np.inf


def test_edges_are_darker_from_above() -> None:
    plate = [(float(x), float(y), 0.0) for x, y in np.ndindex(9, 9)]
    flat, with_box = top(cells(*plate)), top(cells(*plate, (4, 4, 1), (4, 4, 9)))
    lowest = height_colors(np.zeros(1, np.float32))[0]
    assert (np.abs(flat - lowest).sum(axis=2) < 3).sum() > 1000
    darker = (with_box[..., 2].astype(int) < lowest[2] * 0.96) & (with_box[..., 2] > 50)
    # Eight cells of a ninth of the sheet each lie around the box.
    side = flat.shape[0] / 9
    assert 4 * side**2 < darker.sum() < 9 * side**2


def test_the_title_stays_off_the_map() -> None:
    wide = cells(*[(float(x), float(y), 0.0) for x, y in np.ndindex(9, 9)])
    plain = render_top(wide, width=1280, height=960)
    titled = render_top(wide, width=1280, height=960, title="a title")
    color = height_colors(np.zeros(1, np.float32))[0]

    def first_row(picture: UInt8Array) -> int:
        on_map = (np.abs(picture - color).sum(axis=2) < 3)[:, :1100]
        return int(np.argmax(on_map.any(axis=1)))

    assert first_row(plain) < 64
    assert first_row(titled) >= 76
