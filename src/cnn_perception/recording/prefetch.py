"""Read ahead in a thread, so that decoding one scan overlaps with mapping the one before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End(Generic[T]):
    """The last entry of the queue: what ended the source, None for its regular end."""

    error: BaseException | None


def prefetch(source: Iterable[T], ahead: int = 3) -> Generator[T, None, None]:
    """Yield the items of a source in its order, up to `ahead` of them read before they are asked.

    The source is iterated in one other thread; an exception that it raises comes out here, after
    the items before it. Closing the generator early ends the thread.
    """
    items: queue.Queue[T | _End[T]] = queue.Queue(ahead)
    stop = threading.Event()

    def put(item: T | _End[T]) -> None:
        while not stop.is_set():
            try:
                items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for item in source:
                put(item)
                if stop.is_set():
                    return
        except BaseException as error:  # comes out in the thread that asked for the items
            put(_End(error))
        else:
            put(_End(None))

    reader = threading.Thread(target=read, name="prefetch", daemon=True)
    reader.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        reader.join()
