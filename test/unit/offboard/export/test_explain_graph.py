"""Explain graphs of networks' files, against Grad-CAM by automatic differentiation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch: install cnn_perception with [train]")
onnx = pytest.importorskip("onnx", reason="no onnx: install cnn_perception with [test]")

import onnxruntime  # noqa: E402
from onnx import ModelProto  # noqa: E402
from torch import nn  # noqa: E402

from cnn_perception.errors import ExplainError, ModelError  # noqa: E402
from cnn_perception.offboard.explain_methods.grad_cam import (  # noqa: E402
    grad_cam,
    grad_cam_plus_plus,
)
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from cnn_perception.offboard.export.class_logits import ClassLogits  # noqa: E402
from cnn_perception.offboard.export.explain_graph import (  # noqa: E402
    class_explanation,
    level_explanation,
    region_explanation,
)
from cnn_perception.offboard.export.onnx_file import write_onnx  # noqa: E402
from cnn_perception.offboard.export.onnx_graph import OnnxGraph  # noqa: E402
from looked_into import CLASSES, image, small_network  # noqa: E402


def run(model: ModelProto, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def written(network: nn.Module, path: Path, layer: str) -> tuple[OnnxGraph, np.ndarray]:
    """Write a network that answers with a layer's maps too; returns these for `image()`."""
    kept: list[Any] = []
    network.get_submodule(layer).register_forward_hook(lambda _m, _i, maps: kept.append(maps))

    class Answering(nn.Module):
        def forward(self, images: Any) -> Any:
            kept.clear()
            return network(images), kept[0]

    answering = Answering().eval()
    write_onnx(answering, {"images": image()}, ["logits", "maps"], path)
    with torch.no_grad():
        return OnnxGraph(path, image().shape), answering(image())[1].numpy()


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("layer", ["9", "5", "2"])
def test_classes(pooled: bool, layer: str, tmp_path: Path) -> None:
    network = small_network(pooled=pooled).eval()
    graph, maps = written(network, tmp_path / "classes.onnx", layer)
    model = class_explanation(graph, "maps", "logits")
    for class_id in range(CLASSES):
        found = run(model, {"feature_map": maps, "class_index": np.array([class_id])})
        for name, method in (("cam", grad_cam), ("cam_plus_plus", grad_cam_plus_plus)):
            wanted = method(network, layer, image(), class_target(class_id))
            np.testing.assert_allclose(found[name][0], wanted, atol=1e-5 * max(wanted.max(), 1e-3))


class _Masks(nn.Module):
    """Coarse maps enlarged and joined with fine ones, as an FCN does."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 6, 3, padding=1)
        self.coarse = nn.Conv2d(6, 6, 3, 2, 1)
        self.join = nn.Conv2d(6, 6, 3, padding=1)
        self.score = nn.Conv2d(6, CLASSES, 1)

    def forward(self, images: Any) -> Any:
        fine = torch.relu(self.fine(images))
        large = nn.functional.interpolate(self.coarse(fine), scale_factor=2.0, mode="bilinear")
        return self.score(torch.relu(self.join(fine + large)))


def test_regions_with_what_joins_the_way(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = _Masks().eval()
    graph, maps = written(network, tmp_path / "masks.onnx", "coarse")
    model = region_explanation(graph, "maps", "logits")
    with torch.no_grad():
        logits, fine = network(image()), torch.relu(network.fine(image()))
    class_id = int(logits.argmax(1).flatten().mode().values)
    region = (logits.argmax(1) == class_id).float().numpy()
    known = {"feature_map", "class_index", "region"}
    (joined,) = {tensor.name for tensor in model.graph.input} - known
    feeds = {"feature_map": maps, "class_index": np.array([class_id]), "region": region}
    found = run(model, {**feeds, joined: fine.numpy()})
    wanted = grad_cam(network, "coarse", image(), class_target(class_id))
    np.testing.assert_allclose(found["cam"][0], wanted, atol=1e-5 * wanted.max())


class _Boxes(nn.Module):
    """One level of an SSD: three default boxes per cell."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 6, 8, 8)
        self.spatial = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.classes = nn.Conv2d(6, 3 * CLASSES, 1)

    def forward(self, images: Any) -> Any:
        scores = self.classes(nn.functional.relu6(self.spatial(self.trunk(images))))
        return scores.permute(0, 2, 3, 1).reshape(1, -1, CLASSES)


def test_default_boxes(tmp_path: Path) -> None:
    torch.manual_seed(6)
    network = _Boxes().eval()
    graph, maps = written(network, tmp_path / "boxes.onnx", "trunk")
    model = level_explanation(graph, "maps", ClassLogits("logits", (1,), 2))
    for anchor, class_index in ((0, 1), (100, 0), (191, 4), (77, 2)):
        feeds = {
            "feature_map": maps,
            "anchor": np.array([anchor]),
            "class_index": np.array([class_index]),
        }
        wanted = grad_cam(network, "trunk", image(), lambda y, a=anchor, c=class_index: y[:, a, c])
        found = run(model, feeds)["cam"][0]
        np.testing.assert_allclose(found, wanted, atol=1e-5 * max(wanted.max(), 1e-6))


def test_a_layer_that_is_none_is_answered_with_those_there_are(tmp_path: Path) -> None:
    graph, _ = written(small_network().eval(), tmp_path / "classes.onnx", "9")
    with pytest.raises(ModelError, match=r"layer = 'mops' is no feature map of .*: choose .* maps"):
        class_explanation(graph, "mops", "logits")


class _Rounding(nn.Module):
    """Logits of whole numbers, which have no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 3)

    def forward(self, images: Any) -> Any:
        return self.maps(images).int().float().sum((2, 3))


def test_what_has_no_gradient_is_named(tmp_path: Path) -> None:
    graph, _ = written(_Rounding().eval(), tmp_path / "classes.onnx", "maps")
    with pytest.raises(
        ModelError, match=r"gradient of 'logits' by 'maps' cannot be written .*: na"
    ):
        class_explanation(graph, "maps", "logits")
    with pytest.raises(ModelError, match=r"classes.onnx: 'images' does not depend on 'maps': name"):
        class_explanation(graph, "maps", "images")


def test_a_file_with_an_operator_that_is_not_known_cannot_be_explained(tmp_path: Path) -> None:
    node = onnx.helper.make_node("NonZero", ["x"], ["y"])
    tensors = [
        onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, 8, 8)),
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, None),
    ]
    graph = onnx.helper.make_graph([node], "one", tensors[:1], tensors[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "one.onnx")
    with pytest.raises(ExplainError, match=r"one.onnx: node y is a NonZero, which is not known"):
        OnnxGraph(tmp_path / "one.onnx", (1, 3, 8, 8))
