"""Explanations at a rate of the images' stamps."""

from __future__ import annotations

import pytest

from cnn_perception.explain.rate_gate import RateGate

SECOND = 1_000_000_000


def through(stamps_s: list[float], rate: float) -> list[float]:
    gate = RateGate()
    return [stamp for stamp in stamps_s if gate.lets(round(stamp * SECOND), rate)]


def test_every_image_passes_without_a_rate() -> None:
    assert through([5.0, 5.0, 1.0], 0.0) == [5.0, 5.0, 1.0]


@pytest.mark.parametrize("jitter", [0.0, 0.004])
def test_a_rate_is_kept_by_a_camera_that_jitters(jitter: float) -> None:
    stamps = [100 + k / 10 + (jitter if k % 2 else -jitter) for k in range(40)]
    assert len(through(stamps, 5.0)) == 20


def test_a_gap_and_a_jump_back_start_afresh() -> None:
    assert through([10.0, 10.4, 20.0, 20.4, 3.0, 3.4, 4.0], 1.0) == [10.0, 20.0, 3.0, 4.0]
