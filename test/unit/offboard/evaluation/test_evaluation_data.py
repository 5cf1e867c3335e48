from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.errors import ModelError
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.evaluation.data import match_data
from cnn_perception.runtime.bundle import ModelBundle
from listed_images import Listed, labelled, painted


def test_objects_have_the_classes_of_the_bundle(colors: ModelBundle, objects: Dataset) -> None:
    data = match_data(colors, objects, "two")
    assert data.match.only_data == ("yellow",) and data.match.only_model == ("blue",)
    assert data.known(3).tolist() == [True, True, False]
    first, second = data
    assert first.classes.tolist() == [0] and second.classes.tolist() == [0, 0]
    assert data.count == 2
    few = match_data(colors, objects, "two", most=1)
    assert few.count == 1 and [image.name for image in few] == ["good"]


def test_images_of_unknown_classes_are_left_out(classes: ModelBundle) -> None:
    images = [labelled(f"{k}", painted({}), label=k) for k in (0, 1, 2, 1)]
    data = match_data(classes, Listed(images, ("blue", "grey", "red")), "four", most=3)
    assert [(image.name, image.label) for image in data] == [("0", 2), ("2", 0)]


def test_pixels_of_unknown_classes_do_not_count(areas: ModelBundle) -> None:
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    image = labelled("one", np.zeros((1, 4, 3), np.uint8), mask=mask)
    names = ("background", "sky", "green")
    data = match_data(areas, Listed([image], names[1:], names), "one")
    (matched,) = data
    assert matched.mask.tolist() == [[0, 255, 2, 255]]
    assert data.known(4).tolist() == [True, False, True, False]


def test_data_without_a_common_class_are_refused(
    areas: ModelBundle, colors: ModelBundle, objects: Dataset
) -> None:
    with pytest.raises(ModelError, match="colors and here have no class in common: the data know"):
        match_data(colors, Listed([], ("yellow",)), "here")
    with pytest.raises(ModelError, match="no class in common: the data know background, sky"):
        match_data(areas, Listed([], ("sky",), ("background", "sky")), "here")
