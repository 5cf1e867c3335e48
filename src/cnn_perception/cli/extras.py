"""What a command says where the libraries that it needs are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cnn_perception.errors import ConfigError

__all__ = ["needs_train_extra"]


@contextmanager
def needs_train_extra(what: str) -> Iterator[None]:
    """Raise ConfigError, with the remedy, for a module that is missing within a block."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} needs {error.name}: install cnn_perception with the [train] extra"
        ) from error
