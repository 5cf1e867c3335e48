"""The .bt and .ot codecs against OctoMap's own bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.files import octomap_codec as codec
from cnn_perception.mapping.leaves import Leaves
from plain_streams import encode_binary, encode_file, encode_full

octomap = pytest.importorskip("octomap", reason="octomap-python is not installed")


def random_tree(seed: int, resolution: float = 0.05, scans: int = 3) -> Any:
    """An OcTree with inner nodes, pruned cubes and single cells."""
    rng = np.random.default_rng(seed)
    tree = octomap.OcTree(resolution)
    for _ in range(scans):
        cloud = rng.uniform(-0.7, 0.7, (400, 3)) + rng.uniform(-20, 20, 3) * rng.integers(0, 2)
        tree.insertPointCloud(cloud, rng.uniform(-0.3, 0.3, 3), maxrange=3.0)
    return tree


def assert_same(left: Leaves, right: Leaves) -> None:
    np.testing.assert_array_equal(left.keys, right.keys)
    np.testing.assert_array_equal(left.depths, right.depths)
    np.testing.assert_array_equal(left.log_odds, right.log_odds)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("resolution", [0.05, 0.123])
def test_bytes_equal_octomaps(seed: int, resolution: float) -> None:
    tree = random_tree(seed, resolution)
    full = tree.write()
    leaves = codec.decode_file(full).leaves
    assert encode_file(leaves, resolution, binary=False) == full
    binary = octomap.OcTree.read(full).writeBinary()
    assert encode_file(leaves, resolution, binary=True) == binary


def test_leaves_equal_octomaps() -> None:
    tree = random_tree(11)
    expected = []
    for leaf in tree.begin_leafs():
        key = leaf.getIndexKey()
        expected.append((key[0], key[1], key[2], leaf.getDepth(), leaf.getValue()))
    leaves = codec.decode_file(tree.write()).leaves
    found = zip(
        *leaves.keys.T.tolist(), leaves.depths.tolist(), leaves.log_odds.tolist(), strict=True
    )
    assert list(found) == expected


def test_octomap_reads_what_is_written() -> None:
    leaves = codec.decode_file(random_tree(2).write()).leaves
    again = octomap.OcTree.read(encode_file(leaves, 0.05, binary=False))
    assert_same(codec.decode_file(again.write()).leaves, leaves)
    binary = octomap.OcTree(0.1)
    assert binary.readBinary(encode_file(leaves, 0.05, binary=True))
    assert binary.getResolution() == 0.05


@pytest.mark.parametrize("seed", range(3))
def test_payloads_survive_a_round_trip(seed: int) -> None:
    leaves = codec.decode_file(random_tree(seed).write()).leaves
    assert_same(codec.decode_full(encode_full(leaves)), leaves)
    binary = encode_binary(leaves)
    decoded = codec.decode_binary(binary, free=-2.0, occupied=3.5)
    assert encode_binary(decoded) == binary
    assert set(decoded.log_odds.tolist()) == {-2.0, 3.5}
    occupied = {tuple(k) for k in leaves.select(leaves.occupied).finest().keys.tolist()}
    again = {tuple(k) for k in decoded.select(decoded.occupied).finest().keys.tolist()}
    assert again == occupied


def test_an_empty_map_has_an_empty_payload() -> None:
    assert encode_binary(Leaves.empty()) == b""
    assert encode_full(Leaves.empty()) == b""
    assert len(codec.decode_binary(b"")) == len(codec.decode_full(b"")) == 0
    for binary in (True, False):
        content = encode_file(Leaves.empty(), 0.05, binary)
        assert b"size 0\n" in content
        assert len(codec.decode_file(content).leaves) == 0


def single(depth: int) -> Leaves:
    return Leaves(
        np.zeros((1, 3), np.uint16), np.full(1, depth, np.uint8), np.full(1, 0.5, np.float32)
    )


@pytest.mark.parametrize("depth", range(1, 17))
def test_a_single_leaf_of_any_depth(depth: int) -> None:
    assert_same(codec.decode_full(encode_full(single(depth))), single(depth))
    assert codec.decode_binary(encode_binary(single(depth))).depths.tolist() == [depth]
    assert len(encode_binary(single(depth))) == 2 * depth


def test_a_resolution_with_many_digits_survives() -> None:
    for binary in (True, False):
        content = encode_file(single(16), 0.0123456789, binary)
        assert codec.decode_file(content).resolution == 0.0123456789


def header(**changes: str | None) -> bytes:
    fields = {"id": "OcTree", "size": "17", "res": "0.05"} | changes
    lines = [f"{name} {value}" for name, value in fields.items() if value is not None]
    return "\n".join(["# Octomap OcTree binary file", "# note", *lines, "data", ""]).encode()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "a map file starts with"),
        (b"PK\x03\x04", "give a .bt, .ot or .vox file"),
        (b"# Octomap OcTree binary file\nid OcTree\n", "no line 'data'"),
        (header(id="ColorOcTree"), "type 'ColorOcTree': only OcTree"),
        (header(id=None), "type 'unknown'"),
        (header(res=None), "lacks a usable 'res' or 'size'"),
        (header(res="-1"), "res -1.0: it must be a positive"),
        (header(res="nan"), "must be a positive"),
        (header(size="many"), "lacks a usable"),
        (header() + b"\x01", "have 1 bytes: expected two"),
        (header() + b"\x00\x00", "start with an inner node without children"),
        (header() + b"\x03\x00", "end after 2 bytes in the middle of the tree"),
        (header() + b"\x03\x00\x00\x00", "without children at byte 2"),
        (header() + b"\x03\x00" * 16 + b"\x01\x00", "deeper than 16 levels at byte 32"),
        (header() + b"\x01\x00" * 2, "go on for 2 bytes after the tree"),
        (header() + b"\x01\x00", "says size 17 but its data hold 2 nodes"),
    ],
)
def test_damage_is_one_clear_error(content: bytes, text: str) -> None:
    with pytest.raises(MapError, match=text):
        codec.decode_file(content)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (b"\x00" * 4, "have 4 bytes: expected five"),
        (b"\x00\x00\x00\x00\x01", "end after 5 bytes"),
        (b"\x00\x00\x00\x00\x00" * 2, "go on for 5 bytes"),
        (b"\x00\x00\x00\x00\x01" * 17 + b"\x00" * 5, "deeper than 16 levels"),
        (b"\x00\x00\xc0\x7f\x00", "not finite"),
    ],
)
def test_damaged_full_data_are_one_clear_error(nodes: bytes, text: str) -> None:
    with pytest.raises(MapError, match=text):
        codec.decode_full(nodes)
