"""Networks in ONNX Runtime: a file, a bundle's network, and one that several readers share."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ModelError
from cnn_perception.image.preprocess import Placement, Preprocessor
from cnn_perception.runtime.bundle import ModelBundle
from cnn_perception.runtime.conformance import TensorInfo, check_inputs, check_outputs
from cnn_perception.types import UInt8Array

__all__ = [
    "CPU",
    "CUDA",
    "Graph",
    "Inference",
    "InferencePool",
    "Predictor",
    "RawAnswer",
    "Reader",
    "Session",
]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3

_REMEMBERED = 3
"""Pictures whose answers wait for other readers: those in work, and one that is behind."""
_SAMPLE = 61
"""Every so many bytes are compared first: pictures that differ mostly do there."""

_log = logging.getLogger(__name__)


class Graph:
    """A loaded ONNX graph. Thread-safe to run.

    Raises ModelError when ONNX Runtime cannot load the file, and when the configuration insists on
    a provider that does not work here.
    """

    def __init__(self, file: Path, config: SessionConfig) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = config.threads
        if config.threads != 1:
            # Workers that spin while they wait take the core from the next network (and from ROS).
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = _providers(config.provider)
        chatter = io.StringIO()
        try:
            with contextlib.redirect_stdout(chatter):
                self._session = onnxruntime.InferenceSession(str(file), options, providers=wanted)
        except Exception as error:  # ONNX Runtime's own exceptions share no base but Exception
            raise ModelError(f"ONNX Runtime cannot load {file}: {_one_line(error)}") from error
        self.file = file
        self.provider: str = self._session.get_providers()[0]
        self.inputs = tuple(_info(tensor) for tensor in self._session.get_inputs())
        self.outputs = tuple(_info(tensor) for tensor in self._session.get_outputs())
        if wanted[0] != self.provider:
            self._complain(config.provider, chatter.getvalue())

    def _complain(self, choice: str, chatter: str) -> None:
        """The build has CUDA but the network does not run on it: an error, or a loud warning."""
        remedy = (
            "check the driver with nvidia-smi and the libraries with "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
        if choice == "cuda":
            raise ModelError(
                f"provider = 'cuda' but ONNX Runtime runs {self.file} on {self.provider}: {remedy}"
            )
        _log.warning(
            "%s runs on %s although CUDA is built in: %s", self.file, self.provider, remedy
        )
        if chatter.strip():
            _log.debug("ONNX Runtime said: %s", _one_line(chatter))

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return output tensors by name, all or those asked for; raises ModelError on failure."""
        names = [tensor.name for tensor in self.outputs] if outputs is None else list(outputs)
        try:
            values = self._session.run(names, dict(feeds))
        except Exception as error:  # as above
            raise ModelError(f"{self.file} failed to run: {_one_line(error)}") from error
        return dict(zip(names, values, strict=True))


class Session(Graph):
    """A bundle's network. Thread-safe to run.

    Construction loads it, compares its tensors with model.yaml and runs it once, so that the first
    frame is as fast as the others. Raises ModelError when something does not fit. outputs: with
    their actual shapes. Inputs are float32 (1, 3, height, width), or several images where the
    network's batch is dynamic.
    """

    def __init__(self, bundle: ModelBundle, config: SessionConfig | None = None) -> None:
        super().__init__(bundle.model, config or SessionConfig())
        self.bundle = bundle
        check_inputs(bundle, self.inputs)
        check_outputs(bundle, self.outputs)
        self.outputs = self.warm_up()
        check_outputs(bundle, self.outputs)
        _log.info("model %s %s runs on %s", bundle.name, bundle.version, self.provider)

    def warm_up(self) -> tuple[TensorInfo, ...]:
        """Run the network once on zeros; returns its outputs with their actual shapes."""
        spec = self.bundle.input
        zeros = np.zeros((1, 3, spec.height, spec.width), np.float32)
        answers = self.run({spec.name: zeros})
        return tuple(
            TensorInfo(name, str(value.dtype), value.shape) for name, value in answers.items()
        )


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
        self.preprocess = Preprocessor(bundle.input)
        # By reader, the tensors that it needs. One that was dropped without close() leaves, too.
        self.readers: WeakKeyDictionary[Reader, tuple[str, ...]] = WeakKeyDictionary()
        self.lock = threading.Lock()
        self.answers: deque[tuple[UInt8Array, RawAnswer]] = deque(maxlen=_REMEMBERED)

    def join(self, names: Iterable[str] = ()) -> Reader:
        """Return a new reader of the bundle's output, and of further tensors of the network."""
        return Reader(self, (*self.bundle.output.tensors.values(), *names))


class Reader:
    """Somebody who asks an `Inference`; until it is closed, answers have what it needs."""

    def __init__(self, inference: Inference, names: Iterable[str]) -> None:
        self.session = inference.session
        self._inference = inference
        self.want(names)

    def want(self, names: Iterable[str]) -> None:
        """Let answers have further tensors, by their names in the network's outputs."""
        shared = self._inference
        with shared.lock:
            shared.readers[self] = (*shared.readers.get(self, ()), *names)
            shared.answers.clear()

    def close(self) -> None:
        """Leave: what only this reader needed is neither computed nor kept any more."""
        with self._inference.lock:
            self._inference.readers.pop(self, None)
            if len(self._inference.readers) < 2:
                self._inference.answers.clear()

    def __call__(self, rgb: UInt8Array) -> RawAnswer:
        """Return what the network says of an RGB uint8 (H, W, 3) picture.

        The picture must not be changed afterwards, while other readers may still ask. Raises
        ModelError when the network fails or the reader is closed, ConfigError for another shape or
        type.
        """
        shared = self._inference
        with shared.lock:
            if self not in shared.readers:
                raise ModelError(f"{shared.bundle.file}: this reader is closed: join anew")
            alone = len(shared.readers) == 1
            if alone:
                shared.answers.clear()
            for known, answer in shared.answers:
                if known is rgb or _equal(known, rgb):
                    return answer
            tensor, placement = shared.preprocess(rgb)
            names = tuple(dict.fromkeys(chain.from_iterable(shared.readers.values())))
            tensors = self.session.run({shared.bundle.input.name: tensor}, names)
            answer = RawAnswer(tensors, placement)
            if not alone:
                shared.answers.append((rgb, answer))
            return answer


class Predictor:
    """What works with a bundle's network, alone or beside others; one thread at a time."""

    def __init__(self, bundle: ModelBundle, reader: Reader) -> None:
        self.bundle = bundle
        self.infer = reader

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self.bundle.labels

    @property
    def provider(self) -> str:
        """The execution provider that really runs the network, by ONNX Runtime's name."""
        return self.infer.session.provider

    def close(self) -> None:
        """Let go of the network, which others may go on sharing."""
        self.infer.close()


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


def _providers(choice: str) -> list[str]:
    """Return the execution providers to ask for, with CUDA's libraries loaded where they exist."""
    import onnxruntime

    if choice == "cpu":
        return [CPU]
    if CUDA not in onnxruntime.get_available_providers():
        if choice == "cuda":
            raise ModelError(
                "provider = 'cuda' but this ONNX Runtime is built without it: replace onnxruntime "
                "by onnxruntime-gpu[cuda,cudnn], or set provider to auto"
            )
        return [CPU]
    if hasattr(onnxruntime, "preload_dlls"):  # since 1.21
        chatter = io.StringIO()
        with contextlib.redirect_stdout(chatter):
            onnxruntime.preload_dlls()
        if chatter.getvalue().strip():
            _log.debug("preloading CUDA's libraries: %s", _one_line(chatter.getvalue()))
    return [CUDA, CPU]


def _info(tensor: Any) -> TensorInfo:
    kind = str(tensor.type)
    name = kind.removeprefix("tensor(").removesuffix(")")
    shape = tuple(side if isinstance(side, int) else None for side in tensor.shape or ())
    return TensorInfo(tensor.name, {"float": "float32", "double": "float64"}.get(name, name), shape)


def _one_line(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."


def _equal(a: UInt8Array, b: UInt8Array) -> bool:
    if a.shape != b.shape:
        return False
    a, b = a.reshape(-1), b.reshape(-1)
    return np.array_equal(a[::_SAMPLE], b[::_SAMPLE]) and np.array_equal(a, b)
