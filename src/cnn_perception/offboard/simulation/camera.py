"""Render a compiled room: color, mask, boxes and depth as an RGB-D camera would see it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np

from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.simulation.config import SimulationConfig
from cnn_perception.offboard.simulation.scene import FAR, NEAR, Scene, load_mujoco
from cnn_perception.types import (
    Float32Array,
    Float64Array,
    IntArray,
    RigidTransform,
    UInt8Array,
)

__all__ = ["Camera", "add_color_noise", "add_depth_noise", "boxes_of"]

_GL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True, slots=True, eq=False)
class RawView:
    """A perfect view: RGB, geom index int32 (H, W; -1 none), depth float32 metres."""

    color: UInt8Array
    geoms: IntArray
    depth: Float32Array


class Camera:
    """An offscreen renderer of one scene. Close it, or use it as a context manager."""

    def __init__(self, scene: Scene, config: SimulationConfig) -> None:
        self._mujoco = mujoco = load_mujoco()
        self._model = scene.model
        self._size = (config.height, config.width)
        self._data = mujoco.MjData(scene.model)
        mujoco.mj_forward(scene.model, self._data)
        try:
            self._gl = mujoco.GLContext(config.width, config.height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(scene.model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except Exception as error:
            raise PerceptionError(
                f"no OpenGL to render with ({error}): install Mesa's libegl1 (MUJOCO_GL=egl) or "
                "libosmesa6 (MUJOCO_GL=osmesa)"
            ) from error
        self._release = weakref.finalize(self, _free, self._gl, self._context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(scene.model, maxgeom=scene.model.ngeom + 64)
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = 0
        self._rect = mujoco.MjrRect(0, 0, config.width, config.height)
        mujoco.mjv_updateScene(
            self._model, self._data, mujoco.MjvOption(), None, self._view,
            mujoco.mjtCatBit.mjCAT_ALL, self._scene,
        )  # fmt: skip
        self._geom_of_segment = np.full(self._scene.ngeom + 2, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                self._geom_of_segment[geom.segid + 1] = geom.objid

    def close(self) -> None:
        """Free the renderer; it cannot be used afterwards. Closing twice is harmless."""
        self._release()

    def view(self, map_from_camera: RigidTransform) -> RawView:
        """Return what the camera sees from a pose of its optical frame (REP-103)."""
        if not self._release.alive:
            raise PerceptionError("this room is closed: make a new Room to render")
        mujoco = self._mujoco
        self._data.cam_xpos[0] = map_from_camera.translation
        self._data.cam_xmat[0] = (map_from_camera.rotation @ _GL_FROM_OPTICAL).ravel()
        self._gl.make_current()
        mujoco.mjv_updateCamera(self._model, self._data, self._view, self._scene)
        height, width = self._size
        color = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(color, None, self._rect, self._context)
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        codes = np.empty((height, width, 3), np.uint8)
        depth = np.empty((height, width), np.float32)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(codes, depth, self._rect, self._context)
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        segments = codes.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
        return RawView(
            np.ascontiguousarray(color[::-1]),
            self._geom_of_segment[segments][::-1],
            _metric_depth(depth[::-1]),
        )


def _free(gl: Any, context: Any) -> None:
    # MuJoCo frees whatever has its numbers in the context that is current: make that its own.
    gl.make_current()
    context.free()
    gl.free()


def _metric_depth(buffer: Float32Array) -> Float32Array:
    """Return metres along the optical axis from a reversed depth buffer (1 near, 0 far)."""
    z = buffer.astype(np.float64)
    return (NEAR * FAR / (NEAR + z * (FAR - NEAR))).astype(np.float32)


def boxes_of(owners: IntArray) -> tuple[IntArray, Float32Array, IntArray]:
    """Return for each object in sight: its index, its box xyxy float32, and its visible pixels.

    owners: int (H, W), the index of the object at each pixel, -1 for none. Boxes are half-open:
    x_max, y_max lie one past the last pixel.
    """
    flat = owners.ravel()
    seen = np.flatnonzero(flat >= 0)
    if len(seen) == 0:
        return np.zeros(0, np.int32), np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    ids, inverse = np.unique(flat[seen], return_inverse=True)
    rows, columns = np.divmod(seen, owners.shape[1])
    boxes = np.empty((len(ids), 4), np.float32)
    boxes[:, :2], boxes[:, 2:] = np.inf, -np.inf
    np.minimum.at(boxes[:, 0], inverse, columns)
    np.minimum.at(boxes[:, 1], inverse, rows)
    np.maximum.at(boxes[:, 2], inverse, columns + 1)
    np.maximum.at(boxes[:, 3], inverse, rows + 1)
    return ids.astype(np.int32), boxes, np.bincount(inverse, minlength=len(ids))


def add_color_noise(color: UInt8Array, deviation: float, rng: np.random.Generator) -> UInt8Array:
    """Return the image with sensor noise of `deviation` grey levels."""
    if deviation == 0:
        return color
    noise = rng.standard_normal(color.shape, np.float32) * np.float32(deviation)
    return np.asarray(np.clip(color + noise + 0.5, 0, 255), np.uint8)


def add_depth_noise(
    depth: Float32Array, config: SimulationConfig, rng: np.random.Generator
) -> Float32Array:
    """Return depth as a stereo camera would measure it; NaN where it has no reading.

    Noise and rounding are those of disparity, so they grow with the square of the range (Khoshelham
    and Elberink, 2012); the noise is alike over a few pixels, as block matching makes it. Readings
    are whole millimetres; edges in depth and random spots drop out.
    """
    near = np.maximum(depth, 1e-3)
    disparity = 1.0 / near + config.depth_noise * _spots(depth.shape, rng)
    if config.depth_step > 0:
        disparity = np.round(disparity / config.depth_step) * config.depth_step
    noisy = np.round(1000.0 / np.maximum(disparity, 1e-3)) / 1000.0
    jump = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    lost = (jump > 0.08 * depth + 0.03) & (_spots(depth.shape, rng) > -0.3)
    lost |= _spots(depth.shape, rng) > _quantile(config.depth_dropout)
    lost |= (depth < config.min_range) | (depth > config.max_range)
    return np.where(lost, np.nan, noisy).astype(np.float32)


def _spots(shape: tuple[int, ...], rng: np.random.Generator) -> Float64Array:
    """Return unit noise whose neighbours, about four pixels wide, resemble each other."""
    height, width = shape
    coarse = rng.standard_normal((height // 4 + 2, width // 4 + 2))
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine / max(float(fine.std()), 1e-9), np.float64)


def _quantile(share: float) -> float:
    """Return the value that a standard normal number exceeds with probability `share`."""
    if share <= 0.0:
        return np.inf
    if share >= 1.0:
        return -np.inf
    return NormalDist().inv_cdf(1.0 - share)
