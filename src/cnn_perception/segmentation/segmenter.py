"""A class for every pixel of a picture, by a bundle's network."""

from __future__ import annotations

import numpy as np

from cnn_perception.config import SegmenterConfig, SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.formats.format import Mask, SegmentationFormat
from cnn_perception.image.draw import palette
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference, Predictor
from cnn_perception.types import UInt8Array

__all__ = ["Segmenter"]


class Segmenter(Predictor):
    """Labels pixels. The answer depends on the picture alone.

    From the network's input to the picture's size the nearest label is taken.

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
        if not isinstance(bundle.output, SegmentationFormat):
            raise ModelError(
                f"{bundle.file}: a bundle for {bundle.task} cannot segment: give one for "
                "segmentation"
            )
        super().__init__(bundle, (inference or Inference(bundle, session)).join())
        self._format = bundle.output
        self.config = config or SegmenterConfig()
        self.palette: UInt8Array = (
            bundle.palette
            if bundle.palette is not None
            else palette(len(bundle.labels), background=True)
        )
        self._dtype = np.uint8 if len(bundle.labels) <= 256 else np.uint16

    def segment(self, rgb: UInt8Array) -> Mask:
        """Return the class id of every pixel of an RGB uint8 (H, W, 3) picture.

        uint8 (H, W), uint16 for more than 256 labels. Raises ModelError when the network answers
        with a class id that has no label.
        """
        raw = self.infer(rgb)
        mask = self._format.mask(self._format.by_role(raw.tensors), self.bundle)
        moved: Mask = raw.placement.map_to_source(mask.astype(self._dtype, copy=False), "nearest")
        return moved
