"""What of a map is published: how coarse, in which sizes, with or without lone cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnn_perception.errors import MapError
from cnn_perception.mapping.keys import KEY_ORIGIN, TREE_DEPTH, morton_codes, morton_keys
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.settings import Config, setting

__all__ = ["OutputConfig", "coarsen", "split", "without_speckles"]

_MOST_CELLS = 1 << 24
_NEIGHBOURS = sorted(
    ((x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z),
    key=lambda step: sum(map(abs, step)),
)


@dataclass(frozen=True, slots=True)
class OutputConfig(Config):
    """How markers, cell centres and the projected map show the map. Octomap topics show all of it.

    The names of the parameters are octomap_server's.
    """

    max_depth: int = setting(
        16,
        "Finest level that is published, 16 being the map's own; each less doubles the cells' edge",
        minimum=1,
        maximum=TREE_DEPTH,
        live=True,
    )
    filter_speckles: bool = setting(
        False,
        "Leave out the finest occupied cells that have no occupied one among their 26 neighbours",
        live=True,
    )
    compress_map: bool = setting(
        True,
        "Publish eight equal cells as one larger cell; false: every cell in the finest size",
        live=True,
    )
    incremental_projection: bool = setting(
        False,
        "Recompute only those columns of projected_map that changed; it looks the same",
        live=True,
        parameter="incremental_2D_projection",
    )
    min_x_size: float = setting(
        0.0,
        "Smallest extent of projected_map along x, metres, about the origin",
        minimum=0.0,
        maximum=1e5,
        live=True,
    )
    min_y_size: float = setting(
        0.0,
        "Smallest extent of projected_map along y, metres, about the origin",
        minimum=0.0,
        maximum=1e5,
        live=True,
    )


def coarsen(leaves: Leaves, depth: int) -> Leaves:
    """Merge all cells below a depth: a cell there has the highest log-odds of its known children.

    So OctoMap's inner nodes do (getMaxChildLogOdds): a cell is occupied if anything in it is. With
    depth 16 nothing changes.
    """
    if depth >= TREE_DEPTH or len(leaves) == 0:
        return leaves
    shift = 3 * (TREE_DEPTH - depth)
    codes = morton_codes(leaves.keys) >> shift
    first = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    return Leaves(
        morton_keys(codes[first] << shift),
        np.minimum(leaves.depths[first], depth).astype(np.uint8),
        np.maximum.reduceat(leaves.log_odds, first),
    )


def without_speckles(leaves: Leaves, depth: int = TREE_DEPTH) -> Leaves:
    """Leave out occupied cells of a depth without an occupied one among their 26 neighbours.

    What octomap_server's filter_speckles was meant to do. Neighbours may be larger cells; cells
    larger than those of `depth` are never speckles.
    """
    occupied = np.flatnonzero(leaves.occupied)
    starts = morton_codes(leaves.keys[occupied])
    ends = starts + leaves.spans[occupied] ** 3
    span = 1 << (TREE_DEPTH - depth)
    alone = occupied[leaves.depths[occupied] >= depth]
    for step in _NEIGHBOURS:
        if alone.size == 0:
            break
        keys = leaves.keys[alone].astype(np.int64) + span * np.array(step)
        there = ((keys >= 0) & (keys < 2 * KEY_ORIGIN)).all(axis=1)
        codes = morton_codes((keys & (2 * KEY_ORIGIN - 1)).astype(np.uint16))
        at = np.searchsorted(starts, codes, side="right") - 1
        alone = alone[~(there & (at >= 0) & (codes < ends[at]))]
    kept = np.ones(len(leaves), np.bool_)
    kept[alone] = False
    return leaves if kept.all() else leaves.select(kept)


def split(leaves: Leaves, depth: int = TREE_DEPTH) -> Leaves:
    """Return the same cells in the size of `depth`, where they are larger.

    Raises MapError where that gives more than 2^24 cells.
    """
    count = float(
        (np.maximum(leaves.spans >> (TREE_DEPTH - depth), 1).astype(np.float64) ** 3).sum()
    )
    if count > _MOST_CELLS:
        raise MapError(
            f"the map has {count:.3g} cells of the finest size: set compress_map, or lower "
            "max_depth"
        )
    return leaves.split(depth)
