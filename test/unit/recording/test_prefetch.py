"""Reading ahead changes nothing but the time it takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cnn_perception.recording.prefetch import prefetch


def numbers(count: int, taken: list[int]) -> Iterator[int]:
    for number in range(count):
        taken.append(number)
        yield number


def readers() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 50])
def test_all_items_come_in_order(count: int) -> None:
    assert list(prefetch(numbers(count, []), ahead=2)) == list(range(count))
    assert readers() == 0


def test_items_are_read_before_they_are_asked_for_but_not_all() -> None:
    taken: list[int] = []
    read_ahead = threading.Event()

    def source() -> Iterator[int]:
        for number in numbers(100, taken):
            if number == 2:
                read_ahead.set()
            yield number

    items = prefetch(source(), ahead=2)
    assert next(items) == 0
    # Nobody asked for number 2.
    assert read_ahead.wait(10)
    # One was taken, two lie in the queue, one more may be in the reader's hand.
    assert len(taken) <= 4
    assert list(items) == list(range(1, 100))


def test_an_error_comes_out_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    items = prefetch(source())
    assert next(items) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)
    assert readers() == 0


def test_leaving_early_ends_the_reader() -> None:
    taken: list[int] = []
    items = prefetch(numbers(1000, taken), ahead=2)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert readers() == 0
    assert len(taken) < 10
