"""Several training processes that learn as one: gradients are averaged after each batch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed, nn

__all__ = ["TrainingGroup"]


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
            distributed.init_process_group("gloo")
        return cls(int(os.environ.get("RANK", "0")), size)

    def average_gradients(self, parameters: Iterable[nn.Parameter], clock: float) -> float:
        """Average gradients in place, and return the mean of all processes' `clock`.

        The clock rides along so that all processes stop after the same batch.
        """
        if self.size == 1:
            return clock
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor([clock])])
        distributed.all_reduce(flat)
        flat /= self.size
        shapes = [g.numel() for g in gradients]
        for gradient, mean in zip(gradients, flat[:-1].split(shapes), strict=True):
            gradient.copy_(mean.view_as(gradient))
        return float(flat[-1])

    def leave(self) -> None:
        """Disconnect."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
