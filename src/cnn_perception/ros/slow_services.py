"""Services whose answers take a while: the executor goes on, and they may come too late."""

from __future__ import annotations

import concurrent.futures
import traceback
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.service import Service
from rclpy.task import Future

from cnn_perception.errors import PerceptionError

__all__ = ["fill", "outcome", "withdraw"]

R = TypeVar("R")


async def outcome(node: Node, work: concurrent.futures.Future[R]) -> R:
    """Wait in a service's coroutine for work on another thread; returns or raises what it does."""
    done: Future[Any] = Future(executor=node.executor)
    # A done callback wakes the executor; awaiting alone does not, and a spin() would sleep on.
    done.add_done_callback(lambda _: None)
    work.add_done_callback(done.set_result)
    finished: Any = await done
    result: R = finished.result()
    return result


async def fill(
    node: Node, response: Any, work: concurrent.futures.Future[None], cancelled: str
) -> Any:
    """Wait in a service's coroutine for work that fills a response, which also says how it went.

    cancelled: what its message is when the work will not be done. Returns the response, with
    `success`, or with the reason in `message`.
    """
    try:
        await outcome(node, work)
        response.success = True
    except PerceptionError as error:
        response.message = str(error)
    except concurrent.futures.CancelledError:
        response.message = cancelled
    except Exception as error:
        node.get_logger().error(traceback.format_exc())
        response.message = f"internal error, see the log of {node.get_name()}: {error!r}"
    return response


def withdraw(node: Node, service: Service[Any, Any]) -> None:
    """Destroy a service; answers that are still being worked on are not sent.

    rclpy would send them by the destroyed handle, and the exception would end the executor.
    """
    service.send_response = _discard  # type: ignore[method-assign]
    node.destroy_service(service)


def _discard(response: Any, header: Any) -> None:
    """Stand in for a destroyed service's send_response."""
