"""Draw the pictures of mapping.md, with the package's own mapper: python docs/draw_mapping.py

`images/mapping_scan.png` is a slice through a map after one scan of a camera with one row of
pixels. Beside it are the same cells by how the sweep decides them; the script checks that its
answer is the mapper's. The other pictures are maps of the shipped drive.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.keys import KEY_ORIGIN
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.pictures.views import render_isometric, render_top
from cnn_perception.offboard.benchmarks.frames import read_frames
from cnn_perception.resources import demo_drive
from cnn_perception.types import BoolArray as Flags
from cnn_perception.types import CameraIntrinsics, RigidTransform, UInt8Array
from cnn_perception.types import Float64Array as Points
from cnn_perception.types import IntArray as Cells

IMAGES = Path(__file__).resolve().parent / "images"
CELL, RANGE = 0.1, 2.9
CAMERA = CameraIntrinsics(192, 1, 150.0, 150.0, 95.5, 0.0)
EYE, TURN = np.array([0.13, 1.52]), 0.07
# Walls of the scene as segments (x, y) - (x, y), metres: a box, the room behind, a thin post.
SCENE = [
    [(1.35, 1.05), (1.35, 1.62)],
    [(1.35, 1.62), (1.78, 1.62)],
    [(1.78, 1.62), (1.78, 1.05)],
    [(2.62, 3.1), (2.62, 1.5)],
    [(2.62, 1.5), (4.5, 1.5)],
    [(0.9, 2.42), (2.62, 2.62)],
    [(1.92, 0.62), (1.98, 0.66)],
    [(1.0, 0.35), (4.5, 0.12)],
]
COLUMNS, ROWS = 34, 31  # of cells in the picture
SCALE, MARGIN, LEGEND = 22, 26, 64  # pixels
INK, GRID, PAPER = (58, 64, 74), (214, 219, 225), (244, 246, 248)
FREE, HIT, NOTHING = (255, 255, 255), (38, 130, 142), (226, 229, 233)
DOUBTFUL, RAY, EYE_COLOR = (253, 200, 110), (226, 140, 160), (222, 30, 80)


@dataclass(frozen=True, slots=True)
class Scan:
    """One row of pixels: unit depth directions (N, 2) in the map, depths (N,)."""

    directions: Points
    depth: Points

    @property
    def ends(self) -> Points:
        """Where rays end, cut to RANGE, relative to the camera."""
        rays = self.directions * self.depth[:, None]
        lengths = np.linalg.norm(rays, axis=1)
        return np.asarray(rays * np.minimum(1.0, RANGE / lengths)[:, None])

    @property
    def hits(self) -> Flags:
        """Whether a ray ends at what it measured."""
        return np.asarray(np.linalg.norm(self.directions, axis=1) * self.depth <= RANGE)


def main() -> None:
    """Write all pictures."""
    scan = make_scan()
    states = mapped(scan)
    passed, doubtful = decided(scan, states == 1)
    if not np.array_equal(passed, states == 0):
        raise SystemExit("the cells are decided otherwise than by the mapper")
    panels = [draw_rays(scan, states), draw_decisions(states, doubtful)]
    gap = np.full((panels[0].shape[0], 8, 3), 255, np.uint8)
    save("mapping_scan.png", np.concatenate([panels[0], gap, panels[1]], axis=1))
    draw_maps()


def make_scan() -> Scan:
    """Measure the scene with a camera of one row."""
    ahead, left = axes()
    sideways = (CAMERA.cx - np.arange(CAMERA.width)) / CAMERA.fx
    directions = ahead + sideways[:, None] * left
    depth = np.full(CAMERA.width, 60.0)
    for start, end in np.array(SCENE):
        edge, away = end - start, start - EYE
        across = directions[:, 0] * edge[1] - directions[:, 1] * edge[0]
        along = (away[0] * edge[1] - away[1] * edge[0]) / across
        share = (away[0] * directions[:, 1] - away[1] * directions[:, 0]) / across
        met = (along > 0) & (share >= 0) & (share <= 1)
        depth = np.where(met, np.minimum(depth, along), depth)
    return Scan(directions, depth.astype(np.float32).astype(np.float64))


def mapped(scan: Scan) -> Cells:
    """Return the mapper's answer, (ROWS, COLUMNS): 1 occupied, 0 free, -1 unknown."""
    ahead, left = axes()
    rotation = np.array([[-left[0], 0, ahead[0]], [-left[1], 0, ahead[1]], [0, -1, 0]])
    pose = RigidTransform(rotation, np.array([*EYE, CELL / 2]))
    mapper = OccupancyMap(MapperConfig(resolution=CELL, max_range=RANGE))
    mapper.integrate_depth(scan.depth[None, :].astype(np.float32), CAMERA, pose)
    cells = mapper.leaves().finest()
    states = np.full((ROWS, COLUMNS), -1)
    x, y, _ = (cells.keys.astype(np.int64) - KEY_ORIGIN).T
    shown = (x >= 0) & (x < COLUMNS) & (y >= 0) & (y < ROWS)
    states[y[shown], x[shown]] = cells.occupied[shown]
    return states


def decided(scan: Scan, hits: Flags) -> tuple[Flags, Flags]:
    """Decide each cell without walking rays, where that is possible, as the sweep does.

    hits: cells in which something was measured. Returns which cells are passed, and which of all
    had to be searched ray by ray.
    """
    passed, doubtful = np.zeros(hits.shape, np.bool_), np.zeros(hits.shape, np.bool_)
    ahead, _ = axes()
    reach = scan.ends @ ahead  # depth at which each ray ends
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * CELL
    for row, column in np.argwhere(~hits):
        box = np.array([column, row]) * CELL + corners - EYE
        depths = box @ ahead
        enter, leave = clip(scan.directions, box[0])
        seen = enter < leave  # by rays through the cell, if they are long enough
        if not seen.any() or (reach[seen] <= depths.min()).all():
            continue  # not even the longest ray comes as far
        nearest = np.argmin(distances(scan.directions, box.mean(axis=0)))
        if seen[nearest] and reach[nearest] >= depths.max():
            passed[row, column] = True  # the ray by its centre goes on behind it
            continue
        doubtful[row, column] = True
        ends_here = ((scan.ends > box[0]) & (scan.ends < box[3])).all(axis=1)
        passed[row, column] = (seen & (reach > enter) & ~ends_here).any()
    return passed, doubtful


def axes() -> tuple[Points, Points]:
    """Return the directions ahead of the camera and to its left."""
    return np.array([np.cos(TURN), np.sin(TURN)]), np.array([-np.sin(TURN), np.cos(TURN)])


def distances(directions: Points, point: Points) -> Points:
    """Return how far a point lies from each ray."""
    across = directions[:, 0] * point[1] - directions[:, 1] * point[0]
    return np.asarray(np.abs(across) / np.linalg.norm(directions, axis=1))


def clip(directions: Points, low: Points) -> tuple[Points, Points]:
    """Return the depths between which each ray is in the cell with this lower corner."""
    borders = np.stack([low / directions, (low + CELL) / directions])
    enter, leave = borders.min(axis=0).max(axis=1), borders.max(axis=0).min(axis=1)
    return np.maximum(enter, 0.0), leave


def draw_rays(scan: Scan, states: Cells) -> UInt8Array:
    """Draw the map and every sixth ray."""
    panel = draw_cells({1: HIT, 0: FREE, -1: NOTHING}, states)
    for index in range(0, CAMERA.width, 6):
        end = EYE + scan.ends[index]
        cv2.line(panel, place(EYE), place(end), RAY, 1, cv2.LINE_AA)
        if scan.hits[index]:
            cv2.circle(panel, place(end), 4, EYE_COLOR, -1, cv2.LINE_AA)
    finish(panel, "one scan: a hit outweighs misses")
    entries = [("occupied", HIT), ("free", FREE), ("unknown", NOTHING)]
    return legend(panel, entries, "rays beyond the range clear, and hit nothing")


def draw_decisions(states: Cells, doubtful: Flags) -> UInt8Array:
    """Draw how each cell was decided."""
    panel = draw_cells({1: HIT, 0: FREE, -1: NOTHING, 2: DOUBTFUL}, np.where(doubtful, 2, states))
    for row, column in np.argwhere(doubtful & (states == 0)):
        center = (np.array([column, row]) + 0.5) * CELL
        cv2.circle(panel, place(center), 3, INK, -1, cv2.LINE_AA)
    finish(panel, "the same, decided cell by cell")
    entries = [
        ("hit", HIT),
        ("passed, by depth alone", FREE),
        ("not passed, by depth alone", NOTHING),
        ("searched ray by ray (dot: passed)", DOUBTFUL),
    ]
    note = f"{doubtful.sum()} of {doubtful.size} cells need a look at single rays"
    return legend(panel, entries, note)


def draw_cells(colors: dict[int, tuple[int, int, int]], kinds: Cells) -> UInt8Array:
    """Draw the grid, y up."""
    height, width = ROWS * SCALE + 2 * MARGIN + LEGEND + 30, COLUMNS * SCALE + 2 * MARGIN
    panel = np.full((height, width, 3), PAPER, np.uint8)
    for row, column in np.ndindex(ROWS, COLUMNS):
        x, y = place(np.array([column, row + 1]) * CELL)
        cv2.rectangle(panel, (x, y), (x + SCALE, y + SCALE), colors[int(kinds[row, column])], -1)
        cv2.rectangle(panel, (x, y), (x + SCALE, y + SCALE), GRID, 1)
    return panel


def finish(panel: UInt8Array, title: str) -> None:
    """Draw walls, camera and title."""
    for start, end in np.array(SCENE):
        cv2.line(panel, place(start), place(end), INK, 2, cv2.LINE_AA)
    # What of the walls lies beside the cells is not wanted.
    panel[: MARGIN + 30], panel[:, COLUMNS * SCALE + MARGIN + 1 :] = PAPER, PAPER
    panel[ROWS * SCALE + MARGIN + 31 :] = PAPER
    cv2.circle(panel, place(EYE), 9, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.circle(panel, place(EYE), 7, EYE_COLOR, -1, cv2.LINE_AA)
    write(panel, title, (MARGIN, MARGIN + 12), 0.62)


def legend(
    panel: UInt8Array, entries: list[tuple[str, tuple[int, int, int]]], note: str
) -> UInt8Array:
    """Write what the colors mean below the cells."""
    x, y = MARGIN, ROWS * SCALE + MARGIN + 54
    for name, color in entries:
        cv2.rectangle(panel, (x, y - 12), (x + 13, y + 1), color, -1)
        cv2.rectangle(panel, (x, y - 12), (x + 13, y + 1), (150, 156, 164), 1)
        write(panel, name, (x + 20, y), 0.42)
        x += 38 + cv2.getTextSize(name, cv2.FONT_HERSHEY_DUPLEX, 0.42, 1)[0][0]
    write(panel, note, (MARGIN, y + 26), 0.42)
    return panel


def write(panel: UInt8Array, text: str, where: tuple[int, int], size: float) -> None:
    """Write a line."""
    cv2.putText(panel, text, where, cv2.FONT_HERSHEY_DUPLEX, size, INK, 1, cv2.LINE_AA)


def place(point: Points) -> tuple[int, int]:
    """Return the pixel of a point in metres."""
    x, y = np.asarray(point) / CELL * SCALE
    return round(float(x)) + MARGIN, round(ROWS * SCALE - float(y)) + MARGIN + 30


def draw_maps() -> None:
    """Draw the map of the shipped drive, from a corner and from above."""
    mapper = OccupancyMap(MapperConfig())
    path = []
    for frame in read_frames(demo_drive(), 0):
        frame.scan.into(mapper)
        path.append(frame.scan.map_from_sensor.translation)
    way = np.array(path, np.float32)
    occupied, free = mapper.occupied_cells(), mapper.free_cells()
    corner = render_isometric(occupied, width=960, height=720, camera_path=way)
    above = render_top(occupied, free, width=960, height=720, camera_path=way)
    save("mapping_isometric.jpg", corner)
    save("mapping_top.png", above)


def save(name: str, picture: UInt8Array) -> None:
    """Write an RGB picture."""
    small = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 9], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 88]}
    options = small[Path(name).suffix]
    cv2.imwrite(str(IMAGES / name), picture[..., ::-1], options)


if __name__ == "__main__":
    main()
