"""Chairs of four kinds; +x is the front, z = 0 the floor."""

from __future__ import annotations

import numpy as np

from cnn_perception.offboard.simulation import textures
from cnn_perception.offboard.simulation.meshes import (
    box,
    capsule,
    cylinder,
    ellipsoid,
    rotation,
    surface,
    tube,
)
from cnn_perception.offboard.simulation.shapes import Builder, Shape

__all__ = ["chair"]

Generator = np.random.Generator


def chair(rng: Generator) -> Shape:
    """A wooden, office, shell or upholstered chair."""
    kind = int(rng.choice(4, p=[0.4, 0.3, 0.17, 0.13]))
    return (_wooden_chair, _office_chair, _shell_chair, _armchair)[kind](rng)


def _wooden_chair(rng: Generator) -> Shape:
    build = Builder()
    grain = (
        textures.wood(rng, 64)
        if rng.random() < 0.6
        else textures.paint(rng, 32, textures.color(rng))
    )
    width, depth = rng.uniform(0.4, 0.48), rng.uniform(0.4, 0.46)
    seat, top = rng.uniform(0.42, 0.48), rng.uniform(0.82, 1.02)
    leg = rng.uniform(0.032, 0.045)
    x, y = depth / 2 - leg / 2, width / 2 - leg / 2
    for side in (-y, y):
        build.textured(box((leg, leg, seat), (x, side, seat / 2), bevel=0.004, period=0.5), grain)
        lean = rotation("y", -rng.uniform(0.06, 0.1))
        build.textured(box((leg, leg, seat), (-x, side, seat / 2), bevel=0.004, period=0.5), grain)
        post = box((leg, leg, top - seat), (0, 0, (top - seat) / 2), bevel=0.004, period=0.5)
        build.textured(post.moved((-x, side, seat), lean), grain)
    build.textured(box((depth, width, 0.03), (0, 0, seat), bevel=0.008, period=0.5), grain)
    if rng.random() < 0.5:
        cushion = textures.carpet(rng, 32, textures.color(rng))
        build.textured(
            box((depth * 0.95, width * 0.92, 0.045), (0, 0, seat + 0.035), bevel=0.018), cushion
        )
    rise = top - seat
    if rng.random() < 0.5:
        count = int(rng.integers(2, 5))
        for z in np.linspace(0.35, 0.95, count) * rise:
            slat = box((0.02, width - leg, 0.06), (-0.08 * z, 0, 0), bevel=0.006, period=0.5)
            build.textured(slat.moved((-x, 0, seat + z)), grain)
    else:
        rail = box((0.025, width - leg, 0.07), (-0.08 * rise, 0, 0), bevel=0.006, period=0.5)
        build.textured(rail.moved((-x, 0, top - 0.04)), grain)
        for side in np.linspace(-y * 0.75, y * 0.75, int(rng.integers(3, 6))):
            start, end = (-x, side, seat), (-x - 0.08 * rise, side, top - 0.05)
            build.textured(capsule(start, end, 0.011, segments=6), grain)
    if rng.random() < 0.6:
        for side in (-y, y):
            build.textured(box((depth - leg, 0.02, 0.025), (0, side, 0.18), period=0.5), grain)
    return build.shape("chair")


def _office_chair(rng: Generator) -> Shape:
    build = Builder()
    frame = textures.metal_color(rng)
    cover = textures.carpet(rng, 64, textures.color(rng, (0.0, 0.9), (0.1, 0.75)))
    seat = rng.uniform(0.44, 0.54)
    for angle in np.linspace(0, 2 * np.pi, 5, endpoint=False) + rng.uniform(0, 1):
        tip = (0.29 * np.cos(angle), 0.29 * np.sin(angle), 0.075)
        build.plain(capsule((0, 0, 0.12), tip, 0.026, 0.017, segments=8), frame, 0.4)
        build.plain(
            ellipsoid((0.03, 0.03, 0.03), (tip[0], tip[1], 0.03), rows=6, segments=8),
            (0.08, 0.08, 0.08),
        )
    build.plain(cylinder(0.028, seat - 0.1, (0, 0, (seat + 0.1) / 2)), (0.25, 0.25, 0.27), 0.5)
    build.textured(box((0.46, 0.48, 0.09), (0, 0, seat), bevel=0.035, period=0.3), cover)
    tall, wide = rng.uniform(0.38, 0.68), rng.uniform(0.38, 0.48)
    lean = rotation("y", -rng.uniform(0.05, 0.22))
    back = box((0.07, wide, tall), (0, 0, tall / 2), bevel=0.032, period=0.3)
    build.textured(back.moved((-0.22, 0, seat + 0.13), lean), cover)
    build.plain(
        tube([(-0.05, 0, seat - 0.04), (-0.26, 0, seat - 0.02), (-0.3, 0, seat + 0.35)], 0.022),
        frame,
        0.4,
    )
    if rng.random() < 0.7:
        for side in (-0.27, 0.27):
            build.plain(
                capsule((0.02, side * 0.9, seat), (0.0, side, seat + 0.2), 0.016), frame, 0.4
            )
            build.plain(
                box((0.26, 0.06, 0.03), (0.0, side, seat + 0.215), bevel=0.012), (0.1, 0.1, 0.11)
            )
    return build.shape("chair")


def _shell_chair(rng: Generator) -> Shape:
    build = Builder()
    seat = rng.uniform(0.42, 0.47)
    side_view = np.array(
        [
            (0.24, -0.02),
            (0.2, 0.01),
            (0.05, -0.01),
            (-0.12, 0.0),
            (-0.19, 0.06),
            (-0.22, 0.2),
            (-0.26, 0.38),
        ]
    )
    across = np.linspace(-1, 1, 9)
    wide = np.array([0.2, 0.22, 0.23, 0.23, 0.23, 0.22, 0.18])
    grid = np.empty((7, 9, 3))
    grid[..., 0] = side_view[:, :1] + 0.04 * (across**2) * np.linspace(0, 1, 7)[:, None]
    grid[..., 1] = wide[:, None] * across
    grid[..., 2] = seat + side_view[:, 1:] + 0.035 * (across**2) * np.linspace(1, 0.2, 7)[:, None]
    build.plain(
        surface(grid, closed=False, double=True), textures.color(rng, (0.1, 0.95), (0.3, 1.0)), 0.35
    )
    frame = textures.metal_color(rng)
    wooden = rng.random() < 0.4
    for x in (-1, 1):
        for y in (-1, 1):
            ends = ((0.1 * x, 0.1 * y, seat - 0.01), (0.22 * x, 0.21 * y, 0.01))
            build.plain(
                capsule(*ends, 0.014, 0.01, segments=8), (0.7, 0.52, 0.33) if wooden else frame, 0.3
            )
    return build.shape("chair")


def _armchair(rng: Generator) -> Shape:
    build = Builder()
    fabric = textures.FABRICS[int(rng.integers(len(textures.FABRICS)))](rng)
    width, depth, seat = rng.uniform(0.72, 0.95), rng.uniform(0.7, 0.82), rng.uniform(0.36, 0.42)
    arm, back = rng.uniform(0.12, 0.18), rng.uniform(0.78, 0.95)
    build.textured(
        box((depth, width, seat - 0.16), (0, 0, seat / 2 + 0.02), bevel=0.03, period=0.4), fabric
    )
    build.textured(
        box((depth * 0.78, width - 2 * arm, 0.15), (0.07, 0, seat + 0.03), bevel=0.05, period=0.4),
        fabric,
    )
    for side in (-1, 1):
        place = (0, side * (width - arm) / 2, (seat + 0.2) / 2 + 0.05)
        build.textured(box((depth, arm, seat + 0.1), place, bevel=0.045, period=0.4), fabric)
    slab = box(
        (0.2, width, back - 0.15), (-depth / 2 + 0.06, 0, back / 2 + 0.06), bevel=0.07, period=0.4
    )
    build.textured(slab, fabric)
    for x in (-1, 1):
        for y in (-1, 1):
            spot = (x * depth * 0.42, y * width * 0.42, 0.05)
            build.plain(cylinder(0.025, 0.1, spot, segments=8), (0.2, 0.13, 0.08))
    return build.shape("chair")
