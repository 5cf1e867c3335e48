"""A node whose /clock is read when its time is asked for, not whenever it ticks."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription

from cnn_perception.ros.listener import TakenElsewhere

__all__ = ["ClockedNode"]


class ClockedNode(LifecycleNode):
    """A lifecycle node that no tick of a simulation's clock wakes: `now` takes the last one."""

    _clock_input: Subscription[Any] | None = None

    def create_subscription(
        self, msg_type: Any, topic: str, callback: Any, *arguments: Any, **options: Any
    ) -> Subscription[Any]:
        """See Node; that of /clock, which `use_sim_time` makes, is left to `now`."""
        if topic != "/clock":
            return super().create_subscription(msg_type, topic, callback, *arguments, **options)
        options["callback_group"] = TakenElsewhere()
        self._set_clock = callback
        self._clock_input = super().create_subscription(
            msg_type, topic, callback, *arguments, **options
        )
        return self._clock_input

    def now(self) -> Any:
        """Return the node's time, that of /clock with use_sim_time, as a builtin_interfaces/Time.

        A clock that went back is noticed here.
        """
        if (clock := self._clock_input) is not None:
            try:
                with clock.handle:
                    while taken := clock.handle.take_message(clock.msg_type, clock.raw):
                        self._set_clock(taken[0])
            except Exception:  # use_sim_time was unset meanwhile, or the context has ended
                self._clock_input = None
        return self.get_clock().now().to_msg()
