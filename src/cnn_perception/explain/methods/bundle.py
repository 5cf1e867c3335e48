"""A model bundle to look into: its ONNX network with layers, hooks and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.explain.methods.network import OpenNetwork
from cnn_perception.explain.methods.targets import BoxClasses
from cnn_perception.networks.onnx_network import OnnxNetwork
from cnn_perception.networks.ssdlite import SsdOutputs
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
        if output.format not in _READERS:
            raise ConfigError(
                f"{bundle.file}: output.format {output.format!r} cannot be looked into: choose a "
                f"bundle with one of {', '.join(_READERS)}"
            )
        super().__init__(bundle.model)
        self._takes_bgr = bundle.input.channels == "bgr" and not self._turned_to_rgb()
        self._background = output.background
        self._read = _READERS[output.format]
        self._roles = dict(output.tensors)
        if output.format == "mask_index":
            self._roles["mask_index"] = self._before_labels(output.tensors["mask_index"])
        elif output.format == "boxes_scores":
            node = self.node(output.tensors["scores"])
            if node.kind in ("Softmax", "Sigmoid"):
                self._roles["logits"] = node.inputs[0]

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
        return self._read(tensors, self._background)

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


Tensors = Mapping[str, Tensor]
"""Output tensors with their batch axis, by role."""


def _mask_or_class_logits(tensors: Tensors, _: int | None) -> Tensor:
    (logits,) = tensors.values()
    return logits


def _ssd_raw(tensors: Tensors, _: int | None) -> SsdOutputs:
    return SsdOutputs(tensors["class_logits"], tensors["box_deltas"], ())


def _boxes_scores(tensors: Tensors, background: int | None) -> BoxClasses:
    scores = tensors["scores"]
    classes = [k for k in range(scores.shape[2]) if k != background]
    return BoxClasses(tensors.get("logits", scores)[:, :, classes], scores[:, :, classes])


def _detr(tensors: Tensors, _: int | None) -> BoxClasses:
    logits = tensors["logits"]
    return BoxClasses(logits[:, :, :-1], logits.softmax(2)[:, :, :-1])  # the last is no object


def _yolo_v5(tensors: Tensors, _: int | None) -> BoxClasses:
    rows = tensors["predictions"]
    scores = rows[:, :, 5:] * rows[:, :, 4:5]
    return BoxClasses(scores, scores)


def _yolo_v8(tensors: Tensors, _: int | None) -> BoxClasses:
    scores = tensors["predictions"][:, 4:].transpose(1, 2)
    return BoxClasses(scores, scores)


def _fastestdet(tensors: Tensors, _: int | None) -> BoxClasses:
    # At 0 a power has no finite derivative, and 0 times infinity would spoil every gradient.
    cells = tensors["cells"].flatten(2).transpose(1, 2)
    strengths = cells.clamp(1e-6, 1.0)
    scores = strengths[:, :, :1] ** 0.6 * strengths[:, :, 5:] ** 0.4
    return BoxClasses(scores, scores)


_READERS: Mapping[str, Callable[[Tensors, int | None], Any]] = {
    "class_logits": _mask_or_class_logits,
    "mask_logits": _mask_or_class_logits,
    "mask_index": _mask_or_class_logits,
    "ssd_raw": _ssd_raw,
    "boxes_scores": _boxes_scores,
    "detr": _detr,
    "yolo_v5": _yolo_v5,
    "yolo_v8": _yolo_v8,
    "fastestdet": _fastestdet,
}
"""What targets read, per output format; see `detection.candidates` for what rows mean."""
