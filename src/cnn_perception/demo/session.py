"""The demonstration's run: four node processes, a played bag, a recorded answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cnn_perception.demo.outcome import DemoOutcome, NodeOutcome
from cnn_perception.demo.processes import (
    NodeProcess,
    NodeSpec,
    environment_variables,
    node_processes,
    ros_environment,
)
from cnn_perception.demo.reports import NodeReports
from cnn_perception.errors import BagError, ConfigError, PerceptionError
from cnn_perception.mapping.jit import is_cached
from cnn_perception.messages.stamps import header_stamp_ns
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.recording.streams import TF, CameraStreams, camera_streams
from cnn_perception.recording.timeline import PlayOptions, TimelineEvent
from cnn_perception.ros.player import BagPlayer, open_player
from cnn_perception.ros.recorder import RecordedTopic, Recorder, open_recorder

__all__ = ["LATE_OUTPUTS", "OUTPUTS", "DemoRun", "Progress", "run_nodes"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much of it is."""

_IMAGE = "sensor_msgs/msg/Image"
_DETECTIONS = "vision_msgs/msg/Detection2DArray"
_LABELS = "vision_msgs/msg/LabelInfo"
_MARKERS = "visualization_msgs/msg/MarkerArray"
_OCTOMAP = "octomap_msgs/msg/Octomap"

OUTPUTS = (
    RecordedTopic("/detector/detections", _DETECTIONS),
    RecordedTopic("/detector/detections_3d", "vision_msgs/msg/Detection3DArray"),
    RecordedTopic("/detector/markers", _MARKERS),
    RecordedTopic("/detector/label_info", _LABELS, latched=True),
    RecordedTopic("/detector/overlay", _IMAGE),
    RecordedTopic("/segmenter/mask", _IMAGE),
    RecordedTopic("/segmenter/color_mask", _IMAGE),
    RecordedTopic("/segmenter/label_info", _LABELS, latched=True),
    RecordedTopic("/segmenter/overlay", _IMAGE),
    RecordedTopic("/explainer/heatmap", _IMAGE),
    RecordedTopic("/explainer/explained", _DETECTIONS),
    RecordedTopic("/explainer/overlay", _IMAGE),
    RecordedTopic("/octomap_binary", _OCTOMAP, latched=True),
    RecordedTopic("/projected_map", "nav_msgs/msg/OccupancyGrid", latched=True),
)
"""What the four nodes publish, recorded during the whole drive."""

LATE_OUTPUTS = (
    RecordedTopic("/octomap_full", _OCTOMAP, latched=True),
    RecordedTopic("/occupied_cells_vis_array", _MARKERS, latched=True),
    RecordedTopic("/free_cells_vis_array", _MARKERS, latched=True),
    RecordedTopic("/octomap_point_cloud_centers", "sensor_msgs/msg/PointCloud2", latched=True),
)
"""The whole map again, megabytes each: recorded at the end, as a late RViz would ask for them."""

_MAPPING = {
    "sensor_model.max_range": "5.0",
    "publish_free_space": "true",
    "use_height_map": "true",
}
# The mapper of a fresh clone compiles its kernels first, beside three networks that start.
_START_S = 180.0
_DRAIN_S = 30.0
_SAVE_S = 10.0


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What a run left: its outcome, the camera's topics, and when each image was sent.

    sent_ns: wall-clock nanoseconds at which the color image with a stamp was published.
    """

    outcome: DemoOutcome
    streams: CameraStreams
    sent_ns: Mapping[int, int]


def run_nodes(
    bag_path: Path, out: Path, progress: Progress, *, domain: int, models: Mapping[str, str]
) -> DemoRun:
    """Play a bag through the four nodes and record what they publish.

    models: bundles by node name, where it is not the node's own default. Leaves in `out`: results
    (a bag), map.bt, logs. Raises PerceptionError when the bag cannot be used or a node does not
    start; whatever goes wrong later is a fault of the outcome.
    """
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = ros_environment(logs, domain)
    with BagReader(bag_path) as bag, environment_variables(environment):
        streams = camera_streams(bag)
        specs = _node_specs(streams, out / "map.bt", models)
        with (
            BagWriter(out / "results", overwrite=True) as writer,
            open_recorder(writer, OUTPUTS) as recorder,
            node_processes(specs, logs, environment) as processes,
        ):
            session = _Session(bag, streams, recorder, processes, progress)
            session.run()
            reports = session.reports.latest()
    faults = [
        *session.faults,
        *(fault for process in processes for fault in process.faults()),
        *_missing(recorder.counts),
        *_unbalanced(reports),
    ]
    outcome = DemoOutcome(
        nodes=reports,
        topics=recorder.counts,
        sent=session.sent,
        main_input={name: streams.depth if name == "mapper" else streams.color for name in reports},
        faults=tuple(faults),
    )
    return DemoRun(outcome, streams, session.sent_ns)


class _Session:
    """One run, with the nodes started and the recorder listening."""

    def __init__(
        self,
        bag: BagReader,
        streams: CameraStreams,
        recorder: Recorder,
        processes: list[NodeProcess],
        progress: Progress,
    ) -> None:
        self._bag = bag
        self._streams = streams
        self._recorder = recorder
        self._processes = processes
        self._progress = progress
        self.reports = NodeReports(recorder, [each.name for each in processes], self._check)
        self.faults: list[str] = []
        self.sent: Mapping[str, int] = {}
        self.sent_ns: dict[int, int] = {}

    def run(self) -> None:
        """Wait for the nodes, play, wait until they are done, save the map."""
        options = PlayOptions(topics=self._inputs())
        with open_player(self._bag, options) as player:
            self._wait_for_nodes(player)
            self._play(player)
            self._drain()
        self.faults.extend(self._save())

    def _inputs(self) -> frozenset[str]:
        have = {topic.name for topic in self._bag.topics}
        if TF not in have:
            raise BagError(f"{self._bag.path} has no /tf: the mapper must know where the camera is")
        return self._streams.with_transforms & have

    def _wait_for_nodes(self, player: BagPlayer) -> None:
        """Wait until every node listens, and has reported since: by then discovery is through."""
        expected = {
            self._streams.color: 3,
            self._streams.depth: 2,
            self._streams.camera_info: 2,
        }
        compiling = "" if is_cached() else ", compiling the mapping kernels once: up to a minute"
        self._progress(f"starting the nodes{compiling}", 0, 1)
        if not self._recorder.wait_until(
            lambda: not player.lonely(expected), _START_S, self._check
        ):
            raise PerceptionError(
                f"after {_START_S:g} s no node listens on {', '.join(player.lonely(expected))}: "
                f"see {self._processes[0].log.parent}"
            )
        if not self.reports.wait_for_new(_START_S):
            raise PerceptionError("not every node publishes /diagnostics: see their logs")

    def _play(self, player: BagPlayer) -> None:
        total = player.message_count
        done = 0

        def sent(event: TimelineEvent, sent_ns: int) -> None:
            nonlocal done
            done += 1
            if event.message is not None and event.message.topic == self._streams.color:
                self.sent_ns[header_stamp_ns(event.message.data)] = sent_ns
            self._progress("playing the drive", done, total)
            self._check()

        self.sent = player.play(sent).messages

    def _drain(self) -> None:
        """Wait until each node has nothing in work and says so twice with the same count."""
        self._progress("waiting for the last results", 0, 1)
        if not self.reports.wait_until_settled(_DRAIN_S):
            self.faults.append(f"the nodes were still busy {_DRAIN_S:g} s after the last message")
        self._recorder.record(LATE_OUTPUTS)
        # What is still missing after that is named among the faults.
        self._recorder.wait_until(
            lambda: all(self._recorder.counts.get(topic.name) for topic in LATE_OUTPUTS),
            _DRAIN_S,
            self._check,
        )

    def _save(self) -> list[str]:
        try:
            self._recorder.trigger("/mapper/save", _SAVE_S)
        except PerceptionError as error:
            return [str(error)]
        return []

    def _check(self) -> None:
        for process in self._processes:
            process.check()


def _node_specs(
    streams: CameraStreams, map_file: Path, models: Mapping[str, str]
) -> list[NodeSpec]:
    transport = {"image_transport": "compressed" if streams.compressed else "raw"}
    image = {"image": streams.color_base}
    depth = {"depth/image": streams.depth_base, "depth/camera_info": streams.camera_info}
    of_node = {
        "detector": (image | depth, {"use_depth": "true"}),
        "segmenter": (image, {}),
        "explainer": (image, {}),
        "mapper": (depth, {"save_path": str(map_file.absolute()), **_MAPPING}),
    }
    for name in models:
        if name not in of_node or name == "mapper":
            raise ConfigError(
                f"no node {name!r} takes a model: choose detector, segmenter or explainer"
            )
    return [
        NodeSpec(
            name,
            remaps,
            transport | parameters | ({"model": models[name]} if name in models else {}),
        )
        for name, (remaps, parameters) in of_node.items()
    ]


def _missing(counts: Mapping[str, int]) -> list[str]:
    return [
        f"nothing came on {topic.name}"
        for topic in (*OUTPUTS, *LATE_OUTPUTS)
        if not counts.get(topic.name)
    ]


def _unbalanced(reports: Mapping[str, NodeOutcome]) -> list[str]:
    faults = []
    for name, report in reports.items():
        if report.received == 0:
            faults.append(f"node {name} received nothing")
        elif not report.balanced:
            faults.append(
                f"node {name} received {report.received} but accounts for {report.processed} "
                f"processed and {dict(report.dropped)} dropped"
            )
    return faults
