"""Each parameter of the mapper's outputs is seen to change what comes over DDS, while it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import GetOctomap
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from cnn_perception.mapping.files.octomap_codec import decode_full
from cnn_perception.messages.decode import decode_point_cloud
from cnn_perception.ros.qos import LATCHED
from mapping_robot import RESOLUTION, Lidar, change, mapper

# A cube of 2 x 2 x 2 cells that is one larger cell of the tree, a post, and a lone cell high up.
CUBE = [(2.05 + 0.1 * i, 0.05 + 0.1 * j, 0.05 + 0.1 * k) for i, j, k in np.ndindex(2, 2, 2)]
POST = [(1.55, 1.05, 0.15 + 0.1 * k) for k in range(4)]
LONE = [(-1.05, 0.05, 1.55)]
SCENE = CUBE + POST + LONE
ALWAYS = ("occupied_cells_vis_array", "octomap_point_cloud_centers", "projected_map")


class Outputs:
    """A mapper that has seen the scene, and what it publishes."""

    def __init__(self, stage: Any, **parameters: Any) -> None:
        self.stage = stage
        self.node = mapper(stage, source="cloud", **parameters)
        self.lidar = Lidar(stage, self.node)
        kinds = {
            "occupied_cells_vis_array": MarkerArray,
            "free_cells_vis_array": MarkerArray,
            "octomap_point_cloud_centers": PointCloud2,
            "projected_map": OccupancyGrid,
        }
        self.heard = {name: stage.hear(kind, name, LATCHED) for name, kind in kinds.items()}
        stage.linked(self.node, *self.heard)
        self.lidar.see(1.0, SCENE)
        for name in ALWAYS:
            stage.until(lambda name=name: self.heard[name])

    def after(self, topic: str, **values: Any) -> Any:
        """Change parameters and return the next message of a topic, when all topics have come."""
        before = {name: len(messages) for name, messages in self.heard.items()}
        names = {topic, *(ALWAYS if topic in ALWAYS else ())}
        change(self.node, **values)
        self.stage.until(lambda: all(len(self.heard[name]) > before[name] for name in names))
        return self.heard[topic][-1]

    def last(self, topic: str) -> Any:
        return self.heard[topic][-1]


def cubes(message: MarkerArray) -> dict[int, list[tuple[float, float, float]]]:
    """Return the centres of cubes by the number of their list, the depth."""
    return {
        m.id: [(p.x, p.y, p.z) for p in m.points] for m in message.markers if m.action == Marker.ADD
    }


def color(message: MarkerArray) -> tuple[float, ...]:
    c = next(m for m in message.markers if m.action == Marker.ADD).color
    return c.r, c.g, c.b, c.a


def test_markers_have_octomap_servers_lists_and_colors(stage) -> None:
    outputs = Outputs(stage)
    first = outputs.last("occupied_cells_vis_array")
    assert {depth: len(points) for depth, points in cubes(first).items()} == {15: 1, 16: 5}
    assert color(first) == (0.0, 0.0, 1.0, 1.0)
    assert all(not m.colors for m in first.markers)
    painted = outputs.after(
        "occupied_cells_vis_array", **{"color.r": 0.5, "color.g": 0.25, "color.b": 0.0}
    )
    assert color(painted) == (0.5, 0.25, 0.0, 1.0)
    assert color(outputs.after("occupied_cells_vis_array", **{"color.a": 0.125}))[3] == 0.125
    rainbow = outputs.after("occupied_cells_vis_array", use_height_map=True)
    shades = {p.z: c for m in rainbow.markers for p, c in zip(m.points, m.colors, strict=True)}
    top, bottom = shades[max(shades)], shades[min(shades)]
    assert (top.r, top.b) == (1.0, 0.0)
    assert top.g < 0.3
    assert bottom.b > 0.9
    short = outputs.after("occupied_cells_vis_array", color_factor=0.0)
    assert {(c.r, c.g, c.b) for m in short.markers for c in m.colors} == {(1.0, 0.0, 0.0)}


def test_free_cells_come_on_demand_with_their_opacity(stage) -> None:
    outputs = Outputs(stage)
    assert outputs.heard["free_cells_vis_array"] == []
    free = outputs.after("free_cells_vis_array", publish_free_space=True)
    assert sum(map(len, cubes(free).values())) > 50
    assert color(free) == (0.0, 1.0, 0.0, 1.0)
    changed = {"color_free.r": 0.5, "color_free.g": 0.75, "color_free.b": 0.25, "color_free.a": 0.5}
    assert color(outputs.after("free_cells_vis_array", **changed)) == (0.5, 0.75, 0.25, 0.5)


def test_speckles_are_left_out_of_markers_centres_and_the_projected_map(stage) -> None:
    outputs = Outputs(stage)
    lone = pytest.approx(LONE[0], abs=1e-5)
    assert lone in cubes(outputs.last("occupied_cells_vis_array"))[16]
    before = np.count_nonzero(np.array(outputs.last("projected_map").data) == 100)
    markers = outputs.after("occupied_cells_vis_array", filter_speckles=True)
    assert lone not in cubes(markers)[16]
    assert {depth: len(points) for depth, points in cubes(markers).items()} == {15: 1, 16: 4}
    stage.until(lambda: len(decode_point_cloud(outputs.last("octomap_point_cloud_centers"))) == 5)
    stage.until(
        lambda: np.count_nonzero(np.array(outputs.last("projected_map").data) == 100) == before - 1
    )
    full = stage.call(GetOctomap, "octomap_full", GetOctomap.Request()).map
    assert np.count_nonzero(decode_full(bytes(full.data)).occupied) == 6


def test_heights_and_depth_are_cut_in_the_outputs_only(stage) -> None:
    outputs = Outputs(stage)
    low = outputs.after("octomap_point_cloud_centers", occupancy_max_z=1.0)
    assert decode_point_cloud(low)[:, 2].max() < 1.0
    high = outputs.after("octomap_point_cloud_centers", occupancy_min_z=0.37, occupancy_max_z=100.0)
    assert sorted(decode_point_cloud(high)[:, 2]) == pytest.approx([0.35, 0.45, 1.55])
    outputs.after("octomap_point_cloud_centers", occupancy_min_z=-100.0)
    fine = outputs.last("projected_map").info
    coarse = outputs.after("projected_map", max_depth=14)
    assert coarse.info.resolution == pytest.approx(4 * RESOLUTION)
    assert coarse.info.width < fine.width / 2
    assert set(cubes(outputs.last("occupied_cells_vis_array"))) == {14}
    full = stage.call(GetOctomap, "octomap_full", GetOctomap.Request()).map
    assert np.count_nonzero(decode_full(bytes(full.data)).occupied) == 6


def test_an_uncompressed_map_shows_every_finest_cell(stage) -> None:
    outputs = Outputs(stage)
    assert len(decode_point_cloud(outputs.last("octomap_point_cloud_centers"))) == 6
    every = outputs.after("octomap_point_cloud_centers", compress_map=False)
    found = {tuple(p) for p in decode_point_cloud(every).round(2).tolist()}
    assert found == {tuple(np.round(np.float32(p), 2).tolist()) for p in SCENE}


def test_the_projected_map_has_a_smallest_size(stage) -> None:
    outputs = Outputs(stage)
    wide = outputs.after("projected_map", min_x_size=20.0)
    assert wide.info.width == 201
    assert wide.info.origin.position.x == pytest.approx(-10.0)
    tall = outputs.after("projected_map", min_y_size=10.0)
    assert (tall.info.width, tall.info.height) == (201, 101)


def test_the_incremental_projection_looks_the_same(stage) -> None:
    outputs = Outputs(stage)
    rng = np.random.default_rng(0)
    outputs.after("projected_map", incremental_2D_projection=True)
    for step in range(5):
        heard = len(outputs.heard["projected_map"])
        outputs.lidar.see(2.0 + step, rng.normal(0, 1.0, (30, 3)))
        stage.until(lambda heard=heard: len(outputs.heard["projected_map"]) > heard)
        incremental = outputs.last("projected_map")
        full = outputs.after("projected_map", incremental_2D_projection=False)
        assert incremental.info == full.info
        assert incremental.data == full.data
        again = outputs.after("projected_map", incremental_2D_projection=True)
        assert again.data == full.data


@pytest.mark.parametrize("latch", [True, False])
def test_only_a_latched_map_is_kept_for_late_readers(stage, latch: bool) -> None:
    node = mapper(stage, source="cloud", latch=latch)
    name = f"{stage.namespace}/octomap_binary"
    stage.until(lambda: stage.probe.get_publishers_info_by_topic(name))
    [offer] = stage.probe.get_publishers_info_by_topic(name)
    kept = DurabilityPolicy.TRANSIENT_LOCAL if latch else DurabilityPolicy.VOLATILE
    assert offer.qos_profile.durability == kept
    lidar = Lidar(stage, node)
    early = stage.hear(Octomap, "octomap_binary", LATCHED if latch else 1)
    stage.linked(node, "octomap_binary")
    lidar.see(1.0, SCENE)
    stage.until(lambda: early)
    if latch:
        late = stage.hear(Octomap, "octomap_binary", LATCHED)
        stage.until(lambda: late)
        assert late == early[-1:]


def test_an_output_that_cannot_be_made_does_not_cost_the_others(stage) -> None:
    outputs = Outputs(stage, resolution=0.001)
    markers, grids = (len(outputs.heard[name]) for name in (ALWAYS[0], ALWAYS[2]))
    change(outputs.node, min_x_size=1e5, min_y_size=1e5)
    stage.until(lambda: len(outputs.heard[ALWAYS[0]]) > markers)
    change(outputs.node, min_x_size=0.0, min_y_size=0.0)
    stage.until(lambda: len(outputs.heard[ALWAYS[2]]) > grids)
    assert len(outputs.heard[ALWAYS[2]]) == grids + 1


def test_the_sensor_model_changes_while_it_runs(stage) -> None:
    outputs = Outputs(stage)

    def values() -> np.ndarray:
        message = stage.call(GetOctomap, "octomap_full", GetOctomap.Request()).map
        return decode_full(bytes(message.data)).log_odds

    def odds(probability: float) -> Any:
        return pytest.approx(np.log(probability / (1 - probability)), abs=1e-5)

    assert values().max() == odds(0.7)
    assert values().min() == odds(0.4)
    change(outputs.node, **{"sensor_model.max": 0.75, "sensor_model.min": 0.3})
    outputs.lidar.see(2.0, SCENE)
    assert values().max() == odds(0.75)
    outputs.lidar.see(3.0, SCENE)
    assert values().min() == odds(0.3)
    change(outputs.node, **{"sensor_model.max": 0.97, "sensor_model.hit": 0.9})
    outputs.lidar.see(4.0, SCENE)
    assert values().max() == pytest.approx(np.log(0.75 / 0.25) + np.log(0.9 / 0.1), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max_depth", 17, "17"),
        ("color_free.a", 1.5, "1.5"),
        ("clear_to", "occupied", "choose one of free, unknown"),
        ("time_jump", "ignore", "choose one of keep, reset"),
        ("decay.rate", -1.0, "-1"),
        ("ground_filter.angle", 3.0, "3"),
        ("point_cloud_min_z", float("nan"), "nan"),
        ("latch", False, "read at configure"),
        ("cameras", ["front"], "read at configure"),
        ("octomap_path", "other.bt", "read at configure"),
    ],
)
def test_bad_values_are_refused_with_the_reason(stage, name: str, value: Any, reason: str) -> None:
    node = mapper(stage)
    before = node.get_parameter(name).value
    [result] = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert node.get_parameter(name).value == before


def test_what_an_engine_cannot_do_is_refused(stage) -> None:
    pytest.importorskip("octomap", reason="no octomap-python: pip install octomap-python")
    node = mapper(stage, engine="octomap")
    [result] = node.set_parameters([Parameter("decay.after", value=5.0)])
    assert not result.successful
    assert "decay.after = 5 needs engine = voxel, not octomap" in result.reason
