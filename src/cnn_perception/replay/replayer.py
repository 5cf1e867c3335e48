"""A bag through the nodes' own objects, in lockstep: no frame is dropped, no clock is looked at."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from cnn_perception.errors import BagError
from cnn_perception.messages.stamps import BACKWARD_JUMP_NS, stamp_to_ns
from cnn_perception.recording.bag import BagMessage, BagReader
from cnn_perception.recording.prefetch import prefetch
from cnn_perception.recording.scan_queue import TF, TF_STATIC
from cnn_perception.replay.inputs import Inputs, find_inputs
from cnn_perception.replay.nodes.mapper import MapperReplay
from cnn_perception.replay.nodes.networks import (
    DetectorReplay,
    ExplainerReplay,
    NetworkReplay,
    SegmenterReplay,
)
from cnn_perception.replay.nodes.node import Answer, Arrival, ReplayNode
from cnn_perception.replay.plan import ReplayPlan
from cnn_perception.replay.results import ResultsWriter
from cnn_perception.replay.run import FRAME_COLUMNS, ReplayRun
from cnn_perception.replay.summary import summarise, timing, versions
from cnn_perception.runtime.inference import InferencePool

__all__ = ["Progress", "check_folder", "replay"]

Progress = Callable[[int, int], None]
"""Called with how many messages of the bag are done, of how many."""

_NETWORKS: Mapping[str, type[NetworkReplay]] = {
    "detector": DetectorReplay,
    "segmenter": SegmenterReplay,
    "explainer": ExplainerReplay,
}
_LEFT = ("metrics.json", "report.html", "map.bt", "failures", "results", "frames.csv")
_AHEAD = 16
_TF_BEFORE_NS = 1_000_000_000


def replay(
    bag_path: Path,
    plan: ReplayPlan,
    out: Path,
    progress: Progress = lambda done, total: None,
) -> ReplayRun:
    """Replay a bag; leaves results, frames.csv, map.bt and metrics.json in the folder `out`.

    Messages are handled in the order in which they were recorded, one after the other, so the
    answers depend on the bag, the plan and the models alone. What an earlier replay left in `out`
    is removed. Raises BagError for a bag that cannot be used, ConfigError and ModelError.
    """
    with BagReader(bag_path) as bag:
        inputs = find_inputs(bag, plan)
        nodes = _make_nodes(bag, plan, inputs)
        check_folder(out, bag_path)
        _clear(out)
        start = time.perf_counter()
        with ResultsWriter(out) as results:
            _Lockstep(bag, plan, nodes, results, progress).run()
        seconds = time.perf_counter() - start
        summary = {
            **summarise(bag, plan, inputs, nodes, results),
            **_save_map(nodes, out / "map.bt"),
            "timing": timing(bag, plan, nodes, results, seconds),
            "versions": versions(),
        }
    run = ReplayRun(out, summary)
    run.save()
    return run


class _Lockstep:
    """One pass over a bag."""

    def __init__(
        self,
        bag: BagReader,
        plan: ReplayPlan,
        nodes: list[ReplayNode],
        results: ResultsWriter,
        progress: Progress,
    ) -> None:
        self._bag = bag
        self._plan = plan
        self._nodes = nodes
        self._results = results
        self._progress = progress
        self._stamps_ns: dict[str, int] = {}
        self._readers: dict[str, list[ReplayNode]] = {}
        for node in nodes:
            for topic in node.inputs:
                self._readers.setdefault(topic, []).append(node)

    def run(self) -> None:
        """Hand every message to the nodes that read its topic, and write what they answer."""
        for node in self._nodes:
            for output in node.announce():
                self._settle(Answer(self._start_ns, (output,)))
        color = {node.main_topics[0] for node in self._nodes if isinstance(node, NetworkReplay)}
        arrivals = (Arrival(item, color=item.topic in color) for item in self._messages())
        total = sum(self._bag.topic(name).count for name in self._topics)
        with closing(prefetch(arrivals, _AHEAD)) as read_ahead:
            for done, arrival in enumerate(read_ahead, 1):
                self._hand_out(arrival)
                self._progress(done, total)
        for node in self._nodes:
            for answer in node.finish():
                self._settle(answer)

    def _hand_out(self, arrival: Arrival) -> None:
        item = arrival.item
        for node in self._readers[item.topic]:
            if item.topic in node.main_topics and self._went_back(node, item):
                for answer in node.rewind(stamp_to_ns(item.message.header.stamp)):
                    self._settle(answer)
            for answer in node.take(arrival):
                self._settle(answer)

    def _went_back(self, node: ReplayNode, item: BagMessage) -> bool:
        """Say whether time went back to the stamp of an image; as a live node does."""
        key, stamp_ns = f"{node.name} {item.topic}", stamp_to_ns(item.message.header.stamp)
        last_ns = self._stamps_ns.get(key, stamp_ns)
        self._stamps_ns[key] = stamp_ns
        return stamp_ns < last_ns - BACKWARD_JUMP_NS

    def _settle(self, answer: Answer) -> None:
        """Write an answer; what it publishes may be another node's input."""
        self._results.write(answer)
        for output in answer.outputs:
            item = BagMessage(output.topic, output.msgtype, output.message, answer.recorded_ns)
            for node in self._readers.get(output.topic, ()):
                for further in node.take(Arrival(item)):
                    self._settle(further)

    @property
    def _topics(self) -> list[str]:
        return [topic.name for topic in self._bag.topics if topic.name in self._readers]

    @property
    def _start_ns(self) -> int:
        return self._bag.start_ns + round(self._plan.window_s[0] * 1e9)

    def _messages(self) -> Iterator[BagMessage]:
        """Yield the messages of the window, and before them those that hold in it already."""
        stop_s = self._plan.window_s[1]
        stop_ns = None if stop_s is None else self._bag.start_ns + round(stop_s * 1e9)
        start_ns, topics = self._start_ns, self._topics
        if start_ns > self._bag.start_ns:
            # Whether a recorder noted that static transforms are latched, or not: they are. Images
            # that are, a live node would not get: it subscribes to what comes.
            main = {name for node in self._nodes for name in node.main_topics}
            latched = {TF_STATIC, *(topic.name for topic in self._bag.topics if topic.latched)}
            held = [name for name in topics if name in latched - main]
            yield from self._bag.messages(held, stop_ns=start_ns)
            if TF in topics:
                yield from self._bag.messages(
                    [TF], start_ns=start_ns - _TF_BEFORE_NS, stop_ns=start_ns
                )
        yield from self._bag.messages(topics, start_ns=start_ns, stop_ns=stop_ns)


def _make_nodes(bag: BagReader, plan: ReplayPlan, inputs: Inputs) -> list[ReplayNode]:
    """Build the nodes that the plan asks for and the bag can feed."""
    networks, patience_ns = InferencePool(), round(plan.patience_s * 1e9)
    nodes: list[ReplayNode] = []
    masks = {}
    for camera_name, camera in inputs.cameras.items():
        prefix = f"{camera_name}/" if camera_name else ""
        for kind, make in _NETWORKS.items():
            if kind in plan.parameters and camera.color:
                values = plan.parameters[kind]
                nodes.append(make(f"{prefix}{kind}", values, camera, networks, patience_ns))
                if kind == "segmenter" and camera.depth:
                    masks[camera.depth] = f"/{prefix}segmenter/mask"
    if inputs.scans:
        counts = {topic.name: topic.count for topic in bag.topics}
        values = plan.parameters["mapper"]
        nodes.append(MapperReplay(values, inputs.scans, patience_ns, counts, masks))
    return nodes


def _save_map(nodes: list[ReplayNode], file: Path) -> dict[str, Any]:
    """Write the map where something was mapped; returns what metrics.json says of it."""
    for node in nodes:
        if isinstance(node, MapperReplay) and (size := node.save(file)):
            return {"map": size}
    return {}


def check_folder(out: Path, bag: Path) -> None:
    """Raise BagError for a folder in which a replay of a bag would destroy what is of no replay.

    frames.csv tells whose it is. It is the first to come and the last to go.
    """
    left = [out / name for name in _LEFT if (out / name).exists()]
    whole = [each for each in (bag, *bag.absolute().parents) if each.exists()]
    if any(path.samefile(each) for path in left for each in whole):
        raise BagError(f"{bag} is itself what a replay left in {out}: choose another --out")
    if left and not _has_frames(out):
        raise BagError(f"{left[0]} is of no replay and would be overwritten: choose another --out")


def _clear(out: Path) -> None:
    """Remove what an earlier replay left."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _LEFT:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise BagError(f"cannot write into {out} ({error}): choose another --out") from error


def _has_frames(out: Path) -> bool:
    """Say whether a replay was here: its frames.csv is there, if only begun."""
    try:
        with (out / "frames.csv").open(encoding="utf-8") as file:
            return file.readline().strip() in ("", ",".join(FRAME_COLUMNS))
    except (OSError, ValueError):
        return False
