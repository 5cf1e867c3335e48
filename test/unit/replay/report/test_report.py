"""The report says what happened and what failed, and needs nothing but itself."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cnn_perception.errors import BagError
from cnn_perception.image.codec import encode_png
from cnn_perception.metrics.average_precision import PrecisionRecall
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.report.report import write_report
from cnn_perception.replay.run import ReplayRun
from html_checker import HtmlChecker
from painted_drive import FRAMES, stamp_of
from painted_replay import painting, wall, write_run, write_source

EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
ACCURACY = {
    "map_50": 0.75,
    "map_50_95": 0.5,
    "ap": {"red": 0.9, "green": None},
    "miou": 0.625,
    "iou": {"wall": 0.5},
    "unknown_labels": {"sofa": 3},
    "frames": {"detections": {"matched": 40, "truth_alone": 0, "answer_alone": 2}},
}

painted = partial(painting, FRAMES, mapped=False)  # a map takes longer to draw than all else


@dataclass(frozen=True)
class Curves:
    by_label: Mapping[str, PrecisionRecall]

    def curves(self) -> Mapping[str, PrecisionRecall]:
        return self.by_label


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("drive") / "drive", FRAMES)


@pytest.fixture
def run(tmp_path: Path, drive: Path) -> ReplayRun:
    return write_run(tmp_path / "run", drive, painted())


def read(file: Path) -> tuple[HtmlChecker, list[dict[str, Any]]]:
    """Return a report as a reader sees it, and the views that its script gets."""
    page = file.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    # Browsers refuse NaN and Infinity, which Python takes.
    return HtmlChecker(page), json.loads(data[1], parse_constant=pytest.fail)


def decoded(uri: str) -> NDArray[np.uint8]:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(pixels[:, :, ::-1], np.uint8)


def test_it_is_one_file_that_loads_nothing(run: ReplayRun) -> None:
    file = write_report(run, [Check("drops", True, "none")])
    assert file == run.out / "report.html"
    checker, _ = read(file)
    assert checker.loads
    assert all(target.startswith("data:image/") for target in checker.loads)
    assert any(value.startswith("default-src 'none'") for _, value in checker.attributes)
    page = file.read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(|import\(|fetch\(|XMLHttpRequest", page)
    assert file.stat().st_size < 6_000_000


def test_what_failed_comes_first_with_time_and_picture(run: ReplayRun) -> None:
    picture = run.out / "wrong.png"
    picture.write_bytes(encode_png(np.full((30, 90, 3), (0, 200, 0), np.uint8)))
    checks = [
        Check("drops", True, "none was dropped"),
        Check("golden detections", False, "a chair is missing", stamp_of(7), picture),
        Check("rate", False, "9 Hz, expected 10 Hz"),
    ]
    checker, (view,) = read(write_report(run, checks))
    words = checker.words
    assert "2 of 3 expectations failed" in words
    failed = words.index("Failed golden detections a chair is missing show the frame at 0.70 s")
    assert failed < words.index("rate 9 Hz, expected 10 Hz") < words.index("The drive")
    assert "1 expectation met drops : none was dropped" in words
    shown = next(uri for uri in checker.loads if decoded(uri).shape == (30, 90, 3))
    assert abs(decoded(shown).astype(int) - (0, 200, 0)).max() < 12
    (moment,) = (k for k, each in enumerate(view["moments"]) if each["failed"])
    assert view["moments"][moment]["failed"] == ["golden detections"]
    assert view["moments"][moment]["t"] == pytest.approx(0.7)
    assert ("data-goto", f"0,{moment}") in checker.attributes
    assert ("data-start", str(moment)) in checker.attributes


def test_verdicts_without_failures(run: ReplayRun) -> None:
    assert "no expectations" in read(write_report(run))[0].words
    met = [Check(name, True, "as expected") for name in ("drops", "rate")]
    checker, _ = read(write_report(run, met))
    assert "all 2 expectations met" in checker.words
    assert "Failed" not in checker.words


def test_a_picture_that_cannot_be_shown_is_named(run: ReplayRun) -> None:
    broken = run.out / "broken.png"
    broken.write_bytes(b"no picture")
    checks = [
        Check("a", False, "wrong", picture=broken),
        Check("b", False, "wrong", picture=run.out / "absent.png"),
    ]
    words = read(write_report(run, checks))[0].words
    assert "its picture broken.png cannot be shown: " in words
    assert "its picture absent.png cannot be shown: " in words


def test_moments_show_camera_and_answers(run: ReplayRun) -> None:
    _, (view,) = read(write_report(run))
    assert view["kinds"] == ["camera", "detections", "mask", "Grad-CAM"]
    moments = view["moments"]
    assert [m["t"] for m in moments] == pytest.approx([k / 10 for k in range(FRAMES)])
    assert moments[3]["stamp"] == "1700000000.300000000"
    assert [found[:2] for found in moments[3]["found"]] == [["chair", "0.87"], ["table", "0.60"]]
    assert [found[:2] for found in moments[2]["found"]] == [["chair", "0.88"]]
    assert moments[3]["words"]["detections"] == "2 objects"
    assert moments[3]["words"]["mask"] == "floor 56%, background 31%, chair 12%"
    assert moments[3]["words"]["Grad-CAM"] == "chair 0.87"
    pictures = {title: decoded(uri).astype(int) for title, uri in moments[3]["pictures"].items()}
    changed = {
        title: abs(picture - pictures["camera"]).max(axis=2) > 40
        for title, picture in pictures.items()
    }
    assert pictures["camera"].shape == (120, 160, 3)
    assert changed["detections"][70, 34:37].any()
    assert not changed["detections"][70, 45:65].any()
    assert changed["mask"].mean() > 0.5
    assert changed["Grad-CAM"][50, 45]
    assert not changed["Grad-CAM"][100, 140]


def test_a_class_has_one_color_everywhere(run: ReplayRun) -> None:
    _, (view,) = read(write_report(run))
    colors = {lane["label"]: lane["color"] for lane in view["lanes"]}
    assert len(set(colors.values())) == 2
    for moment in view["moments"]:
        assert all(color == colors[label] for label, _, color in moment["found"])
    mask, camera = (decoded(view["moments"][0]["pictures"][k]) for k in ("mask", "camera"))
    chair = np.array([int(colors["chair"][k : k + 2], 16) for k in (1, 3, 5)])
    blended = 0.55 * camera[70, 40] + 0.45 * chair
    assert abs(mask[70, 40] - blended).max() < 20


def test_the_timeline_has_latencies_drops_and_classes(tmp_path: Path, drive: Path) -> None:
    what = painted().dropping(5, "detector", reason="corrupt_image", detail="the JPEG ends early")
    checker, (view,) = read(write_report(write_run(tmp_path / "run", drive, what)))
    nodes = {node["name"]: node["points"] for node in view["nodes"]}
    assert list(nodes) == ["detector", "segmenter", "explainer", "mapper"]
    assert nodes["mapper"][4] == [0.4, 9.0, 400]
    assert [point[0] for point in nodes["detector"]] == pytest.approx(
        [k / 10 for k in range(FRAMES) if k != 5]
    )
    assert view["drops"] == [[0.5, "detector", "corrupt_image", 1]]
    lanes = {lane["label"]: lane["points"] for lane in view["lanes"]}
    assert [point[0] for point in lanes["table"]] == pytest.approx(
        [k / 10 for k in range(FRAMES) if k % 2 and k != 5]
    )
    dropped = view["moments"][5]
    assert dropped["dropped"] == ["detector: corrupt_image: the JPEG ends early"]
    assert "detections" not in dropped["pictures"]
    assert dropped["words"]["detections"] == "dropped: corrupt_image: the JPEG ends early"
    assert "1 corrupt_image" in checker.words
    assert "79 / 80 frames processed" in checker.words


def test_what_comes_from_outside_is_text(tmp_path: Path, drive: Path) -> None:
    def change(summary: dict[str, Any]) -> None:
        summary["bag"]["name"] = EVIL
        summary["bag"]["left_out"] = {EVIL: EVIL}
        summary["nodes"]["detector"]["model"] = EVIL
        summary["configuration"] = {EVIL: EVIL}
        summary["versions"][EVIL] = EVIL
        summary["accuracy"] = {"ap": {EVIL: 0.5}, "unknown": [EVIL]}
        summary["map"]["frame_id"] = EVIL

    what = painted(labels=(EVIL, "table"), mapped=True)
    what = what.dropping(3, "segmenter", reason=EVIL, detail=EVIL)
    run = write_run(tmp_path / "run", drive, what, change)
    before = write_run(tmp_path / "before", drive, painted())
    curve = PrecisionRecall(np.ones(1, np.float32), np.ones(1), np.ones(1))
    checks = [Check(EVIL, False, EVIL, stamp_of(2)), Check(EVIL, True, EVIL)]
    checker, (view,) = read(write_report(run, checks, before, Curves({EVIL: curve})))
    assert checker.tags.count("script") == 2
    assert not any(name.startswith("on") for name, _ in checker.attributes)
    assert all(target.startswith("data:image/") for target in checker.loads)
    assert checker.words.count("alert(1)") > 12
    assert view["moments"][2]["found"][0][0] == EVIL
    assert view["moments"][2]["failed"] == [EVIL]
    assert view["moments"][3]["dropped"] == [f"segmenter: {EVIL}: {EVIL}"]


def test_broken_numbers_and_letters_do_not_break_the_page(tmp_path: Path, drive: Path) -> None:
    def change(summary: dict[str, Any]) -> None:
        summary["timing"]["times_real_time"] = None
        summary["timing"]["latency_ms"]["mapper"] = dict.fromkeys(("p50", "p95", "p99", "max"))
        summary["bag"]["name"] = "half \ud83d"

    run = write_run(tmp_path / "run", drive, painted(score=float("nan")), change)
    checker, (view,) = read(write_report(run))
    assert "half ?" in checker.words
    assert view["moments"][2]["found"][0][:2] == ["chair", "nan"]


def test_accuracy_has_curves_and_classes(tmp_path: Path, drive: Path) -> None:
    run = write_run(tmp_path / "run", drive, replace(painted(), accuracy=ACCURACY))
    curve = PrecisionRecall(
        np.array([0.9, 0.8], np.float32), np.array([0.25, 0.5]), np.array([1.0, 0.5])
    )
    empty = PrecisionRecall(np.zeros(0, np.float32), np.zeros(0), np.zeros(0))
    file = write_report(run, accuracy=Curves({"red": curve, "green": empty}))
    checker, _ = read(file)
    assert "0.750 mAP at IoU 0.5 0.500 mAP at IoU 0.5 to 0.95 0.625 mIoU of masks" in checker.words
    assert "red 0.900 - wall - 0.500" in checker.words
    assert "does not know these classes: sofa (3)" in checker.words
    assert "40 frames have both detections and truth, 2 have no truth" in checker.words
    page = file.read_text(encoding="utf-8")
    (line,) = re.findall(r'<polyline[^>]*points="([^"]*)"', page[page.index('id="accuracy"') :])
    points = [tuple(map(float, pair.split(","))) for pair in line.split()]
    assert points[0] == (0.0, 0.0)  # precision 1 at recall 0
    assert (400.0, 100.0) in points  # 0.5 at 0.4
    assert points[-1] == (500.0, 200.0)  # nothing beyond 0.5


def test_the_map_is_drawn_with_the_way_of_the_camera(tmp_path: Path, drive: Path) -> None:
    # A picture shows what is known: the floor on which the camera drives.
    floor = wall()[:, [1, 2, 0]] - np.array([0, 10, 31])
    run = write_run(tmp_path / "run", drive, replace(painted(), cells=floor, resolution=0.25))
    checker, _ = read(write_report(run))
    assert "0.25 m resolution 400 occupied cells 1,600 free cells" in checker.words
    shown = [uri for uri in checker.loads if decoded(uri).shape == (960, 1280, 3)]
    assert len(shown) == 2
    # The way is drawn in a red that heights do not have.
    top = decoded(shown[1]).astype(int)
    assert ((top[..., 0] > 180) & (top[..., 1] < 80) & (top[..., 2] < 120)).any()


def test_nothing_changed_is_said_in_words(tmp_path: Path, drive: Path, run: ReplayRun) -> None:
    same = write_run(tmp_path / "same", drive, painted(milliseconds=9.0))
    words = read(write_report(run, previous=same))[0].words
    assert "Nothing changed: every result, every number and every setting is the same." in words
    assert "Only durations differ." in words
    assert "detector, p95 ms 41.49 23.05 ▼ -18.44 (-44%) better" in words


def test_what_changed_is_told_with_better_and_worse(
    tmp_path: Path, drive: Path, run: ReplayRun
) -> None:
    def change(summary: dict[str, Any]) -> None:
        summary["configuration"]["detector"]["score_threshold"] = 0.5

    before = write_run(tmp_path / "before", drive, replace(painted(), accuracy=ACCURACY))
    what = replace(painted(score=0.8), accuracy={**ACCURACY, "map_50": 0.5})
    for index in (5, 6):
        what = what.dropping(index, "detector", reason="no_match")
    after = write_run(tmp_path / "after", drive, what, change)
    words = read(write_report(after, previous=before))[0].words
    assert "The results differ." in words
    assert "/detector/detections 20 20 0.00 s" in words
    assert "Equal: /detector/label_info , /explainer/heatmap , /segmenter/label_info" in words
    assert "detector, processed 20 18 ▼ -2 (-10%) worse" in words
    assert "detector, dropped 0 2 ▲ +2 worse" in words
    assert "chair 20 18 ▼ -2 (-10%) accuracy before now by" in words  # neither better nor worse
    assert "mAP at IoU 0.5 0.75 0.5 ▼ -0.25 (-33%) worse" in words
    assert "detector.score_threshold 0.25 0.5" in words


def test_several_cameras_have_a_view_each(tmp_path: Path, drive: Path) -> None:
    what = painted(cameras=("front", "rear")).dropping(4, "rear/detector", reason="no_match")
    run = write_run(tmp_path / "run", drive, what)
    check = Check("/rear/detector/detections", False, "one is missing", stamp_of(4))
    checker, views = read(write_report(run, [check]))
    assert [view["name"] for view in views] == ["front", "rear"]
    assert ("data-goto", "1,4") in checker.attributes
    for view in views:
        names = [node["name"] for node in view["nodes"]]
        assert names == [f"{view['name']}/{n}" for n in ("detector", "segmenter", "explainer")] + [
            "mapper"
        ]
    assert views[0]["drops"] == []
    assert views[1]["moments"][4]["dropped"] == ["rear/detector: no_match"]
    assert "detections" in views[0]["moments"][4]["pictures"]


def test_a_replay_of_depth_alone(tmp_path: Path, drive: Path) -> None:
    def change(summary: dict[str, Any]) -> None:
        summary["topics"][""]["color"] = None
        summary["nodes"] = {"mapper": summary["nodes"]["mapper"]}

    run = write_run(tmp_path / "run", drive, painted(), change)
    checker, (view,) = read(write_report(run))
    assert "No pictures: no color image was replayed." in checker.words
    assert (view["moments"], view["kinds"]) == ([], [])


def test_without_map_and_in_a_window(tmp_path: Path, drive: Path) -> None:
    run = write_run(tmp_path / "run", drive, replace(painted(), window=(0.5, 1.5)))
    checker, (view,) = read(write_report(run))
    assert "from 0.5 s to 1.5 s" in checker.words
    assert "The map" not in checker.words
    assert (view["first"], view["last"]) == (0.5, 1.5)


def test_large_pictures_are_spread_thinner(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = painted().dropping(3, "mapper", reason="x").dropping(7, "detector", reason="x")
    run = write_run(tmp_path / "run", drive, what)
    _, (whole,) = read(write_report(run))
    size = sum(len(uri) for moment in whole["moments"] for uri in moment["pictures"].values())
    monkeypatch.setattr("cnn_perception.replay.report.views._BUDGET", size // 2 + 1)
    checks = [Check("wrong", False, "it is", stamp_of(12))]
    _, (view,) = read(write_report(run, checks))
    times = [round(moment["t"], 3) for moment in view["moments"]]
    assert len(times) == FRAMES // 2
    assert {0.0, 0.7, 1.2, 1.9} <= set(times)


def test_what_cannot_be_read_is_one_line(run: ReplayRun, tmp_path: Path) -> None:
    summary = {**run.summary, "bag": {**run.summary["bag"], "path": str(tmp_path / "gone")}}
    with pytest.raises(BagError, match=r"no bag at .*gone"):
        write_report(replace(run, summary=summary))
