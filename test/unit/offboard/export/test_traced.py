"""Gradients as ONNX graphs, of each operator against PyTorch's automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch: install cnn_perception with [train]")
onnx = pytest.importorskip("onnx", reason="no onnx: install cnn_perception with [test]")

import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cnn_perception.offboard.export.onnx_file import write_onnx  # noqa: E402
from cnn_perception.offboard.export.onnx_graph import OnnxGraph  # noqa: E402
from cnn_perception.offboard.export.traced import IR_VERSION, traced  # noqa: E402
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork  # noqa: E402

MAPS = (1, 4, 6, 7)
ROWS = (1, 3, 8)
RNG = np.random.default_rng(5)
KERNEL = RNG.standard_normal((6, 4, 3, 3)).astype(np.float32)
DEPTHWISE = RNG.standard_normal((4, 1, 3, 3)).astype(np.float32)
GROUPED = RNG.standard_normal((6, 2, 3, 2)).astype(np.float32)
UPWARDS = RNG.standard_normal((4, 5, 3, 3)).astype(np.float32)
MATRIX = RNG.standard_normal((8, 5)).astype(np.float32)
SLOPES = np.array([0.1, 0.2, 0.3, 0.4], np.float32).reshape(4, 1, 1)
FOUR = np.array([0.5, 1.5, 2.0, 0.7], np.float32)
SPREAD = RNG.standard_normal((4, 1, 1)).astype(np.float32) + 3


class Case:
    """One node with constants beside its first input, and what PyTorch has for it."""

    def __init__(
        self,
        name: str,
        torch_function: Callable[[Tensor], Tensor],
        constants: Sequence[Any] = (),
        shape: tuple[int, ...] = MAPS,
        *,
        positive: bool = False,
        outputs: int = 1,
        first: Sequence[str] = ("x",),
        opset: int = 20,
        **attributes: Any,
    ) -> None:
        self.kind = name.split(" ")[0]
        self.name = name
        self.torch_function = torch_function
        self.constants = constants
        self.shape = shape
        self.positive = positive
        self.outputs = outputs
        self.first = first
        self.opset = opset
        self.attributes = attributes

    def write(self, path: Path) -> None:
        """Write the node to a file that takes x and answers y."""
        weights = [
            numpy_helper.from_array(np.asarray(value), f"c{index}")
            for index, value in enumerate(self.constants)
            if value is not None
        ]
        names = list(self.first)
        for index, value in enumerate(self.constants):
            if f"c{index}" not in names:
                names.append("" if value is None else f"c{index}")
        outputs = ["y", *(f"more_{index}" for index in range(1, self.outputs))]
        # An Identity ahead, so that what is differentiated is a tensor within the graph.
        nodes = [
            helper.make_node("Identity", ["image"], ["x"]),
            helper.make_node(self.kind, names, outputs, **self.attributes),
        ]
        graph = helper.make_graph(
            nodes,
            "case",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            weights,
        )
        opset = helper.make_opsetid("", self.opset)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def conv(weight: np.ndarray, **options: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: F.conv2d(x, torch.from_numpy(weight), **options)


def softly(**options: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, mode="bilinear", **options)


CASES = [
    Case("Identity", lambda x: x + 0),
    Case("Dropout", lambda x: x + 0),
    Case("Cast", lambda x: x + 0, to=TensorProto.FLOAT),
    Case("Relu", torch.relu),
    Case("Clip relu6", F.relu6, [np.float32(0), np.float32(6)]),
    Case("Clip below", lambda x: x.clamp(min=-0.5), [np.float32(-0.5)]),
    Case("Clip above", lambda x: x.clamp(max=0.5), [None, np.float32(0.5)]),
    Case("Clip nothing", lambda x: x + 0),
    Case("LeakyRelu", lambda x: F.leaky_relu(x, 0.2), alpha=0.2),
    Case("PRelu", lambda x: F.prelu(x, torch.from_numpy(SLOPES.ravel())), [SLOPES]),
    Case("Elu", lambda x: F.elu(x, 1.5), alpha=1.5),
    Case("Sigmoid", torch.sigmoid),
    Case("HardSigmoid", F.hardsigmoid, alpha=1 / 6, beta=0.5),
    Case("HardSwish", F.hardswish),
    Case("Tanh", torch.tanh),
    Case("Erf", torch.erf),
    Case("Gelu", F.gelu),
    Case("Gelu approximate", lambda x: F.gelu(x, approximate="tanh"), approximate="tanh"),
    Case("Sin", torch.sin),
    Case("Mish", F.mish),
    Case("Exp", torch.exp),
    Case("Log", torch.log, positive=True),
    Case("Sqrt", torch.sqrt, positive=True),
    Case("Neg", torch.neg),
    Case("Pow", lambda x: x**3, [np.float32(3)]),
    Case("Pow of many", lambda x: x ** torch.from_numpy(SPREAD), [SPREAD], positive=True),
    Case("Add", lambda x: x + torch.from_numpy(SPREAD), [SPREAD]),
    Case("Add itself", lambda x: x + x, first=("x", "x")),
    Case("Sum", lambda x: x + x + x, first=("x", "x", "x")),
    Case("Sub", lambda x: x - torch.from_numpy(SPREAD), [SPREAD]),
    Case("Mul", lambda x: x * torch.from_numpy(SPREAD), [SPREAD]),
    Case("Mul itself", lambda x: x * x, first=("x", "x")),
    Case("Div", lambda x: x / torch.from_numpy(SPREAD), [SPREAD]),
    Case("Div itself", lambda x: x / x, first=("x", "x"), positive=True),
    Case("MatMul", lambda x: x @ torch.from_numpy(MATRIX), [MATRIX], ROWS),
    Case("MatMul itself", lambda x: x @ x, [], (1, 5, 5), first=("x", "x")),
    Case(
        "Gemm",
        lambda x: 0.5 * (x @ torch.from_numpy(MATRIX)),
        [MATRIX, np.zeros(5, np.float32)],
        (1, 8),
        alpha=0.5,
    ),
    Case(
        "Gemm transB",
        lambda x: x @ torch.from_numpy(MATRIX).T,
        [MATRIX],
        (1, 5),
        transB=1,
    ),
    Case("Conv", conv(KERNEL, padding=1), [KERNEL], pads=[1, 1, 1, 1]),
    Case("Conv unpadded", conv(KERNEL), [KERNEL]),
    Case("Conv strided", conv(KERNEL, stride=2, padding=1), [KERNEL], strides=[2, 2], pads=[1] * 4),
    Case("Conv stride 3", conv(KERNEL, stride=3), [KERNEL], strides=[3, 3]),
    Case(
        "Conv thinned",
        conv(KERNEL[:, :, :1, :1], stride=2),
        [KERNEL[:, :, :1, :1]],
        strides=[2] * 2,
    ),
    Case("Conv wide pads", conv(KERNEL, padding=3), [KERNEL], pads=[3, 3, 3, 3]),
    Case(
        "Conv dilated",
        conv(KERNEL, dilation=2, padding=2),
        [KERNEL],
        dilations=[2, 2],
        pads=[2] * 4,
    ),
    Case(
        "Conv depthwise", conv(DEPTHWISE, groups=4, padding=1), [DEPTHWISE], group=4, pads=[1] * 4
    ),
    Case("Conv grouped", conv(GROUPED, groups=2, padding=1), [GROUPED], group=2, pads=[1] * 4),
    Case("Conv same", conv(KERNEL, padding="same"), [KERNEL], auto_pad="SAME_UPPER"),
    Case(
        "ConvTranspose",
        lambda x: F.conv_transpose2d(x, torch.from_numpy(UPWARDS), stride=2, padding=1),
        [UPWARDS],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
    ),
    Case(
        "ConvTranspose padded output",
        lambda x: F.conv_transpose2d(
            x, torch.from_numpy(UPWARDS), stride=2, padding=1, output_padding=1
        ),
        [UPWARDS],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        output_padding=[1, 1],
    ),
    Case(
        "BatchNormalization",
        lambda x: F.batch_norm(x, *(torch.from_numpy(FOUR) for _ in range(4)), eps=1e-3),
        [FOUR, FOUR, FOUR, FOUR],
        epsilon=1e-3,
    ),
    Case("AveragePool", lambda x: F.avg_pool2d(x, 2), kernel_shape=[2, 2], strides=[2, 2]),
    Case(
        "AveragePool padded",
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        kernel_shape=[3, 3],
        strides=[2, 2],
        pads=[1] * 4,
    ),
    Case(
        "AveragePool padding counts",
        lambda x: F.avg_pool2d(x, 3, 1, 1),
        kernel_shape=[3, 3],
        pads=[1] * 4,
        count_include_pad=1,
    ),
    Case("MaxPool", lambda x: F.max_pool2d(x, 2), kernel_shape=[2, 2], strides=[2, 2]),
    Case(
        "MaxPool overlapping",
        lambda x: F.max_pool2d(x, 3, 2, 1),
        kernel_shape=[3, 3],
        strides=[2, 2],
        pads=[1] * 4,
    ),
    Case(
        "Resize scales",
        softly(scale_factor=2.0),
        [None, np.array([1, 1, 2, 2], np.float32)],
        mode="linear",
    ),
    Case("Resize sizes", softly(size=(9, 5)), [None, None, integers(1, 4, 9, 5)], mode="linear"),
    Case(
        "Resize corners",
        softly(size=(12, 14), align_corners=True),
        [None, None, integers(1, 4, 12, 14)],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    Case(
        "Resize nearest",
        lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
        [None, np.array([1, 1, 2, 2], np.float32)],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    Case("ReduceSum", lambda x: x.sum((1, 3)), [integers(1, -1)], keepdims=0),
    Case("ReduceMean", lambda x: x.mean((2, 3), keepdim=True), [integers(2, 3)]),
    Case("ReduceMean all", lambda x: x.mean(), keepdims=0),
    Case("ReduceL2", lambda x: x.norm(dim=1, keepdim=True), [integers(1)]),
    Case("GlobalAveragePool", lambda x: x.mean((2, 3), keepdim=True)),
    Case("Softmax", lambda x: x.softmax(1), axis=1),
    Case("LogSoftmax", lambda x: x.log_softmax(-1)),
    Case(
        "LayerNormalization",
        lambda x: F.layer_norm(x, (7,), torch.arange(7.0), eps=1e-3),
        [np.arange(7, dtype=np.float32)],
        axis=-1,
        epsilon=1e-3,
    ),
    Case("Reshape", lambda x: x.reshape(1, -1), [integers(1, -1)]),
    Case("Flatten", lambda x: x.flatten(1)),
    Case("Squeeze", lambda x: x.squeeze(0), [integers(0)]),
    Case("Unsqueeze", lambda x: x.unsqueeze(2), [integers(2)]),
    Case("Transpose", lambda x: x.permute(0, 3, 1, 2), perm=[0, 3, 1, 2]),
    Case("Expand", lambda x: x.expand(2, 4, 6, 7), [integers(2, 4, 6, 7)]),
    Case(
        "Concat",
        lambda x: torch.cat([x, torch.ones(MAPS), x], 1),
        [np.ones(MAPS, np.float32)],
        first=("x", "c0", "x"),
        axis=1,
    ),
    Case(
        "Slice",
        lambda x: x[:, 1:3, :, -4:],
        [integers(1, -4), integers(3, 100), integers(1, 3)],
    ),
    Case(
        "Slice with steps",
        lambda x: x[:, :, 0:6:2],
        [integers(0), integers(6), integers(2), integers(2)],
    ),
    Case("Slice by default axes", lambda x: x[0:1, 1:], [integers(0, 1), integers(1, 4)]),
    Case("Gather", lambda x: x[:, 2], [np.array(2, np.int64)], axis=1),
    Case("Gather some twice", lambda x: x[:, :, [4, 0, 4]], [integers(4, 0, -2)], axis=2),
    Case(
        "Gather a table", lambda x: x[..., [[1, 2], [3, 1]]], [np.array([[1, 2], [3, 1]])], axis=3
    ),
    Case("Gather a row", lambda x: x[:, :, 5:6], [integers(-1)], axis=2),
    Case("Pad", lambda x: F.pad(x, (1, 2, 0, 3)), [integers(0, 0, 0, 1, 0, 0, 3, 2)]),
    Case(
        "Where",
        lambda x: torch.where(torch.from_numpy(SPREAD) > 3, x, 2.0),
        [SPREAD > 3, np.float32(2.0)],
        first=("c0", "x", "c1"),
    ),
]


def gradient(network: OnnxNetwork, feeds: dict[str, Tensor], seed: Tensor) -> Tensor:
    """Return the gradient of sum(seed * y) by what is fed first."""
    name, leaf = next(iter(feeds.items()))
    leaf = leaf.detach().requires_grad_()
    (found,) = torch.autograd.grad(network.run({**feeds, name: leaf}, ["y"])["y"], leaf, seed)
    return found


def run(model: Any, feeds: dict[str, Tensor]) -> list[np.ndarray]:
    onnx.checker.check_model(model)
    assert model.ir_version == IR_VERSION
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    # What nothing depends on is no input.
    return session.run(None, {each.name: feeds[each.name].numpy() for each in session.get_inputs()})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, Tensor]]:
    """The gradients of all cases, by one graph and by PyTorch: a graph takes a second to write."""
    rng = np.random.default_rng(7)
    networks, feeds, expected = [], {}, []
    for index, case in enumerate(CASES):
        path = tmp_path_factory.mktemp("cases") / f"{index}.onnx"
        case.write(path)
        networks.append(OnnxNetwork(path).requires_grad_(False))
        values = 3 * rng.standard_normal(case.shape).astype(np.float32)
        image = torch.from_numpy(np.abs(values) + 0.5 if case.positive else values)
        leaf = image.clone().requires_grad_()
        answer = case.torch_function(leaf)
        seed = torch.from_numpy(rng.standard_normal(tuple(answer.shape)).astype(np.float32))
        feeds |= {f"x{index}": image, f"seed{index}": seed}
        expected += torch.autograd.grad(answer, leaf, 2 * seed)

    def gradients(*given: Tensor) -> tuple[Tensor, ...]:
        pairs = zip(networks, given[::2], given[1::2], strict=True)
        # Doubled, so that no answer is an input.
        return tuple(2 * gradient(network, {"x": x}, seed) for network, x, seed in pairs)

    names = [case.name for case in CASES]
    answers = run(traced(gradients, feeds, [f"y{k}" for k in range(len(CASES))]), feeds)
    return dict(zip(names, zip(answers, expected, strict=True), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_operator_against_pytorch(
    case: Case, found: dict[str, tuple[np.ndarray, Tensor]]
) -> None:
    ours, expected = found[case.name]
    assert ours.shape == case.shape
    scale = max(1.0, float(expected.abs().max()))
    np.testing.assert_allclose(ours, expected.numpy(), atol=2e-5 * scale)
    assert np.abs(expected.numpy()).max() > 0


class _Forked(torch.nn.Module):
    """Two ways from the features to the answer, one around a layer, and one beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.inner = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.beside = torch.nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(image)
        way = torch.relu(features + self.inner(features).sigmoid())
        return features, way * self.beside(image)


def test_ways_that_fork_and_join_add_up(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = _Forked().eval()
    image = torch.randn(1, 3, 8, 9)
    write_onnx(network, {"image": image}, ["x", "y"], tmp_path / "forked.onnx")
    features, answer = network(image)
    seed = torch.randn(answer.shape)
    (expected,) = torch.autograd.grad(answer, features, seed)
    graph = OnnxGraph(tmp_path / "forked.onnx", image.shape)
    # What joins from beside is taken from the network, and is an input of that name.
    (beside,) = graph.joining("x", "y")
    feeds = {"x": features.detach(), beside: network.beside(image).detach()}

    def of_features(x: Tensor, joined: Tensor, seed: Tensor) -> tuple[Tensor]:
        return (gradient(graph.network, {"x": x, beside: joined}, seed),)

    feeds["seed"] = seed
    (found,) = run(traced(of_features, feeds, ["answer"]), feeds)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_constants_are_computed_and_zeros_are_not_stored() -> None:
    def function(x: Tensor, unused: Tensor) -> tuple[Tensor]:
        table = torch.arange(1000.0).view(20, 50) / 7
        return (torch.zeros(100_000).scatter(0, torch.tensor([3]), x @ table @ table.T @ x),)

    x, unused = torch.ones(20), torch.ones(1)
    model = traced(function, {"x": x, "unused": unused}, ["y"])
    assert [each.name for each in model.graph.input] == ["x"]
    assert len(model.SerializeToString()) < 20_000
    np.testing.assert_allclose(run(model, {"x": x})[0], function(x, unused)[0].numpy(), rtol=1e-5)
