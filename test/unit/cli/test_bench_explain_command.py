"""``cnn-perception bench explain``, as a process of its own: it binds itself to one core."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2

from models import paint, write_detector_bundle

TORCH = all(map(find_spec, ("torch", "torchvision", "onnxscript")))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = "from cnn_perception.cli.main import main; main()"
    words = [sys.executable, "-c", command, "bench", "explain", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def test_the_result_as_json_and_in_a_file(tmp_path: Path) -> None:
    done = run("--network", "lenet5", "--rounds", 2, "--json", "--out", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "result.json").read_text())
    assert printed["agree"] is True
    assert printed["settings"]["threads"] == 1 and printed["settings"]["picture"] == "room.jpg"
    jobs = [each["job"] for each in printed["results"]]
    classifier = ["lenet5 at 32x32: Grad-CAM of ", "lenet5 at 32x32: Grad-CAM++ of "] * TORCH
    expected = [
        *classifier,
        "rooms_ssdlite: the best detection (table)",
        "rooms_ssdlite: explain graphs alone",
        "rooms_ssdlite: several detections of one picture",
        "rooms_ssdlite: detector and explainer on the same pictures",
        "overlay, 640x480",
    ]
    assert len(jobs) == len(expected)
    assert all(job.startswith(name) for job, name in zip(jobs, expected, strict=True))
    for result in printed["results"]:
        assert not result["refused"]
        for row in result["contenders"].values():
            assert len(row["samples"]) == 2 and row["cpu_ms"]["min"] > 0
            assert row["difference"] is None or row["difference"] <= 1e-4
    assert ("torch" in printed["lacking"]) is (find_spec("torch") is None)


def test_the_result_as_a_table(tmp_path: Path) -> None:
    done = run("--network", "lenet5", "--rounds", 1)
    assert done.returncode == 0, done.stderr
    assert "room.jpg, 1 rounds, one thread; " in done.stdout
    assert "level 4, 2x2" in done.stdout and "each further detection: " in done.stdout
    lacking = find_spec("torch") is None
    assert ("Without torch, " in done.stdout) is lacking
    assert ("show_cam_on_image" in done.stdout) is (find_spec("pytorch_grad_cam") is not None)


def test_a_picture_in_which_nothing_is_found_ends_in_one_line(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    cv2.imwrite(str(tmp_path / "black.png"), paint({}))
    done = run("--model", folder, "--picture", tmp_path / "black.png")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == "error: colors finds nothing in the picture: give another"
