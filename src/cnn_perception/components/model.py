"""What the components with a network have in common: the bundle, the provider, the class names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from cnn_perception.components.component import Component, Event, Frame, Input, Output, Setup, Topic
from cnn_perception.config import SessionConfig
from cnn_perception.parameters import ModelConfig
from cnn_perception.runtime.bundle import ModelBundle, file_digest, load_bundle
from cnn_perception.runtime.inference import Inference

__all__ = ["LABEL_INFO", "ModelComponent"]

LABEL_INFO = Topic("~/label_info", "vision_msgs/msg/LabelInfo", latched=True, depth=1)


class ModelComponent(Component):
    """Runs one network over every image of one topic.

    Raises ModelError for a bundle that cannot be used.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.bundle: ModelBundle = load_bundle(self.config(ModelConfig).model)
        session = self.config(SessionConfig)
        self.core: Any = self.make_core(session, setup.networks.get(self.bundle, session))
        self._digest = file_digest(self.bundle.model)
        self.log.info(
            "model %s %s runs on %s", self.bundle.name, self.bundle.version, self.core.provider
        )

    @abstractmethod
    def make_core(self, session: SessionConfig, inference: Inference) -> Any:
        """Build the object that runs the bundle; inference: its network."""

    @abstractmethod
    def take(self, frame: Frame) -> Iterator[Event]:
        """Answer one image."""

    def inputs(self) -> Sequence[Input]:
        """See Component."""
        return (self.image_input("image", self.take, decode=Frame.color),)

    def labels(self, threshold: float) -> Output:
        """Return the names of the class indices as a message."""
        return Output(LABEL_INFO.name, self.encode.label_info(self.core.labels, threshold))

    def close(self) -> None:
        """Let go of the network, which others of the process may go on with."""
        self.core.close()

    def describe(self) -> dict[str, Any]:
        """Name the model and where it runs."""
        return {
            "model": self.bundle.name,
            "version": self.bundle.version,
            "sha256": self._digest,
            "provider": self.core.provider,
        }
