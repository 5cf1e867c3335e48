"""Random and damaged map files: a map or a MapError, never anything else."""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_perception.errors import MapError
from cnn_perception.mapping.files import color_codec
from cnn_perception.mapping.files import octomap_codec as codec
from cnn_perception.mapping.files.color_codec import ColoredLeaves
from cnn_perception.mapping.files.voxel_file import decode_voxel_file, encode_voxel_file
from cnn_perception.mapping.keys import morton_codes
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from plain_streams import encode_binary, encode_file, encode_full
from pruned_leaves import encode_color_file, prune


def random_leaves(seed: int, count: int, spread: int) -> Leaves:
    """Disjoint leaves of mixed depth around a random place of the whole key range."""
    rng = np.random.default_rng(seed)
    center = rng.integers(0, 65536, 3)
    keys = np.clip(center + rng.integers(-spread, spread + 1, (count, 3)), 0, 65535)
    finest = np.unique(keys, axis=0).astype(np.uint16)
    values = rng.choice(np.array([-2.0, -0.4, 0.85, 3.5], np.float32), len(finest))
    leaves = Leaves(finest, np.full(len(finest), 16, np.uint8), values)
    if spread < 8:
        leaves = Leaves(finest, leaves.depths, np.full(len(finest), -2.0, np.float32))
    return prune(sort_leaves(leaves))


def random_colors(leaves: Leaves, seed: int) -> ColoredLeaves:
    """A few colors, so that siblings often agree."""
    table = np.array([[255, 255, 255], [0, 0, 0], [200, 30, 30]], np.uint8)
    return ColoredLeaves(leaves, table[np.random.default_rng(seed).integers(0, 3, len(leaves))])


LEAVES = st.builds(
    random_leaves,
    st.integers(0, 2**32 - 1),
    st.integers(0, 400),
    st.sampled_from([1, 3, 7, 50, 70000]),
)


@given(leaves=LEAVES)
@settings(max_examples=100, deadline=None)
def test_encode_then_decode_is_the_identity(leaves: Leaves) -> None:
    decoded = codec.decode_full(encode_full(leaves))
    np.testing.assert_array_equal(decoded.keys, leaves.keys)
    np.testing.assert_array_equal(decoded.depths, leaves.depths)
    np.testing.assert_array_equal(decoded.log_odds, leaves.log_odds)
    binary = encode_binary(leaves)
    assert encode_binary(codec.decode_binary(binary)) == binary


@given(leaves=LEAVES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_encode_then_decode_keeps_colors(leaves: Leaves, seed: int) -> None:
    tree = random_colors(leaves, seed)
    decoded, resolution = color_codec.decode_color_file(encode_color_file(tree, 0.05))
    expected = tree.pruned()
    assert resolution == 0.05
    np.testing.assert_array_equal(decoded.leaves.keys, expected.leaves.keys)
    np.testing.assert_array_equal(decoded.leaves.depths, expected.leaves.depths)
    np.testing.assert_array_equal(decoded.leaves.log_odds, expected.leaves.log_odds)
    np.testing.assert_array_equal(decoded.colors, expected.colors)


@given(leaves=LEAVES)
@settings(max_examples=100, deadline=None)
def test_a_voxel_file_keeps_the_map(leaves: Leaves) -> None:
    content = encode_voxel_file(encode_full(leaves), 0.05, {})
    decoded = decode_voxel_file(content).leaves
    np.testing.assert_array_equal(decoded.keys, leaves.keys)
    np.testing.assert_array_equal(decoded.depths, leaves.depths)
    np.testing.assert_array_equal(decoded.log_odds, leaves.log_odds)
    assert encode_voxel_file(encode_full(decoded), 0.05, {}) == content


def assert_sound(leaves: Leaves) -> None:
    """Disjoint, in preorder, inside the key range."""
    first = morton_codes(leaves.keys)
    size = np.int64(1) << (3 * (16 - leaves.depths.astype(np.int64)))
    assert (first[1:] >= first[:-1] + size[:-1]).all()
    assert (first % size == 0).all()


def damage(content: bytes, data: st.DataObject) -> bytes:
    """Change, drop or add a few bytes."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, max(len(damaged) - 1, 0)))
        kind = data.draw(st.sampled_from(["flip", "cut", "drop", "insert"]))
        if kind == "flip" and damaged:
            damaged[position] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del damaged[position:]
        elif kind == "drop":
            del damaged[position : position + data.draw(st.integers(1, 8))]
        else:
            damaged[position:position] = data.draw(st.binary(min_size=1, max_size=8))
    return bytes(damaged)


@given(leaves=LEAVES, binary=st.booleans(), data=st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_files_are_refused_or_read_soundly(
    leaves: Leaves, binary: bool, data: st.DataObject
) -> None:
    with contextlib.suppress(MapError):
        content = damage(encode_file(leaves, 0.05, binary), data)
        assert_sound(codec.decode_file(content).leaves)


@given(leaves=LEAVES, seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_colored_files_are_refused_or_read_soundly(
    leaves: Leaves, seed: int, data: st.DataObject
) -> None:
    content = encode_color_file(random_colors(leaves, seed), 0.05)
    with contextlib.suppress(MapError):
        assert_sound(color_codec.decode_color_file(damage(content, data))[0].leaves)


@given(leaves=LEAVES, data=st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_voxel_files_are_refused(leaves: Leaves, data: st.DataObject) -> None:
    content = encode_voxel_file(encode_full(leaves), 0.05, {"frame_id": "map"})
    damaged = damage(content, data)
    if damaged != content:
        with pytest.raises(MapError):
            decode_voxel_file(damaged)


@given(leaves=LEAVES, data=st.data())
@settings(max_examples=300, deadline=None)
def test_forged_voxel_files_are_refused_or_read_soundly(
    leaves: Leaves, data: st.DataObject
) -> None:
    """Damage to what the checksum guards: with lengths and checksum made to match again."""
    content = encode_voxel_file(encode_full(leaves), 0.05, {"frame_id": "map"})
    (noted,) = struct.unpack_from("<I", content, 16)
    notes, tree = content[28 : 28 + noted], zlib.decompress(content[28 + noted :])
    if data.draw(st.booleans()):
        notes = damage(notes, data)
    else:
        tree = damage(tree, data)
    packed = zlib.compress(tree, 1)
    body = struct.pack("<IIQ", 1, len(notes), len(packed)) + notes + packed
    with contextlib.suppress(MapError):
        loaded = decode_voxel_file(content[:8] + struct.pack("<I", zlib.crc32(body)) + body)
        assert_sound(loaded.leaves)
        assert 0 < loaded.resolution < float("inf")
        assert np.isfinite(loaded.leaves.log_odds).all()


@given(data=st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_read_soundly(data: bytes) -> None:
    for decode in (codec.decode_binary, codec.decode_full, codec.decode_file):
        with contextlib.suppress(MapError):
            decoded = decode(data)
            assert_sound(decoded if isinstance(decoded, Leaves) else decoded.leaves)
    with contextlib.suppress(MapError):
        assert_sound(color_codec.decode_color(data).leaves)
    for content in (data, b"\x89VOX\r\n\x1a\n" + data):
        with pytest.raises(MapError):
            decode_voxel_file(content)
