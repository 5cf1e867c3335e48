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
    "PerceptionError",
    "TransformError",
]


class PerceptionError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigError(PerceptionError, ValueError):
    """A setting has an unknown name, a wrong type or a value out of range."""


class DatasetError(PerceptionError):
    """A labelled image, or a list of them, cannot be used; the text names the file."""


class ModelError(PerceptionError):
    """A model bundle is missing, malformed, or does not do what its model.yaml says."""


class ExplainError(ModelError):
    """What a network answers cannot be explained as asked: it has no such maps, or no gradient."""


class MapError(PerceptionError):
    """A map cannot be updated, encoded, saved or loaded as asked."""


class BagError(PerceptionError):
    """A recording cannot be read or written."""


class MessageError(PerceptionError, ValueError):
    """A message cannot be used.

    `reason` is a short stable slug (``truncated_data``, ``unknown_encoding`` ...) under which the
    dropped message is counted; the text says what was wrong and what to do about it.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class TransformError(PerceptionError):
    """No transform is known between two frames at a stamp.

    `retriable` is true while a later message may still bring it (the data end before the stamp, or
    a frame was never heard of), false when it can no longer come (the stamp is older than the
    buffer).
    """

    def __init__(self, text: str, *, retriable: bool) -> None:
        super().__init__(text)
        self.retriable = retriable
