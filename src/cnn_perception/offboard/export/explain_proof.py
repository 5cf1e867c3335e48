"""Explain graphs held against PyTorch's automatic differentiation and pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.offboard.explain_methods.grad_cam import mean_gradients, shared_gradients
from cnn_perception.offboard.export.explained import Explained
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork
from cnn_perception.runtime.inference import Graph
from cnn_perception.types import Float32Array

__all__ = ["EXPLAIN_TOLERANCE", "prove"]

EXPLAIN_TOLERANCE = 1e-3
"""The largest difference of class activation maps, by their largest value."""

_ON_CPU = SessionConfig(provider="cpu")

_WEIGHTS = {"cam": mean_gradients, "cam_plus_plus": shared_gradients}

_RANDOM_ANSWERS = 3
"""Questions per image and graph besides that of the largest logit."""


def prove(
    network: Path, graph: Path, explained: Explained, inputs: Sequence[Tensor], seed: int = 0
) -> float:
    """Return how far an explain graph is from PyTorch, at most, by the maps' largest value.

    network: the file, which answers with the tensors that the graph takes; inputs: normalised
    float32 (1, 3, H, W). The gradient is that of the network's PyTorch twin, whose answers must be
    ONNX Runtime's; pytorch-grad-cam's maps, where it is installed, are compared after its own
    normalisation. Raises ModelError when a difference is above EXPLAIN_TOLERANCE.
    """
    twin = OnnxNetwork(network)
    runner, explainer = Graph(network, _ON_CPU), Graph(graph, _ON_CPU)
    joins = [x.name for x in explainer.inputs if x.name in twin.tensors]
    rng = np.random.default_rng(seed)
    worst = 0.0
    for image in inputs:
        answers = runner.run({twin.inputs[0]: image.numpy()})
        _check_twin(network, twin, image, answers)
        tensors = {x: torch.from_numpy(answers[x]) for x in (explained.feature_map, *joins)}
        tensors[twin.inputs[0]] = image  # for what joins the way without being asked for
        head = _Head(twin, explained, tensors)
        for asked, weights in _questions(explained, head.logits, rng):
            feeds = {"feature_map": answers[explained.feature_map], **asked}
            cams = explainer.run({**feeds, **{name: answers[name] for name in joins}})
            for name, difference in head.differences(cams, weights):
                if not difference <= EXPLAIN_TOLERANCE:
                    raise ModelError(
                        f"{graph}: {name} of {_named(asked)} is off by {difference:.2g} of its "
                        f"largest value, more than {EXPLAIN_TOLERANCE:g}: do not ship it"
                    )
                worst = max(worst, difference)
    return worst


def _check_twin(
    file: Path, twin: OnnxNetwork, image: Tensor, answers: Mapping[str, NDArray[Any]]
) -> None:
    """Raise ModelError unless a network answers in PyTorch as it did in ONNX Runtime."""
    floats = [name for name, value in answers.items() if value.dtype == np.float32]
    with torch.no_grad():
        found = twin.run({twin.inputs[0]: image}, floats)
    for name in floats:
        apart = _apart(found[name].numpy(), answers[name])
        apart /= max(1.0, float(np.abs(answers[name]).max(initial=0)))
        if not apart <= EXPLAIN_TOLERANCE:
            raise ModelError(
                f"{file}: {name} is off by {apart:.2g} in PyTorch, more than {EXPLAIN_TOLERANCE:g}:"
                " what is explained there is another network"
            )


class _Head(nn.Module):
    """What leads from a feature map to logits, for one image."""

    def __init__(
        self, twin: OnnxNetwork, explained: Explained, tensors: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.tap = nn.Identity()
        self._twin = twin
        self._explained = explained
        self._tensors = dict(tensors)
        with torch.no_grad():
            self.logits = self(tensors[explained.feature_map])

    def forward(self, feature_map: Tensor) -> Tensor:
        feeds = {**self._tensors, self._explained.feature_map: self.tap(feature_map)}
        return self._twin.run(feeds, [self._explained.logits])[self._explained.logits]

    def differences(
        self, cams: Mapping[str, Float32Array], weights: Tensor
    ) -> Iterator[tuple[str, float]]:
        """Yield how far maps by name are from those of other implementations."""
        leaf = self._tensors[self._explained.feature_map].clone().requires_grad_()
        (gradient,) = torch.autograd.grad((self(leaf) * weights).sum(), leaf)
        for name, cam in cams.items():
            maps = leaf.detach()[0]
            signed = torch.einsum("k,kij->ij", _WEIGHTS[name](maps, gradient[0]), maps)
            # By the largest of either sign: where all speaks against, the map itself is zero.
            largest = max(float(signed.abs().max()), 1e-30)
            wanted = signed.clamp(min=0).numpy()
            yield f"{name} beside automatic differentiation", _apart(cam[0], wanted) / largest
            if find_spec("pytorch_grad_cam") is not None:
                apart = _apart(_normalised(cam[0]), self._grad_cam(name, weights))
                # Its normalisation spreads a map that is nearly flat, and rounding errors with it.
                spread = float(np.ptp(cam[0])) / largest
                yield f"{name} beside pytorch-grad-cam", apart * spread

    def _grad_cam(self, name: str, weights: Tensor) -> Float32Array:
        from pytorch_grad_cam import GradCAM, GradCAMPlusPlus

        method = {"cam": GradCAM, "cam_plus_plus": GradCAMPlusPlus}[name]
        feature_map = self._tensors[self._explained.feature_map].clone().requires_grad_()
        # Targets get the answer without its batch axis.
        with method(model=self, target_layers=[self.tap]) as explainer:
            found = explainer(feature_map, targets=[lambda answer: (answer * weights[0]).sum()])
        return np.asarray(found[0], np.float32)


def _questions(
    explained: Explained, logits: Tensor, rng: np.random.Generator
) -> Iterator[tuple[dict[str, NDArray[Any]], Tensor]]:
    """Yield what the graph is asked, and the weights of the logits that this stands for.

    The largest logit, and some at random.
    """
    if explained.boxes is None and logits.dim() == 4:
        yield from _region_questions(logits)
        return

    def table(values: Float32Array) -> Float32Array:
        """A view of the logits, or of their weights: by box where there are boxes, and class."""
        return values if explained.boxes is None else explained.boxes.table(values)

    values = table(logits.numpy())
    largest = np.unravel_index(int(values.argmax()), values.shape)
    chosen = [largest, *(rng.integers(values.shape) for _ in range(_RANDOM_ANSWERS))]
    for place in chosen:
        *box, class_index = (int(index) for index in place)
        asked = {"class_index": np.array([class_index])}
        if explained.boxes is not None:
            asked["anchor"] = np.array([np.ravel_multi_index(tuple(box), values.shape[:-1])])
        weights = np.zeros(tuple(logits.shape), np.float32)
        table(weights)[tuple(place)] = 1
        yield asked, torch.from_numpy(weights)


def _region_questions(
    logits: Tensor,
) -> Iterator[tuple[dict[str, NDArray[Any]], Tensor]]:
    best = logits.argmax(1)
    counts = torch.bincount(best.flatten(), minlength=logits.shape[1])
    for class_index in counts.argsort(descending=True)[: 1 + _RANDOM_ANSWERS].tolist():
        region = (best == class_index).float()
        if not region.any():
            continue
        weights = torch.zeros_like(logits)
        weights[:, class_index] = region
        yield {"class_index": np.array([class_index]), "region": region.numpy()}, weights


def _apart(found: Float32Array, wanted: Float32Array) -> float:
    return float(np.abs(found - wanted).max(initial=0))


def _normalised(cam: Float32Array) -> Float32Array:
    """Return a map as pytorch-grad-cam does, which scales each layer's and then their mean."""
    for _ in range(2):
        cam = cam - cam.min()
        cam = cam / (np.float32(1e-7) + cam.max())
    return cam


def _named(asked: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {value[0]}" for name, value in asked.items() if value.size == 1)
