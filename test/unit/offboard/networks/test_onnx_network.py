"""ONNX files as PyTorch networks: the same answers and gradients, layers by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
onnx = pytest.importorskip("onnx", reason="onnx is an extra: [train]")

import onnxruntime  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from torch import nn  # noqa: E402
from torchvision.models import get_model  # noqa: E402

from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.offboard.explain_methods.grad_cam import (  # noqa: E402
    class_activation_map,
    grad_cam,
)
from cnn_perception.offboard.explain_methods.gradients import (  # noqa: E402
    deconvnet,
    guided_backpropagation,
)
from cnn_perception.offboard.explain_methods.layers import last_map_layer  # noqa: E402
from cnn_perception.offboard.explain_methods.network import randomise  # noqa: E402
from cnn_perception.offboard.explain_methods.targets import class_target  # noqa: E402
from cnn_perception.offboard.export.onnx_file import write_onnx  # noqa: E402
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork  # noqa: E402
from looked_into import image, small_network  # noqa: E402
from models import GraphBuilder  # noqa: E402


def _compare(file: Path) -> OnnxNetwork:
    """Hold a file's network against ONNX Runtime on noise, and return it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    feeds = {
        tensor.name: rng.standard_normal(tensor.shape).astype(np.float32)
        if "float" in tensor.type
        else rng.integers(0, 2, tensor.shape)
        for tensor in session.get_inputs()
    }
    network = OnnxNetwork(file)
    assert network.inputs == tuple(feeds)
    with torch.no_grad():
        found = network(*(torch.from_numpy(value) for value in feeds.values()))
    found = found if isinstance(found, tuple) else (found,)
    for have, want in zip(found, session.run(None, feeds), strict=True):
        assert (have.numpy().dtype, have.shape) == (want.dtype, want.shape)
        largest = float(np.abs(want).max())
        assert largest > 0, "nothing to compare"
        np.testing.assert_allclose(have.numpy(), want, rtol=0, atol=1e-5 * largest)
    return network


@pytest.mark.parametrize("name", ["rooms_fcn", "rooms_ssdlite"])
def test_shipped_networks(repository: Path, name: str) -> None:
    network = _compare(repository / "models" / name / "model.onnx")
    assert not network.training
    kinds = [type(layer) for layer in network.children()]
    assert kinds.count(nn.ReLU6) > 40
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.children()) > 60


def test_shipped_explanations(repository: Path) -> None:
    _compare(repository / "models" / "rooms_ssdlite" / "explain" / "level_2.onnx")


@pytest.mark.parametrize("name", ["FastestDet", "ultraface_RFB-320"])
def test_networks_of_others(shared_data: Path, name: str) -> None:
    file = shared_data / "models" / f"{name}.onnx"
    if not file.is_file():
        pytest.skip(f"no network at {file}")
    _compare(file)


def test_a_classifier_of_torchvision(tmp_path: Path) -> None:
    network = get_model("mobilenet_v3_small", weights=None, num_classes=7)
    randomise(network, torch.Size((2, 3, 64, 64)))
    images = image()
    write_onnx(network, {"images": images}, ["logits"], tmp_path / "model.onnx")
    twin = _compare(tmp_path / "model.onnx")
    with torch.no_grad():
        torch.testing.assert_close(twin(images), network(images), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """A small network of PyTorch, and its file."""
    network = small_network(ceiling=True).eval()
    file = tmp_path_factory.mktemp("exported") / "model.onnx"
    write_onnx(network, {"images": image()}, ["logits"], file)
    return network, file


def test_gradients_are_those_of_the_original(exported: tuple[nn.Module, Path]) -> None:
    network, file = exported
    twin = OnnxNetwork(file)
    found = []
    for each in (network, twin):
        leaf = image().requires_grad_()
        each(leaf)[0, 2].backward()
        found.append(leaf.grad)
    largest = float(found[0].abs().max())
    assert largest > 0, "nothing to compare"
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5 * largest)
    first = next(layer for layer in twin.modules() if isinstance(layer, nn.Conv2d))
    assert first.weight.grad is not None


def test_methods_see_in_a_file_what_they_see_in_its_original(
    exported: tuple[nn.Module, Path],
) -> None:
    network, file = exported
    twin, images, target = OnnxNetwork(file), image(), class_target(2)
    layers = [last_map_layer(each, images, target) for each in (network, twin)]
    assert layers[0] == "9"
    for method in (guided_backpropagation, deconvnet):
        expected, found = (method(each, images, target) for each in (network, twin))
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    expected, found = (
        grad_cam(each, layer, images, target)
        for each, layer in zip((network, twin), layers, strict=True)
    )
    assert expected.max() > 0, "nothing to compare"
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())
    cam = class_activation_map(twin, layers[1], images, 2)
    np.testing.assert_allclose(cam, class_activation_map(network, "9", images, 2), atol=1e-4)


def test_a_file_is_explained_by_pytorch_grad_cam(exported: tuple[nn.Module, Path]) -> None:
    pgc = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is an extra: [oracle]")
    twin, images = OnnxNetwork(exported[1]), image()
    layer = last_map_layer(twin, images, class_target(2))
    with pgc.GradCAM(twin, [twin.get_submodule(layer)]) as explained:
        (expected,) = explained(images, [lambda logits: logits[2]])
    scale = pgc.utils.image.scale_cam_image
    found = grad_cam(twin, layer, images, class_target(2))
    (scaled,) = scale(scale(found[None], (64, 64)))
    assert expected.max() > 0.5, "nothing to compare"
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_what_lies_between_two_tensors_runs_alone(exported: tuple[nn.Module, Path]) -> None:
    network, file = exported
    twin = OnnxNetwork(file)
    maps_name = next(name for name, x in twin.named_children() if isinstance(x, nn.ReLU6))
    maps = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    calls = []
    handles = [
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, layer in twin.named_children()
    ]
    leaf = maps.clone().requires_grad_()
    logits = twin.run({maps_name: leaf}, ["logits"])["logits"]
    for handle in handles:
        handle.remove()
    assert twin.layer(maps_name) not in calls and len(calls) < len(list(twin.children()))
    again = maps.clone().requires_grad_()
    expected = network[3:](again)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        torch.autograd.grad(logits[0, 1], leaf), torch.autograd.grad(expected[0, 1], again)
    )


def _graph(*, opset: int = 17, ir_version: int = 8) -> Any:
    """image -> "a.b" = relu(image * weight + 1), "run" = -"a.b", both outputs."""
    weights = GraphBuilder()
    weights.add("Mul", ["image", weights.constant(np.full((1, 3, 1, 1), 2.0))], "twice")
    weights.add("Add", ["twice", weights.constant(np.ones((3, 1, 1)))], "more")
    weights.add("Relu", ["more"], "a.b")
    weights.add("Neg", ["a.b"], "run")
    model = weights.model({"image": (1, 3, 4, 4)}, {"a.b": (1, 3, 4, 4), "run": (1, 3, 4, 4)})
    model.opset_import[0].version, model.ir_version = opset, ir_version
    return model


def test_layers_are_named_after_tensors_and_take_no_attribute_of_the_network() -> None:
    network = OnnxNetwork(_graph())
    assert [name for name, _ in network.named_children()] == ["twice", "more", "a_b", "run_"]
    assert (network.layer("a.b"), network.layer("run")) == ("a_b", "run_")
    assert isinstance(network.get_submodule("a_b"), nn.ReLU)
    assert sorted(dict(network.named_buffers())) == ["weight_0", "weight_1"]
    again = OnnxNetwork(_graph())
    assert list(again.state_dict()) == list(network.state_dict())


def test_any_tensors_are_answered_and_fed() -> None:
    images = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    up, down = OnnxNetwork(_graph())(images)
    torch.testing.assert_close(up, (2 * images + 1).clamp(min=0))
    assert torch.equal(down, -up)
    more = OnnxNetwork(_graph(), ["more"])
    torch.testing.assert_close(more(images), 2 * images + 1)
    ones = torch.ones(1, 3, 4, 4)
    found = more.run({"a.b": 5 * ones, "image": images}, ["run", "a.b", "twice"])
    assert torch.equal(found["run"], -5 * ones) and torch.equal(found["a.b"], 5 * ones)
    torch.testing.assert_close(found["twice"], 2 * images)


def test_weights_that_are_listed_as_inputs_are_weights() -> None:
    model = _graph(ir_version=3)
    for weight in model.graph.initializer:
        shape = list(weight.dims)
        model.graph.input.append(
            helper.make_tensor_value_info(weight.name, TensorProto.FLOAT, shape)
        )
    assert OnnxNetwork(model).inputs == ("image",)


def test_what_depends_on_no_input_is_no_layer() -> None:
    graph = GraphBuilder()
    graph.add("Constant", [], "two", value_float=2.0)
    graph.add("Exp", ["two"], "power")
    graph.add("Mul", ["image", "power"], "scaled")
    model = graph.model({"image": (1, 3, 4, 4)}, {"scaled": (1, 3, 4, 4)})
    network = OnnxNetwork(model)
    assert [name for name, _ in network.named_children()] == ["scaled"]
    assert float(network.get_buffer("power")) == pytest.approx(np.exp(2))


def test_functions_of_a_file_are_opened() -> None:
    body = [helper.make_node("Neg", ["x"], ["t"]), helper.make_node("Relu", ["t"], ["y"])]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "Below", ["x"], ["y"], body, imports[:1])
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("image", "below")
    ]
    node = helper.make_node("Below", ["image"], ["below"], domain="own")
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=imports, functions=[function])
    answer = OnnxNetwork(model)(torch.tensor([-1.0, 2.0]))
    assert answer.tolist() == [1.0, 0.0]


def test_random_numbers_are_left_alone(exported: tuple[nn.Module, Path]) -> None:
    before = torch.random.get_rng_state()
    OnnxNetwork(exported[1])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_names_that_are_none() -> None:
    network = OnnxNetwork(_graph())
    with pytest.raises(ConfigError, match=r"tensor = 'mroe' .* choose one, as more"):
        network.run({}, ["mroe"])
    with pytest.raises(ConfigError, match=r"tensor = 'b\.a' is not computed"):
        network.run({"b.a": torch.zeros(1)}, ["run"])
    with pytest.raises(ConfigError, match="image is needed for run: feed it"):
        network.run({}, ["run"])
    with pytest.raises(ConfigError, match="tensor = 'image' is not"):
        network.layer("image")
    with pytest.raises(ConfigError, match="tensor = 'nothing'"):
        OnnxNetwork(_graph(), ["nothing"])


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx cannot be read as ONNX"):
        OnnxNetwork(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(ModelError, match=r"text\.onnx cannot be read as ONNX"):
        OnnxNetwork(tmp_path / "text.onnx")
    with pytest.raises(ModelError, match="the model: opset 6 is too old: convert it to 7"):
        OnnxNetwork(_graph(opset=6))
    model = _graph()
    model.graph.node[1].op_type = "Loop"
    onnx.save(model, tmp_path / "loop.onnx")
    with pytest.raises(ModelError, match=r"loop\.onnx: node more is a Loop, which is not known"):
        OnnxNetwork(tmp_path / "loop.onnx")
