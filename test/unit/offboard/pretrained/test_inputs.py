"""Sizes and normalisation of torchvision's networks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torchvision.models import get_model_weights

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.pretrained.bundles import relative_difference
from cnn_perception.offboard.pretrained.catalog import read_catalog
from cnn_perception.offboard.pretrained.inputs import (
    checked_size,
    detector_size,
    input_spec,
)

CATALOG = read_catalog()


@pytest.mark.parametrize(
    ("shortest", "longest", "size"),
    [(800, 1333, (1088, 800)), (320, 640, (448, 320)), (640, 700, (704, 640))],
)
def test_size_of_a_detector(shortest: int, longest: int, size: tuple[int, int]) -> None:
    assert detector_size(SimpleNamespace(min_size=(shortest,), max_size=longest)) == size
    assert checked_size(size, 32) == size


@pytest.mark.parametrize("size", [(696, 521), (8, 520), (4104, 520)])
def test_sizes_of_segmenters(size: tuple[int, int]) -> None:
    with pytest.raises(
        ConfigError, match=rf"size {size[0]}x{size[1]}: give multiples of 8, from 16"
    ):
        checked_size(size, 8)


@pytest.mark.parametrize(
    "name", [name for name, network in CATALOG.items() if network.task == "classification"]
)
def test_input_of_classifiers(name: str) -> None:
    preset = get_model_weights(name)[CATALOG[name].weights].transforms()
    (side,), (shorter,) = preset.crop_size, preset.resize_size
    spec = input_spec(preset, (side, side), "crop", shorter)
    np.testing.assert_allclose(np.array(spec.mean) / 255, preset.mean, atol=1e-6)
    np.testing.assert_allclose(np.array(spec.std) / 255, preset.std, atol=1e-6)
    assert 224 <= spec.width == spec.height <= shorter == spec.shorter_side


def test_differences_count_by_the_largest_value() -> None:
    large, small = np.array([50.0, -100.0]), np.array([0.1, 0.2])
    assert relative_difference([large + 1, small], [large, small]) == pytest.approx(0.01)
    assert relative_difference([large, small + 0.5], [large, small]) == pytest.approx(0.5)
    assert relative_difference([-large], [large]) == pytest.approx(2.0)
