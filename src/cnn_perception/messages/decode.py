"""Messages to the package's own types, by attribute: rclpy's and rosbags' objects both work.

Each function raises MessageError with a reason from `messages.DROP_REASONS` for a message that
cannot be used; nothing else is raised for any content of a message of the right type.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import MessageError
from cnn_perception.image.codec import (
    decode_compressed,
    decode_compressed_depth,
    decode_compressed_labels,
)
from cnn_perception.image.pixels import as_bytes, to_depth, to_labels, to_rgb
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.types import (
    CameraIntrinsics,
    Float32Array,
    Float64Array,
    Header,
    RigidTransform,
    StampedTransform,
    UInt8Array,
)

__all__ = [
    "LabelledBoxes",
    "LabelledBoxes3D",
    "check_frames",
    "decode_camera_info",
    "decode_classification",
    "decode_color",
    "decode_depth",
    "decode_detections",
    "decode_detections_3d",
    "decode_header",
    "decode_label_info",
    "decode_mask",
    "decode_point_cloud",
    "decode_transforms",
]

_FLOATS = {7: "f4", 8: "f8"}
"""sensor_msgs/PointField.datatype of the types that coordinates come in."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBoxes:
    """Detections of one image: N labels, float32 (N,) scores, float32 (N, 4) corners in pixels."""

    labels: tuple[str, ...]
    scores: Float32Array
    boxes: Float32Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBoxes3D:
    """Detections in space: N labels, float32 (N,) scores, float64 (N, 3) centres and edges, m."""

    labels: tuple[str, ...]
    scores: Float32Array
    centers: Float64Array
    sizes: Float64Array

    def __len__(self) -> int:
        return len(self.labels)


def decode_header(header: Any) -> Header:
    """Return a std_msgs/Header's stamp and frame; a leading '/' of older ROS is taken off."""
    return Header(stamp_to_ns(header.stamp), str(header.frame_id).lstrip("/"))


def check_frames(image: Header, partner: Header, what: str) -> None:
    """Raise MessageError(``frame_mismatch``) where a partner of a depth image has another frame.

    what: the partner, for the text. One that names no frame passes.
    """
    if partner.frame_id not in ("", image.frame_id):
        raise MessageError(
            "frame_mismatch",
            f"the depth image is of {image.frame_id}, its {what} of {partner.frame_id}: give each "
            "camera topics of its own, and depth that is registered to the color image",
        )


def decode_color(msg: Any) -> UInt8Array:
    """Return a sensor_msgs/Image or CompressedImage as RGB uint8 (H, W, 3), a copy of its own.

    Raises MessageError as `image.pixels.to_rgb` and `image.codec.decode_compressed`.
    """
    if hasattr(msg, "encoding"):
        return to_rgb(*_image_fields(msg))
    return decode_compressed(msg.data, str(msg.format))


def decode_depth(msg: Any) -> Float32Array:
    """Return a depth image as float32 (H, W) metres, NaN where there is no reading (REP-118).

    `msg` is a sensor_msgs/Image of 16UC1, mono16 or 32FC1, or a CompressedImage of compressedDepth.
    Raises MessageError as `image.pixels.to_depth` and `image.codec.decode_compressed_depth`.
    """
    if hasattr(msg, "encoding"):
        return to_depth(*_image_fields(msg))
    return decode_compressed_depth(msg.data, str(msg.format))


def decode_mask(msg: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a label image as class indices, uint8 or uint16 (H, W), a copy of its own.

    `msg` is a sensor_msgs/Image of mono8, 8UC1, mono16 or 16UC1, or a CompressedImage of a PNG.
    Raises MessageError as `image.pixels.to_labels` and `image.codec.decode_compressed_labels`.
    """
    if hasattr(msg, "encoding"):
        return to_labels(*_image_fields(msg))
    return decode_compressed_labels(msg.data, str(msg.format))


def decode_camera_info(msg: Any) -> CameraIntrinsics:
    """Return the pinhole camera of a sensor_msgs/CameraInfo.

    It is that of the rectified image, P, as depth images are registered to it; K where P is not
    given. Binning and the region of interest are applied, so that the result fits the image as
    sent. Raises MessageError(``bad_intrinsics``) for a camera that is not calibrated (all zero),
    values that are not finite and an empty image.
    """
    p, k = _matrix(_of(msg, "p"), 12, "P"), _matrix(_of(msg, "k"), 9, "K")
    fx, fy, cx, cy = (p[0], p[5], p[2], p[6]) if p[0] != 0 else (k[0], k[4], k[2], k[5])
    if fx == 0 and fy == 0:
        raise MessageError(
            "bad_intrinsics",
            f"camera_info of {msg.width}x{msg.height} is all zero, the camera is not calibrated: "
            "calibrate it (camera_calibration) or give the driver its camera_info_url",
        )
    x, y, width, height = 0, 0, int(msg.width), int(msg.height)
    roi = getattr(msg, "roi", None)
    if roi is not None:
        x, y = int(roi.x_offset), int(roi.y_offset)
        width, height = int(roi.width) or width, int(roi.height) or height
    bin_x = max(int(getattr(msg, "binning_x", 0)), 1)
    bin_y = max(int(getattr(msg, "binning_y", 0)), 1)
    return CameraIntrinsics(
        width // bin_x,
        height // bin_y,
        fx / bin_x,
        fy / bin_y,
        (cx - x) / bin_x,
        (cy - y) / bin_y,
    )


def decode_point_cloud(msg: Any) -> Float32Array:
    """Return the points of a sensor_msgs/PointCloud2 as float32 (N, 3) x, y, z metres.

    Fields may be in any order, float32 or float64; points that are not finite are left out. Raises
    MessageError: ``missing_fields``, ``wrong_step``, ``truncated_data``.
    """
    height, width = int(msg.height), int(msg.width)
    if height <= 0 or width <= 0:
        return np.zeros((0, 3), np.float32)
    point = _point_dtype(msg)
    # A cloud of one row has no use for row_step, and drivers leave it 0.
    row = int(msg.row_step) if height > 1 else width * point.itemsize
    if row < width * point.itemsize:
        raise MessageError(
            "wrong_step",
            f"row_step {row} is shorter than {width} points of {point.itemsize} bytes: fix the "
            "driver",
        )
    raw = as_bytes(msg.data)
    need = (height - 1) * row + width * point.itemsize
    if raw.size < need:
        raise MessageError(
            "truncated_data",
            f"a cloud of {width}x{height} points has {raw.size} bytes of {need}: fix the driver",
        )
    records = np.ndarray((height, width), point, raw, 0, (row, point.itemsize))
    points = np.empty((height, width, 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, name in enumerate("xyz"):
            points[..., axis] = records[name]
    flat = points.reshape(-1, 3)
    finite = np.isfinite(flat)
    if finite.all():
        return flat
    return flat[finite[:, 0] & finite[:, 1] & finite[:, 2]]


def decode_transforms(
    msg: Any, rejected: list[MessageError] | None = None
) -> list[StampedTransform]:
    """Return the edges of a tf2_msgs/TFMessage.

    An edge that is not a rigid motion between two different named frames raises
    MessageError(``bad_transform``); where a list `rejected` is given, the error goes into it and
    the other edges are returned.
    """
    edges = []
    for transform in msg.transforms:
        try:
            edges.append(_edge(transform))
        except MessageError as error:  # one bad edge must not cost the others
            if rejected is None:
                raise
            rejected.append(error)
    return edges


def decode_label_info(msg: Any) -> dict[int, str]:
    """Return a vision_msgs/LabelInfo as class names by class id.

    Raises MessageError(``bad_labels``) when an id has two names.
    """
    names: dict[int, str] = {}
    for entry in msg.class_map:
        class_id, name = int(entry.class_id), str(entry.class_name)
        if names.setdefault(class_id, name) != name:
            raise MessageError(
                "bad_labels",
                f"class id {class_id} is both {names[class_id]!r} and {name!r}: fix the publisher "
                "of label_info",
            )
    return names


def decode_detections(msg: Any) -> LabelledBoxes:
    """Return a vision_msgs/Detection2DArray; a detection's class is its best hypothesis."""
    boxes = [detection.bbox for detection in msg.detections]
    places = [(x.center.position.x, x.center.position.y, x.size_x, x.size_y) for x in boxes]
    middles, sizes = np.hsplit(np.array(places, np.float64).reshape(-1, 4), 2)
    corners = np.hstack([middles - sizes / 2, middles + sizes / 2])
    return LabelledBoxes(*_best(msg), corners.astype(np.float32))


def decode_detections_3d(msg: Any) -> LabelledBoxes3D:
    """Return a vision_msgs/Detection3DArray; a detection's class is its best hypothesis."""
    labels, scores = _best(msg)
    centers, sizes = np.zeros((2, len(labels), 3))
    for k, detection in enumerate(msg.detections):
        place, size = detection.bbox.center.position, detection.bbox.size
        centers[k], sizes[k] = (place.x, place.y, place.z), (size.x, size.y, size.z)
    return LabelledBoxes3D(labels, scores, centers, sizes)


def decode_classification(msg: Any) -> LabelledBoxes:
    """Return a vision_msgs/Classification: classes of the whole image, whose boxes are all zero."""
    labels = tuple(str(result.class_id) for result in msg.results)
    scores = np.array([result.score for result in msg.results], np.float32)
    return LabelledBoxes(labels, scores, np.zeros((len(labels), 4), np.float32))


def _image_fields(msg: Any) -> tuple[Any, int, int, int, str, bool]:
    return (
        msg.data,
        int(msg.height),
        int(msg.width),
        int(msg.step),
        str(msg.encoding),
        bool(msg.is_bigendian),
    )


def _of(msg: Any, name: str) -> Any:
    """Return a matrix of a camera_info; ROS 1, whose bags can be read too, names it in capitals."""
    return getattr(msg, name) if hasattr(msg, name) else getattr(msg, name.upper())


def _matrix(values: Any, size: int, name: str) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != size or not all(math.isfinite(number) for number in numbers):
        raise MessageError(
            "bad_intrinsics",
            f"camera_info's {name} = {numbers} is not {size} finite numbers: calibrate the camera "
            "or fix the driver",
        )
    return numbers


def _point_dtype(msg: Any) -> np.dtype[np.void]:
    """Return a record type of `point_step` bytes with the fields x, y and z."""
    step = int(msg.point_step)
    order = ">" if msg.is_bigendian else "<"
    fields = {str(field.name): field for field in msg.fields}
    missing = [name for name in "xyz" if name not in fields]
    if missing:
        raise MessageError(
            "missing_fields",
            f"the cloud's fields {sorted(fields)} lack {', '.join(missing)}: publish x, y and z",
        )
    formats, offsets = [], []
    for name in "xyz":
        code, offset = int(fields[name].datatype), int(fields[name].offset)
        if code not in _FLOATS:
            raise MessageError(
                "missing_fields",
                f"field {name} of the cloud has datatype {code}: publish FLOAT32 (7) or "
                "FLOAT64 (8)",
            )
        formats.append(order + _FLOATS[code])
        offsets.append(offset)
        if offset + int(_FLOATS[code][1]) > step:
            raise MessageError(
                "wrong_step",
                f"field {name} at offset {offset} lies outside point_step {step}: fix the driver",
            )
    return np.dtype(
        {"names": list("xyz"), "formats": formats, "offsets": offsets, "itemsize": step}
    )


def _edge(transform: Any) -> StampedTransform:
    header = decode_header(transform.header)
    child = str(transform.child_frame_id).lstrip("/")
    if not header.frame_id or not child or child == header.frame_id:
        raise MessageError(
            "bad_transform",
            f"a transform goes from {header.frame_id!r} to {child!r}: give two different names",
        )
    t, q = transform.transform.translation, transform.transform.rotation
    motion = RigidTransform.from_quaternion((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
    return StampedTransform(header.frame_id, child, header.stamp_ns, motion)


def _best(msg: Any) -> tuple[tuple[str, ...], Float32Array]:
    """Return label and score of each detection's best hypothesis; no label where it has none."""
    labels, scores = [], []
    for detection in msg.detections:
        hypotheses = [result.hypothesis for result in detection.results]
        best = max(hypotheses, key=lambda hypothesis: hypothesis.score, default=None)
        labels.append("" if best is None else str(best.class_id))
        scores.append(0.0 if best is None else float(best.score))
    return tuple(labels), np.array(scores, np.float32)
