"""The player's schedule: on time, standing still, step by step, and on again without a burst."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from cnn_perception.recording.pace import Pace

LONG_NS = 3_600 * 10**9


def test_what_is_due_passes_and_is_late_by_what_it_is_overdue() -> None:
    pace = Pace()
    pace.start()
    assert pace.wait(0) is not None
    late_ns = pace.wait(-LONG_NS)
    assert late_ns is not None
    assert late_ns >= LONG_NS


def test_nothing_passes_while_it_stands_still() -> None:
    pace = Pace(paused=True)
    pace.start()
    looks = iter([True, True, False])
    assert pace.wait(0, lambda: next(looks)) is None


def test_a_step_lets_one_message_pass_and_what_is_before_it() -> None:
    pace = Pace(paused=True)
    pace.start()
    assert pace.step()
    assert pace.wait(LONG_NS - 1, whole=False) == 0
    assert pace.wait(LONG_NS) == 0
    looks = iter([True, False])
    assert pace.wait(LONG_NS, lambda: next(looks)) is None


def test_the_schedule_goes_on_from_where_the_steps_led() -> None:
    pace = Pace(paused=True)
    pace.start()
    pace.step()
    pace.wait(LONG_NS)
    pace.resume()
    assert pace.wait(LONG_NS) is not None
    looks = iter([True, True, False])
    assert pace.wait(2 * LONG_NS, lambda: next(looks)) is None


def test_time_that_stood_still_makes_nothing_late() -> None:
    pace = Pace()
    begin_ns = time.monotonic_ns()
    pace.start()
    pace.pause()
    paused_ns = time.monotonic_ns()
    looks = iter([True, True, False])
    assert pace.wait(0, lambda: next(looks)) is None  # which takes a little while
    resumed_ns = time.monotonic_ns()
    assert resumed_ns > paused_ns
    pace.resume()
    late_ns = pace.wait(0)
    assert late_ns is not None
    assert late_ns <= time.monotonic_ns() - begin_ns - (resumed_ns - paused_ns)


def test_a_step_is_refused_while_it_runs() -> None:
    pace = Pace()
    assert not pace.step()
    pace.toggle()
    assert pace.paused
    assert pace.step()
    pace.toggle()
    assert not pace.paused


def test_another_thread_wakes_who_waits() -> None:
    pace, asked = Pace(paused=True), threading.Event()

    def alive() -> bool:
        asked.set()
        return True

    pace.start()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(pace.wait, 0, alive)
        assert asked.wait(30)
        pace.resume()
        assert waiting.result(30) is not None
