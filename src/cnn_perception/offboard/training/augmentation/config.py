"""How images are varied while training."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.settings import Config, setting

__all__ = ["GEOMETRIES", "NO_AUGMENTATION", "AugmentationConfig"]

GEOMETRIES = ("none", "zoom", "ssd", "resized_crop", "scale")
"""Ways to choose what part of an image fills the input."""


@dataclass(frozen=True, slots=True)
class AugmentationConfig(Config):
    """How images are varied while training. The defaults suit simulated rooms."""

    geometry: str = setting(
        "zoom",
        "What fills the input: none, the whole image; zoom, a crop or a smaller image; ssd, Liu et "
        "al. 2016; resized_crop, ImageNet's; scale, segmentation's",
        choices=GEOMETRIES,
    )
    flip: float = setting(0.5, "Share of images that are mirrored", between=(0.0, 1.0))
    zoom: float = setting(
        0.7, "zoom: share of images that are cropped or shrunk", between=(0.0, 1.0)
    )
    zoom_min: float = setting(0.7, "zoom: least magnification", between=(0.2, 1.0))
    zoom_max: float = setting(2.0, "zoom: largest magnification", between=(1.0, 5.0))
    stretch: float = setting(
        1.15, "zoom: largest ratio between the two magnifications", between=(1.0, 2.0)
    )
    expand: float = setting(
        0.5, "ssd: share of images that are put on a larger canvas", between=(0.0, 1.0)
    )
    expand_max: float = setting(
        4.0, "ssd: largest side of the canvas, of the image's", between=(1.0, 10.0)
    )
    crop_min: float = setting(0.3, "ssd: least side of a crop, of the image's", between=(0.05, 1.0))
    area_min: float = setting(
        0.08, "resized_crop: least area of a crop, of the image's", between=(0.01, 1.0)
    )
    scale_min: float = setting(
        0.5, "scale: least magnification; at 1 the image just covers the input", between=(0.1, 1.0)
    )
    scale_max: float = setting(2.0, "scale: largest magnification", between=(1.0, 5.0))
    least_visible: float = setting(
        0.35,
        "Objects of which less than this share stays in the crop are neither taught nor punished",
        between=(0.0, 1.0),
    )
    least_side: float = setting(
        4.0,
        "Objects with a shorter side, pixels of the input, are neither taught nor punished",
        between=(0.0, 100.0),
    )
    distort: float = setting(
        0.5, "Chance of each of the changes of color below", between=(0.0, 1.0)
    )
    brightness: float = setting(
        0.125, "Largest shift of brightness, of the full range", between=(0.0, 0.9)
    )
    contrast: float = setting(0.5, "Largest change of contrast", between=(0.0, 0.9))
    saturation: float = setting(0.5, "Largest change of saturation", between=(0.0, 1.0))
    hue: float = setting(18.0, "Largest shift of hue, degrees", between=(0.0, 180.0))
    cast: float = setting(
        0.0, "Largest change of one channel's gain: the color of the light", between=(0.0, 0.9)
    )
    shuffle: bool = setting(False, "Whether the channels change places")


NO_AUGMENTATION = AugmentationConfig(
    geometry="none", flip=0.0, least_visible=0.0, least_side=0.0, distort=0.0
)
"""Brings images to the input's size, and leaves them as they are otherwise."""
