"""From a room plan to a MuJoCo model, and which geom belongs to what."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from ctypes.util import find_library
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.simulation.config import SimulationConfig
from cnn_perception.offboard.simulation.labels import MASK_LABELS
from cnn_perception.offboard.simulation.plan import RoomPlan
from cnn_perception.offboard.simulation.shapes import Part, Placed
from cnn_perception.types import IntArray

__all__ = ["Scene", "compile_scene", "load_mujoco"]

NEAR, FAR = 0.05, 40.0
"""Clipping planes of the camera, metres."""
_MESA = "install Mesa's libegl1 (MUJOCO_GL=egl) or libosmesa6 (MUJOCO_GL=osmesa)"
_FILL = (
    (1.0, 0.25, -0.2),
    (-0.3, 1.0, -0.2),
    (-1.0, -0.4, -0.1),
    (0.2, -1.0, -0.1),
    (0.1, 0.1, 1.0),
)


def load_mujoco() -> ModuleType:
    """Import MuJoCo, with an offscreen renderer where there may be no display.

    MUJOCO_GL chooses the renderer (egl, osmesa, glfw); unset, it is what Mesa offers here. Raises
    PerceptionError when MuJoCo or its OpenGL is missing.
    """
    if sys.platform == "linux" and "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = "egl" if find_library("EGL") else "osmesa"
    # PyTorch's compiler and Mesa bring an LLVM each. The compiler, if loaded later, would take
    # Mesa's for its own, and the process would end with a segmentation fault.
    with suppress(ImportError):
        importlib.import_module("triton")
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise PerceptionError(
            f"simulation needs MuJoCo ({error}): pip install mujoco, and {_MESA}"
        ) from error
    except Exception as error:
        # PyOpenGL fails with whatever its loader stumbles over first.
        raise PerceptionError(f"MuJoCo finds no OpenGL ({error}): {_MESA}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A compiled room; for each geom its mask value and its object (-1 for none), int32."""

    model: Any
    mask_of_geom: IntArray
    object_of_geom: IntArray


def compile_scene(plan: RoomPlan, config: SimulationConfig) -> Scene:
    """Return the MuJoCo model of a room."""
    mujoco = load_mujoco()
    spec = mujoco.MjSpec()
    spec.compiler.balanceinertia = True
    _set_view(spec, config)
    labels: list[int] = []
    owners: list[int] = []
    for index, placed in [(-1, fixture) for fixture in plan.fixtures] + list(
        enumerate(plan.objects)
    ):
        _add(mujoco, spec, placed, len(labels))
        labels += [MASK_LABELS.index(placed.shape.label)] * len(placed.shape.parts)
        owners += [index] * len(placed.shape.parts)
    _add_lights(mujoco, spec, plan, config)
    spec.worldbody.add_camera(
        name="camera",
        fovy=float(np.degrees(2 * np.arctan(config.height / 2 / config.intrinsics().fy))),
    )
    model = spec.compile()
    return Scene(model, np.array(labels, np.int32), np.array(owners, np.int32))


def _add_lights(mujoco: Any, spec: Any, plan: RoomPlan, config: SimulationConfig) -> None:
    """Add the lamps, and from the sides and below the light that walls and floor throw back."""
    for lamp in plan.lamps:
        spec.worldbody.add_light(
            pos=lamp.position,
            dir=(0.0, 0.0, -1.0),
            type=mujoco.mjtLightType.mjLIGHT_SPOT,
            castshadow=lamp.shadows and config.shadow_size > 0,
            cutoff=88.0,
            exponent=0.0,
            attenuation=(1.0, 0.0, 0.02),
            diffuse=lamp.color,
            ambient=(0.0, 0.0, 0.0),
            specular=[0.3 * c for c in lamp.color],
        )
    total = np.sum([lamp.color for lamp in plan.lamps], axis=0)
    for direction, share in zip(_FILL, plan.fill, strict=True):
        spec.worldbody.add_light(
            pos=(0.0, 0.0, 1.0),
            dir=direction,
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            castshadow=False,
            diffuse=(share * total).tolist(),
            ambient=(plan.ambient / len(_FILL) * total).tolist(),
            specular=(0.0, 0.0, 0.0),
        )


def _set_view(spec: Any, config: SimulationConfig) -> None:
    visual = spec.visual
    visual.global_.offwidth = config.width
    visual.global_.offheight = config.height
    visual.quality.shadowsize = max(config.shadow_size, 1)
    visual.quality.offsamples = config.samples
    visual.map.znear, visual.map.zfar = NEAR, FAR
    visual.map.shadowscale = 0.9
    visual.headlight.active = 0
    spec.stat.extent = 1.0
    spec.stat.center = (0.0, 0.0, 1.0)


def _add(mujoco: Any, spec: Any, placed: Placed, first: int) -> None:
    half = placed.yaw / 2
    body = spec.worldbody.add_body(pos=placed.position, quat=(np.cos(half), 0.0, 0.0, np.sin(half)))
    for offset, part in enumerate(placed.shape.parts):
        name = f"part{first + offset}"
        _add_part(mujoco, spec, part, name)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name,
            material=name,
            contype=0,
            conaffinity=0,
        )


def _add_part(mujoco: Any, spec: Any, part: Part, name: str) -> None:
    mesh = part.mesh
    spec.add_mesh(
        name=name,
        uservert=mesh.vertices.ravel(),
        usernormal=mesh.normals.ravel(),
        usertexcoord=mesh.texture.ravel(),
        userface=mesh.faces.ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    height, width = part.texture.shape[:2]
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
    )
    texture.data = part.texture.tobytes()
    material = spec.add_material(
        name=name, specular=part.shine, shininess=0.3 + 0.4 * part.shine, emission=part.emission
    )
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
