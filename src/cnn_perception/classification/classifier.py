"""A class for a whole picture, by a bundle's network."""

from __future__ import annotations

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.formats.format import ClassificationFormat
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference, Predictor
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["Classifier"]


class Classifier(Predictor):
    """Says what a picture shows. The answer depends on the picture alone.

    Raises ModelError when the bundle is not for classification, or its network does not fit it. One
    thread at a time.
    """

    def __init__(self, bundle: ModelBundle, session: SessionConfig | None = None) -> None:
        if not isinstance(bundle.output, ClassificationFormat):
            raise ModelError(
                f"{bundle.file}: a bundle for {bundle.task} cannot classify: give one for "
                "classification"
            )
        super().__init__(bundle, Inference(bundle, session).join())
        self._format = bundle.output

    def classify(self, rgb: UInt8Array) -> Float32Array:
        """Return the probability of each class, float32 (C,), for RGB uint8 (H, W, 3)."""
        return self._format.scores(self._format.by_role(self.infer(rgb).tensors))
