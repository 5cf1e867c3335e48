"""The training loop: one network, two losses, averaged weights, checkpoints."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnn_perception.datasets.rooms import load_shard
from cnn_perception.detection.default_boxes import default_boxes
from cnn_perception.networks.rooms import RoomsNetwork
from cnn_perception.simulation.labels import MASK_LABELS, OBJECT_CLASSES
from cnn_perception.training.average import AveragedWeights
from cnn_perception.training.config import OptimisationConfig, TrainingPlan
from cnn_perception.training.evaluate import Scores, evaluate_network
from cnn_perception.training.losses import mask_loss, multibox_loss
from cnn_perception.training.normalise import normalise
from cnn_perception.training.parallel import TrainingGroup
from cnn_perception.training.stream import Batch, batches

__all__ = ["Trainer", "build_network", "learning_rate", "load_checkpoint"]

_log = logging.getLogger(__name__)

_REPORT_STEPS = 50


def build_network(plan: TrainingPlan) -> RoomsNetwork:
    """Return the untrained network of a plan."""
    return RoomsNetwork(
        plan.default_boxes,
        len(OBJECT_CLASSES),
        len(MASK_LABELS),
        width=plan.network.width,
        box_width=plan.network.box_width,
        mask_width=plan.network.mask_width,
    )


def learning_rate(progress: float, config: OptimisationConfig) -> float:
    """Return the rate at a share of the run: linear warm-up, then half a cosine down to zero."""
    if progress < config.warmup:
        return config.learning_rate * max(progress / config.warmup, 1e-3)
    rest = (progress - config.warmup) / (1 - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


def load_checkpoint(path: Path, plan: TrainingPlan) -> RoomsNetwork:
    """Return the averaged network of a checkpoint, in evaluation mode."""
    network = build_network(plan)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["average"])
    return network.eval()


class Trainer:
    """Trains a plan's network on the shards of a folder.

    Writes ``checkpoint.pt`` (weights and averaged weights) to `out` every few minutes. Images of
    ``eval.npz`` in the data folder, where there is one, are measured now and then. `start` is a
    checkpoint to begin from instead of random weights.
    """

    def __init__(
        self, plan: TrainingPlan, data: Path, out: Path, start: Path | None = None
    ) -> None:
        self.plan = plan
        self.data = data
        self.out = out
        config = plan.optimisation
        self.group = TrainingGroup.join()
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads or max((os.cpu_count() or 1) // self.group.size, 1))
        network = build_network(plan)
        if start is not None:
            state = torch.load(start, map_location="cpu", weights_only=True)
            network.load_state_dict(state["average"])
        self.network = network.to(memory_format=torch.channels_last).train()
        self.average = AveragedWeights(self.network, config.ema_decay)
        self.optimiser = torch.optim.AdamW(
            _parameter_groups(self.network, config.weight_decay), lr=config.learning_rate
        )
        self.step = 0

    def run(self) -> Scores | None:
        """Train to the end, and return the last evaluation, or None without images for it."""
        config = self.plan.optimisation
        self.out.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        saved, measured = begin, begin
        sums = np.zeros(3)
        minutes = 0.0
        for batch in batches(self.data, self.plan, self.group.rank):
            now = time.monotonic()
            progress = max(self.step / config.steps, minutes / config.max_minutes)
            if progress >= 1:
                break
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(progress, config)
            losses, minutes = self._train_step(batch, (now - begin) / 60)
            sums += losses
            self.step += 1
            if self.group.rank > 0:
                continue
            if self.step % _REPORT_STEPS == 0:
                self._report(progress, sums / _REPORT_STEPS, now - begin, batch.pool)
                sums[:] = 0
            if now - saved > 60 * config.checkpoint_minutes:
                self.save()
                saved = now
            if now - measured > 60 * config.evaluate_minutes:
                self.evaluate(100)
                measured = time.monotonic()
        self.group.leave()
        if self.group.rank > 0:
            return None
        self.save()
        return self.evaluate()

    def _train_step(self, batch: Batch, minutes: float) -> tuple[tuple[float, float, float], float]:
        """Learn from one batch; return class, offset and mask losses, and the group's minutes."""
        config = self.plan.optimisation
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            outputs = self.network(normalise(batch.images))
        class_loss, offset_loss = multibox_loss(
            outputs.boxes.class_logits.float(),
            outputs.boxes.box_deltas.float(),
            batch.classes,
            batch.deltas,
            config.negatives,
        )
        pixels = mask_loss(outputs.mask_logits.float(), batch.masks.long())
        loss: Tensor = config.box_weight * (class_loss + offset_loss) + config.mask_weight * pixels
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        minutes = self.group.average_gradients(self.network.parameters(), minutes)
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self.average.update(self.network)
        return (class_loss.item(), offset_loss.item(), pixels.item()), minutes

    def _report(self, progress: float, losses: np.ndarray, seconds: float, pool: int) -> None:
        rate = self.step * self.plan.optimisation.batch * self.group.size / seconds
        _log.info(
            "step %d (%.1f %%, %.0f min): class %.3f, offset %.3f, mask %.3f; %.1f images/s of %d",
            self.step,
            100 * progress,
            seconds / 60,
            *losses,
            rate,
            pool,
        )

    def save(self) -> None:
        """Write checkpoint.pt; a reader never sees half of one."""
        target = self.out / "checkpoint.pt"
        partial = target.with_suffix(".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "step": self.step,
            },
            partial,
        )
        partial.replace(target)

    def evaluate(self, limit: int | None = None) -> Scores | None:
        """Return (and log) the averaged network's scores on the first images of eval.npz."""
        path = self.data / "eval.npz"
        if not path.is_file():
            return None
        shard = load_shard(path)
        images = [shard[k] for k in range(min(limit or len(shard), len(shard)))]
        scores = evaluate_network(
            self.average.network,
            default_boxes(self.plan.default_boxes),
            images,
            len(OBJECT_CLASSES),
            len(MASK_LABELS),
        )
        _log.info("step %d: %s", self.step, scores)
        return scores


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return parameters with decay (kernels) and without (biases and normalisation)."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
