"""Textures that show something: pictures, leaves, rugs, footballs, cardboard, the sky outside."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from cnn_perception.offboard.simulation.textures import Color, color, image_of, noise, plain
from cnn_perception.types import UInt8Array

__all__ = ["cardboard", "football", "leaf", "picture", "rug", "sky"]

Generator = np.random.Generator


def cardboard(rng: Generator, size: int = 128) -> UInt8Array:
    """Corrugated board, sometimes with a printed mark."""
    base = (rng.uniform(0.62, 0.8), rng.uniform(0.47, 0.58), rng.uniform(0.3, 0.42))
    flutes = 0.012 * np.sin(np.arange(size) * 2.0)[:, None]
    image = image_of(plain(base, size), 1 + flutes + 0.03 * noise(rng, size, 8))
    if rng.random() < 0.6:
        ink = (70, 50, 40) if rng.random() < 0.7 else (170, 40, 40)
        x, y = (int(v) for v in rng.integers(size // 8, size // 2, 2))
        cv2.rectangle(image, (x, y), (x + size // 4, y + size // 6), ink, 2)
        for k in range(3):
            cv2.line(image, (x + 4, y + 5 + 5 * k), (x + size // 4 - 6, y + 5 + 5 * k), ink, 1)
    return image


def football(rng: Generator, size: int = 128) -> UInt8Array:
    """Black pentagons on white hexagons, by longitude and latitude."""
    golden = (1 + 5**0.5) / 2
    corners = np.array(
        [p for a in (-1, 1) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))]
    )
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    longitude, polar = np.meshgrid(np.linspace(0, 2 * np.pi, size), np.linspace(0, np.pi, size))
    sphere = np.stack(
        [np.sin(polar) * np.cos(longitude), np.sin(polar) * np.sin(longitude), -np.cos(polar)],
        axis=2,
    )
    near = np.sort(sphere @ corners.T, axis=2)
    dark = near[..., -1] > 0.93
    seam = (near[..., -1] - near[..., -2] < 0.025) & ~dark
    ink, ground = color(rng, (0.0, 0.9), (0.05, 0.5)), color(rng, (0.0, 0.15), (0.85, 1.0))
    image = np.where(dark[..., None], ink, ground)
    return image_of(image, np.where(seam, 0.55, 1.0))


def leaf(rng: Generator, size: int = 64, rgb: Color | None = None) -> UInt8Array:
    """A leaf with a pale midrib along v and veins."""
    base = rgb or colorsys.hsv_to_rgb(
        rng.uniform(0.22, 0.4), rng.uniform(0.45, 0.85), rng.uniform(0.3, 0.7)
    )
    x = np.abs(np.linspace(-1, 1, size))[None, :]
    y = np.linspace(0, 1, size)[:, None]
    veins = 0.5 + 0.5 * np.sin(2 * np.pi * 7 * (y - 0.35 * x))
    shade = 0.82 + 0.18 * veins + 0.45 * np.exp(-((x / 0.07) ** 2)) + 0.05 * noise(rng, size, 8)
    return image_of(plain(base, size), shade)


def rug(rng: Generator, size: int = 128) -> UInt8Array:
    """A rug with borders and a field of lozenges, bands or plain pile."""
    inks = [np.array(color(rng, (0.2, 0.8), (0.3, 0.9))) for _ in range(3)]
    u, v = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    edge = np.maximum(np.abs(u), np.abs(v))
    kind = int(rng.integers(0, 4))
    count = int(rng.integers(3, 8))
    if kind == 0:
        field = (np.floor((u + v) * count) + np.floor((u - v) * count)) % 2 == 0
    elif kind == 1:
        field = np.floor(v * count * 2) % 2 == 0
    elif kind == 2:
        field = np.floor(np.hypot(u, v) * count) % 2 == 0
    else:
        field = np.zeros_like(u, bool)
    image = np.where(field[..., None], inks[0], inks[1])
    image = np.where(((edge > 0.8) & (edge < 0.9))[..., None], inks[2], image)
    return image_of(image, 1 + 0.09 * rng.standard_normal((size, size)))


def picture(rng: Generator, size: int = 64) -> UInt8Array:
    """Something to hang on a wall: a landscape, circles, blocks or a poster."""
    image = image_of(plain(color(rng, (0.05, 0.7), (0.4, 1.0)), size))
    inks = [tuple(int(255 * c) for c in color(rng, (0.2, 1.0), (0.2, 1.0))) for _ in range(6)]
    kind = int(rng.integers(0, 4))
    if kind == 0:
        for k, ink in enumerate(inks[:4]):
            x = np.arange(0, size + 8, 8)
            y = size * (0.3 + 0.17 * k) + 6 * rng.standard_normal(len(x))
            hills = np.concatenate([np.stack([x, y], 1), [[size + 8, size], [0, size]]])
            cv2.fillPoly(image, [hills.astype(np.int32)], ink)
    elif kind == 1:
        for k, ink in enumerate(inks):
            spot = tuple(int(v) for v in rng.integers(8, size - 8, 2))
            cv2.circle(
                image, spot, int(rng.integers(4, size // 4)), ink, -1 if k % 2 else 2, cv2.LINE_AA
            )
    elif kind == 2:
        for ink in inks:
            left, top = (int(v) for v in rng.integers(0, size - 10, 2))
            wide, tall = (int(v) for v in rng.integers(8, size // 2, 2))
            cv2.rectangle(image, (left, top), (left + wide, top + tall), ink, -1)
    else:
        for k in range(6):
            end = int(rng.integers(size // 3, size - 8))
            cv2.line(image, (6, 8 + 9 * k), (end, 8 + 9 * k), inks[0], 3 if k else 6)
    # MuJoCo's first texture row is the lowest.
    return np.ascontiguousarray(image[::-1])


def sky(rng: Generator, size: int = 64) -> UInt8Array:
    """What a window shows: a bright sky over a band of green or houses."""
    y = np.linspace(0, 1, size)[:, None, None]
    bright = np.array([0.75, 0.86, 1.0]) * rng.uniform(0.75, 1.1)
    image = bright * (1 - 0.25 * y) + 0.03 * noise(rng, size, 5)[..., None]
    ground = np.array(color(rng, (0.2, 0.6), (0.3, 0.6)))
    line = 0.25 + 0.08 * noise(rng, size, 6)[0]
    image = np.where((y[..., 0] < line[None, :])[..., None], ground, image)
    return image_of(image)
