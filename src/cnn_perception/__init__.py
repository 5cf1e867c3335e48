"""Camera topics in; detections, masks, explanations and an OctoMap out."""

__version__ = "0.1.0"
