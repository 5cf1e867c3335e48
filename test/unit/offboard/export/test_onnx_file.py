from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
onnx = pytest.importorskip("onnx", reason="onnx is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")

from torch import nn  # noqa: E402

from cnn_perception.errors import ConfigError, ModelError  # noqa: E402
from cnn_perception.offboard.export.onnx_file import OPSET, OnnxOptions, check_onnx, write_onnx  # noqa: E402


class Normalised(nn.Module):
    """A convolution and its normalisation, as attributes: nothing but their use joins them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.norm(self.convolution(images)).relu().mean((2, 3))
        return answer


@pytest.mark.parametrize("opset", [18, OPSET, 21])
def test_opset_is_the_stated_one_and_normalisation_is_folded(opset: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, case = Normalised().eval(), {"images": torch.randn(1, 3, 8, 8)}
    write_onnx(network, case, ["y"], tmp_path / "x.onnx", OnnxOptions(opset))
    assert check_onnx(network, tmp_path / "x.onnx", [case], 1e-5) < 1e-5
    model = onnx.load(tmp_path / "x.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_batch_may_be_dynamic(tmp_path: Path) -> None:
    network, case = Normalised().eval(), {"images": torch.randn(1, 3, 8, 8)}
    write_onnx(network, case, ["y"], tmp_path / "fixed.onnx")
    write_onnx(network, case, ["y"], tmp_path / "any.onnx", OnnxOptions(dynamic_batch=True))
    batches = [{"images": torch.randn(size, 3, 8, 8)} for size in (1, 2, 5)]
    assert check_onnx(network, tmp_path / "any.onnx", batches, 1e-5) < 1e-5
    with pytest.raises(Exception, match="invalid dimensions"):
        check_onnx(network, tmp_path / "fixed.onnx", batches, 1e-5)


@pytest.mark.parametrize("opset", [9, 99])
def test_opset_that_cannot_be_written_is_refused(opset: int) -> None:
    with pytest.raises(ConfigError, match=f"opset = {opset}: choose 18 to"):
        OnnxOptions(opset)


def test_file_that_differs_from_the_network_is_refused(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2).eval()
    case = {"x": torch.randn(1, 3)}
    write_onnx(layer, case, ["y"], tmp_path / "layer.onnx")
    assert check_onnx(layer, tmp_path / "layer.onnx", [case], 1e-5) < 1e-5
    with torch.no_grad():
        layer.bias += 0.1
    with pytest.raises(ModelError, match=r"differs from PyTorch by 0\.1"):
        check_onnx(layer, tmp_path / "layer.onnx", [case], 1e-3)
