"""The images of a training plan."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.settings import Config, setting

__all__ = ["DataConfig"]


@dataclass(frozen=True, slots=True)
class DataConfig(Config):
    """Which labelled images a network learns from, and on which it is measured meanwhile."""

    path: str = setting(
        "", "Folder (or COCO file) of the images; task rooms renders them where there is none"
    )
    train: str = setting("train", "Split to learn from; empty where there is only one")
    validation: str = setting("val", "Split to measure on; empty measures nothing")
    validation_images: int = setting(0, "Most images to measure on; 0 takes all", minimum=0)
    broken: str = setting(
        "error", "What to do about files that cannot be used", choices=("error", "skip")
    )
    rooms: int = setting(3000, "Task rooms: rooms to render", between=(1, 1_000_000))
    views: int = setting(4, "Task rooms: views of each room", between=(1, 1000))
    evaluation_rooms: int = setting(
        500, "Task rooms: further rooms, with one view, to measure on", between=(1, 100_000)
    )
