"""One thread that works on the newest messages, and does whatever else belongs between two."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

__all__ = ["Worker"]

T = TypeVar("T")
R = TypeVar("R")

_MOST_QUEUED = 100


class Worker(Generic[T]):
    """A mailbox with a thread behind it.

    `offer` puts the newest message of a key into its slot, where it replaces one that still waits
    but keeps its place in the queue, so that no key starves another however fast its messages come;
    `queue` lines a message up behind all others. The thread hands them to `handle`, one at a time,
    and calls `tend` after each and whenever `due_s`, on the clock of time.monotonic, has come or
    `nudge` was called. `call` runs a job on the same thread between two messages. What `handle` and
    `tend` raise is theirs to catch.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[str, T], None],
        tend: Callable[[bool], None] = lambda nudged: None,
        due_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._name = name
        self._handle = handle
        self._tend = tend
        self._due_s = due_s
        self._condition = threading.Condition()
        self._idle = threading.RLock()
        self._queue: deque[list[Any]] = deque()  # of [key, message]
        self._slots: dict[str, list[Any]] = {}
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._nudged = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        with self._idle, self._condition:
            self._stopping = self._nudged = False
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> list[T]:
        """End the thread after the message in work; returns the slots' messages that waited."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
            thread = self._thread
        if thread is not None:
            thread.join()
        with self._condition:
            self._thread = None
            left = [entry[1] for entry in self._slots.values()]
            self._slots.clear()
            self._queue.clear()
            while self._jobs:
                self._jobs.popleft()[0].cancel()
        return left

    def offer(self, key: str, message: T) -> T | None:
        """Hand in the newest message of a key; returns the one that it replaces, at once."""
        with self._condition:
            entry = self._slots.get(key)
            if entry is not None:
                replaced: T = entry[1]
                entry[1] = message
                return replaced
            entry = self._slots[key] = [key, message]
            self._queue.append(entry)
            self._condition.notify()
        return None

    def queue(self, key: str, message: T) -> None:
        """Hand in a message that goes with others; of one key only the last hundred are kept."""
        with self._condition:
            same = [entry for entry in self._queue if entry[0] == key]
            if len(same) >= _MOST_QUEUED:
                self._queue.remove(same[0])
            self._queue.append([key, message])
            self._condition.notify()

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take those waiting messages out of their slots that are unwanted; returns them."""
        with self._condition:
            entries = [entry for entry in self._slots.values() if unwanted(entry[1])]
            for entry in entries:
                del self._slots[entry[0]]
                self._queue.remove(entry)
        return [entry[1] for entry in entries]

    def nudge(self) -> None:
        """Let the thread call `tend` soon."""
        with self._condition:
            self._nudged = True
            self._condition.notify()

    def call(self, job: Callable[[], R]) -> Future[R]:
        """Run a job between two messages: on the thread, or here and now when there is none.

        Jobs that still wait when the thread is stopped are cancelled.
        """
        future: Future[R] = Future()
        with self._condition:
            if self._thread is not None:
                self._jobs.append((future, job))
                self._condition.notify()
                return future
        with self._idle:
            _complete(future, job)
        return future

    def _run(self) -> None:
        while True:
            job, entry = None, None
            with self._condition:
                self._wait()
                if self._stopping:
                    return
                nudged, self._nudged = self._nudged, False
                if self._jobs:
                    job = self._jobs.popleft()
                elif self._queue:
                    entry = self._queue.popleft()
                    if self._slots.get(entry[0]) is entry:
                        del self._slots[entry[0]]
            if job is not None:
                _complete(*job)
            elif entry is not None:
                self._handle(*entry)
            self._tend(nudged)

    def _wait(self) -> None:
        while not (self._stopping or self._jobs or self._queue or self._nudged):
            due_s = self._due_s()
            left_s = None if due_s is None else due_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            self._condition.wait(left_s)


def _complete(future: Future[R], job: Callable[[], R]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except Exception as error:
        future.set_exception(error)
