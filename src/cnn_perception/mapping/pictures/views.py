"""Pictures of an occupancy map: from a corner above, and straight from above.

Drawn with numpy and OpenCV alone. Every visible cell is a sprite of a few pixels; the sprites are
stamped into a depth buffer pixel by pixel of the sprite, for all cells at once, nearest last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.pictures.cell_grid import (
    CellGrid,
    Index,
    cell_grid,
    drawn_edge,
    height_fractions,
)
from cnn_perception.mapping.pictures.legend import Canvas, height_colors
from cnn_perception.types import Cells, Float32Array, Float64Array, UInt8Array

__all__ = ["render_isometric", "render_top"]

_MARGIN = 56.0
_SUPERSAMPLING = 2
_COS30, _TAN30 = math.cos(math.pi / 6), math.tan(math.pi / 6)
_BRIGHTNESS = np.array([1.0, 0.82, 0.62], np.float32)  # of top, left and right faces
_EDGE = np.float32(0.9)
_QUARTER_TURN = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
_RING = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
_FENCING = np.float32(0.06)
_STAMPED_AT_ONCE = 1 << 18  # pixels, so that their places stay in the cache
_FREE, _UNKNOWN = (255, 255, 255), (226, 229, 233)


def render_isometric(
    cells: Cells,
    *,
    width: int = 1280,
    height: int = 960,
    camera_path: Float32Array | None = None,
    below: float = math.inf,
    quarter_turns: int | None = None,
    title: str = "",
    colors: UInt8Array | None = None,
    legend: Mapping[str, tuple[int, int, int]] | None = None,
) -> UInt8Array:
    """Draw occupied cells as shaded cubes seen from a corner above, colored by height.

    camera_path: float32 (N, 3) metres, drawn over the map. below: cells whose centre is higher,
    metres, are left out, such as a ceiling. quarter_turns: turns the map about z before drawing;
    at 0 the viewer stands at +x, +y; None takes the corner nearest to the camera path, from where
    the surfaces that the camera saw are seen. colors: uint8 (N, 3) RGB, each cell's own instead of
    that of its height; `legend` then says what they mean. Returns RGB uint8 (height, width, 3).
    """
    canvas = Canvas(width, height)
    canvas.title(title)
    grid = cell_grid(cells, below, drawn_edge(cells))
    if len(grid.cells) == 0:
        return canvas.pixels
    if quarter_turns is None:
        quarter_turns = _facing(grid, camera_path)
    rotation = np.linalg.matrix_power(_QUARTER_TURN, quarter_turns % 4)
    # Corners turn about the origin, so the lower corner of a turned cell is no longer its first.
    turned = (2 * grid.cells + 1) @ rotation.T // 2
    shown, brightness = _exposed(turned)
    visible = turned[shown]
    low, high = visible.min(axis=0), visible.max(axis=0) + 1
    box = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    flat = _project(box)
    scale, offset = canvas.fit(flat.min(axis=0), flat.max(axis=0), _MARGIN)
    fractions, limits = height_fractions(visible[:, 2], grid.edge)
    own = height_colors(fractions) if colors is None else colors[grid.sources[shown]]
    faces = own.astype(np.float32)[:, None, :] * brightness[..., None]
    canvas.paint(*_stamp(visible, faces, scale, offset, (width, height)))
    if camera_path is not None and len(camera_path):
        canvas.path(_project(grid.to_grid(camera_path) @ rotation.T) * scale + offset)
    canvas.axes(_project(np.eye(3) @ rotation.T) * scale / grid.edge)
    if colors is None:
        canvas.heights(*limits)
    else:
        canvas.names(legend or {})
    return canvas.pixels


def render_top(
    cells: Cells,
    free: Cells | None = None,
    *,
    width: int = 1280,
    height: int = 960,
    camera_path: Float32Array | None = None,
    below: float = math.inf,
    title: str = "",
) -> UInt8Array:
    """Draw a map straight from above, x to the right and y up: the highest cell of each column.

    Where `free` is given, columns with known free space are white and unknown ones grey. The rest
    as for `render_isometric`. Returns RGB uint8 (height, width, 3).
    """
    canvas = Canvas(width, height)
    canvas.title(title)
    edge = max(drawn_edge(cells), drawn_edge(free) if free is not None else 0.0)
    grid = cell_grid(cells, below, edge)
    open_space = (
        cell_grid(free, below, edge).cells if free is not None else np.zeros((0, 3), np.int64)
    )
    everything = np.concatenate([grid.cells, open_space])[:, :2]
    if len(everything) == 0:
        return canvas.pixels
    low, high = everything.min(axis=0), everything.max(axis=0) + 1
    picture, cover = _columns(grid.cells, open_space, low, high - low)
    flip = np.array([1.0, -1.0])
    scale, offset = canvas.fit(flip * [low[0], high[1]], flip * [high[0], low[1]], _MARGIN)
    move = np.array(
        [[scale, 0, offset[0] + scale * low[0]], [0, scale, offset[1] - scale * high[1]]]
    )
    # Pixel centres are whole numbers in OpenCV: shift by half a pixel on both sides.
    move[:, 2] += scale * 0.5 - 0.5
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    layers = [
        cv2.warpAffine(layer, move, (width, height), flags=mode) for layer in (picture, cover)
    ]
    canvas.paint(np.asarray(layers[0], np.uint8), np.asarray(layers[1], np.float32))
    if camera_path is not None and len(camera_path):
        canvas.path(grid.to_grid(camera_path)[:, :2] * flip * scale + offset)
    canvas.scale_bar(scale / grid.edge)
    if len(grid.cells):
        canvas.heights(*height_fractions(grid.cells[:, 2], grid.edge)[1])
    if free is not None:
        canvas.names({"free": _FREE, "unknown": _UNKNOWN}, above_heights=True)
    return canvas.pixels


def _facing(grid: CellGrid, camera_path: Float32Array | None) -> int:
    """Return the quarter turns that bring the camera path towards the viewer."""
    if camera_path is None or len(camera_path) == 0:
        return 0
    x, y, _ = grid.to_grid(camera_path).mean(axis=0) - grid.cells.mean(axis=0)
    towards_viewer = [x + y, x - y, -x - y, y - x]  # x + y after 0, 1, 2, 3 turns
    return int(np.argmax(towards_viewer))


def _exposed(cells: Index) -> tuple[Index, Float32Array]:
    """Return which cells have a face that the viewer may see, and how bright their faces are.

    The brightness, float32 (N, 3) for the top, left and right face, is less in corners that other
    cells fence in.
    """
    low = cells.min(axis=0) - 1
    filled = np.zeros(cells.max(axis=0) - low + 2, np.bool_)
    x, y, z = (cells - low).T
    filled[x, y, z] = True
    hidden = filled[x + 1, y, z] & filled[x, y + 1, z] & filled[x, y, z + 1]
    x, y, z = x[~hidden], y[~hidden], z[~hidden]
    brightness = np.empty((len(x), 3), np.float32)
    # Each face lies in a plane of the two other axes, one cell outwards along its own.
    for face, outwards in enumerate(((0, 0, 1), (0, 1, 0), (1, 0, 0))):
        fence = np.zeros(len(x), np.float32)
        for step in _RING:
            dx, dy, dz = np.insert(step, outwards.index(1), 1)
            fence += filled[x + dx, y + dy, z + dz]
        brightness[:, face] = _BRIGHTNESS[face] * (1 - _FENCING * fence)
    return np.flatnonzero(~hidden), brightness


def _project(points: NDArray[np.generic]) -> Float64Array:
    """Return isometric picture coordinates (N, 2), y down, in cell edges."""
    x, y, z = np.asarray(points, np.float64).T
    return np.stack([(x - y) * _COS30, (x + y) * 0.5 - z], axis=1)


def _sprite(size: float) -> tuple[Index, Index, NDArray[np.int32]]:
    """Return dx, dy and face of a cube's pixels about its nearest corner.

    Faces are 0 top, 1 left, 2 right; 3 more on the edges of cubes that are large enough.
    """
    reach = math.ceil(size) + 1
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    slant = np.abs(dx) * _TAN30
    # Half a pixel more on each side closes the seams that rounding opens between cubes.
    inside = (np.abs(dx) <= size * _COS30 + 0.5) & (np.abs(dy) + slant <= size + 0.5)
    face = np.where(dy <= -slant, 0, np.where(dx < 0, 1, 2))
    rim = np.abs(dy) + slant >= size - 0.6
    rim |= np.abs(dx) >= size * _COS30 - 0.6
    if size >= 9:
        face = face + 3 * rim
    return dx[inside], dy[inside], face[inside].astype(np.int32)


def _stamp(
    cells: Index, colors: Float32Array, scale: float, offset: Float64Array, size: tuple[int, int]
) -> tuple[UInt8Array, Float32Array]:
    """Draw cubes, colors (N, 3 faces, 3); returns RGB uint8 (H, W, 3), opacity float32 (H, W)."""
    width, height = (side * _SUPERSAMPLING for side in size)
    order = np.argsort(cells.sum(axis=1), kind="stable")
    near_corners = _project(cells[order] + 1) * scale + offset
    column, row = np.rint(near_corners * _SUPERSAMPLING).astype(np.int64).T
    dx, dy, face = _sprite(scale * _SUPERSAMPLING)
    reach = int(max(np.abs(dx).max(), np.abs(dy).max()))
    # What shows at a pixel: the row in a table of colors, six for each cube, the first for none.
    stride = width + 2 * reach
    buffer = np.zeros((height + 2 * reach) * stride, np.int32)
    start, step = (row + reach) * stride + column + reach, dy * stride + dx
    first = 1 + 6 * np.arange(len(order), dtype=np.int32)
    count = max(1, _STAMPED_AT_ONCE // len(step))
    for i in range(0, len(order), count):
        # Of several that are assigned to a pixel the last one stays: the nearest.
        buffer[start[i : i + count, None] + step] = first[i : i + count, None] + face
    shown = buffer.reshape(-1, stride)[reach : reach + height, reach : reach + width]
    faces = colors[order]
    table = np.concatenate([faces, faces * _EDGE], axis=1).reshape(-1, 3)
    picture = np.concatenate([np.zeros((1, 3), np.float32), table]).take(shown, axis=0)
    cover = (shown > 0).astype(np.float32)
    # Averaging mixes in the black of empty pixels: dividing by the cover takes it out again.
    soft = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)
    mixed = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    pixels = mixed / np.maximum(soft, 1e-3)[..., None]
    return np.clip(pixels, 0, 255).astype(np.uint8), np.asarray(soft, np.float32)


def _columns(
    cells: Index, open_space: Index, low: Index, size: Index
) -> tuple[UInt8Array, Float32Array]:
    """Return the picture of all columns, a pixel each, y up, and where it is known.

    A column is darker the more of its neighbours are higher: that draws the edges of things.
    """
    columns, rows = int(size[0]), int(size[1])
    picture = np.full((rows, columns, 3), _UNKNOWN, np.uint8)
    cover = np.zeros((rows, columns), np.float32)
    if len(open_space):
        x, y = (open_space[:, :2] - low).T
        picture[rows - 1 - y, x] = _FREE
        cover[:] = 1.0
    if len(cells):
        highest = cells[np.argsort(cells[:, 2], kind="stable")]
        x, y = (highest[:, :2] - low).T
        tops = np.full((rows + 2, columns + 2), np.iinfo(np.int64).min)
        tops[rows - y, x + 1] = highest[:, 2]
        fence = np.zeros((rows, columns), np.float32)
        for dx, dy in _RING:
            beside = tops[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
            fence += beside > tops[1:-1, 1:-1]
        colors = height_colors(height_fractions(highest[:, 2], 1.0)[0])
        picture[rows - 1 - y, x] = colors * (1 - _FENCING * fence[rows - 1 - y, x])[:, None]
        cover[rows - 1 - y, x] = 1.0
    return picture, cover
