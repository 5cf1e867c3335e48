"""Which topics of a bag feed which node: those that the plan names, or else what is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnn_perception.errors import BagError, ConfigError
from cnn_perception.parameters import DepthConfig, MapperNodeConfig, MaskConfig, read
from cnn_perception.recording.bag import BagReader, BagTopic
from cnn_perception.recording.streams import (
    TF,
    TF_STATIC,
    ScanStream,
    image_topics,
    nearest_topic,
)
from cnn_perception.replay.plan import NODES, CameraTopics, ReplayPlan

__all__ = ["Inputs", "Wiring", "find_inputs"]

Wiring = tuple[str, str, Mapping[str, Any], Mapping[str, tuple[str, ...]]]
"""A component to make: its kind, its name, its parameters, and the topics of each of its inputs."""

_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_INFO = "sensor_msgs/msg/CameraInfo"
_CLOUD = "sensor_msgs/msg/PointCloud2"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is fed from a bag.

    cameras: by name, the topics that are there; scans: what the mapper eats; left_out: why a node
    of the plan is not replayed, by its name; recorded: the topics of the bag that nodes may read.
    """

    cameras: Mapping[str, CameraTopics]
    scans: tuple[ScanStream, ...]
    left_out: Mapping[str, str]
    recorded: tuple[BagTopic, ...] = ()

    def wiring(self, plan: ReplayPlan) -> Iterator[Wiring]:
        """Yield which of the package's own nodes are made: kind, name, parameters, topics by input.

        An installed component is asked for its inputs, and then `remapping` finds their topics.
        """
        masks: dict[str, str] = {}
        for camera_name, camera in self.cameras.items():
            prefix = f"{camera_name}/" if camera_name else ""
            for kind in ("detector", "segmenter", "explainer"):
                if kind in plan.parameters and camera.color:
                    feeds = {
                        "image": (camera.color,),
                        "depth/image": (camera.depth or "",),
                        "depth/camera_info": (camera.camera_info or "",),
                    }
                    yield kind, f"{prefix}{kind}", plan.parameters[kind], feeds
                    if kind == "segmenter" and camera.depth:
                        masks[camera.depth] = f"/{prefix}segmenter"
        if self.scans:
            yield self._mapper(plan, masks)

    def _mapper(self, plan: ReplayPlan, masks: Mapping[str, str]) -> Wiring:
        """Give each scan stream a prefix of its own, under which the mapper reads it."""
        values = {**plan.parameters["mapper"]}
        values["cameras"] = tuple(f"sensor_{k}" for k in range(len(self.scans)))
        feeds: dict[str, tuple[str, ...]] = {}
        for prefix, stream in zip(values["cameras"], self.scans, strict=True):
            if not stream.camera_info:
                feeds[f"{prefix}/cloud_in"] = (stream.topic,)
                continue
            feeds[f"{prefix}/depth/image"] = (stream.topic,)
            feeds[f"{prefix}/depth/camera_info"] = (stream.camera_info,)
            if stream.topic in masks:
                feeds[f"{prefix}/mask"] = (f"{masks[stream.topic]}/mask",)
        feeds["label_info"] = tuple(f"{segmenter}/label_info" for segmenter in masks.values())
        return "mapper", "mapper", values, feeds


def find_inputs(bag: BagReader, plan: ReplayPlan) -> Inputs:
    """Match a plan with a bag.

    Raises BagError for a topic that the plan names and the bag lacks or has with another type, for
    the missing input of a node that the plan names, and when nothing at all can be replayed;
    ConfigError for a plan that contradicts itself or lies beyond the end of the bag.
    """
    _check_plan(bag, plan)
    topics = [topic for topic in bag.topics if topic.count and topic.name not in plan.truth_topics]
    _check_named(bag, plan)
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
        text = f"{bag.path} has no color images: it has {', '.join(t.name for t in topics)}"
        left_out |= {name: text for name in NODES if name in plan.parameters and name != "mapper"}
    for name in left_out:
        if name in plan.required or len(left_out) == len(plan.parameters):
            raise BagError(f"{name} cannot be replayed: {left_out[name]}")
    _check_depth(plan, cameras)
    if scans:
        _check_classes(plan, cameras)
    return Inputs(cameras, scans, left_out, tuple(topics))


def _check_plan(bag: BagReader, plan: ReplayPlan) -> None:
    if not plan.parameters:
        raise ConfigError(f"nothing is replayed without {', '.join(NODES)}: leave one in")
    if not bag.message_count:
        raise BagError(f"{bag.path} holds no messages: record it again")
    start_s, duration_s = plan.window_s[0], bag.duration_ns / 1e9
    if start_s > duration_s:
        raise ConfigError(
            f"window: start = {start_s:g} s is beyond the end of {bag.path}, which lasts "
            f"{duration_s:.3f} s"
        )
    mapper = plan.parameters.get("mapper")
    if plan.clouds and mapper is not None and read(mapper, MapperNodeConfig).source == "depth":
        raise ConfigError(
            f"clouds = {', '.join(plan.clouds)}, but the mapper's source = depth: set it to cloud "
            "or both"
        )


def _check_named(bag: BagReader, plan: ReplayPlan) -> None:
    named: list[tuple[str, str, tuple[str, ...]]]
    named = [("clouds", topic, (_CLOUD,)) for topic in plan.clouds]
    for camera in plan.cameras.values():
        named += [("color", camera.color or "", _IMAGES), ("depth", camera.depth or "", _IMAGES)]
        named.append(("camera_info", camera.camera_info or "", (_INFO,)))
    for key, topic, types in named:
        if topic and (found := bag.topic(topic).msgtype) not in types:
            raise BagError(f"{key} = {topic} is of {found}: name a topic of {' or '.join(types)}")


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
    infos = [topic.name for topic in topics if topic.msgtype == _INFO]
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
            topic.name for topic in bag.topics if topic.count and topic.msgtype == _CLOUD
        )
        streams += [ScanStream(topic) for topic in clouds]
    if not streams:
        wanted = "point clouds" if source == "cloud" else "depth images"
        raise BagError(f"{bag.path} has no {wanted} for the mapper, whose source is {source}")
    if not any(topic.count and topic.name in (TF, TF_STATIC) for topic in bag.topics):
        raise BagError(f"{bag.path} has neither /tf nor /tf_static: record the robot's poses")
    return tuple(dict.fromkeys(streams))  # two color cameras may share the depth of one


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


def _check_classes(plan: ReplayPlan, cameras: Mapping[str, CameraTopics]) -> None:
    parameters = plan.parameters["mapper"]
    if not read(parameters, MaskConfig).enabled:
        return
    if read(parameters, MapperNodeConfig).source == "cloud":
        raise ConfigError(
            "mapper: semantics.enabled needs depth images, which masks can be laid over: set "
            "source to depth, or semantics.enabled to false"
        )
    masked = {name: each.depth for name, each in cameras.items() if each.color and each.depth}
    if not (masked and "segmenter" in plan.parameters):
        raise ConfigError(
            "mapper: semantics.enabled needs the segmenter's masks of a camera with color and "
            "depth: replay the segmenter too, or set semantics.enabled to false"
        )
    for depth in masked.values():
        if len(shared := [name for name in masked if masked[name] == depth]) > 1:
            raise ConfigError(
                f"mapper: with semantics.enabled one camera's masks are laid over {depth}, but "
                f"{', '.join(shared)} share it: name depth for one of them only"
            )
