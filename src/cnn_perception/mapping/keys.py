"""The keys of cells and blocks: of arrays at once, and in kernels one by one.

Keys are OctoMap's (Hornung et al. 2013): the tree has 16 levels, a finest cell has three 16-bit
keys, 32768 being the cell whose lower corner is the origin of the map. Packed into one number a
cell is (x << 32) | (y << 16) | z, so that a step of a ray is one addition.

A block is a cube of 8 x 8 x 8 cells, a node of depth 13. Its code is (x << 26) | (y << 13) | z with
its cells' keys shifted right by three; a cell's index in its block is (z << 6) | (y << 3) | x with
the lowest three bits of its keys.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import OffMapError
from cnn_perception.mapping.jit import inlined
from cnn_perception.types import BoolArray

__all__ = [
    "BLOCK_BITS",
    "BLOCK_DEPTH",
    "CELLS",
    "INSIDE_BLOCK",
    "KEY_ORIGIN",
    "LAST_KEY",
    "NOT_A_POINT",
    "OFF_THE_MAP",
    "TREE_DEPTH",
    "block_code",
    "block_corner",
    "block_key",
    "block_keys",
    "block_of",
    "cell_keys",
    "cell_of",
    "center_of",
    "check_on_map",
    "index_in_block",
    "morton_codes",
    "morton_keys",
    "on_map",
    "packed_cell",
    "packed_keys",
    "visible",
]

TREE_DEPTH = 16
KEY_ORIGIN = 1 << (TREE_DEPTH - 1)
LAST_KEY = (1 << TREE_DEPTH) - 1
BLOCK_BITS = 3
BLOCK_DEPTH = TREE_DEPTH - BLOCK_BITS
CELLS = 1 << (3 * BLOCK_BITS)
INSIDE_BLOCK = (7 << 32) | (7 << 16) | 7
"""The bits of a packed cell that do not tell its block."""
OFF_THE_MAP, NOT_A_POINT = -1.0, -2.0
"""In place of a packed cell."""

_PACKED_ORIGIN = 32768.0 * (2.0**32 + 2.0**16 + 1.0)
_SPREAD = ((16, 0x0000FF0000FF), (8, 0x00F00F00F00F), (4, 0x0C30C30C30C3), (2, 0x249249249249))
_GATHER = ((2, 0x0C30C30C30C3), (4, 0x00F00F00F00F), (8, 0x0000FF0000FF), (16, 0x00000000FFFF))


def cell_keys(points: NDArray[np.floating[Any]], resolution: float) -> NDArray[np.int64]:
    """Return the keys of the finest cells in which points are, int64 (..., 3).

    points: (..., 3) metres in the map frame; those off the map get keys that are one off it. By
    the reciprocal, as OctoMap's coordToKey, which decides on which side a border is.
    """
    with np.errstate(over="ignore"):
        keys = np.floor((1.0 / resolution) * points.astype(np.float64)) + KEY_ORIGIN
    return np.clip(keys, -1, LAST_KEY + 1).astype(np.int64)


def on_map(points: NDArray[np.floating[Any]], resolution: float) -> BoolArray:
    """Say which points, (N, 3) metres, a map can hold; those that are not finite it cannot."""
    keys = np.floor((1.0 / resolution) * points.astype(np.float64))
    return np.asarray(((keys >= -KEY_ORIGIN) & (keys < KEY_ORIGIN)).all(axis=1), np.bool_)


def check_on_map(position: NDArray[np.floating[Any]], resolution: float) -> None:
    """Raise OffMapError when a sensor's position, (3,) metres, is off the map as float32."""
    place = position.astype(np.float32)
    if not on_map(place[None, :], resolution)[0]:
        reach = KEY_ORIGIN * resolution
        raise OffMapError(
            f"the sensor is at {tuple(round(float(v), 3) for v in place)} but a map of resolution "
            f"{resolution:g} m reaches from -{reach:g} to {reach:g} m: check the transform, or "
            "raise the resolution"
        )


def visible(
    keys: NDArray[np.integer],
    spans: NDArray[np.integer] | int,
    resolution: float,
    lowest: float,
    highest: float,
) -> BoolArray:
    """Say which cells reach above the lowest z and below the highest, metres: all that is shown.

    keys: lowest z keys; spans: edges in finest cells.
    """
    bottom = keys - float(KEY_ORIGIN)
    # Not metres plus metres: a cell's top must be the bottom of the next to the last digit.
    top = bottom + spans
    return np.asarray((top * resolution > lowest) & (bottom * resolution < highest), np.bool_)


def morton_codes(keys: NDArray[np.integer]) -> NDArray[np.int64]:
    """Interleave (N, 3) keys into 48-bit codes, x in the lowest bit; sorted codes are preorder."""
    code = np.zeros(len(keys), np.int64)
    for axis in range(3):
        bits = keys[:, axis].astype(np.int64)
        for shift, mask in _SPREAD:
            bits = (bits | (bits << shift)) & mask
        code |= bits << axis
    return code


def morton_keys(codes: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return the (N, 3) keys of 48-bit codes: the inverse of `morton_codes`."""
    keys = np.empty((len(codes), 3), np.uint16)
    for axis in range(3):
        bits = (codes >> axis) & _SPREAD[-1][1]
        for shift, mask in _GATHER:
            bits = (bits | (bits >> shift)) & mask
        keys[:, axis] = bits
    return keys


def packed_keys(cells: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return the keys of packed cells, (N, 3)."""
    return np.stack([cells >> 32, cells >> 16, cells], axis=1).astype(np.uint16)


def block_keys(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the keys of blocks, int64 (N, 3): those of their cells shifted right by three."""
    return np.stack([codes >> 26, (codes >> 13) & 8191, codes & 8191], axis=1)


@inlined
def packed_cell(x: np.float32, y: np.float32, z: np.float32, per_metre: float) -> float:
    """Return the packed cell that holds a point, or OFF_THE_MAP.

    In doubles, which hold the 48 bits and let a loop over this be vectorised.
    """
    a = math.floor(per_metre * np.float64(x))
    b = math.floor(per_metre * np.float64(y))
    c = math.floor(per_metre * np.float64(z))
    on_map = (abs(a + 0.5) <= 32768.0) & (abs(b + 0.5) <= 32768.0) & (abs(c + 0.5) <= 32768.0)
    packed = (a * 65536.0 + b) * 65536.0 + c + _PACKED_ORIGIN
    return packed if on_map else OFF_THE_MAP


@inlined
def cell_of(x: np.float32, y: np.float32, z: np.float32, per_metre: float) -> int:
    """Return the packed cell that holds a point, or -1 off the map."""
    return np.int64(packed_cell(x, y, z, per_metre))


@inlined
def center_of(key: int, resolution: float) -> float:
    """Return the middle of a cell along one axis, metres."""
    return (np.float64(key - KEY_ORIGIN) + 0.5) * resolution


@inlined
def block_of(cell: int) -> int:
    """Return the code of the block of a packed cell."""
    return ((cell >> 35) << 26) | (((cell >> 19) & 8191) << 13) | ((cell >> 3) & 8191)


@inlined
def index_in_block(cell: int) -> int:
    """Return the index of a packed cell in its block."""
    return ((cell & 7) << 6) | ((cell >> 13) & 56) | ((cell >> 32) & 7)


@inlined
def block_code(x: int, y: int, z: int) -> int:
    """Return the code of a block from its keys."""
    return (x << 26) | (y << 13) | z


@inlined
def block_key(code: int) -> tuple[int, int, int]:
    """Return the keys of a block: the inverse of `block_code`."""
    return code >> 26, (code >> 13) & 8191, code & 8191


@inlined
def block_corner(code: int) -> tuple[int, int, int]:
    """Return the lowest keys of a block's cells."""
    return (code >> 26) << 3, ((code >> 13) & 8191) << 3, (code & 8191) << 3
