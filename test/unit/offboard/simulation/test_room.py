"""What a room shows agrees with itself and with the geometry it was built from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.simulation.labels import MASK_LABELS, OBJECT_CLASSES
from cnn_perception.offboard.simulation.room import Room, RoomFrame

MakeRoom = Callable[[int], Room]


@pytest.fixture(scope="module")
def frames(room: Room) -> list[RoomFrame]:
    rng = np.random.default_rng(0)
    return [room.render(room.sample_view(rng)) for _ in range(6)]


def points_in_map(frame: RoomFrame, depth: np.ndarray) -> np.ndarray:
    """Float64 (H, W, 3) points of a depth image in the map, by the pinhole equations."""
    k = frame.intrinsics
    v, u = np.mgrid[: k.height, : k.width]
    rays = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy, np.ones(u.shape)], axis=2)
    pose = frame.map_from_camera
    return np.asarray((rays * depth[..., None]) @ pose.rotation.T + pose.translation)


def test_same_seed_and_pose_give_the_same_frame(
    frames: list[RoomFrame], room: Room, make_room: MakeRoom
) -> None:
    again = room.render(frames[0].map_from_camera)
    with make_room(room.seed) as twin:
        other = twin.render(frames[0].map_from_camera)
    for frame in (again, other):
        for name in ("color", "depth", "depth_true", "mask", "boxes", "classes", "difficult"):
            np.testing.assert_array_equal(getattr(frames[0], name), getattr(frame, name), name)


def test_another_seed_is_another_room(frames: list[RoomFrame], make_room: MakeRoom) -> None:
    with make_room(22) as room:
        frame = room.render(frames[0].map_from_camera)
    assert (frame.mask != frames[0].mask).mean() > 0.05


def test_arrays_have_the_documented_form(frames: list[RoomFrame]) -> None:
    for frame in frames:
        shape = (frame.intrinsics.height, frame.intrinsics.width)
        assert frame.color.shape == (*shape, 3)
        assert frame.color.dtype == frame.mask.dtype == np.uint8
        assert frame.depth is not None
        assert frame.depth.shape == frame.mask.shape == shape
        assert frame.depth.dtype == frame.boxes.dtype == np.float32
        assert frame.boxes.shape == (len(frame.classes), 4)
        assert frame.difficult.shape == (len(frame.classes),)
        assert frame.mask.max() < len(MASK_LABELS)


def test_views_show_things_worth_learning(frames: list[RoomFrame]) -> None:
    assert sum(len(frame.classes) for frame in frames) >= len(frames)
    for frame in frames:
        assert 20 < frame.color.mean() < 235
        assert len(np.unique(frame.mask)) >= 2


def test_boxes_and_mask_show_the_same_objects(frames: list[RoomFrame]) -> None:
    for frame in frames:
        covered = np.zeros(frame.mask.shape, bool)
        for box, label in zip(frame.boxes.astype(int), frame.classes, strict=True):
            x0, y0, x1, y1 = box
            assert 0 <= x0 < x1 <= frame.intrinsics.width
            assert 0 <= y0 < y1 <= frame.intrinsics.height
            own = frame.mask[y0:y1, x0:x1] == 3 + label
            assert own.any(0).all() or own.sum() >= 12
            assert own[0].any() and own[-1].any(), "the box touches its object on all sides"
            assert own[:, 0].any() and own[:, -1].any()
            covered[y0:y1, x0:x1] |= own
        # Only objects of fewer than 12 visible pixels have no box.
        assert ((frame.mask >= 3) & ~covered).sum() < 12 * len(OBJECT_CLASSES)


def test_floor_pixels_lie_on_the_floor(frames: list[RoomFrame]) -> None:
    seen = 0
    for frame in frames:
        assert frame.depth is not None and frame.depth_true is not None
        floor = frame.mask == MASK_LABELS.index("floor")
        seen += int(floor.sum())
        height = points_in_map(frame, frame.depth_true)[floor][:, 2]
        assert np.abs(height).max(initial=0.0) < 0.02
        near = floor & (frame.depth < 3.0)
        assert np.abs(points_in_map(frame, frame.depth)[near][:, 2]).max(initial=0.0) < 0.05
    assert seen > 1000


def test_wall_pixels_lie_near_the_walls(frames: list[RoomFrame], room: Room) -> None:
    half = np.array(room.plan.size[:2]) / 2
    for frame in frames:
        assert frame.depth_true is not None
        wall = points_in_map(frame, frame.depth_true)[frame.mask == MASK_LABELS.index("wall")]
        off = np.abs(half - np.abs(wall[:, :2])).min(axis=1)
        assert (off < 0.2).all(), "curtains and sills reach 15 cm into the room"


def test_measured_depth_is_near_the_truth(frames: list[RoomFrame]) -> None:
    for frame in frames:
        assert frame.depth is not None and frame.depth_true is not None
        read = np.isfinite(frame.depth)
        assert read.mean() > 0.3
        error = np.abs(frame.depth - frame.depth_true)[read]
        assert (error < 0.005 * np.maximum(frame.depth_true[read], 1.0) ** 2).all()


def test_depth_is_left_out_when_not_asked_for(room: Room, frames: list[RoomFrame]) -> None:
    frame = room.render(frames[0].map_from_camera, depth=False)
    assert frame.depth is None and frame.depth_true is None
    np.testing.assert_array_equal(frame.mask, frames[0].mask)


def test_hidden_and_tiny_objects_are_difficult(frames: list[RoomFrame]) -> None:
    for frame in frames:
        sides = (frame.boxes[:, 2:] - frame.boxes[:, :2]).min(axis=1, initial=1e9)
        assert frame.difficult[sides < 8].all()
    assert not all(frame.difficult.all() for frame in frames)


def test_two_rooms_can_be_open_at_once(
    room: Room, frames: list[RoomFrame], make_room: MakeRoom
) -> None:
    other = make_room(23)
    pose = frames[0].map_from_camera
    before = other.render(pose)
    np.testing.assert_array_equal(room.render(pose).mask, frames[0].mask)
    np.testing.assert_array_equal(other.render(pose).color, before.color)
    # Letting one go, without closing it, must not take the other's buffers.
    del other
    np.testing.assert_array_equal(room.render(pose).color, frames[0].color)


def test_closed_room_says_so(frames: list[RoomFrame], make_room: MakeRoom) -> None:
    other = make_room(24)
    other.close()
    other.close()
    with pytest.raises(PerceptionError, match="closed"):
        other.render(frames[0].map_from_camera)


def test_views_are_at_robot_height_and_inside(room: Room) -> None:
    rng = np.random.default_rng(5)
    half = np.array(room.plan.size[:2]) / 2
    for _ in range(30):
        pose = room.sample_view(rng)
        assert 0.3 <= pose.translation[2] <= 1.4
        assert (np.abs(pose.translation[:2]) < half - 0.1).all()
        np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-9)
        assert abs(np.arcsin(pose.rotation[2, 2])) < 0.7, "it looks about level"


@pytest.mark.parametrize("choice", ["disabled", "nonsense"])
def test_missing_opengl_is_one_clear_error(choice: str, room: Room) -> None:
    program = (
        "from cnn_perception.errors import PerceptionError\n"
        "from cnn_perception.offboard.simulation.room import Room\n"
        "try:\n    Room(0)\n"
        "except PerceptionError as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MUJOCO_GL": choice, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "libegl1" in result.stdout
    assert result.stdout.count("\n") == 1


def test_pytorchs_compiler_can_be_loaded_after_rendering(room: Room) -> None:
    """Each has an LLVM of its own; mixed up, they end the process without a word."""
    if find_spec("triton") is None:
        pytest.skip("triton comes with PyTorch, an extra: [train]")
    code = (
        "from cnn_perception.offboard.simulation.room import Room\n"
        "import numpy as np\n"
        "room = Room(0)\n"
        "room.render(room.sample_view(np.random.default_rng(0)))\n"
        "import triton\n"
        "print('alive')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout == "alive\n", (result.returncode, result.stderr)
