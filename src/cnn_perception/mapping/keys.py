"""The keys of cells and blocks, for arrays of them; `voxels.cell_kernels` has them one by one.

Keys are OctoMap's (Hornung et al. 2013): the tree has 16 levels, a finest cell has three 16-bit
keys, 32768 being the cell whose lower corner is the origin of the map. Packed into one number a
cell is (x << 32) | (y << 16) | z, so that a step of a ray is one addition.

A block is a cube of 8 x 8 x 8 cells, a node of depth 13. Its code is (x << 26) | (y << 13) | z with
its cells' keys shifted right by three; a cell's index in its block is (z << 6) | (y << 3) | x with
the lowest three bits of its keys.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import OffMapError
from cnn_perception.types import BoolArray

__all__ = [
    "BLOCK_BITS",
    "BLOCK_DEPTH",
    "CELLS",
    "INSIDE_BLOCK",
    "KEY_ORIGIN",
    "LAST_KEY",
    "TREE_DEPTH",
    "block_keys",
    "cell_keys",
    "check_on_map",
    "morton_codes",
    "morton_keys",
    "on_map",
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
