"""Accuracy against what was really there: as computed directly, and nothing left out in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import BagError, MapError
from cnn_perception.metrics.detection import DetectionMetric
from cnn_perception.metrics.segmentation import SegmentationMetric
from cnn_perception.replay.accuracy.accuracy import Accuracy, measure
from cnn_perception.replay.accuracy.map_accuracy import measure_map
from cnn_perception.replay.plan import Truth
from cnn_perception.types import Detections
from painted_replay import (
    FRAMES,
    LABELS,
    MASK_LABELS,
    Frame,
    Painting,
    as_leaves,
    painting,
    wall,
    write_run,
    write_source,
)
from plain_streams import encode_file


def truth() -> tuple[Frame, ...]:
    """What was really there: the chair a little aside, a table in every frame, half the floor."""
    frames = []
    for each in painting().frames:
        _, score, (x0, y0, x1, y1) = each.found[0]
        there = (
            ("chair", score, (x0 + 2 * each.index, y0, x1 + 2 * each.index, y1)),
            ("table", 1.0, (90.0, 50.0, 150.0, 110.0)),
        )
        mask = each.mask.copy()
        mask[:, ::2] = np.where(mask[:, ::2] == 1, 0, mask[:, ::2])
        frames.append(replace(each, found=there, mask=mask))
    return tuple(frames)


def measured(
    folder: Path, true: tuple[Frame, ...], what: Painting | None = None, named: Truth | None = None
) -> Accuracy | None:
    source = write_source(folder / "drive", truth=true)
    run = write_run(folder / "run", source, what or painting())
    return measure(run, named or Truth())


def as_detections(frame: Frame) -> Detections:
    return Detections(
        np.array([box for _, _, box in frame.found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in frame.found], np.float32),
        np.array([LABELS.index(label) for label, _, _ in frame.found], np.int32),
    )


def test_it_equals_a_direct_computation(tmp_path: Path) -> None:
    boxes, masks = DetectionMetric(len(LABELS)), SegmentationMetric(len(MASK_LABELS))
    for answer, true in zip(painting().frames, truth(), strict=True):
        there = as_detections(true)
        none = np.zeros(len(there), bool)
        boxes.update(as_detections(answer), there.boxes, there.class_ids, none)
        masks.update(answer.mask, true.mask)
    found = measured(tmp_path, truth())
    assert found is not None
    figures = found.as_mapping()
    assert figures["map_50"] == pytest.approx(boxes.map_50(), abs=1e-4)
    assert figures["map_50_95"] == pytest.approx(boxes.map_50_95(), abs=1e-4)
    assert 0.3 < figures["map_50_95"] < figures["map_50"] < 1
    assert figures["ap"]["table"] == pytest.approx(0.5)
    assert figures["ap"]["person"] is None
    assert figures["miou"] == pytest.approx(masks.mean_iou(), abs=1e-4)
    assert figures["iou"]["chair"] == 1.0 and figures["iou"]["floor"] < 0.6
    assert list(figures["iou"]) == list(MASK_LABELS)
    assert figures["frames"] == {
        kind: {"matched": FRAMES, "truth_alone": 0, "answer_alone": 0}
        for kind in ("detections", "mask")
    }
    assert set(found.curves()) == {"chair", "table"}
    assert json.loads(json.dumps(figures)) == figures


def test_answers_that_are_right_are_perfect(tmp_path: Path) -> None:
    found = measured(tmp_path, painting().frames)
    assert found is not None
    figures = found.as_mapping()
    assert (figures["map_50"], figures["map_50_95"], figures["miou"]) == (1.0, 1.0, 1.0)
    assert "unknown_labels" not in figures


def test_labels_that_the_model_does_not_know_are_named(tmp_path: Path) -> None:
    true = list(truth())
    sofa = (*true[1].found, ("sofa", 1.0, (0.0, 0.0, 10.0, 10.0)))
    mask = true[2].mask.copy()
    mask[0, :5], mask[0, 5:9] = 17, 255
    true[1], true[2] = replace(true[1], found=sofa), replace(true[2], mask=mask)
    found, plain = measured(tmp_path, tuple(true)), measured(tmp_path / "plain", truth())
    assert found is not None and plain is not None
    assert found.as_mapping()["unknown_labels"] == {"mask id 17": 5, "sofa": 1}
    assert found.as_mapping()["map_50"] == plain.as_mapping()["map_50"]
    assert found.segmentation is not None
    assert found.segmentation.pixels().sum() == FRAMES * 160 * 120 - 9


def test_frames_without_a_partner_are_counted(tmp_path: Path) -> None:
    what = painting()
    found = measured(tmp_path, truth()[:6], replace(what, frames=what.frames[1:]))
    assert found is not None
    assert found.as_mapping()["frames"]["detections"] == {
        "matched": 5,
        "truth_alone": 1,
        "answer_alone": 2,
    }


def test_truth_of_another_camera_is_no_partner(tmp_path: Path) -> None:
    true = tuple(replace(each, frame_id="other") for each in truth())
    found = measured(tmp_path, true)
    assert found is not None
    assert found.as_mapping()["frames"]["mask"] == {
        "matched": 0,
        "truth_alone": FRAMES,
        "answer_alone": FRAMES,
    }
    assert found.as_mapping()["map_50"] is None


def test_truth_beyond_the_replayed_part_does_not_count(tmp_path: Path) -> None:
    what = painting()
    part = replace(what, frames=what.frames[:4], window=(0.0, 0.4))
    found = measured(tmp_path, truth(), part)
    assert found is not None
    assert found.as_mapping()["frames"]["mask"]["truth_alone"] == 0


def test_truth_may_be_recorded_later_than_its_image(tmp_path: Path) -> None:
    late = tuple(replace(each, index=each.index + 3) for each in truth())
    found = measured(tmp_path, late)
    assert found is not None
    assert found.as_mapping()["frames"]["detections"]["matched"] == FRAMES


def test_without_truth_nothing_is_measured(tmp_path: Path) -> None:
    assert measured(tmp_path, ()) is None


def test_a_truth_topic_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="has nothing on /truth, which the plan names"):
        measured(tmp_path, truth(), named=Truth(detections="/truth"))


def test_truth_of_another_size_is_an_error(tmp_path: Path) -> None:
    true = tuple(replace(each, mask=each.mask[::2, ::2].copy()) for each in truth())
    with pytest.raises(BagError, match="record truth in the size of the images"):
        measured(tmp_path, true)


def test_topics_may_be_named(tmp_path: Path) -> None:
    named = Truth("/ground_truth/detections", "/ground_truth/mask")
    found, usual = measured(tmp_path, truth(), named=named), measured(tmp_path / "usual", truth())
    assert found is not None and usual is not None
    assert found.as_mapping() == usual.as_mapping()


# Maps.


def write_map(
    path: Path, cells: np.ndarray, resolution: float = 0.1, *, binary: bool = True
) -> Path:
    path.write_bytes(encode_file(as_leaves(cells), resolution, binary))
    return path


def test_a_map_is_right_within_one_cell(tmp_path: Path) -> None:
    cells = wall()
    true = write_map(tmp_path / "true.ot", cells, binary=False)
    assert measure_map(write_map(tmp_path / "a.bt", cells), true).precision == 1
    beside = measure_map(write_map(tmp_path / "b.bt", cells + np.array([1, 0, 0])), true)
    assert (beside.precision, beside.recall) == (1, 1)
    away = measure_map(write_map(tmp_path / "c.bt", cells + np.array([2, 0, 0])), true)
    assert (away.precision, away.recall) == (0, 0)
    half = np.concatenate([cells[:200], cells[:100] + np.array([50, 0, 0])])
    part = measure_map(write_map(tmp_path / "d.bt", half), true)
    assert part.precision == pytest.approx(200 / 300)
    assert part.recall == pytest.approx((200 + 20) / 400)  # the next column is within one cell


def test_neighbours_are_those_that_lie_nearby(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    ours, theirs = (np.unique(rng.integers(-9, 9, (60, 3)), axis=0) for _ in range(2))
    apart = np.abs(ours[:, None] - theirs).max(-1)
    paths = [write_map(tmp_path / f"{k}.bt", cells) for k, cells in enumerate((ours, theirs))]
    found = measure_map(*paths)
    assert found.precision == pytest.approx((apart.min(1) <= 1).mean())
    assert found.recall == pytest.approx((apart.min(0) <= 1).mean())


def test_a_finer_map_is_compared_in_the_coarser_cells(tmp_path: Path) -> None:
    fine = write_map(tmp_path / "fine.bt", wall(40) + np.array([30, 0, 0]), 0.05)
    coarse = write_map(tmp_path / "coarse.bt", wall(20), 0.1)
    found = measure_map(fine, coarse)
    assert (found.precision, found.recall) == (1, 1)


def test_a_map_is_measured_with_the_rest(tmp_path: Path) -> None:
    true = write_map(tmp_path / "true.bt", wall())
    found = measured(tmp_path, (), named=Truth(map=true))
    assert found is not None
    assert found.as_mapping() == {"map_precision": 1.0, "map_recall": 1.0}


def test_a_true_map_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="cannot read the map"):
        measured(tmp_path, (), named=Truth(map=tmp_path / "absent.bt"))
