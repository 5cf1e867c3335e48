"""The empty room: floor, walls, ceiling, and what lies and hangs on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnn_perception.offboard.simulation import prints, textures
from cnn_perception.offboard.simulation.meshes import (
    Mesh,
    box,
    cylinder,
    lathe,
    merge,
    rotation,
    sheet,
    surface,
)
from cnn_perception.offboard.simulation.shapes import Builder, Placed, Shape
from cnn_perception.types import UInt8Array

__all__ = ["Wall", "ceiling", "decoration", "floor", "lamp", "rug", "walls"]

Generator = np.random.Generator
_UPRIGHT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class Wall:
    """A wall: its yaw is where it faces, its centre on the floor is x, y, its length is metres."""

    yaw: float
    x: float
    y: float
    length: float

    def at(self, along: float, out: float = 0.0) -> tuple[float, float]:
        """Return x, y of the point `along` metres left of its centre and `out` metres off it."""
        c, s = float(np.cos(self.yaw)), float(np.sin(self.yaw))
        return self.x + out * c - along * s, self.y + out * s + along * c


def walls(width: float, depth: float) -> tuple[Wall, ...]:
    """Return the four walls of a room of width (x) by depth (y) about the origin, facing in."""
    return (
        Wall(0.0, -width / 2, 0.0, depth),
        Wall(np.pi / 2, 0.0, -depth / 2, width),
        Wall(np.pi, width / 2, 0.0, depth),
        Wall(-np.pi / 2, 0.0, depth / 2, width),
    )


def floor(rng: Generator, width: float, depth: float) -> Placed:
    """Return the floor with its covering."""
    build = Builder()
    skin = textures.FLOORS[int(rng.integers(len(textures.FLOORS)))](rng)
    mesh = sheet(width, depth, period=rng.uniform(0.8, 1.6))
    if rng.random() < 0.5:
        mesh = sheet(depth, width, period=rng.uniform(0.8, 1.6)).moved(
            turn=rotation("z", np.pi / 2)
        )
    build.textured(mesh, skin, float(rng.choice([0.0, 0.05, 0.25])))
    return Placed(build.shape("floor"), (0.0, 0.0, 0.0))


def ceiling(rng: Generator, width: float, depth: float, height: float) -> Placed:
    """Return the ceiling: pale paint or panels."""
    build = Builder()
    tone = float(rng.uniform(0.8, 0.97))
    skin = textures.paint(rng, 64, (tone, tone, tone * rng.uniform(0.94, 1.0)))
    if rng.random() < 0.25:
        skin = (np.asarray(textures.tiles(rng, 128), np.uint16) // 3 + 150).astype(np.uint8)
    build.textured(sheet(width, depth, period=1.2).moved(turn=rotation("x", np.pi)), skin)
    return Placed(build.shape("background"), (0.0, 0.0, height))


def wall_skin(rng: Generator) -> tuple[UInt8Array, float]:
    """Return a wall covering and the metres that one tile of it spans."""
    make = textures.WALLS[int(rng.integers(len(textures.WALLS)))]
    period = {"bricks": 0.9, "tiles": 0.8, "wood": 1.2, "concrete": 2.0}.get(make.__name__, 0.7)
    return make(rng), period * rng.uniform(0.7, 1.3)


def wall_sheet(
    rng: Generator,
    wall: Wall,
    height: float,
    skin: tuple[UInt8Array, float],
    base: textures.Color | None,
) -> Placed:
    """Return one wall with its baseboard (none where `base` is None)."""
    build = Builder()
    build.textured(
        sheet(wall.length, height, period=skin[1]).moved((0, 0, height / 2), _UPRIGHT), skin[0]
    )
    if base is not None:
        build.plain(box((0.024, wall.length, 0.09), (0.0, 0, 0.045), bevel=0.004), base)
    return Placed(build.shape("wall"), (wall.x, wall.y, 0.0), wall.yaw)


def decoration(rng: Generator, room_height: float) -> Shape:
    """Return a picture, window, vent or clock with its back at x = 0 and its true height."""
    build = Builder()
    kind = int(rng.choice(4, p=[0.45, 0.25, 0.18, 0.12]))
    if kind == 0:
        wide, tall = rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.7)
        z = rng.uniform(1.25, 1.75)
        ink = textures.color(rng, (0.0, 0.6), (0.1, 0.9))
        build.plain(box((0.03, wide, tall), (0.015, 0, z), bevel=0.006), ink)
        canvas = sheet(wide - 0.06, tall - 0.06, step=1.0)
        fitted = canvas.tiled(1 / (wide - 0.06), 1 / (tall - 0.06)).moved((0.031, 0, z), _UPRIGHT)
        build.textured(fitted, prints.picture(rng))
    elif kind == 1:
        _window(rng, build, min(2.1, room_height - 0.2))
    elif kind == 2:
        wide, tall = rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.4)
        z = rng.uniform(1.6, room_height - 0.35) if rng.random() < 0.7 else 0.4
        build.plain(box((0.02, wide, tall), (0.01, 0, z), bevel=0.004), (0.85, 0.85, 0.84))
        for level in np.linspace(-0.4, 0.4, int(tall / 0.04)) * tall:
            build.plain(box((0.006, wide - 0.06, 0.016), (0.021, 0, z + level)), (0.3, 0.3, 0.31))
    else:
        z, radius = rng.uniform(1.6, 1.9), rng.uniform(0.12, 0.2)
        ink = textures.color(rng, (0.0, 0.9), (0.1, 0.9))
        build.plain(_dial(radius, 0.03, z), ink)
        build.plain(_dial(radius * 0.88, 0.034, z), (0.95, 0.95, 0.93))
        for angle, reach in ((rng.uniform(0, 6), 0.45), (rng.uniform(0, 6), 0.7)):
            hand = box((0.004, 0.012, radius * reach), (0.037, 0, radius * reach / 2))
            build.plain(hand.moved((0, 0, z), rotation("x", angle)), (0.1, 0.1, 0.1))
    return build.shape("wall")


def _dial(radius: float, thick: float, z: float) -> Mesh:
    return cylinder(radius, thick, segments=24).moved((thick / 2, 0, z), rotation("y", np.pi / 2))


def _window(rng: Generator, build: Builder, top: float) -> None:
    wide, low = rng.uniform(0.8, 1.6), rng.uniform(0.75, 1.05)
    tall = top - low
    z = low + tall / 2
    frame = (0.93, 0.93, 0.92) if rng.random() < 0.7 else textures.wood_color(rng)
    pane = sheet(wide, tall, step=2.0).tiled(1 / wide, 1 / tall)
    build.textured(pane.moved((0.008, 0, z), _UPRIGHT), prints.sky(rng), 0.2, 0.55)
    for side in (-1, 1):
        build.plain(box((0.05, 0.06, tall + 0.06), (0.025, side * wide / 2, z), bevel=0.006), frame)
        build.plain(box((0.05, wide, 0.06), (0.025, 0, z + side * tall / 2), bevel=0.006), frame)
    for k in range(1, int(rng.integers(1, 4))):
        build.plain(box((0.03, 0.035, tall), (0.02, wide * (k / 3 - 0.5) * 1.2, z)), frame)
    build.plain(box((0.13, wide + 0.14, 0.03), (0.065, 0, low - 0.04), bevel=0.006), frame)
    if rng.random() < 0.6:
        cloth = textures.stripes(rng, 64) if rng.random() < 0.5 else textures.carpet(rng, 64)
        for side in (-1, 1):
            build.textured(
                _curtain(rng, (side * (wide / 2 + 0.08), rng.uniform(0.25, 0.42)), top + 0.12),
                cloth,
            )
        rod = cylinder(0.012, wide + 1.0, segments=8).moved(
            (0.09, 0, top + 0.13), rotation("x", np.pi / 2)
        )
        build.plain(rod, (0.4, 0.4, 0.4), 0.4)


def _curtain(rng: Generator, span: tuple[float, float], top: float) -> Mesh:
    center, width = span
    t = np.linspace(0, 1, 25)
    z = np.linspace(0.08 if rng.random() < 0.6 else 0.7, top, 5)
    grid = np.empty((5, 25, 3))
    grid[..., 0] = (
        0.08 + 0.032 * np.sin(2 * np.pi * 5 * t)[None, :] * np.linspace(1.1, 0.7, 5)[:, None]
    )
    grid[..., 1] = center + width * (t - 0.5)[None, :]
    grid[..., 2] = z[:, None]
    return surface(grid, closed=False, double=True).tiled(2, 3)


def rug(rng: Generator) -> Shape:
    """Return a rectangular or round rug, a few millimetres thick."""
    build = Builder()
    skin = prints.rug(rng) if rng.random() < 0.75 else textures.plaid(rng)
    x, y = rng.uniform(0.9, 1.6), rng.uniform(1.2, 2.4)
    if rng.random() < 0.65:
        build.textured(sheet(x, y, step=0.4).tiled(1 / x, 1 / y).moved((0, 0, 0.008)), skin)
        build.plain(box((x, y, 0.007), (0, 0, 0.0036)), textures.color(rng))
    else:
        radius = x / 2
        disc = lathe([(radius, 0.0), (radius, 0.008), (radius * 0.5, 0.008), (0.0, 0.008)], 32)
        flat = disc.vertices[:, :2] / (2 * radius) + 0.5
        build.textured(Mesh(disc.vertices, disc.normals, flat.astype(np.float32), disc.faces), skin)
    return build.shape("floor")


def lamp(rng: Generator, height: float) -> Shape:
    """Return a ceiling lamp that hangs at `height`."""
    build = Builder()
    if rng.random() < 0.5:
        build.plain(
            cylinder(rng.uniform(0.12, 0.22), 0.06, (0, 0, height - 0.03)),
            (1.0, 0.98, 0.92),
            0.1,
            1.0,
        )
    else:
        panel = box((rng.uniform(0.2, 0.6), rng.uniform(0.6, 1.1), 0.04), (0, 0, height - 0.02))
        build.plain(merge([panel]), (1.0, 1.0, 0.97), 0.1, 1.0)
    return build.shape("background")
