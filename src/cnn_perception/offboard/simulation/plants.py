"""Plants in pots; they stand on z = 0."""

from __future__ import annotations

import numpy as np

from cnn_perception.offboard.simulation import prints, textures
from cnn_perception.offboard.simulation.meshes import Mesh, capsule, lathe, rotation, surface
from cnn_perception.offboard.simulation.shapes import Builder, Shape
from cnn_perception.types import UInt8Array

__all__ = ["plant"]

Generator = np.random.Generator


def _leaf(length: float, width: float, rise: float, droop: float) -> Mesh:
    """Return a leaf that leaves the origin along +x, rises and droops, seen from both sides."""
    t = np.linspace(0, 1, 6)
    across = np.array([-1.0, 0.0, 1.0])
    outline = width / 2 * np.sin(np.pi * np.clip(0.06 + 0.94 * t, 0, 1)) ** 0.8
    grid = np.empty((6, 3, 3))
    grid[..., 0] = (length * t * (1 - 0.25 * droop * t))[:, None]
    grid[..., 1] = outline[:, None] * across
    grid[..., 2] = (rise * t - droop * length * t**2)[:, None] + 0.25 * outline[:, None] * np.abs(
        across
    )
    return surface(grid, closed=False, double=True)


def plant(rng: Generator) -> Shape:
    """A pot with broad leaves, long fronds, a bush or a cactus."""
    build = Builder()
    size = rng.uniform(0.6, 1.5) if rng.random() < 0.7 else rng.uniform(0.35, 0.6)
    height = 0.26 * size
    _pot(rng, build, size)
    skin = prints.leaf(rng)
    kind = int(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1]))
    if kind == 3:
        _cactus(rng, build, size, height)
    elif kind == 2:
        _bush(rng, build, size, skin)
    else:
        _fronds(rng, build, size, skin, broad=kind == 0)
    return build.shape("plant")


def _pot(rng: Generator, build: Builder, size: float) -> None:
    height, radius = 0.26 * size, 0.15 * size
    foot = radius * rng.uniform(0.65, 1.0)
    pot = [
        (0, 0),
        (foot, 0),
        (radius, height * 0.85),
        (radius * 1.1, height * 0.85),
        (radius * 1.1, height),
    ]
    pot += [(radius * 0.95, height), (radius * 0.92, height * 0.9)]
    clay = (
        (0.68, 0.36, 0.24) if rng.random() < 0.5 else textures.color(rng, (0.0, 0.7), (0.25, 1.0))
    )
    if rng.random() < 0.25:
        build.textured(lathe(pot).tiled(3, 1), textures.bands(rng), 0.2)
    else:
        build.plain(lathe(pot), clay, 0.15)
    build.plain(
        lathe([(radius * 0.94, 0.0), (0.0, 0.001)]).moved((0, 0, height * 0.92)), (0.17, 0.11, 0.07)
    )


def _bush(rng: Generator, build: Builder, size: float, skin: UInt8Array) -> None:
    height = 0.26 * size
    for _ in range(int(rng.integers(26, 40))):
        way = rng.standard_normal(3)
        way /= np.linalg.norm(way)
        spot = way * 0.2 * size * np.array([1, 1, 1.1]) + (0, 0, height + 0.3 * size)
        leaf = _leaf(0.17 * size, 0.1 * size, 0.05 * size, 0.3)
        turn = rotation("z", float(np.arctan2(way[1], way[0]))) @ rotation(
            "y", -float(np.arcsin(way[2]))
        )
        build.textured(leaf.moved(spot, turn), skin)
    build.plain(
        capsule((0, 0, height * 0.8), (0, 0, height + 0.3 * size), 0.02 * size),
        (0.36, 0.26, 0.16),
    )


def _fronds(rng: Generator, build: Builder, size: float, skin: UInt8Array, *, broad: bool) -> None:
    height = 0.26 * size
    count = int(rng.integers(9, 18))
    for k in range(count):
        turn = rotation("z", k * 2.4 + rng.uniform(-0.3, 0.3))
        reach = size * rng.uniform(0.26, 0.5)
        if broad:
            leaf = _leaf(reach, reach * rng.uniform(0.3, 0.45), reach * rng.uniform(0.6, 1.5), 0.35)
        else:
            leaf = _leaf(reach * 1.25, reach * 0.17, reach * rng.uniform(1.0, 2.2), 0.8)
        build.textured(leaf.moved((0, 0, height * 0.9), turn), skin)


def _cactus(rng: Generator, build: Builder, size: float, height: float) -> None:
    green = textures.color(
        np.random.default_rng(int(rng.integers(1 << 30))), (0.3, 0.6), (0.3, 0.6)
    )
    green = (green[0] * 0.3, max(green[1], 0.4), green[2] * 0.4)
    top = height + 0.5 * size
    build.plain(
        capsule((0, 0, height * 0.9), (0, 0, top), 0.075 * size, 0.06 * size, segments=14), green
    )
    for side in (-1, 1):
        low = height + 0.2 * size * rng.uniform(0.6, 1.2)
        elbow = (0, side * 0.17 * size, low)
        build.plain(capsule((0, 0, low), elbow, 0.04 * size), green)
        build.plain(capsule(elbow, (0, side * 0.18 * size, low + 0.17 * size), 0.04 * size), green)
