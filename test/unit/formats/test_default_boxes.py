"""Default boxes against torchvision's, and against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.formats.default_boxes import DefaultBoxSpec, default_boxes, linear_scales

SSD300 = DefaultBoxSpec(
    feature_maps=((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)),
    scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    steps=(8, 16, 32, 64, 100, 300),
    image_size=(300, 300),
)
SSDLITE320 = DefaultBoxSpec(
    feature_maps=((20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)),
    scales=linear_scales(6, 0.2, 0.95),
    aspect_ratios=((2, 3),) * 6,
)
WIDE = DefaultBoxSpec(
    feature_maps=((12, 16), (6, 8), (3, 4), (2, 2)),
    scales=linear_scales(4, 0.1, 0.8),
    aspect_ratios=((2,), (2, 3), (2, 3), (2,)),
)


@pytest.mark.parametrize(("spec", "count"), [(SSD300, 8732), (SSDLITE320, 3234), (WIDE, 1144)])
def test_counts(spec: DefaultBoxSpec, count: int) -> None:
    boxes = default_boxes(spec)
    assert boxes.shape == (count, 4)
    assert boxes.dtype == np.float32
    assert spec.count == count
    assert sum(spec.boxes_per_level) == count


def test_one_cell_by_hand() -> None:
    spec = DefaultBoxSpec(((1, 2),), (0.25, 0.64), ((4.0,),))
    expected = [
        [0.25, 0.5, 0.25, 0.25],
        [0.25, 0.5, 0.40, 0.40],
        [0.25, 0.5, 0.50, 0.125],
        [0.25, 0.5, 0.125, 0.50],
    ]
    np.testing.assert_allclose(default_boxes(spec)[:4], expected, rtol=1e-6)
    np.testing.assert_allclose(default_boxes(spec)[4:, 0], 0.75)


def test_steps_place_the_centres() -> None:
    # The 38 cells of 8 pixels are 304 pixels wide, the 10 of 32 are 320: beyond the image.
    boxes = default_boxes(SSD300)
    assert boxes[4 * 38 * 38 - 1, 0] == pytest.approx(37.5 * 8 / 300)
    assert boxes[:, 0].max() == pytest.approx(9.5 * 32 / 300)


def test_sizes_are_clipped_to_the_image_only_when_asked() -> None:
    spec = DefaultBoxSpec(((1, 1),), (0.9, 1.0), ((2.0,),))
    loose = DefaultBoxSpec(((1, 1),), (0.9, 1.0), ((2.0,),), clip=False)
    assert default_boxes(spec)[:, 2:].max() == 1.0
    assert default_boxes(loose)[:, 2:].max() == pytest.approx(0.9 * 2**0.5)


def test_locate_is_the_inverse_of_the_order() -> None:
    assert SSD300.locate(0) == (0, 0)
    assert SSD300.locate(4 * 38 * 38 - 1) == (0, 4 * 38 * 38 - 1)
    assert SSD300.locate(4 * 38 * 38) == (1, 0)
    assert SSD300.locate(8731) == (5, 3)
    for outside in (-1, 8732):
        with pytest.raises(IndexError, match=r"of 8732"):
            SSD300.locate(outside)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scales": (0.1,)}, r"scales has length 1: 1 feature maps need 2"),
        ({"aspect_ratios": ()}, r"aspect_ratios has length 0: 1 feature maps need 1"),
        ({"steps": (8.0, 16.0)}, r"steps has length 2"),
        ({"steps": (8.0,)}, r"steps needs image_size"),
        ({"scales": (0.1, float("nan"))}, r"scales\[1\] = nan"),
        ({"aspect_ratios": ((0.0,),)}, r"aspect_ratios\[0\]\[0\] = 0.0: give a number from"),
        ({"feature_maps": ((0, 3),)}, r"feature_maps\[0\]\[0\] = 0: give a whole number"),
    ],
)
def test_wrong_specs_are_refused(change: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {
        "feature_maps": ((2, 3),),
        "scales": (0.1, 0.2),
        "aspect_ratios": ((2.0,),),
    }
    with pytest.raises(ConfigError, match=text):
        DefaultBoxSpec(**{**good, **change})


def test_no_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match="feature_maps has no levels"):
        DefaultBoxSpec((), (1.0,), ())
    with pytest.raises(ConfigError, match="0 levels"):
        linear_scales(0, 0.2, 0.9)


@pytest.mark.parametrize(
    ("spec", "arguments"),
    [
        (SSD300, {"scales": list(SSD300.scales), "steps": [8, 16, 32, 64, 100, 300]}),
        (SSDLITE320, {"min_ratio": 0.2, "max_ratio": 0.95}),
        (WIDE, {"min_ratio": 0.1, "max_ratio": 0.8}),
    ],
)
def test_equal_to_torchvision(spec: DefaultBoxSpec, arguments: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    anchor_utils = pytest.importorskip("torchvision.models.detection.anchor_utils")
    generator = anchor_utils.DefaultBoxGenerator([list(r) for r in spec.aspect_ratios], **arguments)
    grids = [list(size) for size in spec.feature_maps]
    theirs = generator._grid_default_boxes(
        grids, list(spec.image_size or (1, 1)), dtype=torch.float32
    )
    np.testing.assert_array_equal(default_boxes(spec), theirs.numpy())
