"""Several training processes that learn as one: gradients are averaged before each step."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

__all__ = ["TrainingGroup"]

_PATIENCE = timedelta(hours=24)
"""How long processes wait for one another: the first one measures while the others wait."""


@dataclass(frozen=True, slots=True)
class TrainingGroup:
    """This process's place among those that ``torchrun --nproc-per-node N`` started; else alone.

    On a busy machine single-threaded processes that meet once per batch are much faster than the
    threads of one process, which meet in every layer.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> TrainingGroup:
        """Return the group given by torchrun's environment variables, connected over gloo."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=_PATIENCE)
        return cls(int(os.environ.get("RANK", "0")), size)

    @property
    def device_index(self) -> int:
        """Which of the machine's GPUs this process uses."""
        return int(os.environ.get("LOCAL_RANK", "0"))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all processes' gradients, in place."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        shapes = [g.numel() for g in gradients]
        for gradient, mean in zip(gradients, flat.split(shapes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process; all of them must ask."""
        if self.size == 1:
            return flag
        count = torch.tensor(int(flag))
        distributed.all_reduce(count)
        return bool(count)

    def leave(self) -> None:
        """Disconnect."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
