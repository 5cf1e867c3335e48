"""The exceptions of cnn_perception: every message names the offending value and the remedy."""

from __future__ import annotations

__all__ = [
    "BagError",
    "ConfigError",
    "DatasetError",
    "ExplainError",
    "MapError",
    "MessageError",
    "ModelError",
    "OffMapError",
    "PerceptionError",
    "TransformError",
]


class PerceptionError(Exception):
    """Base of everything that this package raises on purpose.

    `reason` is the slug under which a message is counted that could not be used for it.
    """

    reason = "internal_error"


class ConfigError(PerceptionError, ValueError):
    """A setting has an unknown name, a wrong type or a value out of range."""


class DatasetError(PerceptionError):
    """A labelled image, or a list of them, cannot be used; the text names the file."""


class ModelError(PerceptionError):
    """A model bundle is missing, malformed, or does not do what its model.yaml says."""

    reason = "model_failed"


class ExplainError(ModelError):
    """What a network answers cannot be explained as asked: it has no such maps, or no gradient."""

    reason = "not_explainable"


class MapError(PerceptionError):
    """A map cannot be updated, encoded, saved or loaded as asked."""

    reason = "map_failed"


class OffMapError(MapError):
    """A sensor is where the map does not reach."""

    reason = "sensor_off_map"


class BagError(PerceptionError):
    """A recording cannot be read or written."""


class MessageError(PerceptionError, ValueError):
    """A message cannot be used.

    `reason` is a short stable slug (``truncated_data``, ``unknown_encoding`` ...); the text says
    what was wrong and what to do about it.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class TransformError(PerceptionError):
    """No transform is known between two frames at a stamp.

    `edge` names the frames, as in ``map <- camera``. `retriable` is true while a later message may
    still bring it (the data end before the stamp, or a frame was never heard of), false when it can
    no longer come (the stamp is older than the buffer).
    """

    reason = "no_transform"

    def __init__(self, text: str, *, retriable: bool, edge: str = "") -> None:
        super().__init__(text)
        self.retriable = retriable
        self.edge = edge
