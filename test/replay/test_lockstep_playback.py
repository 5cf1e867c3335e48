"""A bag in lockstep through the real nodes: every frame answered, in order, loop after loop."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

import rclpy
from octomap_msgs.msg import Octomap
from rclpy.context import Context
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray
from visualization_msgs.msg import MarkerArray

from cnn_perception.components.detector import DetectorComponent
from cnn_perception.components.mapper import MapperComponent
from cnn_perception.components.segmenter import SegmenterComponent
from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.recording.lockstep import LockstepOptions
from cnn_perception.recording.timeline import PlayOptions
from cnn_perception.ros.lockstep import Lockstep
from cnn_perception.ros.player import open_player
from live_robot import READY_S, Robot, play
from painted_drive import FRAMES, PERIOD_NS, START_NS

COLOR, DEPTH = "/camera/color", "/camera/depth"
STAMPS = [START_NS + index * PERIOD_NS for index in range(FRAMES)]


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.close()


def mapper(robot: Robot, **values: Any) -> Any:
    remaps = {"depth/image": DEPTH, "depth/camera_info": "/camera/camera_info"}
    return robot.run(MapperComponent, "mapper", remaps, publish_rate=100.0, **values)


def stamps(messages: list[Any]) -> list[int]:
    return [stamp_to_ns(message.header.stamp) for message in messages]


@pytest.mark.usefixtures("compiled_kernels")
def test_three_loops_answer_every_frame_alike(drive: Path, bundles: Path, robot: Robot) -> None:
    models = {"use_sim_time": True}
    nodes = (
        robot.run(
            DetectorComponent,
            "detector",
            {"image": COLOR},
            model=str(bundles / "rooms_ssdlite"),
            **models,
        ),
        robot.run(
            SegmenterComponent,
            "segmenter",
            {"image": COLOR},
            model=str(bundles / "rooms_fcn"),
            **models,
        ),
        mapper(robot, time_jump="reset", **models),
    )
    detections = robot.hear(Detection2DArray, "/detector/detections")
    masks = robot.hear(Image, "/segmenter/mask")
    maps = robot.hear(Octomap, "/octomap_binary")
    clock = robot.hear(Clock, "/clock")
    outputs = {"/detector/detections": "", "/segmenter/mask": "", "/octomap_binary": DEPTH}

    summary = play(drive, outputs, PlayOptions(loops=3, clock_hz=100.0))

    assert summary.missing == ()
    assert len(summary.loops) == 3
    for loop in summary.loops:
        assert loop.answered == dict.fromkeys(outputs, FRAMES)
        assert loop.sent[COLOR] == loop.sent[DEPTH] == loop.sent["/tf"] == FRAMES
    for node in nodes:
        robot.until(lambda node=node: node.statistics.snapshot().processed == 3 * FRAMES)
        snapshot = node.statistics.snapshot()
        assert snapshot.received == 3 * FRAMES
        assert not any(snapshot.dropped.values())
    robot.until(lambda: len(clock) == len(detections) == len(masks) == 3 * FRAMES)
    robot.until(lambda: maps and stamp_to_ns(maps[-1].header.stamp) == STAMPS[-1])
    assert [stamp_to_ns(tick.clock) for tick in clock] == STAMPS * 3
    for heard in (detections, masks):
        assert stamps(heard) == STAMPS * 3
        assert heard[:FRAMES] == heard[FRAMES : 2 * FRAMES] == heard[2 * FRAMES :]
    assert all(message.detections for message in detections)

    by_stamp = defaultdict(list)
    for message in maps:
        by_stamp[stamp_to_ns(message.header.stamp)].append(bytes(message.data))
    assert sorted(by_stamp) == STAMPS
    for stamp_ns, versions in by_stamp.items():
        # The map that the jump back emptied may have been seen too, under the last stamp.
        whole = [version for version in versions if len(version) > 1]
        assert len(whole) == 3, stamp_ns
        assert len(set(whole)) == 1, stamp_ns


def late_transforms(path: Path, drive: Path) -> Path:
    """Write three frames of the drive whose transforms were recorded 0.3 s after their images."""
    with BagReader(drive) as source, BagWriter(path) as late:
        for raw in source.raw_messages(stop_ns=START_NS + 3 * PERIOD_NS):
            delay_ns = 300_000_000 if raw.topic == "/tf" else 0
            late.write_raw(
                raw.topic,
                raw.msgtype,
                raw.data,
                raw.stamp_ns + delay_ns,
                latched=raw.topic == "/tf_static",
            )
    return path


@pytest.mark.usefixtures("compiled_kernels")
def test_a_transform_recorded_after_its_image_is_sent_ahead(
    drive: Path, robot: Robot, tmp_path: Path
) -> None:
    node = mapper(robot)
    summary = play(late_transforms(tmp_path / "late", drive), {"/octomap_binary": ""})
    assert summary.missing == ()
    assert summary.loops[0].answered == {"/octomap_binary": 3}
    robot.until(lambda: node.statistics.snapshot().processed == 3)


@pytest.mark.usefixtures("compiled_kernels")
def test_a_frame_that_the_mapper_drops_is_missed(drive: Path, robot: Robot, tmp_path: Path) -> None:
    node = mapper(robot, transform_timeout=0.05)
    bag = late_transforms(tmp_path / "late", drive)
    summary = play(bag, {"/octomap_binary": ""}, run_ahead_ns=0, patience_s=0.5)
    assert [output.stamp_ns for output in summary.missing] == STAMPS[:3]
    assert summary.messages[DEPTH] == 3
    robot.until(lambda: node.statistics.snapshot().dropped.get("no_transform") == 3)


def test_an_output_that_never_comes_is_named_and_fails_the_command(
    drive: Path, robot: Robot
) -> None:
    heard = robot.hear(Image, COLOR)
    robot.listener.create_publisher(Detection2DArray, "/boxes", 10)
    done = command(
        *("play", str(drive), "--lockstep", "--await", "/boxes", "--patience", "0.1"),
        *("--loop", "2", "--duration", "0.15"),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout.count(f"no /boxes with stamp {STAMPS[1] // 10**9}.100000000") == 2
    assert "4 awaited outputs did not come" in " ".join(done.stdout.split())
    assert f"4  {COLOR}" in done.stdout
    robot.until(lambda: stamps(heard) == STAMPS[:2] * 2)


def test_images_of_one_stamp_are_answered_one_by_one(
    drive: Path, bundles: Path, robot: Robot, tmp_path: Path
) -> None:
    twins = tmp_path / "twins"
    with BagReader(drive) as source, BagWriter(twins) as bag:
        for raw in source.raw_messages([COLOR], stop_ns=START_NS + 5 * PERIOD_NS):
            for delay_ns in (0, 1):
                bag.write_raw(raw.topic, raw.msgtype, raw.data, raw.stamp_ns + delay_ns)
    node = robot.run(
        DetectorComponent, "detector", {"image": COLOR}, model=str(bundles / "rooms_ssdlite")
    )
    done = command("play", str(twins), "--lockstep", "--await", "/detector/detections")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10  /detector/detections came" in done.stdout
    robot.until(lambda: node.statistics.snapshot().processed == 10)


def test_a_paused_player_sends_one_step_at_a_time(drive: Path, bundles: Path, robot: Robot) -> None:
    robot.run(DetectorComponent, "detector", {"image": COLOR}, model=str(bundles / "rooms_ssdlite"))
    detections = robot.hear(Detection2DArray, "/detector/detections")
    depths = robot.hear(Image, DEPTH)
    options = LockstepOptions({"/detector/detections": ""}, gates=frozenset({COLOR}))
    answered: list[int] = []
    with (
        BagReader(drive) as bag,
        open_player(bag, PlayOptions(), paused=True) as player,
        ThreadPoolExecutor() as pool,
    ):
        lockstep = Lockstep(player, options)
        lockstep.wait_until_ready(READY_S, {DEPTH: 1})
        playing = pool.submit(lockstep.play, lambda step, _: answered.append(step.stamp_ns))
        for count in (1, 2):
            assert player.pace.step()
            robot.until(lambda count=count: len(answered) == len(detections) == count)
            # Depth is not gated: half a second of it runs ahead.
            robot.until(lambda count=count: len(depths) == 5 + count)
        assert player.pace.paused
        player.pace.resume()
        summary = playing.result(READY_S)
    assert summary.loops[0].answered == {"/detector/detections": FRAMES}
    assert answered == stamps(detections) == stamps(depths) == STAMPS


def test_nodes_are_waited_for_until_they_listen(drive: Path, robot: Robot) -> None:
    robot.listener.create_publisher(Detection2DArray, "/boxes", 10)
    with pytest.raises(PerceptionError, match="nobody publishes /map; no played image"):
        play(drive, {"/boxes": "", "/map": ""}, ready_s=0.0)
    # Someone else listens, but not who is to answer: the nodes of one process share subscriptions.
    elsewhere = Context()
    rclpy.init(context=elsewhere)
    other = Node("other", context=elsewhere)
    other.create_subscription(Image, COLOR, lambda _: None, 10)
    with BagReader(drive) as bag, open_player(bag, PlayOptions()) as player:
        robot.until(player.publishers[COLOR].get_subscription_count)
        robot.until(lambda: player.node.count_publishers("/boxes"))
        for gate, text in (
            (COLOR, f"the node of /boxes does not listen to {COLOR}"),
            (DEPTH, f"too few subscribers on {DEPTH}"),
        ):
            lockstep = Lockstep(player, LockstepOptions({"/boxes": gate}))
            with pytest.raises(PerceptionError, match=text):
                lockstep.wait_until_ready(0.0)
    summary = play(
        drive,
        {"/boxes": COLOR},
        PlayOptions(duration_ns=1),
        listeners={COLOR: 1},
        patience_s=0.01,
    )
    assert len(summary.missing) == 1
    other.destroy_node()
    rclpy.shutdown(context=elsewhere)


def test_what_cannot_be_awaited_or_gated_is_refused(drive: Path, robot: Robot) -> None:
    robot.listener.create_publisher(MarkerArray, "/markers", 10)
    with pytest.raises(ConfigError, match="/markers is a visualization_msgs/msg/MarkerArray"):
        play(drive, {"/markers": ""})
    with pytest.raises(ConfigError, match=f"awaited {COLOR} is played from the bag"):
        play(drive, {COLOR: DEPTH})
    for values in ({"outputs": {"/boxes": "/nothing"}}, {"gates": frozenset({"/nothing"})}):
        with pytest.raises(ConfigError, match="gated topic '/nothing' is not played"):
            play(drive, **{"outputs": {"/boxes": ""}, **values})


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from cnn_perception.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--lockstep",), "name at least one output to await"),
        (("--lockstep", "--await", "/a", "--rate", "2"), "--rate has no meaning in lockstep"),
        (("--lockstep", "--await", "/a", "--clock-hz", "9"), "--clock-hz has no meaning"),
        (("--lockstep", "--await", "/a="), "is not of the form /output or /output=/image"),
        (("--lockstep", "--await", "/a", "--await", "/a=/b"), "/a is given twice"),
        (("--await", "/a"), "--await needs --lockstep"),
        (("--run-ahead", "nan", "--lockstep", "--await", "/a"), "--run-ahead nan is no time"),
        (("--wait-for-subscribers", "nan"), "--wait-for-subscribers nan is no time"),
        (("--subscribers", "/a=x"), "is not of the form /topic=N"),
        (("--subscribers", "/a=1"), "none of the played topics"),
    ],
)
def test_the_command_refuses_with_one_line(
    drive: Path, arguments: tuple[str, ...], text: str
) -> None:
    done = command("play", str(drive), *arguments)
    assert done.returncode == 1
    assert text in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
