"""How a network learns: the settings of a plan's section ``optimisation``."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.errors import ConfigError
from cnn_perception.settings import Config, setting

__all__ = ["OptimisationConfig"]


@dataclass(frozen=True, slots=True)
class OptimisationConfig(Config):
    """How long, how fast and how precisely a network learns.

    `length`, `warmup`, `milestones` and `evaluate_every` count in `unit`s. A batch is what one
    process takes through the network at once; a step learns from `accumulate` batches of each
    process.
    """

    seed: int = setting(0, "Seed of weights, order, augmentation and dropout", minimum=0)
    unit: str = setting(
        "steps",
        "What length, warmup, milestones and evaluate_every count",
        choices=("steps", "epochs"),
    )
    length: float = setting(6000.0, "How long to train, in units", minimum=1e-3)
    batch: int = setting(32, "Images in a batch, per process", between=(1, 65536))
    accumulate: int = setting(
        1, "Batches whose gradients are averaged before each step", between=(1, 10000)
    )
    optimiser: str = setting(
        "adamw",
        "How weights follow gradients",
        choices=("sgd", "momentum", "adagrad", "adam", "adamw"),
    )
    learning_rate: float = setting(2e-3, "Peak learning rate", between=(1e-8, 10.0))
    momentum: float = setting(
        0.9, "momentum: share of the last change that goes on", between=(0.0, 0.9999)
    )
    nesterov: bool = setting(False, "momentum: look ahead (Nesterov)")
    weight_decay: float = setting(
        0.02, "Weight decay of all but biases and normalisation", between=(0.0, 1.0)
    )
    schedule: str = setting(
        "cosine",
        "How the rate falls: constant, cosine to 0, step at milestones, polynomial to 0",
        choices=("constant", "cosine", "step", "polynomial"),
    )
    cycles: int = setting(
        1, "cosine: how often the rate falls; it begins at the peak again", between=(1, 100)
    )
    milestones: tuple[float, ...] = setting((), "step: when the rate falls, in units")
    gamma: float = setting(
        0.1, "step: what the rate is multiplied with at a milestone", between=(0.0, 1.0)
    )
    power: float = setting(
        0.9, "polynomial: exponent of the share that is left", between=(0.01, 10.0)
    )
    warmup: float = setting(0.0, "Units in which the rate rises evenly from almost 0", minimum=0.0)
    clip: float = setting(10.0, "Largest norm of the gradient; 0 is unlimited", between=(0.0, 1e6))
    ema_decay: float = setting(
        0.998,
        "Decay of the averaged weights, which are measured and exported; 0 takes the last weights",
        between=(0.0, 0.99999),
    )
    train_layers: str = setting(
        "all",
        "Which layers learn: all, the last ones, or only the head; the others stay as they are",
        choices=("all", "last", "head"),
    )
    precision: str = setting(
        "float32",
        "What the network is multiplied in; float16 needs CUDA",
        choices=("float32", "bfloat16", "float16"),
    )
    device: str = setting(
        "auto", "auto takes CUDA where there is one", choices=("auto", "cpu", "cuda")
    )
    threads: int = setting(0, "Threads of PyTorch; 0 is one per core", between=(0, 256))
    workers: int = setting(
        1,
        "Processes that load images, at most one per core; 0 loads between steps",
        between=(0, 256),
    )
    report_every: int = setting(50, "Steps between two reports", minimum=1)
    checkpoint_minutes: float = setting(
        5.0, "Most minutes between two checkpoints", between=(0.0, 10000.0)
    )
    evaluate_every: float = setting(
        0.0, "Units between two evaluations; 0 evaluates once, at the end", minimum=0.0
    )

    def __post_init__(self) -> None:
        # Not super(): slots make a new class, which super() without arguments does not know.
        Config.__post_init__(self)
        if self.warmup >= self.length:
            raise ConfigError(
                f"warmup = {self.warmup:g} is not below length = {self.length:g}: shorten it"
            )
        if self.cycles > 1 and self.schedule != "cosine":
            raise ConfigError(f"cycles = {self.cycles}: only schedule cosine has cycles")
        if (self.schedule == "step") != bool(self.milestones):
            raise ConfigError(
                f"schedule = {self.schedule!r} with milestones = {list(self.milestones)}: the step "
                "schedule needs some, the others take none"
            )
        if any(b <= a for a, b in zip((0.0, *self.milestones), self.milestones, strict=False)):
            raise ConfigError(f"milestones = {list(self.milestones)}: give rising numbers above 0")
        if self.nesterov and (self.optimiser != "momentum" or self.momentum == 0):
            raise ConfigError("nesterov = True: only with optimiser momentum, and momentum above 0")
