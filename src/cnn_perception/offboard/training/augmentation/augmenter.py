"""Images as a network sees them while training: placed at random in its input, and recolored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.training.augmentation.color import color_matrix, recolored
from cnn_perception.offboard.training.augmentation.config import AugmentationConfig
from cnn_perception.offboard.training.augmentation.geometry import centers_inside, choose_window
from cnn_perception.offboard.training.augmentation.warp import warp, window_matrix

__all__ = ["Augmenter"]


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Makes variations at a network's input size, (width, height), of images of any size."""

    config: AugmentationConfig
    size: tuple[int, int]

    def __call__(self, image: LabelledImage, rng: np.random.Generator) -> LabelledImage:
        """Return a variation; `difficult` marks what must be neither taught nor punished.

        Everything random comes from `rng`: equal states give equal variations.
        """
        config = self.config
        window = choose_window(image, self.size, config, rng)
        if config.geometry == "ssd":
            image = image.only(centers_inside(image.boxes, window))
        matrix = window_matrix(window, self.size, flip=rng.random() < config.flip)
        varied = warp(
            image,
            matrix,
            self.size,
            least_visible=config.least_visible,
            least_side=config.least_side,
        )
        return replace(varied, color=recolored(varied.color, color_matrix(config, rng)))
