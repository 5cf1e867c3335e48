"""The optimiser of images: where it arrives, what keeps it within bounds, and what it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from torch import Tensor  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.explain_methods.image_optimisation import (  # noqa: E402
    ImageOptimisationConfig,
    noise,
    optimise_image,
    total_variation,
)
from looked_into import image  # noqa: E402

GOAL = image(size=6)


def towards_the_goal(x: Tensor) -> Mapping[str, Tensor]:
    return {"distance": (x - GOAL).square().sum()}


def test_total_variation_by_hand() -> None:
    x = torch.tensor([[[[0.0, 1.0], [3.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    # Down 3 and 0, across 1 and -2: 9 + 0 + 1 + 4, over eight values.
    assert float(total_variation(x)) == 14 / 8
    assert float(total_variation(x + 7)) == 14 / 8


def test_it_arrives_at_the_least_value() -> None:
    start = noise((6, 6))
    found = optimise_image(towards_the_goal, start, ImageOptimisationConfig(steps=200, tv=0.0))
    torch.testing.assert_close(found.image, GOAL, atol=1e-3, rtol=0)
    assert torch.equal(start, noise((6, 6)))
    assert list(found.losses) == ["distance"] and found.losses["distance"].shape == (201,)
    assert found.losses["distance"][0] == pytest.approx(float((start - GOAL).square().sum()))
    assert found.losses["distance"][-1] == pytest.approx(
        float((found.image - GOAL).square().sum()), abs=1e-9
    )


def test_decay_halves_what_weighs_as_much() -> None:
    # |x - g|^2 + n * mean(x^2) is least at g / 2.
    config = ImageOptimisationConfig(steps=300, tv=0.0, decay=GOAL.numel())
    found = optimise_image(towards_the_goal, noise((6, 6)), config)
    torch.testing.assert_close(found.image, GOAL / 2, atol=1e-3, rtol=0)


def test_total_variation_alone_leaves_one_color() -> None:
    # Between neighbours nothing is left, and no gradient moves the mean of a channel.
    found = optimise_image(
        lambda x: {}, GOAL, ImageOptimisationConfig(steps=400, rate=0.3, tv=10.0, blur=1.0)
    )
    assert float(total_variation(found.image)) < 1e-3 * float(total_variation(GOAL))


def test_it_stays_between_the_limits() -> None:
    low, high = torch.full((3, 1, 1), -0.5), torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    config = ImageOptimisationConfig(steps=200, tv=0.0, snapshots=(0, 1, 200))
    found = optimise_image(towards_the_goal, 9 * GOAL, config, (low, high))
    for step in (0, 1, 200):
        assert bool((found.snapshots[step] >= low).all() and (found.snapshots[step] <= high).all())
    torch.testing.assert_close(found.image, GOAL.clamp(low, high), atol=1e-3, rtol=0)
    assert torch.equal(found.snapshots[200], found.image)
    assert not torch.equal(found.snapshots[0], found.snapshots[1])


def test_the_loss_is_the_sum_of_its_terms_and_is_told_at_each_step() -> None:
    told: list[tuple[int, float]] = []
    config = ImageOptimisationConfig(steps=5, tv=0.3, decay=0.2)
    found = optimise_image(
        towards_the_goal, GOAL, config, progress=lambda *report: told.append(report)
    )
    assert list(found.losses) == ["distance", "total variation", "decay"]
    assert found.losses["total variation"][0] == pytest.approx(0.3 * float(total_variation(GOAL)))
    assert found.losses["decay"][0] == pytest.approx(0.2 * float(GOAL.square().mean()))
    assert [step for step, _ in told] == list(range(6))
    np.testing.assert_allclose([loss for _, loss in told], found.total)


def test_jitter_shifts_what_the_terms_see_and_not_the_image() -> None:
    corner = torch.zeros(1, 3, 6, 6)
    corner[..., 0, 0] = 1.0
    seen: list[tuple[int, int]] = []

    def terms(x: Tensor) -> Mapping[str, Tensor]:
        row, column = divmod(int(x[0, 0].argmax()), 6)
        seen.append(((row + 3) % 6 - 3, (column + 3) % 6 - 3))
        return {"none": 0 * x.sum()}

    found = optimise_image(terms, corner, ImageOptimisationConfig(steps=60, tv=0.0, jitter=2))
    assert {y for y, _ in seen} == {x for _, x in seen} == {-2, -1, 0, 1, 2}
    assert seen[-1] == (0, 0)
    assert torch.equal(found.image, corner)


def test_equal_seeds_give_equal_images() -> None:
    def find(seed: int) -> Tensor:
        config = ImageOptimisationConfig(steps=5, jitter=2, blur=0.7, seed=seed)
        return optimise_image(towards_the_goal, noise((6, 6), seed), config).image

    before = torch.random.get_rng_state()
    with torch.inference_mode():
        first = find(1)
    assert torch.equal(first, find(1)) and not torch.equal(first, find(2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(ConfigError, match="rate = 0: give a number from 1e-06 to 100"):
        ImageOptimisationConfig(rate=0)
    with pytest.raises(ConfigError, match=r"snapshots = 7: give steps of 0 to 5"):
        optimise_image(towards_the_goal, GOAL, ImageOptimisationConfig(steps=5, snapshots=(1, 7)))
    with pytest.raises(ConfigError, match=r"loss is nan after 0 steps at rate = 0\.2: give a"):
        optimise_image(lambda x: {"bad": math.nan * x.sum()}, GOAL, ImageOptimisationConfig())
