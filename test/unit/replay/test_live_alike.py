"""What images, cameras and parameters do in a replay: what they do in the live nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recorded_robot as robot
from cnn_perception.errors import ConfigError
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

# --- cameras


def test_two_cameras_make_one_map(tmp_path: Path, bundles: Bundles) -> None:
    records = [mount("front_camera", "rear_camera")]
    for k in range(4):
        seconds = k / 10
        records.append(Record("/tf", seconds, robot.pose(seconds)))
        for name, color in (("front", "red"), ("rear", "green")):
            frame_id = f"{name}_camera"
            image = robot.color(seconds, robot.picture(**{color: (k, k)}), frame_id)
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
    for camera, color in (("front", "red"), ("rear", "green")):
        messages = robot.results(run, f"/{camera}/detector/detections")
        assert [robot.found(m) for m in messages] == [[color]] * 4
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
    named = robot.plan_for(bundles, *ALL, mapper=told | {"semantics.labels": ["background", "red"]})
    (again,) = robot.results(robot.replayed(bag, named, tmp_path / "n"), "/color_octomap")
    assert bytes(again.data) == bytes(tree.data)
    ignored = robot.plan_for(bundles, *ALL, mapper=told | {"semantics.labels": ["background"] * 2})
    run = robot.replayed(bag, ignored, tmp_path / "i")
    assert run.summary["nodes"]["mapper"]["masks_fused"] == 3
    assert run.summary["nodes"]["mapper"]["classified_cells"] == 0


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
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_two_cameras_cannot_lay_masks_over_one_depth_image(
    tmp_path: Path, bundles: Bundles
) -> None:
    bag = robot.write(tmp_path / "bag", [*drive(2), Record("/left", 0.2, robot.color(0.2))])
    cameras = {name: CameraTopics(topic, DEPTH) for name, topic in (("l", "/left"), ("r", COLOR))}
    told = {"semantics.enabled": True}
    plan = robot.plan_for(bundles, *ALL, cameras=cameras, mapper=told)
    with pytest.raises(ConfigError, match=f"{DEPTH}, but l, r share it: name depth for one"):
        replay(bag, plan, tmp_path / "out")
    plain = robot.plan_for(bundles, *ALL, cameras=cameras)
    assert robot.replayed(bag, plain, tmp_path).summary["nodes"]["mapper"]["processed"] == 2


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


def test_a_segmenter_is_explained(tmp_path: Path, bundles: Bundles) -> None:
    bag = robot.write(tmp_path / "bag", robot.without(drive(2), DEPTH, INFO))
    plan = robot.plan_for(bundles, "explainer", explainer={"model": str(bundles.segmenter)})
    run = robot.replayed(bag, plan, tmp_path)
    assert [robot.found(m) for m in robot.results(run, "/explainer/explained")] == [["red"]] * 2
    assert run.summary["nodes"]["explainer"]["model"] == "segmenter"


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
