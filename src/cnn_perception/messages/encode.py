"""The package's own types as ROS messages, written once for rclpy's and for rosbags' objects.

What differs between the two libraries, making a message and filling its arrays, is behind
`MessageFactory`. `ros.encode.encode` and `recording.compose.encode` are the encoders to use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cnn_perception.image.codec import image_bytes
from cnn_perception.messages.stamps import ns_to_stamp
from cnn_perception.types import (
    Boxes3D,
    CameraIntrinsics,
    Detections,
    ExplainedAnswer,
    Float32Array,
    Float64Array,
    GridMap2D,
    Header,
    StampedTransform,
)

__all__ = ["CubeList", "Encoder", "MessageFactory"]

# Constants of visualization_msgs/Marker and sensor_msgs/PointField.
_CUBE = 1
_CUBE_LIST = 6
_DELETE = 2
_TEXT_VIEW_FACING = 9
_DELETE_ALL = 3
_FLOAT32 = 7
_XYZ = np.dtype([(axis, "<f4") for axis in "xyz"])
_DATATYPES = {"label": 6}
"""Types of fields that are not float32."""


@dataclass(frozen=True, slots=True, eq=False)
class CubeList:
    """Cubes of one size: centers float64 (N, 3), edge in metres; one color, or one for each.

    color: RGBA in [0, 1]; colors: float32 (N, 4) or None. Viewers show and hide by namespace.
    """

    centers: Float64Array
    edge: float
    color: tuple[float, float, float, float]
    colors: Float32Array | None = None
    namespace: str = "map"


class MessageFactory(Protocol):
    """How one library makes messages."""

    def message(self, msgtype: str, /, **fields: Any) -> Any:
        """Return a new message, `msgtype` as in ``sensor_msgs/msg/Image``.

        Fields that are not given, nested ones too, have the defaults of the message's definition
        and belong to this message alone.
        """

    def sequence(self, values: NDArray[Any]) -> Any:
        """Return numbers as the library keeps a field of variable length.

        values: (N,), contiguous, of the field's own type in native byte order. The result may share
        their memory. Fields of fixed length are numpy arrays in both libraries.
        """


class Encoder:
    """Makes messages of the package's types with one library's objects.

    A `header` is that library's own std_msgs/Header and becomes part of the message untouched;
    `header` makes one, `message` any message. Arrays may share the memory of what they were made
    from, so a message is for sending or writing at once.
    """

    def __init__(self, factory: MessageFactory) -> None:
        self.message = self._message = factory.message
        self._sequence = factory.sequence

    def header(self, source: Header) -> Any:
        """Return a std_msgs/Header."""
        message = self._message("std_msgs/msg/Header", frame_id=source.frame_id)
        message.stamp.sec, message.stamp.nanosec = ns_to_stamp(source.stamp_ns)
        return message

    def image(self, header: Any, pixels: NDArray[np.generic]) -> Any:
        """Return a sensor_msgs/Image of pixels as `image.codec.image_bytes` takes them.

        They are uint8 (H, W, 3) RGB, (H, W, 4) RGBA or (H, W), uint16 (H, W) or float32 (H, W).
        Raises ConfigError for others.
        """
        encoding, step, contiguous = image_bytes(pixels)
        height, width = pixels.shape[:2]
        message = self._message(
            "sensor_msgs/msg/Image",
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            step=step,
        )
        # Not above: what rclpy's constructor is given as an array, it copies.
        message.data = self._sequence(contiguous.reshape(-1).view(np.uint8))
        return message

    def depth_image(self, header: Any, depth: NDArray[np.uint16] | Float32Array) -> Any:
        """Return a sensor_msgs/Image of distances (REP-118): 16UC1 or 32FC1.

        depth: uint16 (H, W) millimetres with 0 for none, or float32 (H, W) metres with NaN. Raises
        ConfigError as `image`.
        """
        message = self.image(header, depth)
        if message.encoding == "mono16":
            message.encoding = "16UC1"
        return message

    def compressed_image(self, header: Any, data: bytes, image_format: str) -> Any:
        """Return an encoded picture as a sensor_msgs/CompressedImage."""
        message = self._message(
            "sensor_msgs/msg/CompressedImage", header=header, format=image_format
        )
        message.data = self._sequence(np.frombuffer(data, np.uint8))
        return message

    def camera_info(self, header: Any, camera: CameraIntrinsics) -> Any:
        """Return the sensor_msgs/CameraInfo of a rectified camera."""
        k = np.array([camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0])
        return self._message(
            "sensor_msgs/msg/CameraInfo",
            header=header,
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=self._sequence(np.zeros(5)),
            k=k,
            r=np.eye(3).ravel(),
            p=np.insert(k, (3, 6, 9), 0.0),
        )

    def transforms(self, *edges: StampedTransform) -> Any:
        """Return a tf2_msgs/TFMessage."""
        return self._message(
            "tf2_msgs/msg/TFMessage", transforms=[self._transform(edge) for edge in edges]
        )

    def point_cloud(self, header: Any, points: Float32Array | NDArray[np.void]) -> Any:
        """Return an unorganised sensor_msgs/PointCloud2.

        points: float32 (N, 3), metres, or (N,) records whose fields have four bytes each.
        """
        if points.dtype.names is None:
            points = np.ascontiguousarray(points, "<f4").view(_XYZ).reshape(-1)
        names, step = points.dtype.names or (), points.dtype.itemsize
        message = self._message(
            "sensor_msgs/msg/PointCloud2",
            header=header,
            height=1,
            width=len(points),
            fields=[
                self._message(
                    "sensor_msgs/msg/PointField",
                    name=name,
                    offset=4 * i,
                    datatype=_DATATYPES.get(name, _FLOAT32),
                    count=1,
                )
                for i, name in enumerate(names)
            ],
            point_step=step,
            row_step=step * len(points),
            is_dense=True,
        )
        message.data = self._sequence(np.ascontiguousarray(points).view(np.uint8).reshape(-1))
        return message

    def points(self, vectors: Float64Array) -> list[Any]:
        """Return geometry_msgs/Points of float64 (N, 3)."""
        kind = "geometry_msgs/msg/Point"
        return [self._message(kind, x=x, y=y, z=z) for x, y, z in vectors.tolist()]

    def cubes(self, header: Any, lists: Sequence[CubeList]) -> Any:
        """Return a visualization_msgs/MarkerArray, or its serialised form where that is possible.

        It has one marker for each list, in its order; an empty list deletes what was shown of it.
        """
        markers = []
        for number, cubes in enumerate(lists):
            marker = self._marker(header, cubes.namespace, number, _CUBE_LIST, np.zeros(3))
            marker.action = 0 if len(cubes.centers) else _DELETE
            marker.pose.orientation.w = 1.0
            _set_xyz(marker.scale, np.full(3, cubes.edge))
            _set_rgba(marker.color, cubes.color)
            marker.points = self.points(cubes.centers)
            if cubes.colors is not None:
                for color in cubes.colors.astype(float).tolist():
                    marker.colors.append(self._message("std_msgs/msg/ColorRGBA"))
                    _set_rgba(marker.colors[-1], color)
            markers.append(marker)
        return self._message("visualization_msgs/msg/MarkerArray", markers=markers)

    def detections_2d(
        self,
        header: Any,
        detections: Detections,
        labels: Sequence[str],
        ids: Sequence[str] | None = None,
    ) -> Any:
        """Return a vision_msgs/Detection2DArray: centre and size in pixels, labels as class ids.

        labels: by class index; ids: one for each detection, or None for empty ones.
        """
        found = [
            self._detection_2d(header, labels[class_id], score, box)
            for box, score, class_id in zip(
                detections.boxes, detections.scores, detections.class_ids, strict=True
            )
        ]
        if ids is not None:
            for detection, name in zip(found, ids, strict=True):
                detection.id = name
        return self._message("vision_msgs/msg/Detection2DArray", header=header, detections=found)

    def detections_3d(
        self, header: Any, detections: Detections, boxes: Boxes3D, labels: Sequence[str]
    ) -> Any:
        """Return a vision_msgs/Detection3DArray: boxes in metres in the optical frame.

        A detection without depth is left out.
        """
        found = []
        for i in np.flatnonzero(boxes.valid):
            hypothesis = self._hypothesis(labels[detections.class_ids[i]], detections.scores[i])
            _set_xyz(hypothesis.pose.pose.position, boxes.centers[i])
            detection = self._message(
                "vision_msgs/msg/Detection3D", header=header, results=[hypothesis]
            )
            _set_xyz(detection.bbox.center.position, boxes.centers[i])
            _set_xyz(detection.bbox.size, boxes.sizes[i])
            found.append(detection)
        return self._message("vision_msgs/msg/Detection3DArray", header=header, detections=found)

    def box_markers(
        self,
        header: Any,
        detections: Detections,
        boxes: Boxes3D,
        labels: Sequence[str],
        colors: NDArray[np.uint8],
    ) -> Any:
        """Return a visualization_msgs/MarkerArray: a translucent cube and a name for each 3D box.

        It deletes what was shown before. colors: uint8 (classes, 3) RGB.
        """
        markers = [
            self._message("visualization_msgs/msg/Marker", header=header, action=_DELETE_ALL)
        ]
        for i in np.flatnonzero(boxes.valid).tolist():
            class_id = int(detections.class_ids[i])
            center, size = boxes.centers[i], boxes.sizes[i]
            cube = self._marker(header, "boxes", i, _CUBE, center)
            _set_xyz(cube.scale, size)
            _set_rgba(cube.color, [*(colors[class_id] / 255.0).tolist(), 0.4])
            above = center - np.array([0, size[1] / 2 + 0.05, 0])
            text = self._marker(header, "labels", i, _TEXT_VIEW_FACING, above)
            text.scale.z = 0.1
            _set_rgba(text.color, [1.0, 1.0, 1.0, 1.0])
            text.text = f"{labels[class_id]} {detections.scores[i]:.2f}"
            markers += [cube, text]
        return self._message("visualization_msgs/msg/MarkerArray", markers=markers)

    def explained(
        self,
        header: Any,
        answers: Sequence[ExplainedAnswer],
        labels: Sequence[str],
        *,
        evidence: bool = False,
    ) -> Any:
        """Return what a heat map explains as a vision_msgs/Detection2DArray.

        The boxes are the answers' own, or with `evidence` the heat's; answers without are left out.
        """
        boxes = [answer.evidence if evidence else answer.box for answer in answers]
        return self._message(
            "vision_msgs/msg/Detection2DArray",
            header=header,
            detections=[
                self._detection_2d(header, labels[answer.class_id], answer.score, box)
                for answer, box in zip(answers, boxes, strict=True)
                if box is not None
            ],
        )

    def classification(
        self, header: Any, answers: Sequence[ExplainedAnswer], labels: Sequence[str]
    ) -> Any:
        """Return the classes that a heat map of a whole image explains: vision_msgs/Classification.

        Each has its label as class id.
        """
        return self._message(
            "vision_msgs/msg/Classification",
            header=header,
            results=[
                self._message(
                    "vision_msgs/msg/ObjectHypothesis",
                    class_id=labels[answer.class_id],
                    score=float(answer.score),
                )
                for answer in answers
            ],
        )

    def label_info(self, labels: Sequence[str] | Mapping[int, str], threshold: float) -> Any:
        """Return the names of class indices as a vision_msgs/LabelInfo.

        It belongs to no image: its stamp is zero.
        """
        names = labels if isinstance(labels, Mapping) else dict(enumerate(labels))
        return self._message(
            "vision_msgs/msg/LabelInfo",
            class_map=[
                self._message("vision_msgs/msg/VisionClass", class_id=i, class_name=name)
                for i, name in names.items()
            ],
            threshold=threshold,
        )

    def region(self, corners: Float32Array) -> Any:
        """Return the pixels that a box touches as a sensor_msgs/RegionOfInterest.

        corners: float32 (4,), within the image.
        """
        x, y = (int(edge) for edge in np.floor(corners[:2]))
        right, bottom = (int(edge) for edge in np.ceil(corners[2:]))
        return self._message(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=x,
            y_offset=y,
            width=right - x,
            height=bottom - y,
        )

    def octomap(
        self,
        header: Any,
        payload: bytes,
        resolution: float,
        *,
        binary: bool,
        kind: str = "OcTree",
    ) -> Any:
        """Return an octomap_msgs/Octomap of cells of `resolution` metres.

        payload: the data section of a .bt (binary) or .ot stream, without its header.
        """
        message = self._message(
            "octomap_msgs/msg/Octomap",
            header=header,
            binary=binary,
            id=kind,
            resolution=resolution,
        )
        message.data = self._sequence(np.frombuffer(payload, np.int8))
        return message

    def occupancy_grid(self, header: Any, grid: GridMap2D) -> Any:
        """Return a map seen from above as a nav_msgs/OccupancyGrid."""
        message = self._message("nav_msgs/msg/OccupancyGrid", header=header)
        info = message.info
        info.map_load_time = header.stamp
        info.resolution = float(grid.resolution)
        info.height, info.width = grid.cells.shape
        info.origin.position.x, info.origin.position.y = grid.origin
        message.data = self._sequence(np.ascontiguousarray(grid.cells, np.int8).reshape(-1))
        return message

    def _transform(self, edge: StampedTransform) -> Any:
        pose = edge.parent_from_child
        message = self._message(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(Header(edge.stamp_ns, edge.parent)),
            child_frame_id=edge.child,
        )
        _set_xyz(message.transform.translation, pose.translation)
        turn = message.transform.rotation
        turn.x, turn.y, turn.z, turn.w = pose.quaternion()
        return message

    def _detection_2d(self, header: Any, label: str, score: float, corners: Float32Array) -> Any:
        message = self._message(
            "vision_msgs/msg/Detection2D", header=header, results=[self._hypothesis(label, score)]
        )
        x_min, y_min, x_max, y_max = corners.astype(float).tolist()
        box = message.bbox
        box.size_x, box.size_y = x_max - x_min, y_max - y_min
        middle = box.center.position
        middle.x, middle.y = (x_min + x_max) / 2, (y_min + y_max) / 2
        return message

    def _hypothesis(self, label: str, score: float) -> Any:
        # Filled in place, here and above: a part given to rclpy's constructor is made twice.
        message = self._message("vision_msgs/msg/ObjectHypothesisWithPose")
        message.hypothesis.class_id, message.hypothesis.score = label, float(score)
        return message

    def _marker(
        self, header: Any, namespace: str, number: int, shape: int, center: NDArray[Any]
    ) -> Any:
        message = self._message(
            "visualization_msgs/msg/Marker", header=header, ns=namespace, id=number, type=shape
        )
        _set_xyz(message.pose.position, center)
        return message


def _set_xyz(target: Any, values: NDArray[Any]) -> None:
    target.x, target.y, target.z = values.astype(float).tolist()


def _set_rgba(target: Any, color: Sequence[float]) -> None:
    target.r, target.g, target.b, target.a = color
