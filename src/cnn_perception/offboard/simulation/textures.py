"""Procedural textures: uint8 (size, size, 3) RGB tiles, each drawn from a numpy Generator."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from cnn_perception.types import Float64Array, UInt8Array

__all__ = [
    "FABRICS",
    "FLOORS",
    "WALLS",
    "bands",
    "bricks",
    "carpet",
    "checker",
    "color",
    "concrete",
    "dots",
    "image_of",
    "metal_color",
    "noise",
    "paint",
    "plaid",
    "plain",
    "planks",
    "stripes",
    "tiles",
    "wood",
    "wood_color",
]

Color = tuple[float, float, float]
Generator = np.random.Generator


def color(
    rng: Generator,
    saturation: tuple[float, float] = (0.3, 0.9),
    value: tuple[float, float] = (0.35, 0.95),
) -> Color:
    """Return a random RGB color in [0, 1]."""
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return float(r), float(g), float(b)


def wood_color(rng: Generator) -> Color:
    """Return a color from pale birch to dark walnut."""
    r, g, b = colorsys.hsv_to_rgb(
        rng.uniform(0.055, 0.11), rng.uniform(0.25, 0.7), rng.uniform(0.28, 0.9)
    )
    return float(r), float(g), float(b)


def metal_color(rng: Generator) -> Color:
    """Return a grey from black to aluminium."""
    grey = float(rng.uniform(0.1, 0.75))
    return (grey, grey, grey * 1.03)


def noise(rng: Generator, size: int, scale: int, columns: int | None = None) -> Float64Array:
    """Return smooth noise about zero that tiles: `scale` cells down, `columns` across."""
    across = columns or scale
    cells = rng.standard_normal((scale, across))
    cells = np.pad(cells, 2, mode="wrap")
    y = round(size * (scale + 4) / scale)
    x = round(size * (across + 4) / across)
    grown = cv2.resize(cells, (x, y), interpolation=cv2.INTER_CUBIC)
    top, left = (y - size) // 2, (x - size) // 2
    return np.asarray(grown[top : top + size, left : left + size], np.float64)


def image_of(base: Any, shade: Float64Array | float = 1.0) -> UInt8Array:
    """Return base colors in [0, 1] times a shade as RGB uint8."""
    factor = shade[..., None] if isinstance(shade, np.ndarray) else shade
    values = np.asarray(base, float) * factor * 255.0
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def plain(rgb: Color, size: int) -> Float64Array:
    """Return one color as float (size, size, 3)."""
    return np.tile(np.array(rgb, float), (size, size, 1))


def paint(rng: Generator, size: int = 128, rgb: Color | None = None) -> UInt8Array:
    """Plain paint with faint stains and roughness."""
    base = rgb or color(rng, (0.03, 0.4), (0.6, 0.97))
    shade = 1 + 0.01 * noise(rng, size, 4) + 0.012 * rng.standard_normal((size, size))
    return image_of(plain(base, size), shade)


def concrete(rng: Generator, size: int = 128) -> UInt8Array:
    """Concrete or plaster: grey noise on several scales."""
    shade = 1 + sum(0.035 * noise(rng, size, s) for s in (4, 12, 32))
    return image_of(plain(color(rng, (0.0, 0.15), (0.45, 0.75)), size), np.asarray(shade))


def wood(rng: Generator, size: int = 128, rgb: Color | None = None) -> UInt8Array:
    """Wood with its grain along u."""
    base = rgb or wood_color(rng)
    y = np.linspace(0, 1, size, endpoint=False)[:, None]
    bend = 0.35 * noise(rng, size, 3, 2)
    rings = np.sin(2 * np.pi * (int(rng.integers(4, 10)) * y + bend))
    shade = (
        1 + 0.09 * rings + 0.07 * noise(rng, size, 40, 3) + 0.02 * rng.standard_normal((size, size))
    )
    return image_of(plain(base, size), shade)


def planks(rng: Generator, size: int = 256) -> UInt8Array:
    """A floor of boards, staggered, each with its own shade."""
    rows = int(rng.integers(5, 10))
    base = np.array(wood_color(rng))
    grain = 1 + 0.1 * noise(rng, size, 64, 3)
    image = np.empty((size, size, 3))
    edges = np.linspace(0, size, rows + 1).astype(int)
    for top, bottom in pairwise(edges):
        tint = base * (1 + 0.13 * rng.standard_normal(2)[:, None])
        joint = int(rng.integers(0, size))
        row = np.where((np.arange(size) < joint)[:, None], tint[0], tint[1])
        image[top:bottom] = row
        image[top] *= 0.55
        image[top:bottom, joint] *= 0.6
        image[top:bottom, 0] *= 0.6
    return image_of(image, grain)


def tiles(rng: Generator, size: int = 256) -> UInt8Array:
    """Square or staggered tiles with joints."""
    count = int(rng.choice([2, 4]))
    base = np.array(color(rng, (0.0, 0.35), (0.5, 0.95)))
    step = size // count
    shade = 1 + 0.05 * rng.standard_normal((count, count))
    image = np.kron(shade, np.ones((step, step)))[..., None] * base
    image *= (1 + 0.04 * noise(rng, size, 12))[..., None]
    joint = np.array(color(rng, (0.0, 0.1), (0.3, 0.85)))
    width = max(2, size // 90)
    for k in range(count):
        image[k * step : k * step + width] = joint
        image[:, k * step : k * step + width] = joint
    return image_of(image)


def checker(rng: Generator, size: int = 128) -> UInt8Array:
    """Two colors of tiles in turn."""
    first = np.array(color(rng, (0.0, 0.3), (0.7, 0.95)))
    second = np.array(color(rng, (0.0, 0.6), (0.2, 0.75)))
    half = size // 2
    odd = (np.add.outer(np.arange(size) // half, np.arange(size) // half) % 2).astype(bool)
    image = np.where(odd[..., None], first, second)
    return image_of(image, 1 + 0.05 * noise(rng, size, 16))


def carpet(rng: Generator, size: int = 128, rgb: Color | None = None) -> UInt8Array:
    """Short pile: strong fine noise."""
    base = rgb or color(rng, (0.05, 0.6), (0.3, 0.8))
    shade = 1 + 0.12 * rng.standard_normal((size, size)) + 0.05 * noise(rng, size, 5)
    return image_of(plain(base, size), np.asarray(cv2.GaussianBlur(shade, (0, 0), 0.7), float))


def stripes(rng: Generator, size: int = 128) -> UInt8Array:
    """Upright stripes of two or three close colors (wallpaper, curtains)."""
    base = np.array(color(rng, (0.05, 0.5), (0.5, 0.95)))
    other = np.clip(base * rng.uniform(0.6, 0.92) + rng.uniform(-0.08, 0.08, 3), 0, 1)
    x = np.arange(size) / size
    wave = np.sin(2 * np.pi * int(rng.integers(2, 7)) * x) > rng.uniform(-0.5, 0.6)
    row = np.where(wave[:, None], base, other)
    return image_of(
        np.broadcast_to(row, (size, size, 3)), 1 + 0.015 * rng.standard_normal((size, size))
    )


def bands(rng: Generator, size: int = 64) -> UInt8Array:
    """Stripes around: strong colors, for clothes and balls."""
    return np.ascontiguousarray(np.swapaxes(_bold(rng, size), 0, 1))


def _bold(rng: Generator, size: int) -> UInt8Array:
    first, second = np.array(color(rng)), np.array(color(rng, (0.0, 0.8), (0.3, 1.0)))
    wave = (np.arange(size) * int(rng.integers(2, 6)) * 2 // size) % 2 == 0
    return image_of(np.broadcast_to(np.where(wave[:, None], first, second), (size, size, 3)))


def bricks(rng: Generator, size: int = 256) -> UInt8Array:
    """A wall of bricks with mortar."""
    rows, columns = 8, 4
    base = np.array(
        colorsys.hsv_to_rgb(rng.uniform(0.0, 0.07), rng.uniform(0.2, 0.65), rng.uniform(0.45, 0.8))
    )
    mortar = np.array(color(rng, (0.0, 0.1), (0.6, 0.85)))
    image = np.empty((size, size, 3))
    height, width = size // rows, size // columns
    for row in range(rows):
        shades = base * (1 + 0.14 * rng.standard_normal((columns, 1)))
        line = np.roll(np.repeat(shades, width, axis=0), (row % 2) * width // 2, axis=0)
        image[row * height : (row + 1) * height] = line
        image[row * height : row * height + 3] = mortar
        joints = (np.arange(columns) * width + (row % 2) * width // 2) % size
        for joint in joints:
            image[row * height : (row + 1) * height, joint : joint + 3] = mortar
    return image_of(image, 1 + 0.07 * noise(rng, size, 48))


def dots(rng: Generator, size: int = 128) -> UInt8Array:
    """A pattern of spots or crosses on a plain ground."""
    image = image_of(plain(color(rng, (0.05, 0.5), (0.5, 0.95)), size))
    ink = tuple(int(255 * c) for c in color(rng, (0.1, 0.8), (0.3, 1.0)))
    count = int(rng.integers(2, 5))
    radius = max(2, int(size / count * rng.uniform(0.12, 0.3)))
    for i in range(count):
        for j in range(count):
            shift = size // count // 2 if i % 2 else size // count // 4
            spot = ((j * size // count + shift) % size, int((i + 0.5) * size / count))
            cv2.circle(image, spot, radius, ink, -1, cv2.LINE_AA)
    return image


def plaid(rng: Generator, size: int = 128) -> UInt8Array:
    """Crossed bands of three colors."""
    inks = np.array([color(rng) for _ in range(3)])
    pick = np.repeat(rng.integers(0, 3, 8), size // 8)
    line = inks[pick]
    return image_of(
        (line[:, None] + line[None, :]) / 2, 1 + 0.03 * rng.standard_normal((size, size))
    )


Texture = Callable[[Generator], UInt8Array]
WALLS: tuple[Texture, ...] = (*[paint] * 3, stripes, bricks, concrete, dots, wood, tiles)
FLOORS: tuple[Texture, ...] = (*[planks] * 2, tiles, checker, *[carpet] * 2, concrete)
FABRICS: tuple[Texture, ...] = (carpet, plaid, stripes, dots, bands, paint)
