"""Pictures in, a network's tensors out; what several readers ask of one picture is run once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import SessionConfig
from cnn_perception.image.preprocess import Placement, Preprocessor
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.session import Session
from cnn_perception.types import UInt8Array

__all__ = ["Inference", "InferencePool", "RawAnswer"]

_REMEMBERED = 3
"""Pictures whose answers wait for other readers: those in work, and one that is behind."""

_SAMPLE = 61
"""Every so many bytes are compared first: pictures that differ mostly do there."""


@dataclass(frozen=True, slots=True, eq=False)
class RawAnswer:
    """A network's answer to one picture: tensors by name, and where the picture lies in them."""

    tensors: Mapping[str, NDArray[Any]]
    placement: Placement


class Inference:
    """Prepares pictures for a bundle's network and runs it. Safe to use from several threads.

    Readers of the same pictures, a detector and what explains it, share one: whoever comes second
    with a picture gets the answer that is there. Raises ModelError as `Session` does.
    """

    def __init__(self, bundle: ModelBundle, config: SessionConfig | None = None) -> None:
        self.bundle = bundle
        self.session = Session(bundle, config)
        self._preprocess = Preprocessor(bundle.input)
        self._names: tuple[str, ...] = ()
        self._readers = 0
        self._lock = threading.Lock()
        self._answers: deque[tuple[UInt8Array, RawAnswer]] = deque(maxlen=_REMEMBERED)

    def join(self) -> Inference:
        """Add a reader, who needs the tensors of the bundle's output; returns this object."""
        self._readers += 1
        self.want(self.bundle.output.tensors.values())
        return self

    def want(self, names: Iterable[str]) -> None:
        """Let answers have further tensors, by their names in the network's outputs."""
        with self._lock:
            self._names = tuple(dict.fromkeys((*self._names, *names)))
            self._answers.clear()

    def __call__(self, rgb: UInt8Array) -> RawAnswer:
        """Return what the network says of an RGB uint8 (H, W, 3) picture, for all readers.

        The picture must not be changed afterwards, while others may still ask. Raises ModelError
        when the network fails, ConfigError for another shape or type.
        """
        with self._lock:
            if self._readers > 1:
                for known, answer in self._answers:
                    if _equal(known, rgb):
                        return answer
            tensor, placement = self._preprocess(rgb)
            tensors = self.session.run({self.bundle.input.name: tensor}, self._names)
            answer = RawAnswer(tensors, placement)
            if self._readers > 1:
                self._answers.append((rgb, answer))
            return answer


class InferencePool:
    """The networks of one process: equal bundles that run with equal settings are loaded once."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[object, ...], Inference] = WeakValueDictionary()
        self._lock = threading.Lock()

    def get(self, bundle: ModelBundle, config: SessionConfig) -> Inference:
        """Return the network of a bundle; it lives as long as somebody holds it."""
        # The time of the last change: a bundle that was written again is another one.
        key = (bundle.file, bundle.model, bundle.model.stat().st_mtime_ns, config)
        with self._lock:
            found = self._known.get(key)
            if found is None:
                found = self._known[key] = Inference(bundle, config)
            return found


def _equal(a: UInt8Array, b: UInt8Array) -> bool:
    if a.shape != b.shape:
        return False
    a, b = a.reshape(-1), b.reshape(-1)
    return np.array_equal(a[::_SAMPLE], b[::_SAMPLE]) and np.array_equal(a, b)
