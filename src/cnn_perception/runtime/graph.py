"""One ONNX file in ONNX Runtime: which provider runs it, what goes in and what comes out."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ModelError

__all__ = ["CPU", "CUDA", "Graph", "TensorInfo"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, element type (as ``float32``) and shape of a tensor; None is a size that may vary."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


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
