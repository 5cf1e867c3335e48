"""What the live nodes cost beside the bare loop of their components, and how late results come."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.demo.outcome import NodeOutcome
from cnn_perception.demo.processes import (
    NodeProcess,
    NodeSpec,
    environment_variables,
    node_processes,
    ros_environment,
)
from cnn_perception.demo.reports import NodeReports
from cnn_perception.errors import PerceptionError
from cnn_perception.messages.stamps import header_stamp_ns
from cnn_perception.offboard.benchmarks.bare_loop import PARAMETERS, BareLoop, digest
from cnn_perception.offboard.benchmarks.live_reader import RESULTS
from cnn_perception.offboard.benchmarks.race import Progress
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.recording.streams import camera_streams
from cnn_perception.recording.timeline import PlayOptions, TimelineEvent
from cnn_perception.ros.player import BagPlayer, open_player
from cnn_perception.ros.recorder import open_recorder

__all__ = ["LAYOUTS", "LiveOptions", "measure"]

LAYOUTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "one": {"perception": tuple(PARAMETERS)},
    "four": {name: (name,) for name in PARAMETERS},
}
"""Which processes are run, and the nodes in each."""

_IMAGES = "/detector/", "/segmenter/", "/explainer/"  # topics whose stamps are the color image's
_WARM_UP_RATE = 2.0
_START_S = 180.0
_DRAIN_S = 30.0
_END_S = 30.0


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How the nodes are measured.

    loops: how often the drive is played after the one that warms up; idle_s: seconds of each idle
    measurement; clock_hz: ticks per second of /clock, which the nodes then take for the time, None
    for no clock; domain: ROS_DOMAIN_ID.
    """

    loops: int
    idle_s: float
    clock_hz: float | None
    domain: int


@dataclass(slots=True)
class _Run:
    """What one layout did.

    Seconds of processor time by process; reports by node: before and after what was measured.
    """

    sent: Mapping[str, int] = field(default_factory=dict)
    late_s: float = 0.0
    used_s: Mapping[str, float] = field(default_factory=dict)
    idle: Mapping[str, float] = field(default_factory=dict)
    idle_clock: Mapping[str, float] | None = None
    before: Mapping[str, NodeOutcome] = field(default_factory=dict)
    after: Mapping[str, NodeOutcome] = field(default_factory=dict)
    begin_ns: int = 0


def measure(
    drive: Path, layouts: Sequence[str], options: LiveOptions, work: Path, progress: Progress
) -> dict[str, Any]:
    """Measure the bare loops and the layouts over one drive; returns it as JSON can hold it.

    The bare loop is timed before and after each layout. work: a folder for what is
    recorded. Raises PerceptionError when the drive cannot be used or a node does not live.
    """
    progress("bare loop", 0, 1)
    shared = BareLoop(drive, shared=True)
    passes, runs = [shared.measure()], []
    for layout in layouts:
        runs.append(_Live(drive, layout, options, work / layout, progress).measure(shared.digests))
        progress("bare loop", 0, 1)
        passes.append(shared.measure())
    separate = BareLoop(drive, shared=False).measure()
    bare = {"shared": _median(passes), "separate": _median([separate])}
    for run in runs:
        _compare(run, bare)
    return {
        "frames": shared.frames,
        "bare_ms_per_frame": {
            name: {"sum": round(sum(parts.values()), 3), **parts} for name, parts in bare.items()
        },
        "bare_samples": [round(sum(each.values()), 3) for each in passes],
        "layouts": runs,
    }


class _Live:
    """One layout of the nodes, playing one drive."""

    def __init__(
        self, drive: Path, layout: str, options: LiveOptions, work: Path, progress: Progress
    ) -> None:
        self._drive, self._layout, self._options = drive, layout, options
        self._work = work
        self._progress: Progress = lambda text, done, total: progress(
            f"{layout}: {text}", done, total
        )
        self._sent_ns: dict[tuple[str, int], list[int]] = defaultdict(list)
        self._processes: list[NodeProcess] = []

    def measure(self, expected: Mapping[tuple[str, int], str]) -> dict[str, Any]:
        """Run the nodes; expected: digests of the bare loop's results, by topic and stamp."""
        self._work.mkdir(parents=True)
        environment = ros_environment(self._work, self._options.domain)
        results = self._work / "results"
        with BagReader(self._drive) as bag, environment_variables(environment):
            self._streams = camera_streams(bag)
            with (
                _reader(results),
                node_processes(self._specs(), self._work, environment) as self._processes,
                # It hears /diagnostics alone: the results are the reader's.
                BagWriter(self._work / "nothing") as writer,
                open_recorder(writer, ()) as recorder,
                open_player(bag, self._play_options(bag)) as player,
            ):
                reports = NodeReports(recorder, tuple(PARAMETERS), self._check)
                self._progress("starting the nodes", 0, 1)
                if not recorder.wait_until(lambda: not player.lonely(), _START_S, self._check):
                    raise PerceptionError(f"nobody listens on {', '.join(player.lonely())}")
                run = self._phases(player, reports)
        if faults := [fault for process in self._processes for fault in process.faults()]:
            raise PerceptionError("; ".join(faults))
        return {
            "layout": self._layout,
            **self._costs(run),
            **self._answers(results, run, expected),
        }

    def _phases(self, player: BagPlayer, reports: NodeReports) -> _Run:
        options, run = player.options, _Run()
        if not reports.wait_for_new(_START_S):
            raise PerceptionError(f"not every node publishes /diagnostics: see {self._work}")
        player.options = replace(options, loops=1, rate=_WARM_UP_RATE)
        self._play(player, "warming up")
        run.before = self._settled(reports)
        used, run.begin_ns = self._processor_seconds(), time.time_ns()
        player.options = replace(options, loops=self._options.loops)
        run.sent, run.late_s = self._play(player, "playing")
        run.after = self._settled(reports)
        run.used_s = _difference(self._processor_seconds(), used)
        run.idle = self._idle(None)
        if options.clock_hz is not None:
            run.idle_clock = self._idle(player)
        return run

    def _play(self, player: BagPlayer, what: str) -> tuple[Mapping[str, int], float]:
        images = {self._streams.color, self._streams.depth}
        total, done = player.message_count * player.options.loops, 0

        def sent(event: TimelineEvent, sent_ns: int) -> None:
            nonlocal done
            if (message := event.message) is None:
                return
            done += 1
            if message.topic in images:
                key = message.topic, header_stamp_ns(message.data)
                self._sent_ns[key].append(sent_ns)
                self._progress(what, done, total)
                self._check()

        summary = player.play(sent)
        return summary.messages, summary.latest_s

    def _settled(self, reports: NodeReports) -> Mapping[str, NodeOutcome]:
        if not reports.wait_until_settled(_DRAIN_S):
            raise PerceptionError(
                f"the nodes were still busy {_DRAIN_S:g} s after the last message: see {self._work}"
            )
        return reports.latest()

    def _idle(self, player: BagPlayer | None) -> Mapping[str, float]:
        """Return milliseconds per second while nothing comes, or the clock of a player alone."""
        self._progress("idle", 0, 1)
        clock_hz = self._options.clock_hz if player is not None else None
        used, start = self._processor_seconds(), time.monotonic()
        if player is None or clock_hz is None:
            time.sleep(self._options.idle_s)
        else:
            for tick in range(1, round(self._options.idle_s * clock_hz) + 1):
                time.sleep(max(start + tick / clock_hz - time.monotonic(), 0.0))
                player.tick(player.bag.end_ns + round(tick * 1e9 / clock_hz))
        seconds = time.monotonic() - start
        self._check()
        spent = _difference(self._processor_seconds(), used)
        return {name: 1e3 * each / seconds for name, each in spent.items()}

    def _costs(self, run: _Run) -> dict[str, Any]:
        """Return what each process used, and what became of the frames of its nodes."""
        processes: dict[str, Any] = {}
        for name, nodes in LAYOUTS[self._layout].items():
            counts = {node: self._counts(node, run) for node in nodes}
            processed = sum(each["processed"] for each in counts.values()) / len(nodes)
            processes[name] = {
                "nodes": counts,
                "cpu_ms_per_frame": round(1e3 * run.used_s[name] / max(processed, 1.0), 3),
                "idle_ms_per_s": round(run.idle[name], 3),
            }
            if run.idle_clock is not None:
                processes[name]["idle_clock_ms_per_s"] = round(run.idle_clock[name], 3)
        return {"player_late_ms": round(1e3 * run.late_s, 3), "processes": processes}

    def _counts(self, node: str, run: _Run) -> dict[str, Any]:
        topic = self._streams.depth if node == "mapper" else self._streams.color
        before, after = run.before[node], run.after[node]
        dropped = Counter(after.dropped)
        dropped.subtract(before.dropped)
        received = after.received - before.received
        return {
            "sent": run.sent[topic],
            "received": received,
            "processed": after.processed - before.processed,
            "dropped": {reason: count for reason, count in dropped.items() if count},
            "lost_in_transport": run.sent[topic] - received,
        }

    def _answers(
        self, results: Path, run: _Run, expected: Mapping[tuple[str, int], str]
    ) -> dict[str, Any]:
        """Return the results' latencies, and how many differ from the bare loop's."""
        late: dict[str, list[float]] = {topic.name: [] for topic in RESULTS}
        compared: Counter[str] = Counter()
        different: Counter[str] = Counter()
        with BagReader(results) as bag:
            for raw in bag.raw_messages():
                stamp_ns = header_stamp_ns(raw.data)
                if (wanted := expected.get((raw.topic, stamp_ns))) is not None:
                    compared[raw.topic] += 1
                    different[raw.topic] += digest(raw.msgtype, bag.deserialize(raw)) != wanted
                image = raw.topic.startswith(_IMAGES)
                topic = self._streams.color if image else self._streams.depth
                times_ns = self._sent_ns.get((topic, stamp_ns), [])
                if raw.stamp_ns > run.begin_ns and (sent := bisect_right(times_ns, raw.stamp_ns)):
                    late[raw.topic].append((raw.stamp_ns - times_ns[sent - 1]) / 1e6)
        return {
            "latency_ms": {topic: _percentiles(found) for topic, found in late.items() if found},
            "compared": dict(compared),
            "different": {topic: count for topic, count in different.items() if count},
        }

    def _specs(self) -> list[NodeSpec]:
        streams = self._streams
        remaps = {
            "image": streams.color_base,
            "depth/image": streams.depth_base,
            "depth/camera_info": streams.camera_info,
        }
        parameters = {
            "image_transport": "compressed" if streams.compressed else "raw",
            "use_sim_time": _text(self._options.clock_hz is not None),
        }
        for node, values in PARAMETERS.items():
            parameters |= {f"{node}:{name}": _text(value) for name, value in values.items()}
        return [NodeSpec(name, remaps, parameters) for name in LAYOUTS[self._layout]]

    def _play_options(self, bag: BagReader) -> PlayOptions:
        topics = self._streams.with_transforms & {topic.name for topic in bag.topics}
        return PlayOptions(topics=topics, clock_hz=self._options.clock_hz)

    def _processor_seconds(self) -> dict[str, float]:
        # The processor clock of another process, all its threads, as clock_getcpuclockid makes it.
        return {
            process.name: time.clock_gettime((~process.pid << 3) | 2) for process in self._processes
        }

    def _check(self) -> None:
        for process in self._processes:
            process.check()


@contextmanager
def _reader(results: Path) -> Iterator[None]:
    """Run the outside reader, which has finished its bag when the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cnn_perception.offboard.benchmarks.live_reader", str(results)],
        stdin=subprocess.PIPE,
        env=dict(os.environ),
        start_new_session=True,
    )
    try:
        yield
    finally:
        try:
            process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise PerceptionError(f"the reader of the results ended with code {process.returncode}")


def _compare(run: dict[str, Any], bare: Mapping[str, Mapping[str, float]]) -> None:
    """Set the costs of a layout's processes beside those of bare loops over the same frames.

    Where nodes of one process dropped different numbers, each counts by what it processed.
    """
    for process in run["processes"].values():
        frames = {name: node["processed"] for name, node in process["nodes"].items()}
        parts = bare["shared" if len(frames) > 1 else "separate"]
        own = sum(parts[name] * count for name, count in frames.items())
        own += parts.get("decode", 0.0) * max(frames.values())
        own = own * len(frames) / max(sum(frames.values()), 1)
        process["bare_ms_per_frame"] = round(own, 3)
        process["ratio"] = round(process["cpu_ms_per_frame"] / own, 3) if own else None
    total = sum(process["cpu_ms_per_frame"] for process in run["processes"].values())
    run["cpu_ms_per_frame"] = round(total, 3)
    for name, parts in bare.items():
        run[f"ratio_{name}"] = round(total / sum(parts.values()), 3)
    for key in ("idle_ms_per_s", "idle_clock_ms_per_s"):
        found = [process[key] for process in run["processes"].values() if key in process]
        if found:
            run[key] = round(sum(found), 3)


def _difference(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in now.items()}


def _median(passes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(float(np.median([each[name] for each in passes])), 3) for name in passes[0]}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, (50, 95, 99))
    names = ("p50", "p95", "p99")
    return {"count": len(values)} | {
        name: round(float(value), 3) for name, value in zip(names, found, strict=True)
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
