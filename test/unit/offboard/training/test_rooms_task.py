from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.datasets.dataset import Dataset  # noqa: E402
from cnn_perception.offboard.datasets.labelled import LabelledImage  # noqa: E402
from cnn_perception.offboard.simulation.labels import MASK_LABELS, OBJECT_CLASSES  # noqa: E402
from cnn_perception.offboard.training.checkpoint import load_checkpoint  # noqa: E402
from cnn_perception.offboard.training.plan import TrainingPlan, load_plan, parse_plan  # noqa: E402
from cnn_perception.offboard.training.tasks import make_task  # noqa: E402
from cnn_perception.offboard.training.tasks.rooms import RoomsTask  # noqa: E402
from cnn_perception.offboard.training.tasks.rooms_config import RoomsConfig  # noqa: E402
from cnn_perception.offboard.training.trainer import Trainer  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402

SIZE = 64
BOXES = {"scales": [0.2, 0.4, 0.6, 0.9], "aspect_ratios": [[2], [2], [2]]}


@pytest.fixture
def plan() -> TrainingPlan:
    return parse_plan(
        {
            "task": "rooms",
            "network": {
                "image_width": SIZE,
                "image_height": SIZE,
                "width": 0.25,
                "box_width": 16,
                "mask_width": 16,
                "default_boxes": BOXES,
            },
            "augmentation": {"flip": 0.5, "zoom": 0.0, "distort": 0.0},
            "optimisation": {
                "length": 80,
                "batch": 8,
                "learning_rate": 0.01,
                "warmup": 4,
                "threads": 1,
                "workers": 0,
                "ema_decay": 0.8,
            },
        },
        "test",
    )


class Images(Dataset):
    """Images in memory."""

    def __init__(self, images: list[LabelledImage]) -> None:
        super().__init__([str(k) for k in range(len(images))], OBJECT_CLASSES, "raise")
        self.mask_labels = MASK_LABELS
        self.stored = images

    def _read(self, index: int) -> LabelledImage:
        return self.stored[index]


def squares(count: int, seed: int) -> list[LabelledImage]:
    """One bright square, class 2, on a dark floor; noise elsewhere in the colors only."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        color = rng.integers(20, 60, (SIZE, SIZE, 3)).astype(np.uint8)
        mask = np.ones((SIZE, SIZE), np.uint8)
        x, y = rng.integers(4, 34, 2)
        color[y : y + 26, x : x + 26] = rng.integers(190, 250, 3)
        mask[y : y + 26, x : x + 26] = 5
        box = np.array([[x, y, x + 26, y + 26]], np.float32)
        images.append(LabelledImage(color, mask, box, np.array([2], np.int32), np.array([False])))
    return images


def test_network_learns_squares_and_the_checkpoint_keeps_it(
    plan: TrainingPlan, tmp_path: Path
) -> None:
    task = make_task(plan, OBJECT_CLASSES)
    validation = Images(squares(8, 1))
    trainer = Trainer(plan, task, Images(squares(64, 0)), validation, tmp_path)
    before = task.measure(trainer.learner.average.network, validation)
    assert trainer.run()
    after = trainer.best
    assert after["miou"] > before["miou"] + 0.4
    assert after["map_50"] > 0.5
    assert after["score"] == pytest.approx((after["miou"] + after["map_50"]) / 2)
    loaded = load_checkpoint(tmp_path / "best.pt")
    state = trainer.learner.average.network.state_dict()
    assert all(
        torch.equal(value, state[name]) for name, value in loaded.network.state_dict().items()
    )
    assert loaded.plan == plan and loaded.labels == OBJECT_CLASSES and loaded.step == 80
    again = loaded.task.measure(loaded.network, validation)
    assert loaded.figures == after == {k: v for k, v in again.items() if not np.isnan(v)}


def test_measuring_keeps_to_the_size_of_the_image(plan: TrainingPlan) -> None:
    task = RoomsTask(plan)
    large = [
        LabelledImage(
            image.color.repeat(2, 0).repeat(2, 1),
            image.mask.repeat(2, 0).repeat(2, 1),
            image.boxes * 2,
            image.classes,
            image.difficult,
        )
        for image in squares(3, 0)
    ]
    network = task.build().eval()
    small, big = (task.measure(network, images) for images in (squares(3, 0), large))
    assert big["miou"] == pytest.approx(small["miou"], abs=0.02)
    assert np.isfinite(list(small.values())).sum() >= 6


def test_export_writes_both_bundles(plan: TrainingPlan, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is an extra: [train]")
    task = RoomsTask(plan)
    task.export(task.build().eval(), tmp_path, squares(2, 0))
    detector, segmenter = (load_bundle(tmp_path / n) for n in ("rooms_ssdlite", "rooms_fcn"))
    assert detector.labels == OBJECT_CLASSES and len(detector.explain) == 3
    assert segmenter.labels == MASK_LABELS


def test_layers_of_transfer_learning(plan: TrainingPlan) -> None:
    task = RoomsTask(plan)
    network = task.build()
    last = {id(p) for layer in task.last_layers(network) for p in layer.parameters()}
    head = {id(p) for layer in task.head(network) for p in layer.parameters()}
    trunk = {id(p) for p in network.trunk.parameters()}
    assert head < last and not last & trunk
    assert last | trunk == {id(p) for p in network.parameters()}
    assert id(network.masks.score.weight) in head


def test_shipped_plan_is_valid(repository: Path) -> None:
    task = RoomsTask(load_plan(repository / "config" / "training" / "rooms.yaml"))
    assert task.boxes.feature_maps == ((24, 32), (12, 16), (6, 8), (3, 4), (2, 2))


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ({}, "the key default_boxes is missing"),
        ({"default_boxes": BOXES, "widht": 1.0}, "did you mean width"),
        ({"default_boxes": BOXES, "image_width": 250}, "multiples of 32"),
        ({"default_boxes": {"scales": [1]}}, r"the key default_boxes\.aspect_ratios is missing"),
        (
            {"default_boxes": {**BOXES, "scales": ["big"]}},
            r"default_boxes\.scales\[0\] = 'big': give a num",
        ),
        ({"default_boxes": {**BOXES, "scales": [0.1, 0.2]}}, "need 4"),
    ],
)
def test_wrong_settings_of_the_network_are_refused(network: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        RoomsConfig.from_mapping(network)


def test_other_labels_are_refused(plan: TrainingPlan) -> None:
    with pytest.raises(ConfigError, match="choose task detection or segmentation"):
        make_task(plan, ["cat", "dog"])
