from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.datasets.labelled import LabelledImage  # noqa: E402
from cnn_perception.datasets.rooms import save_shard  # noqa: E402
from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.training.average import AveragedWeights  # noqa: E402
from cnn_perception.training.config import OptimisationConfig, TrainingPlan, parse_plan  # noqa: E402
from cnn_perception.training.loop import Trainer, learning_rate, load_checkpoint  # noqa: E402
from cnn_perception.training.stream import endless_order  # noqa: E402

SIZE = 64


@pytest.fixture
def plan() -> TrainingPlan:
    return parse_plan(
        {
            "network": {
                "image_width": SIZE,
                "image_height": SIZE,
                "width": 0.25,
                "box_width": 16,
                "mask_width": 16,
            },
            "default_boxes": {"scales": [0.2, 0.4, 0.6, 0.9], "aspect_ratios": [[2], [2], [2]]},
            "augmentation": {"flip": 0.5, "zoom": 0.0},
            "optimisation": {
                "steps": 80,
                "batch": 8,
                "learning_rate": 0.01,
                "threads": 1,
                "bfloat16": False,
                "ema_decay": 0.8,
            },
        },
        "test",
    )


def squares(count: int, seed: int) -> list[LabelledImage]:
    """One bright square, class 2, on a dark floor; noise elsewhere in the colours only."""
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
    save_shard(tmp_path / "train_0.npz", squares(64, 0))
    save_shard(tmp_path / "eval.npz", squares(8, 1))
    trainer = Trainer(plan, tmp_path, tmp_path / "out")
    before = trainer.evaluate()
    after = trainer.run()
    assert before is not None and after is not None
    assert trainer.step == 80
    assert after.miou > before.miou + 0.4
    assert after.map_50 > 0.5
    loaded = load_checkpoint(tmp_path / "out" / "checkpoint.pt", plan)
    state = trainer.average.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    again = dataclasses.replace(plan.optimisation, steps=1)
    resumed = Trainer(
        dataclasses.replace(plan, optimisation=again),
        tmp_path,
        tmp_path / "more",
        tmp_path / "out" / "checkpoint.pt",
    )
    scores = resumed.evaluate()
    assert scores is not None and scores.map_50 == pytest.approx(after.map_50)


def test_folder_without_rooms_is_named(plan: TrainingPlan, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no train_\*\.npz"):
        Trainer(plan, tmp_path, tmp_path / "out").run()


def test_rate_rises_then_falls_to_nothing() -> None:
    config = OptimisationConfig(learning_rate=0.1, warmup=0.1)
    rates = [learning_rate(progress, config) for progress in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 10 and rates[10] == pytest.approx(0.1)
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert rates[-1] == pytest.approx(0.0)


def test_average_follows_weights_and_statistics() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    average = AveragedWeights(network, 0.5)
    start = network[0].weight.detach().clone()
    with torch.no_grad():
        network[0].weight += 1.0
    network(torch.randn(2, 3, 4, 4) + 5)
    average.update(network)
    decay = 2 / 11
    torch.testing.assert_close(average.network[0].weight, start + (1 - decay))
    assert average.network[1].num_batches_tracked == 1
    torch.testing.assert_close(
        average.network[1].running_mean, (1 - decay) * network[1].running_mean
    )


def test_order_shows_each_image_once_per_round() -> None:
    order = endless_order(5, np.random.default_rng(0))
    for _ in range(3):
        assert sorted(next(order) for _ in range(5)) == list(range(5))
