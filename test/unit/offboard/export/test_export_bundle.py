from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")

from torch import nn  # noqa: E402

from cnn_perception.errors import ModelError  # noqa: E402
from cnn_perception.image.preprocess import InputSpec  # noqa: E402
from cnn_perception.offboard.export import bundle as module  # noqa: E402
from cnn_perception.offboard.export.bundle import (  # noqa: E402
    About,
    describe,
    prepared,
    write_bundle,
    write_quality,
)
from cnn_perception.offboard.export.onnx_file import OnnxOptions  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.runtime.inference import Session  # noqa: E402
from cnn_perception.types import UInt8Array  # noqa: E402

LABELS = ("cat", "dog")
OUTPUT = {"format": "class_logits", "tensors": {"class_logits": "class_logits"}}
PLAN = {"data": {"rooms": 30}, "optimisation": {"seed": 42}}
ABOUT = About("tells cats from dogs", "MIT", "a test", "1.0", "Blind at night.", plan=PLAN)


class Mean(nn.Module):
    """Two logits from the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([[1.0, -1.0]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))[:, :2] * self.scale


class Restless(Mean):
    """Answers otherwise each time that it is asked, as a network with dropout left on would."""

    calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            self.calls += 1
        return super().forward(images) + 0.1 * self.calls


def write(
    folder: Path, spec: InputSpec, pictures: Sequence[UInt8Array], network: nn.Module | None = None
) -> float:
    return write_bundle(
        folder,
        network or Mean().eval(),
        describe(ABOUT, "classification", spec, OUTPUT, LABELS),
        prepared(spec, pictures),
        ["class_logits"],
        plan=ABOUT.plan,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_bundle_is_complete(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "animals"
    assert write(folder, spec, pictures) <= 1e-5
    bundle = load_bundle(folder)
    assert (bundle.name, bundle.licence, bundle.limits) == ("animals", "MIT", "Blind at night.")
    assert sorted(contents(folder)) == ["README.md", "model.onnx", "model.yaml", "training.yaml"]
    assert [path.name for path in folder.parent.iterdir()] == ["animals"], "no drafts are left"


def test_same_network_gives_the_same_files(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    write(tmp_path / "animals", spec, pictures)
    first = contents(tmp_path / "animals")
    write(tmp_path / "animals", spec, pictures)
    assert contents(tmp_path / "animals") == first


def test_network_that_disagrees_leaves_the_old_bundle(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    folder = tmp_path / "animals"
    write(folder, spec, pictures)
    before = contents(folder)
    with pytest.raises(ModelError, match=r"animals/model\.onnx differs from PyTorch") as caught:
        write(folder, spec, pictures, Restless().eval())
    assert "draft" not in str(caught.value)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["animals"]


def test_description_that_does_not_fit_leaves_the_old_bundle(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    folder = tmp_path / "animals"
    write(folder, spec, pictures)
    before = contents(folder)
    tree = describe(ABOUT, "classification", spec, OUTPUT, ("cat", "dog", "cow"))
    with pytest.raises(ModelError, match="with 3 labels needs"):
        write_bundle(folder, Mean().eval(), tree, prepared(spec, pictures), ["class_logits"])
    assert contents(folder) == before


def test_failing_disk_leaves_the_old_bundle(
    spec: InputSpec,
    pictures: Sequence[UInt8Array],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "animals"
    write(folder, spec, pictures)
    before = contents(folder)
    rename = Path.rename

    def fail_for_drafts(self: Path, target: Path) -> Path:
        if self.name.endswith(".draft"):
            raise OSError("no space left on device")
        return rename(self, target)

    monkeypatch.setattr(module.Path, "rename", fail_for_drafts)
    with pytest.raises(ModelError, match="animals cannot be written: no space"):
        write(folder, spec, pictures)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["animals"]


def test_folder_of_something_else_is_refused(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="is no bundle: choose another folder"):
        write(tmp_path, spec, pictures)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_export_without_pictures_is_refused(spec: InputSpec, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no images"):
        write(tmp_path / "animals", spec, [])


def test_bundle_with_dynamic_batch_runs(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    inputs = prepared(spec, pictures)
    tree = describe(ABOUT, "classification", spec, OUTPUT, LABELS)
    folder = tmp_path / "animals"
    write_bundle(
        folder,
        Mean().eval(),
        tree,
        inputs,
        ["class_logits"],
        options=OnnxOptions(dynamic_batch=True),
    )
    session = Session(load_bundle(folder))
    batch = np.concatenate([value.numpy() for value in inputs])
    assert session.run({"images": batch})["class_logits"].shape == (2, 2)


def test_quality_is_recorded_and_told_in_the_card(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    folder = tmp_path / "animals"
    write(folder, spec, pictures)
    assert "Nothing was measured" in (folder / "README.md").read_text()
    quality = {"dataset": "a farm", "top_1": 0.75, "recall": {"cat": 0.5, "dog": None}}
    write_quality(folder, quality)
    assert load_bundle(folder).quality == quality
    card = (folder / "README.md").read_text()
    for text in (
        "# animals",
        "opset 20",
        "| licence | MIT |",
        "On a farm: top_1 0.750",
        "| cat | 0.500 |",
        "| dog | - |",
        "seed 42, data: rooms 30",
        "- Blind at night.",
        "Weakest by recall: cat.",
    ):
        assert text in card


def test_card_of_a_network_from_elsewhere_claims_no_training(
    spec: InputSpec, pictures: Sequence[UInt8Array], tmp_path: Path
) -> None:
    folder = tmp_path / "animals"
    tree = describe(ABOUT, "classification", spec, OUTPUT, LABELS)
    write_bundle(folder, Mean().eval(), tree, prepared(spec, pictures), ["class_logits"])
    assert "was not trained with" in (folder / "README.md").read_text()
