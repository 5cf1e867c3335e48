"""Boxes and depth noise, against the obvious way to make them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cnn_perception.offboard.simulation.camera import add_color_noise, add_depth_noise, boxes_of
from cnn_perception.offboard.simulation.config import SimulationConfig


@given(
    arrays.arrays(
        np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-1, 3)
    )
)
def test_boxes_are_those_of_a_slow_search(owners: np.ndarray) -> None:
    ids, boxes, pixels = boxes_of(owners)
    assert ids.tolist() == sorted(set(owners.ravel().tolist()) - {-1})
    for index, found, count in zip(ids, boxes, pixels, strict=True):
        rows, columns = np.nonzero(owners == index)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found.tolist() == expected
        assert count == len(rows)


def measured(depth: float, **values: float) -> np.ndarray:
    config = SimulationConfig(**{"depth_dropout": 0.0, **values})  # type: ignore[arg-type]
    truth = np.full((240, 320), depth, np.float32)
    return add_depth_noise(truth, config, np.random.default_rng(0))


def test_depth_noise_grows_with_the_square_of_the_range() -> None:
    spread = {
        range_m: float(np.nanstd(measured(range_m, depth_noise=0.002, depth_step=0.0)))
        for range_m in (1.0, 2.0, 4.0)
    }
    assert spread[1.0] == pytest.approx(0.002, rel=0.1)
    assert spread[2.0] == pytest.approx(4 * spread[1.0], rel=0.05)
    assert spread[4.0] == pytest.approx(16 * spread[1.0], rel=0.05)


def test_depth_is_in_whole_millimetres_and_unbiased() -> None:
    depth = measured(1.5).astype(np.float64)
    np.testing.assert_allclose(depth * 1000, np.round(depth * 1000), atol=1e-3)
    assert depth.mean() == pytest.approx(1.5, abs=0.005)


@pytest.mark.parametrize("depth", [0.2, 6.5])
def test_nothing_is_read_out_of_range(depth: float) -> None:
    assert np.isnan(measured(depth)).all()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_dropouts_have_the_share_asked_for(share: float) -> None:
    lost = np.isnan(measured(2.0, depth_dropout=share))
    assert lost.mean() == pytest.approx(share, abs=0.02)


def test_edges_of_depth_drop_out() -> None:
    truth = np.full((120, 160), 3.0, np.float32)
    truth[:, 80:] = 1.0
    depth = add_depth_noise(truth, SimulationConfig(depth_dropout=0.0), np.random.default_rng(0))
    assert np.isnan(depth[:, 79:81]).mean() > 0.3
    assert not np.isnan(depth[:, :78]).any()
    assert not np.isnan(depth[:, 82:]).any()


def test_color_noise_is_unbiased_and_keeps_the_range() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    noisy = add_color_noise(grey, 5.0, np.random.default_rng(0))
    assert noisy.dtype == np.uint8
    assert noisy.mean() == pytest.approx(128, abs=0.3)
    assert noisy.std() == pytest.approx(5.0, rel=0.05)
    white = add_color_noise(np.full((9, 9, 3), 255, np.uint8), 50.0, np.random.default_rng(0))
    assert white.min() > 20, "it saturates and never wraps around"
    assert add_color_noise(grey, 0.0, np.random.default_rng(0)) is grey
