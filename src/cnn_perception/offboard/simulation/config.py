"""What a simulated camera is like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnn_perception.settings import Config, setting
from cnn_perception.types import CameraIntrinsics

__all__ = ["SimulationConfig"]


@dataclass(frozen=True, slots=True)
class SimulationConfig(Config):
    """An RGB-D camera; the defaults are near those of an Intel RealSense D435 at low resolution."""

    width: int = setting(320, "Width of the images, pixels", between=(16, 1920))
    height: int = setting(240, "Height of the images, pixels", between=(16, 1080))
    horizontal_fov: float = setting(
        69.0, "Horizontal field of view, degrees", between=(20.0, 120.0)
    )
    min_range: float = setting(
        0.3, "Nearest reading of the depth camera, metres", between=(0.05, 5.0)
    )
    max_range: float = setting(
        6.0, "Farthest reading of the depth camera, metres", between=(0.1, 50.0)
    )
    depth_noise: float = setting(
        0.0006,
        "Standard deviation of depth at one metre, metres; it grows with the square of the range",
        between=(0.0, 0.1),
    )
    depth_step: float = setting(
        0.0029,
        "Step between two depth readings at one metre, metres; it grows with the square of the "
        "range, as disparity is counted in fractions of a pixel; 0 rounds to millimetres only",
        between=(0.0, 0.1),
    )
    depth_dropout: float = setting(
        0.002, "Share of depth pixels without a reading", between=(0.0, 1.0)
    )
    color_noise: float = setting(2.0, "Standard deviation of color, 0..255", between=(0.0, 50.0))
    shadow_size: int = setting(
        1024, "Side of the shadow map, pixels; 0 renders no shadows", between=(0, 8192)
    )
    samples: int = setting(4, "Samples per pixel against jagged edges", between=(0, 16))

    def intrinsics(self) -> CameraIntrinsics:
        """Return the pinhole camera, with its principal point in the middle of the image."""
        focal = self.width / 2 / np.tan(np.radians(self.horizontal_fov) / 2)
        return CameraIntrinsics(
            self.width,
            self.height,
            float(focal),
            float(focal),
            (self.width - 1) / 2,
            (self.height - 1) / 2,
        )
