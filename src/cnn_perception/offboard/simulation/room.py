"""A simulated room: seeded layout, useful viewpoints, and labelled RGB-D frames."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from cnn_perception.offboard.simulation.camera import (
    Camera,
    add_color_noise,
    add_depth_noise,
    boxes_of,
)
from cnn_perception.offboard.simulation.config import SimulationConfig
from cnn_perception.offboard.simulation.labels import OBJECT_CLASSES
from cnn_perception.offboard.simulation.layout import plan_room
from cnn_perception.offboard.simulation.path import base_from_link, link_from_optical, plan_drive
from cnn_perception.offboard.simulation.plan import RoomPlan
from cnn_perception.offboard.simulation.scene import compile_scene
from cnn_perception.offboard.simulation.views import random_view
from cnn_perception.types import (
    BoolArray,
    CameraIntrinsics,
    Float32Array,
    RigidTransform,
    UInt8Array,
)

__all__ = ["Room", "RoomFrame"]

_LEAST_PIXELS = 12
_TINY_SIDE = 8


@dataclass(frozen=True, slots=True, eq=False)
class RoomFrame:
    """One labelled RGB-D image.

    color: uint8 (H, W, 3) RGB. depth: float32 (H, W) metres as measured, NaN without a reading;
    depth_true: the same without noise or limits (both None when depth was not asked for).
    mask: uint8 (H, W), index into MASK_LABELS. boxes: float32 (N, 4) xyxy of the visible pixels;
    classes: int32 (N,), index into OBJECT_CLASSES; difficult: bool (N,), tiny or mostly hidden.
    """

    color: UInt8Array
    depth: Float32Array | None
    depth_true: Float32Array | None
    mask: UInt8Array
    boxes: Float32Array
    classes: np.typing.NDArray[np.int32]
    difficult: BoolArray
    intrinsics: CameraIntrinsics
    map_from_camera: RigidTransform


class Room:
    """A furnished room that is the same for the same seed. Close it, or use it in a with statement.

    Its floor is z = 0 of the map frame and its middle the origin. Raises PerceptionError where
    MuJoCo or OpenGL is missing.
    """

    def __init__(self, seed: int, config: SimulationConfig | None = None) -> None:
        self.seed = seed
        self.config = config or SimulationConfig()
        self.plan: RoomPlan = plan_room(np.random.default_rng([seed, 1]))
        self._scene = compile_scene(self.plan, self.config)
        self._camera = Camera(self._scene, self.config)
        self._labels = np.array(
            [OBJECT_CLASSES.index(placed.shape.label) for placed in self.plan.objects], np.int32
        )

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the renderer."""
        self._camera.close()

    @property
    def intrinsics(self) -> CameraIntrinsics:
        """The camera's intrinsics."""
        return self.config.intrinsics()

    def sample_view(self, rng: np.random.Generator) -> RigidTransform:
        """Return a random useful pose of the camera's optical frame in the map."""
        return random_view(self.plan, self.intrinsics, rng)

    def drive(self, seconds: float, hz: float) -> list[RigidTransform]:
        """Return the poses of a robot's base in the map, `1 / hz` seconds apart, on a tour."""
        return plan_drive(self.plan, seconds, hz, np.random.default_rng([self.seed, 3]))

    def path(self, seconds: float, hz: float) -> list[RigidTransform]:
        """Return the poses of the optical frame of the camera that rides on that robot."""
        mount = base_from_link() @ link_from_optical()
        return [map_from_base @ mount for map_from_base in self.drive(seconds, hz)]

    def render(self, map_from_camera: RigidTransform, *, depth: bool = True) -> RoomFrame:
        """Return what the camera sees from a pose of its optical frame.

        The noise depends on the seed and the pose alone: equal calls give equal frames.
        """
        raw = self._camera.view(map_from_camera)
        pose = np.concatenate([map_from_camera.rotation.ravel(), map_from_camera.translation])
        noise = np.random.default_rng([self.seed, zlib.crc32(pose.tobytes())])
        # geom -1 (nothing) reads the last entry: background without an object.
        mask = np.append(self._scene.mask_of_geom, 0)[raw.geoms].astype(np.uint8)
        owners = np.append(self._scene.object_of_geom, -1)[raw.geoms]
        ids, boxes, pixels = boxes_of(owners)
        kept = pixels >= _LEAST_PIXELS
        ids, boxes, pixels = ids[kept], boxes[kept], pixels[kept]
        return RoomFrame(
            color=add_color_noise(raw.color, self.config.color_noise, noise),
            depth=add_depth_noise(raw.depth, self.config, noise) if depth else None,
            depth_true=raw.depth if depth else None,
            mask=mask,
            boxes=boxes,
            classes=self._labels[ids],
            difficult=self._difficult(ids, boxes, pixels, map_from_camera),
            intrinsics=self.intrinsics,
            map_from_camera=map_from_camera,
        )

    def _difficult(
        self,
        ids: np.typing.NDArray[np.integer],
        boxes: Float32Array,
        pixels: np.typing.NDArray[np.integer],
        map_from_camera: RigidTransform,
    ) -> BoolArray:
        """Return which objects are tiny, or show little of what could be seen without obstacles."""
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf)
        hard = sides < _TINY_SIDE
        for k, index in enumerate(ids):
            full = self._projected_area(int(index), map_from_camera)
            seen = float((boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1]))
            if seen < 0.2 * full:
                hard[k] = True
        return np.asarray(hard, np.bool_)

    def _projected_area(self, index: int, map_from_camera: RigidTransform) -> float:
        """Return the area, square pixels, of the box about the object's projected corners."""
        placed = self.plan.objects[index]
        low, high = np.array(placed.shape.low), np.array(placed.shape.high)
        corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
        local = low + corners * (high - low)
        c, s = np.cos(placed.yaw), np.sin(placed.yaw)
        turned = local @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + placed.position
        inverse = map_from_camera.inverse()
        seen = turned @ inverse.rotation.T + inverse.translation
        z = np.maximum(seen[:, 2], 0.1)
        k = self.intrinsics
        u, v = k.fx * seen[:, 0] / z + k.cx, k.fy * seen[:, 1] / z + k.cy
        return float((u.max() - u.min()) * (v.max() - v.min()))
