from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.errors import ConfigError, DatasetError
from cnn_perception.offboard.datasets.label_png import read_label_png, voc_palette
from cnn_perception.offboard.datasets.voc import VOC_LABELS, VocDataset, find_voc, voc_splits
from dataset_trees import (
    HEIGHT,
    VOC_OBJECTS,
    WIDTH,
    palette_png,
    picture,
    voc_mask,
    voc_xml,
    write_picture,
    write_voc,
)

FIRST = "2007_000001"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "VOC2007")


def test_boxes_classes_and_flags(tree: Path) -> None:
    data = VocDataset(tree, "val")
    assert data.names == tuple(VOC_OBJECTS) and data.labels == VOC_LABELS
    first, second, third = data
    np.testing.assert_array_equal(first.color, picture(0))
    np.testing.assert_array_equal(first.boxes, [[0, 0, WIDTH, HEIGHT], [4, 5, 20, 25]])
    assert [VOC_LABELS[k] for k in first.classes] == ["dog", "sofa"]
    assert first.difficult.tolist() == [False, True]
    assert first.truncated is not None and first.truncated.tolist() == [True, False]
    assert (first.mask == 255).all()
    assert second.boxes.shape == (0, 4) and second.boxes.dtype == np.float32
    np.testing.assert_allclose(third.boxes, [[2.5, 3.25, 11, 12]])


def test_masks_of_the_segmentation_list(tree: Path) -> None:
    data = VocDataset(tree, "val", masks=True)
    assert len(data) == 2 and data.mask_labels == ("background", *VOC_LABELS)
    for seed, image in enumerate(data):
        np.testing.assert_array_equal(image.mask, voc_mask(seed))
        assert len(image.boxes) == len(VOC_OBJECTS[image.name])
    assert all(not len(image.boxes) for image in VocDataset(tree, "val", boxes=False, masks=True))


def test_lists(tree: Path) -> None:
    assert voc_splits(tree) == ("val",)
    assert VocDataset(tree, "dog_val").names == tuple(VOC_OBJECTS)[:2]
    assert VocDataset(tree).names == tuple(VOC_OBJECTS)
    assert VocDataset(tree, masks=True).names == tuple(VOC_OBJECTS)[:2]
    with pytest.raises(DatasetError, match=r"train\.txt does not exist: .* are: val"):
        VocDataset(tree, "train")
    (tree / "ImageSets/Main/val.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"val\.txt names no image"):
        VocDataset(tree, "val")
    with pytest.raises(ConfigError, match="neither boxes nor masks"):
        VocDataset(tree, boxes=False)
    with pytest.raises(ConfigError, match="'ignore'"):
        VocDataset(tree, broken="ignore")  # type: ignore[arg-type]


def test_folder_of_a_year_is_found(tree: Path) -> None:
    assert find_voc(tree) == find_voc(tree.parent) == tree
    with pytest.raises(DatasetError, match="holds no Annotations"):
        VocDataset(tree / "JPEGImages")
    write_voc(tree.parent / "VOC2012")
    with pytest.raises(DatasetError, match=r"several years: .*VOC2007, .*VOC2012"):
        VocDataset(tree.parent)


def test_own_classes(tree: Path) -> None:
    (tree / "labels.txt").write_text("person\nsofa\n\ndog\n")
    assert [image.classes.tolist() for image in VocDataset(tree)] == [[2, 1], [], [0]]
    (tree / "labels.txt").write_text("person\nsofa\nperson\n")
    with pytest.raises(DatasetError, match="'person' twice"):
        VocDataset(tree)
    given = VocDataset(tree, labels=["sofa", "dog", "person"])
    assert given[0].classes.tolist() == [1, 0]
    with pytest.raises(IndexError):
        given[3]


def test_agrees_with_torchvision(tree: Path) -> None:
    torchvision = pytest.importorskip("torchvision", reason="torchvision is an extra: [train]")
    devkit = tree.parent / "VOCdevkit"
    devkit.mkdir()
    tree = tree.rename(devkit / "VOC2012")
    for file in (tree / "JPEGImages").iterdir():
        file.rename(file.with_suffix(".jpg"))
    arguments = {"year": "2012", "image_set": "val", "download": False}
    theirs = torchvision.datasets.VOCDetection(devkit.parent, **arguments)
    ours = VocDataset(devkit.parent, "val")
    assert len(theirs) == len(ours)
    for image, (color, annotation) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(image.color, np.asarray(color))
        objects = annotation["annotation"].get("object", [])
        assert [VOC_LABELS[k] for k in image.classes] == [item["name"] for item in objects]
        for box, item in zip(image.boxes + np.array([1, 1, 0, 0]), objects, strict=True):
            keys = ("xmin", "ymin", "xmax", "ymax")
            np.testing.assert_allclose(box, [float(item["bndbox"][key]) for key in keys])
    masks = torchvision.datasets.VOCSegmentation(devkit.parent, **arguments)
    segmented = VocDataset(devkit.parent, "val", masks=True)
    for image, (_, mask) in zip(segmented, masks, strict=True):
        np.testing.assert_array_equal(image.mask, np.asarray(mask))


def _annotate(tree: Path, *box: float, name: str = "dog") -> None:
    text = voc_xml([("cat", (1, 1, 5, 5), False, False), (name, box, False, False)], (0, 0))
    (tree / f"Annotations/{FIRST}.xml").write_text(text)


BREAK = {
    "unreadable": (
        lambda tree: (tree / f"JPEGImages/{FIRST}.png").write_bytes(b"GIF89a"),
        r"000001\.png is neither JPEG nor PNG",
    ),
    "cut": (
        lambda tree: (tree / f"JPEGImages/{FIRST}.png").write_bytes(
            (tree / f"JPEGImages/{FIRST}.png").read_bytes()[:-400]
        ),
        r"000001\.png is cut short",
    ),
    "empty": (
        lambda tree: (tree / f"JPEGImages/{FIRST}.png").write_bytes(b""),
        r"000001\.png is empty",
    ),
    "no image": (
        lambda tree: (tree / f"JPEGImages/{FIRST}.png").unlink(),
        r"000001\.jpg cannot be read \(No such file",
    ),
    "no xml": (
        lambda tree: (tree / f"Annotations/{FIRST}.xml").unlink(),
        r"000001\.xml cannot be read \(No such file",
    ),
    "bad xml": (
        lambda tree: (tree / f"Annotations/{FIRST}.xml").write_text("<annotation><object>"),
        r"000001\.xml is no XML",
    ),
    "encoding": (
        lambda tree: (tree / f"Annotations/{FIRST}.xml").write_text(
            '<?xml version="1.0" encoding="gbk"?><annotation/>'
        ),
        r"000001\.xml is no XML \(multi-byte encodings",
    ),
    "other size": (
        lambda tree: (tree / f"Annotations/{FIRST}.xml").write_text(voc_xml([], (30, 40))),
        r"for an image of 30x40 pixels, its image has 40x30",
    ),
    "outside": (
        lambda tree: _annotate(tree, 3, 3, WIDTH + 2, 9),
        r"000001\.xml: the box of dog .*\(2, 2, 42, 9\) leaves the image of 40x30",
    ),
    "no area": (lambda tree: _annotate(tree, 10, 3, 9, 9), r"box of dog .* has no area"),
    "reversed": (lambda tree: _annotate(tree, 20, 3, 9, 9), r"box of dog .* has no area"),
    "not finite": (lambda tree: _annotate(tree, 1, 1, np.nan, 9), r"box of dog .* is not finite"),
    "unknown class": (
        lambda tree: _annotate(tree, 2, 2, 9, 9, name="unicorn"),
        r"unknown class 'unicorn': .*labels\.txt",
    ),
    "no number": (
        lambda tree: (tree / f"Annotations/{FIRST}.xml").write_text(
            "<annotation><object><name>dog</name></object></annotation>"
        ),
        r"object/bndbox/xmin is None: write a number",
    ),
}


@pytest.mark.parametrize("case", BREAK)
def test_broken_files_are_told_by_name_or_skipped(tree: Path, case: str) -> None:
    damage, reason = BREAK[case]
    damage(tree)
    with pytest.raises(DatasetError, match=reason):
        list(VocDataset(tree, "val"))
    data = VocDataset(tree, "val", broken="skip")
    assert [image.name for image in data] == list(VOC_OBJECTS)[1:]
    assert list(data.broken_files) == [FIRST]
    assert VocDataset(tree, "val").check() == data.broken_files
    assert [image.name for image in data.images([0, 2, 0, 2])] == ["2007_000003"] * 2
    with pytest.raises(DatasetError, match=reason):
        data[0]


@pytest.mark.parametrize(
    "content, reason",
    [
        (palette_png(voc_mask(0)[:, :-1]), r"000001\.png has 39x30 pixels, its image 40x30"),
        (palette_png(np.full((HEIGHT, WIDTH), 21, np.uint8)), "unknown class id 21"),
        (palette_png(voc_mask(0))[:-20], r"000001\.png is cut short"),
        (b"\xff\xd8\xff\xe0", "is no PNG"),
        (b"\x89PNG\r\n\x1a\n", "is cut short"),
    ],
)
def test_broken_masks(tree: Path, content: bytes, reason: str) -> None:
    (tree / f"SegmentationClass/{FIRST}.png").write_bytes(content)
    with pytest.raises(DatasetError, match=reason):
        list(VocDataset(tree, "val", masks=True))
    assert len(list(VocDataset(tree, "val", masks=True, broken="skip"))) == 1


def test_endless_order_ends_when_everything_is_broken(tree: Path) -> None:
    for path in (tree / "Annotations").iterdir():
        path.write_text("")
    data = VocDataset(tree, "val", broken="skip")
    with pytest.raises(DatasetError, match="none of the 3 images can be used"):
        list(data.images(iter(lambda: len(data.broken_files) % 3, None)))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette_indices_of_every_depth(tmp_path: Path, depth: int) -> None:
    rng = np.random.default_rng(depth)
    mask = rng.integers(0, 1 << depth, (5, 16)).astype(np.uint8)
    path = tmp_path / "mask.png"
    path.write_bytes(palette_png(mask, depth))
    np.testing.assert_array_equal(read_label_png(path), mask)


def test_grey_and_colored_masks(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 256, (9, 14)).astype(np.uint8)
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), mask)
    np.testing.assert_array_equal(read_label_png(path), mask)
    cv2.imwrite(str(path), mask % 2, [cv2.IMWRITE_PNG_BILEVEL, 1])
    np.testing.assert_array_equal(read_label_png(path), mask % 2)
    write_picture(path, voc_palette()[mask])
    np.testing.assert_array_equal(read_label_png(path), mask)
    write_picture(path, np.full((4, 4, 3), (1, 2, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"color \(1, 2, 3\)"):
        read_label_png(path)
    cv2.imwrite(str(path), mask.astype(np.uint16) * 200)
    with pytest.raises(DatasetError, match="16 bits per value"):
        read_label_png(path)


def test_palette_is_that_of_the_development_kit() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {key: tuple(voc_palette()[key].tolist()) for key in known} == known
    assert voc_palette()[255].tolist() == [224, 224, 192]
    assert len(np.unique(voc_palette(), axis=0)) == 256
