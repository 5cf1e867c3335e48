"""Which layout a folder of labelled images has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.coco import CocoDataset
from cnn_perception.offboard.datasets.dataset import Broken, Dataset
from cnn_perception.offboard.datasets.folder import FolderDataset
from cnn_perception.offboard.datasets.shards import RoomsFolder, shard_splits
from cnn_perception.offboard.datasets.voc import VocDataset, find_voc, voc_splits

__all__ = ["Task", "open_dataset"]

Task = Literal["classification", "detection", "rooms", "segmentation"]

_TO_MEASURE_WITH = ("val", "test")


def open_dataset(
    path: Path, task: Task, split: str | None = None, *, broken: Broken = "raise"
) -> Dataset:
    """Return the labelled images below a path, with what a task needs.

    Detection and segmentation: a Pascal VOC folder, an MS COCO folder with
    ``annotations/instances_SPLIT*.json``, the path of such a JSON file, or shards of simulated
    rooms ``SPLIT_XXXX.npy``, a folder or one of them; rooms: the same, boxes and masks together.
    Classification: a folder with one folder per class, or one with such a folder per split. Without
    `split` those to measure with are taken: val, else test, else everything. Raises DatasetError
    for a path that has none of these layouts, and whatever the layout's reader raises.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist: give a folder of labelled images")
    if task == "classification":
        folders = (split,) if split else _TO_MEASURE_WITH
        chosen = (path / name for name in folders if (path / name).is_dir())
        return FolderDataset(path / split if split else next(chosen, path), broken=broken)
    boxes, masks = task != "segmentation", task != "detection"
    shards = () if path.is_file() else shard_splits(path)
    if path.suffix == ".npy" or shards:
        measured = next((name for name in _TO_MEASURE_WITH if name in shards), "train")
        return RoomsFolder(path, split or measured, broken=broken)
    if path.is_file():
        return CocoDataset(path, _coco_images(path), boxes=boxes, masks=masks, broken=broken)
    voc = find_voc(path)
    if voc is not None:
        known = voc_splits(voc, masks=masks)
        split = split or next((name for name in _TO_MEASURE_WITH if name in known), None)
        return VocDataset(voc, split, boxes=boxes, masks=masks, broken=broken)
    instances = _instances(path, split)
    return CocoDataset(instances, _coco_images(instances), boxes=boxes, masks=masks, broken=broken)


def _instances(path: Path, split: str | None) -> Path:
    """Return the COCO file of a split."""
    files = sorted(path.glob("annotations/instances_*.json"))
    if not files:
        raise DatasetError(
            f"{path} holds neither Pascal VOC (Annotations/ or SegmentationClass/), MS COCO "
            "(annotations/instances_*.json) nor rooms (train_*.npy): give the folder that does"
        )
    for wanted in (split,) if split else _TO_MEASURE_WITH:
        for file in files:
            if file.stem.startswith(f"instances_{wanted}"):
                return file
    shown = ", ".join(file.stem.removeprefix("instances_") for file in files)
    if split is None and len(files) == 1:
        return files[0]
    raise DatasetError(f"{path} has no split {split or 'val or test'}: it has {shown}")


def _coco_images(instances: Path) -> Path:
    """Return the folder of a file's pictures: below ROOT of ROOT/annotations, else beside it."""
    root = instances.parent.parent
    split = instances.stem.removeprefix("instances_")
    candidates = (root / split, root / "images" / split, root / "images")
    if instances.parent.name != "annotations":
        return instances.parent
    return next((folder for folder in candidates if folder.is_dir()), root)
