"""People: jointed figures that stand or walk; +x is the front, z = 0 the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnn_perception.offboard.simulation import textures
from cnn_perception.offboard.simulation.meshes import Mesh, capsule, ellipsoid, loft, merge
from cnn_perception.offboard.simulation.shapes import Builder, Color, Shape
from cnn_perception.types import UInt8Array

__all__ = ["person"]

Generator = np.random.Generator
_BLACK: Color = (0.07, 0.07, 0.08)
# Height, half depth and half width of sections through a person of 1.75 m.
_TORSO = (
    (0.88, 0.1, 0.14),
    (0.95, 0.115, 0.165),
    (1.08, 0.1, 0.145),
    (1.25, 0.118, 0.175),
    (1.38, 0.105, 0.185),
    (1.45, 0.07, 0.12),
    (1.49, 0.05, 0.06),
)
_SKIRT = ((0.5, 0.19, 0.23), (0.75, 0.15, 0.19), (0.97, 0.118, 0.168))


def _skin(rng: Generator) -> Color:
    tone = float(rng.uniform(0, 1))
    pale, dark = np.array([0.93, 0.74, 0.62]), np.array([0.32, 0.2, 0.13])
    r, g, b = (pale * (1 - tone) + dark * tone).tolist()
    return (r, g, b)


def _limb(
    start: Sequence[float],
    lengths: tuple[float, float],
    bends: tuple[float, float],
    radii: tuple[float, float, float],
) -> tuple[Mesh, Mesh, tuple[float, float, float]]:
    """Return both parts of a limb that hangs from `start`, swung in x, and where it ends."""
    upper, lower = bends
    x, y, z = start
    joint = (x + lengths[0] * np.sin(upper), y, z - lengths[0] * np.cos(upper))
    turn = upper + lower
    end = (joint[0] + lengths[1] * np.sin(turn), y, joint[2] - lengths[1] * np.cos(turn))
    return (
        capsule(start, joint, radii[0], radii[1], segments=12),
        capsule(joint, end, radii[1], radii[2], segments=12),
        end,
    )


@dataclass(frozen=True, slots=True)
class _Body:
    """Sizes and pose: scale, girth, skin, how far the legs swing (radians), which leg leads."""

    scale: float
    girth: float
    skin: Color
    walk: float
    lead: int


def person(rng: Generator) -> Shape:
    """A standing or walking person in shirt and trousers or skirt."""
    build = Builder()
    scale = rng.uniform(1.5, 1.92) / 1.75
    girth = scale * rng.uniform(0.88, 1.15)
    skin = _skin(rng)
    legs = textures.color(rng, (0.05, 0.8), (0.12, 0.65))
    if rng.random() < 0.5:
        shirt = textures.paint(rng, 32, textures.color(rng, (0.1, 0.95), (0.25, 1.0)))
    else:
        shirt = (textures.bands, textures.plaid, textures.dots)[int(rng.integers(3))](rng, 64)
    walk = rng.uniform(0.25, 0.55) if rng.random() < 0.5 else rng.uniform(0.0, 0.1)
    body = _Body(scale, girth, skin, walk, 1 if rng.random() < 0.5 else -1)
    sole = _legs(rng, build, body, legs)
    _torso(rng, build, body, shirt, legs)
    _arms(rng, build, body, shirt)
    _head(rng, build, scale, skin)
    return _raised(build.shape("person"), -sole)


def _legs(rng: Generator, build: Builder, body: _Body, trousers: Color) -> float:
    """Add legs and shoes that hang from the hip; return the height of the lower sole."""
    s, wide = body.scale, body.girth
    short = rng.random() < 0.25
    feet = []
    for side in (-1, 1):
        swing = body.walk * side * body.lead
        upper, lower, foot = _limb(
            (0, side * 0.095 * wide, 0.92 * s),
            (0.44 * s, 0.41 * s),
            (swing, -0.5 * body.walk if swing < 0 else -0.08),
            (0.088 * wide, 0.062 * wide, 0.045 * wide),
        )
        build.plain(upper, trousers)
        build.plain(lower, body.skin if short else trousers)
        feet.append(foot)
    ink = textures.color(rng, (0.0, 0.6), (0.05, 0.8))
    for x, y, z in feet:
        middle = (x + 0.055 * s, y, z - 0.035 * s)
        build.plain(ellipsoid((0.125 * s, 0.048 * s, 0.05 * s), middle), ink)
    return float(min(foot[2] for foot in feet) - 0.075 * s)


def _torso(rng: Generator, build: Builder, body: _Body, shirt: UInt8Array, trousers: Color) -> None:
    s, wide = body.scale, body.girth
    torso = loft([(z * s, x * wide, y * wide, 0, 0) for z, x, y in _TORSO], 18)
    build.textured(torso.tiled(3, 2), shirt)
    if rng.random() < 0.2:
        skirt = loft([(z * s, x * wide, y * wide, 0, 0) for z, x, y in _SKIRT], 18)
        build.plain(skirt, trousers)


def _arms(rng: Generator, build: Builder, body: _Body, shirt: UInt8Array) -> None:
    s, wide = body.scale, body.girth
    sleeve = rng.random() < 0.5
    for side in (-1, 1):
        bend = rng.uniform(0.1, 0.5) if rng.random() < 0.75 else rng.uniform(1.0, 1.8)
        upper, lower, (x, y, z) = _limb(
            (0, side * 0.215 * wide, 1.42 * s - 0.03 * s),
            (0.29 * s, 0.25 * s),
            (-0.8 * body.walk * side * body.lead, bend),
            (0.054 * wide, 0.042 * wide, 0.032 * wide),
        )
        build.textured(upper, shirt)
        if sleeve:
            build.textured(lower, shirt)
        else:
            build.plain(lower, body.skin)
        hand = ellipsoid((0.04 * s, 0.03 * s, 0.055 * s), (x, y, z - 0.035 * s))
        build.plain(hand, body.skin)


def _head(rng: Generator, build: Builder, s: float, skin: Color) -> None:
    build.plain(capsule((0, 0, 1.44 * s), (0.01 * s, 0, 1.56 * s), 0.05 * s), skin)
    build.plain(
        ellipsoid((0.098 * s, 0.077 * s, 0.118 * s), (0.02 * s, 0, 1.64 * s), rows=11, segments=16),
        skin,
    )
    build.plain(
        ellipsoid((0.02 * s, 0.013 * s, 0.02 * s), (0.118 * s, 0, 1.635 * s), rows=6, segments=8),
        skin,
    )
    for side in (-1, 1):
        build.plain(
            ellipsoid(
                (0.01, 0.012, 0.01), (0.105 * s, side * 0.033 * s, 1.665 * s), rows=6, segments=8
            ),
            _BLACK,
        )
        build.plain(
            ellipsoid((0.02, 0.012, 0.03), (0.01, side * 0.078 * s, 1.64 * s), rows=6, segments=8),
            skin,
        )
    hairs: list[Color] = [
        (0.08, 0.06, 0.05),
        (0.25, 0.15, 0.08),
        (0.6, 0.42, 0.2),
        (0.55, 0.54, 0.52),
        (0.45, 0.18, 0.08),
    ]
    hair = hairs[int(rng.integers(len(hairs)))]
    style = rng.random()
    if style < 0.85:
        build.plain(
            ellipsoid(
                (0.1 * s, 0.084 * s, 0.1 * s), (-0.004 * s, 0, 1.68 * s), rows=11, segments=16
            ),
            hair,
        )
    if 0.35 < style < 0.7:
        build.plain(
            merge([ellipsoid((0.06 * s, 0.088 * s, 0.17 * s), (-0.045 * s, 0, 1.57 * s))]), hair
        )
    elif style > 0.92:
        build.plain(
            ellipsoid((0.12 * s, 0.1 * s, 0.05 * s), (0.02 * s, 0, 1.73 * s)), textures.color(rng)
        )


def _raised(shape: Shape, lift: float) -> Shape:
    """Return the shape moved up, so that its feet touch the floor."""
    parts = tuple(replace(part, mesh=part.mesh.moved((0, 0, lift))) for part in shape.parts)
    low, high = shape.low, shape.high
    return replace(
        shape,
        parts=parts,
        low=(low[0], low[1], low[2] + lift),
        high=(high[0], high[1], high[2] + lift),
    )
