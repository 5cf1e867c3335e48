"""A model bundle to look into: its ONNX network with layers, hooks and gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.formats import OUTPUT_FORMATS
from cnn_perception.formats.format import DetectionFormat
from cnn_perception.formats.mask_index import MaskIndexFormat
from cnn_perception.offboard.explain_methods.network import OpenNetwork
from cnn_perception.offboard.explain_methods.targets import BoxClasses
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork
from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["open_bundle"]


def open_bundle(bundle: ModelBundle) -> OpenNetwork:
    """Open the network of a bundle, with the answers that `class_target` explains.

    Layers are named as by `OnnxNetwork`. Labels of masks are traced back to the logits that they
    are the best of, probabilities to logits where that is one step. Raises ModelError for a network
    with operators that are not known, ConfigError for an output format that says nothing of classes
    before suppression.
    """
    spec = bundle.input
    if spec.channels == "bgr":
        spec = replace(spec, channels="rgb", mean=spec.mean[::-1], std=spec.std[::-1])
    return OpenNetwork(bundle.name, _BundleNetwork(bundle), spec, bundle.labels)


class _BundleNetwork(OnnxNetwork):
    """A bundle's network for RGB images, one by one, as files are mostly for one image."""

    def __init__(self, bundle: ModelBundle) -> None:
        output = bundle.output
        if not output.is_explained:
            known = ", ".join(form.name for form in OUTPUT_FORMATS.values() if form.is_explained)
            raise ConfigError(
                f"{bundle.file}: output.format {output.name!r} cannot be looked into: choose a "
                f"bundle with one of {known}"
            )
        super().__init__(bundle.model)
        self._takes_bgr = bundle.input.channels == "bgr" and not self._turned_to_rgb()
        self._output = output
        self._roles = dict(output.tensors)
        if isinstance(output, MaskIndexFormat):
            self._roles["mask_index"] = self._before_labels(output.tensors["mask_index"])
        elif isinstance(output, DetectionFormat) and output.class_axes is not None:
            node = self.node(output.tensors[output.class_axes.role])
            if node.kind in ("Softmax", "Sigmoid"):
                self._roles.setdefault("logits", node.inputs[0])

    def forward(self, images: Tensor) -> Any:
        """Return what targets read, for normalised RGB images float32 (B, 3, H, W)."""
        images = images.flip(1) if self._takes_bgr else images
        found = [
            self.run({self.inputs[0]: image}, tuple(self._roles.values()))
            for image in images.split(1)
        ]
        tensors = {
            role: torch.cat([answer[name] for answer in found])
            for role, name in self._roles.items()
        }
        if isinstance(self._output, DetectionFormat):
            return BoxClasses(*self._output.class_scores(tensors))
        (logits,) = tensors.values()
        return logits

    def _turned_to_rgb(self) -> bool:
        """Turn around the weights that read a BGR image, so that they are seen in true colors.

        Returns whether that could be done.
        """
        readers = [getattr(self, x.layer) for x in self._steps if self.inputs[0] in x.inputs]
        if any(not isinstance(x, nn.Conv2d) or x.groups > 1 for x in readers):
            return False
        for reader in readers:
            reader.weight = nn.Parameter(reader.weight.detach().flip(1))
        return True

    def _before_labels(self, labels: str) -> str:
        """Return the tensor of which a tensor of labels has the best places."""
        tensor = labels
        while tensor not in self.inputs:
            node = self.node(tensor)
            tensor = node.inputs[0]
            if node.kind == "ArgMax":
                return tensor
        raise ModelError(f"{labels} is the ArgMax of nothing: there are no logits to explain")
