"""Box offsets: by hand, as a roundtrip, and against torchvision's coder."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.formats.format import to_centers, to_corners
from cnn_perception.formats.ssd_raw import decode_boxes, encode_boxes
from cnn_perception.types import Float32Array


def _priors(rng: np.random.Generator, count: int) -> Float32Array:
    return rng.uniform((0, 0, 0.02, 0.02), (1, 1, 0.9, 0.9), (count, 4)).astype(np.float32)


def test_zero_offsets_are_the_default_box() -> None:
    priors = np.array([[0.5, 0.4, 0.2, 0.1]], np.float32)
    boxes = decode_boxes(np.zeros((1, 4), np.float32), priors)
    np.testing.assert_allclose(boxes, [[0.4, 0.35, 0.6, 0.45]], rtol=1e-6)


def test_offsets_by_hand() -> None:
    priors = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)
    deltas = np.array([[1.0, -2.0, np.log(2) / 0.2, 0.0]], np.float32)
    # centre moves by 0.1 * 1 * 0.2 and 0.1 * -2 * 0.4; width doubles
    expected = [[0.52 - 0.2, 0.42 - 0.2, 0.52 + 0.2, 0.42 + 0.2]]
    np.testing.assert_allclose(decode_boxes(deltas, priors), expected, rtol=1e-5)


def test_enormous_offsets_stay_finite() -> None:
    priors = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)
    boxes = decode_boxes(np.full((1, 4), 1e6, np.float32), priors)
    assert np.isfinite(boxes).all()
    assert boxes[0, 2] - boxes[0, 0] == pytest.approx(0.2 * 62.5, rel=1e-2)


def test_corners_and_centres_are_inverse() -> None:
    boxes = _priors(np.random.default_rng(1), 50)
    np.testing.assert_allclose(to_centers(to_corners(boxes)), boxes, atol=1e-6)


@pytest.mark.parametrize("variances", [(0.1, 0.1, 0.2, 0.2), (1.0, 1.0, 1.0, 1.0)])
def test_decode_inverts_encode(variances: tuple[float, float, float, float]) -> None:
    rng = np.random.default_rng(2)
    boxes, priors = to_corners(_priors(rng, 200)), _priors(rng, 200)
    again = decode_boxes(encode_boxes(boxes, priors, variances), priors, variances)
    np.testing.assert_allclose(again, boxes, atol=2e-6)
    assert again.dtype == np.float32


def test_no_boxes() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert decode_boxes(nothing, nothing).shape == (0, 4)
    assert encode_boxes(nothing, nothing).shape == (0, 4)


def test_equal_to_torchvision() -> None:
    torch = pytest.importorskip("torch")
    coder = pytest.importorskip("torchvision.models.detection._utils").BoxCoder((10, 10, 5, 5))
    rng = np.random.default_rng(3)
    priors, deltas = _priors(rng, 500), rng.normal(0, 4, (500, 4)).astype(np.float32)
    theirs = coder.decode_single(torch.tensor(deltas), torch.tensor(to_corners(priors))).numpy()
    np.testing.assert_allclose(decode_boxes(deltas, priors), theirs, rtol=1e-5, atol=2e-6)
