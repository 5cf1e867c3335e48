"""How the learning rate changes while training, as a pure function of the step."""

from __future__ import annotations

import math

from cnn_perception.offboard.training.optimisation import OptimisationConfig

__all__ = ["Schedule", "steps_in"]


def steps_in(units: float, config: OptimisationConfig, images: int, processes: int = 1) -> int:
    """Return how many steps a length is: the next whole number of them.

    images: of the data, which an epoch shows once.
    """
    if config.unit == "epochs":
        units *= images / (config.batch * config.accumulate * processes)
    return math.ceil(units - 1e-9)


class Schedule:
    """The learning rate of each step.

    Without warm-up the rates are those of torch.optim.lr_scheduler's ConstantLR with factor 1,
    CosineAnnealingLR, MultiStepLR and PolynomialLR over the whole run, and with several cycles
    those of CosineAnnealingWarmRestarts (Loshchilov and Hutter 2017). During the warm-up the rate
    rises evenly, (step + 1) / (warm-up + 1) of what it rises to (Goyal et al. 2017); a cosine or a
    polynomial begins after it.
    """

    def __init__(self, config: OptimisationConfig, images: int, processes: int = 1) -> None:
        self.config = config
        self.steps = max(steps_in(config.length, config, images, processes), 1)
        self.warmup = min(steps_in(config.warmup, config, images, processes), self.steps - 1)
        self.milestones = tuple(
            steps_in(milestone, config, images, processes) for milestone in config.milestones
        )

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        peak = self.config.learning_rate
        if step < self.warmup:
            return peak * (step + 1) / (self.warmup + 1)
        done = (step - self.warmup) / (self.steps - self.warmup)
        match self.config.schedule:
            case "cosine":
                within = done * self.config.cycles % 1
                return peak * 0.5 * (1 + math.cos(math.pi * within))
            case "polynomial":
                return peak * float((1 - done) ** self.config.power)
            case "step":
                passed = sum(step >= milestone for milestone in self.milestones)
                return peak * self.config.gamma**passed
            case _:
                return peak
