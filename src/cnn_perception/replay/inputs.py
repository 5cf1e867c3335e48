"""Which topics of a bag feed which node: those that the plan names, or else what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cnn_perception.errors import BagError
from cnn_perception.parameters import DepthConfig, MapperNodeConfig, read
from cnn_perception.recording.bag import BagReader, BagTopic
from cnn_perception.recording.scan_queue import TF, TF_STATIC
from cnn_perception.recording.streams import ScanStream, image_topics, nearest_topic
from cnn_perception.replay.plan import CameraTopics, ReplayPlan

__all__ = ["Inputs", "find_inputs"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is fed from a bag.

    cameras: by name, the topics that are there; scans: what the mapper eats; left_out: why a node
    of the plan is not replayed, by its name.
    """

    cameras: Mapping[str, CameraTopics]
    scans: tuple[ScanStream, ...]
    left_out: Mapping[str, str]


def find_inputs(bag: BagReader, plan: ReplayPlan) -> Inputs:
    """Match a plan with a bag.

    Raises BagError for a topic that the plan names and the bag lacks, for the missing input of a
    node that the plan names, and when nothing at all can be replayed.
    """
    topics = [topic for topic in bag.topics if topic.count and topic.name not in plan.truth_topics]
    for name in _named(plan):
        bag.topic(name)
    cameras = {
        name: _completed(wanted, topics)
        for name, wanted in (plan.cameras or {"": CameraTopics()}).items()
    }
    left_out: dict[str, str] = {}
    scans: tuple[ScanStream, ...] = ()
    if "mapper" in plan.parameters:
        try:
            scans = _scans(bag, plan, cameras)
        except BagError as error:
            left_out["mapper"] = str(error)
    if not any(camera.color for camera in cameras.values()):
        text = f"{bag.path} has no colour images: it has {', '.join(t.name for t in topics)}"
        left_out |= {name: text for name in plan.parameters if name != "mapper"}
    for name in left_out:
        if name in plan.required or len(left_out) == len(plan.parameters):
            raise BagError(f"{name} cannot be replayed: {left_out[name]}")
    _check_depth(plan, cameras)
    return Inputs(cameras, scans, left_out)


def _named(plan: ReplayPlan) -> list[str]:
    cameras = plan.cameras.values()
    topics = [name for each in cameras for name in (each.color, each.depth, each.camera_info)]
    return [*(name for name in topics if name), *plan.clouds]


def _completed(wanted: CameraTopics, topics: list[BagTopic]) -> CameraTopics:
    """Fill in what a plan leaves open: nothing but the calibration where it names an image."""
    if wanted.color or wanted.depth:
        color, depth = wanted.color, wanted.depth
    else:
        colors, depths = image_topics(topics)
        depth = depths[0] if depths else None
        color = None
        if colors:
            color = nearest_topic(depth, colors) if depth else colors[0]
    infos = [topic.name for topic in topics if topic.msgtype == "sensor_msgs/msg/CameraInfo"]
    info = wanted.camera_info or (nearest_topic(depth, infos) if depth and infos else None)
    return CameraTopics(color, depth, info)


def _scans(
    bag: BagReader, plan: ReplayPlan, cameras: Mapping[str, CameraTopics]
) -> tuple[ScanStream, ...]:
    """Return what is mapped, as the mapper's parameter `source` says; raises BagError."""
    source = read(plan.parameters["mapper"], MapperNodeConfig).source
    depths = [camera for camera in cameras.values() if camera.depth] if source != "cloud" else []
    streams = [ScanStream(camera.depth or "", camera.camera_info or "") for camera in depths]
    for stream in streams:
        if not stream.camera_info:
            raise BagError(f"{bag.path} has no camera_info for {stream.topic}: record it too")
    if source != "depth":
        clouds = plan.clouds or tuple(
            topic.name for topic in bag.topics if topic.msgtype == "sensor_msgs/msg/PointCloud2"
        )
        streams += [ScanStream(topic) for topic in clouds]
    if not streams:
        wanted = "point clouds" if source == "cloud" else "depth images"
        raise BagError(f"{bag.path} has no {wanted} for the mapper, whose source is {source}")
    if not any(topic.name in (TF, TF_STATIC) for topic in bag.topics):
        raise BagError(f"{bag.path} has neither /tf nor /tf_static: record the robot's poses")
    return tuple(streams)


def _check_depth(plan: ReplayPlan, cameras: Mapping[str, CameraTopics]) -> None:
    parameters = plan.parameters.get("detector")
    if parameters is None or not read(parameters, DepthConfig).use_depth:
        return
    for name, camera in cameras.items():
        if camera.color and not (camera.depth and camera.camera_info):
            raise BagError(
                f"detector: use_depth is set, but camera {name!r} has no depth with camera_info: "
                "name its topics or unset it"
            )
