"""Ctrl-C and SIGTERM as a wish to stop, granted when it suits."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Interruption"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While entered, the first signal of each kind only sets `asked`; a second one acts as usual.

    alone: the process was started by no other that hands signals on, as torchrun does: its children
    get every Ctrl-C twice, and so a second one means nothing. Outside of the main thread, where
    Python takes no signals, it does nothing.
    """

    def __init__(self, alone: bool = True) -> None:
        self.asked = False
        self._alone = alone
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._before):
            self._restore(number)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.asked = True
        if self._alone:
            self._restore(number)

    def _restore(self, number: int) -> None:
        handler = self._before.pop(number, None)
        if handler is not None:
            signal.signal(number, handler)
