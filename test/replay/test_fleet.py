"""Many bags: what is replayed, what is kept, what is said of those that cannot be."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from cnn_perception.errors import ConfigError
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.expectations import schema
from cnn_perception.replay.fleet.fleet import Fleet, replay_fleet
from cnn_perception.replay.fleet.fleet_runner import FleetRow, FleetTest
from cnn_perception.replay.fleet.ray_workers import RayWorkers
from cnn_perception.replay.plan import ReplayPlan
from cnn_perception.replay.run import ReplayRun
from html_checker import HtmlChecker
from painted_drive import FRAMES, PERIOD_NS, START_NS

NO_RAY = "no Ray: pip install ray"
SHORT = FRAMES // 2
PLAN = {"mapper": False, "explainer": False, "window": {"stop": SHORT * PERIOD_NS / 1e9}}


@pytest.fixture
def plan(tmp_path: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan with two networks and half of the drive."""
    monkeypatch.setenv("CNN_PERCEPTION_MODELS", str(bundles))
    return write(tmp_path / "plan.yaml", PLAN)


@pytest.fixture
def bags(tmp_path: Path, drive: Path) -> list[Path]:
    """Two good bags of one name around a damaged one."""
    made = [tmp_path / "bags" / name for name in ("1/drive", "2/broken", "3/drive")]
    for bag in made:
        shutil.copytree(drive, bag)
    damaged = next(made[1].glob("*.mcap"))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    return made


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def kept(fleet: Fleet) -> list[bool]:
    return [row.kept for row in fleet.rows]


def stamps(folder: Path) -> list[int]:
    with BagReader(folder / "results") as results:
        found = results.messages(["/detector/detections"])
        return [stamp_to_ns(item.message.header.stamp) for item in found]


def test_every_bag_has_a_row_and_a_folder_and_a_broken_one_stops_none(
    bags: list[Path], plan: Path, tmp_path: Path
) -> None:
    seen = []
    fleet = replay_fleet(
        bags[::-1], tmp_path / "out", plan, progress=lambda row, *of: seen.append((row.name, *of))
    )
    assert [(row.bag, row.name, row.verdict) for row in fleet.rows] == [
        (bags[0], "drive", "passed"),
        (bags[1], "broken", "broken"),
        (bags[2], "drive-2", "passed"),
    ]
    assert [row.frames for row in fleet.rows] == [2 * SHORT, 0, 2 * SHORT]
    assert "2/broken" in fleet.rows[1].error and "\n" not in fleet.rows[1].error
    assert {name for name, _, _ in seen} == {"drive", "broken", "drive-2"}
    assert [of for _, *of in seen] == [[1, 3], [2, 3], [3, 3]]
    for name in ("drive", "drive-2"):
        assert stamps(tmp_path / "out" / name) == [START_NS + i * PERIOD_NS for i in range(SHORT)]
        assert (tmp_path / "out" / name / "report.html").is_file()


def test_the_totals_and_the_page_say_what_the_rows_say(
    bags: list[Path], plan: Path, tmp_path: Path
) -> None:
    expect = write(tmp_path / "expect.yaml", {"frames": {"detector": {"processed": SHORT + 1}}})
    fleet = replay_fleet(bags, tmp_path / "out", plan, expect)
    told = json.loads((tmp_path / "out" / "fleet.json").read_text())
    assert told == json.loads(json.dumps(fleet.as_mapping()))
    totals = told["totals"]
    assert (totals["passed"], totals["failed"], totals["broken"]) == (0, 2, 1)
    assert totals["frames"] == 4 * SHORT
    assert totals["not_met"] == 2
    assert totals["expectations"] == sum(len(row["checks"]) for row in told["bags"])
    assert totals["frames_per_second"] == totals["frames_per_second_and_worker"] > 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'href="drive/report.html"' in page and 'href="drive-2/report.html"' in page
    assert 'href="broken/report.html"' not in page
    assert "0 passed, 2 failed" in HtmlChecker(page).words
    for row in fleet.rows:
        for text in [row.error] if row.error else [check.message for check in row.failures]:
            assert text.replace("'", "&#39;") in page


def test_what_has_not_changed_is_kept(bags: list[Path], plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    expect = write(tmp_path / "expect.yaml", {"frames": {"detector": {"processed": SHORT + 1}}})
    first = replay_fleet(bags, out, plan, expect)
    assert kept(first) == [False, False, False]
    again = replay_fleet(bags, out, plan, expect)
    assert kept(again) == [True, False, True]  # a broken bag may have been repaired
    assert [row.checks for row in again.rows] == [row.checks for row in first.rows]
    assert [row.verdict for row in again.rows] == ["failed", "broken", "failed"]
    assert again.totals()["kept"] == 2
    assert kept(replay_fleet(bags, out, plan, expect, fresh=True)) == [False, False, False]


def change_bag(tmp_path: Path) -> None:
    file = next((tmp_path / "bags" / "1" / "drive").glob("*.mcap"))
    os.utime(file, ns=(START_NS, START_NS))


def change_plan(tmp_path: Path) -> None:
    write(tmp_path / "plan.yaml", {**PLAN, "detector": {"max_detections": 1}})


def change_expectations(tmp_path: Path) -> None:
    write(tmp_path / "expect.yaml", {"golden": "golden/{bag}", "tolerance": {"box_iou": 0.5}})


def change_golden(tmp_path: Path) -> None:
    file = tmp_path / "golden" / "drive" / "golden.json"
    file.write_text(file.read_text() + "\n")


def change_model(tmp_path: Path) -> None:
    file = tmp_path / "models" / "rooms_fcn" / "model.yaml"
    file.write_text(file.read_text() + "\n")


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (change_bag, [False, True]),
        (change_plan, [False, False]),
        (change_expectations, [False, False]),
        (change_golden, [False, True]),
        (change_model, [False, False]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_has_changed_is_replayed(
    bags: list[Path], plan: Path, tmp_path: Path, change: Callable[[Path], None], left: list[bool]
) -> None:
    good, out = [bags[0], bags[2]], tmp_path / "out"
    expect = write(tmp_path / "expect.yaml", {"golden": "golden/{bag}"})
    updated = replay_fleet(good, out, plan, expect, update=True)
    assert [row.verdict for row in updated.rows] == ["passed", "passed"]
    assert sorted(path.name for path in (tmp_path / "golden").iterdir()) == ["drive", "drive-2"]
    assert kept(replay_fleet(good, out, plan, expect)) == [False, False]
    assert kept(replay_fleet(good, out, plan, expect)) == [True, True]
    change(tmp_path)
    assert kept(replay_fleet(good, out, plan, expect)) == left


def test_a_row_that_cannot_be_read_is_made_again(
    bags: list[Path], plan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    replay_fleet(bags[:1], out, plan)
    file = out / "drive" / "case.json"
    for text in ("", "[]", '{"fingerprint": 1}', file.read_text().replace('"checks"', '"chess"')):
        file.write_text(text)
        assert kept(replay_fleet(bags[:1], out, plan)) == [False]
        assert kept(replay_fleet(bags[:1], out, plan)) == [True]


def test_golden_results_of_several_bags_do_not_replace_each_other(
    bags: list[Path], plan: Path, tmp_path: Path
) -> None:
    expect = write(tmp_path / "expect.yaml", {"golden": "golden"})
    with pytest.raises(ConfigError, match="would replace each other's"):
        replay_fleet(bags, tmp_path / "out", plan, expect, update=True)
    assert not (tmp_path / "out").exists()


def test_a_row_is_the_same_after_json() -> None:
    row = FleetRow(Path("/a"), Path("/out/a"), 3, 1.5, 0.5, {"stale": 1}, (), "why", True)
    assert FleetRow.from_mapping(json.loads(json.dumps(row.as_mapping()))) == row


class Deadly(ReplayPlan):
    """Ends the process that receives it, as a crash in a library does."""

    __slots__ = ()

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
def test_a_process_that_dies_is_told_and_stops_no_others(bags: list[Path], tmp_path: Path) -> None:
    tests = [
        FleetTest(bags[0], tmp_path / "deadly", Deadly(), schema.Expectations(), ""),
        FleetTest(bags[1], tmp_path / "broken", ReplayPlan(), schema.Expectations(), ""),
    ]
    with RayWorkers(2) as workers:
        rows = {row.name: row for row in workers.run(tests)}
    assert "process died, twice" in rows["deadly"].error
    assert "2/broken" in rows["broken"].error


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
def test_several_workers_give_what_one_gives(bags: list[Path], plan: Path, tmp_path: Path) -> None:
    alone = replay_fleet(bags, tmp_path / "one", plan)
    fleet = replay_fleet(bags, tmp_path / "two", plan, workers=2)
    assert fleet.workers == 2
    assert [(row.bag, row.verdict, row.frames, row.error) for row in fleet.rows] == [
        (row.bag, row.verdict, row.frames, row.error) for row in alone.rows
    ]
    for name in ("drive", "drive-2"):
        runs = [ReplayRun.load(tmp_path / out / name) for out in ("one", "two")]
        assert runs[0].summary["digests"] == runs[1].summary["digests"]


def test_several_workers_without_ray_name_what_to_install(
    bags: list[Path], plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(ConfigError, match="pip install ray"):
        replay_fleet(bags, plan.parent / "out", plan, workers=2)
