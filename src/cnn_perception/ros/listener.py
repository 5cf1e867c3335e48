"""The messages of all nodes of a process, taken by one thread that wakes only for what is needed.

rclpy's executors look at every entity of every node, with all its event handlers, whenever one
message comes. Here a wait set holds the few topics that somebody waits for; services, parameters
and events stay with the executor, which then has next to nothing to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from rclpy.callback_groups import CallbackGroup
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.signals import SignalHandlerGuardCondition
from rclpy.subscription import Subscription

from cnn_perception.messages.frame import Frame

__all__ = ["Listener", "TakenElsewhere", "TopicReader"]

_LOG = logging.getLogger(__name__)
_TICK_S = 1.0
_SHORT_S = 0.01


class TakenElsewhere(CallbackGroup):
    """The group of subscriptions whose messages no executor takes."""

    def can_execute(self, entity: Any) -> bool:
        """Say no."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Say no."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Hear nothing of it."""


@dataclass(frozen=True, slots=True, eq=False)
class TopicReader:
    """Who reads a topic. key: what topics have in common that can share a subscription.

    subscribe, unsubscribe: make and destroy it, should this reader be the one to own it. wants:
    whether to wake for messages now; None always, else they are taken before those of others.
    """

    key: tuple[Any, ...]
    subscribe: Callable[[], Subscription[Any]]
    unsubscribe: Callable[[Subscription[Any]], None]
    take: Callable[[Frame], None]
    wants: Callable[[], bool] | None = None


class _Shared:
    """One subscription and its readers, the first of which owns it."""

    def __init__(self, reader: TopicReader) -> None:
        self.readers = [reader]
        self.subscription = reader.subscribe()

    @property
    def lazy(self) -> bool:
        return all(reader.wants is not None for reader in self.readers)

    @property
    def wanted(self) -> bool:
        return any(reader.wants is None or reader.wants() for reader in self.readers)

    def drain(self) -> None:
        """Take all that came, and hand each message to all readers as one Frame."""
        subscription = self.subscription
        while True:
            try:
                with subscription.handle:
                    taken: Any = subscription.handle.take_message(
                        subscription.msg_type, subscription.raw
                    )
            except InvalidHandle:  # destroyed meanwhile
                return
            if taken is None:
                return
            frame = Frame(taken[0], subscription.topic_name, time.monotonic_ns())
            for reader in tuple(self.readers):
                try:
                    reader.take(frame)
                except Exception:  # one reader must not cost the others their messages
                    _LOG.exception("a message of %s could not be handed in", frame.topic)


class Listener:
    """Takes the messages of a context.

    Ticks are called once a second, from the first `add_tick` until the last `remove_tick`, with
    which the thread ends. Readers with equal keys share a subscription.
    """

    _of_context: ClassVar[WeakKeyDictionary[Context, Listener]] = WeakKeyDictionary()

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.RLock()
        self._shared: dict[tuple[Any, ...], _Shared] = {}
        self._ticks: list[Callable[[], None]] = []
        self._alarms: list[tuple[float, Callable[[], None]]] = [(0.0, self._tick)]
        self._guard = GuardCondition(None, None, context)
        self._signal = SignalHandlerGuardCondition(context=context)
        self._ended = self._signalled = False
        self._at_end: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, context: Context) -> Listener:
        """Return the listener of a context."""
        found = cls._of_context.get(context)
        if found is None:
            found = cls._of_context[context] = cls(context)
        return found

    def add(self, reader: TopicReader) -> None:
        """Let somebody read a topic."""
        with self._lock:
            shared = self._shared.get(reader.key)
            if shared is None:
                self._shared[reader.key] = _Shared(reader)
            else:
                shared.readers.append(reader)
            self._start()
        self.wake()

    def remove(self, reader: TopicReader) -> None:
        """End a reader; a subscription that it owned goes over to another one, or ends."""
        with self._lock:
            shared = self._shared[reader.key]
            owned, old = shared.readers[0] is reader, shared.subscription
            shared.readers.remove(reader)
            if not shared.readers:
                del self._shared[reader.key]
            elif owned and self._context.ok():
                shared.subscription = shared.readers[0].subscribe()
        if owned:
            reader.unsubscribe(old)
        self.wake()

    def add_tick(self, tick: Callable[[], None]) -> None:
        """Call something once a second."""
        with self._lock:
            self._ticks.append(tick)
            self._start()

    def remove_tick(self, tick: Callable[[], None]) -> None:
        """Call it no more; the last one ends the thread."""
        with self._lock:
            self._ticks = [each for each in self._ticks if each != tick]
            last = not self._ticks
        if last:
            self._end()

    def at_end(self, job: Callable[[], None]) -> None:
        """Call something when the context is gone, of which a signal tells no executor for sure.

        rclpy's handler wakes it before it takes the context away, and it may look in between.
        """
        with self._lock:
            self._at_end.append(job)

    def call_at(self, when_s: float, job: Callable[[], None]) -> None:
        """Call something at a time of time.monotonic."""
        with self._lock:
            self._alarms.append((when_s, job))
        self.wake()

    def wake(self) -> None:
        """Look anew at what is wanted."""
        with self._lock:
            if not self._ended and self._context.ok():
                self._guard.trigger()

    def _start(self) -> None:
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
            self._thread.start()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            self._of_context.pop(self._context, None)
            if self._context.ok():
                self._guard.trigger()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._signal.destroy()
        self._guard.destroy()

    def _run(self) -> None:
        while not self._ended and self._context.ok():
            with self._lock:
                shared = list(self._shared.values())
                next_s = min(when_s for when_s, _ in self._alarms)
            lazy = [each for each in shared if each.lazy]
            for each in lazy:  # what came between the last look and now
                if each.wanted:
                    each.drain()
            try:
                waited = [each for each in shared if each.wanted]
                left_s = max(0.0, next_s - time.monotonic())
                ready = self._wait(waited, min(left_s, _SHORT_S) if self._signalled else left_s)
            except Exception:
                # The context is taken away wherever we are; what then fails is no failure.
                if self._context.ok() and not self._ended:
                    _LOG.exception("waiting for messages failed")
                    time.sleep(_SHORT_S)
                continue
            for each in (*lazy, *ready) if ready else ():  # partners before what needs them
                each.drain()
            self._ring()
        if not self._ended:
            for job in self._at_end:
                job()

    def _wait(self, waited: list[_Shared], timeout_s: float) -> list[_Shared]:
        """Return the subscriptions that have messages."""
        context: Any = self._context.handle
        with ExitStack() as held:
            handles = []
            for each in waited:
                try:
                    held.enter_context(each.subscription.handle)
                except InvalidHandle:
                    continue
                handles.append((each, each.subscription.handle))
            held.enter_context(self._guard.handle)
            held.enter_context(context)
            wait_set = _rclpy.WaitSet(len(handles), 2, 0, 0, 0, 0, context)
            wait_set.clear_entities()
            for _, handle in handles:
                wait_set.add_subscription(handle)
            wait_set.add_guard_condition(self._guard.handle)
            wait_set.add_guard_condition(self._signal.handle)
            wait_set.wait(int(timeout_s * 1e9))
            if self._signal.handle.pointer in wait_set.get_ready_entities("guard_condition"):
                self._signalled = True
            pointers = set(wait_set.get_ready_entities("subscription"))
            return [each for each, handle in handles if handle.pointer in pointers]

    def _take_events(self, handlers: list[Any]) -> None:
        """Hear of incompatible offers and lost messages.

        Now and then only: who waits for a subscription's events is woken for each of its messages.
        """
        if not handlers:
            return
        context: Any = self._context.handle
        with ExitStack() as held:
            for handler in handlers:
                held.enter_context(handler)
            held.enter_context(context)
            wait_set = _rclpy.WaitSet(0, 0, 0, 0, 0, len(handlers), context)
            wait_set.clear_entities()
            for handler in handlers:
                handler.add_to_wait_set(wait_set)
            wait_set.wait(0)
            taken = [(h, h.take_data()) for h in handlers if h.is_ready(wait_set)]
        for handler, event in taken:
            if event is not None:
                handler.callback(event)

    def _ring(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            due = [job for when_s, job in self._alarms if when_s <= now_s]
            self._alarms = [alarm for alarm in self._alarms if alarm[0] > now_s]
        for job in due:
            self._do(job)

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:  # one of them must not cost the others
            if self._context.ok():
                _LOG.exception("what was due failed")

    def _tick(self) -> None:
        with self._lock:
            self._alarms.append((time.monotonic() + _TICK_S, self._tick))
            ticks, shared = list(self._ticks), list(self._shared.values())
        for each in shared:
            if each.lazy:
                each.drain()
        self._take_events([handler for s in shared for handler in s.subscription.event_handlers])
        for tick in ticks:
            self._do(tick)
