"""The services by which a playing bag is paused: those of ``ros2 bag play``, as Triggers."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import Trigger

from cnn_perception.recording.pace import Pace

__all__ = ["serve_pace"]


def serve_pace(node: Node, pace: Pace) -> None:
    """Offer ``~/pause``, ``~/resume``, ``~/toggle_paused``, ``~/is_paused`` and ``~/play_next``.

    All are std_srvs/Trigger, and their message says "paused" or "playing" as it is afterwards.
    ``~/play_next`` lets one message go out, in lockstep one step, and fails unless paused.
    """

    def offer(name: str, act: Callable[[], bool]) -> None:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success = act()
            response.message = "paused" if pace.paused else "playing"
            return response

        node.create_service(Trigger, name, answer)

    offer("~/pause", pace.pause)
    offer("~/resume", pace.resume)
    offer("~/toggle_paused", pace.toggle)
    offer("~/is_paused", lambda: True)
    offer("~/play_next", pace.step)
