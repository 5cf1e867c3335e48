from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.offboard.datasets.rooms import EVALUATION_SEED, RenderedRooms
from cnn_perception.offboard.training.data import data_labels, open_data, prepare_data
from cnn_perception.offboard.training.plan import TrainingPlan, parse_plan
from dataset_trees import picture, write_picture, write_voc


def plan_of(task: str, **data: Any) -> TrainingPlan:
    return parse_plan({"task": task, "data": data}, "test")


@pytest.mark.parametrize(("task", "images"), [("detection", 3), ("segmentation", 2)])
def test_both_splits_are_opened(task: str, images: int, tmp_path: Path) -> None:
    plan = plan_of(task, path=str(write_voc(tmp_path / "voc")), train="val")
    train, validation = open_data(plan)
    assert validation is not None and len(train) == len(validation) == images
    labels = data_labels(plan, train)
    assert ("background" in labels) == (task == "segmentation") and "dog" in labels


def test_measuring_and_stopping_at_broken_files_can_be_left_out(tmp_path: Path) -> None:
    path = str(write_voc(tmp_path / "voc"))
    (tmp_path / "voc" / "JPEGImages" / "2007_000002.png").write_bytes(b"broken")
    settings = {"path": path, "train": "val", "validation": ""}
    train, validation = open_data(plan_of("detection", **settings, broken="skip"))
    assert validation is None and len(list(train)) == 2
    train, _ = open_data(plan_of("detection", **settings))
    with pytest.raises(DatasetError, match="2007_000002"):
        list(train)


def test_splits_of_other_classes_are_refused(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "val/cat", "val/cow"):
        write_picture(tmp_path / name / "1.png", picture(0))
    with pytest.raises(DatasetError, match="other classes: cat, dog and cat, cow"):
        open_data(plan_of("classification", path=str(tmp_path)))


def test_a_path_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"no data\.path"):
        open_data(plan_of("detection"))


def test_rooms_without_a_folder_are_rendered_when_they_are_read() -> None:
    plan = plan_of("rooms", rooms=5, views=3, evaluation_rooms=2)
    prepare_data(plan)
    train, validation = open_data(plan)
    assert isinstance(train, RenderedRooms) and isinstance(validation, RenderedRooms)
    assert (train.seed, len(train)) == (0, 15)
    assert (validation.seed, len(validation)) == (EVALUATION_SEED, 2)
    order = train.shuffled(np.random.default_rng(0))
    assert sorted(order) == list(range(15))


def test_rooms_are_rendered_into_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "cnn_perception.offboard.training.data.write_shards", lambda *args: asked.append(args[:5])
    )
    network = {"default_boxes": {"scales": [0.1, 0.2, 0.3, 0.4], "aspect_ratios": [[2]] * 3}}
    data = {"path": str(tmp_path), "rooms": 7, "views": 2, "evaluation_rooms": 3}
    prepare_data(parse_plan({"task": "rooms", "network": network, "data": data}, "test"))
    assert asked == [(tmp_path, 7, 2, (256, 192), 3)]
    prepare_data(plan_of("detection", path=str(tmp_path)))
    assert len(asked) == 1
