"""The worker thread: latest wins, nothing is lost silently, jobs run between two messages."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from cnn_perception.ros.worker import Worker

PATIENCE_S = 10.0


class Gate:
    """A `handle` that blocks until told to go on, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.busy = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def handle(self, key: str, item: int) -> None:
        self.seen.append(item)
        self.busy.release()
        assert self.go.acquire(timeout=PATIENCE_S)


def settle(worker: Worker[int]) -> None:
    """Wait until the worker has done what was handed in before."""
    worker.call(lambda: None).result(PATIENCE_S)


def test_the_newest_message_wins_and_the_replaced_one_comes_back() -> None:
    gate = Gate()
    worker = Worker("w", gate.handle)
    worker.start()
    assert worker.offer("image", 1) is None
    assert gate.busy.acquire(timeout=PATIENCE_S)
    assert [worker.offer("image", item) for item in (2, 3, 4)] == [None, 2, 3]
    gate.go.release(2)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    settle(worker)
    assert worker.stop() == []
    assert gate.seen == [1, 4]


def test_partners_line_up_and_only_the_last_are_kept() -> None:
    gate = Gate()
    worker = Worker("w", gate.handle)
    worker.start()
    worker.offer("image", -1)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    for item in range(150):
        worker.queue("depth", item)
    worker.offer("image", -2)
    gate.go.release(200)
    settle(worker)
    for _ in range(101):
        assert gate.busy.acquire(timeout=PATIENCE_S)
    worker.stop()
    assert gate.seen == [-1, *range(50, 150), -2]


def test_stop_returns_what_waits_and_ends_the_thread() -> None:
    gate = Gate()
    worker = Worker("w", gate.handle)
    worker.start()
    worker.offer("image", 1)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    worker.offer("image", 2)
    gate.go.release(2)
    left = worker.stop()
    assert gate.seen + left == [1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name == "w"]


def test_a_job_runs_on_the_thread_and_its_error_reaches_the_caller() -> None:
    worker: Worker[int] = Worker("w", lambda key, item: None)
    worker.start()
    assert worker.call(lambda: threading.current_thread().name).result(PATIENCE_S) == "w"
    with pytest.raises(KeyError, match="nothing"):
        worker.call(lambda: {}["nothing"]).result(PATIENCE_S)
    worker.stop()
    idle = worker.call(lambda: threading.current_thread().name)
    assert idle.result(PATIENCE_S) == threading.current_thread().name


def test_a_job_never_runs_beside_the_message_in_work() -> None:
    """Not even while the worker is being stopped: then it is cancelled, to be asked for again."""
    gate = Gate()
    worker = Worker("w", gate.handle)
    worker.start()
    worker.offer("image", 1)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    late = worker.call(lambda: len(gate.seen))
    assert not late.done()
    gate.go.release()
    stopper.join(PATIENCE_S)
    with pytest.raises(CancelledError):
        late.result(PATIENCE_S)
    assert worker.call(lambda: len(gate.seen)).result(PATIENCE_S) == 1


def test_no_key_starves_another() -> None:
    gate = Gate()
    worker = Worker("w", gate.handle)
    worker.start()
    worker.offer("fast", 0)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    for item, key in ((1, "fast"), (100, "slow"), (2, "fast"), (3, "fast"), (200, "other")):
        worker.offer(key, item)
    for item in (4, 5):  # the fast one goes on, and waits its turn each time
        gate.go.release()
        assert gate.busy.acquire(timeout=PATIENCE_S)
        worker.offer("fast", item)
    gate.go.release(10)
    for _ in range(2):
        assert gate.busy.acquire(timeout=PATIENCE_S)
    settle(worker)
    worker.stop()
    assert gate.seen == [0, 3, 100, 200, 5]


def test_unwanted_messages_are_taken_out() -> None:
    gate = Gate()
    worker = Worker("w", gate.handle)
    worker.start()
    worker.offer("camera", 0)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    for item in (1, 2, 3):
        worker.offer(f"camera {item}", item)
    assert worker.discard(lambda item: item != 2) == [1, 3]
    gate.go.release(2)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    settle(worker)
    worker.stop()
    assert gate.seen == [0, 2]


def test_what_is_due_is_tended_to_without_messages() -> None:
    told: list[bool] = []
    tended = threading.Semaphore(0)
    due = time.monotonic()

    def tend(nudged: bool) -> None:
        told.append(nudged)
        tended.release()

    worker: Worker[int] = Worker(
        "w", lambda key, item: None, tend, lambda: due if not told else None
    )
    worker.start()
    assert tended.acquire(timeout=PATIENCE_S)
    worker.nudge()
    assert tended.acquire(timeout=PATIENCE_S)
    worker.stop()
    assert told == [False, True]
