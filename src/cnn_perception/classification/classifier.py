"""A class for a whole picture, by a bundle's network."""

from __future__ import annotations

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.formats.format import ClassificationFormat
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.inference import Inference
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["Classifier"]


class Classifier:
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
        self.bundle = bundle
        self._format = bundle.output
        self._infer = Inference(bundle, session).join()

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self.bundle.labels

    @property
    def provider(self) -> str:
        """The execution provider that really runs the network, by ONNX Runtime's name."""
        return self._infer.session.provider

    def classify(self, rgb: UInt8Array) -> Float32Array:
        """Return the probability of each class, float32 (C,), for RGB uint8 (H, W, 3)."""
        return self._format.scores(self._format.by_role(self._infer(rgb).tensors))

    def close(self) -> None:
        """Let go of the network."""
        self._infer.close()
