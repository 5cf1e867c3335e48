"""What an object is made of: meshes with materials, collected into few parts for fast rendering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnn_perception.offboard.simulation.meshes import Mesh, merge
from cnn_perception.types import UInt8Array

__all__ = ["Builder", "Part", "Placed", "Shape", "Support"]

Color = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One mesh with one texture, uint8 (size, size, 3), and how much it shines (0..1)."""

    mesh: Mesh
    texture: UInt8Array
    shine: float = 0.1
    emission: float = 0.0


@dataclass(frozen=True, slots=True)
class Support:
    """A level surface that things can stand on: height and half extents about the origin."""

    height: float
    half_x: float
    half_y: float


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """An object in its own frame: z = 0 is the floor below it, +x its front, metres.

    `label` is one of MASK_LABELS; `low` and `high` are float (3,) corners of its bounding box.
    """

    label: str
    parts: tuple[Part, ...]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    support: Support | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A shape in the map frame: position float metres (3,) and yaw in radians about z."""

    shape: Shape
    position: tuple[float, float, float]
    yaw: float = 0.0


class Builder:
    """Collects the meshes of one object; those of plain color become a single part."""

    def __init__(self) -> None:
        self._plain: dict[tuple[float, float], list[tuple[Mesh, Color]]] = {}
        self._textured: dict[tuple[int, float, float], tuple[UInt8Array, list[Mesh]]] = {}

    def plain(self, mesh: Mesh, rgb: Color, shine: float = 0.1, emission: float = 0.0) -> None:
        """Add a mesh of one color, RGB in [0, 1]."""
        self._plain.setdefault((shine, emission), []).append((mesh, rgb))

    def textured(
        self, mesh: Mesh, texture: UInt8Array, shine: float = 0.05, emission: float = 0.0
    ) -> None:
        """Add a mesh with a texture; meshes that share a texture object become one part."""
        key = (id(texture), shine, emission)
        self._textured.setdefault(key, (texture, []))[1].append(mesh)

    def shape(self, label: str, support: Support | None = None) -> Shape:
        """Return everything that was added as one shape."""
        parts = [
            Part(merge(meshes), texture, shine, emission)
            for (_, shine, emission), (texture, meshes) in self._textured.items()
        ]
        for (shine, emission), entries in self._plain.items():
            parts.append(_palette_part(entries, shine, emission))
        vertices = np.concatenate([part.mesh.vertices for part in parts])
        low, high = vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()
        return Shape(label, tuple(parts), tuple(low), tuple(high), support)


def _palette_part(entries: list[tuple[Mesh, Color]], shine: float, emission: float) -> Part:
    """Merge plain meshes; each looks up its color in one small texture of 4 x 4 pixel cells."""
    colors = list(dict.fromkeys(rgb for _, rgb in entries))
    side = int(np.ceil(np.sqrt(len(colors))))
    cells = np.zeros((side, side, 3))
    cells.reshape(-1, 3)[: len(colors)] = colors
    texture = np.clip(np.kron(cells, np.ones((4, 4, 1))) * 255, 0, 255).astype(np.uint8)
    meshes = []
    for mesh, rgb in entries:
        row, column = divmod(colors.index(rgb), side)
        meshes.append(mesh.painted((column + 0.5) / side, (row + 0.5) / side))
    return Part(merge(meshes), texture, shine, emission)
