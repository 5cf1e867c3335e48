"""What the nodes have in common: lifecycle, parameters, one worker thread, an honest account."""

from __future__ import annotations

import os
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, ClassVar, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS, stamp_to_ns
from cnn_perception.parameters import NodeConfig, NodeParameters, read
from cnn_perception.ros import params
from cnn_perception.ros.accounting import FrameAccount
from cnn_perception.ros.diagnostics import SILENCE_S, DiagnosticsPublisher
from cnn_perception.ros.qos import RESULT, SENSOR
from cnn_perception.ros.worker import Worker
from cnn_perception.settings import Config

try:
    from rclpy.event_handler import QoSMessageLostInfo, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import (
        QoSMessageLostInfo,
        SubscriptionEventCallbacks,
    )

__all__ = ["PerceptionNode"]

C = TypeVar("C", bound=Config)
M = TypeVar("M")

LARGE_MESSAGE = 500_000
REPEAT_LOG_S = 5.0


class PerceptionNode(LifecycleNode):
    """A lifecycle node whose worker thread processes the newest message.

    A subclass names its parameters and implements `load` (configure: core objects and
    publishers), `subscribe` (activate), `process` (decode, core call, encode, publish; returns the
    seconds the core took) and `unload`. `reconfigure` hears of live parameter changes and `rewind`
    of time that went back; both run between two frames, on the worker thread.
    """

    parameters: ClassVar[NodeParameters] = NodeParameters(())

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._settings = self.parameters.settings()
        params.declare(self, self._settings)
        self._values = {name: self.get_parameter(name).value for name in self._settings}
        self.account = FrameAccount()
        self.worker: Worker[Any] = Worker(name, self.process, self.account, self._report_drop)
        self._outputs: list[LifecyclePublisher[Any]] = []
        self._inputs: list[Subscription[Any]] = []
        self._configured = False
        self._last_stamps_ns: dict[str, int] = {}
        self._heard_s = time.monotonic()
        self._lost_in_transport = 0
        self._last_log: dict[str, float] = {}
        self._diagnostics = DiagnosticsPublisher(
            self, self.account.snapshot, self._describe, self._silence
        )
        self.add_on_set_parameters_callback(self._set_parameters)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
            ),
            post_callback=self._clock_jumped,
        )

    # --- for subclasses

    @abstractmethod
    def load(self) -> None:
        """Make the core objects and the publishers; raises PerceptionError when that fails."""

    @abstractmethod
    def subscribe(self) -> None:
        """Create the subscriptions, by `listen` and `listen_images`."""

    @abstractmethod
    def process(self, message: Any) -> float:
        """Process one message and publish its results; returns the core's own seconds."""

    def unload(self) -> None:
        """Let go of the core objects."""

    def reconfigure(self) -> None:
        """Take over changed live settings, to be read with `config`."""

    def vet(self, values: Mapping[str, Any]) -> None:
        """Raise ConfigError for parameters, by name, that are good one by one but not together."""

    def skip(self, stamp_ns: int) -> str:
        """Return the drop reason of a message that need not be processed, or nothing."""
        return ""

    def rewind(self, stamp_ns: int) -> None:
        """Forget what lies after a stamp: time went back to it."""

    def describe(self) -> Mapping[str, str]:
        """Return what diagnostics say of the core: model, provider ..."""
        return {}

    def silence(self) -> str:
        """Return a sentence while the inputs have been quiet for too long, else nothing."""
        seconds = time.monotonic() - self._heard_s
        if seconds < SILENCE_S:
            return ""
        topics = ", ".join(
            f"{s.topic_name} ({self.count_publishers(s.topic_name)} publishers)"
            for s in self._inputs
        )
        return f"nothing to process for {seconds:.0f} s; listening to {topics}"

    @property
    def active(self) -> bool:
        """True between activate and deactivate."""
        return bool(self._inputs)

    def config(self, config: type[C]) -> C:
        """Return the parameters as a configuration of the core."""
        return read(self._values, config)

    def advertise(
        self, message_type: type[M], topic: str, qos: QoSProfile = RESULT
    ) -> LifecyclePublisher[M]:
        """Create a publisher that lives from configure to cleanup."""
        publisher = self.create_lifecycle_publisher(
            message_type,
            topic,
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._outputs.append(publisher)
        return publisher

    def listen(
        self,
        message_type: type[M],
        topic: str,
        callback: Callable[[M], None],
        qos: QoSProfile = SENSOR,
    ) -> Subscription[M]:
        """Create a subscription that lives from activate to deactivate."""
        subscription = self.create_subscription(
            message_type,
            topic,
            callback,
            qos,
            event_callbacks=SubscriptionEventCallbacks(message_lost=self._count_lost),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._inputs.append(subscription)
        return subscription

    def listen_images(
        self,
        topic: str,
        callback: Callable[[Any], None],
        compressed_suffix: str = "compressed",
        transport: str = "",
    ) -> Subscription[Any]:
        """Subscribe to an image topic in a transport; empty: what `image_transport` asks for.

        As image_transport does, a compressed topic is the remapped base name plus a suffix.
        """
        if (transport or self.config(NodeConfig).image_transport) == "raw":
            return self.listen(Image, topic, callback)
        resolved = self.resolve_topic_name(topic)
        if not resolved.endswith(f"/{compressed_suffix}"):
            resolved = f"{resolved}/{compressed_suffix}"
        return self.listen(CompressedImage, resolved, callback)

    def offer(self, message: Any, key: str = "", item: Any = None) -> None:
        """Hand a stamped message to the worker; the callback of the node's main input.

        Where there are several inputs, each has a key, and `item` is what `process` gets instead of
        the bare message.
        """
        self._heard_s = time.monotonic()
        stamp_ns = stamp_to_ns(message.header.stamp)
        last = self._last_stamps_ns.get(key)
        self._last_stamps_ns[key] = stamp_ns
        if last is not None and stamp_ns < last - BACKWARD_JUMP_NS:
            self._time_went_back(stamp_ns, (last - stamp_ns) * 1e-9)
        if last is None and len(message.data) > LARGE_MESSAGE:
            self._warn_of_small_transport(len(message.data))
        if reason := self.skip(stamp_ns):
            self.account.arrive()
            self.account.drop(reason)
        else:
            self.worker.offer(message if item is None else item, key)

    def log_rarely(self, key: str, text: str) -> None:
        """Log a warning, at most once in five seconds for each key."""
        if not self.context.ok():
            return  # Ctrl-C: the frame in work finds its publishers gone, and that is no news.
        now = time.monotonic()
        if now - self._last_log.get(key, -REPEAT_LOG_S) >= REPEAT_LOG_S:
            self._last_log[key] = now
            self.get_logger().warning(text)

    def post(self, job: Callable[[], None]) -> None:
        """Run a job between two frames and log it if it fails."""

        def report(done: Future[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                self.log_rarely("job", _account_of(error))

        self.worker.call(job).add_done_callback(report)

    # --- lifecycle

    def start(self) -> bool:
        """Configure and activate if `autostart` says so; false when that failed."""
        if not self.config(NodeConfig).autostart:
            return True
        return (
            self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        )

    def stop(self) -> None:
        """End the worker, whatever the state: the process ends."""
        self.cancel()
        self.worker.stop()

    def cancel(self) -> None:
        """Wake the worker if it waits for something other than a message."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; a failure leaves the node unconfigured, to be tried again."""
        try:
            self.load()
        except Exception as error:
            # rclpy swallows what a transition raises; a defect of ours must not look like nothing.
            self._log_failure(error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._configured = True
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen and to work."""
        result = super().on_activate(state)
        self._last_stamps_ns.clear()
        self._heard_s = time.monotonic()
        self.worker.start()
        try:
            self.subscribe()
        except Exception as error:
            self._log_failure(error)
            return TransitionCallbackReturn.ERROR
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen and to work."""
        self._quiet()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the model and the publishers."""
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

    def _quiet(self) -> None:
        while self._inputs:
            self.destroy_subscription(self._inputs.pop())
        self.stop()

    def _release(self) -> None:
        self._configured = False
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.pop())
        self.unload()

    def _log_failure(self, error: Exception) -> None:
        if self.context.ok():  # else Ctrl-C came in the middle
            self.get_logger().error(_account_of(error))

    # --- parameters

    def _set_parameters(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        accepted = {}
        for change in changes:
            known = self._settings.get(change.name)
            if known is None:
                continue
            try:
                known.check(change.value)
            except ConfigError as error:
                return SetParametersResult(successful=False, reason=str(error))
            if self._configured and not known.live:
                return SetParametersResult(
                    successful=False,
                    reason=f"{change.name} is read at configure: deactivate and clean up first",
                )
            accepted[change.name] = change.value
        try:
            self.vet({**self._values, **accepted})
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        # One assignment: the worker reads either all the old values or all the new ones.
        self._values = {**self._values, **accepted}
        if accepted and self._configured:
            self.post(self.reconfigure)
        return SetParametersResult(successful=True)

    # --- time and transport

    def _clock_jumped(self, jump: TimeJump) -> None:
        now_ns = self.get_clock().now().nanoseconds
        self._time_went_back(now_ns, -jump.delta.nanoseconds * 1e-9)

    def _time_went_back(self, stamp_ns: int, seconds: float) -> None:
        self.log_rarely("time", f"time went back by {seconds:.3f} s: starting afresh from there")
        self.post(lambda: self.rewind(stamp_ns))

    def _count_lost(self, event: QoSMessageLostInfo) -> None:
        self._lost_in_transport += event.total_count_change

    def _warn_of_small_transport(self, size: int) -> None:
        variables = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
        if any(os.environ.get(name) for name in (*variables, "FASTDDS_BUILTIN_TRANSPORTS")):
            return
        if "fastrtps" in os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
            self.get_logger().warning(
                f"images of {size} bytes overflow Fast DDS's default shared memory and get lost: "
                "set FASTDDS_DEFAULT_PROFILES_FILE (FASTRTPS_... before kilted) to "
                "config/fastdds_large_images.xml"
            )

    # --- account

    def _report_drop(self, reason: str, error: Exception) -> None:
        self.log_rarely(reason, f"dropped ({reason}): {_account_of(error)}")

    def _describe(self) -> Mapping[str, str]:
        pairs = dict(self.describe()) if self._configured else {}
        if self._lost_in_transport:
            pairs["lost_in_transport"] = str(self._lost_in_transport)
        return pairs

    def _silence(self) -> str:
        text = self.silence() if self.active else ""
        if text:
            self.log_rarely("silence", text)
        return text


def _account_of(error: BaseException) -> str:
    """Say what went wrong: our own errors speak for themselves, a defect shows where it is."""
    if isinstance(error, PerceptionError):
        return str(error)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
