"""The training loop: when to learn, to report, to measure and to save."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.datasets.dataset import Dataset
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.training.checkpoint import check_same_plan, read_state, write_state
from cnn_perception.offboard.training.interruption import Interruption
from cnn_perception.offboard.training.journal import Journal
from cnn_perception.offboard.training.learner import Learner
from cnn_perception.offboard.training.parallel import TrainingGroup
from cnn_perception.offboard.training.plan import TrainingPlan, parse_plan
from cnn_perception.offboard.training.running_losses import RunningLosses
from cnn_perception.offboard.training.samples import Batches, load_batches
from cnn_perception.offboard.training.schedules import Schedule, steps_in
from cnn_perception.offboard.training.task import Task

__all__ = ["Trainer"]

_log = logging.getLogger(__name__)


class Trainer:
    """Trains a task's network on labelled images.

    Writes to `out`: ``checkpoint.pt``, from which `resume` goes on exactly; ``best.pt``, the
    averaged weights that measured best by the task's metric on the validation images; and the
    files of a `Journal`. A run that was stopped ends with the same weights as one that was not.
    """

    def __init__(
        self, plan: TrainingPlan, task: Task, train: Dataset, validation: Dataset | None, out: Path
    ) -> None:
        config = plan.optimisation
        self.plan = plan
        self.task = task
        self.validation = validation
        self.out = out
        self.group = TrainingGroup.join()
        torch.set_num_threads(config.threads or max((os.cpu_count() or 1) // self.group.size, 1))
        schedule = Schedule(config, len(train), self.group.size)
        self.steps = schedule.steps
        self.evaluate_every = steps_in(config.evaluate_every, config, len(train), self.group.size)
        self.learner = Learner(task, config, schedule, self.group)
        self.batches = Batches(train, task, config.seed, config.batch, self.group)
        self.measured_step = 0
        self.best: dict[str, float] = {}
        self._losses = RunningLosses()

    def run(self, until: int | None = None, console: Console | None = None) -> bool:
        """Train to the end of the plan, or to step `until`; return False if a signal stopped it."""
        config = self.plan.optimisation
        learner = self.learner
        last = min(until or self.steps, self.steps)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.out} cannot be made: {error.strerror}") from error
        loaded = load_batches(
            self.batches,
            learner.step * config.accumulate,
            last * config.accumulate,
            config.workers,
            pin_memory=learner.device.type == "cuda",
        )
        main = self.group.rank == 0
        saved = time.monotonic()
        with (
            Interruption(alone=self.group.size == 1) as interruption,
            Journal(self.out, last, learner.step, console) if main else nullcontext() as journal,
            closing(loaded) as batches,
        ):
            while True:
                if journal is not None:
                    self._measure_if_due(journal, interruption)
                if self.group.any(interruption.asked) or learner.step >= last:
                    break
                self._losses.learn(learner, batches)
                if journal is None:
                    continue
                journal.step(learner.step)
                if learner.step % config.report_every == 0 or learner.step == last:
                    self._report(journal, last)
                if time.monotonic() - saved > 60 * config.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
            if main:
                self.save()
        return learner.step >= last and not interruption.asked

    def resume(self) -> None:
        """Go on where ``checkpoint.pt`` ends; raises ConfigError for another plan or other data."""
        path = self.out / "checkpoint.pt"
        state = read_state(path)
        missing = [key for key in ("plan", "optimiser", *self._circumstances()) if key not in state]
        if missing:
            raise ConfigError(
                f"{path} holds weights without {missing[0]}: nothing to resume, begin with --start"
            )
        check_same_plan(parse_plan(state["plan"], str(path)), self.plan, path)
        for name, value in self._circumstances().items():
            if state[name] != value:
                raise ConfigError(
                    f"{path} is of a run with {name} = {state[name]}, not {value}: put that back, "
                    "or begin another run with --start"
                )
        self.learner.load(state)
        self.measured_step = state["measured_step"]
        self.best = state["figures"]

    def save(self) -> None:
        """Write ``checkpoint.pt``; raises PerceptionError where learning failed."""
        self._losses.check(self.learner.step)
        state = {
            **self.learner.state(),
            **self._circumstances(),
            "plan": self.plan.tree,
            "measured_step": self.measured_step,
            "figures": self.best,
        }
        write_state(self.out / "checkpoint.pt", state)

    def _circumstances(self) -> dict[str, Any]:
        """Return what must be equal for a run to go on, beside its plan."""
        return {
            "labels": list(self.task.labels),
            "images": len(self.batches.data),
            "processes": self.group.size,
        }

    def _report(self, journal: Journal, last: int) -> None:
        step = self.learner.step
        losses, seconds = self._losses.take(step)
        config = self.plan.optimisation
        images = config.batch * config.accumulate * self.group.size
        values = {**losses, "learning_rate": self.learner.schedule(step - 1)}
        journal.report(step, values, images / seconds, (last - step) * seconds)

    def _measure_if_due(self, journal: Journal, interruption: Interruption) -> None:
        """Measure the averaged weights, and keep them if they are the best so far.

        A measurement that is interrupted is made when the run goes on.
        """
        step = self.learner.step
        every = self.evaluate_every
        due = step == self.steps or (every > 0 and step > 0 and step % every == 0)
        if self.validation is None or not due or step == self.measured_step:
            return
        images = self._validation_images(self.validation, interruption)
        try:
            with torch.no_grad():
                measured = self.task.measure(self.learner.average.network, images)
        except _Abandoned:
            return
        self.measured_step = step
        # A figure is no number where the images have nothing that it is about.
        figures = {name: value for name, value in measured.items() if not math.isnan(value)}
        journal.measured(step, figures)
        if measured[self.task.metric] > self.best.get(self.task.metric, -math.inf):
            self.best = figures
            self._save_best()

    def _validation_images(
        self, data: Dataset, interruption: Interruption
    ) -> Iterator[LabelledImage]:
        limit = self.plan.data.validation_images or len(data)
        for image in islice(data, limit):
            if interruption.asked:
                raise _Abandoned
            yield image

    def _save_best(self) -> None:
        state = {
            "step": self.learner.step,
            "average": self.learner.average.network.state_dict(),
            "plan": self.plan.tree,
            "labels": list(self.task.labels),
            "figures": self.best,
        }
        write_state(self.out / "best.pt", state)


class _Abandoned(Exception):
    """A measurement was interrupted."""
