"""Balls, bottles, cups, boxes and traffic cones; they stand on z = 0."""

from __future__ import annotations

import numpy as np

from cnn_perception.offboard.simulation import prints, textures
from cnn_perception.offboard.simulation.meshes import (
    box,
    cylinder,
    ellipsoid,
    lathe,
    rotation,
    tube,
)
from cnn_perception.offboard.simulation.shapes import Builder, Color, Shape, Support
from cnn_perception.types import UInt8Array

__all__ = ["ball", "bottle", "box_of_board", "cone", "cup"]

Generator = np.random.Generator


def ball(rng: Generator) -> Shape:
    """A football, a striped or spotted ball, or a plain one."""
    build = Builder()
    radius = rng.uniform(0.07, 0.16)
    kind = int(rng.integers(0, 4))
    if kind == 0:
        skin = prints.football(rng)
    elif kind == 1:
        skin = textures.bands(rng)
        if rng.random() < 0.5:
            skin = np.ascontiguousarray(skin.swapaxes(0, 1))
    elif kind == 2:
        skin = textures.dots(rng, 64)
    else:
        skin = textures.paint(rng, 32, textures.color(rng, (0.5, 1.0), (0.5, 1.0)))
    sphere = ellipsoid((radius, radius, radius), rows=15, segments=24)
    turn = rotation("x", rng.uniform(0, 3.1)) @ rotation("y", rng.uniform(0, 3.1))
    build.textured(sphere.moved((0, 0, radius), turn), skin, 0.4)
    return build.shape("ball")


def bottle(rng: Generator) -> Shape:
    """A wine, water or squeeze bottle with a label and a cap."""
    build = Builder()
    height, radius = rng.uniform(0.22, 0.34), rng.uniform(0.032, 0.047)
    kind = int(rng.integers(0, 3))
    neck = radius * (0.36, 0.42, 0.5)[kind]
    shoulder = (0.6, 0.72, 0.8)[kind] * height
    curve = np.linspace(0, np.pi / 2, 6)
    profile = [(0.0, 0.0), (radius * 0.9, 0.0), (radius, 0.01), (radius, shoulder)]
    rise = height * 0.86 - shoulder
    profile += [
        (float(neck + (radius - neck) * np.cos(a)), float(shoulder + rise * np.sin(a)))
        for a in curve[1:]
    ]
    profile += [(neck, height * 0.93), (0.0, height * 0.93)]
    body = _glass(rng)
    build.plain(lathe(profile, 18), body, 0.6)
    cap = textures.color(rng, (0.0, 1.0), (0.1, 0.95))
    build.plain(cylinder(neck * 1.15, height * 0.1, (0, 0, height * 0.95), segments=12), cap, 0.2)
    if rng.random() < 0.8:
        low, high = shoulder * rng.uniform(0.15, 0.35), shoulder * rng.uniform(0.7, 0.95)
        around = [(radius * 1.02, low), (radius * 1.02, high)]
        label = prints.picture(rng) if rng.random() < 0.6 else textures.bands(rng)
        build.textured(lathe(around, 18).tiled(2, 1), label, 0.1)
    return build.shape("bottle")


def _glass(rng: Generator) -> Color:
    glasses: list[Color] = [
        (0.08, 0.3, 0.14),
        (0.3, 0.15, 0.05),
        (0.1, 0.2, 0.5),
        (0.75, 0.82, 0.84),
        (0.08, 0.08, 0.09),
    ]
    if rng.random() < 0.4:
        return textures.color(rng, (0.2, 0.95), (0.3, 1.0))
    return glasses[int(rng.integers(len(glasses)))]


def cup(rng: Generator) -> Shape:
    """A mug, tea cup or paper cup; the first two with a handle."""
    build = Builder()
    height, radius = rng.uniform(0.085, 0.13), rng.uniform(0.037, 0.055)
    kind = int(rng.choice(3, p=[0.5, 0.25, 0.25]))
    base = radius * (0.97, 0.6, 0.72)[kind]
    z = np.linspace(0, 1, 6)
    bulge = z if kind != 1 else np.sqrt(z)
    outer = [
        (float(base + (radius - base) * b), float(height * t))
        for b, t in zip(bulge, z, strict=True)
    ]
    inner = [(r - 0.004, max(h, 0.006)) for r, h in outer[::-1]]
    skin = textures.paint(rng, 32, textures.color(rng, (0.0, 1.0), (0.3, 1.0)))
    if rng.random() < 0.45:
        skin = textures.bands(rng) if rng.random() < 0.5 else prints.picture(rng)
    build.textured(lathe([(0.0, 0.0), *outer], 18).tiled(2, 1), skin, 0.4)
    build.plain(
        lathe([outer[-1], *inner, (0.0, 0.006)], 18),
        textures.color(rng, (0.0, 0.3), (0.7, 1.0)),
        0.3,
    )
    if rng.random() < 0.7:
        drink = (0.2, 0.11, 0.05) if rng.random() < 0.6 else (0.45, 0.24, 0.08)
        level = lathe([(radius * 0.9 * (0.97 if kind == 0 else 0.9), 0.0), (0.0, 0.0001)], 16)
        build.plain(level.moved((0, 0, height * 0.8)), drink, 0.5)
    if kind != 2:
        angle = np.linspace(-np.pi / 2, np.pi / 2, 9)
        reach = height * 0.28
        loop = np.stack(
            [
                radius * 0.93 + reach * np.cos(angle),
                0 * angle,
                height * (0.52 + 0.3 * np.sin(angle)),
            ],
            axis=1,
        )
        ink = textures.color(rng, (0.0, 1.0), (0.3, 1.0))
        build.plain(tube(loop, 0.0075, segments=8), ink, 0.4)
    return build.shape("cup")


def box_of_board(rng: Generator) -> Shape:
    """A cardboard box, closed with tape or open, a colored storage box, or a crate."""
    build = Builder()
    x, y = rng.uniform(0.18, 0.5, 2)
    z = rng.uniform(0.15, 0.45)
    kind = int(rng.choice(4, p=[0.45, 0.2, 0.2, 0.15]))
    board = prints.cardboard(rng)
    if kind == 0:
        build.textured(box((x, y, z), (0, 0, z / 2), bevel=0.004, period=0.4), board)
        tape = (
            (0.78, 0.68, 0.48)
            if rng.random() < 0.6
            else textures.color(rng, (0.0, 0.8), (0.5, 1.0))
        )
        build.plain(box((x + 0.002, 0.05, 0.002), (0, 0, z)), tape, 0.4)
        for side in (-1, 1):
            build.plain(box((0.002, 0.05, 0.3 * z), (side * x / 2, 0, 0.85 * z)), tape, 0.4)
    elif kind == 1:
        _open_box(rng, build, prints.cardboard(rng), (x, y, z))
        return build.shape("box")
    elif kind == 2:
        ink = textures.color(rng, (0.2, 0.95), (0.3, 1.0))
        skin = textures.paint(rng, 32, ink) if rng.random() < 0.5 else textures.dots(rng, 64)
        build.textured(box((x, y, z * 0.8), (0, 0, z * 0.4), bevel=0.012, period=0.3), skin, 0.2)
        lid = textures.paint(rng, 32, textures.color(rng, (0.0, 0.9), (0.3, 1.0)))
        build.textured(box((x + 0.02, y + 0.02, z * 0.2), (0, 0, z * 0.9), bevel=0.012), lid, 0.2)
    else:
        grain = textures.wood(rng, 64)
        for level in np.linspace(0.12, 0.88, 4) * z:
            for side in (-1, 1):
                build.textured(
                    box((x, 0.015, z * 0.18), (0, side * y / 2, level), period=0.4), grain
                )
                build.textured(
                    box((0.015, y, z * 0.18), (side * x / 2, 0, level), period=0.4), grain
                )
        build.textured(box((x, y, 0.015), (0, 0, 0.02), period=0.4), grain)
        for i in (-1, 1):
            for j in (-1, 1):
                spot = (i * (x / 2 - 0.02), j * (y / 2 - 0.02), z / 2)
                build.textured(box((0.03, 0.03, z), spot, period=0.4), grain)
        return build.shape("box")
    return build.shape("box", Support(z, x / 2 - 0.05, y / 2 - 0.05))


def _open_box(
    rng: Generator, build: Builder, board: UInt8Array, size: tuple[float, float, float]
) -> None:
    x, y, z = size
    build.textured(box((x, y, 0.01), (0, 0, 0.005), period=0.4), board)
    for side in (-1, 1):
        build.textured(box((0.008, y, z), (side * x / 2, 0, z / 2), period=0.4), board)
        build.textured(box((x, 0.008, z), (0, side * y / 2, z / 2), period=0.4), board)
        flap = box((0.006, y * 0.98, x * 0.4), (0, 0, x * 0.2), period=0.4)
        build.textured(
            flap.moved((side * x / 2, 0, z), rotation("y", side * rng.uniform(0.4, 2.2))), board
        )
        flap = box((x * 0.98, 0.006, y * 0.35), (0, 0, y * 0.175), period=0.4)
        build.textured(
            flap.moved((0, side * y / 2, z), rotation("x", -side * rng.uniform(0.4, 2.2))), board
        )


def cone(rng: Generator) -> Shape:
    """A traffic cone: square foot, tapered body, pale bands."""
    build = Builder()
    height = rng.uniform(0.3, 0.72)
    radius = height * rng.uniform(0.2, 0.26)
    orange = (rng.uniform(0.9, 1.0), rng.uniform(0.28, 0.45), rng.uniform(0.02, 0.12))
    body = orange if rng.random() < 0.85 else textures.color(rng, (0.7, 1.0), (0.6, 1.0))
    pale = (0.93, 0.93, 0.92)
    bands = int(rng.integers(1, 3))
    rows = np.full(32, False)
    for k in range(bands):
        start = int((0.35 + 0.3 * k) * 32) if bands == 2 else 14
        rows[start : start + (5 if bands == 2 else 9)] = True
    skin = np.where(rows[:, None, None], pale, body) * np.ones((32, 32, 1))
    texture = np.clip(skin * 255, 0, 255).astype(np.uint8)
    foot = 0.03
    tip = radius * 0.2
    build.textured(lathe([(radius, foot), (tip, height)], 20), texture, 0.15)
    build.plain(
        lathe([(tip, height), (tip * 0.7, height + 0.001), (tip * 0.6, height - 0.03)], 20), body
    )
    base = (0.1, 0.1, 0.1) if rng.random() < 0.5 else body
    if rng.random() < 0.75:
        build.plain(box((2.5 * radius, 2.5 * radius, foot), (0, 0, foot / 2), bevel=0.008), base)
    else:
        build.plain(cylinder(radius * 1.35, foot, (0, 0, foot / 2), bevel=0.008), base)
    return build.shape("cone")
