"""What replaying a bag costs beside the work of the nodes' objects themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnn_perception.config import (
    DetectorConfig,
    ExplainerConfig,
    MapperConfig,
    SegmenterConfig,
    SessionConfig,
)
from cnn_perception.detection.detector import Detector
from cnn_perception.explain.explainer import Explainer
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.scan_queue import ScanQueue
from cnn_perception.mapping.scans import CloudScan, DepthScan, Scan
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import decode_color
from cnn_perception.messages.frame import Frame
from cnn_perception.offboard.benchmarks.race import Contender, Job
from cnn_perception.parameters import ModelConfig, read
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.streams import TF, TF_STATIC
from cnn_perception.replay.inputs import find_inputs
from cnn_perception.replay.plan import NODES, ReplayPlan
from cnn_perception.replay.replayer import replay
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.runtime.inference import InferencePool
from cnn_perception.segmentation.segmenter import Segmenter
from cnn_perception.settings import Config
from cnn_perception.types import UInt8Array

__all__ = ["JOBS", "replay_job"]

JOBS = (
    ("detector", "segmenter", "mapper"),
    ("detector", "segmenter", "explainer", "mapper"),
)
"""Which nodes are replayed."""


@dataclass(slots=True)
class _Networks:
    """The networks of a loop, and a digest of the scores and masks that they answered."""

    calls: dict[str, Any] = field(default_factory=dict)
    digest: Any = field(default_factory=hashlib.sha256)

    @classmethod
    def load(cls, plan: ReplayPlan) -> _Networks:
        pool, made = InferencePool(), cls()
        cores: dict[str, tuple[Any, type[Config]]] = {
            "detector": (Detector, DetectorConfig),
            "segmenter": (Segmenter, SegmenterConfig),
            "explainer": (Explainer, ExplainerConfig),
        }
        for name, (core, config) in cores.items():
            if name in plan.parameters:
                values = plan.parameters[name]
                bundle = load_bundle(read(values, ModelConfig).model)
                session = read(values, SessionConfig)
                own = read(values, config)
                made.calls[name] = core(bundle, own, session, pool.get(bundle, session))
        return made

    def see(self, rgb: UInt8Array) -> None:
        if "detector" in self.calls:
            self.digest.update(self.calls["detector"].detect(rgb).scores.tobytes())
        if "segmenter" in self.calls:
            self.digest.update(self.calls["segmenter"].segment(rgb).tobytes())
        if "explainer" in self.calls:
            self.calls["explainer"].explain(rgb)


class _BareLoop:
    """The objects called by hand, in the order of the bag.

    decoded: whether images and scans are in memory before. answer: digest of scores and masks, and
    the map.
    """

    def __init__(self, path: Path, plan: ReplayPlan, *, decoded: bool) -> None:
        self._path, self._plan = path, plan
        self._inputs = list(self._read()) if decoded else None
        self.answer: tuple[str, bytes] = ("", b"")

    def run(self, turn: int) -> None:
        networks = _Networks.load(self._plan)
        mapper = OccupancyMap(read(self._plan.parameters["mapper"], MapperConfig))
        mapper.warm_up()
        for each in self._inputs or self._read():
            if isinstance(each, DepthScan | CloudScan):
                mapper.integrate(each)
            else:
                networks.see(each)
        self.answer = networks.digest.hexdigest(), mapper.full_payload()

    def _read(self) -> Iterator[UInt8Array | Scan]:
        with BagReader(self._path) as bag:
            found = find_inputs(bag, self._plan)
            (camera,) = found.cameras.values()
            (scan,) = found.scans
            buffer, patience_ns = TransformBuffer(), round(self._plan.patience_s * 1e9)
            queue = ScanQueue({"": bool(scan.camera_info)}, buffer, "map", lambda: patience_ns)
            wanted = {camera.color or "", scan.topic, scan.camera_info, TF, TF_STATIC}
            for item in bag.messages({topic.name for topic in bag.topics} & wanted):
                if item.topic == camera.color:
                    yield decode_color(item.message)
                    continue
                if item.topic == scan.topic:
                    list(queue.add("", Frame(item.message, item.topic, item.stamp_ns)))
                elif item.topic == scan.camera_info:
                    queue.add_info("", item.message)
                else:
                    buffer.learn(item.message, item.topic == TF_STATIC)
                yield from (q.scan for q in queue.leaving(item.stamp_ns) if q.scan is not None)
            yield from (q.scan for q in queue.leaving(None) if q.scan is not None)


class _Replay:
    """The replay of the same bag. answer: as that of the bare loop."""

    def __init__(self, path: Path, plan: ReplayPlan, out: Path) -> None:
        self._path, self._plan, self._out = path, plan, out

    def run(self, turn: int) -> None:
        replay(self._path, self._plan, self._out)

    @property
    def answer(self) -> tuple[str, bytes]:
        digest, payload = hashlib.sha256(), b""
        with BagReader(self._out / "results") as results:
            for item in results.messages():
                if item.topic == "/detector/detections":
                    found = [each.results[0].hypothesis.score for each in item.message.detections]
                    digest.update(np.array(found, np.float32).tobytes())
                elif item.topic == "/segmenter/mask":
                    digest.update(item.message.data.tobytes())
                elif item.topic == "/octomap_full":
                    payload = item.message.data.tobytes()
        return digest.hexdigest(), payload


def replay_job(path: Path, nodes: Sequence[str], out: Path) -> Job:
    """Return the job of replaying a bag against loops that call the same objects.

    The loops answer first, and their scores, masks and maps must be the replay's. Raises BagError.
    """
    parameters = {name: NODES[name].complete({}) for name in nodes}
    plan = ReplayPlan(parameters=parameters, required=frozenset(nodes))
    contenders: dict[str, _BareLoop | _Replay] = {
        "bare loop": _BareLoop(path, plan, decoded=False),
        "decoded before": _BareLoop(path, plan, decoded=True),
        "replay": _Replay(path, plan, out),
    }
    for each in contenders.values():
        each.run(0)
    right = contenders["bare loop"].answer
    return Job(
        ", ".join(nodes),
        "networks loaded, the bag read, decoded and handed through; replay also writes the results",
        [
            Contender(name, each.run, float(each.answer != right))
            for name, each in contenders.items()
        ],
    )
