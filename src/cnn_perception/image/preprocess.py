"""From a picture to a network's input, and from the network's answers back to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ConfigError
from cnn_perception.settings import REQUIRED, Config, SettingError, Text, setting
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["LARGEST_SIDE", "InputSpec", "Placement", "Preprocessor", "place"]

_PADDING = 114
"""Grey level around a letterboxed image, as the YOLO family is trained with."""


LARGEST_SIDE = 8192
"""Of a network's input, pixels."""


@dataclass(frozen=True, slots=True)
class InputSpec(Config):
    """What a network takes: float32 (1, 3, height, width) of (pixel - mean) / std."""

    name: Text = setting(REQUIRED, "Name of the input tensor")
    width: int = setting(REQUIRED, "Pixels", between=(1, LARGEST_SIDE))
    height: int = setting(REQUIRED, "Pixels", between=(1, LARGEST_SIDE))
    channels: str = setting("rgb", "Order of the channels", choices=("rgb", "bgr"), required=True)
    resize: str = setting(
        "stretch",
        "How images are brought to this size: stretch, both axes fill the input; letterbox, aspect "
        "kept, centred, grey bars; crop, aspect kept, the centre is cut out",
        choices=("stretch", "letterbox", "crop"),
        required=True,
    )
    mean: tuple[float, float, float] = setting(
        (0.0, 0.0, 0.0),
        "Subtracted from pixels on the 0 to 255 scale, by channel in this order",
        between=(-1e6, 1e6),
        required=True,
    )
    std: tuple[float, float, float] = setting(
        (1.0, 1.0, 1.0), "What they are then divided by", between=(1e-9, 1e6), required=True
    )
    shorter_side: int | None = setting(
        None, "crop: what the shorter side of the image becomes, pixels", between=(1, LARGEST_SIDE)
    )

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        self._check_shorter_side()

    def _check_shorter_side(self) -> None:
        """Raise ConfigError unless every image, so resized, covers the input."""
        if (self.resize == "crop") != (self.shorter_side is not None):
            raise SettingError(
                "resize",
                f"= {self.resize!r} with shorter_side = {self.shorter_side}: crop needs it, the "
                "others have none",
            )
        least = max(self.width, self.height)
        if self.shorter_side is not None and self.shorter_side < least:
            raise SettingError(
                "shorter_side",
                f"= {self.shorter_side} does not cover {self.width}x{self.height}: give {least} "
                "or more",
            )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a source image lies in a network's input: ``input = (source - cut) * scale + offset``.

    Sizes are (width, height) in pixels; `inner` is the size that the image was resized to, `offset`
    its upper left corner in the input. `cut` is the part of the source that is seen, x, y, width,
    height; None is all of it. Coordinates are continuous: pixel i covers [i, i + 1).
    """

    source: tuple[int, int]
    input: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]
    cut: tuple[int, int, int, int] | None = None

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """The part of the source that is seen: x, y, width, height."""
        return (0, 0, *self.source) if self.cut is None else self.cut

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per source pixel, along x and y."""
        _, _, width, height = self.seen
        return self.inner[0] / width, self.inner[1] / height

    def boxes_to_source(self, boxes: Float32Array) -> Float32Array:
        """Return float32 (N, 4) corners in source pixels, clipped to the image.

        `boxes` are corners in pixels of the network's input.
        """
        scale, offset, corner = self._corner_terms()
        limit = np.array(self.source * 2, np.float32)
        moved: Float32Array = (np.asarray(boxes, np.float32).reshape(-1, 4) - offset) / scale
        moved += corner
        np.clip(moved, 0, limit, out=moved)
        return moved

    def boxes_to_input(self, boxes: Float32Array) -> Float32Array:
        """Return float32 (N, 4) corners in input pixels of corners in source pixels."""
        scale, offset, corner = self._corner_terms()
        moved: Float32Array = (np.asarray(boxes, np.float32).reshape(-1, 4) - corner) * scale
        moved += offset
        return moved

    def _corner_terms(self) -> Float32Array:
        """Return scale, offset and the cut's corner, float32 (3, 4), for corners x, y, x, y."""
        return np.array([self.scale * 2, self.offset * 2, self.seen[:2] * 2], np.float32)

    def map_to_source(
        self, values: NDArray[Any], interpolation: Literal["nearest", "linear"] = "linear"
    ) -> NDArray[Any]:
        """Return a map over the network's input as one over the source image, same dtype.

        `values` is (h, w) or (h, w, C) at any resolution: it covers the whole input, bars
        included. Pixels that the network did not see are 0. ``nearest`` keeps labels of any integer
        type; ``linear`` is for scores and heat. Raises ConfigError for ``linear`` on anything but
        float32 and float64.
        """
        if interpolation == "linear" and values.dtype not in (np.float32, np.float64):
            raise ConfigError(f"a map of {values.dtype} cannot be interpolated: use nearest")
        resized = _linear if interpolation == "linear" else _nearest
        if self.inner != self.input:
            if values.shape[1::-1] != self.input:
                values = resized(values, *self.input)
            (x, y), (width, height) = self.offset, self.inner
            values = values[y : y + height, x : x + width]
        x, y, width, height = self.seen
        same = values.shape[1::-1] == (width, height)
        values = values.copy() if same else resized(values, width, height)
        if self.cut is None:
            return values
        whole = np.zeros((*self.source[::-1], *values.shape[2:]), values.dtype)
        whole[y : y + height, x : x + width] = values
        return whole


def _linear(values: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    resized = cv2.resize(
        np.ascontiguousarray(values), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(resized, values.dtype)


def _nearest(values: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    # Not OpenCV's INTER_NEAREST_EXACT: its versions differ, in as many as one pixel in ten.
    rows, columns = values.shape[:2]
    return values.take(_centers(columns, width), 1).take(_centers(rows, height), 0)


@lru_cache(maxsize=64)
def _centers(size: int, resized: int) -> NDArray[np.intp]:
    """Return (resized,): the pixel of `size` in which the centre of each resized one lies.

    Of two on whose border it lies that nearer to the middle: mirrored, the answer is the same.
    """
    index = np.arange(resized)
    return ((2 * index + 1) * size - (2 * index >= resized)) // (2 * resized)


class Preprocessor:
    """Resizes and normalises pictures for one network, reusing its buffers.

    Not for use from two threads at once.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        size = (spec.height, spec.width)
        self._tensor = np.empty((1, 3, *size), np.float32)
        self._canvas = np.full((*size, 3), _PADDING, np.uint8)
        self._planes = [np.empty(size, np.uint8) for _ in range(3)]
        levels = np.arange(256, dtype=np.float64)
        self._tables = [
            ((levels - mean) / std).astype(np.float32)
            for mean, std in zip(spec.mean, spec.std, strict=True)
        ]
        self._placement: Placement | None = None

    def __call__(self, rgb: UInt8Array) -> tuple[Float32Array, Placement]:
        """Return (tensor, placement) of an RGB uint8 (H, W, 3) image.

        The tensor, float32 (1, 3, height, width), is this object's own buffer: the next call
        overwrites it. Bilinear interpolation without antialiasing, as torchvision's detection
        models and the YOLO family are trained with; ``crop`` averages over areas when it shrinks,
        as torchvision's classifiers are trained with antialiasing. Raises ConfigError for another
        shape or dtype.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise ConfigError(
                f"the image is {rgb.dtype} {rgb.shape}: give RGB uint8 (height, width, 3)"
            )
        placement = self._place(rgb.shape[1], rgb.shape[0])
        (x, y), (width, height) = placement.offset, placement.inner
        inner = self._canvas[y : y + height, x : x + width]
        if placement.cut is not None:
            left, top, wide, high = placement.cut
            rgb = rgb[top : top + high, left : left + wide]
        if (width, height) == rgb.shape[1::-1]:
            inner[:] = rgb
        else:
            shrinks = self.spec.resize == "crop" and width < rgb.shape[1]
            mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            inner[:] = cv2.resize(rgb, (width, height), interpolation=mode)
        cv2.split(self._canvas, self._planes)
        planes = self._planes if self.spec.channels == "rgb" else self._planes[::-1]
        for plane, table, out in zip(planes, self._tables, self._tensor[0], strict=True):
            cv2.LUT(plane, table, dst=out)
        return self._tensor, placement

    def _place(self, width: int, height: int) -> Placement:
        if self._placement is not None and self._placement.source == (width, height):
            return self._placement
        self._canvas.fill(_PADDING)
        self._placement = place(self.spec, width, height)
        return self._placement


def place(spec: InputSpec, width: int, height: int) -> Placement:
    """Return where a width x height image comes to lie in the input that `spec` describes."""
    full = (spec.width, spec.height)
    if spec.resize == "stretch":
        return Placement((width, height), full, full, (0, 0))
    if spec.shorter_side is not None:
        shrink = min(width, height) / spec.shorter_side
        cut = (max(round(spec.width * shrink), 1), max(round(spec.height * shrink), 1))
        corner = ((width - cut[0]) // 2, (height - cut[1]) // 2)
        return Placement((width, height), full, full, (0, 0), (*corner, *cut))
    scale = min(spec.width / width, spec.height / height)
    inner = (
        min(max(round(width * scale), 1), spec.width),
        min(max(round(height * scale), 1), spec.height),
    )
    offset = ((spec.width - inner[0]) // 2, (spec.height - inner[1]) // 2)
    return Placement((width, height), full, inner, offset)
