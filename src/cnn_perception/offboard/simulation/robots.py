"""Robots of four kinds; +x is the front, z = 0 the floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnn_perception.offboard.simulation import textures
from cnn_perception.offboard.simulation.meshes import (
    Mesh,
    box,
    capsule,
    cylinder,
    ellipsoid,
    loft,
    rotation,
)
from cnn_perception.offboard.simulation.shapes import Builder, Color, Shape

__all__ = ["robot"]

Generator = np.random.Generator
_BLACK: Color = (0.07, 0.07, 0.08)


def robot(rng: Generator) -> Shape:
    """A vacuum disc, a stack of plates, a wheeled rover, or a tall service robot."""
    kind = int(rng.choice(4, p=[0.28, 0.22, 0.3, 0.2]))
    return (_vacuum, _plates, _rover, _service)[kind](rng)


def _shell_color(rng: Generator) -> Color:
    if rng.random() < 0.5:
        grey = float(rng.choice([0.1, 0.2, 0.6, 0.92]))
        return (grey, grey, grey)
    return textures.color(rng, (0.4, 0.95), (0.4, 1.0))


def _wheel(radius: float, width: float, center: Sequence[float]) -> list[tuple[Mesh, Color]]:
    turn = rotation("x", np.pi / 2)
    tyre = cylinder(radius, width, segments=18, bevel=0.012).moved(center, turn)
    hub = cylinder(radius * 0.5, width + 0.012, segments=12).moved(center, turn)
    return [(tyre, _BLACK), (hub, (0.62, 0.62, 0.64))]


def _vacuum(rng: Generator) -> Shape:
    build = Builder()
    radius, height = rng.uniform(0.16, 0.2), rng.uniform(0.075, 0.1)
    shell = _shell_color(rng)
    build.plain(
        cylinder(radius, height, (0, 0, height / 2 + 0.012), segments=28, bevel=0.014), shell, 0.4
    )
    build.plain(cylinder(radius * 1.015, height * 0.35, (0, 0, height * 0.4), segments=28), _BLACK)
    ring = textures.color(rng, (0.0, 0.9), (0.2, 1.0))
    build.plain(cylinder(radius * 0.75, 0.006, (0, 0, height + 0.013), segments=24), ring, 0.4)
    build.plain(cylinder(radius * 0.68, 0.012, (0, 0, height + 0.013), segments=24), shell, 0.4)
    spot = (radius * rng.uniform(-0.3, 0.3), 0, height + 0.03)
    build.plain(cylinder(radius * 0.28, 0.045, spot, segments=16, bevel=0.006), _BLACK, 0.3)
    build.plain(
        cylinder(0.017, 0.01, (radius * 0.78, 0, height + 0.013), segments=10),
        (0.2, 0.8, 0.4),
        0.2,
        0.6,
    )
    return build.shape("robot")


def _plates(rng: Generator) -> Shape:
    build = Builder()
    radius, levels = rng.uniform(0.16, 0.23), int(rng.integers(2, 5))
    gap = rng.uniform(0.1, 0.16)
    plate = _BLACK if rng.random() < 0.6 else _shell_color(rng)
    for level in range(levels):
        z = 0.09 + gap * level
        build.plain(cylinder(radius, 0.014, (0, 0, z), segments=24), plate, 0.3)
        if level + 1 < levels:
            for angle in np.linspace(0, 2 * np.pi, 4, endpoint=False) + 0.7:
                spot = (0.82 * radius * np.cos(angle), 0.82 * radius * np.sin(angle), z + gap / 2)
                build.plain(cylinder(0.008, gap, spot, segments=8), (0.72, 0.72, 0.74), 0.6)
            build.plain(
                box((0.2, 0.14, gap * 0.5), (0, 0, z + gap * 0.28), bevel=0.01), _shell_color(rng)
            )
    top = 0.09 + gap * (levels - 1)
    build.plain(
        cylinder(0.045, 0.05, (0, 0, top + 0.035), segments=16, bevel=0.006), _shell_color(rng), 0.3
    )
    build.plain(box((0.03, 0.1, 0.03), (radius * 0.75, 0, top + 0.03), bevel=0.006), _BLACK, 0.5)
    for side in (-1, 1):
        for mesh, ink in _wheel(0.05, 0.03, (0, side * radius * 0.85, 0.05)):
            build.plain(mesh, ink)
    for side in (-1, 1):
        build.plain(
            ellipsoid((0.025, 0.025, 0.03), (side * radius * 0.8, 0, 0.03), rows=6, segments=8),
            _BLACK,
        )
    return build.shape("robot")


def _rover(rng: Generator) -> Shape:
    build = Builder()
    x, y = rng.uniform(0.4, 0.6), rng.uniform(0.28, 0.4)
    z, wheel = rng.uniform(0.12, 0.22), rng.uniform(0.085, 0.13)
    shell = _shell_color(rng)
    body = wheel * 0.8 + z / 2
    build.plain(box((x, y, z), (0, 0, body), bevel=0.025), shell, 0.35)
    trim = textures.color(rng, (0.3, 1.0), (0.4, 1.0))
    build.plain(box((x * 0.7, y * 0.75, 0.03), (0, 0, body + z / 2), bevel=0.008), _BLACK)
    build.plain(box((x + 0.01, y * 0.8, 0.035), (0, 0, body + z * 0.15), bevel=0.004), trim)
    for i in (-1, 1):
        for j in (-1, 1):
            for mesh, ink in _wheel(wheel, 0.07, (i * x * 0.34, j * (y / 2 + 0.04), wheel)):
                build.plain(mesh, ink)
    top = body + z / 2 + 0.015
    if rng.random() < 0.6:
        mast = rng.uniform(0.12, 0.4)
        build.plain(
            cylinder(0.018, mast, (x * 0.3, 0, top + mast / 2), segments=10), (0.5, 0.5, 0.52), 0.5
        )
        build.plain(box((0.05, 0.17, 0.05), (x * 0.32, 0, top + mast), bevel=0.012), shell, 0.3)
        for side in (-1, 1):
            eye = cylinder(0.016, 0.02, segments=10).moved(
                (x * 0.32 + 0.03, side * 0.05, top + mast), rotation("y", np.pi / 2)
            )
            build.plain(eye, _BLACK, 0.6)
    build.plain(
        cylinder(0.05, 0.06, (-x * 0.15, 0, top + 0.03), segments=16, bevel=0.008), _BLACK, 0.3
    )
    return build.shape("robot")


def _service(rng: Generator) -> Shape:
    build = Builder()
    height, radius = rng.uniform(0.8, 1.3), rng.uniform(0.17, 0.24)
    shell, trim = _shell_color(rng), textures.color(rng, (0.3, 1.0), (0.4, 1.0))
    build.plain(cylinder(radius * 1.1, 0.16, (0, 0, 0.1), segments=24, bevel=0.04), _BLACK, 0.3)
    sections = [
        (0.16, radius, radius, 0, 0),
        (height * 0.4, radius * 0.8, radius * 0.85, 0, 0),
        (height * 0.7, radius * 0.55, radius * 0.6, 0, 0),
        (height * 0.76, radius * 0.3, radius * 0.32, 0, 0),
    ]
    build.plain(loft(sections, 22), shell, 0.35)
    build.plain(
        loft(
            [
                (height * 0.3, radius * 0.88, radius * 0.93, 0, 0),
                (height * 0.34, radius * 0.86, radius * 0.9, 0, 0),
            ],
            22,
        ),
        trim,
    )
    head = height * 0.86
    build.plain(box((0.13, 0.26, 0.19), (0.02, 0, head), bevel=0.045), shell, 0.35)
    build.plain(box((0.01, 0.2, 0.13), (0.085, 0, head), bevel=0.004), _BLACK, 0.6)
    for side in (-1, 1):
        build.plain(
            ellipsoid(
                (0.006, 0.018, 0.026), (0.092, side * 0.045, head + 0.01), rows=6, segments=10
            ),
            (0.4, 0.9, 1.0),
            0.2,
            0.7,
        )
        if height > 1.0:
            shoulder = (0, side * radius * 0.65, height * 0.66)
            elbow = (0.05, side * radius * 1.15, height * 0.5)
            build.plain(capsule(shoulder, elbow, 0.038, 0.03), trim, 0.3)
            build.plain(
                capsule(elbow, (0.24, side * radius * 1.05, height * 0.5), 0.03, 0.024), shell, 0.3
            )
    if rng.random() < 0.4:
        build.plain(
            box((0.3, 0.36, 0.015), (0.18, 0, height * 0.55), bevel=0.005), (0.3, 0.3, 0.32)
        )
    return build.shape("robot")
