"""What enters the map and what does not: several cameras, crop, ground, time, and silence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage

from cnn_perception.ros.encode import encode
from mapping_robot import (
    CAMERA,
    HEIGHT,
    OPTICAL,
    RESOLUTION,
    WIDTH,
    Lidar,
    Robot,
    camera_info,
    change,
    edge,
    header,
    mapper,
    wall,
)


def occupied(node: Any) -> np.ndarray:
    """Return the centres of occupied cells."""
    return node.worker.call(lambda: node.component.occupancy.occupied_cells().centers).result(30.0)


def free(node: Any) -> np.ndarray:
    return node.worker.call(lambda: node.component.occupancy.leaves().finest()).result(30.0)


class Doctor:
    """Listens to what diagnostics say of a node."""

    def __init__(self, stage: Any, node: Any) -> None:
        self.stage, self.node = stage, node
        self.heard = stage.hear(DiagnosticArray, "/diagnostics")

    def hears(self, *words: str) -> str:
        """Wait for a message with these words."""

        def found() -> str:
            texts = [
                status.message
                for array in self.heard
                for status in array.status
                if status.name == self.node.get_fully_qualified_name()
            ]
            return next((t for t in texts if all(word in t for word in words)), "")

        return self.stage.until(found)


# --- several sensors


def test_two_cameras_make_one_map(stage) -> None:
    node = mapper(stage, cameras=["front", "rear"])
    front, rear = Robot(stage, node, "front/", "front"), Robot(stage, node, "rear/", "rear")
    front.stand(at=CAMERA)
    rear.stand(at=(-4.0, 2.0, 0.5))
    front.see(1.0)
    rear.see(0.5)  # earlier: two cameras are not one whose time goes back
    front.see(1.1)
    ahead = occupied(node)[:, 0]
    assert ((np.abs(ahead - 3.05) < 0.06) | (np.abs(ahead + 1.95) < 0.06)).all()
    assert (ahead > 0).any()
    assert (ahead < 0).any()


def test_a_fast_camera_does_not_starve_a_slow_one(stage) -> None:
    node = mapper(stage, cameras=["fast", "slow"], resolution=0.05)
    fast, slow = Robot(stage, node, "fast/", "fast"), Robot(stage, node, "slow/", "slow")
    fast.stand()
    slow.stand(at=(-4.0, 2.0, 0.5))
    fast.see(1.0)
    slow.depth.publish(wall(1.0, frame_id="slow"))
    for step in range(100):
        fast.depth.publish(wall(1.0 + 0.01 * step, frame_id="fast"))
        stage.executor.spin_once(timeout_sec=0)
    stage.until(lambda: (occupied(node)[:, 0] < 0).any())
    snapshot = stage.until(lambda: not (s := node.statistics.snapshot()).in_flight and s)
    assert snapshot.received == snapshot.processed + sum(snapshot.dropped.values())
    assert set(snapshot.dropped) <= {"superseded"}


def test_a_camera_without_a_transform_keeps_no_other_waiting(stage) -> None:
    node = mapper(stage, cameras=["lost", "good"], transform_timeout=10.0)
    lost, good = Robot(stage, node, "lost/", "lost"), Robot(stage, node, "good/", "good")
    good.stand()
    lost.info.publish(camera_info(frame_id="lost"))
    lost.depth.publish(wall(1.0, frame_id="lost"))
    stage.until(lambda: node.statistics.snapshot().in_flight)
    for step in range(3):
        good.see(1.0 + step)
    assert node.statistics.snapshot().in_flight == 1
    lost.stand(at=(-4.0, 2.0, 0.5))
    assert stage.settled(node, 4).processed == 4
    assert (occupied(node)[:, 0] < 0).any()


def test_scans_whose_transforms_come_late_are_mapped_in_order(stage) -> None:
    """As on robots whose localisation takes its time: no scan is lost to the one that waits."""
    node = mapper(stage, source="cloud", transform_timeout=10.0)
    clouds = stage.speak(PointCloud2, "cloud_in")
    tf = stage.speak(TFMessage, "tf")
    for step in range(5):
        cloud = np.array([(1.05, 0.05, 0.05)], np.float32)
        clouds.publish(encode.point_cloud(header(1.0 + 0.1 * step, "rover"), cloud))
        stage.until(lambda n=step + 1: node.statistics.snapshot().in_flight == n)
    moves = [edge("map", "rover", seconds, (0, seconds, 0)) for seconds in (0.5, 2.5)]
    tf.publish(TFMessage(transforms=moves))
    assert stage.settled(node, 5).processed == 5
    assert np.ptp(occupied(node)[:, 1]) == pytest.approx(0.4, abs=0.01)


def test_several_clouds_make_one_map(stage) -> None:
    node = mapper(stage, source="cloud", cameras=["", "roof"])
    below, above = Lidar(stage, node), Lidar(stage, node, "roof/", at=(0, 0, 2.0))
    below.see(1.0, [(1.05, 0.05, 0.05)])
    above.see(1.0, [(1.05, 0.05, 0.05)])
    assert sorted(occupied(node)[:, 2]) == pytest.approx([0.05, 2.05])


def test_a_camera_and_a_lidar_make_one_map(stage) -> None:
    node = mapper(stage, source="both")
    robot, lidar = Robot(stage, node), Lidar(stage, node, at=(0, 0, 5.0))
    robot.stand()
    robot.see(1.0)
    lidar.see(0.5, [(1.05, 0.05, 0.05)])
    robot.see(1.1)
    heights = occupied(node)[:, 2]
    assert np.count_nonzero(heights > 4.0) == 1
    assert np.count_nonzero(heights < 4.0) > 50


def test_a_camera_named_twice_is_refused(stage, capfd: pytest.CaptureFixture[str]) -> None:
    from cnn_perception.components.mapper import MapperComponent

    node = stage.node(MapperComponent, "mapper", cameras=["front", "/front/"])
    assert not node.start()
    assert "give each input a prefix of its own" in capfd.readouterr().err


# --- crop and ground


@pytest.mark.parametrize(
    ("name", "limit", "kept"),
    [
        ("point_cloud_max_x", 0.5, [-1.05, 0.05, 0.05]),
        ("point_cloud_min_x", -0.5, [0.05, 0.05, 1.05]),
        ("point_cloud_max_y", -0.5, []),
        ("point_cloud_min_z", 1.4, [0.05]),
        ("point_cloud_max_z", 1.4, [-1.05, 0.05, 1.05]),
    ],
)
def test_points_outside_the_crop_do_nothing(stage, name: str, limit: float, kept: Any) -> None:
    points = [(-1.05, 0.05, 0.05), (0.05, 0.05, 0.55), (1.05, 0.05, 0.05), (0.05, 0.05, -0.45)]
    node = mapper(stage, source="cloud")
    lidar = Lidar(stage, node, at=(0, 0, 1.0))
    change(node, **{name: limit})
    lidar.see(1.0, points)
    expected = sorted(kept)
    assert sorted(np.round(occupied(node)[:, 0], 2).tolist()) == pytest.approx(expected)


def test_the_crop_cuts_depth_images_too(stage) -> None:
    node = mapper(stage)
    robot = Robot(stage, node)
    robot.stand()
    change(node, point_cloud_min_z=0.6)
    robot.see(1.0)
    assert occupied(node)[:, 2].min() > 0.6
    change(node, point_cloud_min_z=-100.0)
    robot.see(2.0)
    assert occupied(node)[:, 2].min() < 0.4


def floor_and_post(count: int = 3000) -> np.ndarray:
    """A floor at z = -1 below the sensor, with noise, and a post that stands on it."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(-3, 3, (count, 2))
    floor = np.column_stack([xy, -1.0 + rng.normal(0, 0.01, count)])
    post = np.column_stack([np.full(60, 1.55), np.full(60, 0.55), np.linspace(-0.75, 0.4, 60)])
    return np.concatenate([floor, post]).astype(np.float32)


def test_the_ground_clears_and_marks_nothing(stage) -> None:
    node = mapper(stage, source="cloud", filter_ground_plane=True)
    lidar = Lidar(stage, node, at=(0, 0, 1.0))
    lidar.tf_static.publish(
        TFMessage(transforms=[edge("base_footprint", "lidar", 0.0, (0, 0, 1.0))])
    )
    lidar.tf_static.publish(
        TFMessage(
            transforms=[
                edge("map", "base_footprint", 0.0, (0, 0, 0)),
                edge("base_footprint", "lidar", 0.0, (0, 0, 1.0)),
            ]
        )
    )
    stage.until(lambda: "base_footprint" in node.transforms.frames())
    lidar.see(1.0, floor_and_post())
    assert occupied(node)[:, 2].min() > 0.15
    assert len(occupied(node)) >= 11
    cleared = free(node)
    assert np.count_nonzero(cleared.log_odds < 0) > 1000
    change(node, filter_ground_plane=False)
    lidar.see(2.0, floor_and_post())
    assert np.count_nonzero(np.abs(occupied(node)[:, 2]) < 0.1) > 500


def test_each_ground_filter_parameter_works_while_it_runs(stage) -> None:
    node = mapper(stage, source="cloud", filter_ground_plane=True, base_frame_id="lidar")
    lidar = Lidar(stage, node)
    rng = np.random.default_rng(1)
    xy = rng.uniform(-3, 3, (2000, 2))
    rough = np.column_stack([xy, 0.05 + rng.normal(0, 0.03, 2000)]).astype(np.float32)

    stamps = itertools.count(1.0)

    def marked() -> int:
        node.worker.call(node.component.occupancy.reset).result(30.0)
        lidar.see(next(stamps), rough)
        return len(occupied(node))

    usual = marked()
    change(node, **{"ground_filter.distance": 0.15})
    assert marked() < usual / 5
    change(node, **{"ground_filter.plane_distance": 0.01})
    assert marked() > usual
    change(node, **{"ground_filter.plane_distance": 0.07, "ground_filter.angle": 0.0})
    assert marked() > usual / 2


def test_the_ground_is_found_in_depth_images(stage) -> None:
    node = mapper(stage, filter_ground_plane=True, base_frame_id="base", transform_timeout=5.0)
    robot = Robot(stage, node)
    robot.stand()
    robot.tf_static.publish(
        TFMessage(
            transforms=[
                edge("map", "base", 0.0, (1.0, 2.0, 0.0)),
                edge("base", "camera", 0.0, (0.0, 0.0, 0.5), OPTICAL),
            ]
        )
    )
    rows = (np.arange(HEIGHT) - HEIGHT / 2) / 60.0
    with np.errstate(divide="ignore"):
        floor = np.where(rows > 0.2, 0.5 / rows, 2.0)
    depth = np.tile(floor[:, None], (1, WIDTH)).astype(np.float32)
    robot.depth.publish(encode.image(header(1.0), depth))
    assert stage.settled(node, 1).processed == 1
    assert occupied(node)[:, 0] == pytest.approx(3.05, abs=0.06)  # the wall behind the floor
    change(node, filter_ground_plane=False)
    robot.depth.publish(encode.image(header(2.0), depth))
    stage.settled(node, 2)
    assert np.count_nonzero(occupied(node)[:, 0] < 2.9) > 50


def test_no_transform_to_the_base_is_a_counted_drop(stage) -> None:
    node = mapper(stage, source="cloud", filter_ground_plane=True, transform_timeout=0.05)
    lidar = Lidar(stage, node)
    lidar.clouds.publish(encode.point_cloud(header(1.0, "lidar"), floor_and_post()))
    assert stage.settled(node, 1).dropped == {"no_transform": 1}
    assert len(occupied(node)) == 0


# --- time


@pytest.mark.parametrize("policy", ["keep", "reset"])
def test_time_going_back_keeps_or_resets_the_map(stage, policy: str) -> None:
    node = mapper(stage, time_jump=policy)
    robot = Robot(stage, node)
    robot.stand()
    for loop in range(3):
        for seconds, depth in ((10.0, 2.0), (11.0, 1.0), (12.0, 1.0)):
            robot.see(seconds, depth)
            walls = np.unique(np.round(occupied(node)[:, 0] - CAMERA[0])).tolist()
            if policy == "reset" or loop == 0:
                assert walls == ([2.0] if seconds == 10.0 else [1.0, 2.0])


def test_stale_obstacles_fade_in_message_time(stage) -> None:
    node = mapper(
        stage, source="cloud", **{"decay.after": 2.0, "decay.rate": 10.0, "publish_rate": 0.01}
    )
    lidar = Lidar(stage, node)
    lidar.see(1.0, [(1.05, 0.05, 0.05)])
    lidar.see(2.5, [(-1.05, 0.05, 0.05)])
    assert len(occupied(node)) == 2
    lidar.see(5.0, [(-1.05, 0.05, 0.05)])
    assert occupied(node)[:, 0] == pytest.approx([-1.05])
    change(node, **{"decay.after": 0.0})
    lidar.see(50.0, [(1.05, 0.05, 0.05)])
    assert len(occupied(node)) == 2


def test_a_local_window_keeps_memory_bounded_over_100_metres(stage) -> None:
    node = mapper(stage, source="cloud", local_window=6.0, transform_timeout=10.0)
    lidar = Lidar(stage, node)
    lidar.frame = "rover"
    tf = stage.speak(TFMessage, "tf")
    rng = np.random.default_rng(0)
    cloud = (rng.normal(0, 1, (400, 3)) * 1.5).astype(np.float32)
    sizes = []
    for metre in range(0, 101, 2):
        place = edge("map", "rover", 1.0 + metre, (metre, 0.0, 0.0))
        tf.publish(TFMessage(transforms=[place]))
        lidar.see(1.0 + metre, cloud)
        sizes.append(node.component.occupancy.statistics().memory_bytes)
    assert max(sizes[5:]) < 1.5 * max(sizes[:5])
    centers = occupied(node)
    assert np.abs(centers[:, 0] - 100.0).max() < 3.0 + 8 * RESOLUTION
    assert len(centers) > 50
    change(node, local_window=0.0)
    lidar.see(101.0, cloud + np.float32([30, 0, 0]))
    assert occupied(node)[:, 0].max() > 110.0


# --- silence


def test_a_missing_publisher_is_named(stage) -> None:
    node = mapper(stage, silence_timeout=0.2)
    doctor = Doctor(stage, node)
    text = doctor.hears("nothing heard")
    assert text.startswith(f"{stage.namespace}/depth/image: nothing heard for ")
    assert text.endswith("(0 publishers)")


def test_a_missing_transform_is_named_with_the_frames_seen(stage) -> None:
    node = mapper(stage, frame_id="odom", silence_timeout=0.2, transform_timeout=0.0)
    doctor = Doctor(stage, node)
    robot = Robot(stage, node)
    robot.info.publish(camera_info())
    robot.tf_static.publish(TFMessage(transforms=[edge("base_link", "arm", 0.0, (0, 0, 1))]))
    stage.until(lambda: len(node.transforms.frames()) == 2)

    def told() -> bool:
        robot.depth.publish(wall(1.0))
        texts = [s.message for array in doctor.heard for s in array.status]
        return any("no transform" in text for text in texts)

    stage.until(told)
    text = doctor.hears("no transform odom <- camera for ")
    assert text.endswith("s; frames seen: arm, base_link")
    robot.tf_static.publish(TFMessage(transforms=[edge("odom", "camera", 0.0, CAMERA, OPTICAL)]))
    stage.until(lambda: "odom" in node.transforms.frames())
    heard = len(doctor.heard)

    def mended() -> bool:
        robot.depth.publish(wall(2.0))
        recent = [s.message for array in doctor.heard[heard:] for s in array.status]
        return any("processed" in text for text in recent)

    stage.until(mended)


def test_a_missing_camera_info_is_named(stage) -> None:
    node = mapper(stage, cameras=["front"], silence_timeout=0.2, transform_timeout=0.0)
    doctor = Doctor(stage, node)
    depth = stage.speak(Image, "front/depth/image")

    def told() -> bool:
        depth.publish(wall(1.0))
        return any("camera_info" in s.message for array in doctor.heard for s in array.status)

    stage.until(told)
    text = doctor.hears("no camera_info came")
    assert f"{stage.namespace}/front/depth/camera_info (0 publishers)" in text


def test_a_publisher_whose_qos_does_not_match_is_named(stage) -> None:
    override = f"qos_overrides.{stage.namespace}/cloud_in.subscription.reliability"
    node = mapper(stage, "-p", f"{override}:=reliable", source="cloud", silence_timeout=0.2)
    doctor = Doctor(stage, node)
    qos = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )
    stage.probe.create_publisher(PointCloud2, "cloud_in", qos)
    text = doctor.hears("incompatible QoS")
    assert f"{stage.namespace}/probe offers an incompatible QoS" in text
    assert "(1 publishers)" in text


def test_only_the_silent_camera_is_named(stage) -> None:
    node = mapper(stage, cameras=["front", "rear"], silence_timeout=0.4)
    doctor = Doctor(stage, node)
    front = Robot(stage, node, "front/", "front")
    front.stand()

    def told() -> bool:
        front.depth.publish(wall(1.0, frame_id="front"))
        return any("nothing heard" in s.message for array in doctor.heard for s in array.status)

    stage.until(told)
    text = doctor.hears("rear/depth/image: nothing heard")
    assert "front/depth/image" not in text
