"""Variations of labelled images: where they lie in the network's input, and their colors."""

from cnn_perception.offboard.training.augmentation.augmenter import Augmenter
from cnn_perception.offboard.training.augmentation.config import NO_AUGMENTATION, AugmentationConfig

__all__ = ["NO_AUGMENTATION", "AugmentationConfig", "Augmenter"]
