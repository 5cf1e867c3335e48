"""What a step of training changes: weights, their average, the optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnn_perception.offboard.training.average import AveragedWeights
from cnn_perception.offboard.training.checkpoint import read_state
from cnn_perception.offboard.training.optimisation import OptimisationConfig
from cnn_perception.offboard.training.optimisers import make_optimiser
from cnn_perception.offboard.training.parallel import TrainingGroup
from cnn_perception.offboard.training.precision import Precision, choose_device
from cnn_perception.offboard.training.samples import Tensors
from cnn_perception.offboard.training.schedules import Schedule
from cnn_perception.offboard.training.task import Task
from cnn_perception.offboard.training.transfer import begin_from, choose_layers, train_mode

__all__ = ["Learner"]


class Learner:
    """A task's network that learns from batches.

    What a step does depends on the state before it, the batches, and the step's number and seed:
    nothing is drawn from a generator that an interruption would lose.
    """

    def __init__(
        self, task: Task, config: OptimisationConfig, schedule: Schedule, group: TrainingGroup
    ) -> None:
        self.task = task
        self.config = config
        self.schedule = schedule
        self.group = group
        self.device = choose_device(config.device, group.device_index)
        self.precision = Precision(config.precision, self.device)
        torch.manual_seed(config.seed)
        self.network = task.build().to(self.device, memory_format=torch.channels_last)
        self.learning = choose_layers(self.network, task, config.train_layers)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.average = AveragedWeights(self.network, config.ema_decay)
        self.optimiser = make_optimiser(self.network, config)
        self.step = 0

    def begin_from(self, path: Path) -> None:
        """Begin with the averaged weights of another run's checkpoint.

        The head is left new where the other run told other things apart, and so is every layer of
        another size.
        """
        state = read_state(path)
        other = tuple(state.get("labels", self.task.labels)) != self.task.labels
        anew = self.task.head(self.network) if other else ()
        begin_from(self.network, state["average"], path, anew=anew)
        self.average = AveragedWeights(self.network, self.config.ema_decay)

    def learn(self, batches: Iterator[Tensors]) -> dict[str, Tensor]:
        """Take one step with as many batches as it accumulates; return the terms of the loss."""
        train_mode(self.network, self.learning)
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        share = 1 / self.config.accumulate
        terms: dict[str, Tensor] = {}
        for part_of_step, batch in enumerate(islice(batches, self.config.accumulate)):
            self._sow(part_of_step)
            tensors = {
                name: value.to(self.device, non_blocking=True) for name, value in batch.items()
            }
            with self.precision.autocast():
                parts = self.task.loss(self.network, tensors)
            self.precision.backward(share * torch.stack(list(parts.values())).sum())
            for name, part in parts.items():
                terms[name] = terms.get(name, 0.0) + share * part.detach()
        self.group.average_gradients(self.parameters)
        self.precision.step(self.optimiser, self.parameters, self.config.clip)
        self.average.update(self.network)
        self.step += 1
        return terms

    def state(self) -> dict[str, Any]:
        """Return everything that `load` needs to go on exactly."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "average_updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.precision.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of the same plan."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.updates = state["average_updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.precision.load_state_dict(state["scaler"])

    def _sow(self, part_of_step: int) -> None:
        """Seed dropout for one batch of this step and process."""
        place = (self.config.seed, self.step, part_of_step, self.group.rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))
