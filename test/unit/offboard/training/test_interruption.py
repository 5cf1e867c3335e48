from __future__ import annotations

import signal
import threading

import pytest

from cnn_perception.offboard.training.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_acts_as_usual(number: signal.Signals) -> None:
    seen: list[int] = []
    before = signal.signal(number, lambda received, frame: seen.append(received))
    try:
        with Interruption() as interruption:
            assert not interruption.asked
            signal.raise_signal(number)
            assert interruption.asked and not seen
            signal.raise_signal(number)
            assert seen == [number]
        with Interruption(alone=False) as interruption:
            for _ in range(3):
                signal.raise_signal(number)
            assert interruption.asked and seen == [number]
        signal.raise_signal(number)
        assert seen == [number, number]
    finally:
        signal.signal(number, before)


def test_other_threads_take_no_signals() -> None:
    asked = []

    def work() -> None:
        with Interruption() as interruption:
            asked.append(interruption.asked)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False] and signal.getsignal(signal.SIGINT) is before
