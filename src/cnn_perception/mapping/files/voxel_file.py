"""The mapper's own map files, .vox: everything that is needed to go on with a map.

A .ot file keeps every log-odds too. A .vox file takes a sixth of its size, is refused when a single
bit of it has changed, which nobody can see in a .ot file, and says with which sensor model the map
was made. The same map gives the same bytes, whichever engine made it and in whatever order.

Little-endian, in this order:

    8 bytes     89 56 4F 58 0D 0A 1A 0A, as PNG begins, to notice files copied as text
    uint32      CRC-32 (that of zlib) of all that follows
    uint32      version of the format, 1
    uint32      length of the notes
    uint64      length of the tree, compressed
    notes       JSON: "resolution" (metres per finest cell), "nodes" and "leaves" of the tree, and
                what else was noted, e.g. "sensor_model"
    tree        compressed by zlib: for each node of the pruned tree, in preorder, a byte with a bit
                for each child that it has; then for each leaf its log-odds, float32

Children and leaves are those of a .ot stream. The log-odds of inner nodes, which it has too, are
the highest of their children and not written.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn_perception.errors import MapError
from cnn_perception.mapping.files.octomap_codec import NODE, MapFile, decode_tree

__all__ = ["decode_voxel_file", "encode_voxel_file", "is_voxel_file"]

_MAGIC = b"\x89VOX\r\n\x1a\n"
_VERSION = 1
_CHECKSUM = struct.Struct("<I")
_LENGTHS = struct.Struct("<IIQ")
_START = len(_MAGIC) + _CHECKSUM.size + _LENGTHS.size
_MOST_NODES = 1 << 33
_OWN = ("resolution", "nodes", "leaves")


def is_voxel_file(content: bytes) -> bool:
    """Say whether bytes begin as a .vox file."""
    return content.startswith(_MAGIC)


def encode_voxel_file(data: bytes, resolution: float, notes: Mapping[str, Any]) -> bytes:
    """Return the content of a .vox file with the map of a .ot data section.

    notes: what else to write down, as JSON can hold it.
    """
    nodes = np.frombuffer(data, NODE)
    leaf = nodes["children"] == 0
    values = np.ascontiguousarray(nodes["value"][leaf])
    tree = zlib.compress(nodes["children"].tobytes() + values.tobytes(), 1)
    own = {"resolution": float(resolution), "nodes": len(nodes), "leaves": len(values)}
    header = json.dumps({**notes, **own}, sort_keys=True, separators=(",", ":")).encode()
    body = _LENGTHS.pack(_VERSION, len(header), len(tree)) + header + tree
    return _MAGIC + _CHECKSUM.pack(zlib.crc32(body)) + body


def decode_voxel_file(content: bytes) -> MapFile:
    """Read the content of a .vox file. Raises MapError."""
    header, packed = _split(content)
    resolution, count, leaves = _sizes(header)
    length = count + 4 * leaves
    unpacking = zlib.decompressobj()
    try:
        tree = unpacking.decompress(packed, length + 1)
    except zlib.error as error:
        raise MapError(f"the .vox file's tree cannot be decompressed: {error}") from error
    if len(tree) != length or not unpacking.eof or unpacking.unused_data:
        raise MapError(
            f"the .vox file's notes promise {count} nodes with {leaves} leaves, {length} bytes, "
            "but its tree has another size"
        )
    children = np.frombuffer(tree, np.uint8, count)
    if np.count_nonzero(children == 0) != leaves:
        raise MapError(f"the .vox file's tree has not the {leaves} leaves that its notes promise")
    values = np.zeros(count, np.float32)
    values[children == 0] = np.frombuffer(tree, "<f4", leaves, count)
    notes = {name: value for name, value in header.items() if name not in _OWN}
    return MapFile(decode_tree(values, children), resolution, ".vox", notes)


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the notes and the compressed tree of a whole and unchanged file."""
    if not is_voxel_file(content):
        raise MapError(f"a .vox file starts with {_MAGIC!r}, not with {content[:8]!r}")
    if len(content) < _START:
        raise MapError(f"the .vox file ends after {len(content)} bytes, in its header")
    (checksum,) = _CHECKSUM.unpack_from(content, len(_MAGIC))
    version, noted, packed = _LENGTHS.unpack_from(content, len(_MAGIC) + _CHECKSUM.size)
    if version != _VERSION:
        raise MapError(
            f"the .vox file has version {version} of the format, this program reads {_VERSION}: "
            "save the map as .ot where it was made"
        )
    if len(content) != _START + noted + packed:
        raise MapError(
            f"the .vox file has {len(content)} bytes, its header says {_START + noted + packed}: "
            "it was cut off or damaged"
        )
    if zlib.crc32(memoryview(content)[len(_MAGIC) + _CHECKSUM.size :]) != checksum:
        raise MapError("the .vox file's checksum does not match its content: it is damaged")
    try:
        notes = json.loads(content[_START : _START + noted])
    except (ValueError, RecursionError) as error:
        raise MapError(f"the .vox file's notes are not JSON: {error}") from error
    if not isinstance(notes, dict):
        raise MapError(f"the .vox file's notes are {type(notes).__name__}, not an object of JSON")
    return notes, content[_START + noted :]


def _sizes(notes: dict[str, Any]) -> tuple[float, int, int]:
    """Return resolution, nodes and leaves."""
    resolution = notes.get("resolution")
    if type(resolution) is not float or not 0 < resolution < math.inf:
        raise MapError(
            f"the .vox file says resolution {resolution!r}: it must be a positive number of metres"
        )
    return resolution, _count(notes, "nodes"), _count(notes, "leaves")


def _count(notes: dict[str, Any], name: str) -> int:
    value = notes.get(name)
    if type(value) is not int or not 0 <= value <= _MOST_NODES:
        raise MapError(f"the .vox file says {name} {value!r}: it must be a count")
    return value
