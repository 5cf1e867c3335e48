"""Two replays are compared message by message, whatever one of them lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnn_perception.replay.report.comparison import compare, compare_results
from cnn_perception.replay.run import ReplayRun
from painted_replay import FRAMES, painting, recorded_at, write_run, write_source
from recorded_robot import NETWORKS


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_source(tmp_path / "drive")


@pytest.fixture
def before(tmp_path: Path, drive: Path) -> ReplayRun:
    return write_run(tmp_path / "before", drive, painting())


def test_equal_replays_have_equal_results(tmp_path: Path, drive: Path, before: ReplayRun) -> None:
    same = compare(before, write_run(tmp_path / "after", drive, painting()))
    assert same.results_equal
    assert same.nothing_changed
    assert same.changes == {}
    assert same.topics is not None
    counts = {topic.topic: topic.messages for topic in same.topics}
    assert counts["/detector/detections"] == FRAMES
    assert counts["/detector/label_info"] == 1


def test_a_missing_message_does_not_shift_the_others(
    tmp_path: Path, drive: Path, before: ReplayRun
) -> None:
    # Of image 6 there is nothing at all, of image 4 only the mask is missing.
    what = painting().dropping(4, "segmenter", reason="late").dropping(6, *NETWORKS, reason="late")
    after = write_run(tmp_path / "after", drive, what)
    for old, new in ((before, after), (after, before)):
        differ = {topic.topic: topic for topic in compare_results(old, new) if topic.differ}
        assert len(differ) == 4
        mask, heat = differ["/segmenter/mask"], differ["/explainer/heatmap"]
        assert (mask.messages, mask.differ, mask.first_ns) == (FRAMES, 2, recorded_at(4))
        assert (heat.messages, heat.differ, heat.first_ns) == (FRAMES, 1, recorded_at(6))


def test_what_has_equal_digests_is_not_read(tmp_path: Path, drive: Path) -> None:
    runs = []
    for name, score, other in (("a", 0.9, "x"), ("b", 0.8, "y")):
        digests = {"/detector/detections": "same", "/segmenter/mask": other}

        def change(summary: dict[str, Any], digests: dict[str, str] = digests) -> None:
            summary["digests"] = digests

        runs.append(write_run(tmp_path / name, drive, painting(score=score), change))
    differ = {topic.topic: topic.differ for topic in compare_results(*runs)}
    assert differ["/detector/detections"] == 0
    assert differ["/segmenter/mask"] == 0
    assert differ["/explainer/explained"] == FRAMES


def test_topics_of_one_side_differ(tmp_path: Path, drive: Path, before: ReplayRun) -> None:
    after = write_run(tmp_path / "after", drive, painting(cameras=("front",)))
    differ = {topic.topic: topic.differ for topic in compare_results(before, after)}
    assert differ["/detector/detections"] == differ["/front/detector/detections"] == FRAMES
    changes = compare(before, after).changes["frames"]
    assert ("detector, processed", "8", "-") in [(c.name, c.before, c.after) for c in changes]


def test_without_a_results_bag_numbers_are_compared(
    tmp_path: Path, drive: Path, before: ReplayRun
) -> None:
    after = write_run(tmp_path / "after", drive, painting(milliseconds=8.0))
    (before.results).rename(tmp_path / "elsewhere")
    comparison = compare(before, after)
    assert comparison.topics is None
    assert not comparison.results_equal
    assert not comparison.nothing_changed
    verdicts = {change.name: change.verdict for change in comparison.changes["latency"]}
    assert verdicts["segmenter, p99 ms"] == "worse"


def test_a_tenth_of_a_duration_is_noise(tmp_path: Path, drive: Path, before: ReplayRun) -> None:
    after = write_run(tmp_path / "after", drive, painting(milliseconds=5.4))
    assert "latency" not in compare(before, after).changes


def test_settings_and_models_are_told_apart(tmp_path: Path, drive: Path, before: ReplayRun) -> None:
    def change(summary: dict[str, dict[str, dict[str, object]]]) -> None:
        summary["nodes"]["detector"]["sha256"] = "cd" * 32
        summary["configuration"]["mapper"] = {"resolution": 0.1}
        summary["versions"]["python"] = {"version": "3.13"}
        summary["bag"]["messages"] = {}

    changes = compare(before, write_run(tmp_path / "after", drive, painting(), change)).changes
    told = {
        subject: [(change.name, change.before, change.after, change.verdict) for change in found]
        for subject, found in changes.items()
    }
    assert told == {
        "bag": [("messages", "33", "{}", "")],
        "models": [("detector, sha256", "ab" * 8, "cd" * 8, "")],
        "configuration": [("mapper.resolution", "-", "0.1", "")],
        "versions": [
            ("python.version", "-", "3.13", ""),
            ("python", "3.12.1", "-", ""),
        ],
    }
