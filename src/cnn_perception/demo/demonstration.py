"""The whole demonstration: run the nodes, draw what they found, write the report."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cnn_perception.demo.outcome import DemoOutcome
from cnn_perception.demo.page import Latencies, render_page
from cnn_perception.demo.pictures import choose_moments, write_pictures
from cnn_perception.demo.session import DemoRun, Progress, run_nodes
from cnn_perception.mapping.pictures.map_file import map_pictures
from cnn_perception.messages.stamps import header_stamp_ns
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.bag_scans import camera_path

__all__ = ["default_domain", "demonstrate"]

_RESULT_OF = {
    "detector": "/detector/detections",
    "segmenter": "/segmenter/mask",
    "explainer": "/explainer/heatmap",
}
_MOMENTS = 6
_LEFT = (
    "results",
    "overlays",
    "logs",
    "map.bt",
    "map_isometric.png",
    "map_top.png",
    "contact_sheet.jpg",
    "report.html",
    "summary.json",
)


def default_domain() -> int:
    """Return the user's ROS_DOMAIN_ID, else one by process number, so that two runs do not meet.

    1 to 100 keep clear of the ports that Linux gives to others.
    """
    chosen = os.environ.get("ROS_DOMAIN_ID", "")
    return int(chosen) if chosen.isdecimal() else 1 + os.getpid() % 100


def demonstrate(
    bag: Path,
    out: Path,
    progress: Progress,
    *,
    domain: int,
    models: Mapping[str, str] | None = None,
) -> DemoOutcome:
    """Play a bag through the four nodes; leave bag, pictures, map, report and summary in `out`.

    domain: ROS_DOMAIN_ID to use; models: bundles by node name, instead of the default ones. Raises
    PerceptionError when there is nothing to show: no usable bag, a node that does not start.
    """
    _clear(out)
    run = run_nodes(bag, out, progress, domain=domain, models=models or {})
    progress("drawing", 0, 1)
    results = out / "results"
    moments = choose_moments(bag, run.streams.color, results, _MOMENTS)
    with BagReader(bag) as drive:
        span_ns = (drive.start_ns, drive.end_ns)
        maps = map_pictures(out / "map.bt", camera_path(drive, run.streams.depth, "map"))
    write_pictures(out, moments, maps)
    page = render_page(
        f"{bag.name}: detections, masks, explanations, a map",
        run.outcome,
        moments,
        maps,
        _latencies(run, results),
        span_ns,
    )
    (out / "report.html").write_text(page, encoding="utf-8")
    summary = json.dumps(run.outcome.summary(), indent=2) + "\n"
    (out / "summary.json").write_text(summary, encoding="utf-8")
    return run.outcome


def _clear(out: Path) -> None:
    """Remove what an earlier run left, and only that: the folder may be anyone's."""
    out.mkdir(parents=True, exist_ok=True)
    for name in _LEFT:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _latencies(run: DemoRun, results: Path) -> Latencies:
    """Return, by node, when an image was sent (s since the first) and its result's delay (ms)."""
    if not run.sent_ns:
        return {}
    start_ns = min(run.sent_ns.values())
    node_of = {topic: node for node, topic in _RESULT_OF.items()}
    series: dict[str, list[tuple[float, float]]] = {node: [] for node in _RESULT_OF}
    with BagReader(results) as answers:
        for raw in answers.raw_messages(node_of):
            sent_ns = run.sent_ns.get(header_stamp_ns(raw.data))
            if sent_ns is not None:
                point = ((sent_ns - start_ns) / 1e9, (raw.stamp_ns - sent_ns) / 1e6)
                series[node_of[raw.topic]].append(point)
    return series
