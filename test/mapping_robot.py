"""A robot with depth cameras for the tests of the mapper node: a wall straight ahead."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from cnn_perception.components.mapper import MapperComponent
from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import TRANSFORM_STATIC

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
RESOLUTION = 0.1
# map from camera_optical_frame: the camera at (1, 2, 0.5) looks along +x (REP-103).
OPTICAL = (-0.5, 0.5, -0.5, 0.5)
CAMERA = (1.0, 2.0, 0.5)
WALL_Z = 2.0


def header(seconds: float, frame_id: str = "camera") -> Header:
    message = Header(frame_id=frame_id)
    message.stamp.sec, message.stamp.nanosec = int(seconds), round(seconds % 1 * 1e9)
    return message


def edge(parent: str, child: str, seconds: float, xyz: Any, xyzw: Any = (0, 0, 0, 1)) -> Any:
    message = TransformStamped(header=header(seconds, parent), child_frame_id=child)
    t, r = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = (float(v) for v in xyz)
    r.x, r.y, r.z, r.w = (float(v) for v in xyzw)
    return message


def wall(seconds: float, depth_m: float = WALL_Z, frame_id: str = "camera") -> Image:
    """A depth image of a wall straight ahead."""
    depth = np.full((HEIGHT, WIDTH), round(depth_m * 1000), np.uint16)
    message = encode.image(header(seconds, frame_id), depth)
    message.encoding = "16UC1"
    return message


def camera_info(
    seconds: float = 0.0, width: int = WIDTH, height: int = HEIGHT, frame_id: str = "camera"
) -> CameraInfo:
    message = CameraInfo(header=header(seconds, frame_id), width=width, height=height)
    message.k = [FOCAL, 0.0, width / 2, 0.0, FOCAL, height / 2, 0.0, 0.0, 1.0]
    return message


class Robot:
    """A depth camera: publishers of everything that a mapper needs of it."""

    def __init__(self, stage: Any, node: Any, prefix: str = "", frame: str = "camera") -> None:
        self.stage, self.node, self.frame = stage, node, frame
        self.depth = stage.speak(Image, f"{prefix}depth/image")
        self.info = stage.speak(CameraInfo, f"{prefix}depth/camera_info")
        self.tf = stage.speak(TFMessage, "tf")
        self.tf_static = stage.speak(TFMessage, "tf_static", TRANSFORM_STATIC)

    def stand(self, info: CameraInfo | None = None, at: Any = CAMERA) -> None:
        """Say once and for all where the camera is, and how it is made."""
        place = edge("map", self.frame, 0.0, at, OPTICAL)
        self.tf_static.publish(TFMessage(transforms=[place]))
        self.info.publish(info or camera_info(frame_id=self.frame))

    def see(self, seconds: float, depth_m: float = WALL_Z) -> None:
        """Show the mapper a wall and wait until it is in the map."""
        before = self.node.statistics.snapshot().received
        self.depth.publish(wall(seconds, depth_m, self.frame))
        snapshot = self.stage.settled(self.node, before + 1)
        assert not snapshot.dropped, snapshot.dropped


def mapper(stage: Any, *arguments: str, **parameters: Any) -> Any:
    """Start a mapper that hears transforms of this test alone."""
    remaps = ("-r", f"/tf:={stage.namespace}/tf", "-r", f"/tf_static:={stage.namespace}/tf_static")
    return stage.running(
        MapperComponent,
        "mapper",
        *remaps,
        *arguments,
        **{"resolution": RESOLUTION, "publish_rate": 20.0, **parameters},
    )


def change(node: Any, **values: Any) -> None:
    """Change parameters, which must be accepted, and wait until they are in force."""
    results = node.set_parameters([Parameter(key, value=value) for key, value in values.items()])
    assert all(result.successful for result in results), results
    node.worker.call(lambda: None).result(30.0)


class Lidar:
    """A point cloud sensor at a place of the map, its axes those of the map."""

    def __init__(self, stage: Any, node: Any, prefix: str = "", at: Any = (0, 0, 0)) -> None:
        self.stage, self.node = stage, node
        self.frame = f"{prefix.rstrip('/')}lidar"
        self.clouds = stage.speak(PointCloud2, f"{prefix}cloud_in")
        self.tf_static = stage.speak(TFMessage, "tf_static", TRANSFORM_STATIC)
        self.tf_static.publish(TFMessage(transforms=[edge("map", self.frame, 0.0, at)]))

    def see(self, seconds: float, points: Any) -> None:
        """Show the mapper points, (N, 3), and wait until they are in the map."""
        before = self.node.statistics.snapshot().received
        cloud = np.array(points, np.float32).reshape(-1, 3)
        self.clouds.publish(encode.point_cloud(header(seconds, self.frame), cloud))
        snapshot = self.stage.settled(self.node, before + 1)
        assert not snapshot.dropped, snapshot.dropped
