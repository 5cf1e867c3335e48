"""The plugin in real runs of pytest, over files as a team would write them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from painted_drive import FRAMES, PERIOD_NS, START_NS

pytest_plugins = ("pytester",)

PLAN = {"mapper": False, "explainer": False}
TEST_OF_RUNS = """
def test_runs():
    runs = [replay.run for replay in RUNS]
    assert len({run.summary["timing"]["seconds"] for run in runs}) == 2
    assert runs[0] is runs[2] and runs[0].out != runs[1].out
    (failure,) = (check.message for check in RUNS[1].checks if not check.passed)
    reports = [(run.out / "report.html").read_text() for run in runs]
    assert [failure in report for report in reports] == [False, True, False, False]
"""
OPTIONS = ("-p", "cnn_perception.replay.testing.pytest_plugin", "-p", "no:cacheprovider")
PASSING = """
import pytest

@pytest.mark.replay("bags/drive", config="replay.yaml", expect="good.yaml")
def test_drive(replay):
    replay.check()

@pytest.mark.replay("bags/drive", config="replay.yaml")
def test_contents(replay):
    assert all(check.passed for check in replay.checks)
    found = replay.messages("/detector/detections")
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in found]
    assert stamps == [START + i * PERIOD for i in range(FRAMES)]
    assert len([frame for frame in replay.run.frames() if frame.node == "detector"]) == FRAMES
    assert replay.run.summary["nodes"]["detector"]["processed"] == FRAMES
"""
PASSING = f"START, PERIOD, FRAMES = {START_NS}, {PERIOD_NS}, {FRAMES}\n{PASSING}"


@pytest.fixture
def team(
    pytester: pytest.Pytester, drive: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """The tests of a team: a bag, a plan, expectations below a folder of their own."""
    monkeypatch.setenv("CNN_PERCEPTION_MODELS", str(bundles))
    folder = pytester.mkdir("tests")
    shutil.copytree(drive, folder / "bags" / "drive")
    for name, content in (
        ("replay", PLAN),
        ("good", {"frames": {"detector": {"processed": FRAMES}}}),
        ("bad", {"frames": {"detector": {"processed": FRAMES + 1}}}),
        ("golden", {"golden": "golden/{bag}"}),
    ):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return pytester


def run(team: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    (team.path / "tests" / "test_drive.py").write_text(text, encoding="utf-8")
    return team.runpytest_inprocess(*OPTIONS, "--strict-markers", *options, "tests")


def case(arguments: str, body: str = "replay.check()") -> str:
    marker = f"@pytest.mark.replay({arguments})" if arguments else ""
    return f"import pytest\n{marker}\ndef test_drive(replay):\n    {body}\n"


def test_a_bag_that_is_as_expected_passes(team: pytest.Pytester) -> None:
    run(team, PASSING).assert_outcomes(passed=2)


def test_what_is_not_as_expected_fails_with_its_message_and_report(team: pytest.Pytester) -> None:
    result = run(team, case('"bags/drive", config="replay.yaml", expect="bad.yaml"'))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*detector*{FRAMES + 1}*", "report: */drive/report.html"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_picture_of_what_is_wrong_is_named(team: pytest.Pytester) -> None:
    golden = '"bags/drive", config="replay.yaml", expect="golden.yaml"'
    run(team, case(golden), "--replay-update").assert_outcomes(passed=1)
    plan = {**PLAN, "detector": {"max_detections": 1}}
    (team.path / "tests" / "replay.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    result = run(team, case(golden), "--replay-out", "kept")
    result.assert_outcomes(failed=1)
    pictures = [line for line in result.outlines if line.startswith("  see ")]
    assert pictures
    for line in pictures:
        picture = Path(line.removeprefix("  see "))
        assert picture.is_relative_to(team.path / "kept" / "drive") and picture.is_file()


def test_update_records_what_is_then_expected(team: pytest.Pytester) -> None:
    text = case('"bags/drive", config="replay.yaml", expect="golden.yaml"')
    missing = run(team, text)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*no golden results at *golden/drive*"])
    run(team, text, "--replay-update").assert_outcomes(passed=1)
    assert (team.path / "tests" / "golden" / "drive" / "metadata.yaml").is_file()
    run(team, text).assert_outcomes(passed=1)
    # Expectations that name no golden results have nothing to record.
    run(team, PASSING, "--replay-update").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('"bags/absent"', "no bag at */bags/absent: give a rosbag2 folder, .mcap or .db3 file"),
        ('"bags/drive", config="absent.yaml"', "*absent.yaml cannot be read*"),
        ("", 'test_drive names no bag: write @pytest.mark.replay("bags/drive", *) above it'),
        ('"bags/drive", plan="x"', "*unexpected keyword argument 'plan': write @pytest.mark*"),
    ],
)
def test_what_cannot_be_replayed_is_an_error_of_one_line(
    team: pytest.Pytester, arguments: str, text: str
) -> None:
    result = run(team, case(arguments))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_drive*", text, "*short test summary*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_an_unknown_topic_names_those_there_are(team: pytest.Pytester) -> None:
    text = case('"bags/drive", config="replay.yaml"', 'replay.messages("/detector/detection")')
    result = run(team, text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*did you mean /detector/detections?*"])


def test_a_bag_is_replayed_once_in_a_session_whatever_is_expected(team: pytest.Pytester) -> None:
    named = ', config="replay.yaml", expect='
    tests = [
        f'@pytest.mark.replay("bags/drive"{named}"{expect}.yaml")\n'
        f"def test_{number}(replay):\n    RUNS.append(replay)\n    replay.check()\n"
        for number, expect in enumerate(("good", "bad", "good"))
    ]
    tests += [
        '@pytest.mark.replay("bags/drive")\ndef test_plan(replay):\n    RUNS.append(replay)\n',
        TEST_OF_RUNS,
    ]
    result = run(team, "\n".join(["import pytest", "RUNS = []", *tests]), "--replay-out", "kept")
    result.assert_outcomes(passed=4, failed=1)
    folders = sorted(path.name for path in (team.path / "kept").iterdir())
    assert folders == ["drive", "drive-2", "drive-3"]
    for name in folders:
        metrics = json.loads((team.path / "kept" / name / "metrics.json").read_text())
        assert metrics["bag"]["name"] == "drive"
        assert (team.path / "kept" / name / "report.html").is_file()


def test_other_tests_are_left_alone_and_pay_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        import pytest

        @pytest.fixture
        def replay():
            return "their own"

        def test_own(replay):
            assert replay == "their own"

        def test_nothing_heavy_is_loaded():
            heavy = {"cv2", "jinja2", "numba", "numpy", "onnxruntime", "ray", "rosbags", "yaml"}
            assert not heavy & set(sys.modules)
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "-W", "error", "--strict-markers"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
