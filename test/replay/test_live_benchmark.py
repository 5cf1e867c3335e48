"""``cnn-perception bench live`` itself: real nodes, real DDS, an outside reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="no rclpy: install ROS 2, or run 'make setup'")

from cnn_perception.offboard.benchmarks.live import LAYOUTS
from painted_drive import FRAMES

pytestmark = pytest.mark.usefixtures("compiled_kernels")

PATIENCE_S = 240.0
OF_IMAGES = {
    "/detector/detections",
    "/detector/detections_3d",
    "/segmenter/mask",
    "/explainer/heatmap",
    "/explainer/explained",
    "/explainer/evidence",
}


def run(drive: Path, bundles: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = "from cnn_perception.cli.main import main; main()"
    words = [sys.executable, "-c", command, "bench", "live", "--bag", str(drive), *options]
    environment = {**os.environ, "CNN_PERCEPTION_MODELS": str(bundles)}
    return subprocess.run(
        [*words, "--no-vga", "--idle", "1.5"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment,
    )


def assert_whole(layout: dict[str, Any]) -> None:
    processes = layout["processes"]
    assert {name: tuple(each["nodes"]) for name, each in processes.items()} == LAYOUTS[
        layout["layout"]
    ]
    for process in processes.values():
        assert process["cpu_ms_per_frame"] > process["bare_ms_per_frame"] / 2 > 0
        assert process["idle_ms_per_s"] > 0
        for node in process["nodes"].values():
            assert node["sent"] == FRAMES
            assert node["received"] == node["processed"] + sum(node["dropped"].values())
            assert node["received"] + node["lost_in_transport"] == FRAMES
            assert node["processed"] > 0
    assert layout["different"] == {}
    assert set(layout["compared"]) == OF_IMAGES
    assert set(layout["latency_ms"]) == {*OF_IMAGES, "/octomap_binary"}
    for found in layout["latency_ms"].values():
        assert 0 < found["p50"] <= found["p95"] <= found["p99"]


def test_both_layouts_with_a_clock(drive: Path, bundles: Path, tmp_path: Path) -> None:
    file = tmp_path / "live.json"
    done = run(drive, bundles, "--json", "--out", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer == json.loads(file.read_text())
    assert answer["equal"] is True
    (result,) = answer["results"]
    assert result["frames"] == FRAMES
    assert [layout["layout"] for layout in result["layouts"]] == ["one", "four"]
    for layout in result["layouts"]:
        assert_whole(layout)
        assert layout["idle_clock_ms_per_s"] > 0


def test_one_layout_without_a_clock_as_a_table(drive: Path, bundles: Path) -> None:
    done = run(drive, bundles, "--layout", "one", "--no-clock")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "perception" in done.stdout
    assert "/segmenter/mask" in done.stdout
    assert "sum" not in done.stdout
