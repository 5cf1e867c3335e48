"""Cells with classes as ROS messages."""

from __future__ import annotations

import array
from collections.abc import Mapping

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from cnn_perception.mapping.semantic.semantics import LabelledCells
from cnn_perception.ros.marker_stream import CubeList, marker_array
from cnn_perception.types import UInt8Array

__all__ = ["labelled_cloud", "labelled_markers"]

# The names and types that PCL gives to coordinates, colour and label (pcl::PointXYZRGBL).
_POINT = np.dtype(
    [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("rgb", "<u4"),
        ("label", "<u4"),
        ("confidence", "<f4"),
    ]
)
_DATATYPES = {"rgb": PointField.FLOAT32, "label": PointField.UINT32}


def labelled_cloud(
    header: Header, cells: LabelledCells, resolution: float, colors: UInt8Array
) -> PointCloud2:
    """The centres of cells: x, y, z, rgb (packed as in PCL), label and confidence; 24 bytes each.

    colors: uint8 (n, 3) RGB by class id.
    """
    points = np.empty(len(cells), _POINT)
    for name, column in zip("xyz", cells.cells(resolution).centers.T, strict=True):
        points[name] = column
    red, green, blue = colors[cells.class_ids].astype(np.uint32).T
    points["rgb"] = (red << 16) | (green << 8) | blue
    points["label"] = cells.class_ids
    points["confidence"] = cells.confidences
    data = array.array("B")
    data.frombytes(points.tobytes())
    names = _POINT.names or ()
    offsets = np.arange(len(names)) * 4
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=[
            PointField(
                name=name,
                offset=int(offset),
                datatype=_DATATYPES.get(name, PointField.FLOAT32),
                count=1,
            )
            for name, offset in zip(names, offsets, strict=True)
        ],
        is_bigendian=False,
        point_step=_POINT.itemsize,
        row_step=_POINT.itemsize * len(points),
        is_dense=True,
        data=data,
    )


def labelled_markers(
    header: Header,
    cells: LabelledCells,
    resolution: float,
    colors: UInt8Array,
    names: Mapping[int, str],
) -> bytes | MarkerArray:
    """A CUBE_LIST for each class, in a namespace with its name, by which viewers show or hide it.

    colors: uint8 (n, 3) RGB by class id. A class without cells deletes what was shown of it.
    """
    centers = cells.cells(resolution).centers.astype(np.float64)
    lists = []
    for class_id, name in sorted(names.items()):
        red, green, blue = (float(v) / 255.0 for v in colors[class_id])
        lists.append(
            CubeList(
                centers[cells.class_ids == class_id],
                resolution,
                (red, green, blue, 1.0),
                namespace=name,
            )
        )
    return marker_array(header, lists)
