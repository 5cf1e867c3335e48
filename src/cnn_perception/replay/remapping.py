"""Which topics feed an installed component: those that the plan remaps, or else what is found."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnn_perception.components.component import Input
from cnn_perception.errors import ConfigError
from cnn_perception.recording.bag import BagTopic
from cnn_perception.replay.plan import CameraTopics

__all__ = ["Feeds", "PublishedTopic", "Sources"]

_IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}


@dataclass(frozen=True, slots=True)
class PublishedTopic:
    """A topic that a node of the replay publishes. camera: the node's, empty for none."""

    name: str
    msgtype: str
    camera: str


@dataclass(frozen=True, slots=True)
class Feeds:
    """The topics of each input of a component. of_camera: whether one is of the camera alone."""

    topics: Mapping[str, tuple[str, ...]]
    of_camera: bool


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a component beside one camera finds its messages.

    camera: its name, empty where it has none; images: its topics; published: by the nodes that
    were made before; recorded: the bag's topics, without those of the truth.
    """

    camera: str
    images: CameraTopics
    published: Sequence[PublishedTopic]
    recorded: Sequence[BagTopic]

    def feeds(self, name: str, inputs: Sequence[Input], remap: Mapping[str, str]) -> Feeds:
        """Return what feeds a component. Raises ConfigError for an input that nothing feeds.

        remap: a topic by input, empty for none. Other inputs take the camera's images and
        calibration, if they have the detector's names for these; or a topic of their name and type,
        of a node beside the camera or else of the bag; or the only one of their type.
        """
        names = [each.name for each in inputs]
        for key in remap:
            if key not in names:
                near = difflib.get_close_matches(key, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
                raise ConfigError(f"remap.{name}: {name} has no input {key!r}: {hint}")
        found = {
            each.name: self._remapped(name, each, remap[each.name])
            if each.name in remap
            else self._found(name, each)
            for each in inputs
        }
        beside = {each.name for each in self.published if each.camera}
        beside |= {self.images.color or "", self.images.depth or "", self.images.camera_info or ""}
        of_camera = any(topic in beside for key, topic in found.items() if key not in remap)
        return Feeds({key: (topic,) for key, topic in found.items() if topic}, of_camera)

    @property
    def _known(self) -> list[BagTopic | PublishedTopic]:
        return [*self.recorded, *self.published]

    def _remapped(self, name: str, each: Input, topic: str) -> str:
        types = {known.name: known.msgtype for known in self._known}
        if topic and topic not in types:
            raise ConfigError(
                f"remap.{name}.{each.name} = {topic}: neither the bag nor a node has it; "
                f"{self._candidates(each)}"
            )
        if topic and not _fits(each, types[topic]):
            raise ConfigError(
                f"remap.{name}.{each.name} = {topic} is of {types[topic]}: {self._candidates(each)}"
            )
        return topic

    def _found(self, name: str, each: Input) -> str:
        images = {
            "image": self.images.color,
            "depth/image": self.images.depth,
            "depth/camera_info": self.images.camera_info,
        }
        topics = [images[each.name] or ""] if each.name in images else self._fitting(each)
        if len(topics) != 1 or not topics[0]:
            raise ConfigError(
                f"{name}: {'several topics' if len(topics) > 1 else 'nothing'} can feed its input "
                f"{each.name}: {self._candidates(each)}"
            )
        return topics[0]

    def _fitting(self, each: Input) -> list[str]:
        """Return what may feed an input: of its name if there are such, else of its type."""
        beside = ("", self.camera)
        said = [p.name for p in self.published if p.camera in beside and _fits(each, p.msgtype)]
        recorded = [topic.name for topic in self.recorded if _fits(each, topic.msgtype)]
        return (
            [name for name in said if name.endswith(f"/{each.name}")]
            or [name for name in recorded if name.strip("/") == each.name]
            or said
            or recorded
        )

    def _candidates(self, each: Input) -> str:
        topics = dict.fromkeys(topic.name for topic in self._known if _fits(each, topic.msgtype))
        if topics:
            return f"name {' or '.join(topics)} ({each.msgtype}) under remap, or false for none"
        return (
            f"there is no {each.msgtype}: record one, replay a node that publishes it, or name "
            "false under remap for none"
        )


def _fits(each: Input, msgtype: str) -> bool:
    return msgtype == each.msgtype or {msgtype, each.msgtype} == _IMAGES
