"""The plans that come with the project: each describes a run that can be started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.offboard.datasets.labelled import LabelledImage  # noqa: E402
from cnn_perception.offboard.simulation.labels import OBJECT_CLASSES  # noqa: E402
from cnn_perception.offboard.training.plan import load_plan  # noqa: E402
from cnn_perception.offboard.training.tasks import make_task  # noqa: E402

PLANS = sorted((Path(__file__).parents[4] / "config" / "training").glob("*.yaml"))
LABELS = {
    "rooms": OBJECT_CLASSES,
    "detection": tuple(f"object {k}" for k in range(20)),
    "segmentation": tuple(f"label {k}" for k in range(21)),
    "classification": ("ant", "bee", "wasp"),
}


def image() -> LabelledImage:
    rng = np.random.default_rng(0)
    return LabelledImage(
        rng.integers(0, 256, (120, 160, 3)).astype(np.uint8),
        rng.integers(0, 3, (120, 160)).astype(np.uint8),
        np.array([[10, 10, 90, 80]], np.float32),
        np.array([2], np.int32),
        np.array([False]),
        label=1,
    )


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_are_complete(path: Path) -> None:
    plan = load_plan(path)
    labels = LABELS[plan.task]
    starts = plan.network.get("weights", "none")
    assert starts in ("none", "imagenet")
    # Weights are a download, which tests do without.
    task = make_task(load_plan(path, ["network.weights=none"] if starts != "none" else ()), labels)
    sample = task.sample(image(), np.random.default_rng(0))
    with torch.device("meta"):
        network = task.build().eval()
        height, width, _ = sample["images"].shape
        network(torch.empty(1, 3, height, width))
    whole = {id(p) for p in network.parameters()}
    last = {id(p) for layer in task.last_layers(network) for p in layer.parameters()}
    head = {id(p) for layer in task.head(network) for p in layer.parameters()}
    assert head <= last < whole
    if "classes" in sample:
        assert (sample["classes"] == 3).any()
    assert plan.optimisation.length > 0


def test_every_task_has_a_plan() -> None:
    assert {load_plan(path).task for path in PLANS} == set(LABELS)
