"""Exports of a VoxelStore against OctoMap's, and those made piece by piece against new ones."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_perception.config import MapperConfig
from cnn_perception.mapping.files import octomap_codec
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.sensor_model import log_odds
from cnn_perception.mapping.voxels.store_codec import StoreCodec
from cnn_perception.mapping.voxels.voxel_store import VoxelStore
from cnn_perception.recording.folder_scans import FolderScans
from cnn_perception.recording.rgbd_folder import RgbdFolder
from cnn_perception.types import Float32Array
from plain_streams import encode_binary, encode_full
from pruned_leaves import prune

octomap = pytest.importorskip("octomap", reason="octomap-python is not installed")


def assert_same(left: Leaves, right: Leaves) -> None:
    np.testing.assert_array_equal(left.keys, right.keys)
    np.testing.assert_array_equal(left.depths, right.depths)
    np.testing.assert_array_equal(left.log_odds.view(np.int32), right.log_odds.view(np.int32))


def cells_of(store: VoxelStore) -> Leaves:
    """All known cells in the finest size, asked for one by one."""
    codes = store.arrays.codes[: store.blocks]
    corners = 8 * np.stack([codes >> 26, (codes >> 13) & 8191, codes & 8191], axis=1)
    keys = (corners[:, None, :] + np.indices((8, 8, 8)).reshape(3, -1).T).reshape(-1, 3)
    values = store.lookup(keys)
    known = ~np.isnan(values)
    depths = np.full(np.count_nonzero(known), 16, np.uint8)
    return sort_leaves(Leaves(keys[known].astype(np.uint16), depths, values[known]))


def assert_right(codec: StoreCodec, store: VoxelStore) -> None:
    """Each export equals what the plain encoders make of the store's cells."""
    cells = cells_of(store)
    assert_same(codec.leaves(), prune(cells))
    assert codec.binary() == encode_binary(cells)
    assert codec.full() == encode_full(cells)


def cube(corner: tuple[int, int, int], side: int, value: float) -> Leaves:
    keys = np.array(corner) + np.indices((side,) * 3).reshape(3, -1).T
    values = np.full(side**3, value, np.float32)
    return sort_leaves(Leaves(keys.astype(np.uint16), np.full(side**3, 16, np.uint8), values))


def restored(leaves: Leaves) -> tuple[StoreCodec, VoxelStore]:
    store = VoxelStore()
    store.restore(leaves)
    return StoreCodec(store), store


def cloud(seed: int, points: int = 300) -> tuple[Float32Array, Float32Array]:
    rng = np.random.default_rng(seed)
    origin = rng.uniform(-0.5, 0.5, 3).astype(np.float32)
    return rng.uniform(-1.6, 1.6, (points, 3)).astype(np.float32), origin


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("resolution", [0.05, 0.02, 0.3])
def test_files_equal_octomaps(seed: int, resolution: float) -> None:
    tree: Any = octomap.OcTree(resolution)
    made = OccupancyMap(MapperConfig(resolution=resolution))
    for scan in range(3):
        points, origin = cloud(10 * seed + scan)
        tree.insertPointCloud(points.astype(np.float64), origin.astype(np.float64))
        made.insert_points(points, origin)
        made.binary_payload()
    full = tree.write()
    assert octomap_codec.wrap(made.full_payload(), resolution, binary=False) == full
    # writeBinary makes the tree certain: of a copy.
    binary = octomap.OcTree.read(full).writeBinary()
    assert octomap_codec.wrap(made.binary_payload(), resolution, binary=True) == binary
    assert_same(made.leaves(), octomap_codec.decode_file(full).leaves)


@pytest.mark.parametrize("resolution", [0.05, 0.02])
def test_real_maps_equal_octomaps(shared_data: Path, resolution: float) -> None:
    """Eight real depth images, every export after each of them."""
    scans = FolderScans(RgbdFolder(shared_data / "data" / "kitchen_rgbd"), leveled=False)
    config = MapperConfig(resolution=resolution, max_range=4.0, depth_stride=4)
    asked, unasked = OccupancyMap(config), OccupancyMap(config)
    reference = OccupancyMap(MapperConfig(**{**_fields(config), "engine": "octomap"}))
    for scan in itertools.islice(scans, 8):
        for each in (asked, unasked, reference):
            each.integrate(scan)
        asked.binary_payload(), asked.full_payload(), asked.leaves()
    assert len(asked.leaves()) > 3000
    assert asked.binary_payload() == unasked.binary_payload() == reference.binary_payload()
    assert asked.full_payload() == unasked.full_payload() == reference.full_payload()
    assert_same(asked.leaves(), reference.leaves())


def _fields(config: MapperConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def test_an_empty_map_has_empty_exports() -> None:
    store = VoxelStore()
    codec = StoreCodec(store)
    for _ in range(2):
        assert codec.binary() == codec.full() == b""
        assert len(codec.leaves()) == 0


@pytest.mark.parametrize("corner", [(0, 0, 0), (65535, 65535, 65535), (32768, 1, 40000)])
def test_one_cell(corner: tuple[int, int, int]) -> None:
    codec, store = restored(cube(corner, 1, 0.5))
    assert len(codec.binary()) == 2 * 16
    assert_right(codec, store)
    assert codec.leaves().keys.tolist() == [list(corner)]


@pytest.mark.parametrize("side", [2, 4, 8, 16, 32, 64])
def test_equal_cubes_join_above_the_blocks_too(side: int) -> None:
    codec, store = restored(cube((32768, 32768, 32768), side, -2.0))
    assert_right(codec, store)
    assert codec.leaves().depths.tolist() == [16 - side.bit_length() + 1]
    # One cell that differs takes the cubes around it apart again, and back.
    last = np.full(3, 32768 + side - 1)
    for value in (3.5, math.nan, 3.5, -2.0):
        store.fill_box(last, last, value)
        if np.isnan(store.lookup(last[None, :]))[0]:
            store.restore(cells_of(store))
        assert_right(codec, store)


def test_siblings_that_only_a_binary_map_joins() -> None:
    """Eight blocks, free each but to different degrees."""
    store = VoxelStore()
    parts = [
        cube((8 * x, 8 * y, 8 * z), 8, -0.1 * (1 + x + 2 * y + 4 * z))
        for x, y, z in itertools.product((0, 1), repeat=3)
    ]
    store.restore(
        sort_leaves(
            Leaves(
                np.concatenate([part.keys for part in parts]),
                np.concatenate([part.depths for part in parts]),
                np.concatenate([part.log_odds for part in parts]),
            )
        )
    )
    codec = StoreCodec(store)
    assert_right(codec, store)
    assert len(codec.leaves()) == 8
    assert octomap_codec.decode_binary(codec.binary()).depths.tolist() == [12]


def test_blocks_without_known_cells_are_left_out() -> None:
    store = VoxelStore()
    store.restore(cube((32768, 32768, 32768), 16, 1.0))
    slot = int(np.flatnonzero(store.arrays.codes[: store.blocks] > 0)[3])
    codec = StoreCodec(store)
    assert_right(codec, store)
    store.arrays.constants[slot] = np.nan
    store.arrays.versions[slot] = store.checkpoint() + 1
    assert_right(codec, store)
    assert len(codec.leaves()) == 7


def test_exports_do_not_change_the_map() -> None:
    made, undisturbed = OccupancyMap(MapperConfig()), OccupancyMap(MapperConfig())
    with made.blocks() as store, undisturbed.blocks() as other:
        for seed in range(3):
            for each in (made, undisturbed):
                each.insert_points(*cloud(seed))
            before = store.arrays.values.tobytes()
            made.binary_payload(), made.full_payload(), made.leaves()
            assert store.arrays.values.tobytes() == before
        assert_same(cells_of(store), cells_of(other))


def test_an_unchanged_map_is_not_encoded_again() -> None:
    made = OccupancyMap(MapperConfig())
    made.insert_points(*cloud(1))
    first = made.binary_payload(), made.full_payload(), made.leaves()
    again = made.binary_payload(), made.full_payload(), made.leaves()
    assert all(left is right for left, right in zip(first, again, strict=True))


def test_the_order_in_which_a_map_came_about_does_not_show() -> None:
    forth, back = OccupancyMap(MapperConfig()), OccupancyMap(MapperConfig())
    far = [
        (np.full((1, 3), 40.0 * side, np.float32), np.full(3, 39.0 * side, np.float32))
        for side in (-1, 1)
    ]
    for made, scans in ((forth, far), (back, far[::-1])):
        for points, origin in scans:
            made.insert_points(points, origin)
    assert forth.binary_payload() == back.binary_payload()
    assert forth.full_payload() == back.full_payload()


KEYS = st.integers(32768 - 40, 32768 + 40)
BOXES = st.tuples(st.lists(KEYS, min_size=3, max_size=3), st.lists(KEYS, min_size=3, max_size=3))
CHANGES = st.one_of(
    st.tuples(st.just("scan"), st.integers(0, 1000)),
    st.tuples(st.just("fill"), BOXES, st.sampled_from([-2.0, 3.5, -0.0, math.nan])),
    st.tuples(st.just("keep"), BOXES),
    st.tuples(st.just("restore"), st.integers(0, 1000)),
    st.tuples(st.just("again")),
    st.tuples(st.just("clear")),
)


def apply(made: OccupancyMap, change: tuple[Any, ...]) -> None:
    kind, *values = change
    with made.blocks() as store:
        if kind == "scan":
            made.insert_points(*cloud(values[0], 40))
        elif kind == "fill":
            low, high = np.sort(np.array(values[0]), axis=0)
            store.fill_box(low, high, values[1])
        elif kind == "keep":
            low, high = np.sort(np.array(values[0]), axis=0)
            store.keep_box(low, high)
        elif kind == "restore":
            rng = np.random.default_rng(values[0])
            corner = tuple((32768 + 8 * rng.integers(-4, 4, 3)).tolist())
            store.restore(cube(corner, int(rng.choice([3, 8, 16])), float(log_odds(0.7))))
        elif kind == "again":
            store.restore(made.leaves())
        else:
            made.reset()


@given(changes=st.lists(st.tuples(CHANGES, st.sets(st.sampled_from("bfl"))), max_size=12))
@settings(max_examples=150, deadline=None)
def test_exports_follow_whatever_happens(
    changes: list[tuple[tuple[Any, ...], set[str]]],
) -> None:
    """Exports are asked for now and then; in the end all are as if made for the first time."""
    made = OccupancyMap(MapperConfig(resolution=0.05, max_range=1.5))
    for change, asked in changes:
        apply(made, change)
        if "b" in asked:
            made.binary_payload()
        if "f" in asked:
            made.full_payload()
        if "l" in asked:
            made.leaves()
    with made.blocks() as store:
        fresh = StoreCodec(store)
        assert made.binary_payload() == fresh.binary()
        assert made.full_payload() == fresh.full()
        assert_same(made.leaves(), fresh.leaves())
        assert_right(fresh, store)
