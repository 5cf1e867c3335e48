"""Grad-CAM by pytorch-grad-cam, Captum and this package, of networks in PyTorch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cnn_perception.errors import ConfigError
from cnn_perception.explain.explainer import LoadedGraph
from cnn_perception.offboard.benchmarks.explain import ONE_THREAD, apart, normalised
from cnn_perception.offboard.benchmarks.race import Contender, Job
from cnn_perception.offboard.explain_methods.grad_cam import grad_cam, grad_cam_plus_plus
from cnn_perception.offboard.explain_methods.network import OpenNetwork
from cnn_perception.offboard.explain_methods.targets import best_class, class_target
from cnn_perception.offboard.export.bundle import About
from cnn_perception.offboard.export.classifier import export_classifier
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.runtime.inference import Session
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["GradCamTwin", "classifier_jobs", "overlays"]


class GradCamTwin:
    """A detector's network in PyTorch, explained by pytorch-grad-cam.

    Its convolutions have their batch normalisation folded in, as in the file. bundle: one of format
    ``ssd_raw``.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        torch.set_num_threads(1)
        self._names = list(bundle.output.tensors.values())
        self._network = OnnxNetwork(bundle.model, [bundle.output.tensors["class_logits"]])

    def infer(self, tensor: Float32Array) -> Mapping[str, NDArray[Any]]:
        """Return the bundle's output tensors by name, without gradients."""
        images = torch.from_numpy(tensor)
        with torch.inference_mode():
            found = self._network.run({self._network.inputs[0]: images}, self._names)
        return {name: value.numpy() for name, value in found.items()}

    def grad_cam(
        self, tensor: Float32Array, feature_map: str, row: int, class_index: int
    ) -> Float32Array:
        """Return the map (h, w) in [0, 1], at the feature map's size, of one class logit."""
        from pytorch_grad_cam import GradCAM

        class AtOwnSize(GradCAM):  # type: ignore[misc]
            def get_target_width_height(self, input_tensor: Any) -> tuple[int, int]:
                (maps,) = self.activations_and_grads.activations
                return int(maps.shape[3]), int(maps.shape[2])

        layer = self._network.get_submodule(self._network.layer(feature_map))
        with AtOwnSize(self._network, [layer]) as explainer:
            # Targets get the answer without its batch axis.
            found = explainer(torch.from_numpy(tensor), [lambda logits: logits[row, class_index]])
        return np.asarray(found[0], np.float32)


def classifier_jobs(opened: OpenNetwork, rgb: UInt8Array) -> list[Job]:
    """Return Grad-CAM and Grad-CAM++ of a classifier's best class for a picture.

    Maps are compared with the first one's: pytorch-grad-cam's, where it is installed. The network
    is exported into a folder that is removed again. Raises ConfigError where no layer in PyTorch
    answers with the maps that its explain graph reads.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images = opened.prepare(rgb)[0].clone()
    answer = opened.answer(images)
    class_id, _ = best_class(answer)
    network, graph = _exported(opened, rgb, answer.shape[1])
    feeds = {opened.spec.name: images.numpy()}
    (maps,) = network.run(feeds, graph.tensors).values()
    question = _Question(opened.network, _layer(opened, images, torch.from_numpy(maps)), class_id)
    forward = Contender("ONNX Runtime, network alone", lambda turn: network.run(feeds))
    size = f"{opened.spec.width}x{opened.spec.height}"
    jobs = []
    for method, name in (("gradcam", "Grad-CAM"), ("gradcam++", "Grad-CAM++")):
        runs = dict(_in_pytorch(question, images, method))
        runs["ONNX Runtime, explain graph"] = partial(
            _in_onnx_runtime, network, graph, feeds, class_id, method
        )
        contenders: list[Contender] = []
        wanted = None
        for contender, run in runs.items():
            found = run(0)
            difference = None if wanted is None else apart(found, wanted)
            wanted = found if wanted is None else wanted
            contenders.append(Contender(contender, run, difference))
        jobs.append(
            Job(
                f"{opened.name} at {size}: {name} of {question.layer}",
                "Prepared tensor and class in, heat map in [0, 1] at the size of the input out, "
                "normalised as pytorch-grad-cam does.",
                [*contenders, forward],
            )
        )
    return jobs


def _layer(opened: OpenNetwork, images: Tensor, maps: Tensor) -> str:
    """Return the name of the outermost layer that answers with the maps that are explained."""
    names = {module: name for name, module in opened.network.named_modules()}
    found = []

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        close = 1e-3 * float(maps.abs().max())
        if isinstance(output, Tensor) and apart(output.numpy(), maps.numpy()) <= close:
            found.append(names[module])

    handles = [module.register_forward_hook(note) for module in names]
    try:
        opened.answer(images)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ConfigError(
            f"no layer of {opened.name} answers with the maps that its explain graph reads: choose "
            "another network"
        )
    return min(found, key=list(names.values()).index)


class _Question(NamedTuple):
    """Which logit is explained, from which layer's maps."""

    network: nn.Module
    layer: str
    class_id: int


Run = Callable[[int], Float32Array]


def _in_pytorch(question: _Question, images: Tensor, method: str) -> Iterator[tuple[str, Run]]:
    """Yield those who explain the network in PyTorch, pytorch-grad-cam first."""
    if find_spec("pytorch_grad_cam") is not None:
        yield "pytorch-grad-cam", partial(_pytorch_grad_cam, question, images, method)
    if find_spec("captum") is not None and method == "gradcam":
        yield "Captum", partial(_captum, question, images)
    yield "PyTorch, this package", partial(_ours, question, images, method)


def _pytorch_grad_cam(question: _Question, images: Tensor, method: str, _turn: int) -> Float32Array:
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kind = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus}[method]
    layer = question.network.get_submodule(question.layer)
    with kind(question.network, [layer]) as explainer:
        found = explainer(images, [ClassifierOutputTarget(question.class_id)])
    return np.asarray(found[0], np.float32)


def _captum(question: _Question, images: Tensor, _turn: int) -> Float32Array:
    from captum.attr import LayerGradCam

    layer = question.network.get_submodule(question.layer)
    found = LayerGradCam(question.network, layer).attribute(
        images, question.class_id, relu_attributions=True
    )
    return _heat_map(found[0, 0].detach().numpy(), images)


def _ours(question: _Question, images: Tensor, method: str, _turn: int) -> Float32Array:
    explain = {"gradcam": grad_cam, "gradcam++": grad_cam_plus_plus}[method]
    cam = explain(question.network, question.layer, images, class_target(question.class_id))
    return _heat_map(cam, images)


def _in_onnx_runtime(
    network: Session,
    graph: LoadedGraph,
    feeds: Mapping[str, NDArray[Any]],
    class_id: int,
    method: str,
    _turn: int,
) -> Float32Array:
    cam = graph.cam(network.run(feeds), {"class_index": np.array([class_id])}, method)
    (images,) = feeds.values()
    return _heat_map(cam, images)


def _heat_map(cam: Float32Array, images: Tensor | NDArray[Any]) -> Float32Array:
    """Return a class activation map over the input, as pytorch-grad-cam makes it of one."""
    height, width = images.shape[2:]
    cam = normalised(np.maximum(cam, 0))
    return normalised(np.asarray(cv2.resize(cam, (width, height)), np.float32))


def _exported(opened: OpenNetwork, rgb: UInt8Array, classes: int) -> tuple[Session, LoadedGraph]:
    """Return a classifier and its explain graph in ONNX Runtime."""
    about = About(f"{opened.name}, to be timed", "unknown", "cnn-perception bench explain", "0")
    labels = [opened.label(class_id) for class_id in range(classes)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / opened.name
        export_classifier(opened.network, place, [rgb], about, spec=opened.spec, labels=labels)
        bundle = load_bundle(place)
        network = Session(bundle, ONE_THREAD)
        return network, LoadedGraph(bundle, bundle.explain[0], network, ONE_THREAD)


def overlays(rgb: UInt8Array, heat: Float32Array) -> list[Contender]:
    """Return pytorch-grad-cam's drawing, of a picture as it takes it and of one in bytes."""
    from pytorch_grad_cam.utils.image import show_cam_on_image

    prepared = np.float32(rgb) / np.float32(255)
    return [
        Contender(
            "show_cam_on_image, float32 picture",
            lambda turn: show_cam_on_image(prepared, heat, use_rgb=True),
        ),
        Contender(
            "show_cam_on_image, uint8 picture",
            lambda turn: show_cam_on_image(np.float32(rgb) / 255, heat, use_rgb=True),
        ),
    ]
