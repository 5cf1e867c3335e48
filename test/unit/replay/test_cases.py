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
from recorded_robot import COLOR, DEPTH, INFO, Bundles, Record, drive, moment, mount, outcomes

DONE = "processed"
NETWORKS = ("detector", "segmenter", "explainer")
ALL = (*NETWORKS, "mapper")


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


def test_without_colour_there_is_only_a_map(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", robot.without(drive(3), COLOR))
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    assert set(run.summary["nodes"]) == {"mapper"}
    assert set(run.summary["bag"]["left_out"]) == set(NETWORKS)
    assert "no colour images" in run.summary["bag"]["left_out"]["detector"]
    assert robot.topics(run) == {"/octomap_binary", "/octomap_full", "/projected_map"}
    assert run.summary["map"]["occupied"] > 100
    (grid,) = robot.results(run, "/projected_map")
    assert (grid.header.frame_id, robot.seconds_of([grid])) == ("map", [0.2])


@pytest.mark.parametrize(
    ("lost", "required", "parts"),
    [
        ((DEPTH, INFO), "mapper", ("mapper cannot be replayed", "no depth images")),
        ((COLOR,), "segmenter", ("segmenter cannot be replayed", "no colour images")),
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
    plan = robot.plan_for(bundles, *ALL, cameras={"": CameraTopics(color="/camera/colour")})
    with pytest.raises(BagError) as error:
        replay(bag, plan, tmp_path / "out")
    one_line(error, "no topic '/camera/colour'", "did you mean /camera/color?")


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


def test_everything_was_recorded_at_one_moment(tmp_path: Path, bundles: Bundles) -> None:
    records = [replace(each, seconds=0.0) for each in drive(6)]
    bag = robot.write(tmp_path / "bag", records)
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


def test_time_jumps_forward(tmp_path: Path, bundles: Bundles) -> None:
    """A gap in the recording, and a clock that was set; a scan within the gap has no transform."""
    lost = Record(DEPTH, 50.0, robot.depth(50.0))
    records = [*drive(3), Record(INFO, 50.0, robot.info(50.0)), lost, *moment(100.0, 60.0)]
    bag = robot.write(tmp_path / "bag", [*records, *moment(100.1, 60.1)])
    run = robot.replayed(bag, robot.plan_for(bundles, *ALL), tmp_path)
    images = [(0.0, DONE), (0.1, DONE), (0.2, DONE), (100.0, DONE), (100.1, DONE)]
    assert outcomes(run, "detector") == images
    assert outcomes(run, "mapper") == [*images[:3], (50.0, "no_transform"), *images[3:]]


# --- cameras


def test_two_cameras_make_one_map(tmp_path: Path, bundles: Bundles) -> None:
    records = [mount("front_camera", "rear_camera")]
    for k in range(4):
        seconds = k / 10
        records.append(Record("/tf", seconds, robot.pose(seconds)))
        for name, colour in (("front", "red"), ("rear", "green")):
            frame_id = f"{name}_camera"
            image = robot.color(seconds, robot.picture(**{colour: (k, k)}), frame_id)
            records += [
                Record(f"/{name}/info", seconds, robot.info(seconds, frame_id=frame_id)),
                Record(f"/{name}/depth", seconds, robot.depth(seconds, frame_id=frame_id)),
                Record(f"/{name}/color", seconds, image),
            ]
    bag = robot.write(tmp_path / "bag", records)
    cameras = {
        name: CameraTopics(f"/{name}/color", f"/{name}/depth", f"/{name}/info")
        for name in ("front", "rear")
    }
    plan = robot.plan_for(
        bundles, *ALL, cameras=cameras, mapper={"semantics.enabled": True, "resolution": 0.1}
    )
    run = robot.replayed(bag, plan, tmp_path)
    assert set(run.summary["nodes"]) == {
        *(f"{camera}/{node}" for camera in cameras for node in NETWORKS),
        "mapper",
    }
    for camera, colour in (("front", "red"), ("rear", "green")):
        messages = robot.results(run, f"/{camera}/detector/detections")
        assert [robot.found(m) for m in messages] == [[colour]] * 4
        assert {m.header.frame_id for m in messages} == {f"{camera}_camera"}
    mapper = run.summary["nodes"]["mapper"]
    assert (mapper["processed"], mapper["masks_fused"]) == (8, 8)
    assert mapper["topic"] == "/front/depth, /rear/depth"
    assert "/octomap_binary" in robot.topics(run)


def test_another_resolution_in_the_middle(tmp_path: Path, bundles: Bundles) -> None:
    wide = (128, 96)
    records = [*drive(2), Record("/tf", 0.2, robot.pose(0.2))]
    records += [
        Record(INFO, 0.2, robot.info(0.2, wide)),
        Record(DEPTH, 0.2, robot.depth(0.2, size=wide)),
        Record(COLOR, 0.2, robot.color(0.2, robot.picture(*wide))),
    ]
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(
        bundles, *ALL, detector={"use_depth": True}, mapper={"semantics.enabled": True}
    )
    run = robot.replayed(bag, plan, tmp_path)
    for node in ALL:
        assert outcomes(run, node) == [(0.0, DONE), (0.1, DONE), (0.2, DONE)]
    sizes = [(m.width, m.height) for m in robot.results(run, "/segmenter/mask")]
    assert sizes == [robot.SIZE, robot.SIZE, wide]
    widths = [m.detections[0].bbox.size_x for m in robot.results(run, "/detector/detections")]
    assert widths == pytest.approx([8.0, 8.0, 16.0], abs=0.01)
    assert len(robot.results(run, "/detector/detections_3d")) == 3
    assert run.summary["nodes"]["mapper"]["masks_fused"] == 3


def test_depth_of_another_resolution_than_its_camera_info(tmp_path: Path, bundles: Bundles) -> None:
    records = [*drive(2), *moment(0.2)]
    records[-2] = Record(DEPTH, 0.2, robot.depth(0.2, size=(32, 24)))
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(bundles, *ALL, detector={"use_depth": True})
    run = robot.replayed(bag, plan, tmp_path)
    assert outcomes(run, "mapper") == [(0.0, DONE), (0.1, DONE), (0.2, "size_mismatch")]
    assert outcomes(run, "detector")[-1] == (0.2, DONE)
    assert run.summary["nodes"]["detector"]["without_depth"] == 1


# --- images


def test_raw_and_compressed_images_give_equal_answers(tmp_path: Path, bundles: Bundles) -> None:
    raw = robot.write(tmp_path / "raw", drive(3))
    records = robot.without(drive(3), COLOR, DEPTH)
    for k in range(3):
        records += [
            Record(f"{COLOR}/compressed", k / 10, robot.compressed_color(k / 10)),
            Record(f"{DEPTH}/compressedDepth", k / 10, robot.compressed_depth(k / 10)),
        ]
    records.sort(key=lambda each: each.seconds)
    packed = robot.write(tmp_path / "packed", records)
    plan = robot.plan_for(bundles, *ALL, detector={"use_depth": True})
    runs = [robot.replayed(bag, plan, tmp_path / f"out_{bag.name}") for bag in (raw, packed)]
    assert runs[0].summary["digests"] == runs[1].summary["digests"]
    assert runs[0].summary["map"] == runs[1].summary["map"]
    assert runs[1].summary["topics"][""] == {
        "color": f"{COLOR}/compressed",
        "depth": f"{DEPTH}/compressedDepth",
        "camera_info": INFO,
    }


def test_damaged_images_do_not_end_the_others(tmp_path: Path, bundles: Bundles) -> None:
    short, huge, strange = (robot.color(k / 10) for k in (1, 2, 3))
    short.data = short.data[:-1]
    huge.width = huge.step = 3_000_000_000
    strange.encoding = "yuv_of_mars"
    depth_short, depth_nan = robot.depth(0.1), robot.depth(0.2)
    depth_short.data = depth_short.data[: depth_short.data.size // 2]
    nothing = np.full(robot.SIZE[::-1], np.nan, np.float32)
    depth_nan = robot.encode.depth_image(robot.header(0.2), nothing)
    records = [*drive(1)]
    for k, image, scan in ((1, short, depth_short), (2, huge, depth_nan), (3, strange, None)):
        frame = moment(k / 10)
        frame[3] = replace(frame[3], message=image)
        frame[2] = frame[2] if scan is None else replace(frame[2], message=scan)
        records += frame
    bag = robot.write(tmp_path / "bag", [*records, *moment(0.4)])
    plan = robot.plan_for(bundles, *ALL, detector={"use_depth": True})
    run = robot.replayed(bag, plan, tmp_path)
    expected = [DONE, "truncated_data", "wrong_step", "unknown_encoding", DONE]
    for node in NETWORKS:
        assert [outcome for _, outcome in outcomes(run, node)] == expected
    assert any("yuv_of_mars" in text for text in robot.details(run, "detector"))
    scans = [outcome for _, outcome in outcomes(run, "mapper")]
    assert scans == [DONE, "truncated_data", DONE, DONE, DONE]
    assert robot.seconds_of(robot.results(run, "/segmenter/mask")) == [0.0, 0.4]


def test_a_corrupt_compressed_image(tmp_path: Path, bundles: Bundles) -> None:
    broken = robot.compressed_color(0.1)
    broken.data = broken.data[: broken.data.size // 2]
    empty = robot.compressed_color(0.2)
    empty.data = empty.data[:0]
    images = [robot.compressed_color(0.0), broken, empty, robot.compressed_color(0.3)]
    records = [Record(f"{COLOR}/compressed", k / 10, image) for k, image in enumerate(images)]
    bag = robot.write(tmp_path / "bag", records)
    run = robot.replayed(bag, robot.plan_for(bundles, *NETWORKS), tmp_path)
    for node in NETWORKS:
        outcome = [each for _, each in outcomes(run, node)]
        assert outcome == [DONE, "truncated_data", "unknown_encoding", DONE]


def test_depth_without_readings_leaves_boxes_out(tmp_path: Path, bundles: Bundles) -> None:
    records = drive(3)
    nothing = np.full(robot.SIZE[::-1], np.nan, np.float32)
    records[7] = replace(records[7], message=robot.encode.depth_image(robot.header(0.1), nothing))
    assert records[7].topic == DEPTH
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(bundles, "detector", detector={"use_depth": True})
    run = robot.replayed(bag, plan, tmp_path)
    boxes = robot.results(run, "/detector/detections_3d")
    assert [len(m.detections) for m in boxes] == [1, 0, 1]
    assert robot.seconds_of(boxes) == [0.0, 0.1, 0.2]


# --- what nodes are told


def test_depth_of_a_picture_comes_late_or_not_at_all(tmp_path: Path, bundles: Bundles) -> None:
    """The 3D boxes come with the depth of their stamp, even if that was recorded later."""
    records = drive(5)
    late = [
        replace(each, seconds=each.seconds + 0.25) if each.topic == DEPTH else each
        for each in records
        if not (each.topic == DEPTH and each.seconds == 0.2)
    ]
    bag = robot.write(tmp_path / "bag", sorted(late, key=lambda each: each.seconds))
    plan = robot.plan_for(bundles, *ALL, detector={"use_depth": True})
    run = robot.replayed(bag, plan, tmp_path)
    boxes = robot.results(run, "/detector/detections_3d")
    assert robot.seconds_of(boxes) == [0.0, 0.1, 0.3, 0.4]
    assert run.summary["nodes"]["detector"]["without_depth"] == 1
    centre = boxes[0].detections[0].bbox.center.position
    assert centre.z == pytest.approx(2.0, abs=0.05)


def test_classes_vote_as_in_the_live_node(tmp_path: Path, bundles: Bundles) -> None:
    painted = robot.models.paint(
        {(r, c): "red" for r in range(6) for c in range(4)}, width=64, height=48
    )
    records = [mount(), *(each for k in range(3) for each in moment(k / 10, pixels=painted))]
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(bundles, *ALL, mapper={"semantics.enabled": True, "resolution": 0.1})
    run = robot.replayed(bag, plan, tmp_path)
    mapper = run.summary["nodes"]["mapper"]
    assert (mapper["masks_fused"], mapper["masks_waiting"], mapper["masks_dropped"]) == (3, 0, {})
    assert mapper["classified_cells"] > 50
    (tree,) = robot.results(run, "/color_octomap")
    assert (tree.id, tree.header.frame_id, tree.resolution) == ("ColorOcTree", "map", 0.1)
    (full,) = robot.results(run, "/octomap_full")
    assert full.id == "OcTree"
    told = {"semantics.enabled": True, "colored_map": True, "resolution": 0.1}
    colored = robot.plan_for(bundles, *ALL, mapper=told)
    (full,) = robot.results(robot.replayed(bag, colored, tmp_path / "c"), "/octomap_full")
    assert (full.id, bytes(full.data)) == ("ColorOcTree", bytes(tree.data))


@pytest.mark.parametrize(
    ("names", "mapper", "parts"),
    [
        (("mapper",), {"semantics.enabled": True}, ("semantics.enabled", "segmenter")),
        (ALL, {"semantics.enabled": True, "source": "cloud"}, ("semantics.enabled", "depth")),
    ],
)
def test_classes_that_cannot_be_mapped(
    tmp_path: Path,
    bundles: Bundles,
    names: tuple[str, ...],
    mapper: dict[str, object],
    parts: tuple[str, ...],
) -> None:
    cloud = robot.encode.point_cloud(robot.header(0.0), np.ones((4, 3), np.float32))
    bag = robot.write(tmp_path / "bag", [*drive(2), Record("/lidar", 0.2, cloud)])
    with pytest.raises(ConfigError) as error:
        replay(bag, robot.plan_for(bundles, *names, mapper=mapper), tmp_path / "out")
    one_line(error, *parts)


def test_a_classifier_is_explained(tmp_path: Path, bundles: Bundles) -> None:
    blue = np.zeros((48, 64, 3), np.uint8)
    blue[..., 2] = 255
    records = [Record(COLOR, k / 10, robot.color(k / 10, blue)) for k in range(3)]
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(bundles, "explainer", explainer={"model": str(bundles.classifier)})
    run = robot.replayed(bag, plan, tmp_path)
    answers = robot.results(run, "/explainer/classification")
    assert [m.results[0].class_id for m in answers] == ["blue"] * 3
    assert robot.topics(run) == {
        f"/explainer/{name}" for name in ("classification", "heatmap", "evidence")
    }
    heatmap = robot.results(run, "/explainer/heatmap")[0]
    assert (heatmap.encoding, heatmap.width, heatmap.height) == ("32FC1", 64, 48)


def test_the_explainer_keeps_its_rate(tmp_path: Path, bundles: Bundles) -> None:
    """As live, a damaged image takes its turn: the rate is looked at before the picture."""
    records = robot.without(drive(10), DEPTH, INFO)
    images = [each for each in records if each.topic == COLOR]
    for index in (1, 2):
        images[index].message.data = images[index].message.data[:-1]
    bag = robot.write(tmp_path / "bag", records)
    plan = robot.plan_for(bundles, "explainer", explainer={"max_rate": 5.0})
    run = robot.replayed(bag, plan, tmp_path)
    expected = [DONE, "rate_limited"] * 5
    expected[2] = "truncated_data"
    assert [outcome for _, outcome in outcomes(run, "explainer")] == expected
    assert robot.seconds_of(robot.results(run, "/explainer/heatmap")) == [0.0, 0.4, 0.6, 0.8]


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
