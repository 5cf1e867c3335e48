"""The tasks learn: from pictures on disk to figures far above chance, in tens of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor, nn  # noqa: E402

from cnn_perception.errors import ConfigError, DatasetError, ModelError  # noqa: E402
from cnn_perception.offboard.datasets.dataset import Dataset  # noqa: E402
from cnn_perception.offboard.datasets.find import open_dataset  # noqa: E402
from cnn_perception.offboard.datasets.labelled import LabelledImage  # noqa: E402
from cnn_perception.offboard.evaluation.bundles import measure_bundle  # noqa: E402
from cnn_perception.offboard.training.checkpoint import load_checkpoint  # noqa: E402
from cnn_perception.offboard.training.matching import BACKGROUND, IGNORED  # noqa: E402
from cnn_perception.offboard.training.plan import parse_plan  # noqa: E402
from cnn_perception.offboard.training.task import Task  # noqa: E402
from cnn_perception.offboard.training.tasks import make_task  # noqa: E402
from cnn_perception.runtime.bundle import load_bundle  # noqa: E402
from learning_trees import SIDE, write_squares, write_stripes  # noqa: E402

PYRAMID = {
    "name": "ssdlite_fpn_mobilenet_v2",
    "image_width": 64,
    "image_height": 64,
    "width": 0.25,
    "box_width": 24,
    "default_boxes": {
        "scales": [0.2, 0.35, 0.6, 0.9],
        "aspect_ratios": [[2], [2], [2]],
    },
}
FCN = {
    "name": "fcn_mobilenet_v2",
    "image_width": 64,
    "image_height": 64,
    "width": 0.25,
    "mask_width": 24,
}
STILL = {"geometry": "none", "distort": 0.0}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def task_of(
    name: str,
    network: dict[str, Any],
    labels: tuple[str, ...] = ("cat", "dog"),
    augmentation: dict[str, Any] | None = None,
) -> Task:
    tree = {"task": name, "network": network, "augmentation": augmentation or STILL}
    return make_task(parse_plan(tree, "test"), labels)


def batch(task: Task, images: list[LabelledImage], rng: np.random.Generator) -> dict[str, Tensor]:
    samples = [task.sample(image, rng) for image in images]
    return {name: torch.from_numpy(np.stack([s[name] for s in samples])) for name in samples[0]}


def learn(task: Task, data: Dataset, steps: int, rate: float) -> tuple[nn.Module, list[float]]:
    """Plain Adam on random batches of 8; returns the network in evaluation mode, and its losses."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = task.build().train()
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    pictures, losses = list(data), []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps)
        chosen = [pictures[i] for i in rng.choice(len(pictures), 8, replace=False)]
        terms = task.loss(network, batch(task, chosen, rng))
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return network.eval(), losses


def fall(losses: list[float]) -> float:
    """The last losses as a share of the first."""
    return float(np.mean(losses[-5:]) / np.mean(losses[:5]))


class Lesson(NamedTuple):
    """A task, what it was measured on, and the network that it left."""

    task: Task
    images: Dataset
    network: nn.Module
    losses: list[float]


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("squares")
    write_squares(root, 64, "train", 1)
    return write_squares(root, 8, "val", 2)


@pytest.fixture(scope="module")
def boxes(squares: Path) -> Lesson:
    train, val = (open_dataset(squares, "detection", split) for split in ("train", "val"))
    task = task_of("detection", PYRAMID, train.labels)
    return Lesson(task, val, *learn(task, train, 110, 0.01))


@pytest.fixture(scope="module")
def masks(squares: Path) -> Lesson:
    train, val = (open_dataset(squares, "segmentation", split) for split in ("train", "val"))
    task = task_of("segmentation", {**FCN, "dice_weight": 0.5}, train.mask_labels)
    return Lesson(task, val, *learn(task, train, 60, 0.01))


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    root = tmp_path_factory.mktemp("stripes")
    write_stripes(root, 16, "train", 1)
    write_stripes(root, 8, "val", 2)
    train, val = (open_dataset(root, "classification", split) for split in ("train", "val"))
    crops = {"geometry": "resized_crop", "area_min": 0.5, "flip": 0.0, "distort": 0.0}
    task = task_of(
        "classification", {"name": "lenet5", "label_smoothing": 0.1}, train.labels, crops
    )
    return Lesson(task, val, *learn(task, train, 150, 0.002))


def test_a_detector_learns_boxes(boxes: Lesson) -> None:
    task, images, network, losses = boxes
    before = task.measure(task.build().eval(), images)
    assert fall(losses) < 0.5
    assert before[task.metric] < 0.05
    assert task.measure(network, images)[task.metric] > 0.7


def test_a_segmenter_learns_masks(masks: Lesson) -> None:
    task, images, network, losses = masks
    after = task.measure(network, images)
    assert fall(losses) < 0.5
    # Everything background would be a third of 0.8.
    assert after[task.metric] > 0.6
    assert after["mean_accuracy"] > 0.8
    assert after["pixel_accuracy"] > 0.9


def test_a_classifier_learns_folders(stripes: Lesson) -> None:
    task, images, network, losses = stripes
    after = task.measure(network, images)
    assert fall(losses) < 0.75
    assert after[task.metric] > 0.7
    assert after["top_5"] == 1.0
    assert task.labels == ("falling", "lying", "rising")


@pytest.mark.parametrize("name", ["boxes", "masks", "stripes"])
def test_bundles_are_measured_as_the_networks(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    task, images, network, _ = request.getfixturevalue(name)
    pictures = list(images)
    task.export(network, tmp_path / name, pictures[:1])
    bundle = load_bundle(tmp_path / name)
    assert bundle.labels == task.labels
    measured = measure_bundle(bundle, pictures)
    for figure, value in task.measure(network, pictures).items():
        if not np.isnan(value):
            assert measured[figure] == pytest.approx(value, abs=2e-3), figure


def test_a_checkpoint_needs_no_starting_weights(
    tmp_path: Path,
) -> None:
    network = {**PYRAMID, "weights": str(tmp_path / "gone.pth")}
    trained = task_of("detection", PYRAMID).build()
    tree = {"task": "detection", "network": network}
    state = {"average": trained.state_dict(), "plan": tree, "labels": ["cat", "dog"]}
    torch.save(state, tmp_path / "best.pt")
    checkpoint = load_checkpoint(tmp_path / "best.pt")
    found = checkpoint.network.state_dict()
    assert all(torch.equal(found[name], x) for name, x in trained.state_dict().items())
    assert checkpoint.plan.network["weights"] == network["weights"]
    with pytest.raises(ModelError, match=r"gone\.pth.*No such file"):
        task_of("detection", network).build()


# --- samples ---


def picture(**labels: Any) -> LabelledImage:
    rng = np.random.default_rng(0)
    empty = {
        "mask": np.full((48, 80), 255, np.uint8),
        "boxes": np.zeros((0, 4), np.float32),
        "classes": np.zeros(0, np.int32),
        "difficult": np.zeros(0, bool),
    }
    return LabelledImage(
        color=rng.integers(0, 256, (48, 80, 3)).astype(np.uint8), **(empty | labels)
    )


def test_samples_of_boxes() -> None:
    task = task_of("detection", PYRAMID)
    boxes = np.array([[10, 6, 40, 30], [50, 10, 78, 40], [0, 0, 40, 48]], np.float32)
    image = picture(
        boxes=boxes,
        classes=np.array([1, 0, 0], np.int32),
        difficult=np.array([False, True, False]),
        crowd=np.array([False, False, True]),
    )
    sample = task.sample(image, np.random.default_rng(0))
    assert sample["images"].shape == (64, 64, 3) and sample["images"].dtype == np.uint8
    count = len(task.priors)  # type: ignore[attr-defined]
    assert sample["classes"].shape == (count,) and sample["deltas"].shape == (count, 4)
    # Only the dog is taught; the difficult cat and the crowd of cats are left out.
    assert set(sample["classes"].tolist()) == {IGNORED, BACKGROUND, 2}


def test_samples_of_masks_keep_the_border_label() -> None:
    mask = np.zeros((48, 80), np.uint8)
    mask[:, 40:] = 1
    mask[20:28] = 255
    sample = task_of("segmentation", FCN).sample(picture(mask=mask), np.random.default_rng(0))
    assert sample["masks"].shape == (64, 64) and sample["masks"].dtype == np.uint8
    assert set(np.unique(sample["masks"])) == {0, 1, 255}


def test_pictures_without_a_class_are_refused() -> None:
    task = task_of("classification", {"name": "lenet5"})
    sample = task.sample(picture(label=1), np.random.default_rng(0))
    assert sample["images"].shape == (32, 32, 3) and sample["labels"] == 1
    with pytest.raises(DatasetError, match="has no class"):
        task.sample(picture(), np.random.default_rng(0))


# --- losses ---


@pytest.mark.parametrize(
    ("network", "terms"),
    [
        ({**FCN, "name": "lraspp_mobilenet_v3_large"}, {"mask"}),
        ({**FCN, "name": "deeplabv3_mobilenet_v3_large"}, {"mask", "auxiliary"}),
        ({**FCN, "name": "deeplabv3_mobilenet_v3_large", "auxiliary": False}, {"mask"}),
        ({**FCN, "dice_weight": 1.0}, {"mask", "dice"}),
    ],
)
def test_terms_of_the_mask_loss(network: dict[str, Any], terms: set[str]) -> None:
    task = task_of("segmentation", network)
    mask = np.ones((48, 80), np.uint8)
    mask[:10] = 255
    samples = batch(task, [picture(mask=mask)] * 2, np.random.default_rng(0))
    torch.manual_seed(0)
    model = task.build().train()
    losses = task.loss(model, samples)
    assert set(losses) == terms
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    samples["masks"][samples["masks"] == 255] = 0
    whole = task.loss(model, samples)["mask"]
    samples["masks"][:, : SIDE // 4] = 255
    assert not torch.isclose(task.loss(model, samples)["mask"], whole)


def test_the_auxiliary_head_counts_half() -> None:
    network = {**FCN, "name": "deeplabv3_mobilenet_v3_large"}
    half = task_of("segmentation", network)
    full = task_of("segmentation", {**network, "auxiliary_weight": 1.0})
    samples = batch(half, [picture(mask=np.ones((48, 80), np.uint8))] * 2, np.random.default_rng(0))
    torch.manual_seed(0)
    model = half.build().eval()
    first, second = (task.loss(model, samples)["auxiliary"] for task in (half, full))
    torch.testing.assert_close(2 * first, second)


def test_label_smoothing_asks_for_less_certainty() -> None:
    samples, losses = {}, []
    for smoothing in (0.0, 0.2):
        task = task_of("classification", {"name": "lenet5", "label_smoothing": smoothing})
        samples = batch(task, [picture(label=1)] * 4, np.random.default_rng(0))
        torch.manual_seed(0)
        model = task.build().eval()
        with torch.no_grad():
            task.head(model)[0].bias[1] += 10
        losses.append(task.loss(model, samples)["class"].item())
    assert losses[0] < 0.1 < losses[1]


# --- settings ---


@pytest.mark.parametrize(
    ("name", "network", "labels", "text"),
    [
        ("detection", {"name": "ssd300"}, ("a",), "did you mean ssd300_vgg16"),
        ("detection", PYRAMID, (), "no classes"),
        (
            "detection",
            {**PYRAMID, "negatives": 0},
            ("a",),
            r"network\.negatives = 0: give a number from 0.5",
        ),
        ("detection", {**PYRAMID, "negative": 3}, ("a",), "did you mean negatives"),
        ("detection", {**PYRAMID, "box_widht": 3}, ("a",), "did you mean box_width"),
        ("segmentation", FCN, ("a",), "two or more"),
        ("segmentation", {**FCN, "dice": 1}, ("a", "b"), r"unknown key network\.dice: known"),
        ("classification", {"name": "lenet"}, ("a", "b"), "did you mean lenet5"),
        ("classification", {"name": "lenet5"}, ("a",), "two or more"),
    ],
)
def test_wrong_settings_are_refused(
    name: str, network: dict[str, Any], labels: tuple[str, ...], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        task_of(name, network, labels)
