"""What bags bring: each has an outcome that is the same in every replay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recorded_robot as robot
from cnn_perception.errors import BagError, ConfigError
from cnn_perception.replay.plan import CameraTopics
from cnn_perception.replay.replayer import replay
from recorded_robot import (
    ALL,
    COLOR,
    DEPTH,
    DONE,
    INFO,
    NETWORKS,
    Bundles,
    Record,
    drive,
    moment,
    mount,
    outcomes,
)


def one_line(error: pytest.ExceptionInfo[Exception], *parts: str) -> None:
    """The error is one line that says all of this."""
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


# --- topics that are missing


def test_without_depth_there_is_no_map(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", robot.without(drive(3), DEPTH, INFO))
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    assert set(run.summary["nodes"]) == set(NETWORKS)
    assert "no depth images for the mapper" in run.summary["bag"]["left_out"]["mapper"]
    assert run.map_file is None
    assert "map" not in run.summary
    assert "/octomap_binary" not in robot.topics(run)
    assert outcomes(run, "detector") == [(0.0, DONE), (0.1, DONE), (0.2, DONE)]
    assert [robot.found(m) for m in robot.results(run, "/detector/detections")] == [["red"]] * 3


def test_without_color_there_is_only_a_map(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", robot.without(drive(3), COLOR))
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    assert set(run.summary["nodes"]) == {"mapper"}
    assert set(run.summary["bag"]["left_out"]) == set(NETWORKS)
    assert "no color images" in run.summary["bag"]["left_out"]["detector"]
    assert robot.topics(run) == {"/octomap_binary", "/octomap_full", "/projected_map"}
    assert run.summary["map"]["occupied"] > 100
    (grid,) = robot.results(run, "/projected_map")
    assert (grid.header.frame_id, robot.seconds_of([grid])) == ("map", [0.2])


@pytest.mark.parametrize(
    ("lost", "required", "parts"),
    [
        ((DEPTH, INFO), "mapper", ("mapper cannot be replayed", "no depth images")),
        ((COLOR,), "segmenter", ("segmenter cannot be replayed", "no color images")),
        (("/tf", "/tf_static"), "mapper", ("neither /tf nor /tf_static", "record")),
        ((INFO,), "mapper", ("no camera_info for /camera/depth", "record")),
    ],
)
def test_a_node_that_the_plan_names_needs_its_input(
    tmp_path: Path, bundles: Bundles, lost: tuple[str, ...], required: str, parts: tuple[str, ...]
) -> None:
    bag = robot.write(tmp_path / "bag", robot.without(drive(2), *lost))
    plan = robot.plan_for(bundles, *ALL, required=frozenset({required}))
    with pytest.raises(BagError) as error:
        replay(bag, plan, tmp_path / "out")
    one_line(error, *parts)
    assert not (tmp_path / "out").exists()


def test_a_topic_that_the_plan_names_is_missing(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", drive(2))
    plan = robot.plan_for(bundles, *ALL, cameras={"": CameraTopics(color="/camera/colr")})
    with pytest.raises(BagError) as error:
        replay(bag, plan, tmp_path / "out")
    one_line(error, "no topic '/camera/colr'", "did you mean /camera/color?")


@pytest.mark.parametrize(
    ("camera", "parts"),
    [
        (CameraTopics(color="/tf"), ("color = /tf", "tf2_msgs/msg/TFMessage", "Image")),
        (CameraTopics(color=COLOR, depth=INFO), ("depth = /camera/camera_info", "CameraInfo")),
        (
            CameraTopics(depth=DEPTH, camera_info=COLOR),
            ("camera_info = /camera/color", "sensor_msgs/msg/Image"),
        ),
    ],
)
def test_a_topic_that_the_plan_names_has_another_type(
    tmp_path: Path, bundles: Bundles, camera: CameraTopics, parts: tuple[str, ...]
) -> None:
    bag = robot.write(tmp_path / "bag", drive(2))
    plan = robot.plan_for(bundles, *ALL, cameras={"": camera})
    with pytest.raises(BagError) as error:
        replay(bag, plan, tmp_path / "out")
    one_line(error, *parts)


def test_clouds_that_the_mapper_would_not_read(tmp_path: Path, bundles: Bundles) -> None:
    cloud = robot.encode.point_cloud(robot.header(0.0), np.ones((4, 3), np.float32))
    bag = robot.write(tmp_path / "bag", [*drive(2), Record("/lidar", 0.2, cloud)])
    plan = robot.plan_for(bundles, "mapper", clouds=("/lidar",))
    with pytest.raises(ConfigError) as error:
        replay(bag, plan, tmp_path / "out")
    one_line(error, "/lidar", "source = depth", "cloud or both")
    plan = robot.plan_for(bundles, "mapper", clouds=("/lidar",), mapper={"source": "cloud"})
    run = robot.replayed(bag, plan, tmp_path)
    assert outcomes(run, "mapper") == [(0.0, DONE)]


def test_no_transform_at_all(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", robot.without(drive(2), "/tf", "/tf_static"))
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    assert "neither /tf nor /tf_static" in run.summary["bag"]["left_out"]["mapper"]
    with pytest.raises(BagError) as error:
        replay(bag, robot.plan_for(bundles, "mapper"), tmp_path / "out")
    one_line(error, "mapper cannot be replayed")


def test_nothing_to_replay(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", drive(2))
    with pytest.raises(ConfigError) as error:
        replay(bag, robot.plan_for(bundles), tmp_path / "out")
    one_line(error, "detector, segmenter, explainer, mapper", "leave one in")


def test_an_empty_bag(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", [])
    with pytest.raises(BagError) as error:
        replay(bag, robot.plan_for(bundles, *ALL), tmp_path / "out")
    one_line(error, "holds no messages")


# --- transforms


def test_the_transform_comes_after_the_image(tmp_path: Path, bundles: Bundles) -> None:
    """0.4 s late is in time and 1.5 s is not, where patience is half a second of recorded time."""
    records = [mount()]
    for seconds, late in ((0.0, 0.4), (2.0, 1.5), (5.0, 0.0)):
        records += robot.without(moment(seconds), "/tf")
        records.append(Record("/tf", seconds + late, robot.pose(seconds)))
        if late == 1.5:
            records.append(Record(COLOR, seconds + 1.2, robot.color(seconds + 1.2)))
    ordered = sorted(records, key=lambda each: each.seconds)
    bag = robot.write(tmp_path / "bag", ordered)
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    assert outcomes(run, "mapper") == [(0.0, DONE), (2.0, "no_transform"), (5.0, DONE)]
    assert run.summary["nodes"]["mapper"]["dropped"] == {"no_transform": 1}
    plan = robot.plan_for(bundles, *ALL, patience_s=2.0)
    patient = robot.replayed(bag, plan, tmp_path / "patient")
    assert [outcome for _, outcome in outcomes(patient, "mapper")] == [DONE] * 3


@pytest.mark.parametrize(("patience_s", "outcome"), [(1.0, "no_transform"), (2.0, DONE)])
def test_patience_is_over_before_what_comes_next_is_learnt(
    tmp_path: Path, bundles: Bundles, patience_s: float, outcome: str
) -> None:
    """Whether a transform is too late depends on its time alone, not on what else was recorded."""
    records = [
        *drive(1),
        Record(INFO, 1.5, robot.info(1.5)),
        Record(DEPTH, 1.5, robot.depth(1.5)),
        Record("/tf", 2.6, robot.pose(1.5)),
    ]
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(bundles, "mapper", patience_s=patience_s)
    run = robot.replayed(bag, plan, tmp_path)
    assert outcomes(run, "mapper") == [(0.0, DONE), (1.5, outcome)]


@pytest.mark.parametrize("latch", [True, False])
def test_static_transforms_of_the_start_hold_in_a_later_window(
    tmp_path: Path, bundles: Bundles, latch: bool
) -> None:
    """Also where the recorder did not note that the topic is transient local."""
    bag = robot.write(tmp_path / "bag", drive(30), latch=latch)
    plan = robot.plan_for(bundles, *ALL, window_s=(1.5, 2.0))
    run = robot.replayed(bag, plan, tmp_path)
    expected = [(1.5, DONE), (1.6, DONE), (1.7, DONE), (1.8, DONE), (1.9, DONE)]
    assert outcomes(run, "mapper") == outcomes(run, "detector") == expected
    assert run.summary["bag"]["window_s"] == [1.5, 2.0]


def test_a_window_beyond_the_bag(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", drive(5))
    with pytest.raises(ConfigError) as error:
        replay(bag, robot.plan_for(bundles, *ALL, window_s=(7.0, None)), tmp_path / "out")
    one_line(error, "window", "start = 7", "0.4")


def test_a_latched_picture_of_before_the_window_is_not_answered(
    tmp_path: Path, bundles: Bundles
) -> None:
    """A live node's subscription is volatile: it does not get what was sent before it came."""
    with robot.BagWriter(tmp_path / "bag") as bag:
        for k in range(6):
            message = robot.color(k * 0.1)
            bag.write(COLOR, message.__msgtype__, message, robot.at(k * 0.1), latched=True)
    plan = robot.plan_for(bundles, "detector", window_s=(0.35, None))
    run = robot.replayed(tmp_path / "bag", plan, tmp_path)
    assert outcomes(run, "detector") == [(0.4, DONE), (0.5, DONE)]


def test_transforms_that_are_none_are_refused(tmp_path: Path, bundles: Bundles) -> None:
    records = drive(3)
    assert records[5].topic == "/tf"
    bad = robot.pose(0.1)
    bad.transforms[0].transform.rotation.w = 0.0
    records[5] = replace(records[5], message=bad)
    bag = robot.write(tmp_path / "bag", records)
    run = robot.replayed(bag, robot.plan_for(bundles, "mapper"), tmp_path)
    assert outcomes(run, "mapper") == [(0.0, DONE), (0.1, DONE), (0.2, DONE)]  # from its neighbours
    assert run.summary["nodes"]["mapper"]["refused_transforms"] == 1


# --- stamps and the order of recording


def test_messages_out_of_order(tmp_path: Path, bundles: Bundles) -> None:
    """Stamps that go back a little are no jump: every image is answered, in recorded order."""
    records = [mount(), *moment(0.0), *moment(0.1, 0.2), *moment(0.05, 0.21), *moment(0.2, 0.3)]
    bag = robot.write(tmp_path / "bag", records)
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    expected = [(0.0, DONE), (0.1, DONE), (0.05, DONE), (0.2, DONE)]
    for node in ALL:
        assert outcomes(run, node) == expected
    assert robot.seconds_of(robot.results(run, "/detector/detections")) == [0.0, 0.1, 0.05, 0.2]


def test_duplicate_stamps(tmp_path: Path, bundles: Bundles) -> None:
    records = [*drive(2), *moment(0.1, 0.15, robot.picture(blue=(0, 0))), *moment(0.2)]
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(bundles, *ALL, detector={"use_depth": True})
    run = robot.replayed(bag, plan, tmp_path)
    for node in ALL:
        assert outcomes(run, node) == [(0.0, DONE), (0.1, DONE), (0.1, DONE), (0.2, DONE)]
    assert len(robot.results(run, "/detector/detections_3d")) == 4


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_everything_was_recorded_at_one_moment(
    tmp_path: Path, bundles: Bundles, storage: str
) -> None:
    records = [replace(each, seconds=0.0) for each in drive(6)]
    bag = robot.write(tmp_path / "bag", records, storage)
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    expected = [(k / 10, DONE) for k in range(6)]
    for node in ALL:
        assert outcomes(run, node) == expected
    assert run.summary["bag"]["duration_s"] == 0.0


@pytest.mark.parametrize("time_jump", ["keep", "reset"])
@pytest.mark.parametrize("offset", [0.0, -robot.START_NS / robot.SECOND])
def test_a_loop_that_was_recorded_twice(
    tmp_path: Path, bundles: Bundles, time_jump: str, offset: float
) -> None:
    """Both rounds have equal answers; the map is of both, or of the second alone.

    Simulated time starts at zero, where a stamp is no truth value.
    """
    loop = [
        each
        for k in range(4)
        for each in moment(offset + k * 0.1, k * 0.1, robot.picture(red=(1, k % 8)))
    ]
    again = [replace(each, seconds=each.seconds + 3.0) for each in loop]
    bag = robot.write(tmp_path / "bag", [mount(), *loop, *again])
    once = robot.write(tmp_path / "once", [mount(), *loop])
    plan = robot.plan_for(
        bundles,
        *ALL,
        detector={"use_depth": True},
        mapper={"time_jump": time_jump},
        explainer={"max_rate": 5.0},
    )
    run, single = (
        robot.replayed(path, plan, tmp_path / f"out_{path.name}") for path in (bag, once)
    )
    for node in ALL:
        rounds = outcomes(run, node)
        assert rounds[:4] == rounds[4:] == outcomes(single, node)
    boxes = robot.results(run, "/detector/detections_3d")
    assert len(boxes) == 8
    assert run.summary["nodes"]["detector"]["without_depth"] == 0
    left, right = (r.summary["digests"]["/octomap_full"] for r in (run, single))
    assert (left == right) == (time_jump == "reset")


def test_the_clock_of_the_recorder_went_back(tmp_path: Path, bundles: Bundles) -> None:
    """Two rounds were recorded at the same times: what is read interleaves them, and loses none."""
    records = [*drive(3), *drive(3)]
    bag = robot.write(tmp_path / "bag", records)
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    for node in ALL:
        assert outcomes(run, node) == [(k // 2 / 10, DONE) for k in range(6)]


def test_time_jumps_forward(tmp_path: Path, bundles: Bundles) -> None:
    """A gap in the recording, and a clock that was set; a scan within the gap has no transform."""
    lost = Record(DEPTH, 50.0, robot.depth(50.0))
    records = [*drive(3), Record(INFO, 50.0, robot.info(50.0)), lost, *moment(100.0, 60.0)]
    bag = robot.write(tmp_path / "bag", [*records, *moment(100.1, 60.1)])
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    images = [(0.0, DONE), (0.1, DONE), (0.2, DONE), (100.0, DONE), (100.1, DONE)]
    assert outcomes(run, "detector") == images
    assert outcomes(run, "mapper") == [*images[:3], (50.0, "no_transform"), *images[3:]]


# --- the order of recording


@pytest.fixture(scope="module")
def reference(
    tmp_path_factory: pytest.TempPathFactory, bundles: Bundles
) -> tuple[list[Record], dict[float, list[str]], bytes]:
    """Records of a drive, what is found in its images, and its map."""
    folder = tmp_path_factory.mktemp("reference")
    records = [mount()]
    for k in range(5):
        records += moment(k / 10, pixels=robot.picture(red=(1, k), green=(4, 7 - k)))
    plan = robot.plan_for(bundles, "detector", "mapper")
    run = replay(robot.write(folder / "bag", records), plan, folder / "out")
    detections = robot.results(run, "/detector/detections")
    assert run.map_file is not None
    by_stamp = dict(zip(robot.seconds_of(detections), map(robot.found, detections), strict=True))
    return records, by_stamp, run.map_file.read_bytes()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_order_of_recording_changes_no_answer(
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    bundles: Bundles,
    reference: tuple[list[Record], dict[float, list[str]], bytes],
) -> None:
    """However topics are interleaved, each in its own order, within the patience of a scan."""
    records, by_stamp, map_bytes = reference
    queues = {
        name: [each for each in records if each.topic == name]
        for name in dict.fromkeys(each.topic for each in records)
    }
    turns = data.draw(st.permutations([each.topic for each in records]))
    ordered = [
        replace(queues[name].pop(0), seconds=index / 100) for index, name in enumerate(turns)
    ]
    folder = tmp_path_factory.mktemp("order")
    plan = robot.plan_for(bundles, "detector", "mapper")
    run = replay(robot.write(folder / "bag", ordered), plan, folder / "out")
    detections = robot.results(run, "/detector/detections")
    assert by_stamp == dict(
        zip(robot.seconds_of(detections), map(robot.found, detections), strict=True)
    )
    assert set(outcomes(run, "mapper")) == {(k / 10, DONE) for k in range(5)}
    assert run.map_file is not None
    assert run.map_file.read_bytes() == map_bytes


def test_a_sensor_off_the_map_has_a_reason_of_its_own(tmp_path: Path, bundles: Bundles) -> None:
    records = [*drive(1), *moment(1.0), *moment(2.0)]
    far = next(each for each in records if each.topic == "/tf" and each.seconds == 1.0)
    far.message.transforms[0].transform.translation.x = 1e5
    bag = robot.write(tmp_path / "bag", records)
    run = robot.replayed(bag, robot.plan_for(bundles, "mapper"), tmp_path)
    assert outcomes(run, "mapper") == [(0.0, DONE), (1.0, "sensor_off_map"), (2.0, DONE)]
    assert any("check the transform" in text for text in robot.details(run, "mapper"))
