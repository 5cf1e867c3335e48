"""report.html: one file that shows what a replay did, what failed, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cnn_perception.html.document import jpeg_uri, render
from cnn_perception.mapping.pictures.map_file import map_pictures
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.bag_scans import camera_path
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.report.accuracy import HasCurves, accuracy_page
from cnn_perception.replay.report.comparison import compare
from cnn_perception.replay.report.drawing import KINDS
from cnn_perception.replay.report.failures import failed_stamps, shown_failures
from cnn_perception.replay.report.views import CameraView, collect_views
from cnn_perception.replay.run import LATENCIES, ReplayRun
from cnn_perception.types import Float32Array

__all__ = ["write_report"]

_NO_MOMENT: Mapping[str, Any] = {"t": 0.0, "stamp": "", "pictures": {}, "words": {}}


def write_report(
    run: ReplayRun,
    checks: Sequence[Check] = (),
    previous: ReplayRun | None = None,
    accuracy: HasCurves | None = None,
) -> Path:
    """Write report.html into the folder of a replay; returns the file.

    It needs nothing else: pictures, styles and script are inside, and nothing is loaded from
    elsewhere. checks: what was expected; previous: a replay to compare with; accuracy: curves for
    the figures of metrics.json's "accuracy". Reads both bags as streams and keeps only the frames
    that are shown. Raises BagError where a bag or frames.csv cannot be read.
    """
    views = collect_views(run, failed_stamps(checks))
    measured = run.summary.get("accuracy")
    page = render(
        "replay/report/report.html.jinja",
        **_head(run.summary, checks),
        **_player(views),
        failures=shown_failures(checks, views),
        passed=[check for check in checks if check.passed],
        comparison=None if previous is None else compare(previous, run),
        nodes=_nodes(run.summary),
        accuracy=accuracy_page(measured, accuracy, views[0].colors) if measured else None,
        map=_map(run.summary),
        map_pictures=_map_pictures(run),
        configuration=yaml.safe_dump(
            run.summary["configuration"], sort_keys=False, allow_unicode=True
        ),
    )
    file = run.out / "report.html"
    # Half a character, as a damaged message may have, must not cost the report.
    file.write_text(page, encoding="utf-8", errors="replace")
    return file


def _head(summary: Mapping[str, Any], checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "bag": summary["bag"],
        "window": _window(summary["bag"]),
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": summary["versions"],
        "verdict": _verdict(checks),
        "numbers": _numbers(summary),
    }


def _player(views: Sequence[CameraView]) -> dict[str, Any]:
    """Return what the drive's pictures and timeline are made of."""
    data = [view.data() for view in views]
    shown = data[0]["moments"]
    start = _start(shown)
    return {
        "span": views[0].span,
        "views": views,
        "kinds": [kind for kind in KINDS if any(kind in view.kinds for view in views)],
        "start": start,
        "initial": shown[start] if shown else _NO_MOMENT,
        "last_moment": max(len(shown) - 1, 0),
        "data": data,
    }


def _verdict(checks: Sequence[Check]) -> tuple[str, str]:
    """Return the mood and the words of the head."""
    failed = sum(not check.passed for check in checks)
    count = len(checks)
    if not checks:
        return "none", "no expectations"
    if failed:
        return "bad", f"{failed} of {count} expectation{'s' * (count > 1)} failed"
    return "good", f"all {count} expectations met" if count > 1 else "the expectation is met"


def _window(bag: Mapping[str, Any]) -> str:
    """Return which part of the bag was replayed, empty for all of it."""
    first, last = bag["window_s"]
    if not first and last is None:
        return ""
    return f"from {first:g} s to {'the end' if last is None else f'{last:g} s'}"


def _numbers(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the figures of the head."""
    timing, nodes = summary["timing"], summary["nodes"].values()
    dropped = sum(sum(node["dropped"].values()) for node in nodes)
    received = sum(node["received"] for node in nodes)
    speed = timing["times_real_time"]
    figures = [
        ("-" if speed is None else f"{speed:.3g}x", "real time", ""),
        (f"{received - dropped:,} / {received:,}", "frames processed", ""),
        (f"{dropped:,}", "dropped", "warn" if dropped else ""),
    ]
    accuracy, mapped = summary.get("accuracy") or {}, summary.get("map")
    for key, name in (("map_50", "mAP at IoU 0.5"), ("miou", "mIoU")):
        if accuracy.get(key) is not None:
            figures.append((f"{accuracy[key]:.3f}", name, ""))
    if mapped:
        figures.append((f"{mapped['occupied']:,}", "cells occupied", ""))
    return [{"value": value, "name": name, "mood": mood} for value, name, mood in figures]


def _nodes(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of the table of nodes, each with the same keys."""
    latencies = summary["timing"]["latency_ms"]
    optional = ("topic", "model", "version", "provider", "engine", "found")
    return {
        name: {
            **{key: node.get(key) for key in optional},
            **{key: node[key] for key in ("received", "processed", "dropped")},
            "latency": {key: latencies.get(name, {}).get(key) for key in LATENCIES},
        }
        for name, node in summary["nodes"].items()
    }


def _start(shown: Sequence[Mapping[str, Any]]) -> int:
    """Return the moment to begin with: the first that failed, else the one with most objects."""
    failed = [k for k, moment in enumerate(shown) if moment["failed"]]
    return (
        failed[0]
        if failed
        else max(range(len(shown)), key=lambda k: len(shown[k]["found"]), default=0)
    )


def _map(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    mapped = summary.get("map")
    return {"sha256": "", "free": 0, **mapped} if mapped else None


def _map_pictures(run: ReplayRun) -> dict[str, str]:
    """Return pictures of the map as data URIs, with the camera's path where the bag tells it."""
    if run.map_file is None:
        return {}
    pictures = map_pictures(run.map_file, _camera_path(run))
    return {name: jpeg_uri(picture) for name, picture in pictures.items()}


def _camera_path(run: ReplayRun) -> Float32Array:
    """Return where the first camera with depth was, float32 (N, 3); N is 0 if that is unknown."""
    depths = [topics["depth"] for topics in run.summary["topics"].values() if topics.get("depth")]
    frame = str((run.summary.get("map") or {}).get("frame_id") or "map")
    if not depths:
        return np.zeros((0, 3), np.float32)
    with BagReader(run.bag) as bag:
        return camera_path(bag, depths[0], frame)
