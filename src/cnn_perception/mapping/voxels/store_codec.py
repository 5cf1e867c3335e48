"""A VoxelStore as leaves and as OctoMap's streams, of which only what changed is made anew.

Each export is put together from a part for every block of 8 x 8 x 8 cells. What was exported last
is kept, and a block that has not changed since is copied from there. The tree above the blocks is
small, and built anew each time. The bytes are those that OctoMap's writeBinary and write give for
the same map, pruned; the map stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cnn_perception.mapping.files.octomap_codec import NODE
from cnn_perception.mapping.keys import BLOCK_DEPTH, block_keys, morton_codes
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.voxels import block_stream_kernels as blocks
from cnn_perception.mapping.voxels import tree_stream_kernels as trees
from cnn_perception.mapping.voxels.voxel_store import VoxelStore

__all__ = ["StoreCodec"]

_BLOCKS_AT_ONCE = 1 << 11


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """A kind of export, and what works on arrays of its form.

    most: the longest part of a block. inner, leaves: whether inner nodes and leaves above the
    blocks are in it.
    """

    most: int
    inner: bool
    leaves: bool
    empty: Callable[[int], Any]
    encode: Callable[..., int]
    assemble: Callable[..., None]
    finish: Callable[[Any], Any]
    reopen: Callable[[Any], Any]


@dataclass(slots=True, eq=False)
class _Kept:
    """An export, the version of the store that it shows, and where the parts of blocks are in it.

    codes: Morton codes of the blocks, ascending.
    """

    export: Any
    version: int = -1
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    parts: blocks.Parts = field(default_factory=lambda: _no_parts(0))


class StoreCodec:
    """The exports of one VoxelStore. Not safe for threads, as the store is not.

    It keeps the last export of each kind that was asked for, and 21 bytes per block and kind.
    """

    def __init__(self, store: VoxelStore) -> None:
        self._store = store
        self._kept: dict[_Form, _Kept] = {}
        self._shape = (-1, -1)
        self._slots, self._codes = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def binary(self) -> bytes:
        """Return the .bt data section: occupied or free, equal siblings joined."""
        return cast(bytes, self._export(_BINARY))

    def full(self) -> bytes:
        """Return the .ot data section: equal siblings joined, inner nodes hold their maximum."""
        return cast(bytes, self._export(_FULL))

    def leaves(self) -> Leaves:
        """Return all known cells, pruned. Their arrays are kept: nobody may write to them."""
        return cast(Leaves, self._export(_LEAVES))

    def _export(self, form: _Form) -> Any:
        self._order()
        # Out of the dictionary meanwhile: should memory run out, the next export begins anew.
        kept = self._kept.pop(form, None) or _Kept(form.finish(form.empty(0)))
        changed = self._store.changed_since(kept.version)[self._slots]
        if kept.codes is not self._codes:
            changed |= _carry(kept, self._codes)
            self._renew(form, kept, changed)
        elif changed.any():
            self._renew(form, kept, changed)
        self._kept[form] = kept
        return kept.export

    def _renew(self, form: _Form, kept: _Kept, changed: NDArray[np.bool_]) -> None:
        """Encode the blocks that changed, and put the export together."""
        kept.version = self._store.checkpoint()
        new = self._encode(form, kept.parts, np.flatnonzero(changed))
        above = _no_tree(len(kept.codes))
        first, leaves = trees.join(kept.codes, kept.parts, above)
        size = int(kept.parts.lengths.sum())
        size += form.inner * (len(above.words) - first) + form.leaves * leaves
        out, old = form.empty(size), form.reopen(kept.export)
        form.assemble(kept.codes, kept.parts, above, first, old, new, out)
        kept.export = form.finish(out)

    def _encode(self, form: _Form, parts: blocks.Parts, places: NDArray[np.int64]) -> Any:
        """Return the parts of blocks, one after the other; a few blocks at once."""
        scratch = form.empty(form.most * min(len(places), _BLOCKS_AT_ONCE))
        pieces, used = [], 0
        for first in range(0, len(places), _BLOCKS_AT_ONCE):
            some = places[first : first + _BLOCKS_AT_ONCE]
            count = form.encode(self._store.arrays, self._slots[some], some, parts, used, scratch)
            pieces.append(_head(scratch, count))
            used += count
        return _joined(pieces) if pieces else scratch

    def _order(self) -> None:
        """Put the blocks in preorder, if some are new or gone."""
        shape = (self._store.generation, self._store.blocks)
        if shape == self._shape:
            return
        slots = np.arange(shape[1])
        if shape[0] == self._shape[0]:
            # Almost in order, which a stable sort makes use of.
            slots = np.concatenate([self._slots, slots[self._shape[1] :]])
        codes = morton_codes(block_keys(self._store.arrays.codes[slots]))
        order = np.argsort(codes, kind="stable")
        self._slots, self._codes, self._shape = slots[order], codes[order], shape


def _carry(kept: _Kept, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Keep the parts of blocks that are still there; say which blocks have none."""
    origins = np.empty(len(codes), np.int64)
    trees.match(kept.codes, codes, origins)
    missing = np.asarray(origins < 0, np.bool_)
    parts = _no_parts(len(codes))
    there = np.flatnonzero(~missing)
    for name in parts._fields:
        getattr(parts, name)[there] = getattr(kept.parts, name)[origins[there]]
    kept.codes, kept.parts = codes, parts
    return missing


def _no_parts(count: int) -> blocks.Parts:
    return blocks.Parts(
        starts=np.zeros(count, np.int64),
        lengths=np.zeros(count, np.int64),
        kinds=np.zeros(count, np.uint8),
        tops=np.zeros(count, np.float32),
    )


def _no_tree(count: int) -> trees.Above:
    return trees.Above(
        opened=np.zeros(count, np.uint8),
        depths=np.zeros(count, np.uint8),
        words=np.empty(BLOCK_DEPTH * count, np.uint16),
        tops=np.empty(BLOCK_DEPTH * count, np.float32),
    )


def _no_leaves(count: int) -> blocks.Columns:
    return blocks.Columns(
        np.empty((count, 3), np.uint16), np.empty(count, np.uint8), np.empty(count, np.float32)
    )


def _head(stream: Any, count: int) -> Any:
    """Return a copy of the first part of a stream."""
    if isinstance(stream, blocks.Columns):
        return blocks.Columns(*(column[:count].copy() for column in stream))
    return stream[:count].copy()


def _joined(pieces: list[Any]) -> Any:
    if isinstance(pieces[0], blocks.Columns):
        return blocks.Columns(*map(np.concatenate, zip(*pieces, strict=True)))
    return np.concatenate(pieces)


_BINARY = _Form(
    most=blocks.MOST_INNER,
    inner=True,
    leaves=False,
    empty=lambda count: np.empty(count, np.uint16),
    encode=blocks.encode_binary,
    assemble=trees.assemble_binary,
    finish=lambda words: words.astype("<u2", copy=False).tobytes(),
    reopen=lambda data: np.frombuffer(data, "<u2"),
)
_FULL = _Form(
    most=blocks.MOST_NODES,
    inner=True,
    leaves=True,
    empty=lambda count: np.empty(count, NODE),
    encode=blocks.encode_full,
    assemble=trees.assemble_full,
    finish=lambda nodes: nodes.tobytes(),
    reopen=lambda data: np.frombuffer(data, NODE),
)
_LEAVES = _Form(
    most=blocks.MOST_NODES,
    inner=False,
    leaves=True,
    empty=_no_leaves,
    encode=blocks.encode_leaves,
    assemble=trees.assemble_leaves,
    finish=lambda columns: Leaves(*columns),
    reopen=lambda leaves: blocks.Columns(leaves.keys, leaves.depths, leaves.log_odds),
)
