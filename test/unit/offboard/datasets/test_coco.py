from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.offboard.datasets.coco import CocoDataset
from cnn_perception.offboard.datasets.coco_masks import (
    decode_counts,
    decode_segmentation,
    run_length_mask,
)
from dataset_trees import HEIGHT, WIDTH, coco_content, picture, write_coco, write_picture

Change = Callable[[dict[str, Any]], object]


def opened(root: Path, **options: Any) -> CocoDataset:
    return CocoDataset(root / "annotations/instances_val2017.json", root / "val2017", **options)


def test_boxes_classes_and_crowds(tmp_path: Path) -> None:
    data = opened(write_coco(tmp_path))
    assert data.labels == ("person", "stop sign", "dog", "toothbrush")
    assert data.category_ids == (1, 13, 18, 90)
    assert data.mask_labels == ()
    first, second, third = data
    np.testing.assert_array_equal(second.color, picture(1))
    assert second.classes.tolist() == [2, 0]
    np.testing.assert_allclose(second.boxes, [[2, 3, 30, 14.5], [20, 0, 22, 30]])
    assert second.crowd is not None
    assert second.crowd.tolist() == second.difficult.tolist() == [False, True]
    assert second.areas is not None and second.areas.tolist() == [28 * 11.5, 60]
    # Annotators' boxes leave the image by fractions of a pixel.
    np.testing.assert_allclose(first.boxes, [[30.5, 20, WIDTH, HEIGHT]])
    assert len(third.classes) == 0 and (third.mask == 255).all()


def test_areas_are_the_outlines_where_known(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][0]["area"] = 12.5
    del content["annotations"][1]["area"]
    data = opened(write_coco(tmp_path, content))
    areas = data[1].areas
    assert areas is not None and areas.tolist() == [12.5, 60]


def test_masks_say_classes_and_leave_disputed_pixels_out(tmp_path: Path) -> None:
    data = opened(write_coco(tmp_path), masks=True, boxes=False)
    assert data.mask_labels == ("background", *data.labels)
    mask = data[1].mask
    assert len(data[1].boxes) == 0
    assert mask[8, 5] == 3 and mask[20, 5] == 0
    assert mask[20, 20] == 1 and mask[3, 21] == 255 and mask[3, 24] == 3
    assert set(np.unique(data[2].mask)) == {0}


def test_agrees_with_pycocotools(tmp_path: Path) -> None:
    """Category ids, boxes and masks of a file are what pycocotools makes of it."""
    module = pytest.importorskip("pycocotools.coco", reason="pycocotools is an extra: [train]")
    data = opened(write_coco(tmp_path), masks=True)
    theirs = module.COCO(str(data.annotations))
    assert sorted(theirs.getCatIds()) == list(data.category_ids)
    for entry, image in zip(theirs.loadImgs(theirs.getImgIds()), data, strict=True):
        assert entry["file_name"] == image.name
        found = theirs.loadAnns(theirs.getAnnIds(entry["id"]))
        assert [item["category_id"] for item in found] == [
            data.category_ids[index] for index in image.classes
        ]
        layers = np.zeros((len(data.labels), HEIGHT, WIDTH), bool)
        for item, index in zip(found, image.classes, strict=True):
            layers[index] |= theirs.annToMask(item).astype(bool)
        expected = np.where(layers.any(0), layers.argmax(0) + 1, 0)
        expected[layers.sum(0) > 1] = 255
        np.testing.assert_array_equal(image.mask, expected)


@pytest.mark.parametrize("seed", range(10))
def test_polygons_cover_what_lies_inside_of_one_of_them(seed: int) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is an extra: [train]")
    rng = np.random.default_rng(seed)
    size = height, width = tuple(int(side) for side in rng.integers(20, 60, 2))
    middle = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2) + 0.5
    polygons, distance = [], np.full(size, -np.inf)
    for _ in range(2):
        center, radius = rng.uniform(0, [width, height]), rng.uniform(3, 15)
        angles = np.linspace(0, 2 * np.pi, 90)
        circle = center + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        polygons.append(circle.ravel().tolist())
        inside = radius - np.linalg.norm(middle - center, axis=2)
        distance = np.maximum(distance, inside)
    mask = decode_segmentation(polygons, size)
    assert mask.shape == size and mask.dtype == bool
    sure = np.abs(distance) > 1  # how an outline that cuts a pixel is rounded is pycocotools' own
    np.testing.assert_array_equal(mask[sure], distance[sure] > 0)


def test_masks_without_pycocotools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnn_perception.offboard.datasets.coco.find_spec", lambda name: None)
    root = write_coco(tmp_path)
    assert len(opened(root)[1].boxes) == 2
    with pytest.raises(
        ConfigError, match=r"masks of MS COCO need pycocotools: install .*\[train\]"
    ):
        opened(root, masks=True)


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_decoded_as_pycocotools_decodes_them(seed: int) -> None:
    masks = pytest.importorskip("pycocotools.mask", reason="pycocotools is an extra: [train]")
    rng = np.random.default_rng(seed)
    size = tuple(int(side) for side in rng.integers(1, 200, 2))
    # Cells of many sizes: long and short runs, growing and shrinking.
    cell = int(rng.integers(1, 40))
    coarse = rng.random((size[0] // cell + 1, size[1] // cell + 1)) < rng.random()
    mask = np.kron(coarse, np.ones((cell, cell), bool))[: size[0], : size[1]]
    text = masks.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(run_length_mask(decode_counts(text), size), mask)
    segmentation = {"size": list(size), "counts": text}
    np.testing.assert_array_equal(decode_segmentation(segmentation, size), mask)
    segmentation["counts"] = decode_counts(text).tolist()
    np.testing.assert_array_equal(decode_segmentation(segmentation, size), mask)


@pytest.mark.parametrize(
    "segmentation, reason",
    [
        (None, "is missing"),
        ([], "is missing"),
        ([[1, 2, 3, 4]], "polygon has 4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "polygon has 7 numbers"),
        ([[1, 2, 3, 4, 5, "six"]], "other than numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "no list of finite numbers"),
        ([[0, 0, 1e9, 0, 0, 1e9]], "leaves the image by more than"),
        ([[0, 0, 10**400, 0, 0, 1]], "other than numbers"),
        ([1, 2, 3, 4, 5, 6], "no list of finite numbers"),
        ({"size": [3, 4], "counts": [6]}, r"for \[height, width\] \[3, 4\], .* \[2, 3\]"),
        ({"size": [2, 3], "counts": [5]}, "cover 5 pixels, the image has 6"),
        ({"size": [2, 3], "counts": [7, -1]}, "cover 6 pixels"),
        ({"size": [2, 3], "counts": None}, "no list of finite numbers"),
        ({"size": [2, 3], "counts": "0é"}, "damaged"),
        ({"size": [2, 3], "counts": "o" * 30}, "damaged"),
        ({"size": [2, 3], "counts": "0P"}, "cut short"),
    ],
)
def test_malformed_segmentations(segmentation: Any, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        decode_segmentation(segmentation, (2, 3))


def _annotation(**values: Any) -> Change:
    return lambda content: content["annotations"][0].update(values)


@pytest.mark.parametrize(
    "change, reason",
    [
        (_annotation(bbox=[35, 3, 10, 4]), r"01\.png: the box of annotation 1 .* leaves the image"),
        (_annotation(bbox=[5, 3, 0, 4]), "annotation 1 .* has no area"),
        (_annotation(bbox=[5, 3, 4]), r"annotation 1 has the bbox \[5, 3, 4\]"),
        (_annotation(area="big"), "annotation 1 has the area .big.: write square pixels"),
        (_annotation(category_id=12), "annotation 1 has the unknown category 12"),
        (_annotation(segmentation=[[1, 2]]), r"01\.png: annotation 1: a polygon has 2 numbers"),
        (
            lambda content: content["images"][1].update(width=HEIGHT, height=WIDTH),
            r"01\.png has 40x30 pixels, instances_val2017\.json says 30x40",
        ),
    ],
)
def test_broken_images_are_told_by_name_or_skipped(
    tmp_path: Path, change: Change, reason: str
) -> None:
    content = coco_content()
    change(content)
    root = write_coco(tmp_path, content)
    with pytest.raises(DatasetError, match=reason):
        list(opened(root, masks=True))
    data = opened(root, masks=True, broken="skip")
    assert len(list(data)) == 2
    assert list(data.broken_files) == ["000000000001.png"]


def test_images_that_do_not_decode(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    (root / "val2017/000000000000.png").unlink()
    write_picture(root / "val2017/000000000002.jpg", picture(2))
    (root / "val2017/000000000002.png").write_bytes(
        (root / "val2017/000000000002.jpg").read_bytes()[:-300]
    )
    data = opened(root, broken="skip")
    assert [image.name for image in data] == ["000000000001.png"]
    assert "cannot be read" in data.broken_files["000000000000.png"]
    assert "cut short" in data.broken_files["000000000002.png"]


def test_annotation_of_an_image_that_is_not_listed(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][2]["image_id"] = 5
    root = write_coco(tmp_path, content)
    with pytest.raises(DatasetError, match="annotation 3 is for the image 5, which is not listed"):
        opened(root)
    data = opened(root, broken="skip")
    assert list(data.broken_files) == ["annotation 3"] and len(list(data)) == 3


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "is no JSON"),
        ("[]", "holds no JSON object"),
        ('{"images": 3}', 'has no list "images"'),
        ('{"images": [{"id": 1}]}', r'"images"\[0\] lacks file_name'),
        ('{"images": [7]}', r'"images"\[0\] lacks id, file_name'),
        ('{"images": [{"id": [], "file_name": "a"}]}', r"has the id \[\]: use a whole number"),
        (
            '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}',
            "id 1 of another",
        ),
        (
            '{"images": [], "categories": [],'
            '"annotations": [{"image_id": {}, "category_id": 1, "bbox": []}]}',
            r"\[0\] has the image_id {}",
        ),
        ('{"images": [], "categories": []}', 'has no list "annotations"'),
    ],
)
def test_files_that_hold_no_instances(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=rf"instances\.json.*{reason}"):
        CocoDataset(path, tmp_path)


def test_worker_processes_can_have_a_copy(tmp_path: Path) -> None:
    data = pickle.loads(pickle.dumps(opened(write_coco(tmp_path), masks=True)))
    assert len(list(data)) == 3


def test_listing_opens_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    content = coco_content()
    content["images"] = [{"id": k, "file_name": f"missing/{k}.jpg"} for k in range(2000)]
    path.write_text(json.dumps(content))
    assert len(CocoDataset(path, tmp_path)) == 2000
