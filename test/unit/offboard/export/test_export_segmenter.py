from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")

from cnn_perception.config import ExplainerConfig  # noqa: E402
from cnn_perception.explain.explainer import Explainer  # noqa: E402
from cnn_perception.image.preprocess import InputSpec  # noqa: E402
from cnn_perception.offboard.export.bundle import About, prepared  # noqa: E402
from cnn_perception.offboard.export.segmenter import export_segmenter  # noqa: E402
from cnn_perception.offboard.networks.rooms import RoomsNetwork  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from cnn_perception.runtime.inference import Session  # noqa: E402
from cnn_perception.segmentation.segmenter import Segmenter  # noqa: E402
from cnn_perception.types import UInt8Array  # noqa: E402

LABELS = tuple("abcdefg")
ABOUT = About("tiny", "Apache-2.0", "a test", "1.0", palette=[[i, i, i] for i in range(7)])


@pytest.mark.parametrize("enlarge", [4, None])
def test_exported_segmenter_answers_as_the_network(
    enlarge: int | None,
    network: RoomsNetwork,
    spec: InputSpec,
    pictures: Sequence[UInt8Array],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "tiny_fcn"
    export_segmenter(
        network.segmenter(), folder, pictures, ABOUT, spec=spec, labels=LABELS, enlarge=enlarge
    )
    bundle = load_bundle(folder)
    assert bundle.palette is not None and bundle.palette[6].tolist() == [6, 6, 6]
    names = [output.name for output in Session(bundle).outputs]
    # The logits that labels are proven with are not shipped; what explain graphs read is.
    assert names[0] == ("mask_logits" if enlarge is None else "mask_index")
    assert ("mask_logits" in names) == (enlarge is None)
    assert bundle.explain[0].feature_map in names
    everything = ExplainerConfig(max_answers=len(LABELS), budget_ms=10000)
    explanation = Explainer(bundle, everything).explain(pictures[0])
    assert len(explanation.answers) > 2 and explanation.heatmap.max() == 1.0
    with torch.no_grad():
        logits = network(prepared(spec, pictures)[0]).mask_logits
    full = torch.nn.functional.interpolate(logits, scale_factor=4.0, mode="bilinear")
    mask = Segmenter(bundle).segment(pictures[0])
    assert len(set(mask.ravel())) > 3
    assert (full.argmax(1)[0].numpy() == mask).mean() > 0.999
