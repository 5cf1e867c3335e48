"""The mapper node with masks: classes of the wall that a depth camera sees, on every topic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import BoundingBoxQuery
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header
from std_srvs.srv import Empty
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import LabelInfo
from visualization_msgs.msg import Marker, MarkerArray

from cnn_perception.components.mapper import MapperComponent
from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.mapping.files.color_codec import decode_color
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.semantic.class_colors import class_colors
from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import LATCHED, TRANSFORM_STATIC
from cnn_perception.runtime.bundle import load_bundle

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
RESOLUTION = 0.1
# The camera at (1, 2, 0.5) of the map looks along +x (REP-103); the wall is two metres away.
OPTICAL, CAMERA, WALL_Z = (-0.5, 0.5, -0.5, 0.5), (1.0, 2.0, 0.5), 2.04
LABELS = ("background", "wall", "door", "person")
TOPICS = {
    "semantic_cells_vis_array": MarkerArray,
    "semantic_point_cloud": PointCloud2,
    "color_octomap": Octomap,
}


def header(milliseconds: int, frame_id: str = "camera") -> Header:
    message = Header(frame_id=frame_id)
    message.stamp.sec, rest = divmod(milliseconds, 1000)
    message.stamp.nanosec = rest * 1_000_000
    return message


def wall(milliseconds: int, depth_m: float = WALL_Z) -> Image:
    message = encode.image(
        header(milliseconds), np.full((HEIGHT, WIDTH), round(depth_m * 1000), np.uint16)
    )
    message.encoding = "16UC1"
    return message


def halves(
    milliseconds: int, left: int = 1, right: int = 2, scale: int = 1, dtype: Any = np.uint8
) -> Image:
    """A mask of two classes side by side, in a size of its own."""
    row = np.where(np.arange(WIDTH * scale) < WIDTH * scale / 2, left, right).astype(dtype)
    return encode.image(header(milliseconds), np.tile(row, (HEIGHT * scale, 1)))


def camera_info() -> CameraInfo:
    k = [FOCAL, 0.0, WIDTH / 2, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 1.0]
    return CameraInfo(header=header(0), width=WIDTH, height=HEIGHT, k=k)


class Robot:
    """A mapper and publishers of everything that it needs."""

    def __init__(self, stage: Any, labels: tuple[str, ...] | None = LABELS, **settings: Any):
        self.stage = stage
        self.node = stage.running(
            MapperComponent,
            "mapper",
            *("-r", f"/tf:={stage.namespace}/tf"),
            *("-r", f"/tf_static:={stage.namespace}/tf_static"),
            **{
                "semantics.enabled": True,
                "resolution": RESOLUTION,
                "publish_rate": 20.0,
                **settings,
            },
        )
        self.depth = stage.speak(Image, "depth/image")
        kind, topic = Image, "mask"
        if settings.get("semantics.transport") == "compressed":
            kind, topic = CompressedImage, "mask/compressed"
        self.mask = stage.speak(kind, topic)
        self.info = stage.speak(CameraInfo, "depth/camera_info")
        self.tf_static = stage.speak(TFMessage, "tf_static", TRANSFORM_STATIC)
        self.diagnostics = stage.hear(DiagnosticArray, "/diagnostics")
        edge = TransformStamped(header=header(0, "map"), child_frame_id="camera")
        t, r = edge.transform.translation, edge.transform.rotation
        t.x, t.y, t.z = CAMERA
        r.x, r.y, r.z, r.w = OPTICAL
        self.tf_static.publish(TFMessage(transforms=[edge]))
        self.info.publish(camera_info())
        if labels is not None:
            self.labels = stage.speak(LabelInfo, "label_info", LATCHED)
            self.labels.publish(encode.label_info(labels, 0.0))
            stage.until(lambda: self.semantics.map.layer.labels)

    @property
    def semantics(self) -> Any:
        return self.node.component.classes

    def statistics(self) -> dict[str, str]:
        """What diagnostics say of masks."""
        told = self.node.worker.call(self.semantics.describe).result(30.0)
        dropped = {f"dropped.{k}": str(v) for k, v in told["masks_dropped"].items()}
        counts = ("received", "fused", "waiting")
        return {**{name: str(told[f"masks_{name}"]) for name in counts}, **dropped}

    def show(self, milliseconds: int, mask: Image | CompressedImage | None = None) -> None:
        """Publish a depth image and its mask, and wait until both are known."""
        before = int(self.statistics()["received"])
        self.depth.publish(wall(milliseconds))
        self.mask.publish(mask if mask is not None else halves(milliseconds))
        self.stage.until(lambda: self._settled(self.statistics(), before))

    @staticmethod
    def _settled(statistics: dict[str, str], before: int) -> bool:
        return int(statistics["received"]) > before and statistics["waiting"] == "0"


def points_of(cloud: PointCloud2) -> np.ndarray[Any, Any]:
    """Read the cloud by its own description."""
    formats = {PointField.FLOAT32: "<f4", PointField.UINT32: "<u4"}
    kind = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [formats[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    assert len(cloud.data) == cloud.row_step == cloud.width * cloud.point_step
    return np.frombuffer(bytes(cloud.data), kind)


def test_a_wall_has_its_classes_on_every_topic(stage) -> None:
    robot = Robot(stage)
    heard = {name: stage.hear(kind, name, LATCHED) for name, kind in TOPICS.items()}
    names = stage.hear(LabelInfo, "mapper/label_info", LATCHED)
    stage.linked(robot.node, *heard)
    robot.show(3000)
    stage.until(lambda: all(messages and sizes(messages[-1]) for messages in heard.values()))
    stage.until(lambda: names)
    assert [(c.class_id, c.class_name) for c in names[-1].class_map] == list(enumerate(LABELS))
    colors = class_colors(dict(enumerate(LABELS)))

    cloud = heard["semantic_point_cloud"][-1]
    assert cloud.header == header(3000, "map")
    points = points_of(cloud)
    assert points.dtype.names == ("x", "y", "z", "rgb", "label", "confidence")
    assert [f.datatype for f in cloud.fields] == [7, 7, 7, 7, 6, 7]
    assert len(points) > 100
    assert np.abs(points["x"] - (CAMERA[0] + WALL_Z)).max() <= RESOLUTION
    # The camera looks along x, so left in the image is greater y.
    np.testing.assert_array_equal(points["label"], np.where(points["y"] > CAMERA[1], 1, 2))
    aside = np.abs(points["y"] - CAMERA[1])
    inner = (aside > RESOLUTION) & (aside < 0.7)  # between the classes' and the image's edges
    assert points["confidence"][inner] == pytest.approx((1 + 1 / 3) / 2, abs=1e-6)
    rgb = points["rgb"].view(np.uint32)
    red, green, blue = colors[2].astype(int)
    assert set(rgb[points["label"] == 2]) == {(red << 16) | (green << 8) | blue}

    markers = {m.ns: m for m in heard["semantic_cells_vis_array"][-1].markers}
    assert set(markers) == {"wall", "door", "person"}
    assert markers["person"].action == Marker.DELETE
    for class_id, name in ((1, "wall"), (2, "door")):
        marker = markers[name]
        assert (marker.action, marker.type) == (Marker.ADD, Marker.CUBE_LIST)
        assert marker.scale.x == RESOLUTION
        assert len(marker.points) == (points["label"] == class_id).sum()
        shade = np.array([marker.color.r, marker.color.g, marker.color.b]) * 255
        assert np.round(shade).tolist() == colors[class_id].tolist()

    octomap = heard["color_octomap"][-1]
    assert (octomap.id, octomap.binary, octomap.header) == (
        "ColorOcTree",
        False,
        header(3000, "map"),
    )
    tree = decode_color(np.array(octomap.data, np.int8).tobytes())
    shown = {tuple(color) for color in tree.colors[tree.leaves.occupied].tolist()}
    assert shown == {tuple(colors[1].tolist()), tuple(colors[2].tolist())}
    assert (tree.colors[~tree.leaves.occupied] == 255).all()
    assert volume(tree.leaves.select(tree.leaves.occupied)) == len(points)


def sizes(message: Any) -> int:
    """Return whether a message shows any class."""
    if isinstance(message, MarkerArray):
        return sum(len(marker.points) for marker in message.markers)
    if isinstance(message, PointCloud2):
        return message.width
    tree = decode_color(np.array(message.data, np.int8).tobytes())
    return int((tree.colors != 255).any())


def volume(leaves: Leaves) -> int:
    return int((leaves.spans**3).sum())


@pytest.mark.parametrize(
    ("scale", "dtype"), [(2, np.uint8), (1, np.uint16)], ids=["twice as large", "mono16"]
)
def test_masks_of_another_size_and_type(stage, scale, dtype) -> None:
    robot = Robot(stage)
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    robot.show(1000, halves(1000, scale=scale, dtype=dtype))
    points = points_of(stage.until(lambda: heard and heard[-1].width and heard[-1]))
    np.testing.assert_array_equal(points["label"], np.where(points["y"] > CAMERA[1], 1, 2))


def test_masks_may_be_compressed_without_loss(stage) -> None:
    robot = Robot(stage, **{"semantics.transport": "compressed"})
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    labels = np.tile(np.where(np.arange(WIDTH) < WIDTH / 2, 1, 2).astype(np.uint8), (HEIGHT, 1))
    robot.show(1000, CompressedImage(header=header(1000), format="png", data=encode_png(labels)))
    points = points_of(stage.until(lambda: heard and heard[-1].width and heard[-1]))
    np.testing.assert_array_equal(points["label"], np.where(points["y"] > CAMERA[1], 1, 2))
    robot.show(1100, CompressedImage(header=header(1100), format="jpeg", data=encode_jpeg(labels)))
    assert robot.statistics()["dropped.unknown_encoding"] == "1"


def test_the_map_does_not_wait_for_masks(stage) -> None:
    robot = Robot(stage)
    for k in range(3):
        robot.depth.publish(wall(1000 + 100 * k))
        assert stage.settled(robot.node, k + 1).processed == k + 1
    assert robot.statistics()["received"] == "0"
    robot.mask.publish(halves(1100))  # late, but its depth image is remembered
    stage.until(lambda: robot.statistics()["fused"] == "1")
    assert robot.semantics.describe()["classified_cells"] > 100


def test_a_mask_may_come_before_its_depth_image(stage) -> None:
    robot = Robot(stage)
    robot.mask.publish(halves(1000))
    stage.until(lambda: robot.statistics()["waiting"] == "1")
    robot.depth.publish(wall(1000))
    stage.until(lambda: robot.statistics()["fused"] == "1")


def test_masks_without_a_partner_are_counted_in_diagnostics(stage) -> None:
    robot = Robot(stage)
    for k in range(1, 41):
        robot.mask.publish(halves(100 * k))
        stage.until(lambda k=k: robot.statistics()["received"] == str(k))
    statistics = robot.statistics()
    assert statistics == {"received": "40", "fused": "0", "waiting": "30", "dropped.unpaired": "10"}
    stage.until(
        lambda: any(
            (value.key, value.value) == ("masks_dropped.unpaired", "10")
            for message in robot.diagnostics
            for status in message.status
            for value in status.values
        )
    )


def test_loops_of_a_recording_go_on_to_be_fused(stage) -> None:
    robot = Robot(stage)
    for loop in range(3):
        for milliseconds in (1000, 1100, 5000):
            robot.show(milliseconds)
        assert robot.statistics()["fused"] == str(3 * (loop + 1))
    assert robot.statistics()["received"] == "9"


def test_conflicting_masks_settle_on_the_more_frequent_class(stage) -> None:
    robot = Robot(stage)
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    robot.show(1000, halves(1000, left=1, right=1))
    robot.show(1100, halves(1100, left=3, right=3))
    robot.show(1200, halves(1200, left=3, right=3))
    points = points_of(
        stage.until(lambda: heard and heard[-1].header.stamp.nanosec == 200_000_000 and heard[-1])
    )
    stage.until(lambda: set(points_of(heard[-1])["label"].tolist()) == {3})
    assert points_of(heard[-1])["confidence"] == pytest.approx((2 + 1 / 3) / 4, abs=1e-6)
    assert len(points) == len(points_of(heard[-1]))


def test_class_ids_without_a_name_are_not_mapped(stage) -> None:
    robot = Robot(stage)
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    robot.show(1000, halves(1000, left=77, right=2))
    points = points_of(stage.until(lambda: heard and heard[-1].width and heard[-1]))
    assert set(points["label"].tolist()) == {2}
    assert points["y"].max() < CAMERA[1] + RESOLUTION


def test_masks_without_label_info_need_names_from_the_parameters(stage) -> None:
    robot = Robot(stage, labels=None)
    robot.show(1000)
    assert robot.statistics()["dropped.no_labels"] == "1"


def test_names_can_be_parameters(stage) -> None:
    robot = Robot(stage, labels=None, **{"semantics.labels": list(LABELS)})
    robot.show(1000)
    assert robot.statistics()["fused"] == "1"
    names = stage.hear(LabelInfo, "mapper/label_info", LATCHED)
    stage.until(lambda: names)
    assert len(names[0].class_map) == 4


def test_colors_can_be_those_of_a_bundle(stage) -> None:
    labels = ("background", "floor", "wall")
    robot = Robot(stage, labels=labels, **{"semantics.palette": "rooms_fcn"})
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    robot.show(1000)
    points = points_of(stage.until(lambda: heard and heard[-1].width and heard[-1]))
    palette = load_bundle("rooms_fcn").palette
    assert palette is not None
    red, green, blue = palette[2].astype(int)
    assert set(points["rgb"][points["label"] == 2].view(np.uint32)) == {
        (red << 16) | (green << 8) | blue
    }


def test_reset_and_cleared_boxes_lose_their_classes(stage) -> None:
    robot = Robot(stage)
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    robot.show(1000, halves(1000, left=1, right=1))
    stage.until(lambda: heard and heard[-1].width)
    request = BoundingBoxQuery.Request()
    request.min.x, request.min.y, request.min.z = 0.0, 2.05, -5.0
    request.max.x, request.max.y, request.max.z = 9.0, 9.0, 5.0
    stage.call(BoundingBoxQuery, "mapper/clear_bbox", request)
    stage.until(lambda: points_of(heard[-1])["y"].max() < 2.05)
    assert heard[-1].width > 50
    stage.call(Empty, "mapper/reset", Empty.Request())
    stage.until(lambda: heard[-1].width == 0)
    robot.show(2000, halves(2000, left=2, right=2))
    stage.until(lambda: heard[-1].width)
    assert set(points_of(heard[-1])["label"].tolist()) == {2}
    assert points_of(heard[-1])["confidence"].max() == pytest.approx((1 + 1 / 3) / 2, abs=1e-6)


def test_heights_that_are_not_published_have_no_classes(stage) -> None:
    robot = Robot(stage, occupancy_max_z=0.5)
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    robot.show(1000)
    points = points_of(stage.until(lambda: heard and heard[-1].width and heard[-1]))
    assert points["z"].max() < 0.5
    assert robot.semantics.describe()["classified_cells"] > 1.5 * len(points)


def test_each_camera_has_masks_of_its_own(stage) -> None:
    robot = Robot(stage, cameras=["", "rear"])
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    depth, mask = stage.speak(Image, "rear/depth/image"), stage.speak(Image, "rear/mask")
    stage.speak(CameraInfo, "rear/depth/camera_info").publish(camera_info())
    robot.show(1000, halves(1000, left=1, right=1))
    # Equal stamps, another wall: the masks must not be mixed up.
    depth.publish(wall(1000, depth_m=1.04))
    mask.publish(halves(1000, left=3, right=3))
    stage.until(lambda: robot.statistics()["fused"] == "2")
    points = points_of(
        stage.until(lambda: heard and 3 in points_of(heard[-1])["label"] and heard[-1])
    )
    np.testing.assert_array_equal(points["label"], np.where(points["x"] > CAMERA[0] + 1.5, 1, 3))


def test_the_least_confidence_changes_live(stage) -> None:
    robot = Robot(stage)
    heard = stage.hear(PointCloud2, "semantic_point_cloud", LATCHED)
    robot.show(1000)
    stage.until(lambda: heard and heard[-1].width)
    (result,) = robot.node.set_parameters([Parameter("semantics.min_confidence", value=0.9)])
    assert result.successful
    stage.until(lambda: heard[-1].width == 0)


def test_clouds_cannot_have_masks(stage) -> None:
    node = stage.node(MapperComponent, "mapper", **{"semantics.enabled": True, "source": "cloud"})
    assert not node.start()


def test_without_the_parameter_there_are_no_such_topics(stage) -> None:
    robot_topics = {
        p.topic_name.rpartition("/")[2]
        for p in stage.running(MapperComponent, "mapper", resolution=RESOLUTION).publishers
    }
    assert "octomap_binary" in robot_topics
    assert not robot_topics & set(TOPICS)


def test_octomap_full_has_colors_if_that_is_asked_for(stage) -> None:
    robot = Robot(stage)
    robot.show(3000)
    heard = stage.hear(Octomap, "octomap_full", LATCHED)
    stage.until(lambda: heard)
    assert heard[-1].id == "OcTree"
    assert robot.node.set_parameters([Parameter("colored_map", value=True)])[0].successful
    stage.until(lambda: heard[-1].id == "ColorOcTree")
    colored = decode_color(bytes(np.array(heard[-1].data, np.int8)))
    red, green, blue = class_colors(dict(enumerate(LABELS)))[2].tolist()
    assert [red, green, blue] in colored.colors.tolist()


def test_colors_without_classes_are_refused(stage) -> None:
    node = stage.running(MapperComponent, "mapper")
    [result] = node.set_parameters([Parameter("colored_map", value=True)])
    assert not result.successful
    assert "colored_map needs semantics.enabled" in result.reason
