"""The demonstration itself: four processes, real DDS, everything it promises to leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from cnn_perception.demo.session import LATE_OUTPUTS, OUTPUTS
from cnn_perception.recording.bag import BagReader
from painted_drive import FRAMES

pytestmark = pytest.mark.usefixtures("compiled_kernels")

PATIENCE_S = 240.0
NODES = ("detector", "segmenter", "explainer", "mapper")


def start(out: Path, bundles: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", "from cnn_perception.cli.main import main; main()"),
            *("demo", *arguments, "--out", str(out)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CNN_PERCEPTION_MODELS": str(bundles), "COLUMNS": "120"},
    )


def node_pids(out: Path) -> list[int]:
    """Return the node processes of one demonstration, found by their command lines."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"cnn_perception.ros.run" in line and str(out / "logs").encode() in environment:
            pids.append(int(folder.name))
    return pids


def test_the_demonstration_leaves_what_it_promises(
    drive: Path, bundles: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start(out, bundles, str(drive)) as process:
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output + errors
    assert node_pids(out) == []

    summary = json.loads((out / "summary.json").read_text())
    assert set(summary) == {"nodes", "topics", "map"}
    assert tuple(summary["nodes"]) == NODES
    for name, node in summary["nodes"].items():
        assert 0 < node["received"] <= FRAMES
        assert node["received"] == node["processed"] + sum(node["dropped"].values())
        assert node["provider"]
        assert 0 < node["latency_ms"]["p50"] <= node["latency_ms"]["p95"]
        assert name in output
    promised = {topic.name for topic in (*OUTPUTS, *LATE_OUTPUTS)}
    assert set(summary["topics"]) == promised
    assert all(count > 0 for count in summary["topics"].values())
    assert summary["map"]["resolution"] == 0.05
    assert summary["map"]["occupied"] > 0
    assert summary["map"]["free"] > 0

    with BagReader(out / "results") as results:
        recorded = {topic.name: topic.count for topic in results.topics}
        assert recorded == summary["topics"]
        found = [
            {d.results[0].hypothesis.class_id for d in record.message.detections}
            for record in results.messages(["/detector/detections"])
        ]
    assert {"red", "green"} in found
    assert (out / "map.bt").read_bytes().startswith(b"# Octomap OcTree binary file")
    for picture in ("contact_sheet.jpg", "map_isometric.png", "map_top.png"):
        assert cv2.imread(str(out / picture)) is not None
    page = (out / "report.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert not any(outside in page for outside in ("http://", "https://", "<script"))


def test_a_node_that_cannot_start_is_named_and_nothing_stays_behind(
    drive: Path, bundles: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start(out, bundles, str(drive), "--model", "segmenter:=no_such_bundle") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "node segmenter ended with code 1" in " ".join(errors.split())
    assert "no_such_bundle" in errors
    assert "Traceback" not in errors
    assert node_pids(out) == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_ends_its_nodes(
    drive: Path, bundles: Path, tmp_path: Path, end: signal.Signals
) -> None:
    out = tmp_path / "out"
    with start(out, bundles, str(drive)) as process:
        deadline = time.monotonic() + PATIENCE_S
        while len(node_pids(out)) < len(NODES):
            assert time.monotonic() < deadline
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            assert process.returncode is None, process.communicate()
        process.send_signal(end)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in errors
    assert node_pids(out) == []


def test_a_bag_without_a_camera_is_refused(bundles: Path, drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start(out, bundles, str(tmp_path / "nowhere")) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "no bag at" in errors
