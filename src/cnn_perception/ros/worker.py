"""One thread that works on the newest messages; what it cannot keep up with is counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from cnn_perception.errors import MessageError
from cnn_perception.messages import drop_reason
from cnn_perception.ros.accounting import FrameAccount

__all__ = ["Worker"]

T = TypeVar("T")
R = TypeVar("R")


class Worker(Generic[T]):
    """A mailbox with a thread behind it: one slot for each key, so one slot for a single camera.

    `offer` puts the newest message into its slot; one that still waits there is dropped as
    ``superseded``. A slot keeps its place in the queue when that happens, so that no key starves
    another however fast its messages come. The thread takes the oldest slot and calls `process`,
    which returns the seconds that the core itself took. A MessageError drops the message under its
    reason, a TransformError as ``no_transform``, anything else as ``internal_error``; `on_drop`
    hears of each, and the thread goes on. `call` runs a job on the same thread between two
    messages.
    """

    def __init__(
        self,
        name: str,
        process: Callable[[T], float],
        account: FrameAccount,
        on_drop: Callable[[str, Exception], None],
    ) -> None:
        self._name = name
        self._process = process
        self._account = account
        self._on_drop = on_drop
        self._condition = threading.Condition()
        self._slots: dict[str, tuple[T, float]] = {}
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the message in work; those that wait are dropped as ``stopped``."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        while self._slots:
            self._slots.popitem()
            self._account.drop("stopped")
        while self._jobs:
            self._jobs.popleft()[0].cancel()

    def offer(self, item: T, key: str = "") -> None:
        """Hand in the newest message of a key; returns at once."""
        self._account.arrive()
        with self._condition:
            superseded = key in self._slots
            self._slots[key] = (item, time.monotonic())
            self._condition.notify()
        if superseded:
            self._account.drop("superseded")

    def discard(self, unwanted: Callable[[T], bool], reason: str) -> None:
        """Drop those waiting messages that are unwanted, under a reason."""
        with self._condition:
            keys = [key for key, (item, _) in self._slots.items() if unwanted(item)]
            for key in keys:
                del self._slots[key]
        for _ in keys:
            self._account.drop(reason)

    def call(self, job: Callable[[], R]) -> Future[R]:
        """Run a job between two messages: on the thread, or here and now when it is not running."""
        future: Future[R] = Future()
        with self._condition:
            if self._thread is not None and not self._stopping:
                self._jobs.append((future, job))
                self._condition.notify()
                return future
        _complete(future, job)
        return future

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopping or self._jobs or self._slots)
                if self._stopping:
                    return
                job = self._jobs.popleft() if self._jobs else None
                if job is None:
                    taken = self._slots.pop(next(iter(self._slots)))
            if job is not None:
                _complete(*job)
            else:
                self._work(*taken)

    def _work(self, item: T, arrival: float) -> None:
        try:
            compute_s = self._process(item)
        except Exception as error:
            # One bad frame must not end the thread; the reason is counted and logged.
            bad = isinstance(error, MessageError)
            self._drop("stopped" if self._stopping and not bad else drop_reason(error), error)
        else:
            self._account.process(time.monotonic() - arrival, compute_s)

    def _drop(self, reason: str, error: Exception) -> None:
        self._account.drop(reason)
        self._on_drop(reason, error)


def _complete(future: Future[R], job: Callable[[], R]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except Exception as error:
        future.set_exception(error)
