"""Triangle meshes in numpy: boxes with soft edges, surfaces of revolution, tubes, sheets.

Everything is in metres with z up. Surfaces are seen from the side to which their normals point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnn_perception.types import Float32Array, Float64Array

__all__ = [
    "Mesh",
    "box",
    "capsule",
    "cylinder",
    "ellipsoid",
    "lathe",
    "loft",
    "merge",
    "rotation",
    "sheet",
    "surface",
    "tube",
]

_CREASE = np.cos(np.radians(35.0))


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """vertices, normals: float32 (N, 3); texture: float32 (N, 2) u, v; faces: int32 (M, 3)."""

    vertices: Float32Array
    normals: Float32Array
    texture: Float32Array
    faces: NDArray[np.int32]

    def moved(self, offset: ArrayLike = (0.0, 0.0, 0.0), turn: Float64Array | None = None) -> Mesh:
        """Return the mesh rotated by the (3, 3) matrix `turn`, then shifted by `offset`."""
        vertices, normals = self.vertices, self.normals
        if turn is not None:
            matrix = turn.T.astype(np.float32)
            vertices, normals = vertices @ matrix, normals @ matrix
        return replace(self, vertices=vertices + np.asarray(offset, np.float32), normals=normals)

    def tiled(self, u: float, v: float) -> Mesh:
        """Return the mesh with its texture repeated u times along, v times up."""
        return replace(self, texture=self.texture * np.array([u, v], np.float32))

    def painted(self, u: float, v: float) -> Mesh:
        """Return the mesh with every vertex at one point of the texture, a palette."""
        return replace(
            self, texture=np.broadcast_to(np.array([u, v], np.float32), self.texture.shape)
        )


def rotation(axis: str, angle: float) -> Float64Array:
    """Return the (3, 3) rotation by `angle` radians about axis x, y or z."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """Join meshes into one."""
    parts = list(meshes)
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.texture for part in parts]),
        np.concatenate(
            [part.faces + start for part, start in zip(parts, starts, strict=True)]
        ).astype(np.int32),
    )


def _outward(vertices: Float64Array, normals: Float64Array, faces: NDArray[np.int32]) -> None:
    """Turn, in place, the faces whose winding disagrees with the normals of their corners."""
    corners = vertices[faces]
    winding = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    wrong = (winding * normals[faces].sum(axis=1)).sum(axis=1) < 0
    faces[wrong] = faces[wrong][:, ::-1]


def _box_topology() -> tuple[Float64Array, NDArray[np.int64], NDArray[np.int32]]:
    """Corner signs of the 24 vertices (corner * 3 + axis), their axes, and the 44 triangles."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    signs = np.repeat(corners, 3, axis=0)
    axes = np.tile(np.arange(3), 8)
    index = {tuple(corner): 3 * i for i, corner in enumerate(corners.astype(int).tolist())}
    faces: list[tuple[int, int, int]] = []
    for axis in range(3):
        first, second = [a for a in range(3) if a != axis]

        def at(p: int, q: int, r: int, on: int, order: tuple[int, int, int]) -> int:
            corner = [0, 0, 0]
            corner[order[0]], corner[order[1]], corner[order[2]] = p, q, r
            return index[tuple(corner)] + on

        order = (axis, first, second)
        for side in (-1, 1):
            a, b, c, d = (
                at(side, p, q, axis, order) for p, q in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            )
            faces += [(a, b, c), (a, c, d)]
            # The bevel along the edges that run in direction `axis`.
            for other in (-1, 1):
                a, b = (at(end, side, other, first, order) for end in (-1, 1))
                c, d = (at(end, side, other, second, order) for end in (1, -1))
                faces += [(a, b, c), (a, c, d)]
    faces += [(3 * i, 3 * i + 1, 3 * i + 2) for i in range(8)]
    return signs, axes, np.array(faces, np.int32)


_SIGNS, _AXES, _FACES = _box_topology()


def box(
    size: Sequence[float],
    center: ArrayLike = (0.0, 0.0, 0.0),
    *,
    bevel: float = 0.0,
    period: float = 1.0,
) -> Mesh:
    """Return a box with edges rounded over `bevel` metres; one texture tile is `period` metres."""
    half = np.asarray(size, float) / 2
    bevel = min(bevel, 0.49 * float(half.min()) * 2)
    vertices = _SIGNS * half
    normals = np.zeros((24, 3))
    rows = np.arange(24)
    normals[rows, _AXES] = _SIGNS[rows, _AXES]
    inset = np.full((24, 3), bevel)
    inset[rows, _AXES] = 0.0
    vertices = vertices - _SIGNS * inset
    # Grain runs along the longer side of each face.
    others = np.array([[1, 2], [0, 2], [0, 1]])[_AXES]
    longer = np.where(half[others[:, 0]] >= half[others[:, 1]], 0, 1)
    u = vertices[rows, others[rows, longer]]
    v = vertices[rows, others[rows, 1 - longer]]
    texture = (np.stack([u, v], axis=1) + half.max()) / period
    faces = _FACES if bevel > 0 else _FACES[_flat_faces()]
    faces = faces.copy()
    _outward(vertices, normals, faces)
    return Mesh(
        (vertices + np.asarray(center, float)).astype(np.float32),
        normals.astype(np.float32),
        texture.astype(np.float32),
        faces,
    )


def _flat_faces() -> NDArray[np.bool_]:
    axes = _AXES[_FACES]
    return np.asarray((axes == axes[:, :1]).all(axis=1))


def surface(points: Float64Array, *, closed: bool = True, double: bool = False) -> Mesh:
    """Return the smooth surface through a grid of points, float (rows, columns, 3).

    Normals point to columns x rows: outward for columns that run counterclockwise about an axis and
    rows that run up it. With `closed` the last column meets the first (give it once); with `double`
    the surface is seen from both sides.
    """
    if closed:
        points = np.concatenate([points, points[:, :1]], axis=1)
    rows, columns = points.shape[:2]
    along = np.gradient(points, axis=1)
    if closed:
        along[:, 0] = along[:, -1] = (points[:, 1] - points[:, -2]) / 2
    normals = np.cross(along, np.gradient(points, axis=0))
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    normals = normals / np.maximum(length, 1e-12)
    for row, near in ((0, 1), (rows - 1, rows - 2)):
        if length[row].max() < 1e-9:
            # At a pole every column has the mean direction of the ring beside it.
            mean = normals[near].mean(axis=0)
            normals[row] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=2).max(axis=1)
    v = np.concatenate([[0.0], np.cumsum(steps)]) / max(float(steps.sum()), 1e-9)
    u = np.linspace(0.0, 1.0, columns)
    texture = np.stack(np.meshgrid(u, v), axis=2).reshape(-1, 2)
    corner = np.arange((rows - 1) * columns).reshape(rows - 1, columns)[:, :-1].ravel()
    quads = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], axis=1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    flat = points.reshape(-1, 3)
    corners = flat[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    mesh = Mesh(
        flat.astype(np.float32),
        normals.reshape(-1, 3).astype(np.float32),
        texture.astype(np.float32),
        faces[area > 1e-10],
    )
    if double:
        back = replace(mesh, normals=-mesh.normals, faces=mesh.faces[:, ::-1].copy())
        return merge([mesh, back])
    return mesh


def loft(sections: ArrayLike, segments: int = 14) -> Mesh:
    """Return the tube through ellipses: rows of z, radius x, radius y, centre x, centre y."""
    table = np.asarray(sections, float)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    z, radius_x, radius_y, center_x, center_y = (table[:, i, None] for i in range(5))
    points = np.stack(
        [
            center_x + radius_x * np.cos(angle),
            center_y + radius_y * np.sin(angle),
            np.broadcast_to(z, (len(table), segments)),
        ],
        axis=2,
    )
    return surface(points)


def lathe(profile: ArrayLike, segments: int = 18) -> Mesh:
    """Return the surface of revolution of rows of radius, z; corners sharper than 35 degrees stay.

    The profile runs up the outside (and down the inside, if it has one).
    """
    table = np.asarray(profile, float)
    steps = np.diff(table, axis=0)
    steps = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9)
    sharp = np.flatnonzero((steps[:-1] * steps[1:]).sum(axis=1) < _CREASE) + 1
    total = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(table, axis=0), axis=1))])
    runs = []
    for first, last in zip([0, *sharp], [*sharp, len(table) - 1], strict=True):
        part = table[first : last + 1]
        zero = np.zeros(len(part))
        run = loft(np.stack([part[:, 1], part[:, 0], part[:, 0], zero, zero], axis=1), segments)
        texture = run.texture.copy()
        texture[:, 1] = (total[first] + texture[:, 1] * (total[last] - total[first])) / total[-1]
        runs.append(replace(run, texture=texture))
    return merge(runs)


def cylinder(
    radius: float,
    height: float,
    center: ArrayLike = (0, 0, 0),
    *,
    segments: int = 18,
    bevel: float = 0.0,
) -> Mesh:
    """Return an upright closed cylinder about its centre."""
    h = height / 2
    b = min(bevel, 0.45 * radius, 0.45 * height)
    if b > 0:
        profile = [
            (0, -h),
            (radius - b, -h),
            (radius, -h + b),
            (radius, h - b),
            (radius - b, h),
            (0, h),
        ]
    else:
        profile = [(0, -h), (radius, -h), (radius, h), (0, h)]
    return lathe(profile, segments).moved(center)


def ellipsoid(
    radii: Sequence[float], center: ArrayLike = (0, 0, 0), *, rows: int = 9, segments: int = 14
) -> Mesh:
    """Return an ellipsoid; its texture is spread by longitude and latitude."""
    polar = np.linspace(0, np.pi, rows)
    azimuth = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    directions = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(azimuth),
            np.sin(polar)[:, None] * np.sin(azimuth),
            np.broadcast_to(-np.cos(polar)[:, None], (rows, segments)),
        ],
        axis=2,
    )
    return surface(directions * np.asarray(radii, float)).moved(center)


def _axes_to(direction: Float64Array) -> Float64Array:
    """Return a rotation whose z axis is `direction`."""
    z = direction / max(float(np.linalg.norm(direction)), 1e-9)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def capsule(
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    end_radius: float | None = None,
    *,
    segments: int = 10,
) -> Mesh:
    """Return a limb with round ends from `start` to `end`, tapering to `end_radius`."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    far = radius if end_radius is None else end_radius
    length = float(np.linalg.norm(b - a))
    turn = np.linspace(0, np.pi / 2, 4)
    low = np.stack([radius * np.sin(turn), -radius * np.cos(turn)], axis=1)
    high = np.stack([far * np.cos(turn), length + far * np.sin(turn)], axis=1)
    profile = np.concatenate([low, high])
    zero = np.zeros(len(profile))
    mesh = loft(np.stack([profile[:, 1], profile[:, 0], profile[:, 0], zero, zero], 1), segments)
    return mesh.moved(a, _axes_to(b - a))


def tube(points: ArrayLike, radius: float, *, segments: int = 8) -> Mesh:
    """Return a round rod through the points, float (N, 3), with open ends."""
    line = np.asarray(points, float)
    tangents = np.gradient(line, axis=0)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros(segments)], axis=1) * radius
    frame = _axes_to(tangents[0])
    rings = []
    for point, tangent in zip(line, tangents, strict=True):
        # Carry the frame along, so that the rod does not twist.
        z = tangent / max(float(np.linalg.norm(tangent)), 1e-9)
        x = frame[:, 0] - z * float(frame[:, 0] @ z)
        x /= max(float(np.linalg.norm(x)), 1e-9)
        frame = np.stack([x, np.cross(z, x), z], axis=1)
        rings.append(point + circle @ frame.T)
    return surface(np.array(rings))


def sheet(width: float, height: float, *, step: float = 0.45, period: float = 1.0) -> Mesh:
    """Return a flat sheet in x, y that faces +z, divided so that light varies over it."""
    columns = max(2, int(np.ceil(width / step)) + 1)
    rows = max(2, int(np.ceil(height / step)) + 1)
    x, y = np.meshgrid(
        np.linspace(-width / 2, width / 2, columns), np.linspace(-height / 2, height / 2, rows)
    )
    mesh = surface(np.stack([x, y, np.zeros_like(x)], axis=2), closed=False)
    return mesh.tiled(width / period, height / period)
