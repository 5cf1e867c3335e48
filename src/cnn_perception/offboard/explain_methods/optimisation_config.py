"""How images are sought by gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.settings import Config, setting

__all__ = ["ImageOptimisationConfig"]


@dataclass(frozen=True, slots=True)
class ImageOptimisationConfig(Config):
    """How an image is sought. Lengths are pixels, values those of normalised images."""

    steps: int = setting(300, "Gradient steps", between=(1, 1_000_000))
    rate: float = setting(
        0.2,
        "Learning rate of Adam at first, about what a value changes by in a step; it falls to 0 "
        "along half a cosine",
        between=(1e-6, 100.0),
    )
    tv: float = setting(0.3, "Weight of the total variation", between=(0.0, 1e6))
    decay: float = setting(0.0, "Weight of the mean square of values", between=(0.0, 1e6))
    blur: float = setting(
        0.0,
        "Standard deviation at first of the blur of every fourth step; it falls as the rate does",
        minimum=0.0,
    )
    jitter: int = setting(
        0, "Longest way the image is shifted before each step, along each axis", minimum=0
    )
    seed: int = setting(0, "Of the noise that it begins with, and of shifts", minimum=0)
    snapshots: tuple[int, ...] = setting((), "Steps after which the image is kept")
