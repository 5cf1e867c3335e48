"""What the nodes with a network have in common: the bundle, the provider, the class names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vision_msgs.msg import LabelInfo

from cnn_perception.config import SessionConfig
from cnn_perception.parameters import ModelConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import LATCHED
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.runtime.inference import Inference, InferencePool

__all__ = ["ModelNode"]


class ModelNode(PerceptionNode):
    """A node that runs one network over every image of one topic.

    A subclass implements `make_core`, which builds the core object from the bundle, and `process`.
    networks: those of the process, so that nodes with the same network look at a picture once.
    """

    core: Any = None

    def __init__(self, name: str, *, networks: InferencePool | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self._networks = networks or InferencePool()

    def make_core(self, bundle: ModelBundle, session: SessionConfig, inference: Inference) -> Any:
        """Build the core object that runs the bundle; inference: its network."""
        raise NotImplementedError

    def load(self) -> None:
        """Load the bundle and say which execution provider really runs it."""
        self.bundle = load_bundle(self.config(ModelConfig).model)
        session = self.config(SessionConfig)
        self.core = self.make_core(self.bundle, session, self._networks.get(self.bundle, session))
        self.get_logger().info(
            f"model {self.bundle.name} {self.bundle.version} runs on {self.core.provider}"
        )

    def unload(self) -> None:
        """Let go of the network."""
        self.core = None

    def subscribe(self) -> None:
        """Listen to the images."""
        self.listen_images("image", self.offer)

    def describe(self) -> Mapping[str, str]:
        """Name the model and the provider."""
        return {"model": self.bundle.name, "provider": self.core.provider}

    def advertise_labels(self) -> None:
        """Create the latched publisher of the class names."""
        self._labels = self.advertise(LabelInfo, "~/label_info", LATCHED)

    def publish_labels(self, threshold: float) -> None:
        """Publish the names of the class indices."""
        self._labels.publish(encode.label_info(self.core.labels, threshold))
