"""Each operator alone against ONNX Runtime, with attributes that are not the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
onnx = pytest.importorskip("onnx", reason="onnx is an extra: [train]")

import onnxruntime  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from cnn_perception.errors import ModelError  # noqa: E402
from cnn_perception.offboard.networks.onnx_network import OnnxNetwork  # noqa: E402
from cnn_perception.offboard.networks.onnx_operators import OPERATORS  # noqa: E402

OPSET = 20
RNG = np.random.default_rng(7)


def noise(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def distinct(*shape: int) -> NDArray[np.float32]:
    """Numbers of which no two are near each other, so that orders have one answer."""
    return RNG.permutation(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape) - 20


X = noise(2, 4, 7, 9)
POSITIVE = np.abs(X) + np.float32(0.1)
LOGICAL = X > 0
SCALE, BIAS = noise(4), noise(4)


def one_node(
    kind: str,
    inputs: Sequence[NDArray[Any] | None],
    outputs: int,
    opset: int,
    stored: Sequence[int],
    attributes: dict[str, Any],
) -> Any:
    """Return a model of one node; inputs at the places `stored` are initializers."""
    names = ["" if value is None else f"in.{k}" for k, value in enumerate(inputs)]
    results = [f"out.{k}" for k in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(kind, names, results, **attributes)],
        "graph",
        [
            helper.make_tensor_value_info(
                names[k], helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for k, value in enumerate(inputs)
            if value is not None and k not in stored
        ],
        [helper.make_empty_tensor_value_info(name) for name in results],
        [numpy_helper.from_array(inputs[k], names[k]) for k in stored],
    )
    # IR 8 is what every opset here is read with.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def case(kind: str, *inputs: Any, opset: int = OPSET, outputs: int = 1, **attributes: Any) -> Any:
    """Return a parameter of the test below; its name tells the operator, opset and attributes."""
    told = ",".join(f"{key}={value}" for key, value in attributes.items() if key != "value")
    return pytest.param(kind, inputs, outputs, opset, attributes, id=f"{kind}-{opset}-{told}")


def tensor(values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values))


ELEMENTWISE = [
    *(case(kind, X) for kind in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish")),
    *(case(kind, X) for kind in ("Identity", "Mish", "Neg", "Relu", "Round", "Sigmoid", "Sign")),
    *(case(kind, X) for kind in ("Sin", "Softplus", "Softsign", "Tanh", "Dropout", "Size")),
    *(case(kind, POSITIVE) for kind in ("Log", "Reciprocal", "Sqrt")),
    case("Round", np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)),
    case("Cast", 40 * X, to=TensorProto.INT32),
    case("Cast", X, to=TensorProto.BOOL),
    case("Cast", LOGICAL, to=TensorProto.FLOAT),
    case("Celu", X, alpha=0.3),
    case("Elu", X),
    case("Elu", X, alpha=0.3),
    case("Gelu", X),
    case("Gelu", X, approximate="tanh"),
    case("HardSigmoid", X),
    case("HardSigmoid", X, alpha=0.4, beta=0.2),
    case("LeakyRelu", X),
    case("LeakyRelu", X, alpha=0.3),
    case("Selu", X),
    case("Selu", X, alpha=0.5, gamma=2.0),
    case("Not", LOGICAL),
    case("IsNaN", np.array([np.nan, 1.0, np.inf], np.float32)),
    case("Clip", X, np.float32(-0.5), np.float32(0.75)),
    case("Clip", X, None, np.float32(0.75)),
    case("Clip", X, np.float32(0.0), np.float32(6.0)),
    case("Clip", X, np.float32(0.0)),
    case("Clip", X),
    case("Clip", X, opset=10, min=-0.5, max=0.75),
    case("Clip", X, opset=10, min=0.0),
    *(case(kind, X, noise(4, 1, 9)) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    *(case(kind, X, noise(7, 1), noise(9)) for kind in ("Max", "Min", "Sum", "Mean")),
    *(case(kind, X, noise(9)) for kind in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual")),
    case("Equal", ints(1, 2, 3), ints(1, 5, 3)),
    *(case(kind, LOGICAL, noise(9) > 0) for kind in ("And", "Or", "Xor")),
    case("Div", ints(-7, 7, 9), ints(2, -2, 3)),
    case("Mod", ints(-7, 7, 9), ints(3, -3, 4)),
    case("Mod", X, np.abs(noise(9)) + np.float32(0.5), fmod=1),
    case("Pow", POSITIVE, noise(9)),
    case("Pow", X, ints(2)),
    case("PRelu", X, noise(4, 1, 1)),
    case("Where", LOGICAL, X, noise(9)),
]
OVER_AXES = [
    *(case(kind, distinct(3, 4, 5), axis=1, keepdims=0) for kind in ("ArgMax", "ArgMin")),
    case("ArgMax", np.round(X), axis=2, select_last_index=1),
    case("ArgMax", X),
    *(case("CumSum", X, ints(-1), exclusive=e, reverse=r) for e in (0, 1) for r in (0, 1)),
    *(case(kind, X, axis=1) for kind in ("Softmax", "LogSoftmax")),
    *(case(kind, X) for kind in ("Softmax", "LogSoftmax")),
    *(case(kind, X, opset=11, axis=2) for kind in ("Softmax", "LogSoftmax")),
    case("Softmax", X, opset=11),
    case("LpNormalization", X, axis=1, p=1),
    *(
        case(f"Reduce{kind}", X, ints(1, -1), keepdims=0)
        for kind in ("L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Sum", "SumSquare")
    ),
    *(case(f"Reduce{kind}", X, opset=11, axes=[1, -1]) for kind in ("L2", "Max", "Mean", "Sum")),
    case("ReduceMean", X),
    case("ReduceSum", X, noop_with_empty_axes=1),
    case("TopK", distinct(3, 4, 5), ints(2), outputs=2, axis=1),
    case("TopK", distinct(3, 4, 5), ints(3), outputs=2, largest=0),
    case("TopK", distinct(3, 4, 5), opset=9, outputs=2, k=2),
    case("BatchNormalization", X, SCALE, BIAS, noise(4), np.abs(noise(4)), epsilon=1e-3),
    case("BatchNormalization", X, SCALE, BIAS, noise(4), np.abs(noise(4)), opset=9),
    case("InstanceNormalization", X, SCALE, BIAS, epsilon=1e-3),
    case("GroupNormalization", X, noise(2), noise(2), opset=18, num_groups=2),
    case("GroupNormalization", X, SCALE, BIAS, opset=21, num_groups=2, epsilon=1e-3),
    case("LayerNormalization", X, noise(9)),
    case("LayerNormalization", X, noise(7, 9), noise(7, 9), axis=2, epsilon=1e-2),
    case("LRN", X, size=3, alpha=0.3, beta=0.6, bias=2.0),
]
WINDOWS = [
    case("Conv", X, noise(6, 4, 3, 3), noise(6), pads=[1, 1, 1, 1], strides=[2, 1]),
    case("Conv", X, noise(6, 2, 3, 2), pads=[0, 1, 2, 0], dilations=[2, 3], group=2),
    *(
        case("Conv", X, noise(6, 4, 3, 2), auto_pad=rule, strides=[2, 2])
        for rule in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    case("Conv", noise(1, 2, 11), noise(3, 2, 4), pads=[1, 2], strides=[3]),
    case("Conv", noise(1, 2, 4, 5, 6), noise(3, 2, 2, 3, 2), pads=[1, 1, 1, 1, 1, 1]),
    case("ConvTranspose", X, noise(4, 3, 3, 3), noise(6), group=2, strides=[2, 3]),
    case("ConvTranspose", X, noise(4, 5, 3, 4), pads=[1, 0, 2, 1], dilations=[2, 1]),
    case(
        "ConvTranspose", X, noise(4, 5, 3, 3), pads=[1] * 4, strides=[2, 2], output_padding=[1, 1]
    ),
    case("ConvTranspose", X, noise(4, 5, 3, 3), strides=[2, 2], output_shape=[14, 18]),
    *(
        case("ConvTranspose", X, noise(4, 5, 3, 3), strides=[2, 2], auto_pad=rule)
        for rule in ("SAME_UPPER", "SAME_LOWER")
    ),
    case("MaxPool", X, kernel_shape=[3, 2]),
    case("MaxPool", X, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
    case("MaxPool", X, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
    case("MaxPool", X, kernel_shape=[2, 3], dilations=[2, 2], pads=[0, 1, 1, 2]),
    case("MaxPool", X, kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    case("MaxPool", noise(1, 2, 9), kernel_shape=[4], strides=[2]),
    case("AveragePool", X, kernel_shape=[3, 2], strides=[2, 2]),
    *(
        case("AveragePool", X, kernel_shape=[3, 3], pads=pads, count_include_pad=counted)
        for pads in ([1, 1, 1, 1], [0, 1, 2, 1])
        for counted in (0, 1)
    ),
    case("AveragePool", X, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("AveragePool", X, kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
    case("GlobalAveragePool", X),
    case("GlobalMaxPool", X),
    case("Einsum", X, noise(5, 4), equation="bchw,kc->bkhw"),
    case("MatMul", noise(2, 3, 5, 4), noise(3, 4, 2)),
    case("MatMul", noise(2, 5, 4), noise(4, 2)),
    case("Gemm", noise(3, 4), noise(4, 5), noise(5)),
    case("Gemm", noise(3, 4), noise(5, 4), noise(5), transB=1),
    case("Gemm", noise(3, 4), noise(4, 5)),
    case("Gemm", noise(4, 3), noise(5, 4), noise(3, 1), transA=1, transB=1, alpha=0.5, beta=2.0),
]
PLACES = [
    case("Concat", X, noise(2, 1, 7, 9), noise(2, 2, 7, 9), axis=-3),
    case("ConstantOfShape", ints(2, 3)),
    case("ConstantOfShape", ints(2, 3), value=tensor(np.array([4], np.int64))),
    case("DepthToSpace", noise(2, 12, 3, 4), blocksize=2),
    case("DepthToSpace", noise(2, 12, 3, 4), blocksize=2, mode="CRD"),
    case("Expand", noise(3, 1), ints(2, 1, 5)),
    *(case("Flatten", X, axis=axis) for axis in (0, 1, -1)),
    case("Gather", X, ints(0, -1, 2), axis=1),
    case("Gather", X, np.array([[0, 3], [-2, 1]], np.int64), axis=-1),
    case("Gather", X, np.array(-1, np.int64), axis=2),
    case("Gather", ints(4, 5, 6), np.array(1, np.int64)),
    case("GatherElements", X, RNG.integers(-7, 7, (2, 4, 3, 9)), axis=2),
    case("ScatterElements", X[0, 0, 0], ints(0, -1, 2), X[0, 0, 1, :3]),
    case("ScatterElements", X[0, 0, 0], ints(0, 1, 0), X[0, 0, 1, :3], reduction="add"),
    case("Range", np.int64(2), np.int64(11), np.int64(3)),
    case("Range", np.float32(2), np.float32(-1), np.float32(-0.5)),
    case("Reshape", X, ints(0, -1, 3)),
    case("Reshape", noise(0, 3), ints(3, 0), allowzero=1),
    case("Shape", X),
    case("Shape", X, start=1, end=-1),
    case("Slice", X, ints(1, -3), ints(3, 100), ints(1, -1)),
    case("Slice", X, ints(-1, 6), ints(-1000, 1), ints(1, 2), ints(-1, -2)),
    case("Slice", X, ints(0, 1), ints(2, 4)),
    case("Slice", X, ints(3), ints(1), ints(2)),
    case("Slice", X, ints(0), ints(7), ints(2), ints(3)),
    case("Slice", X, opset=9, starts=[1, 2], ends=[3, -1], axes=[1, 3]),
    case("Split", X, outputs=2, axis=1, num_outputs=2),
    case("Split", X, outputs=3, axis=-1, num_outputs=3),
    case("Split", X, ints(1, 3), outputs=2, axis=1),
    case("Split", X, opset=11, outputs=3, axis=3, split=[2, 3, 4]),
    case("Squeeze", noise(1, 3, 1, 2), ints(0)),
    case("Squeeze", noise(1, 3, 1, 2)),
    case("Squeeze", noise(1, 3, 1, 2), opset=11, axes=[-2]),
    case("Tile", X, ints(1, 2, 1, 3)),
    case("Transpose", X, perm=[0, 2, 3, 1]),
    case("Transpose", X),
    case("Unsqueeze", X, ints(-1, 1)),
    case("Unsqueeze", X, opset=11, axes=[0, 5]),
    case("Pad", X, ints(0, 0, 1, 2, 0, 0, 3, 0), np.float32(0.5)),
    case("Pad", X, ints(0, 0, -1, 2, 0, 0, 3, -2)),
    *(
        case("Pad", X, ints(0, 0, 1, 2, 0, 0, 3, 4), mode=mode)
        for mode in ("reflect", "edge", "wrap")
    ),
    case("Pad", X, ints(1, 2), None, ints(-1), mode="edge"),
    case("Pad", X, opset=10, pads=[0, 0, 1, 2, 0, 0, 3, 0], value=0.5),
]
UP, ODD, DOWN = ([1, 1, v, v] for v in (2, 1.7, 0.6))


def scales(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


RESIZED = [
    *(
        case(
            *("Resize", X, None, scales(by)),
            mode=mode,
            coordinate_transformation_mode=rule,
        )
        for by in (UP, ODD, DOWN)
        for mode in ("nearest", "linear", "cubic")
        for rule in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
    ),
    *(
        case("Resize", X, None, scales(ODD), nearest_mode=rule)
        for rule in ("floor", "ceil", "round_prefer_ceil", "round_prefer_floor")
    ),
    case("Resize", X, None, None, ints(2, 4, 5, 20), mode="linear"),
    case("Resize", X, None, None, ints(5, 20), axes=[2, 3], mode="linear"),
    case(
        *("Resize", X, None, scales(ODD)),
        mode="linear",
        coordinate_transformation_mode="half_pixel_symmetric",
    ),
    case("Resize", X, None, scales(UP), mode="cubic", cubic_coeff_a=-0.5),
    case("Resize", X, scales(UP), opset=10, mode="linear"),
    case("Resize", X, scales(ODD), opset=10),
    case("Upsample", X, scales(UP), opset=9),
    case("Upsample", X, scales(UP), opset=9, mode="linear"),
    case("Upsample", X, opset=7, scales=[1.0, 1.0, 2.0, 3.0]),
]
CASES = [*ELEMENTWISE, *OVER_AXES, *WINDOWS, *PLACES, *RESIZED]


@pytest.mark.parametrize(("kind", "inputs", "outputs", "opset", "attributes"), CASES)
def test_an_operator_is_that_of_onnx_runtime(
    kind: str,
    inputs: tuple[NDArray[Any] | None, ...],
    outputs: int,
    opset: int,
    attributes: dict[str, Any],
) -> None:
    inputs = tuple(None if value is None else np.asarray(value) for value in inputs)
    given = [k for k, value in enumerate(inputs) if value is not None]
    # As a robot's files have it, all but the first are stored; and once nothing is.
    for stored in ([], given[1:]):
        model = one_node(kind, inputs, outputs, opset, stored, attributes)
        feeds = {f"in.{k}": inputs[k] for k in given if k not in stored}
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        expected = session.run(None, feeds)
        network = OnnxNetwork(model)
        found = network.run(
            {name: torch.from_numpy(value) for name, value in feeds.items()}, network.outputs
        )
        for answer, want in zip(found.values(), expected, strict=True):
            have = answer.detach().numpy()
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            largest = np.abs(want).max(initial=0) if want.dtype.kind == "f" else 0
            np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * largest)


def test_every_operator_is_held_against_onnx_runtime() -> None:
    assert {parameter.values[0] for parameter in CASES} == set(OPERATORS)


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "attributes", "text"),
    [
        ("MaxPool", (X,), 2, {"kernel_shape": [2, 2]}, "answers with places, out.1"),
        ("Resize", (X, None, scales(UP)), 1, {"mode": "linear", "antialias": 1}, "antialias = 1"),
        ("AveragePool", (X,), 1, {"kernel_shape": [2, 2], "dilations": [2, 1]}, "dilations"),
        (
            *("Resize", (X, None, scales(UP)), 1),
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            "'tf_crop_and_resize', unknown here",
        ),
    ],
)
def test_what_is_not_known_is_said(
    kind: str, inputs: Any, outputs: int, attributes: dict[str, Any], text: str
) -> None:
    stored = [k for k, value in enumerate(inputs) if value is not None][1:]
    network = OnnxNetwork(one_node(kind, inputs, outputs, OPSET, stored, attributes))
    with pytest.raises(ModelError, match=text):
        network(torch.from_numpy(inputs[0]))
