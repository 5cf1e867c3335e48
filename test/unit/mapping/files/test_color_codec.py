"""The codec of colored trees against bytes that OctoMap's own ColorOcTree wrote."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import MapError
from cnn_perception.mapping.files import color_codec as codec
from cnn_perception.mapping.files.color_codec import ColoredLeaves
from cnn_perception.mapping.keys import morton_codes
from cnn_perception.mapping.leaves import Leaves
from pruned_leaves import encode_color_file, prune

HIT, MISS = np.float32(np.log(0.7 / 0.3)), np.float32(np.log(0.4 / 0.6))

# ColorOcTree(0.1) of liboctomap 1.9.7: updateNode and setNodeColor at five points, then
# updateInnerOccupancy and write. A node is its log-odds, its color and a byte of children; runs of
# equal nodes are written as one.
POINTS = (
    ((0.05, 0.05, 0.05), HIT, (200, 30, 30)),
    ((0.15, 0.05, 0.05), HIT, (30, 200, 30)),
    ((0.05, 0.15, 0.05), HIT, (0, 0, 0)),
    ((-0.35, 0.05, 0.05), MISS, (255, 255, 255)),
    ((0.95, -0.65, 0.25), HIT, (1, 2, 3)),
)
WRITTEN = bytes.fromhex(
    "83e8583f26270be0"
    + "83e8583f01020304" * 11
    + "83e8583f01020308" + "83e8583f01020301" + "83e8583f01020310" + "83e8583f01020308"
    + "83e8583f01020300"
    + "1f99cfbeffffff02" * 13
    + "1f99cfbeffffff01" * 2
    + "1f99cfbeffffff00"
    + "83e8583f4c4c1401" * 14
    + "83e8583f4c4c1407"
    + "83e8583fc81e1e00" + "83e8583f1ec81e00" + "83e8583f00000000"
)  # fmt: skip
HEADER = (
    b"# Octomap OcTree file\n"
    b"# (feel free to add / change comments, but leave the first line as it is!)\n#\n"
    b"id ColorOcTree\nsize 51\nres 0.1\ndata\n"
)
CHECKER = """
#include <fstream>
#include <octomap/ColorOcTree.h>
int main(int, char** paths) {
  auto* tree = dynamic_cast<octomap::ColorOcTree*>(octomap::AbstractOcTree::read(paths[1]));
  if (!tree) return 1;
  tree->updateInnerOccupancy();
  std::ofstream out(paths[2], std::ios::binary);
  tree->write(out);
}
"""


def five_points() -> ColoredLeaves:
    keys = [[int(np.floor(c / 0.1)) + 32768 for c in point] for point, _, _ in POINTS]
    values = np.array([value for _, value, _ in POINTS], np.float32)
    return colored(np.array(keys, np.uint16), values, np.array([c for *_, c in POINTS], np.uint8))


def colored(keys: np.ndarray, values: np.ndarray, colors: np.ndarray) -> ColoredLeaves:
    """Finest leaves in preorder."""
    order = np.argsort(morton_codes(keys))
    depths = np.full(len(keys), 16, np.uint8)
    return ColoredLeaves(Leaves(keys[order], depths, values[order]), colors[order])


def random_tree(seed: int, count: int = 800, spread: int = 12) -> ColoredLeaves:
    """Some cells, with cubes of one color and of several among them."""
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(32768 - spread, 32768 + spread, (count, 3)), axis=0)
    cube = np.indices((8, 8, 8)).reshape(3, -1).T + 32832
    keys = np.concatenate([keys, cube]).astype(np.uint16)
    values = np.where(rng.random(len(keys)) < 0.5, HIT, MISS).astype(np.float32)
    values[-len(cube) :] = np.float32(3.5)
    table = np.array([[255, 255, 255], [200, 30, 30], [1, 2, 254], [0, 0, 0]], np.uint8)
    colors = table[rng.integers(0, 4, len(keys))]
    colors[-len(cube) :] = np.where(cube[:, :1] < 32836, table[1], table[0])
    return colored(keys, values, colors)


def assert_same(left: ColoredLeaves, right: ColoredLeaves) -> None:
    np.testing.assert_array_equal(left.leaves.keys, right.leaves.keys)
    np.testing.assert_array_equal(left.leaves.depths, right.leaves.depths)
    np.testing.assert_array_equal(left.leaves.log_odds, right.leaves.log_odds)
    np.testing.assert_array_equal(left.colors, right.colors)


def test_bytes_equal_octomaps() -> None:
    assert codec.encode_color(five_points()) == WRITTEN
    assert encode_color_file(five_points(), 0.1) == HEADER + WRITTEN


def test_octomaps_bytes_are_read() -> None:
    tree, resolution = codec.decode_color_file(HEADER + WRITTEN)
    assert resolution == 0.1
    assert_same(tree, five_points())


@pytest.mark.parametrize("seed", range(4))
def test_a_round_trip_keeps_every_cell_and_color(seed: int) -> None:
    tree = random_tree(seed)
    again = codec.decode_color(codec.encode_color(tree))
    assert_same(again, tree.pruned())
    assert codec.encode_color(again) == codec.encode_color(tree)


def test_siblings_are_joined_only_where_their_colors_agree() -> None:
    cube = np.indices((2, 2, 2)).reshape(3, -1).T.astype(np.uint16)
    value = np.full(8, HIT)
    same = colored(cube, value, np.full((8, 3), 7, np.uint8))
    assert same.pruned().leaves.depths.tolist() == [15]
    assert same.pruned().colors.tolist() == [[7, 7, 7]]
    differs = same.colors.copy()
    differs[3, 2] = 8
    other = ColoredLeaves(same.leaves, differs)
    assert prune(other.leaves).depths.tolist() == [15]
    assert_same(other.pruned(), other)


def test_zeros_of_both_signs_are_one_value() -> None:
    cube = np.indices((2, 2, 2)).reshape(3, -1).T.astype(np.uint16)
    value = np.float32([0.0, -0.0] * 4)
    assert len(colored(cube, value, np.zeros((8, 3), np.uint8)).pruned().leaves) == 1


def test_an_inner_node_has_the_mean_of_the_colors_below() -> None:
    keys = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.uint16)
    colors = np.array([[10, 0, 0], [255, 255, 255], [13, 7, 1]], np.uint8)
    data = codec.encode_color(colored(keys, np.full(3, HIT), colors))
    nodes = np.frombuffer(data, np.uint8).reshape(-1, 8)
    assert nodes[:16, 4:7].tolist() == [[11, 3, 0]] * 16  # integer division, white left out


def test_an_empty_tree_has_an_empty_payload() -> None:
    empty = ColoredLeaves(Leaves.empty(), np.zeros((0, 3), np.uint8))
    assert codec.encode_color(empty) == b""
    assert len(codec.decode_color(b"").leaves) == 0
    assert b"size 0\n" in encode_color_file(empty, 0.05)


@pytest.mark.parametrize("depth", range(17))
def test_a_single_leaf_of_any_depth(depth: int) -> None:
    leaf = Leaves(np.zeros((1, 3), np.uint16), np.full(1, depth, np.uint8), np.full(1, HIT))
    tree = ColoredLeaves(leaf, np.array([[1, 2, 3]], np.uint8))
    data = codec.encode_color(tree)
    assert len(data) == 8 * (depth + 1)
    assert_same(codec.decode_color(data), tree)


NODE = b"\x00\x00\x00\x00\x01\x02\x03"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (NODE, "have 7 bytes: expected eight"),
        (NODE + b"\x01", "end after 8 bytes in the middle of the tree"),
        ((NODE + b"\x00") * 2, "go on for 8 bytes after the tree"),
        ((NODE + b"\x01") * 17 + NODE + b"\x00", "deeper than 16 levels"),
        (b"\x00\x00\xc0\x7f\x01\x02\x03\x00", "not finite"),
    ],
)
def test_damaged_data_are_one_clear_error(data: bytes, text: str) -> None:
    with pytest.raises(MapError, match=text):
        codec.decode_color(data)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"ColorOcTree", b"OcTree", "type 'OcTree': only ColorOcTree is read here"),
        (b"# Octomap OcTree file", b"# Octomap OcTree binary file", "a map file starts with"),
        (b"size 51", b"size 50", "says size 50 but its data hold 51 nodes"),
        (b"res 0.1", b"res 0", "must be a positive number"),
        (b"data\n", b"", "no line 'data'"),
    ],
)
def test_a_damaged_header_is_one_clear_error(old: bytes, new: bytes, text: str) -> None:
    with pytest.raises(MapError, match=text):
        codec.decode_color_file(HEADER.replace(old, new) + WRITTEN)


def test_colors_must_be_one_for_each_leaf() -> None:
    with pytest.raises(MapError, match=r"colors has shape \(2, 3\): expected \(1, 3\)"):
        ColoredLeaves(five_points().leaves.select(np.arange(5) == 0), np.zeros((2, 3), np.uint8))


def test_the_library_would_write_the_same(tmp_path: Path) -> None:
    """OctoMap reads our file, computes all inner nodes itself and writes: not a byte differs."""
    compiler = shutil.which("g++")
    if compiler is None or not Path("/usr/include/octomap/ColorOcTree.h").exists():
        pytest.skip("no g++ with OctoMap's headers: apt install g++ liboctomap-dev")
    source, program = tmp_path / "checker.cpp", tmp_path / "checker"
    source.write_text(CHECKER, encoding="utf-8")
    libraries = ["-loctomap", "-loctomath"]
    subprocess.run([compiler, str(source), "-o", str(program), *libraries], check=True)
    for seed in range(3):
        ours, theirs = tmp_path / f"{seed}.ot", tmp_path / f"{seed}_again.ot"
        ours.write_bytes(encode_color_file(random_tree(seed, spread=12 * 9**seed), 0.05))
        subprocess.run([str(program), str(ours), str(theirs)], check=True, timeout=60)
        assert theirs.read_bytes() == ours.read_bytes()
