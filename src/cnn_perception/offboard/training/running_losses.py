"""Losses and time of the steps since the last report."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from cnn_perception.errors import PerceptionError
from cnn_perception.offboard.training.learner import Learner
from cnn_perception.offboard.training.samples import Tensors

__all__ = ["RunningLosses"]


class RunningLosses:
    """Sums on the device, read once a report: to read them every step would make a GPU wait."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._seconds = 0.0
        self._steps = 0

    def learn(self, learner: Learner, batches: Iterator[Tensors]) -> None:
        """Take a step, and note what it says and how long it takes."""
        begin = time.monotonic()
        for name, value in learner.learn(batches).items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._seconds += time.monotonic() - begin
        self._steps += 1

    def check(self, step: int) -> None:
        """Raise PerceptionError where a loss was infinite or no number."""
        for name, value in self._sums.items():
            if not torch.isfinite(value):
                raise PerceptionError(
                    f"the loss {name} is {float(value)} before step {step}: lower "
                    "optimisation.learning_rate, or raise optimisation.warmup"
                )

    def take(self, step: int) -> tuple[dict[str, float], float]:
        """Return mean losses, their sum first, and the seconds of a step; begin anew."""
        self.check(step)
        means = {name: float(value) / self._steps for name, value in self._sums.items()}
        seconds = self._seconds / self._steps
        self._sums, self._seconds, self._steps = {}, 0.0, 0
        return {"loss": sum(means.values()), **means}, seconds
