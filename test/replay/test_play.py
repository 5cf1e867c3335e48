"""Bags played on real ROS 2: contents, order, QoS, loops, clock, and the command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from cnn_perception.errors import BagError, ConfigError, PerceptionError
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.timeline import PlayOptions, TimelineEvent
from cnn_perception.ros.player import BagPlayer, message_class, open_player
from painted_drive import FRAMES, PERIOD_NS, START_NS

PATIENCE_S = 30.0
TICKS = 96  # of a 50 Hz clock over the drive's 1.9 s
DEEP = QoSProfile(depth=1000)
LATE = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Listener:
    """A node that collects what it hears, spun only while someone waits."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node("listener", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def hear(self, kind: Any, topic: str, qos: QoSProfile = DEEP) -> list[Any]:
        heard: list[Any] = []
        self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def until(self, predicate: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not predicate():
            assert time.monotonic() < deadline, "what the test waits for did not happen"
            self._executor.spin_once(timeout_sec=0.05)

    def trigger(self, name: str) -> Trigger.Response:
        client = self.node.create_client(Trigger, f"/bag_player/{name}")
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        self.node.destroy_client(client)
        return future.result()

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from cnn_perception.cli.main import main; main()", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120)


def test_what_was_recorded_arrives(drive: Path, listener: Listener) -> None:
    heard = {
        "/camera/color": listener.hear(Image, "/camera/color"),
        "/camera/depth": listener.hear(Image, "/camera/depth"),
        "/tf": listener.hear(TFMessage, "/tf"),
    }
    with BagReader(drive) as bag, open_player(bag, PlayOptions(topics=frozenset(heard))) as player:
        listener.until(lambda: not player.lonely())
        summary = player.play()
        recorded = {
            topic: [
                deserialize_message(raw.data, message_class(raw.msgtype))
                for raw in bag.raw_messages([topic])
            ]
            for topic in heard
        }
    assert summary.messages == dict.fromkeys(heard, FRAMES)
    for topic, messages in heard.items():
        listener.until(lambda messages=messages: len(messages) == FRAMES)
        assert messages == recorded[topic]


def test_a_late_subscriber_gets_latched_messages(drive: Path, listener: Listener) -> None:
    options = PlayOptions(topics=frozenset({"/tf_static"}))
    with BagReader(drive) as bag, open_player(bag, options) as player:
        player.play()
        heard = listener.hear(TFMessage, "/tf_static", LATE)
        listener.until(lambda: heard)
    assert [edge.child_frame_id for edge in heard[0].transforms] == ["camera"]


def test_three_loops_give_three_times_the_same(drive: Path, listener: Listener) -> None:
    options = PlayOptions(rate=5.0, loops=3, topics=frozenset({"/camera/color"}), clock_hz=50)
    images = listener.hear(Image, "/renamed")
    clock = listener.hear(Clock, "/clock")
    with (
        BagReader(drive) as bag,
        open_player(bag, options, remaps={"/camera/color": "/renamed"}) as player,
    ):
        listener.until(lambda: not player.lonely({"/clock": 1}))
        summary = player.play()
        listener.until(lambda: len(images) == 3 * FRAMES and len(clock) == 3 * TICKS)
    assert summary.messages == {"/camera/color": 3 * FRAMES}
    stamps = [stamp_to_ns(image.header.stamp) for image in images]
    once = [START_NS + index * PERIOD_NS for index in range(FRAMES)]
    assert stamps == once * 3
    ticks = [stamp_to_ns(tick.clock) for tick in clock]
    assert ticks == [START_NS + index * 20_000_000 for index in range(TICKS)] * 3


def test_unknown_message_types_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    path, store = tmp_path / "arm", get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg("string data", "robot_msgs/msg/Arm"))
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, name in (("/arm", "robot_msgs/msg/Arm"), ("/text", "std_msgs/msg/String")):
            connection = writer.add_connection(topic, name, typestore=store)
            writer.write(connection, 1, store.serialize_cdr(store.types[name](data="a"), name))
    with BagReader(path) as bag:
        with open_player(bag, PlayOptions()) as player:
            assert "install robot_msgs" in player.skipped["/arm"]
            assert player.play().messages == {"/text": 1}
        with (
            pytest.raises(BagError, match="install robot_msgs"),
            open_player(bag, PlayOptions(topics=frozenset({"/arm"}))),
        ):
            pass


def test_topics_that_the_bag_lacks_are_refused(drive: Path) -> None:
    with BagReader(drive) as bag:
        for options, remaps in (
            (PlayOptions(topics=frozenset({"/nothing"})), {}),
            (PlayOptions(), {"/nothing": "/else"}),
        ):
            with pytest.raises(ConfigError, match="no topic '/nothing'"):
                BagPlayer(bag, options, remaps=remaps)


def test_a_paused_player_sends_one_message_at_a_time(drive: Path, listener: Listener) -> None:
    topics = frozenset({"/camera/color"})
    images = listener.hear(Image, "/camera/color")
    clock = listener.hear(Clock, "/clock")
    with (
        BagReader(drive) as bag,
        open_player(bag, PlayOptions(topics=topics, clock_hz=50), paused=True) as player,
        ThreadPoolExecutor() as pool,
    ):
        listener.until(lambda: not player.lonely({"/clock": 1}))
        playing = pool.submit(player.play)
        for count in (1, 2):
            assert listener.trigger("is_paused").message == "paused"
            assert len(images) == count - 1
            assert listener.trigger("play_next") == Trigger.Response(success=True, message="paused")
            listener.until(lambda count=count: len(images) == count)
        # The clock has come as far as the second image, and stands there.
        listener.until(lambda: len(clock) == 6)
        assert listener.trigger("is_paused").message == "paused"
        assert stamp_to_ns(clock[-1].clock) == START_NS + PERIOD_NS
        assert listener.trigger("toggle_paused").message == "playing"
        assert not listener.trigger("play_next").success
        listener.until(lambda: len(images) == FRAMES and len(clock) == TICKS)
        assert playing.result(PATIENCE_S).messages == {"/camera/color": FRAMES}
    ticks = [stamp_to_ns(tick.clock) for tick in clock]
    assert ticks == [START_NS + index * 20_000_000 for index in range(TICKS)]


def test_pausing_in_the_middle_stops_messages_and_clock(drive: Path, listener: Listener) -> None:
    images = listener.hear(Image, "/camera/color")
    options = PlayOptions(topics=frozenset({"/camera/color"}), clock_hz=50)
    sent: list[TimelineEvent] = []

    def messages() -> list[TimelineEvent]:
        return [event for event in sent if event.message is not None]

    with (
        BagReader(drive) as bag,
        open_player(bag, options) as player,
        ThreadPoolExecutor() as pool,
    ):
        listener.until(lambda: not player.lonely())
        playing = pool.submit(player.play, lambda event, _: sent.append(event))
        listener.until(lambda: images)
        assert listener.trigger("pause").message == "paused"
        # What passed before may still be on its way.
        listener.until(lambda: len(images) == len(messages()))
        passed = len(images)
        assert listener.trigger("play_next").success
        listener.until(lambda: passed < len(images) == len(messages()))
        before = len(sent)
        assert before < FRAMES + TICKS
        assert [listener.trigger("pause").message for _ in range(5)] == ["paused"] * 5
        assert len(sent) == before
        assert listener.trigger("resume").message == "playing"
        summary = playing.result(PATIENCE_S)
    assert summary.messages == {"/camera/color": FRAMES}
    stamps = [event.stamp_ns for event in sent]
    assert stamps == sorted(stamps)
    assert len(stamps) == FRAMES + TICKS


def test_missing_subscribers_are_named(drive: Path) -> None:
    options = PlayOptions(topics=frozenset({"/camera/color"}))
    with (
        BagReader(drive) as bag,
        open_player(bag, options) as player,
        pytest.raises(PerceptionError, match="no subscriber on /camera/color after 0"),
    ):
        player.wait_for_subscribers(0.0)


def test_a_number_of_subscribers_can_be_waited_for(drive: Path, listener: Listener) -> None:
    listener.hear(Image, "/camera/color")
    options = PlayOptions(topics=frozenset({"/camera/color"}))
    with BagReader(drive) as bag, open_player(bag, options) as player:
        player.wait_for_subscribers(PATIENCE_S, {"/camera/color": 1})
        with pytest.raises(PerceptionError, match="too few subscribers on /camera/color after 0"):
            player.wait_for_subscribers(0.0, {"/camera/color": 2})
        listener.hear(Image, "/camera/color")
        player.wait_for_subscribers(PATIENCE_S, {"/camera/color": 2})


def test_the_command_plays_a_window(drive: Path) -> None:
    window = ("--start-offset", "0.5", "--duration", "0.3", "--rate", "10")
    done = run("play", str(drive), *window)
    assert done.returncode == 0, done.stderr
    assert "3  /camera/color" in done.stdout
    assert "1  /tf_static" in done.stdout


def test_the_command_plays_and_says_what_it_sent(drive: Path) -> None:
    done = run("play", str(drive), "--rate", "10", "--loop", "2", "--clock")
    assert done.returncode == 0, done.stderr
    assert f"{2 * FRAMES}  /camera/color" in done.stdout
    assert "2  /tf_static" in done.stdout


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_cleanly(
    drive: Path, listener: Listener, end: signal.Signals
) -> None:
    heard = listener.hear(Image, "/camera/color")
    arguments = command("play", str(drive), "--loop", "0", "--wait-for-subscribers", "30")
    arguments += ["--topics", "/camera/color"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        listener.until(lambda: heard)
        process.send_signal(end)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output.splitlines()[-1]) == (0, "stopped"), errors
    assert "Traceback" not in errors


def test_the_command_refuses_with_one_line(drive: Path) -> None:
    (file,) = drive.glob("*.mcap")
    for arguments, text in (
        ((str(drive), "--remap", "/a=/b"), "is not of the form /from:=/to"),
        ((str(drive), "--rate", "0"), "rate 0.0 is not positive"),
        ((str(drive), "--duration", "0"), "duration 0.0 s plays nothing"),
        ((str(drive), "--start-offset", "nan"), "--start-offset nan is no time"),
        ((str(drive / "nowhere"),), "no bag at"),
    ):
        done = run("play", *arguments)
        assert done.returncode == 1
        assert text in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    file.write_bytes(file.read_bytes()[:-1000])
    done = run("play", str(drive))
    assert done.returncode == 1
    assert "repair it" in " ".join(done.stderr.split())
