"""The depth images that a mapping benchmark feeds to all contenders, with their points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cnn_perception.errors import BagError
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.bag_scans import BagScans
from cnn_perception.recording.folder_scans import FolderScans
from cnn_perception.recording.rgbd_folder import RgbdFolder
from cnn_perception.recording.streams import scan_streams
from cnn_perception.types import Float32Array

__all__ = ["BenchmarkFrame", "read_frames"]


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkFrame:
    """A depth image with camera and pose, and the same as points.

    points: float32 (N, 3), origin: float32 (3,), metres in the map frame: for contenders that take
    no depth images.
    """

    scan: DepthScan
    points: Float32Array
    origin: Float32Array


def read_frames(source: Path, count: int) -> list[BenchmarkFrame]:
    """Return `count` depth images spread evenly over a bag or an RGB-D folder; 0: all of them.

    Raises BagError for a source without any.
    """
    if RgbdFolder.recognises(source):
        scans = list(FolderScans(RgbdFolder(source)))
    else:
        with BagReader(source) as bag:
            found = BagScans(bag, scan_streams(bag), "map")
            scans = [scan for scan in found if isinstance(scan, DepthScan)]
    if not scans:
        raise BagError(f"{source} has no depth image that can be placed: give another --data")
    if 0 < count < len(scans):
        scans = [scans[index * len(scans) // count] for index in range(count)]
    return [_frame(scan) for scan in scans]


def _frame(scan: DepthScan) -> BenchmarkFrame:
    pose = scan.map_from_sensor
    points = depth_to_points(scan.depth, scan.intrinsics, target_from_camera=pose)
    return BenchmarkFrame(scan, points, pose.translation.astype("float32"))
