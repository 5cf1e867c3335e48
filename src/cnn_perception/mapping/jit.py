"""How the mapping kernels are compiled: by numba, cached on disk, exact, without the GIL."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import event

from cnn_perception.errors import PerceptionError

__all__ = ["compiling_while", "inlined", "is_cached", "kernel", "sources_digest"]

F = TypeVar("F", bound=Callable[..., Any])

_HERE = Path(__file__).parent
_NUMBA: Any = numba.config  # makes its attributes when it is imported


def kernel(function: F) -> F:
    """Compile on the first call, or load from the cache of an earlier process.

    No fast-math: results equal OctoMap's bit for bit. Whoever owns a kernel calls it once while
    being configured, since the first compilation takes seconds.
    """
    return _compiled(function)


def inlined(function: F) -> F:
    """Compile into each kernel that calls it, for what is called once per cell.

    A call that passes the arrays of a store would cost more than most of these functions do.
    """
    return _compiled(function, forceinline=True)


def is_cached() -> bool:
    """Return whether compiled kernels of the present sources are on disk; without, a minute."""
    return any(Path(_CACHE).rglob("*.nbi"))


@contextmanager
def compiling_while(wanted: Callable[[], bool]) -> Iterator[None]:
    """Raise PerceptionError before the next step of a compilation once it is no longer wanted."""
    _STEPS.conditions.append(wanted)
    try:
        yield
    finally:
        _STEPS.conditions.remove(wanted)


def sources_digest(folder: Path) -> str:
    """Return a name for the present text of the modules in a folder that define kernels."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_bytes()
        if b"mapping.jit import" in text or path.name == "keys.py":  # whose constants kernels hold
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + text)
    return digest.hexdigest()[:16]


def _compiled(function: F, **options: Any) -> F:
    # Numba would go on using a cached kernel after another file changed whose functions it inlines.
    # So the cache is a folder named by the text of them all.
    before = _NUMBA.CACHE_DIR
    _NUMBA.CACHE_DIR = _CACHE
    try:
        return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))
    finally:
        _NUMBA.CACHE_DIR = before


def _cache_folder() -> str:
    """Return the folder of the cache: numba's if one is set, else beside us, else the user's."""
    if _NUMBA.CACHE_DIR:
        base = Path(_NUMBA.CACHE_DIR)
    elif os.access(_HERE, os.W_OK):
        base = _HERE / "__pycache__"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnn_perception"
    return str(base / f"kernels-{sources_digest(_HERE)}")


class _Steps(event.Listener):
    """Interrupts what the main thread compiles between two steps, never within one.

    Within, LLVM calls Python back, and a KeyboardInterrupt there is lost or a segmentation fault.
    """

    def __init__(self) -> None:
        self.conditions: list[Callable[[], bool]] = []
        self._depth = 0
        self._interrupted = False

    def on_start(self, event: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # where Python handles no signals
        self._raise_interrupt()
        if not all(wanted() for wanted in self.conditions):
            raise PerceptionError("the compilation of the kernels was stopped: start it again")
        # A handler that the program has installed is left alone.
        if self._depth == 0 and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
        self._depth += 1

    def on_end(self, event: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth -= 1
        if self._depth == 0 and signal.getsignal(signal.SIGINT) == self._interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._raise_interrupt()

    def _interrupt(self, number: int, frame: Any) -> None:
        self._interrupted = True

    def _raise_interrupt(self) -> None:
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt


_CACHE = _cache_folder()
_STEPS = _Steps()
# Numba holds it while it compiles a function, in each pass of that, and while it loads one.
event.register("numba:compiler_lock", _STEPS)  # type: ignore[no-untyped-call]
