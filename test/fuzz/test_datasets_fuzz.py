"""Damaged data sets: an error that names the file, or labels that fit the image; nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.coco import CocoDataset
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.datasets.shards import RoomsFolder, save_shard
from cnn_perception.offboard.datasets.voc import VocDataset
from dataset_trees import VOC_OBJECTS, coco_content, write_coco, write_voc

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAME = next(iter(VOC_OBJECTS))

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.integers(-2, 100)
    | st.floats()
    | st.text(max_size=8)
)
values = scalars | st.lists(scalars | st.lists(scalars, max_size=8), max_size=8)
values |= st.dictionaries(st.sampled_from(["size", "counts", "id"]), values, max_size=3)


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voc(tmp_path_factory.mktemp("voc") / "VOC2012")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("coco"))


def assert_sound(dataset: Dataset) -> None:
    """Whatever is read fits its image and the classes."""
    for image in dataset:
        height, width = image.mask.shape
        limit = [width, height, width, height]
        assert ((image.boxes >= 0) & (image.boxes <= limit)).all()
        assert (image.boxes[:, 2:] > image.boxes[:, :2]).all()
        assert ((image.classes >= 0) & (image.classes < len(dataset.labels))).all()
        known = image.mask[image.mask != 255]
        assert not known.size or known.max() < len(dataset.mask_labels)


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """The content with bytes replaced, dropped or put in, or cut short."""
    result = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(result)))
        last = data.draw(st.integers(first, min(len(result), first + 6)))
        result[first:last] = data.draw(st.binary(max_size=6))
    return bytes(result[: data.draw(st.integers(0, len(result)) | st.just(len(result)))])


@pytest.mark.parametrize(
    "file", ["Annotations/{}.xml", "SegmentationClass/{}.png", "JPEGImages/{}.png"]
)
@FUZZ
@given(data=st.data())
def test_damaged_voc_files(voc: Path, file: str, data: st.DataObject) -> None:
    path = voc / file.format(NAME)
    whole = path.read_bytes()
    try:
        path.write_bytes(damaged(whole, data))
        dataset = VocDataset(voc, "val", masks=True, broken="skip")
        assert_sound(dataset)
        assert set(dataset.broken_files) <= {NAME}
    finally:
        path.write_bytes(whole)


@FUZZ
@given(data=st.data())
def test_damaged_shards(tmp_path: Path, data: st.DataObject) -> None:
    boxes = np.array([[1, 1, 7, 6], [0, 2, 3, 3]], np.float32)
    image = LabelledImage(
        np.zeros((6, 8, 3), np.uint8),
        np.ones((6, 8), np.uint8),
        boxes,
        np.arange(2, dtype=np.int32),
        np.ones(2, bool),
    )
    path = tmp_path / "train_0000.npy"
    save_shard(path, [image, image.only(np.array([True, False]))])
    path.write_bytes(damaged(path.read_bytes(), data))
    try:
        dataset = RoomsFolder(path, broken="skip")
        assert_sound(dataset)
        assert all(path.name in text for text in dataset.broken_files.values())
    except DatasetError as error:
        assert path.name in str(error) or "none of the" in str(error)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to every value of a JSON tree."""
    keys = content if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield (*path, key)
        if isinstance(content[key], dict | list):
            yield from places(content[key], (*path, key))


@FUZZ
@given(data=st.data())
def test_coco_files_with_other_values(coco: Path, data: st.DataObject) -> None:
    content = copy.deepcopy(coco_content())
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, key = data.draw(st.sampled_from(list(places(content))))
        target: Any = content
        for parent in parents:
            target = target[parent]
        target[key] = data.draw(values)
    path = coco / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        assert_sound(CocoDataset(path, coco / "val2017", masks=True, broken="skip"))
    except DatasetError as error:
        assert "instances_val2017.json" in str(error) or "none of the" in str(error)


@FUZZ
@given(counts=st.text(max_size=20) | st.text("0123456789:;<=>?@PQRST`abcno", max_size=20))
def test_compressed_run_lengths(counts: str) -> None:
    from cnn_perception.offboard.datasets.coco_masks import decode_segmentation

    try:
        mask = decode_segmentation({"size": [3, 4], "counts": counts}, (3, 4))
    except DatasetError:
        return
    assert mask.shape == (3, 4) and mask.dtype == np.bool_
