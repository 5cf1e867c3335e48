"""A component as a ROS 2 lifecycle node: parameters, topics, services, time, frame statistics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from cnn_perception.components.component import (
    Component,
    Done,
    Event,
    Input,
    Output,
    Setup,
    Timer,
    undeclared,
)
from cnn_perception.errors import ConfigError
from cnn_perception.mapping.jit import compiling_while
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages import drop_reason
from cnn_perception.messages.frame import Frame
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS, REWIND_SLACK_NS, JumpDetector
from cnn_perception.parameters import NodeConfig, read
from cnn_perception.ros import params
from cnn_perception.ros.clock import ClockedNode
from cnn_perception.ros.diagnostics import Diagnostics, FrameStatistics, describe_error
from cnn_perception.ros.encode import encode, interface
from cnn_perception.ros.listener import Listener, TakenElsewhere, TopicReader
from cnn_perception.ros.log import NodeLog
from cnn_perception.ros.qos import (
    LATCHED,
    SENSOR,
    TRANSFORM,
    TRANSFORM_STATIC,
    result_qos,
    warn_of_small_transport,
)
from cnn_perception.ros.services import ComponentServices
from cnn_perception.ros.worker import Worker
from cnn_perception.runtime.inference import InferencePool

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ["ComponentNode"]

R = TypeVar("R")


class ComponentNode(ClockedNode):
    """Runs one component. Configure makes it, activate lets it listen, cleanup lets it go.

    Its messages are taken by the listener of the process; a worker thread of the node's own hands
    them to the component, the newest of each input. networks: those of the process, so that nodes
    with the same network look at a picture once. component: while it is configured.
    """

    component: Any = None

    def __init__(
        self,
        kind: type[Component],
        name: str = "",
        *,
        networks: InferencePool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name or kind.kind, **options)
        self._kind = kind
        self._networks = networks or InferencePool()
        self._listener = Listener.of(self.context)
        self._settings = kind.parameters.settings()
        self.statistics = FrameStatistics()
        self.transforms = TransformBuffer()
        self.worker: Worker[tuple[Input, Frame]] = Worker(
            self.get_name(), self._handle, self._tend, self._due_s
        )
        self._readers: list[TopicReader] = []
        self._publisher_of: dict[str, LifecyclePublisher[Any]] = {}
        self._offered: ComponentServices | None = None
        self._timers_due: list[list[Any]] = []  # of [when, Timer]
        self._jumps = JumpDetector()
        self._waiting = False
        self._log = NodeLog(self)
        self._diagnostics = Diagnostics(self)
        params.declare(self, self._settings)
        self._values = {name: self.get_parameter(name).value for name in self._settings}
        self._listener.add_tick(self._diagnostics.tick)
        self.add_on_set_parameters_callback(self._set_parameters)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
            ),
            post_callback=self._clock_jumped,
        )

    @property
    def active(self) -> bool:
        """True between activate and deactivate."""
        return bool(self._readers)

    # --- lifecycle

    def start(self) -> bool:
        """Configure and activate if `autostart` says so; false when that failed."""
        if not read(self._values, NodeConfig).autostart:
            return True
        return (
            self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        )

    def destroy_node(self) -> None:
        """End the worker, whatever the state: the process ends."""
        self._listener.remove_tick(self._diagnostics.tick)
        self._quiet()
        self._release()
        self._log.close()
        super().destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Make the component; a failure leaves the node unconfigured, to be tried again."""
        try:
            with compiling_while(self.context.ok):
                self._load()
        except Exception as error:
            # rclpy swallows what a transition raises; a defect of ours must not look like nothing.
            self._log_failure(error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start listening and working."""
        result = super().on_activate(state)
        try:
            self._subscribe()
        except Exception as error:
            self._log_failure(error)
            return TransitionCallbackReturn.ERROR
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and working."""
        self._quiet()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the component and the publishers."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._quiet()
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fall back to unconfigured."""
        self._quiet()
        self._release()
        return super().on_error(state)

    def _load(self) -> None:
        self.transforms = TransformBuffer(jump_ns=BACKWARD_JUMP_NS)
        setup = Setup(
            self.get_name(),
            self._values,
            encode,
            reads=self._reads,
            networks=self._networks,
            transforms=self.transforms,
            log=self._log.logger,
        )
        component = self._kind(setup)
        for topic in component.outputs():
            self._publisher_of[topic.name] = self.create_lifecycle_publisher(
                interface(topic.msgtype),
                topic.name,
                result_qos(topic.latched, topic.depth),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        self._offered = ComponentServices(self, component.services(), self.worker, self._listener)
        self.component = component

    def _subscribe(self) -> None:
        component, now_s = self.component, time.monotonic()
        self._jumps.reset()
        self._settle_all(component.announce())
        self._timers_due = [[now_s + timer.period_s, timer] for timer in component.timers()]
        self.worker.start()
        inputs = component.inputs()
        self._diagnostics.watch([self.topic_of(each) for each in inputs if each.counted])
        if component.uses_transforms:
            message = interface("tf2_msgs/msg/TFMessage")
            for topic, qos in (("/tf_static", TRANSFORM_STATIC), ("/tf", TRANSFORM)):
                is_static = topic == "/tf_static"
                learn = partial(self._learn, is_static=is_static)
                wants = None if is_static else self._waits_for_transforms
                self._listen(message, topic, qos, learn, wants)
        for each in inputs:
            self._listen(
                interface(
                    each.msgtype if each.transport == "raw" else "sensor_msgs/msg/CompressedImage"
                ),
                self.topic_of(each),
                LATCHED if each.latched else SENSOR,
                partial(self._arrive, each),
                self._waits if each.lazy else None,
            )

    def _quiet(self) -> None:
        """Stop listening, and drop what waits."""
        was_active = self.active
        while self._readers:
            self._listener.remove(self._readers.pop())
        for _ in self.worker.stop():
            self.statistics.drop("stopped")
        if was_active:
            for _ in self.component.stop():
                self.statistics.drop("stopped")
        self._waiting = False

    def _release(self) -> None:
        if self._offered is not None:
            self._offered.close()
            self._offered = None
        for publisher in self._publisher_of.values():
            self.destroy_lifecycle_publisher(publisher)
        self._publisher_of = {}
        if self.component is not None:
            self.component.close()
        self.component = None

    def _log_failure(self, error: Exception) -> None:
        if self.context.ok():  # else Ctrl-C came in the middle
            self.get_logger().error(describe_error(error))

    # --- inputs: what follows runs on the listener's thread

    def _listen(
        self,
        kind: Any,
        topic: str,
        qos: Any,
        take: Callable[[Frame], None],
        wants: Callable[[], bool] | None,
    ) -> None:
        group = TakenElsewhere()

        def subscribe() -> Subscription[Any]:
            return self.create_subscription(
                kind,
                topic,
                lambda message: None,
                qos,
                callback_group=group,
                event_callbacks=SubscriptionEventCallbacks(
                    message_lost=self._diagnostics.count_lost
                ),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

        name = self.resolve_topic_name(topic)
        key: tuple[Any, ...] = (name, kind, id(qos))
        # What is latched came before a second reader; who overrides the QoS wants it otherwise.
        overrides = f"qos_overrides.{name}."
        if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL or any(
            given.startswith(overrides) for given in self._parameter_overrides
        ):
            key = (*key, self)
        reader = TopicReader(key, subscribe, self._unsubscribe, take, wants)
        self._readers.append(reader)
        self._listener.add(reader)

    def _unsubscribe(self, subscription: Subscription[Any]) -> None:
        self.destroy_subscription(subscription)

    def topic_of(self, each: Input) -> str:
        """Return the topic of an input.

        As image_transport does, a compressed one is the remapped base name plus a suffix.
        """
        resolved: str = self.resolve_topic_name(each.name)
        if each.transport == "raw" or resolved.endswith(f"/{each.suffix}"):
            return resolved
        return f"{resolved}/{each.suffix}"

    def _arrive(self, each: Input, frame: Frame) -> None:
        if not self.active:
            return  # it was on its way when the node was deactivated
        if not each.counted:
            self.worker.queue(each.name, (each, frame))
            return
        if self._diagnostics.heard(frame.topic):
            warn_of_small_transport(self, len(getattr(frame.message, "data", b"")))
        stamp_ns = frame.header.stamp_ns
        if back_ns := self._jumps.jump_ns(each.name, stamp_ns):
            self._time_went_back(stamp_ns, back_ns)
        self.statistics.arrive()
        try:
            reason = self.component.admit(frame)
        except Exception as error:
            self._settle(Done(frame, error=error))
            return
        if reason:
            self.statistics.drop(reason)
        elif self.worker.offer(each.name, (each, frame)) is not None:
            self.statistics.drop("superseded")

    def _learn(self, frame: Frame, *, is_static: bool) -> None:
        for refusal in self.transforms.learn(frame.message, is_static):
            self.component.warn_rarely("tf", f"transform refused: {refusal}")
        if self._waiting:
            self.worker.nudge()
        if self._offered is not None:
            self._offered.transforms_came()

    def _waits(self) -> bool:
        return self._waiting

    def _waits_for_transforms(self) -> bool:
        return self._waiting or (self._offered is not None and self._offered.waits)

    def _clock_jumped(self, jump: TimeJump) -> None:
        self._time_went_back(self.get_clock().now().nanoseconds, -jump.delta.nanoseconds)

    def _time_went_back(self, stamp_ns: int, by_ns: int) -> None:
        component = self.component
        if component is None:
            return
        component.warn_rarely(
            "time", f"time went back by {by_ns * 1e-9:.3f} s: starting afresh from there"
        )
        limit_ns = stamp_ns + REWIND_SLACK_NS
        for _ in self.worker.discard(lambda waiting: waiting[1].header.stamp_ns > limit_ns):
            self.statistics.drop("time_went_back")
        self._post(lambda: self._settle_all(component.rewind(stamp_ns)))

    # --- work: what follows runs on the worker's thread

    def _handle(self, name: str, item: tuple[Input, Frame]) -> None:
        each, frame = item
        settled = False
        try:
            for event in each.take(frame):
                settled |= isinstance(event, Done) and event.frame is frame
                self._settle(event)
        except Exception as error:
            # One bad message must not end the thread; the reason is counted and logged.
            if each.counted and not settled:
                self._settle(Done(frame, error=error))
            else:
                self._report(drop_reason(error), error)
        else:
            if each.counted and not each.waits and not settled:
                self._settle(Done(frame))

    def _tend(self, nudged: bool) -> None:
        component, now_s = self.component, time.monotonic()
        if component is None:
            return
        deadline_ns = component.deadline_ns
        if deadline_ns is not None and (nudged or time.monotonic_ns() >= deadline_ns):
            self._guarded(lambda: self._settle_all(component.advance(time.monotonic_ns())))
            deadline_ns = component.deadline_ns
        for due in self._timers_due:
            if now_s >= due[0]:
                timer: Timer = due[1]
                due[0] = max(due[0] + timer.period_s, now_s)
                self._guarded(partial(self._run_timer, timer))
        if (deadline_ns is not None) != self._waiting:
            self._waiting = deadline_ns is not None
            if self._waiting:
                self._listener.wake()  # partners and transforms are wanted now

    def _run_timer(self, timer: Timer) -> None:
        self._settle_all(timer.run())

    def _due_s(self) -> float | None:
        if self.component is None:
            return None
        due = [each[0] for each in self._timers_due]
        if (deadline_ns := self.component.deadline_ns) is not None:
            due.append(deadline_ns * 1e-9)
        return min(due, default=None)

    def _settle_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._settle(event)

    def _settle(self, event: Event) -> None:
        if isinstance(event, Output):
            if event.topic not in self._publisher_of:
                raise undeclared(event.topic, self._publisher_of)
            self._publisher_of[event.topic].publish(event.message)
            return
        if event.error is not None:
            reason = drop_reason(event.error)
            self._diagnostics.failed(event.frame.topic, event.error)
            self.statistics.drop(reason)
            self._report(reason, event.error)
            return
        self._diagnostics.succeeded(event.frame.topic)
        latency_s = (time.monotonic_ns() - event.frame.received_ns) * 1e-9
        self.statistics.process(latency_s, event.compute_s)

    def _reads(self, topic: str) -> bool:
        publisher = self._publisher_of.get(topic)
        return publisher is not None and publisher.get_subscription_count() > 0

    def _guarded(self, job: Callable[[], R]) -> R | None:
        try:
            return job()
        except Exception as error:
            if self.context.ok():  # Ctrl-C: publishers are gone, and that is no news
                self._report("internal_error", error)
            return None

    def _post(self, job: Callable[[], None]) -> None:
        self.worker.call(lambda: self._guarded(job))

    def _report(self, reason: str, error: Exception) -> None:
        if self.context.ok() and self.component is not None:
            self.component.warn_rarely(reason, f"dropped ({reason}): {describe_error(error)}")

    # --- parameters

    def _set_parameters(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        try:
            accepted = self._accepted(changes)
            values = {**self._values, **accepted}
            if self.component is not None:
                self.component.vet(values)
        except Exception as error:  # no callback may end the executor
            return SetParametersResult(successful=False, reason=describe_error(error))
        self._values = values
        if accepted and (component := self.component) is not None:
            self._post(lambda: component.retune(values))
        return SetParametersResult(successful=True)

    def _accepted(self, changes: list[Parameter[Any]]) -> dict[str, Any]:
        accepted = {}
        for change in changes:
            known = self._settings.get(change.name)
            if known is None:
                continue
            known.check(change.value)
            if self.component is not None and not known.live:
                raise ConfigError(
                    f"{change.name} is read at configure: deactivate and clean up first"
                )
            accepted[change.name] = change.value
        return accepted
