"""Chairs, tables, shelves and doors; +x is the front, z = 0 the floor."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cnn_perception.offboard.simulation import textures
from cnn_perception.offboard.simulation.meshes import (
    box,
    capsule,
    cylinder,
    ellipsoid,
)
from cnn_perception.offboard.simulation.shapes import Builder, Color, Shape, Support
from cnn_perception.types import UInt8Array

__all__ = ["door", "shelf", "table"]

Generator = np.random.Generator


def table(rng: Generator) -> Shape:
    """A table with four legs or a pedestal, a desk, or a low table."""
    build = Builder()
    kind = int(rng.choice(4, p=[0.45, 0.25, 0.15, 0.15]))
    height = rng.uniform(0.38, 0.5) if kind == 3 else rng.uniform(0.68, 0.78)
    thick = rng.uniform(0.022, 0.045)
    draw = rng.random()
    if draw < 0.6:
        top = textures.wood(rng)
    elif draw < 0.85:
        top = textures.paint(rng, 64, textures.color(rng, (0.0, 0.9), (0.4, 1.0)))
    else:
        top = textures.concrete(rng)
    legs = top if rng.random() < 0.5 else textures.paint(rng, 32, textures.metal_color(rng))
    if kind == 1 or (kind == 3 and rng.random() < 0.5):
        return _round_table(rng, build, top, legs, height, thick)
    x, y = rng.uniform(0.3, 0.45), rng.uniform(0.45, 0.85)
    build.textured(
        box((2 * x, 2 * y, thick), (0, 0, height - thick / 2), bevel=0.008, period=0.8), top, 0.2
    )
    leg = rng.uniform(0.04, 0.075)
    if kind == 2:
        _desk_sides(build, legs, (x, y), height - thick)
    else:
        _four_legs(rng, build, legs, (x, y), height - thick, leg)
    return build.shape("table", Support(height, x - 0.05, y - 0.05))


def _desk_sides(build: Builder, legs: UInt8Array, half: tuple[float, float], under: float) -> None:
    x, y = half
    for side in (-1, 1):
        build.textured(
            box((2 * x - 0.06, 0.03, under), (0, side * (y - 0.05), under / 2), period=0.8),
            legs,
        )
    drawers = box((2 * x - 0.08, 0.38, 0.42), (0, y - 0.26, under - 0.21), bevel=0.005, period=0.8)
    build.textured(drawers, legs)
    for k in range(3):
        knob = (x - 0.03, y - 0.26, under - 0.07 - 0.14 * k)
        build.plain(box((0.03, 0.11, 0.015), knob), (0.75, 0.75, 0.76), 0.5)


def _four_legs(
    rng: Generator,
    build: Builder,
    legs: UInt8Array,
    half: tuple[float, float],
    under: float,
    leg: float,
) -> None:
    x, y = half
    straight = rng.random() < 0.6
    for i in (-1, 1):
        for j in (-1, 1):
            foot = (i * (x - leg), j * (y - leg))
            if straight:
                build.textured(
                    box((leg, leg, under), (*foot, under / 2), bevel=0.005, period=0.8), legs
                )
            else:
                splay = (foot[0] * 1.08, foot[1] * 1.06, leg / 3)
                build.textured(capsule((*foot, under), splay, leg / 2, leg / 3), legs)
    for i in (-1, 1):
        apron = box((0.02, 2 * (y - leg), 0.07), (i * (x - leg), 0, under - 0.035), period=0.8)
        build.textured(apron, legs)
    for j in (-1, 1):
        apron = box((2 * (x - leg), 0.02, 0.07), (0, j * (y - leg), under - 0.035), period=0.8)
        build.textured(apron, legs)


def _round_table(
    rng: Generator,
    build: Builder,
    top: UInt8Array,
    legs: UInt8Array,
    height: float,
    thick: float,
) -> Shape:
    radius = rng.uniform(0.32, 0.58)
    disc = cylinder(radius, thick, (0, 0, height - thick / 2), segments=28, bevel=0.008)
    build.textured(disc.tiled(3, 1), top, 0.2)
    under = height - thick
    if rng.random() < 0.55:
        build.textured(cylinder(0.04, under, (0, 0, under / 2)), legs)
        build.textured(cylinder(radius * 0.6, 0.025, (0, 0, 0.0125), segments=24, bevel=0.01), legs)
    else:
        count = int(rng.integers(3, 5))
        for angle in np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 2):
            way = np.array([np.cos(angle), np.sin(angle)])
            start, end = (*(way * radius * 0.55), under), (*(way * radius * 0.85), 0.018)
            build.textured(capsule(start, end, 0.026, 0.018), legs)
    reach = radius * 0.62
    return build.shape("table", Support(height, reach, reach))


def shelf(rng: Generator) -> Shape:
    """A bookshelf with its back at x = 0: boards, books, sometimes gaps and small boxes."""
    build = Builder()
    grain = (
        textures.wood(rng)
        if rng.random() < 0.7
        else textures.paint(rng, 32, textures.color(rng, (0, 0.3), (0.4, 1)))
    )
    width, depth = rng.uniform(0.6, 1.2), rng.uniform(0.24, 0.36)
    height = rng.uniform(0.9, 2.0)
    board = 0.022
    levels = max(2, int(height / rng.uniform(0.3, 0.42)))
    for side in (-1, 1):
        panel = (depth, board, height)
        build.textured(
            box(panel, (depth / 2, side * (width - board) / 2, height / 2), period=0.7), grain
        )
    build.textured(box((0.01, width, height), (0.005, 0, height / 2), period=0.7), grain)
    floors = np.linspace(0.05, height - board / 2, levels + 1)
    for z in floors:
        build.textured(box((depth, width - 2 * board, board), (depth / 2, 0, z), period=0.7), grain)
    inks = [textures.color(rng, (0.1, 0.95), (0.15, 0.9)) for _ in range(10)]
    inks += [(0.9, 0.88, 0.8), (0.12, 0.12, 0.13)]
    for low, high in pairwise(floors):
        _books(rng, build, inks, (depth, width - 2 * board), low + board / 2, high - board / 2)
    return build.shape("shelf")


def _books(
    rng: Generator,
    build: Builder,
    inks: list[Color],
    size: tuple[float, float],
    low: float,
    high: float,
) -> None:
    """Fill one level of a shelf from left to right."""
    depth, width = size
    y, room = -width / 2 + 0.01, high - low
    while y < width / 2 - 0.06:
        if rng.random() < 0.09:
            y += rng.uniform(0.05, 0.25)
            continue
        thick = float(rng.uniform(0.016, 0.05))
        tall = room * float(rng.uniform(0.6, 0.93))
        deep = depth * float(rng.uniform(0.6, 0.85))
        ink = inks[int(rng.integers(len(inks)))]
        build.plain(
            box((deep, thick, tall), (deep / 2 + 0.012, y + thick / 2, low + tall / 2)), ink, 0.15
        )
        y += thick + 0.002


def door(rng: Generator) -> Shape:
    """A door in its frame, back at x = 0: panelled, plain, or with a pane."""
    build = Builder()
    width, height = rng.uniform(0.75, 0.98), rng.uniform(1.92, 2.1)
    if rng.random() < 0.55:
        leaf = textures.wood(rng)
    else:
        leaf = textures.paint(rng, 32, textures.color(rng, (0.0, 0.7), (0.35, 1.0)))
    frame_color = textures.wood_color(rng) if rng.random() < 0.4 else (0.88, 0.87, 0.83)
    frame = rng.uniform(0.06, 0.1)
    for side in (-1, 1):
        post = (0.06, frame, height + frame)
        build.plain(
            box(post, (0.03, side * (width + frame) / 2, (height + frame) / 2), bevel=0.008),
            frame_color,
        )
    build.plain(
        box((0.06, width + 2 * frame, frame), (0.03, 0, height + frame / 2), bevel=0.008),
        frame_color,
    )
    build.textured(box((0.03, width, height), (0.015, 0, height / 2), period=0.9).moved(), leaf)
    _door_face(rng, build, (width, height), leaf, frame_color)
    _handle(rng, build, width)
    return build.shape("door")


def _door_face(
    rng: Generator, build: Builder, size_of: tuple[float, float], leaf: UInt8Array, trim: Color
) -> None:
    """Add panels, a pane, a kick plate, or nothing."""
    width, height = size_of
    kind = int(rng.integers(0, 4))
    if kind == 0:
        columns, rows = int(rng.integers(1, 3)), int(rng.integers(2, 4))
        for i in range(columns):
            for j in range(rows):
                size = (0.012, width / columns * 0.72, height / rows * 0.74)
                y = (i + 0.5) / columns * width - width / 2
                build.textured(
                    box(size, (0.034, y, (j + 0.5) / rows * height), bevel=0.006, period=0.7), leaf
                )
    elif kind == 1:
        pane = (0.012, width * rng.uniform(0.25, 0.6), height * rng.uniform(0.3, 0.45))
        center = (0.031, 0.0, height * 0.7)
        build.plain(box((0.016, pane[1] + 0.06, pane[2] + 0.06), center, bevel=0.005), trim)
        build.plain(box(pane, (0.036, 0.0, height * 0.7)), (0.62, 0.74, 0.8), 0.7)
    elif kind == 2:
        build.plain(box((0.006, width * 0.9, 0.22), (0.032, 0, 0.13)), (0.6, 0.6, 0.62), 0.6)


def _handle(rng: Generator, build: Builder, width: float) -> None:
    hinge = -1.0 if rng.random() < 0.5 else 1.0
    metal = (0.78, 0.76, 0.7) if rng.random() < 0.7 else (0.75, 0.6, 0.3)
    knob = hinge * (width / 2 - 0.07)
    build.plain(box((0.008, 0.04, 0.15), (0.034, knob, 1.0)), metal, 0.6)
    if rng.random() < 0.6:
        build.plain(
            capsule((0.075, knob, 1.02), (0.075, knob - hinge * 0.11, 1.02), 0.011), metal, 0.6
        )
        build.plain(capsule((0.03, knob, 1.02), (0.075, knob, 1.02), 0.01), metal, 0.6)
    else:
        build.plain(ellipsoid((0.03, 0.032, 0.032), (0.07, knob, 1.0)), metal, 0.6)
