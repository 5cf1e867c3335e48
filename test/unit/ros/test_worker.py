"""The worker thread: latest wins, nothing is lost silently, one bad frame ends nothing."""

from __future__ import annotations

import threading

import pytest

from cnn_perception.errors import MessageError, TransformError
from cnn_perception.ros.accounting import FrameAccount
from cnn_perception.ros.worker import Worker

PATIENCE_S = 10.0


class Gate:
    """A `process` that blocks until told to go on, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.busy = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def process(self, item: int) -> float:
        self.seen.append(item)
        self.busy.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        return 0.25


def settle(worker: Worker[int]) -> None:
    """Wait until the worker has done what was handed in before."""
    worker.call(lambda: None).result(PATIENCE_S)


def test_newest_item_wins_and_the_rest_is_counted() -> None:
    gate, account = Gate(), FrameAccount()
    worker = Worker("w", gate.process, account, lambda *_: None)
    worker.start()
    worker.offer(1)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    for item in (2, 3, 4):
        worker.offer(item)
    in_between = account.snapshot()
    assert (in_between.received, in_between.dropped) == (2, {"superseded": 2})
    assert in_between.in_flight == 2
    gate.go.release(2)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    settle(worker)
    worker.stop()
    final = account.snapshot()
    assert gate.seen == [1, 4]
    assert (final.received, final.processed, final.in_flight) == (4, 2, 0)
    assert final.compute.p50 == pytest.approx(250.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MessageError("truncated_data", "7 bytes of 12"), "truncated_data"),
        (TransformError("no transform", retriable=False), "no_transform"),
        (ZeroDivisionError("oops"), "internal_error"),
    ],
)
def test_a_failing_item_is_dropped_under_its_reason(error: Exception, reason: str) -> None:
    heard: list[tuple[str, Exception]] = []

    def process(item: int) -> float:
        if item == 1:
            raise error
        return 0.0

    account = FrameAccount()
    worker = Worker("w", process, account, lambda *drop: heard.append(drop))
    worker.start()
    for item in (1, 2):
        worker.offer(item)
        settle(worker)
        settle(worker)
    worker.stop()
    assert heard == [(reason, error)]
    snapshot = account.snapshot()
    assert (snapshot.received, snapshot.processed, snapshot.dropped) == (2, 1, {reason: 1})


def test_stop_drops_what_waits_and_ends_the_thread() -> None:
    gate, account = Gate(), FrameAccount()
    worker = Worker("w", gate.process, account, lambda *_: None)
    worker.start()
    worker.offer(1)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    worker.offer(2)
    gate.go.release()
    worker.stop()
    snapshot = account.snapshot()
    assert snapshot.received == 2
    assert snapshot.processed + snapshot.dropped.get("stopped", 0) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "w"]


def test_a_job_runs_on_the_thread_and_its_error_reaches_the_caller() -> None:
    worker: Worker[int] = Worker("w", lambda _: 0.0, FrameAccount(), lambda *_: None)
    worker.start()
    assert worker.call(lambda: threading.current_thread().name).result(PATIENCE_S) == "w"
    with pytest.raises(KeyError, match="nothing"):
        worker.call(lambda: {}["nothing"]).result(PATIENCE_S)
    worker.stop()
    idle = worker.call(lambda: threading.current_thread().name)
    assert idle.result(PATIENCE_S) == threading.current_thread().name


def test_no_key_starves_another() -> None:
    gate, account = Gate(), FrameAccount()
    worker = Worker("w", gate.process, account, lambda *_: None)
    worker.start()
    worker.offer(0, "fast")
    assert gate.busy.acquire(timeout=PATIENCE_S)
    for item, key in ((1, "fast"), (100, "slow"), (2, "fast"), (3, "fast"), (200, "other")):
        worker.offer(item, key)
    for item in (4, 5):  # the fast one goes on, and waits its turn each time
        gate.go.release()
        assert gate.busy.acquire(timeout=PATIENCE_S)
        worker.offer(item, "fast")
    gate.go.release(10)
    for _ in range(2):
        assert gate.busy.acquire(timeout=PATIENCE_S)
    settle(worker)
    worker.stop()
    assert gate.seen == [0, 3, 100, 200, 5]
    snapshot = account.snapshot()
    assert (snapshot.received, snapshot.processed) == (8, 5)
    assert snapshot.dropped == {"superseded": 3}
    assert snapshot.in_flight == 0


def test_unwanted_messages_are_dropped_under_their_reason() -> None:
    gate, account = Gate(), FrameAccount()
    worker = Worker("w", gate.process, account, lambda *_: None)
    worker.start()
    worker.offer(0)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    for item in (1, 2, 3):
        worker.offer(item, f"camera {item}")
    worker.discard(lambda item: item != 2, "time_went_back")
    gate.go.release(2)
    assert gate.busy.acquire(timeout=PATIENCE_S)
    settle(worker)
    worker.stop()
    assert gate.seen == [0, 2]
    assert account.snapshot().dropped == {"time_went_back": 2}
