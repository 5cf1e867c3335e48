"""The .vox format: lossless, the same bytes for the same map, and any damage is noticed."""

from __future__ import annotations

import json
import logging
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.files.voxel_file import (
    decode_voxel_file,
    encode_voxel_file,
    is_voxel_file,
)
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.types import RigidTransform
from plain_octomap import PlainTree
from plain_streams import encode_full

CONFIG = MapperConfig(resolution=0.1)


def mapper(engine: str = "voxel", config: MapperConfig = CONFIG) -> OccupancyMap:
    config = replace(config, engine="voxel" if engine == "reference" else engine)
    return OccupancyMap(config, PlainTree(config.resolution) if engine == "reference" else None)


def scan(made: OccupancyMap, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-2, 2, (200, 3)).astype(np.float32)
    made.integrate_cloud(points, RigidTransform(np.eye(3), rng.uniform(-0.2, 0.2, 3)))


def written(seed: int = 1, **notes: Any) -> bytes:
    made = mapper()
    scan(made, seed)
    return encode_voxel_file(made.full_payload(), 0.1, notes)


@pytest.mark.parametrize("engine", ["voxel", "octomap", "reference"])
def test_mapping_goes_on_as_if_nothing_had_happened(tmp_path: Path, engine: str) -> None:
    if engine == "octomap":
        pytest.importorskip("octomap", reason="octomap-python is not installed")
    made, continued = mapper(engine), mapper(engine)
    for seed in range(3):
        scan(made, seed)
    made.save(tmp_path / "map.vox")
    continued.load(tmp_path / "map.vox")
    for seed in range(3, 6):
        assert continued.full_payload() == made.full_payload()
        scan(made, seed)
        scan(continued, seed)
    assert continued.full_payload() == made.full_payload()
    assert continued.binary_payload() == made.binary_payload()


def test_the_same_map_gives_the_same_file_whatever_made_it(tmp_path: Path) -> None:
    for engine in ("voxel", "reference"):
        made = mapper(engine)
        for seed in range(3):
            scan(made, seed)
        made.save(tmp_path / f"{engine}.vox")
    again = mapper()
    again.load(tmp_path / "voxel.vox")
    again.save(tmp_path / "again.vox")
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    notes = decode_voxel_file(contents.pop()).notes
    assert notes["sensor_model"]["probability_hit"] == CONFIG.probability_hit


def test_it_is_smaller_than_the_full_stream() -> None:
    made = mapper()
    scan(made, 2)
    assert 2 * len(written(2)) < len(made.full_payload())


def test_another_sensor_model_is_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = mapper()
    scan(made, 1)
    made.save(tmp_path / "map.vox")
    with caplog.at_level(logging.WARNING):
        mapper().load(tmp_path / "map.vox")
        assert caplog.messages == []
        other = mapper(config=replace(CONFIG, probability_hit=0.8))
        other.load(tmp_path / "map.vox")
    assert len(caplog.messages) == 1
    assert "'probability_hit': 0.7" in caplog.messages[0]
    assert "'probability_hit': 0.8" in caplog.messages[0]


def test_a_map_of_another_resolution_is_refused(tmp_path: Path) -> None:
    mapper(config=replace(CONFIG, resolution=0.2)).save(tmp_path / "map.vox")
    with pytest.raises(MapError, match=r"has resolution 0\.2 m, the mapper 0\.1 m"):
        mapper().load(tmp_path / "map.vox")


def test_an_empty_map_is_a_map() -> None:
    loaded = decode_voxel_file(encode_voxel_file(b"", 0.05, {}))
    assert (len(loaded.leaves), loaded.resolution, loaded.kind) == (0, 0.05, ".vox")


def test_notes_and_values_come_back() -> None:
    values = np.array([-2.0, np.float32(0.1), 1e-38, 3.5], np.float32)
    keys = np.zeros((4, 3), np.uint16)
    keys[:, 0] = [0, 1, 2, 65535]
    leaves = Leaves(keys, np.full(4, 16, np.uint8), values)
    notes = {"frame_id": "\u5730\u56fe", "resolution": "not this"}
    loaded = decode_voxel_file(encode_voxel_file(encode_full(leaves), 0.0123456789, notes))
    np.testing.assert_array_equal(loaded.leaves.keys, keys)
    np.testing.assert_array_equal(loaded.leaves.log_odds, values)
    assert loaded.resolution == 0.0123456789
    assert loaded.notes == {"frame_id": "\u5730\u56fe"}


def test_every_changed_bit_is_noticed() -> None:
    leaves = Leaves(np.zeros((1, 3), np.uint16), np.full(1, 16, np.uint8), np.ones(1, np.float32))
    content = encode_voxel_file(encode_full(leaves), 0.05, {})
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MapError):
            decode_voxel_file(bytes(damaged))
    for end in range(len(content)):
        with pytest.raises(MapError):
            decode_voxel_file(content[:end])


def forged(change: Callable[[dict[str, Any]], Any], tree: bytes | None = None) -> bytes:
    """A file with changed notes or tree, and a checksum that matches."""
    content = written()
    _, noted, _ = struct.unpack_from("<IIQ", content, 12)
    notes = json.loads(content[28 : 28 + noted])
    header = json.dumps(change(notes)).encode()
    tree = content[28 + noted :] if tree is None else tree
    body = struct.pack("<IIQ", 1, len(header), len(tree)) + header + tree
    return content[:8] + struct.pack("<I", zlib.crc32(body)) + body


def signed(body: bytes) -> bytes:
    return written()[:8] + struct.pack("<I", zlib.crc32(body)) + body


ONE_NODE = zlib.compress(b"\x00" + struct.pack("<f", 1.0))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"# Octomap OcTree file\n", "a .vox file starts with"),
        (written()[:20], "ends after 20 bytes, in its header"),
        (written()[:-1], "it was cut off or damaged"),
        (written() + b"\n", "it was cut off or damaged"),
        (written()[:-1] + b"?", "checksum does not match"),
        (written().replace(b"\r\n", b"\n", 1), "a .vox file starts with"),
        (signed(struct.pack("<IIQ", 2, 0, 0)), "version 2 of the format, this program reads 1"),
        (signed(struct.pack("<IIQ", 1, 1, 0) + b"{"), "notes are not JSON"),
        (signed(struct.pack("<IIQ", 1, 1, 0) + b"\xff"), "notes are not JSON"),
        (forged(lambda notes: []), "notes are list, not an object"),
        (forged(lambda notes: notes | {"resolution": -0.1}), "resolution -0.1: it must be"),
        (forged(lambda notes: notes | {"resolution": float("nan")}), "resolution nan"),
        (forged(lambda notes: notes | {"nodes": None}), "says nodes None: it must be a count"),
        (forged(lambda notes: notes | {"leaves": -1}), "says leaves -1"),
        (forged(lambda notes: notes | {"nodes": notes["nodes"] + 1}), "another size"),
        (
            forged(lambda n: n | {"nodes": n["nodes"] - 4, "leaves": n["leaves"] + 1}),
            "has not the .* leaves",
        ),
        (forged(lambda notes: notes, b"no zlib"), "tree cannot be decompressed"),
        (
            forged(lambda notes: notes | {"nodes": 1, "leaves": 1}, ONE_NODE + b"more"),
            "another size",
        ),
        (
            forged(
                lambda notes: notes | {"nodes": 2, "leaves": 1}, zlib.compress(b"\1\1" + b"0000")
            ),
            "has not the 1 leaves",
        ),
        (
            forged(
                lambda notes: notes | {"nodes": 2, "leaves": 1}, zlib.compress(b"\3\0" + b"0000")
            ),
            "in the middle of the tree",
        ),
        (
            forged(
                lambda notes: notes | {"nodes": 1, "leaves": 1},
                zlib.compress(b"\0" + struct.pack("<f", float("inf"))),
            ),
            "not finite",
        ),
    ],
)
def test_damage_is_one_clear_error(content: bytes, text: str) -> None:
    with pytest.raises(MapError, match=text):
        decode_voxel_file(content)


def test_only_these_files_are_taken_for_it() -> None:
    assert is_voxel_file(written())
    assert not is_voxel_file(b"# Octomap OcTree binary file\n")
    assert not is_voxel_file(b"")
