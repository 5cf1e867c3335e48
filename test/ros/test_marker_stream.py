"""Markers serialised from arrays, against the same message made of objects."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from rclpy.serialization import deserialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from cnn_perception.components.map_cubes import height_palette, height_shades, leaf_cubes
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.messages.encode import Encoder
from cnn_perception.ros import marker_stream
from cnn_perception.ros.encode import _layout_is_known, encode

PALETTE = np.float32([[0.0, 0.25, 0.5, 1.0], [1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.125]])


def leaves(count: int) -> Leaves:
    rng = np.random.default_rng(count)
    depths = rng.choice([12, 15, 16], count).astype(np.uint8)
    keys = rng.integers(0, 65536, (count, 3)).astype(np.uint16)
    return Leaves(keys, depths, np.ones(count, np.float32))


def header(frame_id: str) -> Header:
    message = Header(frame_id=frame_id)
    message.stamp.sec, message.stamp.nanosec = -3, 999_999_999
    return message


@pytest.mark.parametrize("frame_id", ["", "m", "map", "odom_combined", "größe"])
@pytest.mark.parametrize("count", [0, 1, 2, 300])
@pytest.mark.parametrize("shaded", [False, True])
def test_equals_the_message_made_cell_by_cell(count: int, shaded: bool, frame_id: str) -> None:
    cells = leaves(count)
    shades = np.arange(count) % 3 if shaded else None
    lists = leaf_cubes(cells, 0.05, PALETTE, shades)
    stream = encode.cubes(header(frame_id), lists)
    assert isinstance(stream, bytes)  # else this ROS has another Marker, and everything is slow
    expected = Encoder.cubes(encode, header(frame_id), lists)
    assert deserialize_message(stream, MarkerArray) == expected


def test_each_depth_has_its_list_as_octomap_server_numbers_them() -> None:
    cells = Leaves(
        np.array([[32768, 32768, 32768], [32760, 32768, 32768]], np.uint16),
        np.array([16, 13], np.uint8),
        np.ones(2, np.float32),
    )
    stream = encode.cubes(Header(frame_id="map"), leaf_cubes(cells, 0.5, PALETTE, np.array([1, 2])))
    markers = deserialize_message(stream, MarkerArray).markers
    assert [m.id for m in markers] == list(range(17))
    assert {m.ns for m in markers} == {"map"}
    assert [m.id for m in markers if m.action == Marker.ADD] == [13, 16]
    assert {m.action for m in markers if m.id not in (13, 16)} == {Marker.DELETE}
    fine, coarse = markers[16], markers[13]
    assert (fine.scale.x, coarse.scale.x) == (0.5, 4.0)
    assert [(p.x, p.y, p.z) for p in fine.points] == [(0.25, 0.25, 0.25)]
    assert [(p.x, p.y, p.z) for p in coarse.points] == [(-2.0, 2.0, 2.0)]
    assert [(c.r, c.g, c.b, c.a) for c in fine.colors] == [(1.0, 0.0, 0.0, 0.5)]
    assert [(c.r, c.g, c.b, c.a) for c in coarse.colors] == [(0.0, 1.0, 0.0, 0.125)]


def test_another_layout_of_markers_falls_back_to_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marker_stream, "_LITTLE_ENDIAN_CDR", b"\x00\x00\x00\x00")  # big-endian
    _layout_is_known.cache_clear()
    message = encode.cubes(header("map"), leaf_cubes(leaves(5), 0.05, PALETTE))
    assert isinstance(message, MarkerArray)
    assert sum(len(m.points) for m in message.markers) == 5
    monkeypatch.undo()
    _layout_is_known.cache_clear()


def test_heights_go_from_the_factor_hue_at_the_bottom_to_red_at_the_top() -> None:
    known = Leaves(
        np.array([[0, 0, 100], [0, 0, 150], [0, 0, 199]], np.uint16),
        np.full(3, 16, np.uint8),
        np.float32([1, 1, -1]),
    )
    palette = height_palette(2 / 3)
    assert palette[0].tolist() == pytest.approx([0, 0, 1, 1])
    assert palette[-1].tolist() == pytest.approx([1, 0, 0, 1])
    shades = height_shades(known, known)
    assert shades.tolist() == [1, 129, 254]
    assert height_shades(known.select(np.zeros(3, bool)), Leaves.empty()).tolist() == []
