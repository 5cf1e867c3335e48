"""The mapper node: a wall seen by a depth camera must be in the map where the transforms say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from geometry_msgs.msg import Point
from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, PointCloud2
from std_srvs.srv import Empty, Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from cnn_perception.image.codec import encode_compressed_depth
from cnn_perception.messages.decode import decode_point_cloud
from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import LATCHED, TRANSFORM_STATIC
from mapping_robot import (
    CAMERA,
    FOCAL,
    HEIGHT,
    OPTICAL,
    RESOLUTION,
    WALL_Z,
    WIDTH,
    Robot,
    camera_info,
    edge,
    header,
    mapper,
    wall,
)


def test_a_wall_is_mapped_where_the_transforms_say_on_every_topic(stage) -> None:
    node = mapper(stage, publish_free_space=True)
    robot = Robot(stage, node)
    heard = {
        name: stage.hear(kind, name, LATCHED)
        for name, kind in (
            ("octomap_binary", Octomap),
            ("octomap_full", Octomap),
            ("occupied_cells_vis_array", MarkerArray),
            ("free_cells_vis_array", MarkerArray),
            ("octomap_point_cloud_centers", PointCloud2),
            ("projected_map", OccupancyGrid),
        )
    }
    stage.linked(node, *heard)
    robot.stand()
    robot.depth.publish(wall(3.0))
    stage.until(lambda: all(heard.values()))
    for messages in heard.values():
        stamped = getattr(messages[0], "header", None) or messages[0].markers[0].header
        assert stamped == header(3.0, "map")
    centers = decode_point_cloud(heard["octomap_point_cloud_centers"][0])
    assert len(centers) > 50
    assert np.abs(centers[:, 0] - (CAMERA[0] + WALL_Z)).max() <= RESOLUTION
    reach = WALL_Z * WIDTH / 2 / FOCAL + RESOLUTION
    assert np.abs(centers[:, 1] - CAMERA[1]).max() <= reach
    for name, binary in (("octomap_binary", True), ("octomap_full", False)):
        message = heard[name][0]
        assert (message.id, message.binary) == ("OcTree", binary)
        assert message.resolution == pytest.approx(RESOLUTION)
        assert len(message.data) > 50
    cubes = [m for m in heard["occupied_cells_vis_array"][0].markers if m.action == Marker.ADD]
    assert sum(len(m.points) for m in cubes) == len(centers)
    free = [m for m in heard["free_cells_vis_array"][0].markers if m.action == Marker.ADD]
    assert all(p.x < CAMERA[0] + WALL_Z for m in free for p in m.points)
    grid = heard["projected_map"][0]
    cells = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
    column = round((CAMERA[0] + WALL_Z - grid.info.origin.position.x) / RESOLUTION)
    row = int((CAMERA[1] - grid.info.origin.position.y) / RESOLUTION)
    assert 100 in cells[row, column - 1 : column + 2]
    assert cells[row, column - 8] == 0


def test_a_late_reader_gets_the_present_map(stage) -> None:
    node = mapper(stage)
    robot = Robot(stage, node)
    robot.stand()
    robot.depth.publish(wall(3.0))
    stage.settled(node, 1)
    heard = stage.hear(Octomap, "octomap_binary", LATCHED)
    stage.until(lambda: heard)
    assert heard[0].header.stamp.sec == 3


def test_compressed_depth_is_mapped(stage) -> None:
    node = mapper(stage, image_transport="compressed")
    camera = stage.speak(CompressedImage, "depth/image/compressedDepth")
    stage.speak(CameraInfo, "depth/camera_info").publish(camera_info())
    stage.speak(TFMessage, "tf_static", TRANSFORM_STATIC).publish(
        TFMessage(transforms=[edge("map", "camera", 0.0, CAMERA, OPTICAL)])
    )
    message = CompressedImage(header=header(1.0), format="16UC1; compressedDepth png")
    message.data = encode_compressed_depth(np.full((HEIGHT, WIDTH), 2000, np.uint16))
    camera.publish(message)
    assert stage.settled(node, 1).processed == 1


def test_a_cloud_is_mapped(stage) -> None:
    mapper(stage, source="cloud")
    heard = stage.hear(PointCloud2, "octomap_point_cloud_centers", LATCHED)
    stage.speak(TFMessage, "tf_static", TRANSFORM_STATIC).publish(
        TFMessage(transforms=[edge("map", "lidar", 0.0, (0, 0, 1.0))])
    )
    points = np.float32([[2.05, 0.05, 0.05], [2.05, 0.55, 0.05]])
    stage.speak(PointCloud2, "cloud_in").publish(encode.point_cloud(header(1.0, "lidar"), points))
    stage.until(lambda: heard)
    centers = decode_point_cloud(heard[0])
    assert sorted(centers.round(2).tolist()) == pytest.approx(
        np.array([[2.05, 0.05, 1.05], [2.05, 0.55, 1.05]])
    )


def test_a_transform_that_comes_late_is_waited_for(stage) -> None:
    node = mapper(stage, transform_timeout=5.0)
    robot = Robot(stage, node)
    robot.info.publish(camera_info())
    robot.depth.publish(wall(2.5))
    stage.until(lambda: node.statistics.snapshot().in_flight)
    for stamp in (2.0, 3.0):
        robot.tf.publish(TFMessage(transforms=[edge("map", "camera", stamp, CAMERA, OPTICAL)]))
    assert stage.settled(node, 1).processed == 1


def test_a_transform_that_never_comes_is_a_counted_drop_and_no_map(stage) -> None:
    node = mapper(stage, transform_timeout=0.05)
    heard = stage.hear(Octomap, "octomap_binary", LATCHED)
    robot = Robot(stage, node)
    robot.info.publish(camera_info())
    robot.depth.publish(wall(2.5))
    assert stage.settled(node, 1).dropped == {"no_transform": 1}
    stage.linked(node, "octomap_binary")
    robot.stand()
    robot.depth.publish(wall(3.5))
    stage.until(lambda: heard)
    assert [m.header.stamp.sec for m in heard] == [3]


def test_the_pose_is_interpolated_at_the_image_stamp(stage) -> None:
    node = mapper(stage)
    heard = stage.hear(PointCloud2, "octomap_point_cloud_centers", LATCHED)
    robot = Robot(stage, node)
    robot.info.publish(camera_info())
    moving = [edge("map", "camera", t, (t, 0, 0), OPTICAL) for t in (1.0, 2.0)]
    robot.tf.publish(TFMessage(transforms=moving))
    robot.depth.publish(wall(1.45))
    stage.until(lambda: heard)
    centers = decode_point_cloud(heard[0])
    assert centers[:, 0] == pytest.approx(1.45 + WALL_Z, abs=RESOLUTION / 2 + 1e-3)


@pytest.mark.parametrize(
    ("depth", "info", "reason"),
    [
        (wall(1.0), camera_info(width=WIDTH * 2), "size_mismatch"),
        (wall(1.0), CameraInfo(width=WIDTH, height=HEIGHT), "bad_intrinsics"),
        (encode.image(header(1.0), np.zeros((HEIGHT, WIDTH, 3), np.uint8)), camera_info(), None),
    ],
)
def test_bad_depth_never_enters_the_map(stage, depth, info, reason) -> None:
    node = mapper(stage)
    robot = Robot(stage, node)
    info.header = header(1.0)
    robot.stand(info)
    robot.depth.publish(depth)
    snapshot = stage.settled(node, 1)
    assert snapshot.processed == 0
    assert reason is None or snapshot.dropped == {reason: 1}
    robot.info.publish(camera_info(2.0))

    def mended() -> int:
        robot.depth.publish(wall(2.0))  # again, since the new camera_info may overtake it
        return node.statistics.snapshot().processed

    stage.until(mended)


def test_the_camera_info_of_another_camera_is_not_used(stage) -> None:
    node = mapper(stage)
    robot = Robot(stage, node)
    other = camera_info()
    other.header.frame_id = "other_camera"
    robot.stand(other)
    robot.depth.publish(wall(1.0))
    assert stage.settled(node, 1).dropped == {"frame_mismatch": 1}


def test_three_loops_of_a_recording_give_equal_counts(stage) -> None:
    node = mapper(stage, transform_timeout=5.0)
    robot = Robot(stage, node)
    robot.info.publish(camera_info())
    counts = []
    for _ in range(3):
        before = node.statistics.snapshot().received
        for step in range(1, 6):
            # The image goes first: its transform, seconds older than those of the last loop's
            # end, is still to come.
            robot.depth.publish(wall(float(step)))
            known = before + step
            stage.until(
                lambda known=known: (
                    (s := node.statistics.snapshot()).in_flight or s.received == known
                )
            )
            for stamp in (step - 0.5, step + 0.5):
                robot.tf.publish(
                    TFMessage(transforms=[edge("map", "camera", stamp, CAMERA, OPTICAL)])
                )
            stage.settled(node, before + step)
        counts.append(node.statistics.snapshot().processed)
    assert counts == [5, 10, 15]


def test_the_services_give_clear_save_and_forget_the_map(stage, tmp_path: Path) -> None:
    node = mapper(stage)
    robot = Robot(stage, node)
    robot.stand()
    robot.depth.publish(wall(3.0))
    stage.settled(node, 1)
    binary = stage.call(GetOctomap, "octomap_binary", GetOctomap.Request()).map
    full = stage.call(GetOctomap, "octomap_full", GetOctomap.Request()).map
    assert binary.binary
    assert not full.binary
    assert len(full.data) > len(binary.data) > 50

    assert node.set_parameters([Parameter("save_path", value=str(tmp_path / "room.bt"))])
    saved = stage.call(Trigger, "mapper/save", Trigger.Request())
    assert saved.success, saved.message
    content = (tmp_path / "room.bt").read_bytes()
    assert content.endswith(bytes(np.array(binary.data, np.int8)))
    node.set_parameters([Parameter("save_path", value=str(tmp_path / "room.png"))])
    refused = stage.call(Trigger, "mapper/save", Trigger.Request())
    assert not refused.success
    assert "room.png" in refused.message

    everything = BoundingBoxQuery.Request(
        min=Point(x=-9.0, y=-9.0, z=-9.0), max=Point(x=9.0, y=9.0, z=9.0)
    )
    heard = stage.hear(MarkerArray, "occupied_cells_vis_array", LATCHED)
    stage.until(lambda: heard)
    stage.call(BoundingBoxQuery, "mapper/clear_bbox", everything)
    stage.until(lambda: all(m.action == Marker.DELETE for m in heard[-1].markers))
    stage.call(Empty, "mapper/reset", Empty.Request())
    empty = stage.call(GetOctomap, "octomap_binary", GetOctomap.Request()).map
    assert len(empty.data) == 0


def test_the_counts_add_up_under_a_burst(stage) -> None:
    node = mapper(stage, resolution=0.02)
    robot = Robot(stage, node)
    robot.stand()
    for stamp in itertools.islice(itertools.count(1), 60):
        robot.depth.publish(wall(float(stamp)))
        stage.executor.spin_once(timeout_sec=0)
    snapshot = stage.until(
        lambda: (s := node.statistics.snapshot()).processed and not s.in_flight and s
    )
    assert snapshot.received == snapshot.processed + sum(snapshot.dropped.values())
    assert set(snapshot.dropped) <= {"superseded"}
