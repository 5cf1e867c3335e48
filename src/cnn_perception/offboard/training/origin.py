"""What a bundle says of a network that was trained from a plan."""

from __future__ import annotations

from pathlib import Path

from cnn_perception.offboard.export.bundle import About
from cnn_perception.offboard.training.plan import TrainingPlan

__all__ = ["about_trained"]


def about_trained(plan: TrainingPlan, network: str, does: str) -> About:
    """Return what is known of a network by that name; does: what it does, a sentence."""
    data = Path(plan.data.path).name or "unnamed data"
    return About(
        description=f"{does} {network}, trained on {data}.",
        licence="that of the training data and of the starting weights",
        source=f"cnn-perception train, task {plan.task}, on {data}",
        version="1.0.0",
        plan=plan.tree,
    )
