"""A class for a whole picture, by a bundle's network."""

from __future__ import annotations

from cnn_perception.config import SessionConfig
from cnn_perception.detection.candidates import softmax
from cnn_perception.errors import ModelError
from cnn_perception.image.preprocess import Preprocessor
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.session import Session
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["Classifier"]


class Classifier:
    """Says what a picture shows. The answer depends on the picture alone.

    Raises ModelError when the bundle is not for classification, or its network does not fit it. One
    thread at a time.
    """

    def __init__(self, bundle: ModelBundle, session: SessionConfig | None = None) -> None:
        if bundle.task != "classification":
            raise ModelError(
                f"{bundle.file}: a bundle for {bundle.task} cannot classify: give one for "
                "classification"
            )
        self.bundle = bundle
        self._preprocess = Preprocessor(bundle.input)
        self._session = Session(bundle, session)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self.bundle.labels

    @property
    def provider(self) -> str:
        """The execution provider that really runs the network, by ONNX Runtime's name."""
        return self._session.provider

    def classify(self, rgb: UInt8Array) -> Float32Array:
        """Return the probability of each class, float32 (C,), for RGB uint8 (H, W, 3)."""
        tensor, _ = self._preprocess(rgb)
        name = self.bundle.output.tensors["class_logits"]
        return softmax(self._session.run({self.bundle.input.name: tensor}, [name])[name][0])
