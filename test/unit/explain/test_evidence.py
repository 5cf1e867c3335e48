"""The box around the heat."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.explain.explainer import evidence_box


def test_the_largest_patch_is_boxed() -> None:
    heat = np.zeros((20, 30), np.float32)
    heat[2:4, 3:6] = 1.0
    heat[10:15, 20:28] = 0.3
    heat[15, 19] = 0.25  # diagonally beside it
    np.testing.assert_array_equal(evidence_box(heat), [19, 10, 28, 16])
    np.testing.assert_array_equal(evidence_box(heat, 0.5), [3, 2, 6, 4])


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (0, 4)])
def test_no_heat_has_no_box(shape: tuple[int, int]) -> None:
    assert evidence_box(np.zeros(shape, np.float32)) is None


def test_heat_everywhere_is_the_whole_map() -> None:
    np.testing.assert_array_equal(evidence_box(np.full((3, 4), 0.1, np.float32)), [0, 0, 4, 3])
