"""A replay's folder: what is in it, what is removed from it, and what is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import recorded_robot as robot
from cnn_perception.errors import BagError, ModelError
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.replayer import replay
from cnn_perception.replay.run import FRAME_COLUMNS
from recorded_robot import Bundles, drive


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return robot.write(tmp_path_factory.mktemp("drive") / "bag", drive(2))


def test_what_a_replay_leaves(tmp_path: Path, bundles: Bundles, bag: Path) -> None:
    done: list[tuple[int, int]] = []
    plan = robot.plan_for(bundles, "detector", "mapper")
    run = replay(bag, plan, tmp_path / "out", lambda n, of: done.append((n, of)))
    assert sorted(each.name for each in run.out.iterdir()) == [
        "frames.csv",
        "map.bt",
        "metrics.json",
        "results",
    ]
    assert done == [(n, 9) for n in range(1, 10)]
    content = json.loads((run.out / "metrics.json").read_text())
    assert set(content) == {
        "bag",
        "topics",
        "nodes",
        "map",
        "digests",
        "timing",
        "configuration",
        "versions",
    }
    assert content["bag"]["path"] == str(bag)
    assert content["bag"]["duration_s"] == pytest.approx(0.1)
    detector = content["nodes"]["detector"]
    assert detector["classes"] == {"red": {"count": 2, "frames": 2}}
    assert (detector["model"], detector["provider"]) == ("detector", "CPUExecutionProvider")
    assert content["configuration"]["segmenter"] is False
    assert content["timing"]["frames"] == 4
    assert {"numpy", "opencv", "onnxruntime", "rosbags", "python"} <= set(content["versions"])


def test_an_earlier_replay_is_replaced(tmp_path: Path, bundles: Bundles, bag: Path) -> None:
    out = tmp_path / "out"
    replay(bag, robot.plan_for(bundles, "detector", "mapper"), out)
    (out / "notes.txt").write_text("mine")
    replay(bag, robot.plan_for(bundles, "detector"), out)
    assert not (out / "map.bt").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_an_interrupted_replay_is_replaced(tmp_path: Path, bundles: Bundles, bag: Path) -> None:
    """Killed in its first moment: nothing of frames.csv is on the disk yet."""
    results = tmp_path / "out" / "results"
    results.mkdir(parents=True)
    (results / "results.mcap").write_bytes(b"half")
    (tmp_path / "out" / "frames.csv").touch()
    run = replay(bag, robot.plan_for(bundles, "detector"), tmp_path / "out")
    assert len(list(run.frames())) == 2


@pytest.mark.parametrize("name", ["results/thesis.tex", "report.html", "frames.csv", "map.bt"])
def test_what_is_of_no_replay_is_kept(
    tmp_path: Path, bundles: Bundles, bag: Path, name: str
) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("a year of work")
    with pytest.raises(BagError, match="choose another --out") as error:
        replay(bag, robot.plan_for(bundles, "detector"), tmp_path)
    assert "\n" not in str(error.value)
    assert theirs.read_text() == "a year of work"


def test_results_are_not_replayed_into_their_own_folder(
    tmp_path: Path, bundles: Bundles, bag: Path
) -> None:
    plan = robot.plan_for(bundles, "segmenter")
    results = replay(bag, plan, tmp_path / "out").results
    for path in (results, results / "results.mcap"):
        with pytest.raises(BagError, match="choose another --out"):
            replay(path, plan, tmp_path / "out")
    with BagReader(results) as left:
        assert left.message_count == 3


def test_a_model_that_cannot_be_used_removes_nothing(
    tmp_path: Path, bundles: Bundles, bag: Path
) -> None:
    run = replay(bag, robot.plan_for(bundles, "detector"), tmp_path / "out")
    bad = robot.plan_for(bundles, "detector", detector={"model": str(bundles.segmenter)})
    with pytest.raises(ModelError):
        replay(bag, bad, tmp_path / "out")
    assert len(list(run.frames())) == 2


def test_frames_have_the_columns_of_the_contract(
    tmp_path: Path, bundles: Bundles, bag: Path
) -> None:
    run = replay(bag, robot.plan_for(bundles, "detector"), tmp_path / "out")
    lines = (run.out / "frames.csv").read_text().splitlines()
    assert lines[0].split(",") == list(FRAME_COLUMNS)
    assert lines[1].startswith(f"detector,/camera/color,{robot.at(0)},{robot.at(0)},processed,")
