"""A component's services: answers take a while, the executor goes on, and nothing ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import rclpy.task
from rclpy.callback_groups import ReentrantCallbackGroup

from cnn_perception.components.component import Service
from cnn_perception.errors import PerceptionError, TransformError
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.ros.diagnostics import describe_error
from cnn_perception.ros.encode import interface
from cnn_perception.ros.listener import Listener
from cnn_perception.ros.worker import Worker

__all__ = ["ComponentServices"]

_THREADS = 4


class ComponentServices:
    """Offers services. Answers run on the worker's thread, or on threads of their own.

    A service whose type is not installed is left out, with a line in the log. `transforms_came` is
    called when there are new ones, while `waits` says that somebody waits for them.
    """

    def __init__(
        self, node: Any, services: Sequence[Service], worker: Worker[Any], listener: Listener
    ) -> None:
        self._node = node
        self._worker = worker
        self._listener = listener
        self._threads: ThreadPoolExecutor | None = None
        if any(each.concurrent for each in services):
            name = f"{node.get_name()} services"
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._waiting: list[rclpy.task.Future[None]] = []
        self._closed = False
        self._services = []
        missing: dict[str, list[str]] = {}
        # Reentrant: while one waits for its answer, others are asked, and images come in.
        group = ReentrantCallbackGroup()
        for each in services:
            try:
                kind = interface(each.srvtype)
            except ImportError:
                missing.setdefault(each.srvtype.partition("/")[0], []).append(each.name)
                continue
            answer = partial(self._answer, each)
            self._services.append(
                node.create_service(kind, each.name, _coroutine(answer), callback_group=group)
            )

        for package, names in missing.items():
            node.get_logger().info(
                f"no services {', '.join(names)}: the package {package} is not installed; "
                "docs/robot.md says how to build it"
            )

    @property
    def waits(self) -> bool:
        """True while a question waits for a transform."""
        return bool(self._waiting)

    def transforms_came(self) -> None:
        """Let the questions that wait for transforms look again."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.set_result(None)

    def close(self) -> None:
        """Withdraw the services; answers that are still being worked on are not sent."""
        self._closed = True
        for service in self._services:
            # rclpy would send them by the destroyed handle, which ends the executor.
            service.send_response = _discard
            self._node.destroy_service(service)
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        self.transforms_came()

    async def _answer(self, service: Service, request: Any, response: Any) -> Any:
        """Return the response; what goes wrong is in it where it has room, and in the log."""
        header = getattr(request, "header", None)
        if header is not None and stamp_to_ns(header.stamp) == 0:
            header.stamp = self._node.now()
        try:
            await self._answered(service, request, response)
            told: dict[str, Any] = {"success": True}
        except Exception as error:  # no callback may end the executor
            told = {"success": False, "message": self._told(error)}
            if not isinstance(error, PerceptionError | CancelledError) or not hasattr(
                response, "message"
            ):
                self._node.get_logger().error(f"{service.name}: {describe_error(error)}")
        for name, value in told.items():
            if hasattr(response, name):
                setattr(response, name, value)
        return response

    def _told(self, error: BaseException) -> str:
        """Say what went wrong in a line for whoever asked."""
        name = self._node.get_name()
        if isinstance(error, CancelledError):
            return f"{name} was deactivated or cleaned up before it could answer"
        if isinstance(error, PerceptionError):
            return str(error)
        return f"internal error, see the log of {name}: {error!r}"

    async def _answered(self, service: Service, request: Any, response: Any) -> None:
        deadline_s = time.monotonic() + service.patience_s()
        while True:
            try:
                await self._outcome(self._submit(service, request, response))
                return
            except CancelledError:  # the worker was stopped: then here and now
                if self._closed or not service.later:
                    raise
            except TransformError as error:
                if not error.retriable or self._closed or time.monotonic() >= deadline_s:
                    raise
                await self._transforms(deadline_s)

    def _submit(self, service: Service, request: Any, response: Any) -> Future[None]:
        job = partial(service.answer, request, response)
        if not service.concurrent:
            return self._worker.call(job)
        if self._threads is None or self._closed:
            raise CancelledError
        return self._threads.submit(job)

    async def _outcome(self, work: Future[None]) -> None:
        """Wait for work on another thread; raises what it does."""
        done = self._future()
        work.add_done_callback(lambda _: done.set_result(None))
        await done
        work.result()

    async def _transforms(self, deadline_s: float) -> None:
        """Wait until transforms came, at most until a deadline."""
        changed = self._future()
        with self._lock:
            self._waiting.append(changed)
        self._listener.call_at(deadline_s, self.transforms_came)
        await changed

    def _future(self) -> rclpy.task.Future[None]:
        made: rclpy.task.Future[None] = rclpy.task.Future(executor=self._node.executor)
        # A done callback wakes the executor; awaiting alone does not, and a spin() would sleep on.
        made.add_done_callback(lambda _: None)
        return made


def _coroutine(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a coroutine function, by which rclpy knows that it may wait."""

    async def answered(request: Any, response: Any) -> Any:
        return await answer(request, response)

    return answered


def _discard(response: Any, header: Any) -> None:
    """Stand in for a destroyed service's send_response."""
