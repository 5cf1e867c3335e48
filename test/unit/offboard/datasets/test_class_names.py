from __future__ import annotations

import numpy as np

from cnn_perception.offboard.datasets.class_names import match_classes, relabelled
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.datasets.voc import VOC_LABELS
from cnn_perception.runtime.locate import search_path


def test_names_match_whatever_their_spelling() -> None:
    match = match_classes(
        ["diningtable", "tvmonitor", "Person", "unicorn"],
        ["background", "person", "potted-plant", "dining table", "TV"],
    )
    assert match.ids.tolist() == [3, 4, 1, -1]
    assert match.only_data == ("unicorn",)
    assert match.only_model == ("background", "potted-plant")


def test_ids_that_coco_never_used_are_no_classes() -> None:
    match = match_classes(["street sign", "dog"], ["unused-11", "N/A", "dog", "unused-25", "nail"])
    assert match.ids.tolist() == [-1, 2]
    assert match.only_model == ("nail",)


def test_every_class_of_voc_is_one_of_coco() -> None:
    """Everingham's names against those of instances_val2017.json."""
    coco = (
        *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "boat", "bird"),
        *("cat", "dog", "horse", "sheep", "cow", "bottle", "chair", "couch", "potted plant"),
        *("dining table", "tv"),
    )
    match = match_classes(VOC_LABELS, coco)
    assert match.only_data == match.only_model == ()
    assert len(set(match.ids.tolist())) == 20


def test_shipped_fastestdet_knows_all_of_voc() -> None:
    import yaml

    folder = next(path for path in search_path() if (path / "fastestdet").is_dir())
    labels = yaml.safe_load((folder / "fastestdet" / "model.yaml").read_text())["labels"]
    assert match_classes(VOC_LABELS, labels).only_data == ()


def test_relabelled_parts() -> None:
    flags = np.array([True, False, True])
    image = LabelledImage(
        np.zeros((1, 4, 3), np.uint8),
        np.array([[0, 1, 2, 255]], np.uint8),
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.array([0, 1, 1], np.int32),
        flags,
        truncated=~flags,
        areas=np.array([4.0, 5.0, 6.0]),
        name="one",
    )
    objects = match_classes(["cat", "dog"], ["bird", "dog"])
    masks = match_classes(["background", "cat", "dog"], ["dog", "background"])
    result = relabelled(image, objects, masks)
    assert result.classes.tolist() == [1, 1] and result.boxes[0].tolist() == [4, 5, 6, 7]
    assert result.difficult.tolist() == [False, True]
    assert result.truncated is not None and result.truncated.tolist() == [True, False]
    assert result.areas is not None and result.areas.tolist() == [5.0, 6.0]
    assert result.mask.tolist() == [[1, 255, 0, 255]]
    assert result.crowd is None and result.name == "one"
    untouched = relabelled(image, None, None)
    assert untouched is image
