"""The core's types as ROS messages; every header is passed through untouched."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Pose, Vector3
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from octomap_msgs.msg import Octomap
from sensor_msgs.msg import Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from vision_msgs.msg import (
    BoundingBox2D,
    BoundingBox3D,
    Classification,
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    VisionClass,
)
from visualization_msgs.msg import Marker, MarkerArray

from cnn_perception.detection.boxes3d import Boxes3D
from cnn_perception.image.codec import image_bytes
from cnn_perception.types import (
    Detections,
    ExplainedAnswer,
    Float32Array,
    GridMap2D,
)

__all__ = [
    "box_markers",
    "classification",
    "detections_2d",
    "detections_3d",
    "explained",
    "image",
    "label_info",
    "occupancy_grid",
    "octomap",
    "point_cloud",
    "region",
]


def image(header: Header, pixels: NDArray[np.generic]) -> Image:
    """An image of (H, W, 3) uint8 RGB, (H, W) uint8, uint16 or float32."""
    encoding, step, contiguous = image_bytes(pixels)
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=step)
    # Assigning an ndarray would walk it element by element, 240 ms for 640x480.
    data = array.array("B")
    data.frombytes(contiguous.data.cast("B"))
    message.data = data
    return message


def detections_2d(
    header: Header, detections: Detections, labels: Sequence[str]
) -> Detection2DArray:
    """Detections as centre and size in pixels; the class id is the label's name."""
    return Detection2DArray(
        header=header,
        detections=[
            _detection_2d(header, labels[class_id], score, box)
            for box, score, class_id in zip(
                detections.boxes, detections.scores, detections.class_ids, strict=True
            )
        ],
    )


def detections_3d(
    header: Header, detections: Detections, boxes: Boxes3D, labels: Sequence[str]
) -> Detection3DArray:
    """Detections as boxes in metres in the optical frame; one without depth is left out."""
    message = Detection3DArray(header=header)
    for i in np.flatnonzero(boxes.valid):
        hypothesis = _hypothesis(labels[detections.class_ids[i]], detections.scores[i])
        hypothesis.pose.pose = _pose(boxes.centers[i])
        message.detections.append(
            Detection3D(
                header=header,
                results=[hypothesis],
                bbox=BoundingBox3D(center=_pose(boxes.centers[i]), size=_vector(boxes.sizes[i])),
            )
        )
    return message


def explained(
    header: Header,
    answers: Sequence[ExplainedAnswer],
    labels: Sequence[str],
    *,
    evidence: bool = False,
) -> Detection2DArray:
    """What a heat map explains, by the answers' own boxes, or with `evidence` by the heat's."""
    message = Detection2DArray(header=header)
    for answer in answers:
        box = answer.evidence if evidence else answer.box
        if box is not None:
            label = labels[answer.class_id]
            message.detections.append(_detection_2d(header, label, answer.score, box))
    return message


def classification(
    header: Header, answers: Sequence[ExplainedAnswer], labels: Sequence[str]
) -> Classification:
    """The classes of the whole image that a heat map explains."""
    return Classification(
        header=header,
        results=[
            ObjectHypothesis(class_id=labels[answer.class_id], score=float(answer.score))
            for answer in answers
        ],
    )


def label_info(labels: Sequence[str] | Mapping[int, str], threshold: float) -> LabelInfo:
    """The names of class indices. It belongs to no image: its stamp is zero."""
    names = labels if isinstance(labels, Mapping) else dict(enumerate(labels))
    return LabelInfo(
        class_map=[VisionClass(class_id=i, class_name=name) for i, name in names.items()],
        threshold=threshold,
    )


def octomap(
    header: Header, payload: bytes, resolution: float, *, binary: bool, kind: str = "OcTree"
) -> Octomap:
    """An octree: the data section of a .bt (binary) or .ot stream without its header."""
    data = array.array("b")
    data.frombytes(payload)
    return Octomap(header=header, binary=binary, id=kind, resolution=resolution, data=data)


def box_markers(
    header: Header,
    detections: Detections,
    boxes: Boxes3D,
    labels: Sequence[str],
    colors: NDArray[np.uint8],
) -> MarkerArray:
    """A translucent cube and a name for each 3D box; colours uint8 (classes, 3) RGB."""
    message = MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
    for i in np.flatnonzero(boxes.valid).tolist():
        class_id = int(detections.class_ids[i])
        red, green, blue = (float(c) / 255.0 for c in colors[class_id])
        cube = Marker(header=header, ns="boxes", id=i, type=Marker.CUBE)
        cube.pose = _pose(boxes.centers[i])
        cube.scale = _vector(boxes.sizes[i])
        cube.color = ColorRGBA(r=red, g=green, b=blue, a=0.4)
        text = Marker(header=header, ns="labels", id=i, type=Marker.TEXT_VIEW_FACING)
        text.pose = _pose(boxes.centers[i] - np.array([0, boxes.sizes[i, 1] / 2 + 0.05, 0]))
        text.scale.z = 0.1
        text.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        text.text = f"{labels[class_id]} {detections.scores[i]:.2f}"
        message.markers += [cube, text]
    return message


def region(corners: Float32Array) -> RegionOfInterest:
    """The pixels that a box touches, of corners that lie within the image."""
    x, y = (int(edge) for edge in np.floor(corners[:2]))
    right, bottom = (int(edge) for edge in np.ceil(corners[2:]))
    return RegionOfInterest(x_offset=x, y_offset=y, width=right - x, height=bottom - y)


def point_cloud(header: Header, points: Float32Array) -> PointCloud2:
    """An unorganised cloud of float32 (N, 3) points, metres."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(points, "<f4").tobytes())
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate("xyz")
        ],
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(points),
        is_dense=True,
        data=data,
    )


def occupancy_grid(header: Header, grid: GridMap2D) -> OccupancyGrid:
    """The map seen from above: 100 occupied, 0 free, -1 unknown."""
    message = OccupancyGrid(header=header)
    message.info.map_load_time = header.stamp
    message.info.resolution = float(grid.resolution)
    message.info.height, message.info.width = grid.cells.shape
    message.info.origin.position.x, message.info.origin.position.y = grid.origin
    data = array.array("b")
    data.frombytes(np.ascontiguousarray(grid.cells).tobytes())
    message.data = data
    return message


def _detection_2d(header: Header, label: str, score: float, corners: Float32Array) -> Detection2D:
    return Detection2D(header=header, results=[_hypothesis(label, score)], bbox=_box_2d(corners))


def _hypothesis(label: str, score: float) -> ObjectHypothesisWithPose:
    return ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id=label, score=float(score)))


def _box_2d(corners: Float32Array) -> BoundingBox2D:
    x_min, y_min, x_max, y_max = corners.astype(float).tolist()
    box = BoundingBox2D(size_x=x_max - x_min, size_y=y_max - y_min)
    box.center.position.x = (x_min + x_max) / 2
    box.center.position.y = (y_min + y_max) / 2
    return box


def _pose(center: NDArray[np.floating[Any]]) -> Pose:
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = center.astype(float).tolist()
    return pose


def _vector(size: NDArray[np.floating[Any]]) -> Vector3:
    x, y, z = size.astype(float).tolist()
    return Vector3(x=x, y=y, z=z)
