"""Golden results: what they keep, what they replace, and copies that always or never pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_perception.errors import BagError
from cnn_perception.mapping.leaves import Leaves, find_leaves
from cnn_perception.messages.decode import LabelledBoxes, LabelledBoxes3D
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.expectations.differences import (
    compare_boxes,
    compare_boxes_3d,
    compare_masks,
)
from cnn_perception.replay.expectations.golden import record_golden
from cnn_perception.replay.expectations.map_difference import MapDifference, compare_maps
from cnn_perception.replay.expectations.schema import Tolerance
from painted_replay import FRAMES, as_leaves, painting, write_run, write_source

KEPT = [
    "/detector/detections",
    "/detector/label_info",
    "/explainer/explained",
    "/octomap_binary",
    "/segmenter/label_info",
    "/segmenter/mask",
]
LEFT_OUT = ["/explainer/heatmap", "/octomap_full"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source") / "drive")


def test_a_golden_is_a_bag_without_heat_and_repetition(source: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", source, painting())
    golden = tmp_path / "golden" / "drive"
    record_golden(run, golden)
    with BagReader(run.results) as results, BagReader(golden) as kept:
        assert [topic.name for topic in kept.topics] == KEPT
        want = {topic.name: topic for topic in results.topics}
        assert all(want[topic.name] == topic for topic in kept.topics)
        before = [(raw.topic, raw.stamp_ns, raw.data) for raw in results.raw_messages(KEPT)]
        assert [(raw.topic, raw.stamp_ns, raw.data) for raw in kept.raw_messages()] == before
    notes = json.loads((golden / "golden.json").read_text(encoding="utf-8"))
    assert notes["left_out"] == LEFT_OUT
    assert notes["bag"]["name"] == "drive" and "path" not in notes["bag"]
    assert notes["nodes"]["detector"]["processed"] == FRAMES
    assert notes["lowest_scores"]["/detector/detections"] == pytest.approx(0.6)
    assert [path.name for path in (tmp_path / "golden").iterdir()] == ["drive"]


def test_equal_replays_give_equal_goldens(source: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        run = write_run(tmp_path / name / "run", source, painting())
        record_golden(run, tmp_path / name / "golden")
        files = sorted((tmp_path / name / "golden").iterdir())
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"golden.mcap", "golden.json", "metadata.yaml"}


def test_a_golden_replaces_a_bag_and_nothing_else(source: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", source, painting())
    golden = tmp_path / "golden"
    record_golden(run, golden, Tolerance(heatmap=0.01))
    with BagReader(golden) as kept:
        assert "/explainer/heatmap" in {topic.name for topic in kept.topics}
    record_golden(run, golden)
    with BagReader(golden) as kept:
        assert "/explainer/heatmap" not in {topic.name for topic in kept.topics}
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "dear.txt").write_text("do not lose me", encoding="utf-8")
    with pytest.raises(BagError, match="is not a bag, and is not replaced"):
        record_golden(run, letters)
    assert (letters / "dear.txt").read_text(encoding="utf-8") == "do not lose me"


def test_a_golden_that_cannot_be_written_leaves_the_old_one(source: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", source, painting())
    golden = tmp_path / "golden"
    record_golden(run, golden)
    before = (golden / "golden.mcap").read_bytes()
    (run.results / "results.mcap").write_bytes(b"\x89MCAP0\r\nbroken")
    with pytest.raises(BagError, match="cannot open"):
        record_golden(run, golden)
    assert (golden / "golden.mcap").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "golden"}


# Answers to one frame.

COORDINATE = st.floats(0, 200, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> LabelledBoxes:
    """Detections, also several alike and some without area."""
    count = draw(st.integers(0, 6))
    labels = [draw(st.sampled_from(("chair", "table"))) for _ in range(count)]
    scores = [draw(st.floats(0.5, 1, width=32)) for _ in range(count)]
    corners = np.array([[draw(COORDINATE) for _ in range(4)] for _ in range(count)], np.float32)
    corners = corners.reshape(-1, 2, 2)
    ordered = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    return LabelledBoxes(tuple(labels), np.array(scores, np.float32), ordered)


@given(boxes(), st.data())
def test_the_same_detections_in_any_order_pass(found: LabelledBoxes, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(found))))
    labels = tuple(found.labels[k] for k in order)
    shuffled = LabelledBoxes(labels, found.scores[order], found.boxes[order].reshape(-1, 4))
    difference = compare_boxes(found, shuffled, Tolerance())
    assert difference.what == ""
    assert not difference.missing.any() and not difference.surplus.any()


@given(boxes(), st.data())
def test_a_changed_detection_never_passes(found: LabelledBoxes, data: st.DataObject) -> None:
    if len(found) == 0:
        return
    k = data.draw(st.integers(0, len(found) - 1))
    labels, scores, places = list(found.labels), found.scores.copy(), found.boxes.copy()
    kind = data.draw(st.sampled_from(("label", "score", "place", "removed", "added")))
    if kind == "label":
        labels[k] = "person"
    elif kind == "score":
        scores[k] -= np.float32(0.4)
        if (np.abs(found.scores - scores[k]) <= 0.01).any():
            return  # may stand for another one
    elif kind == "place":
        places[k] += 500
    elif kind == "removed":
        labels.pop(k)
        scores, places = np.delete(scores, k), np.delete(places, k, axis=0)
    else:
        labels.append("chair")
        scores, places = np.append(scores, scores[k]), np.vstack([places, places[k]])
    changed = LabelledBoxes(tuple(labels), scores, places)
    assert compare_boxes(found, changed, Tolerance()).what
    assert compare_boxes(changed, found, Tolerance()).what


def test_detections_are_paired_by_the_nearest() -> None:
    here, there = (0.0, 0.0, 100.0, 100.0), (1.0, 0.0, 101.0, 100.0)
    two = LabelledBoxes(
        ("chair", "chair"), np.float32([0.9, 0.8]), np.array([here, there], np.float32)
    )
    swapped = LabelledBoxes(two.labels, two.scores[::-1], two.boxes)
    assert compare_boxes(two, two, Tolerance(box_iou=0.5)).what == ""
    assert compare_boxes(two, swapped, Tolerance(box_iou=0.5)).what == ""
    assert compare_boxes(two, swapped, Tolerance()).what == (
        "chair expected at [0.0, 0.0, 100.0, 100.0] with score 0.900, the score is not the same"
    )


def test_boxes_in_space_are_compared_in_metres() -> None:
    box = LabelledBoxes3D(
        ("chair",), np.float32([0.9]), np.array([[0.0, 0.0, 2.0]]), np.array([[0.5, 1.0, 0.5]])
    )
    near = replace(box, centers=box.centers + np.array([[0.03, 0, 0]]))
    far = replace(box, centers=box.centers + np.array([[0.0, 0.0, 0.06]]))
    wide = replace(box, sizes=box.sizes + np.array([[0.06, 0, 0]]))
    assert compare_boxes_3d(box, near, Tolerance()).what == ""
    assert compare_boxes_3d(box, far, Tolerance()).what == (
        "chair expected at (0.00, 0.00, 2.00) m, nothing is within 0.05 m (the nearest 0.060 m)"
    )
    assert compare_boxes_3d(box, wide, Tolerance()).what


def test_masks_of_different_sizes_differ() -> None:
    small, large = np.zeros((2, 3), np.uint8), np.zeros((4, 3), np.uint8)
    assert compare_masks(small, large, Tolerance(mask=1.0)) == "the mask is 3x4, expected 3x2"


# Maps.


@st.composite
def maps(draw: st.DrawFn) -> Leaves:
    """Small maps of free and occupied cells, with equal siblings joined."""
    picked = draw(st.sets(st.integers(0, 511), max_size=120)) | (
        set(range(64)) if draw(st.booleans()) else set()
    )
    codes = np.array(sorted(picked), np.int64)
    cells = np.stack([codes // 64, codes // 8 % 8, codes % 8], axis=1)
    leaves = as_leaves(cells)
    values = np.where(draw(st.booleans()), 1, -1) * np.ones(len(leaves), np.float32)
    values[: len(values) // 2] *= -1
    return Leaves(leaves.keys, leaves.depths, values.astype(np.float32))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(maps(), maps())
def test_maps_are_compared_cell_by_cell(first: Leaves, second: Leaves) -> None:
    keys = np.indices((8, 8, 8)).reshape(3, -1).T + 32768
    states = []
    for leaves in (first, second):
        found = find_leaves(leaves, keys.astype(np.uint16))
        occupied = np.append(leaves.occupied, False)[found]
        states.append(np.where(found < 0, 0, np.where(occupied, 2, 1)))
    before, after = states
    assert compare_maps(first, second) == MapDifference(
        int(((before > 0) | (after > 0)).sum()),
        int((before != after).sum()),
        int(((before == 2) & (after != 2)).sum()),
        int(((before != 2) & (after == 2)).sum()),
    )
    assert compare_maps(first, first).differing == 0


def test_empty_maps_are_equal() -> None:
    assert compare_maps(Leaves.empty(), Leaves.empty()) == MapDifference(0, 0, 0, 0)
    assert compare_maps(Leaves.empty(), Leaves.empty()).share == 0
