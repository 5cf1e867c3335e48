"""What is different from an earlier replay: numbers, settings, and the results themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from cnn_perception.recording.bag import BagReader, RawBagMessage
from cnn_perception.replay.run import ReplayRun
from cnn_perception.replay.side_by_side import lockstep

__all__ = ["Change", "Comparison", "TopicDifference", "compare", "compare_results"]

_LATENCIES = ("p50", "p95", "p99")  # the largest is that of a single frame
_NOISE = 0.1
"""Part by which durations of equal work differ between two runs on one machine."""
_FIGURES = {
    "map_50": "mAP at IoU 0.5",
    "map_50_95": "mAP at IoU 0.5 to 0.95",
    "miou": "mIoU",
    "map_precision": "map, precision",
    "map_recall": "map, recall",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One value before and after; for numbers by how much, and by which share of what it was.

    verdict: "better", "worse", or "" where that is not known.
    """

    name: str
    before: str
    after: str
    by: str = ""
    share: str = ""
    arrow: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """Messages of a topic that differ in content or are on one side only, of how many."""

    topic: str
    messages: int
    differ: int
    first_ns: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed, by subject; the topics that differ, None where a results bag is missing."""

    changes: Mapping[str, Sequence[Change]]
    topics: tuple[TopicDifference, ...] | None

    @property
    def results_equal(self) -> bool:
        """True when every message of every topic is the same."""
        return self.topics is not None and not any(topic.differ for topic in self.topics)

    @property
    def nothing_changed(self) -> bool:
        """True when neither results nor numbers nor settings differ, durations aside."""
        subjects = set(self.changes) - {"latency"}
        return self.results_equal and not any(self.changes[subject] for subject in subjects)


def compare(before: ReplayRun, after: ReplayRun) -> Comparison:
    """Compare two replays; reads both results bags as a stream. Raises BagError."""
    old, new = before.summary, after.summary
    changes = {
        "bag": _texts(_bag(old), _bag(new)),
        "frames": list(_frames(old["nodes"], new["nodes"])),
        "classes": list(_classes(old["nodes"], new["nodes"])),
        "accuracy": list(_accuracy(old.get("accuracy") or {}, new.get("accuracy") or {})),
        "map": list(_map(old.get("map") or {}, new.get("map") or {})),
        "latency": list(_latency(old["timing"], new["timing"])),
        "models": _texts(_models(old["nodes"]), _models(new["nodes"])),
        "configuration": _texts(_flat(old["configuration"]), _flat(new["configuration"])),
        "versions": _texts(_flat(old["versions"]), _flat(new["versions"])),
    }
    have = before.results.is_dir() and after.results.is_dir()
    topics = compare_results(before, after) if have else None
    return Comparison({name: found for name, found in changes.items() if found}, topics)


def compare_results(before: ReplayRun, after: ReplayRun) -> tuple[TopicDifference, ...]:
    """Compare all messages of two results bags, topic by topic, at equal stamps.

    Topics of the same digest in both metrics.json are equal and not read.
    """
    counts: dict[str, int] = {}
    differ: dict[str, int] = {}
    first: dict[str, int] = {}
    equal = before.summary.get("digests", {}).items() & after.summary.get("digests", {}).items()
    with BagReader(before.results) as old, BagReader(after.results) as new:
        for bag in (old, new):
            for known in bag.topics:
                counts[known.name] = max(counts.get(known.name, 0), known.count)
        read = counts.keys() - dict(equal).keys()
        for moment in lockstep(old, read, new, read):
            for topic in moment.first.keys() | moment.second.keys():
                pairs = zip_longest(moment.first.get(topic, ()), moment.second.get(topic, ()))
                wrong = sum(not _same(before, after) for before, after in pairs)
                if wrong:
                    differ[topic] = differ.get(topic, 0) + wrong
                    first.setdefault(topic, moment.recorded_ns)
    return tuple(
        TopicDifference(topic, counts[topic], differ.get(topic, 0), first.get(topic))
        for topic in sorted(counts)
    )


def _same(before: RawBagMessage | None, after: RawBagMessage | None) -> bool:
    return before is not None and after is not None and before.data == after.data


def _frames(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for node in [*new, *(name for name in old if name not in new)]:
        a, b = old.get(node, {}), new.get(node, {})
        for name, better in (("received", 0), ("processed", 1), ("found", 0)):
            yield from _number(f"{node}, {name}", a.get(name), b.get(name), better)
        lost = [sum(side["dropped"].values()) if side else None for side in (a, b)]
        yield from _number(f"{node}, dropped", lost[0], lost[1], -1)


def _classes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for node in new:
        a = old.get(node, {}).get("classes") or {}
        b = new[node].get("classes") or {}
        for label in sorted(a.keys() | b.keys()):
            counts = [int(side.get(label, {}).get("count", 0)) for side in (a, b)]
            camera = node.rpartition("/")[0]
            name = f"{camera}, {label}" if camera else label
            yield from _number(name, counts[0], counts[1], 0)


def _accuracy(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key, name in _FIGURES.items():
        yield from _number(name, old.get(key), new.get(key), 1)
    for key, name in (("ap", "AP"), ("iou", "IoU")):
        a, b = old.get(key) or {}, new.get(key) or {}
        for label in sorted(a.keys() | b.keys()):
            yield from _number(f"{name}, {label}", a.get(label), b.get(label), 1)


def _map(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key, name in (("occupied", "occupied cells"), ("free", "free cells")):
        yield from _number(name, old.get(key), new.get(key), 0)
    yield from _number("resolution, m", old.get("resolution"), new.get("resolution"), 0)
    a, b = str(old.get("sha256", "")), str(new.get("sha256", ""))
    if a != b:
        yield Change("sha256 of the file", a[:12] or "-", b[:12] or "-")


def _latency(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    speed = "times_real_time"
    yield from _number("speed, x real time", old.get(speed), new.get(speed), 1, _NOISE)
    for node, quantiles in new["latency_ms"].items():
        known = old["latency_ms"].get(node, {})
        for name in _LATENCIES:
            yield from _number(
                f"{node}, {name} ms", known.get(name), quantiles.get(name), -1, _NOISE
            )


def _number(
    name: str, before: float | None, after: float | None, better: int, noise: float = 0.0
) -> Iterator[Change]:
    """Yield a change, if there is one. better: 1 where more is, -1 where less is, 0 if unknown."""
    if before == after:
        return
    if before is None or after is None:
        yield Change(name, _text(before), _text(after))
        return
    by = after - before
    if noise and abs(by) <= noise * abs(before):
        return
    verdict = "" if not better else "better" if by * better > 0 else "worse"
    share = f"({by / before:+.0%})" if before and abs(by / before) >= 0.005 else ""
    arrow = "▲" if by > 0 else "▼"
    yield Change(name, _text(before), _text(after), f"{by:+.4g}", share, arrow, verdict)


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _texts(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    keys = [*new, *(key for key in old if key not in new)]
    return [
        Change(key, old.get(key, "-"), new.get(key, "-"))
        for key in keys
        if old.get(key, "-") != new.get(key, "-")
    ]


def _bag(summary: Mapping[str, Any]) -> dict[str, str]:
    bag = summary["bag"]
    keys = ("name", "start_ns", "end_ns", "messages", "window_s")
    return {key: str(bag.get(key, "-")) for key in keys}


def _models(nodes: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{name}, {key}": str(node[key])[:16] if key == "sha256" else str(node[key])
        for name, node in nodes.items()
        for key in ("model", "version", "sha256", "provider", "engine")
        if node.get(key) is not None
    }


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, str]:
    leaves: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        leaves |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: str(value)}
    return leaves
