from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.coco import CocoDataset
from cnn_perception.offboard.datasets.find import open_dataset
from cnn_perception.offboard.datasets.folder import FolderDataset
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.datasets.shards import RoomsFolder, save_shard
from cnn_perception.offboard.datasets.voc import VocDataset
from dataset_trees import picture, write_coco, write_picture, write_voc


def test_voc(tmp_path: Path) -> None:
    write_voc(tmp_path / "VOC2012")
    found = open_dataset(tmp_path, "detection")
    assert isinstance(found, VocDataset) and len(found) == 3 and not found.mask_labels
    assert len(open_dataset(tmp_path, "segmentation")) == 2
    assert len(open_dataset(tmp_path, "detection", "dog_val")) == 2
    (tmp_path / "VOC2012/ImageSets/Main/val.txt").unlink()
    assert len(open_dataset(tmp_path, "detection")) == 3


def test_coco(tmp_path: Path) -> None:
    write_coco(tmp_path)
    for split in (None, "val", "val2017"):
        found = open_dataset(tmp_path, "segmentation", split)
        assert isinstance(found, CocoDataset) and len(list(found)) == 3
    file = tmp_path / "annotations/instances_val2017.json"
    assert len(list(open_dataset(file, "detection"))) == 3
    with pytest.raises(DatasetError, match="no split train: it has val2017"):
        open_dataset(tmp_path, "detection", "train")
    file = file.rename(file.with_name("instances_mine.json"))
    (tmp_path / "val2017").rename(tmp_path / "images")
    assert len(list(open_dataset(tmp_path, "detection"))) == 3
    beside = file.rename(tmp_path / "images" / "labels.json")
    assert len(list(open_dataset(beside, "detection"))) == 3


def test_folders_of_classes(tmp_path: Path) -> None:
    write_picture(tmp_path / "mug/a.png", picture(0))
    found = open_dataset(tmp_path, "classification")
    assert isinstance(found, FolderDataset) and found.labels == ("mug",)
    write_picture(tmp_path / "val/cup/a.png", picture(0))
    assert open_dataset(tmp_path, "classification").labels == ("cup",)
    assert open_dataset(tmp_path, "classification", "val").labels == ("cup",)
    with pytest.raises(DatasetError, match="train is no folder"):
        open_dataset(tmp_path, "classification", "train")


def test_rooms(tmp_path: Path) -> None:
    image = LabelledImage(
        np.zeros((6, 8, 3), np.uint8),
        np.zeros((6, 8), np.uint8),
        np.array([[1, 1, 4, 5]], np.float32),
        np.zeros(1, np.int32),
        np.zeros(1, bool),
    )
    save_shard(tmp_path / "train_0000.npy", [image, image])
    assert len(open_dataset(tmp_path, "rooms")) == 2
    save_shard(tmp_path / "val_0000.npy", [image])
    for task in ("rooms", "detection", "segmentation"):
        found = open_dataset(tmp_path, task)  # type: ignore[arg-type]
        assert isinstance(found, RoomsFolder) and len(found) == 1
        assert len(open_dataset(tmp_path, task, "train")) == 2  # type: ignore[arg-type]
    assert len(open_dataset(tmp_path / "train_0000.npy", "rooms")) == 2
    with pytest.raises(DatasetError, match="holds no test_"):
        open_dataset(tmp_path, "rooms", "test")
    with pytest.raises(DatasetError, match=r"rooms\.npy is no readable shard"):
        (tmp_path / "rooms.npy").write_text("nothing")
        open_dataset(tmp_path / "rooms.npy", "rooms")


def test_boxes_and_masks_together(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    write_voc(tmp_path / "voc")
    for name in ("coco", "voc"):
        found = open_dataset(tmp_path / name, "rooms")
        assert found.mask_labels == ("background", *found.labels)
        assert any(len(image.boxes) and (image.mask < 255).any() for image in found)


def test_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither Pascal VOC"):
        open_dataset(tmp_path, "detection")
    with pytest.raises(DatasetError, match="does not exist"):
        open_dataset(tmp_path / "nowhere", "detection")
