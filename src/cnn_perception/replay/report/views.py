"""The drive as each camera saw it: its timeline and its moments, for the page and its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnn_perception.html.plot import NODE_COLORS, Plot, line_plot, round_ceiling
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.moments import FrameTime, stamp_text
from cnn_perception.replay.report.colors import LabelColors
from cnn_perception.replay.report.drawing import (
    KINDS,
    CameraNamespace,
    MomentPictures,
    draw_moments,
    label_names,
)
from cnn_perception.replay.report.timeline import (
    SLOTS,
    ClassLane,
    ClassTimeline,
    FrameChoice,
    FrameTimeline,
    TimeSpan,
)
from cnn_perception.replay.run import PROCESSED, FrameRecord, ReplayRun

__all__ = ["Band", "CameraView", "collect_views"]

_MOMENTS = 60
_BUDGET = 5_000_000
"""Characters of pictures in a page: with all the rest it stays below 6 MB."""
_FEWEST = 8
_LEVELS = 4
_MOST_REASONS = 6
_WARN = "var(--warn)"
_TITLE_OF = {"detector": "detections", "segmenter": "mask", "explainer": "Grad-CAM"}


@dataclass(frozen=True, slots=True)
class Band:
    """A row of the timeline: where something was, as SVG paths of 1000 by 1 with opacities."""

    name: str
    color: str
    mood: str
    paths: tuple[tuple[float, str], ...]


@dataclass(slots=True)
class CameraView:
    """What the page shows of one camera."""

    camera: CameraNamespace
    span: TimeSpan
    frames: FrameTimeline
    choice: FrameChoice
    moments: list[MomentPictures] = field(default_factory=list)
    lanes: list[ClassLane] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    colors: LabelColors = field(default_factory=LabelColors)
    dropped: dict[FrameTime, list[str]] = field(default_factory=dict)
    failed: Mapping[int, Sequence[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.camera.name

    @property
    def kinds(self) -> list[str]:
        """The titles of the pictures that some frame has."""
        present = {title for moment in self.moments for title in moment.pictures}
        return [title for title in KINDS if title in present]

    @property
    def slot(self) -> str:
        """How long a slot of the timeline is."""
        return f"{(self.span.last - self.span.first) / SLOTS:.2g} s"

    @property
    def width(self) -> float:
        """The seconds that a mark of the timeline spans: a frame's, or a slot's."""
        length = self.span.last - self.span.first
        most = max(self.frames.frames.values(), default=1)
        return max(length / SLOTS, length / max(most, 1))

    @property
    def plot(self) -> Plot:
        """Milliseconds per frame of every node."""
        points = self.frames.points()
        series = {
            node: [(point.seconds, point.milliseconds) for point in found]
            for node, found in points.items()
        }
        top = round_ceiling([ms for found in series.values() for _, ms in found])
        below = (f"{self.span.first:.4g} s", f"{self.span.last:.4g} s")
        span = (self.span.first, self.span.last)
        return line_plot(series, self._node_colors(), span, top=top, below=below)

    @property
    def bands(self) -> list[Band]:
        """What failed, what was dropped by reason, and the objects of each class."""
        bands = []
        frames = [moment.frame for moment in self.moments if moment.frame.stamp_ns in self.failed]
        failed = [self.span.seconds(frame.recorded_ns) for frame in frames]
        if failed:
            bands.append(self._band("failed", "var(--bad)", [(t, 1) for t in failed], "bad"))
        reasons: dict[str, list[tuple[float, int]]] = {}
        for drop in self.frames.drops():
            reasons.setdefault(drop.reason, []).append((drop.seconds, 1))
        ranked = sorted(reasons, key=lambda name: -len(reasons[name]))[:_MOST_REASONS]
        return [
            *bands,
            *(self._band(reason, _WARN, reasons[reason], "warn") for reason in ranked),
            *(
                self._band(lane.label, self.colors.css(lane.label), lane.points)
                for lane in self.lanes
            ),
        ]

    def data(self) -> dict[str, Any]:
        """Return what the script needs."""
        colors = self._node_colors()
        return {
            "name": self.name,
            "first": self.span.first,
            "last": self.span.last,
            "width": self.width,
            "kinds": self.kinds,
            "nodes": [
                {
                    "name": node,
                    "color": colors[node],
                    "points": [(round(p.seconds, 3), p.milliseconds, p.found) for p in points],
                }
                for node, points in self.frames.points().items()
            ],
            "drops": [
                (round(drop.seconds, 3), drop.node, drop.reason, drop.count)
                for drop in self.frames.drops()
            ],
            "lanes": [
                {
                    "label": lane.label,
                    "color": self.colors.css(lane.label),
                    "points": [(round(seconds, 3), count) for seconds, count in lane.points],
                }
                for lane in self.lanes
            ],
            "moments": [self._moment(moment) for moment in self.moments],
        }

    def _moment(self, moment: MomentPictures) -> dict[str, Any]:
        return {
            "t": self.span.seconds(moment.frame.recorded_ns),
            "stamp": stamp_text(moment.frame.stamp_ns),
            "pictures": moment.pictures,
            "words": moment.words,
            "found": [
                (label, f"{score:.2f}", self.colors.css(label)) for label, score in moment.found
            ],
            "failed": list(self.failed.get(moment.frame.stamp_ns, ())),
            "dropped": self.dropped.get(moment.frame, []),
        }

    def _node_colors(self) -> dict[str, str]:
        nodes = self.frames.points()
        return {node: NODE_COLORS[k % len(NODE_COLORS)] for k, node in enumerate(nodes)}

    def _share(self, seconds: float) -> float:
        length = (self.span.last - self.span.first) or 1.0
        return min(max((seconds - self.span.first) / length, 0.0), 1.0)

    def _band(
        self, name: str, color: str, points: Sequence[tuple[float, int]], mood: str = ""
    ) -> Band:
        levels: dict[int, list[str]] = {}
        for level, first, last in _runs(points, self.width):
            left = 1000 * self._share(first)
            wide = max(1000 * (self._share(last + self.width)) - left, 3.0)
            path = f"M{min(left, 1000 - wide):.1f} 0h{wide:.1f}v1h-{wide:.1f}z"
            levels.setdefault(level, []).append(path)
        opacity = {1: 0.55 if not mood else 1.0, 2: 0.75, 3: 0.9, _LEVELS: 1.0}
        return Band(
            name,
            color,
            mood,
            tuple((opacity[level], "".join(paths)) for level, paths in sorted(levels.items())),
        )


def _runs(points: Sequence[tuple[float, int]], width: float) -> list[tuple[int, float, float]]:
    """Join neighbours of equal height, at most `_LEVELS`: height, first and last seconds."""
    runs: list[tuple[int, float, float]] = []
    for seconds, count in points:
        level = min(count, _LEVELS)
        if runs and runs[-1][0] == level and seconds - runs[-1][2] < 1.6 * width:
            runs[-1] = (level, runs[-1][1], seconds)
        else:
            runs.append((level, seconds, seconds))
    return runs


def collect_views(run: ReplayRun, failed: Mapping[int, Sequence[str]]) -> list[CameraView]:
    """Read a replay's frames and both its bags; return a view for each camera, at least one.

    failed: the names of failed expectations, by the stamp of the frame. Raises BagError.
    """
    span = TimeSpan.of(run.summary["bag"])
    cameras = [
        CameraNamespace(str(name), str(topics.get("color") or ""))
        for name, topics in run.summary["topics"].items()
    ] or [CameraNamespace("", "")]
    count = max(_MOMENTS // len(cameras), _FEWEST)
    views = [
        CameraView(
            camera,
            span,
            FrameTimeline(span),
            FrameChoice(camera.color, span, count, set(failed)),
            failed=failed,
        )
        for camera in cameras
    ]
    for record in run.frames():
        for view in views:
            if _concerns(record, view):
                view.frames.add(record)
                view.choice.add(record)
    with BagReader(run.bag) as source, BagReader(run.results) as results:
        colors = LabelColors(_known_labels(results, cameras))
        for view in views:
            view.colors = colors
            _fill(view, source, results, _BUDGET // len(views))
    _note_drops(run, views)
    return views


def _fill(view: CameraView, source: BagReader, results: BagReader, budget: int) -> None:
    """Draw the moments of a view, fewer where they are too large; read its classes."""
    chosen = view.choice.chosen() if view.camera.color else []
    moments = list(draw_moments(source, results, view.camera, chosen, view.colors))
    view.moments = _within(moments, budget, view)
    topic = view.camera.result("detector/detections")
    if topic in {known.name for known in results.topics}:
        classes = ClassTimeline(view.span)
        classes.read(results, topic)
        view.lanes, view.others = classes.lanes()


def _within(
    moments: Sequence[MomentPictures], budget: int, view: CameraView
) -> list[MomentPictures]:
    """Return all moments, or so many, evenly spread, that their pictures are not too large.

    Those that failed or were dropped are kept before others.
    """
    size = sum(len(uri) for moment in moments for uri in moment.pictures.values())
    if size <= budget:
        return list(moments)
    fit = max(len(moments) * budget // size, _FEWEST)
    special = view.choice.special()
    first = [k for k, moment in enumerate(moments) if moment.frame in special]
    others = [k for k, moment in enumerate(moments) if moment.frame not in special]
    spread = np.linspace(0, len(others) - 1, min(max(fit - len(first), 0), len(others)))
    chosen = [*first[:fit], *(others[k] for k in np.unique(spread.round().astype(int)))]
    return [moments[k] for k in sorted(chosen)]


def _concerns(record: FrameRecord, view: CameraView) -> bool:
    """Return whether a frame is of a view's camera; a mapper's belong to all."""
    return record.node.rpartition("/")[0] in ("", view.name)


def _note_drops(run: ReplayRun, views: Sequence[CameraView]) -> None:
    """Say of the moments by which node they were dropped, and why."""
    shown = [({moment.frame: moment for moment in view.moments}, view) for view in views]
    for record in run.frames():
        if record.outcome == PROCESSED:
            continue
        frame = FrameTime(record.recorded_ns, record.stamp_ns)
        for moments, view in shown:
            if frame not in moments or not _concerns(record, view):
                continue
            text = f"{record.outcome}: {record.detail}" if record.detail else record.outcome
            view.dropped.setdefault(frame, []).append(f"{record.node}: {text}")
            title = _TITLE_OF.get(record.node.rpartition("/")[2])
            if title is not None:
                moments[frame].words[title] = f"dropped: {text}"


def _known_labels(results: BagReader, cameras: Sequence[CameraNamespace]) -> list[str]:
    """Return all class names of detectors, then those of segmenters, without the background."""
    labels = [
        name
        for node in ("detector", "segmenter")
        for camera in cameras
        for name in label_names(results, camera.result(f"{node}/label_info")).values()
    ]
    return [name for name in dict.fromkeys(labels) if name != "background"]
