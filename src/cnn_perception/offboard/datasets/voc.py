"""Pascal VOC: boxes in XML files, masks as palette PNG, lists of image names."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.offboard.datasets.dataset import (
    PICTURE_SUFFIXES,
    UNLABELLED,
    Broken,
    Dataset,
    checked_boxes,
    read_bytes,
    read_color,
)
from cnn_perception.offboard.datasets.label_png import read_label_png
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.types import UInt8Array

__all__ = ["VOC_LABELS", "VocDataset", "find_voc", "voc_splits"]

VOC_LABELS: tuple[str, ...] = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""The 20 classes; a mask has them from 1 on, and 0 is the background."""


@dataclass(frozen=True, slots=True)
class _Object:
    name: str
    box: tuple[float, float, float, float]
    difficult: bool
    truncated: bool


class VocDataset(Dataset):
    """Images of a folder in the layout of the VOC development kit.

    boxes: from ``Annotations/NAME.xml``, x and y there count from 1 and include the last pixel, so
    that (1, 1, w, h) becomes (0, 0, w, h); objects keep their flags difficult and truncated. masks:
    from ``SegmentationClass/NAME.png``, 255 where borders are not labelled. Images are those named
    in ``ImageSets/Main/SPLIT.txt`` (``ImageSets/Segmentation`` with masks), or all that have an
    annotation when `split` is None. `labels` default to the lines of ``labels.txt`` where that file
    exists, else to VOC_LABELS. Raises DatasetError for folders and lists that are missing.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge, development kit.
    """

    def __init__(
        self,
        root: Path,
        split: str | None = None,
        *,
        boxes: bool = True,
        masks: bool = False,
        labels: Sequence[str] | None = None,
        broken: Broken = "raise",
    ) -> None:
        if not boxes and not masks:
            raise ConfigError("neither boxes nor masks are wanted: ask for one of them")
        folder = find_voc(root)
        if folder is None:
            raise DatasetError(
                f"{root} holds no Annotations/ or SegmentationClass/: give the folder of one year, "
                "such as VOCdevkit/VOC2012"
            )
        super().__init__(_names(folder, split, masks), labels or _labels(folder), broken)
        if masks:
            self.mask_labels = ("background", *self.labels)
        self.root = folder
        self.boxes = boxes
        self.masks = masks
        self._ids = {label: index for index, label in enumerate(self.labels)}

    def _read(self, index: int) -> LabelledImage:
        name = self.names[index]
        color = read_color(_picture(self.root / "JPEGImages", name))
        height, width = color.shape[:2]
        objects: list[_Object] = []
        path = self.root / "Annotations" / f"{name}.xml"
        if self.boxes:
            objects = _objects(path, (width, height))
        what = [item.name for item in objects]
        for unknown in [label for label in what if label not in self._ids]:
            raise DatasetError(
                f"{path}: unknown class {unknown!r}: correct it, or write all class names to "
                f"{self.root / 'labels.txt'}, one per line"
            )
        mask = np.full((height, width), UNLABELLED, np.uint8)
        if self.masks:
            mask = self._mask(name, mask.shape)
        return LabelledImage(
            color,
            mask,
            checked_boxes([item.box for item in objects], what, (width, height), path),
            np.array([self._ids[label] for label in what], np.int32),
            np.array([item.difficult for item in objects], bool),
            truncated=np.array([item.truncated for item in objects], bool),
            name=name,
        )

    def _mask(self, name: str, shape: tuple[int, ...]) -> UInt8Array:
        path = self.root / "SegmentationClass" / f"{name}.png"
        mask = read_label_png(path)
        if mask.shape != shape:
            raise DatasetError(
                f"{path} has {mask.shape[1]}x{mask.shape[0]} pixels, its image "
                f"{shape[1]}x{shape[0]}: save the mask at the image's size"
            )
        wrong = mask[(mask >= len(self.mask_labels)) & (mask != UNLABELLED)]
        if wrong.size:
            raise DatasetError(
                f"{path}: unknown class id {wrong[0]}: ids go from 0, the background, to "
                f"{len(self.labels)}, and {UNLABELLED} is unlabelled"
            )
        return mask


def find_voc(root: Path) -> Path | None:
    """Return the folder with Annotations/ or SegmentationClass/: root, or the only one below it.

    Looks at root, root/VOC20xx and root/VOCdevkit/VOC20xx. Raises DatasetError for several.
    """
    found = [
        path
        for path in (root, *sorted(root.glob("VOC20*")), *sorted(root.glob("VOCdevkit/VOC20*")))
        if (path / "Annotations").is_dir() or (path / "SegmentationClass").is_dir()
    ]
    if len(found) > 1 and found[0] != root:
        shown = ", ".join(str(path) for path in found)
        raise DatasetError(f"{root} holds several years: give one of {shown}")
    return found[0] if found else None


def voc_splits(root: Path, *, masks: bool = False) -> tuple[str, ...]:
    """Return the names of the lists of a VOC folder for detection, or for segmentation."""
    folder = root / "ImageSets" / ("Segmentation" if masks else "Main")
    # Lists of one class, such as dog_val.txt, name every image of the split.
    return tuple(sorted(path.stem for path in folder.glob("*.txt") if "_" not in path.stem))


def _names(folder: Path, split: str | None, masks: bool) -> list[str]:
    if split is None:
        wanted, suffix = ("SegmentationClass", ".png") if masks else ("Annotations", ".xml")
        names = sorted(path.stem for path in (folder / wanted).glob(f"*{suffix}"))
        if not names:
            raise DatasetError(f"{folder / wanted} holds no *{suffix}: nothing to read")
        return names
    path = folder / "ImageSets" / ("Segmentation" if masks else "Main") / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(voc_splits(folder, masks=masks)) or "none"
        raise DatasetError(f"{path} does not exist: the splits of this folder are: {known}")
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    # Lists of one class have a second column: 1, 0 (difficult) or -1.
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        raise DatasetError(f"{path} names no image: write one name per line")
    return names


def _labels(folder: Path) -> tuple[str, ...]:
    path = folder / "labels.txt"
    if not path.is_file():
        return VOC_LABELS
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    labels = tuple(line.strip() for line in lines if line.strip())
    for label in labels:
        if labels.count(label) > 1:
            raise DatasetError(f"{path} names the class {label!r} twice: delete one of them")
    return labels


def _picture(folder: Path, name: str) -> Path:
    """Return the first existing picture of a name; the .jpg when there is none."""
    paths = [folder / f"{name}{suffix}" for suffix in PICTURE_SUFFIXES]
    return next((path for path in paths if path.exists()), paths[0])


def _objects(path: Path, size: tuple[int, int]) -> list[_Object]:
    """Return the objects of an annotation file, boxes as corners that count from 0."""
    try:
        root = ET.fromstring(read_bytes(path))
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: its encoding
        raise DatasetError(f"{path} is no XML ({error}): write it again") from error
    said = tuple(_number(root, f"size/{side}", path, 0.0) for side in ("width", "height"))
    # Some tools leave zeros.
    if all(said) and said != size:
        raise DatasetError(
            f"{path} is for an image of {said[0]:g}x{said[1]:g} pixels, its image has "
            f"{size[0]}x{size[1]}: they do not belong together"
        )
    return [_object(item, path) for item in root.iterfind("object")]


def _object(item: ET.Element, path: Path) -> _Object:
    name = (item.findtext("name") or "").strip()
    left, top, right, bottom = (
        _number(item, f"bndbox/{key}", path) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    return _Object(
        name,
        (left - 1, top - 1, right, bottom),
        bool(_number(item, "difficult", path, 0.0)),
        bool(_number(item, "truncated", path, 0.0)),
    )


def _number(item: ET.Element, key: str, path: Path, default: float | None = None) -> float:
    text = item.findtext(key)
    if text is None and default is not None:
        return default
    try:
        return float(text or "")
    except ValueError as error:
        raise DatasetError(f"{path}: {item.tag}/{key} is {text!r}: write a number") from error
