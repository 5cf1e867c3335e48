"""What the occupied cells of a map are: the classes that masks gave them, and how surely.

Each scan has one vote in each cell that its readings end in, split among the classes as the cell's
pixels are. A cell's classes are taken for a categorical distribution with a symmetric Dirichlet
prior (the count sensor model of Gan et al., Bayesian Spatial Kernel Smoothing for Scalable Dense
Semantic Mapping, RA-L 2020, without the kernel), so that the posterior mean of class c is

    confidence(c) = (votes(c) + doubt / C) / (all votes + doubt)

with C classes. The pixels of one image share its errors, so they are one observation and not
many. Images share errors too: multiplying likelihoods as if they did not would make every cell
certain after three images, whereas the frequencies counted here stay where the images disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import SemanticsConfig
from cnn_perception.errors import MessageError
from cnn_perception.mapping.keys import (
    KEY_ORIGIN,
    TREE_DEPTH,
    cell_keys,
    morton_codes,
    packed_keys,
    visible,
)
from cnn_perception.mapping.leaves import Leaves, find_leaves
from cnn_perception.mapping.projection import check_size, pixel_rays
from cnn_perception.mapping.semantic import semantic_kernels as kernels
from cnn_perception.mapping.semantic.semantic_kernels import Counts, Runs, Votes
from cnn_perception.types import (
    BoolArray,
    CameraIntrinsics,
    Cells,
    Float32Array,
    RigidTransform,
)

__all__ = ["FusionReport", "LabelledCells", "SemanticLayer"]

Mask = NDArray[np.uint8] | NDArray[np.uint16]

_IDS = 1 << 16
_FIRST_ROWS = 1 << 12
# Until it holds so many cells more than after the last clean-up, and twice as many, it may grow.
_SLACK = 1 << 14


@dataclass(frozen=True, slots=True)
class FusionReport:
    """What became of the pixels of one mask that have a depth reading in range, on the map.

    ignored: of a class that is not mapped; unknown: of a class id that the labels do not name.
    """

    pixels: int
    ignored: int
    unknown: int

    @property
    def used(self) -> int:
        """How many pixels spoke for a class."""
        return self.pixels - self.ignored - self.unknown


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCells:
    """Finest cells that are occupied and have a class.

    keys: uint16 (N, 3); class_ids: int32 (N,), the values of the masks; confidences: float32 (N,)
    in (0, 1], the posterior probability of that class.
    """

    keys: NDArray[np.uint16]
    class_ids: NDArray[np.int32]
    confidences: Float32Array

    def __len__(self) -> int:
        return len(self.class_ids)

    def select(self, chosen: BoolArray) -> LabelledCells:
        """Return the chosen cells only."""
        return LabelledCells(self.keys[chosen], self.class_ids[chosen], self.confidences[chosen])

    def between(self, resolution: float, lowest: float, highest: float) -> LabelledCells:
        """Return the cells that reach above the lowest z and below the highest, metres."""
        return self.select(visible(self.keys[:, 2], 1, resolution, lowest, highest))

    def cells(self, resolution: float) -> Cells:
        """Return the cells as cubes in metres."""
        centers = (self.keys - float(KEY_ORIGIN) + 0.5) * resolution
        return Cells(centers.astype(np.float32), np.full(len(self), resolution, np.float32))


class SemanticLayer:
    """The classes of cells beside a map of occupancy, which it does not hold itself.

    It keeps what scans said of any cell; `labelled` and `prune` are given the map and forget what
    is not occupied there. A cell keeps its eight strongest classes, 76 bytes with its place in the
    hash table. One thread at a time.
    """

    def __init__(self, resolution: float, config: SemanticsConfig | None = None) -> None:
        self.resolution = resolution
        self.config = config or SemanticsConfig()
        self._labels: dict[int, str] = {}
        self._meanings = np.full(_IDS, kernels.UNKNOWN, np.int32)
        self._runs, self._counts = Runs.empty(0), Counts.empty(0)
        self._votes, self._used, self._kept = Votes.empty(_FIRST_ROWS), 0, 0

    @property
    def labels(self) -> Mapping[int, str]:
        """The name of each class id that may stand in a mask."""
        return self._labels

    @labels.setter
    def labels(self, labels: Mapping[int, str]) -> None:
        if any(labels.get(i) != name for i, name in self._labels.items()):
            self.clear()  # an id means something else now, or nothing, and so do its votes
        self._labels = dict(labels)
        self._meanings = np.full(_IDS, kernels.UNKNOWN, np.int32)
        for class_id, name in labels.items():
            if 0 <= class_id < _IDS:
                self._meanings[class_id] = kernels.IGNORED if self._ignores(name) else class_id

    @property
    def classes(self) -> int:
        """How many classes a cell can have: those with a label that is not ignored."""
        return sum(not self._ignores(name) for name in self._labels.values())

    def __len__(self) -> int:
        """Return how many cells have votes, occupied or not."""
        return self._used

    def warm_up(self) -> None:
        """Compile the kernels, or load them from the cache."""
        tiny = SemanticLayer(1.0, SemanticsConfig())
        tiny.labels = {0: "a"}
        camera, here = CameraIntrinsics(1, 1, 1.0, 1.0, 0.0, 0.0), RigidTransform.identity()
        for mask in (np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint16)):
            tiny.fuse(np.ones((1, 1), np.float32), mask, camera, here)
        corner, depth = np.full((1, 3), KEY_ORIGIN, np.uint16), np.full(1, TREE_DEPTH, np.uint8)
        tiny.labelled(Leaves(corner, depth, np.ones(1, np.float32)))

    def fuse(
        self,
        depth: Float32Array,
        mask: Mask,
        intrinsics: CameraIntrinsics,
        map_from_sensor: RigidTransform,
        *,
        min_range: float = 0.0,
        max_range: float = -1.0,
        stride: int = 1,
    ) -> FusionReport:
        """Let a depth image and its mask vote.

        depth: float32 (H, W) metres; mask: class ids, uint8 or uint16, of any size: it shows the
        same view, and each depth pixel takes the mask's pixel at the same fraction of width and
        height (that of its centre). Readings beyond max_range (negative: unlimited) and nearer than
        min_range have no vote; `stride` as for the map. Raises MessageError (``size_mismatch``)
        where depth and intrinsics disagree, and for an empty mask.
        """
        check_size(depth, intrinsics)
        if mask.ndim != 2 or 0 in mask.shape:
            raise MessageError(
                "size_mismatch",
                f"a mask of shape {mask.shape} is no image: give (H, W) class ids",
            )
        rays = pixel_rays(intrinsics, map_from_sensor, stride)
        if self._runs.cells.size < rays.rows.shape[1] * rays.columns.shape[1]:
            self._runs = Runs.empty(rays.rows.shape[1] * rays.columns.shape[1])
        pixels = np.zeros(3, np.int64)
        length = kernels.find_runs(
            np.ascontiguousarray(depth, np.float32),
            rays,
            stride,
            (float(min_range), float(max_range)),
            1.0 / self.resolution,
            np.ascontiguousarray(mask, np.uint16),
            _nearest(intrinsics.width, mask.shape[1], stride),
            _nearest(intrinsics.height, mask.shape[0], stride),
            self._meanings,
            self._runs,
            pixels,
        )
        self._vote(length)
        return FusionReport(*(int(n) for n in pixels))

    def _vote(self, length: int) -> None:
        if self._counts.cells.size < length:
            self._counts = Counts.empty(2 * length)
        table = self._counts.table[: kernels.table_size(length)]
        table.fill(-1)
        counts = self._counts._replace(table=table)
        scanned = kernels.count_labels(self._runs, length, counts)
        rows = self._used + scanned
        if rows > self._votes.cells.size:
            self._rebuild(np.arange(self._used), max(rows, 2 * self._votes.cells.size))
        self._used = kernels.cast_votes(
            counts, scanned, self._votes, self._used, self.config.memory
        )

    def clear(self) -> None:
        """Forget all votes."""
        self._votes, self._used, self._kept = Votes.empty(_FIRST_ROWS), 0, 0

    def clear_box(self, low: Float32Array, high: Float32Array) -> None:
        """Forget the cells that a box meets; (3,) metres in the map frame."""
        first, last = cell_keys(np.array([low, high]), self.resolution)
        keys = self._keys().astype(np.int64)
        self._keep(((keys < first) | (keys > last)).any(axis=1))

    @property
    def wants_pruning(self) -> bool:
        """True when it has grown so much since the last `prune` that it should be called."""
        return self._used > 2 * self._kept + _SLACK

    def prune(self, leaves: Leaves) -> None:
        """Forget the cells that are not occupied in a map."""
        self._keep(_occupied(leaves, self._keys()))
        self._kept = self._used

    def labelled(self, leaves: Leaves) -> LabelledCells:
        """Return the occupied cells that have a class of at least min_confidence, in preorder.

        Forgets the cells that are not occupied in the map whose leaves are given.
        """
        self.prune(leaves)
        count = self._used
        winners, wins = np.empty(count, np.int32), np.empty(count, np.float32)
        totals = np.empty(count, np.float32)
        kernels.best_classes(
            self._votes.classes[:count], self._votes.votes[:count], winners, wins, totals
        )
        doubt = np.float32(self.config.doubt)
        confidences = (wins + doubt / max(self.classes, 1)) / (totals + doubt)
        keys = self._keys()
        order = np.argsort(morton_codes(keys))
        order = order[confidences[order] >= self.config.min_confidence]
        return LabelledCells(keys[order], winners[order], confidences[order].astype(np.float32))

    def memory_bytes(self) -> int:
        """Return the bytes that the votes hold."""
        return sum(array.nbytes for array in self._votes)

    def _ignores(self, name: str) -> bool:
        return name in self.config.ignore

    def _keys(self) -> NDArray[np.uint16]:
        return packed_keys(self._votes.cells[: self._used])

    def _keep(self, chosen: BoolArray) -> None:
        if not chosen.all():
            self._rebuild(np.flatnonzero(chosen), _FIRST_ROWS)

    def _rebuild(self, rows: NDArray[np.int64], capacity: int) -> None:
        """Move the chosen rows into new arrays with at least that capacity."""
        old, self._used = self._votes, len(rows)
        self._votes = votes = Votes.empty(max(capacity, len(rows)))
        votes.cells[: len(rows)] = old.cells[rows]
        votes.classes[: len(rows)] = old.classes[rows]
        votes.votes[: len(rows)] = old.votes[rows]
        kernels.index_cells(votes.table, votes.cells, len(rows))


def _occupied(leaves: Leaves, keys: NDArray[np.uint16]) -> BoolArray:
    """Return which finest cells lie in an occupied leaf, bool (N,)."""
    found = find_leaves(leaves, keys)
    return np.asarray((found >= 0) & np.append(leaves.occupied, False)[found], np.bool_)


def _nearest(size: int, mask_size: int, stride: int) -> NDArray[np.int32]:
    """Return where in a mask each used pixel of a row or column looks."""
    pixels = np.arange(stride // 2, size, stride)
    return ((2 * pixels + 1) * mask_size // (2 * size)).astype(np.int32)
