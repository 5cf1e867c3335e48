"""3D boxes: a box of known size before a wall comes out where it stands."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.detection.boxes3d import boxes_from_depth
from cnn_perception.errors import MessageError
from cnn_perception.types import CameraIntrinsics, Detections

CAMERA = CameraIntrinsics(640, 480, 500.0, 500.0, 320.0, 240.0)


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.full(count, 0.9, np.float32),
        np.zeros(count, np.int32),
    )


def scene() -> np.ndarray:
    """A wall at 4 m, before it a plate of 100 x 80 pixels at 2 m, with some readings missing."""
    depth = np.full((480, 640), 4.0, np.float32)
    depth[200:280, 300:400] = 2.0
    depth[::7, ::5] = np.nan
    return depth


def test_the_box_has_the_metric_place_and_size_of_the_object_not_of_the_wall() -> None:
    # The detection is looser than the object, so that wall pixels lie under it.
    found = boxes_from_depth(scene(), CAMERA, detections((290, 190, 410, 290)))
    assert found.valid.tolist() == [True]
    x, y = (349.5 - 320) * 2 / 500, (239.5 - 240) * 2 / 500
    assert found.centers[0] == pytest.approx([x, y, 2.0], abs=0.01)
    assert found.sizes[0] == pytest.approx([100 * 2 / 500, 80 * 2 / 500, 0.0], abs=0.03)


def test_a_detection_without_depth_is_marked_and_the_others_are_kept() -> None:
    depth = scene()
    depth[:100, :100] = np.nan
    found = boxes_from_depth(depth, CAMERA, detections((0, 0, 90, 90), (300, 200, 400, 280)))
    assert found.valid.tolist() == [False, True]
    assert not found.centers[0].any()


@pytest.mark.parametrize("box", [(639.5, 479.5, 640, 480), (-5, -5, 0, 0), (10, 10, 10, 10)])
def test_a_sliver_of_a_box_is_never_an_error(box: tuple[float, float, float, float]) -> None:
    assert boxes_from_depth(scene(), CAMERA, detections(box)).valid.tolist() == [False]


def test_no_detections_give_no_boxes() -> None:
    assert len(boxes_from_depth(scene(), CAMERA, Detections.empty()).valid) == 0


def test_depth_of_another_size_is_refused() -> None:
    with pytest.raises(MessageError, match=r"320x240.*640x480") as caught:
        boxes_from_depth(np.zeros((240, 320), np.float32), CAMERA, Detections.empty())
    assert caught.value.reason == "size_mismatch"
