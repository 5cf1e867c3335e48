from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.datasets.coco import CocoDataset
from cnn_perception.datasets.find import open_dataset
from cnn_perception.datasets.folder import FolderDataset
from cnn_perception.datasets.voc import VocDataset
from cnn_perception.errors import DatasetError
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


def test_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither Pascal VOC"):
        open_dataset(tmp_path, "detection")
    with pytest.raises(DatasetError, match="does not exist"):
        open_dataset(tmp_path / "nowhere", "detection")
