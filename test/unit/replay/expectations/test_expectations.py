"""What a replay is held to: the file, the defaults, and everything that must not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnn_perception.errors import BagError, ConfigError
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.expectations import check, load_expectations
from cnn_perception.replay.expectations.golden import record_golden
from cnn_perception.replay.expectations.schema import Bound, Expectations, LabelTerm, Tolerance
from painted_drive import stamp_of
from painted_replay import FRAMES, Painting, painting, write_run, write_source
from recorded_robot import NETWORKS


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source") / "drive")


@pytest.fixture(scope="module")
def golden(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    run = write_run(folder / "run", source, painting())
    record_golden(run, folder / "golden" / "drive")
    return folder / "golden" / "drive"


def judged(
    out: Path, source: Path, what: Painting, expectations: Expectations | None = None
) -> dict[str, Check]:
    """Check a replay; returns the checks by name, which are unique."""
    run = write_run(out / "run", source, what)
    checks = check(run, expectations or Expectations())
    assert len({each.name for each in checks}) == len(checks)
    assert all(each.message and "\n" not in each.message for each in checks)
    return {each.name: each for each in checks}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, each in checks.items() if not each.passed}


# What every replay is held to.


def test_a_replay_in_which_all_went_well_passes(source: Path, golden: Path, tmp_path: Path) -> None:
    checks = judged(tmp_path, source, painting(), Expectations(golden=golden))
    assert failed(checks) == set()
    assert checks["received.detector"].message == "received all 8 messages"
    assert checks["golden./detector/detections"].message == "8 frames are as expected"
    assert not list((tmp_path / "run").glob("failures/*"))


def other_threshold(what: Painting) -> Painting:
    for index in range(FRAMES):
        found = (*what.frames[index].found, ("person", 0.45, (5.0, 5.0, 25.0, 60.0)))
        what = what.with_frame(index, found=found)
    return replace(what, threshold=0.4)


def higher_threshold(what: Painting) -> Painting:
    # The nodes do not say so: label_info is unchanged.
    for index in range(FRAMES):
        kept = tuple(each for each in what.frames[index].found if each[1] >= 0.7)
        what = what.with_frame(index, found=kept)
    return what


def wrong_stamp(what: Painting) -> Painting:
    return what.with_frame(5, stamp_ns=what.frames[5].stamp_ns + 1)


def wrong_frame(what: Painting) -> Painting:
    return what.with_frame(5, frame_id="base_link")


def shifted(what: Painting) -> Painting:
    for index in range(FRAMES):
        found = tuple(
            (label, score, (x0 + 3, y0, x1 + 3, y1))
            for label, score, (x0, y0, x1, y1) in what.frames[index].found
        )
        what = what.with_frame(index, found=found)
    return what


def one_lost(what: Painting) -> Painting:
    """A frame that nobody accounts for."""
    left = tuple(r for r in what.records if r.stamp_ns != stamp_of(5))
    return replace(what.without_frame(5), records=left)


def one_dropped(what: Painting) -> Painting:
    """A frame that the nodes say they dropped."""
    return what.dropping(5, *NETWORKS, reason="superseded", detail="a newer one came")


def other_resolution(what: Painting) -> Painting:
    return replace(what, resolution=0.11)


def moved_wall(what: Painting) -> Painting:
    return replace(what, cells=what.cells + np.array([1, 0, 0]))


def other_mask(what: Painting) -> Painting:
    mask = what.frames[2].mask.copy()
    mask[:5, :20] = 2
    return what.with_frame(2, mask=mask)


def renamed_class(what: Painting) -> Painting:
    return replace(what, labels=("seat", "table", "person"))


@pytest.mark.parametrize(
    ("change", "names", "text"),
    [
        (
            other_threshold,
            {"golden./detector/detections", "golden./detector/label_info"},
            "8 of 8 frames differ, first at 0.000 s (stamp 1700000000.000000000): person at "
            "[5.0, 5.0, 25.0, 60.0], 0.450, was not expected",
        ),
        (
            higher_threshold,
            {"golden./detector/detections"},
            "4 of 8 frames differ, first at 0.100 s (stamp 1700000000.100000000): table expected "
            "at [90.0, 50.0, 150.0, 110.0], there is none",
        ),
        (
            wrong_stamp,
            {
                f"{kind}.{topic}"
                for kind in ("headers", "golden")
                for topic in (
                    "/detector/detections",
                    "/segmenter/mask",
                    "/explainer/explained",
                )
            }
            | {"headers./explainer/heatmap"},
            "1 of 8 frames differ, first at 0.500 s (stamp 1700000000.500000000): the stamp is +1 "
            "ns from the expected one",
        ),
        (
            wrong_frame,
            {
                f"{kind}.{topic}"
                for kind in ("headers", "golden")
                for topic in (
                    "/detector/detections",
                    "/segmenter/mask",
                    "/explainer/explained",
                )
            }
            | {"headers./explainer/heatmap"},
            "first at 0.500 s (stamp 1700000000.500000000): the frame_id is 'base_link', expected "
            "'camera'",
        ),
        (
            shifted,
            {"golden./detector/detections", "golden./explainer/explained"},
            "8 of 8 frames differ, first at 0.000 s (stamp 1700000000.000000000): chair expected "
            "at [20.0, 30.0, 60.0, 90.0], nothing overlaps by 0.99 (the nearest by 0.860)",
        ),
        (
            one_lost,
            {f"received.{node}" for node in ("detector", "segmenter", "explainer", "mapper")}
            | {f"golden.frames.{node}" for node in ("detector", "segmenter", "explainer", "mapper")}
            | {
                "golden./detector/detections",
                "golden./segmenter/mask",
                "golden./explainer/explained",
            },
            "1 of 8 frames differ, first at 0.500 s (stamp 1700000000.500000000): the frame is "
            "missing",
        ),
        (
            one_dropped,
            {f"processed.{node}" for node in ("detector", "segmenter", "explainer")}
            | {f"golden.frames.{node}" for node in ("detector", "segmenter", "explainer")}
            | {
                "golden./detector/detections",
                "golden./segmenter/mask",
                "golden./explainer/explained",
            },
            "the frame is missing",
        ),
    ],
)
def test_a_regression_fails(
    change: Callable[[Painting], Painting],
    names: set[str],
    text: str,
    source: Path,
    golden: Path,
    tmp_path: Path,
) -> None:
    changed = change(painting())
    checks = judged(tmp_path, source, changed, Expectations(golden=golden))
    assert failed(checks) == names
    wrong = checks["golden./detector/detections"]
    assert text in wrong.message
    assert wrong.picture is not None
    picture = cv2.imread(str(wrong.picture))
    assert picture.shape[1] > 2 * 520  # two panels


@pytest.mark.parametrize(
    ("change", "name", "text"),
    [
        (other_resolution, "golden./octomap_binary", "cells of 0.11 m, expected 0.1 m"),
        (
            moved_wall,
            "golden./octomap_binary",
            "100.000% of 800 known cells differ, 0.100% are tolerated: 400 are no longer occupied, "
            "400 newly",
        ),
        (
            other_mask,
            "golden./segmenter/mask",
            "/segmenter/mask: 1 of 8 frames differ, first at 0.200 s (stamp 1700000000.200000000): "
            "0.521% of the pixels differ, 0.100% are tolerated",
        ),
        (renamed_class, "golden./detector/label_info", "class 0 is seat, expected chair"),
    ],
)
def test_a_regression_of_another_kind_fails(
    change: Callable[[Painting], Painting],
    name: str,
    text: str,
    source: Path,
    golden: Path,
    tmp_path: Path,
) -> None:
    changed = change(painting())
    checks = judged(tmp_path, source, changed, Expectations(golden=golden))
    assert failed(checks) == {name}
    assert checks[name].message == text


def test_without_a_golden_drops_and_headers_are_looked_at(source: Path, tmp_path: Path) -> None:
    checks = judged(tmp_path, source, one_dropped(wrong_stamp(painting())))
    assert failed(checks) == {f"processed.{n}" for n in NETWORKS}
    assert checks["processed.detector"].message == (
        "dropped 1 of 8 messages (1 superseded), the first drop at 0.500 s (stamp "
        "1700000000.500000000): a newer one came"
    )
    assert checks["processed.detector"].stamp_ns == stamp_of(5)


def test_answers_that_nobody_accounts_for_fail(source: Path, tmp_path: Path) -> None:
    what = painting()
    checks = judged(tmp_path, source, replace(what, frames=what.frames[:5]))
    wrong = checks["headers./detector/detections"]
    assert not wrong.passed
    assert wrong.message == (
        "/detector/detections: 3 of 8 frames differ, first at 0.500 s (stamp "
        "1700000000.500000000): 0 of 1 answers came"
    )


def test_a_frame_that_the_recording_does_not_have_fails(source: Path, tmp_path: Path) -> None:
    what = painting(FRAMES + 1)
    checks = judged(tmp_path, source, what)
    assert checks["received.detector"].message == "received 9 of 8 messages of /camera/color"
    assert not checks["headers./segmenter/mask"].passed


def test_a_replay_in_which_nothing_happened_fails(source: Path, tmp_path: Path) -> None:
    what = replace(painting(), frames=(), records=())
    checks = judged(tmp_path, source, what)
    assert "frames" in failed(checks)


def test_a_node_without_results_fails(source: Path, tmp_path: Path) -> None:
    what = painting()
    silent = tuple(replace(r, node="finder") for r in what.records if r.node == "detector")
    checks = judged(tmp_path, source, replace(what, records=(*what.records, *silent)))
    assert checks["headers.finder"].message == (
        "processed 8 frames, but the results have no topic of it"
    )


def test_a_topic_of_a_node_that_took_no_part_fails(source: Path, tmp_path: Path) -> None:
    what = painting()
    records = tuple(r for r in what.records if r.node != "segmenter")
    checks = judged(tmp_path, source, replace(what, records=records))
    assert failed(checks) == {"headers./segmenter/mask"}
    assert checks["headers./segmenter/mask"].message == (
        "/segmenter/mask belongs to no node of this replay: there were detector, explainer, mapper"
    )


def test_a_part_of_the_recording_is_held_to_that_part(source: Path, tmp_path: Path) -> None:
    what = painting()
    part = replace(
        what,
        frames=what.frames[2:5],
        records=tuple(r for r in what.records if stamp_of(2) <= r.stamp_ns < stamp_of(5)),
        window=(0.2, 0.5),
    )
    assert failed(judged(tmp_path, source, part)) == set()
    whole = replace(part, window=(0.0, None))
    checks = judged(tmp_path / "whole", source, whole)
    assert checks["received.mapper"].message == "received 3 of 8 messages of /camera/depth"


def test_the_map_must_have_the_stamp_of_a_scan(source: Path, tmp_path: Path) -> None:
    what = painting()
    last = what.records[-1]
    moved = replace(last, node="elsewhere", stamp_ns=last.stamp_ns + 5)
    checks = judged(tmp_path, source, replace(what, records=(*what.records[:-1], last, moved)))
    assert "which no scan has that was mapped" in checks["headers./octomap_binary"].message


def test_a_recording_that_is_gone_is_an_error(source: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    run = write_run(tmp_path / "run", gone, painting())
    with pytest.raises(BagError, match="no bag at"):
        check(run, Expectations())


# Golden results.


def test_a_golden_that_is_not_there_fails(source: Path, tmp_path: Path) -> None:
    absent = Expectations(golden=tmp_path / "absent")
    checks = judged(tmp_path, source, painting(), absent)
    assert failed(checks) == {"golden"}
    assert "make them with --update" in checks["golden"].message


def test_a_golden_of_another_recording_fails(source: Path, golden: Path, tmp_path: Path) -> None:
    part = replace(painting(), window=(0.0, 5.0))
    checks = judged(tmp_path, source, part, Expectations(golden=golden))
    assert failed(checks) == {"golden.bag"}
    assert "window_s [0.0, 5.0], golden [0.0, None]" in checks["golden.bag"].message


def test_topics_must_be_the_same(source: Path, golden: Path, tmp_path: Path) -> None:
    more = {"/detector/detections_3d": "vision_msgs/msg/Detection3DArray"}
    what = replace(painting(), extra_topics=more)
    checks = judged(tmp_path, source, what, Expectations(golden=golden))
    assert checks["golden.topics"].message == (
        "/detector/detections_3d: is new, --update takes it in"
    )


def test_a_wider_tolerance_lets_it_pass(source: Path, golden: Path, tmp_path: Path) -> None:
    wide = Expectations(golden=golden, tolerance=Tolerance(box_iou=0.8))
    assert failed(judged(tmp_path, source, shifted(painting()), wide)) == set()


def test_a_detection_on_the_brink_may_come_and_go(
    source: Path, golden: Path, tmp_path: Path
) -> None:
    what = painting()
    brink = (*what.frames[3].found, ("person", 0.5004, (5.0, 5.0, 25.0, 60.0)))
    expected = Expectations(golden=golden)
    assert failed(judged(tmp_path, source, what.with_frame(3, found=brink), expected)) == set()
    sure = (*what.frames[3].found, ("person", 0.51, (5.0, 5.0, 25.0, 60.0)))
    checks = judged(tmp_path / "sure", source, what.with_frame(3, found=sure), expected)
    assert failed(checks) == {"golden./detector/detections"}


def test_an_explained_answer_that_is_gone_fails(source: Path, golden: Path, tmp_path: Path) -> None:
    # Its score is the lowest of those explained, but far above what the detector keeps.
    last = painting().frames[-1]
    what = painting().with_frame(FRAMES - 1, found=last.found[1:])
    checks = judged(tmp_path, source, what, Expectations(golden=golden))
    assert failed(checks) == {"golden./detector/detections", "golden./explainer/explained"}
    assert "chair expected at [55.0, 30.0, 95.0, 90.0], there is none" in (
        checks["golden./explainer/explained"].message
    )


def test_cameras_have_names(source: Path, tmp_path: Path) -> None:
    what = painting(cameras=("front",))
    first = write_run(tmp_path / "first", source, what)
    record_golden(first, tmp_path / "golden")
    terms = (
        LabelTerm(must=("chair",), node="front/detector", min_frames=8),
        LabelTerm(must=("chair",)),
    )
    expected = Expectations(golden=tmp_path / "golden", labels=terms)
    checks = judged(tmp_path / "same", source, what, expected)
    assert failed(checks) == {"labels[1].must.chair"}
    assert "did you mean front/detector?" in checks["labels[1].must.chair"].message
    assert checks["headers./front/detector/detections"].passed
    checks = judged(tmp_path / "shifted", source, shifted(what), expected)
    wrong = checks["golden./front/detector/detections"]
    assert not wrong.passed
    assert wrong.picture is not None and wrong.picture.is_file()


def test_a_damaged_answer_is_a_difference(source: Path, golden: Path, tmp_path: Path) -> None:
    what = painting()
    nowhere = (("chair", 0.9, (float("nan"), 30.0, 60.0, 90.0)),)
    checks = judged(
        tmp_path, source, what.with_frame(0, found=nowhere), Expectations(golden=golden)
    )
    assert failed(checks) == {"golden./detector/detections", "golden./explainer/explained"}


def test_heat_is_compared_where_it_is_asked_for(source: Path, tmp_path: Path) -> None:
    what = painting()
    run = write_run(tmp_path / "first", source, what)
    tolerance = Tolerance(heatmap=0.001)
    record_golden(run, tmp_path / "golden", tolerance)
    expected = Expectations(golden=tmp_path / "golden", tolerance=tolerance)
    assert failed(judged(tmp_path / "same", source, what, expected)) == set()
    colder = what.with_frame(4, heat=what.frames[4].heat * np.float32(0.9))
    checks = judged(tmp_path / "colder", source, colder, expected)
    assert failed(checks) == {"golden./explainer/heatmap"}
    assert checks["golden./explainer/heatmap"].message == (
        "/explainer/heatmap: 1 of 8 frames differ, first at 0.400 s (stamp 1700000000.400000000): "
        "the heat differs by 0.0021 on average, 0.001 is tolerated"
    )


# What is asked for in the file.


def test_bounds_on_counts_allow_drops(source: Path, tmp_path: Path) -> None:
    exact = Bound(7, 7)
    limits = {node: {"processed": exact} for node in ("detector", "segmenter", "explainer")}
    expected = Expectations(frames=limits)
    assert failed(judged(tmp_path, source, one_dropped(painting()), expected)) == set()
    checks = judged(tmp_path / "none", source, painting(), expected)
    assert checks["frames.detector.processed"].message == (
        "processed messages: 8, expected exactly 7"
    )
    assert failed(checks) == {f"frames.{node}.processed" for node in limits}


def test_drops_may_be_allowed_by_reason(source: Path, tmp_path: Path) -> None:
    dropped = one_dropped(painting())
    three = Expectations(drops={"superseded": Bound(maximum=3)})
    assert failed(judged(tmp_path, source, dropped, three)) == set()
    two = Expectations(drops={"superseded": Bound(maximum=2)})
    checks = judged(tmp_path / "two", source, dropped, two)
    assert failed(checks) == {"drops.superseded"}
    assert checks["drops.superseded"].message == (
        "messages dropped as superseded: 3, expected 2 or less"
    )
    other = Expectations(drops={"no_transform": Bound(maximum=9)})
    assert "processed.detector" in failed(judged(tmp_path / "other", source, dropped, other))


def test_rates_and_latencies(source: Path, tmp_path: Path) -> None:
    expected = Expectations(
        rate={"detector": Bound(9.9, 10.1), "mapper": Bound(minimum=11), "detctor": Bound(1, 2)},
        latency={"segmenter": {"p50": Bound(8.5, 8.5), "max": Bound(maximum=11)}},
    )
    checks = judged(tmp_path, source, painting(), expected)
    assert failed(checks) == {"rate.mapper", "rate.detctor", "latency.segmenter.max"}
    assert checks["rate.mapper"].message == (
        "frames per second by their stamps: 10, expected 11 or more"
    )
    assert "did you mean detector?" in checks["rate.detctor"].message
    assert checks["latency.segmenter.max"].message == (
        "max latency in milliseconds: 12, expected 11 or less"
    )


def test_labels_that_must_and_must_not_be_seen(source: Path, tmp_path: Path) -> None:
    terms = (
        LabelTerm(must=("chair", "table"), min_score=0.5, min_frames=4),
        LabelTerm(must=("table",), window_s=(0.0, 0.25), min_frames=2),
        LabelTerm(must_not=("person", "table"), window_s=(0.5, None)),
        LabelTerm(must=("chiar",), must_not=("car",)),
        LabelTerm(must=("chair",), window_s=(5.0, 6.0)),
        LabelTerm(must=("floor",), min_score=0.3, min_frames=8, node="segmenter"),
        LabelTerm(must=("chair",), node="explainer", min_frames=8),
        LabelTerm(must=("chair",), node="finder"),
        LabelTerm(must_not=("chair",), node="segmenter", min_score=0.1),
    )
    checks = judged(tmp_path, source, painting(), Expectations(labels=terms))
    wrong = {name: checks[name].message for name in failed(checks)}
    assert wrong == {
        "labels[1].must.table": "table is in 1 of 3 frames from 0 s to 0.25 s, expected in 2 or "
        "more; not seen first at 0.000 s (stamp 1700000000.000000000)",
        "labels[2].must_not.table": "table is in 2 of 3 frames from 0.5 s to the end, expected in "
        "none; seen first at 0.500 s (stamp 1700000000.500000000)",
        "labels[3].must.chiar": "the model has no label chiar: did you mean chair?",
        "labels[3].must_not.car": "the model has no label car: did you mean chair?",
        "labels[4].must.chair": "there is no frame from 5 s to 6 s: correct the window",
        "labels[7].must.chair": "no node finder took part in this replay: there were detector, "
        "segmenter, explainer",
        "labels[8].must_not.chair": "chair with score 0.1 or more is in 8 of 8 frames from 0 s to "
        "the end, expected in none; seen first at 0.000 s (stamp 1700000000.000000000)",
    }
    drawn = {name for name in wrong if checks[name].picture is not None}
    assert drawn == {
        "labels[1].must.table",
        "labels[2].must_not.table",
        "labels[8].must_not.chair",
    }


def test_figures_of_map_and_accuracy(source: Path, tmp_path: Path) -> None:
    expected = Expectations(
        map={"resolution": Bound(0.1, 0.1), "occupied": Bound(minimum=1000)},
        accuracy={"map_50": Bound(minimum=0.6), "miou": Bound(minimum=0.5)},
    )
    what = replace(painting(), accuracy={"map_50": 0.7, "miou": None})
    checks = judged(tmp_path, source, what, expected)
    assert failed(checks) == {"map.occupied", "accuracy.miou"}
    assert checks["map.occupied"].message == "occupied: 400, expected 1000 or more"
    assert checks["accuracy.miou"].message == "there is no figure of miou, expected 0.5 or more"
    unmeasured = judged(tmp_path / "none", source, painting(), expected)
    assert "record what was really there" in unmeasured["accuracy.map_50"].message


# The file.

MANUAL = Path(__file__).resolve().parents[4] / "docs" / "expectations.md"


def test_the_example_of_the_manual(tmp_path: Path) -> None:
    file = tmp_path / "expect.yaml"
    example = MANUAL.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    file.write_text(example, encoding="utf-8")
    expected = load_expectations(file)
    assert expected == Expectations(
        golden=tmp_path / "golden" / "drive",
        tolerance=Tolerance(0.95, 0.02, 0.1, 0.005, 0.01, 0.002),
        frames={
            "detector": {"processed": Bound(120, 120)},
            "mapper": {"processed": Bound(minimum=118), "dropped": Bound(maximum=2)},
        },
        drops={"no_transform": Bound(maximum=3)},
        rate={"detector": Bound(9, 11)},
        latency={"detector": {"p95": Bound(maximum=50)}},
        labels=(
            LabelTerm(("chair",), (), (2.0, 5.0), 0.5, 3, "detector"),
            LabelTerm(must_not=("person",)),
        ),
        map={"occupied": Bound(minimum=1000), "resolution": Bound(0.05, 0.05)},
        accuracy={
            "map_50": Bound(minimum=0.6),
            "miou": Bound(minimum=0.5),
            "map_precision": Bound(minimum=0.9),
        },
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "golden:\n"])
def test_an_empty_file_holds_the_defaults(text: str, tmp_path: Path) -> None:
    file = tmp_path / "expect.yaml"
    file.write_text(text, encoding="utf-8")
    assert load_expectations(file) == Expectations()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("goldn: x", "unknown key goldn: did you mean golden?"),
        ("tolerance: {iou: 0.9}", "unknown key tolerance.iou: did you mean box_iou?"),
        ("tolerance: {score: 2}", "tolerance.score = 2: give a number from 0 to 1"),
        ("tolerance: {score:}", "the key tolerance.score is missing"),
        ("frames: {detector: 120}", "frames.detector is 120: give a mapping"),
        ("frames: {detector: {proccessed: 120}}", "did you mean processed?"),
        ("frames: {detector: {processed: {}}}", "frames.detector.processed has neither min nor"),
        ("frames: {detector: {processed: {least: 1}}}", "unknown key frames.detector.processed"),
        ("drops: {no_transfrom: 1}", "did you mean no_transform?"),
        ("rate: {detector: {min: 3, max: 2}}", "rate.detector has min 3 above max 2"),
        ("rate: {detector: fast}", "rate.detector = 'fast': give a number"),
        ("rate: [1]", "rate is [1]: give a mapping"),
        ("latency: {detector: {p90: 1}}", "unknown key latency.detector.p90"),
        ("labels: {must: [chair]}", "labels = {'must': ['chair']}: give a list"),
        ("labels: [{window: [0, 1]}]", "labels[0].must is missing"),
        ("labels: [{must: chair}]", "labels[0].must = 'chair': give a list"),
        ("labels: [{must: [chair], window: [3, 2]}]", "labels[0].window = [3, 2] ends before"),
        ("labels: [{must: [chair], min_frames: 0}]", "labels[0].min_frames = 0"),
        ("accuracy: {map50: 1}", "unknown key accuracy.map50: did you mean map_50?"),
        ("map: {occupied: .nan}", "map.occupied = nan: give a number"),
        ("golden: [", "is not valid YAML"),
        ("golden: a\ngolden: b", "the key 'golden' is given twice"),
        ("- golden", "the file is ['golden']: give a mapping"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "expect.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_expectations(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_expectations(tmp_path / "absent.yaml")
