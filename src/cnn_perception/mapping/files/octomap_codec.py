"""OctoMap's streams and files: .bt (occupied or free) and .ot (full log-odds).

The data sections are what octomap_msgs/Octomap carries. Format: OctoMap 1.10, writeBinaryData and
writeData. They are written by `voxels.store_codec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import MapError
from cnn_perception.mapping.files import octomap_kernels as kernels
from cnn_perception.mapping.keys import TREE_DEPTH, morton_keys
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.types import Float32Array, UInt8Array

__all__ = [
    "NODE",
    "OCCUPANCY_TREE",
    "MapFile",
    "check_walk",
    "child_states",
    "decode_binary",
    "decode_file",
    "decode_full",
    "decode_tree",
    "file_header",
    "split_file",
    "warm_up",
    "wrap",
]

OCCUPANCY_TREE = "OcTree"
"""The tree's type in file headers and in octomap_msgs/Octomap.id."""
NODE = np.dtype([("value", "<f4"), ("children", "u1")])
"""A node in a .ot stream: log-odds, and a bit for each child that it has."""

_BINARY_TITLE = b"# Octomap OcTree binary file"
_FULL_TITLE = b"# Octomap OcTree file"
_REMARK = b"# (feel free to add / change comments, but leave the first line as it is!)\n#\n"
_HEADER_LIMIT = 1 << 16
_FREE, _OCCUPIED = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class MapFile:
    """What a map file holds: leaves, metres per finest cell, its kind, and what else it notes.

    kind: .bt, .ot or .vox. notes: those of a .vox file (see voxel_file).
    """

    leaves: Leaves
    resolution: float
    kind: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def binary(self) -> bool:
        """Whether cells are only free or occupied."""
        return self.kind == ".bt"


def decode_binary(data: bytes, free: float = -1.0, occupied: float = 1.0) -> Leaves:
    """Read a .bt data section; leaves get the log-odds `free` or `occupied`. Raises MapError."""
    if not data:
        return Leaves.empty()
    if len(data) % 2:
        raise MapError(f"binary map data have {len(data)} bytes: expected two for each inner node")
    words = np.frombuffer(data, "<u2").astype(np.uint16)
    if words[0] == 0:
        raise MapError("binary map data start with an inner node without children")
    states = child_states(words)
    count = int(np.count_nonzero((states == _FREE) | (states == _OCCUPIED)))
    codes, depths = np.empty(count, np.int64), np.empty(count, np.uint8)
    state = np.empty(count, np.uint8)
    check_walk(*kernels.walk_binary(words, codes, depths, state)[:2], len(words), 2)
    values = np.where(state, np.float32(occupied), np.float32(free))
    return Leaves(morton_keys(codes), depths, values.astype(np.float32))


def decode_full(data: bytes) -> Leaves:
    """Read a .ot data section. Raises MapError."""
    if not data:
        return Leaves.empty()
    if len(data) % NODE.itemsize:
        raise MapError(f"full map data have {len(data)} bytes: expected five for each node")
    nodes = np.frombuffer(data, NODE)
    return decode_tree(nodes["value"].astype(np.float32), np.ascontiguousarray(nodes["children"]))


def decode_tree(values: Float32Array, children: UInt8Array) -> Leaves:
    """Read the nodes of a .ot stream as columns: log-odds, and a bit for each child.

    Only the log-odds of leaves are looked at. Raises MapError.
    """
    if len(values) == 0:
        return Leaves.empty()
    count = int(np.count_nonzero(children == 0))
    codes, depths = np.empty(count, np.int64), np.empty(count, np.uint8)
    log_odds = np.empty(count, np.float32)
    status, read, _ = kernels.walk_full(values, children, codes, depths, log_odds)
    check_walk(status, read, len(values), NODE.itemsize)
    if not np.isfinite(log_odds).all():
        raise MapError("full map data hold log-odds that are not finite: the stream is damaged")
    return Leaves(morton_keys(codes), depths, log_odds)


def wrap(data: bytes, resolution: float, binary: bool) -> bytes:
    """Return the content of a .bt (binary) or .ot file with these data."""
    return file_header(OCCUPANCY_TREE, _count_nodes(data, binary), resolution, binary) + data


def file_header(kind: str, nodes: int, resolution: float, binary: bool) -> bytes:
    """Return what stands before the data of a .bt (binary) or .ot file with a tree of a type."""
    # OctoMap prints six digits; more are written only where six would change the resolution.
    short = f"{resolution:g}"
    edge = short if float(short) == resolution else repr(resolution)
    title = _BINARY_TITLE if binary else _FULL_TITLE
    return title + b"\n" + _REMARK + f"id {kind}\nsize {nodes}\nres {edge}\ndata\n".encode()


def decode_file(content: bytes, free: float = -1.0, occupied: float = 1.0) -> MapFile:
    """Read the content of a .bt or .ot file, whichever it is. Raises MapError."""
    binary = content.startswith(_BINARY_TITLE)
    resolution, size, data = split_file(content, OCCUPANCY_TREE, binary)
    leaves = decode_binary(data, free, occupied) if binary else decode_full(data)
    nodes = _count_nodes(data, binary)
    if nodes != size:
        raise MapError(f"the map file's header says size {size} but its data hold {nodes} nodes")
    return MapFile(leaves, resolution, ".bt" if binary else ".ot")


def split_file(content: bytes, kind: str, binary: bool) -> tuple[float, int, bytes]:
    """Return resolution, node count and data of a .bt (binary) or .ot file with a tree of a type.

    Raises MapError.
    """
    if not content.startswith(_BINARY_TITLE if binary else _FULL_TITLE):
        raise MapError(
            f"a map file starts with {_BINARY_TITLE.decode()!r} or {_FULL_TITLE.decode()!r}, not "
            f"with {content[:24]!r}: give a .bt, .ot or .vox file"
        )
    resolution, size, start = _read_header(content, kind)
    return resolution, size, content[start:]


def warm_up() -> None:
    """Compile the decoders, or load them from the cache, so that no later call has to."""
    decode_binary(b"\1\0")
    decode_full(np.zeros(1, NODE).tobytes())


def child_states(words: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the two bits of each of the eight children, (N, 8)."""
    states = (words[:, None] >> np.arange(0, 16, 2, dtype=np.uint16)) & 3
    return states.astype(np.uint16)


def _count_nodes(data: bytes, binary: bool) -> int:
    if not data or not binary:
        return len(data) // NODE.itemsize
    return 1 + int(np.count_nonzero(child_states(np.frombuffer(data, "<u2").astype(np.uint16))))


def check_walk(status: int, read: int, available: int, node_bytes: int) -> None:
    """Raise MapError unless a walk came to the end of the tree and of the data together."""
    at = read * node_bytes
    if status == kernels.TRUNCATED:
        raise MapError(f"map data end after {at} bytes in the middle of the tree: they are cut off")
    if status == kernels.TOO_DEEP:
        raise MapError(
            f"map data go deeper than {TREE_DEPTH} levels at byte {at}: they are damaged"
        )
    if status == kernels.CHILDLESS:
        raise MapError(f"map data have an inner node without children at byte {at}")
    if read != available:
        raise MapError(f"map data go on for {(available - read) * node_bytes} bytes after the tree")


def _read_header(content: bytes, kind: str) -> tuple[float, int, int]:
    """Return resolution, node count and where the data start."""
    fields: dict[str, str] = {}
    start = 0
    while True:
        end = content.find(b"\n", start, _HEADER_LIMIT)
        if end < 0:
            raise MapError("the map file's header has no line 'data': the file is cut off")
        line = content[start:end].decode("ascii", "replace").strip()
        start = end + 1
        if line == "data":
            break
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            fields[name] = value.strip()
    if fields.get("id") != kind:
        raise MapError(
            f"the map file holds a tree of type {fields.get('id', 'unknown')!r}: only {kind} is "
            "read here; convert it with OctoMap's convert_octree"
        )
    try:
        resolution, size = float(fields["res"]), int(fields["size"])
    except (KeyError, ValueError) as error:
        raise MapError(f"the map file's header lacks a usable 'res' or 'size': {error}") from error
    if not (math.isfinite(resolution) and resolution > 0):
        raise MapError(
            f"the map file says res {resolution}: it must be a positive number of metres"
        )
    return resolution, size, start
