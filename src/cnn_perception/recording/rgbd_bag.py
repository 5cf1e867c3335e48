"""An RGB-D folder turned into a bag, so that real pictures can be played through the nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagWriter
from cnn_perception.recording.compose import CAMERA_FRAME, START_NS, encode
from cnn_perception.recording.folder_scans import FolderScans
from cnn_perception.recording.rgbd_folder import RgbdFolder, RgbdFrame
from cnn_perception.types import Header, RigidTransform, StampedTransform

__all__ = ["CAMERA_FRAME", "START_NS", "record_rgbd_folder"]

_WORLD = "world"
_MAP = "map"
_IMAGE = "sensor_msgs/msg/Image"
_INFO = "sensor_msgs/msg/CameraInfo"
_TF = "tf2_msgs/msg/TFMessage"


def record_rgbd_folder(
    folder: RgbdFolder,
    path: Path,
    *,
    rate: float = 10.0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the frames as a new bag (mcap), `rate` per second; returns how many.

    Topics: ``/camera/color/image_raw`` (rgb8), ``/camera/depth/image_raw`` (16UC1, millimetres)
    and both ``camera_info``, ``/tf`` (world -> camera_optical_frame at every stamp), ``/tf_static``
    (map -> world, which puts z up). Color and depth are taken to be registered. Raises BagError
    when a file of the folder or the bag is at fault.
    """
    if not 0.1 <= rate <= 1000:
        raise BagError(f"{rate:g} frames per second: give a rate from 0.1 to 1000")
    upright = FolderScans(folder).map_from_world
    with BagWriter(path, overwrite=overwrite) as bag:
        static = StampedTransform(_MAP, _WORLD, START_NS, upright)
        bag.write("/tf_static", _TF, encode.transforms(static), START_NS, latched=True)
        count = 0
        for frame in folder:
            stamp_ns = START_NS + round(count * 1e9 / rate)
            _write_pose(bag, frame.world_from_camera, stamp_ns)
            _write_images(bag, folder, frame, stamp_ns)
            count += 1
            if progress is not None:
                progress(count, len(folder))
    return count


def _write_pose(bag: BagWriter, world_from_camera: RigidTransform, stamp_ns: int) -> None:
    edge = StampedTransform(_WORLD, CAMERA_FRAME, stamp_ns, world_from_camera)
    bag.write("/tf", _TF, encode.transforms(edge), stamp_ns)


def _write_images(bag: BagWriter, folder: RgbdFolder, frame: RgbdFrame, stamp_ns: int) -> None:
    header = encode.header(Header(stamp_ns, CAMERA_FRAME))
    info = encode.camera_info(header, folder.intrinsics)
    millimetres = np.nan_to_num(np.round(frame.depth * 1000.0)).astype(np.uint16)
    depth = encode.depth_image(header, millimetres)
    bag.write("/camera/depth/camera_info", _INFO, info, stamp_ns)
    bag.write("/camera/depth/image_raw", _IMAGE, depth, stamp_ns)
    color = frame.color()
    if color is not None:
        bag.write("/camera/color/camera_info", _INFO, info, stamp_ns)
        bag.write("/camera/color/image_raw", _IMAGE, encode.image(header, color), stamp_ns)
