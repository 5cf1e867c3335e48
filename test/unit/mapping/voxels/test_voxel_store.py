"""The voxel store: boxes, growth, and what a refused restore leaves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.voxels.store_codec import StoreCodec
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from pruned_leaves import prune


def cube(corner: tuple[int, int, int], side: int, value: float) -> Leaves:
    keys = np.indices((side,) * 3).reshape(3, -1).T + np.array(corner)
    values = np.full(side**3, value, np.float32)
    return sort_leaves(Leaves(keys.astype(np.uint16), np.full(side**3, 16, np.uint8), values))


def scattered(seed: int, count: int = 3000) -> Leaves:
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(32752, 32784, (count, 3)), axis=0).astype(np.uint16)
    values = rng.normal(0, 1, len(keys)).astype(np.float32)
    return sort_leaves(Leaves(keys, np.full(len(keys), 16, np.uint8), values))


def restored(leaves: Leaves) -> VoxelStore:
    store = VoxelStore()
    store.restore(leaves)
    return store


def cells(store: VoxelStore) -> dict[tuple[int, ...], float]:
    finest = StoreCodec(store).leaves().finest()
    keys = (tuple(key) for key in finest.keys.tolist())
    return dict(zip(keys, finest.log_odds.tolist(), strict=True))


@pytest.mark.parametrize("value", [-2.0, math.nan])
@pytest.mark.parametrize("leaves", [prune(cube((32768,) * 3, 4, 0.5)), scattered(0)])
def test_a_box_is_filled_and_nothing_else(leaves: Leaves, value: float) -> None:
    store = restored(leaves)
    low, high = np.array([32768, 32769, 32760]), np.array([32770, 32775, 40000])
    before = cells(store)
    store.fill_box(low, high, value)
    inside = {key for key in before if all(low[i] <= key[i] <= high[i] for i in range(3))}
    assert 0 < len(inside) < len(before)
    expected = {key: value if key in inside else old for key, old in before.items()}
    assert cells(store) == {key: new for key, new in expected.items() if not math.isnan(new)}


def test_a_box_off_the_map_changes_nothing() -> None:
    store = restored(cube((32768,) * 3, 4, 0.5))
    before = cells(store)
    store.fill_box(np.array([-1] * 3), np.array([32767] * 3), -2.0)
    assert cells(store) == before


def test_a_kept_box_keeps_less_than_a_block_more() -> None:
    store = restored(scattered(1))
    low, high = np.array([32760, 32766, 32761]), np.array([32769, 32775, 32770])
    before = cells(store)
    store.keep_box(low, high)
    after = cells(store)
    inside = {key for key in before if all(low[i] <= key[i] <= high[i] for i in range(3))}
    near = {key for key in before if all(low[i] - 8 < key[i] < high[i] + 8 for i in range(3))}
    assert inside <= after.keys() <= near
    assert after.items() <= before.items()


@pytest.mark.parametrize(
    "leaves",
    [
        scattered(3),  # noticed block by block
        Leaves(np.zeros((1, 3), np.uint16), np.ones(1, np.uint8), np.ones(1, np.float32)),
    ],
    ids=["many cells", "one large cube"],
)
def test_what_fills_too_many_blocks_is_refused_and_nothing_changes(
    leaves: Leaves, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "cnn_perception.mapping.voxels.voxel_store"
    monkeypatch.setattr(f"{module}._FIRST_BLOCKS", 4)
    store = restored(cube((32768,) * 3, 8, 0.5))
    codec = StoreCodec(store)
    before, payload, generation = cells(store), codec.full(), store.generation
    monkeypatch.setattr(f"{module}._MOST_BLOCKS", 16)
    with pytest.raises(MapError, match="blocks of 8 x 8 x 8 cells"):
        store.restore(leaves)
    assert cells(store) == before
    assert store.generation == generation
    assert codec.full() is payload
