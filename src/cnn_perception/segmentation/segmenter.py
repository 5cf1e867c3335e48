"""A class for every pixel of a picture, by a bundle's network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import SegmenterConfig, SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.image.draw import palette
from cnn_perception.image.preprocess import Placement
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["Segmenter", "classify_pixels"]

Mask = NDArray[np.uint8] | NDArray[np.uint16]


class Segmenter:
    """Labels pixels. The answer depends on the picture alone.

    Logits of low resolution are interpolated to the network's input size before the best class is
    chosen: edges follow the objects instead of stairs. From there to the picture's size the nearest
    label is taken. Networks that choose in their graph (``mask_index``) are only resized.

    inference: the bundle's network, where it is shared. Raises ModelError when the bundle is not
    for segmentation, or its network does not fit it. One thread at a time.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        config: SegmenterConfig | None = None,
        session: SessionConfig | None = None,
        inference: Inference | None = None,
    ) -> None:
        if bundle.task != "segmentation":
            raise ModelError(
                f"{bundle.file}: a bundle for {bundle.task} cannot segment: give one for "
                "segmentation"
            )
        self.bundle = bundle
        self.config = config or SegmenterConfig()
        self.palette: UInt8Array = (
            bundle.palette
            if bundle.palette is not None
            else palette(len(bundle.labels), background=True)
        )
        self._dtype = np.uint8 if len(bundle.labels) <= 256 else np.uint16
        self._infer = (inference or Inference(bundle, session)).join()

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self.bundle.labels

    @property
    def provider(self) -> str:
        """The execution provider that really runs the network, by ONNX Runtime's name."""
        return self._infer.session.provider

    def segment(self, rgb: UInt8Array) -> Mask:
        """Return the class id of every pixel of an RGB uint8 (H, W, 3) picture.

        uint8 (H, W), uint16 for more than 256 labels. Raises ModelError when the network answers
        with a class id that has no label.
        """
        output = self.bundle.output
        (name,) = output.tensors.values()
        raw = self._infer(rgb)
        answer, placement = raw.tensors[name][0], raw.placement
        if output.format == "mask_logits":
            mask = classify_pixels(answer, placement.input)
        else:
            mask = answer
            for extreme in (int(mask.min()), int(mask.max())):
                if not 0 <= extreme < len(self.labels):
                    raise ModelError(
                        f"{self.bundle.file}: the network answers class {extreme} but labels has "
                        f"{len(self.labels)} entries: complete them"
                    )
        return self._to_source(mask.astype(self._dtype, copy=False), placement)

    @staticmethod
    def _to_source(mask: Mask, placement: Placement) -> Mask:
        moved: Mask = placement.map_to_source(mask, "nearest")
        return moved


def classify_pixels(logits: Float32Array, size: tuple[int, int]) -> Mask:
    """Return the best class of each pixel, uint16 (height, width), of interpolated logits.

    logits: float32 (C, h, w); size: (width, height). Of equal logits the lower class wins.
    """
    best = cv2.resize(np.ascontiguousarray(logits[0]), size, interpolation=cv2.INTER_LINEAR)
    classes = np.zeros(best.shape, np.uint16)
    # One pass per class over planes that stay in cache; np.argmax over the stack takes longer.
    for index in range(1, len(logits)):
        plane = cv2.resize(
            np.ascontiguousarray(logits[index]), size, interpolation=cv2.INTER_LINEAR
        )
        classes[plane > best] = index
        np.maximum(best, plane, out=best)
    return classes
