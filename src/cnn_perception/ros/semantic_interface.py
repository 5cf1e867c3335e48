"""A map's classes: masks and their labels in; coloured markers, a labelled cloud and octree out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from octomap_msgs.msg import Octomap
from rclpy.lifecycle.publisher import LifecyclePublisher
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo
from visualization_msgs.msg import MarkerArray

from cnn_perception.config import SemanticsConfig
from cnn_perception.errors import ConfigError, MessageError
from cnn_perception.mapping.files.color_codec import COLOR_TREE
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.class_map import ClassMap, MaskResult
from cnn_perception.mapping.semantic.semantics import LabelledCells
from cnn_perception.messages.decode import decode_header, decode_label_info
from cnn_perception.parameters import MapperNodeConfig, MaskConfig
from cnn_perception.ros.base_node import PerceptionNode
from cnn_perception.ros.encode import encode
from cnn_perception.ros.qos import LATCHED
from cnn_perception.ros.semantic_messages import labelled_cloud, labelled_markers
from cnn_perception.ros.steady_timer import create_steady_timer
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.types import Float32Array

__all__ = ["SemanticInterface"]


class SemanticInterface:
    """Topics of a map's classes. Whatever touches the map runs on the node's worker thread.

    As the map's own topics, these are encoded only when someone subscribes and something changed
    since they were last sent. rate: publications per second. cameras: prefixes of the inputs.
    Raises ModelError for a bundle that cannot be read, ConfigError where clouds are mapped.
    """

    def __init__(
        self,
        node: PerceptionNode,
        mapper: OccupancyMap,
        frame_id: str,
        rate: float,
        cameras: tuple[str, ...] = ("",),
    ) -> None:
        settings = node.config(MaskConfig)
        if node.config(MapperNodeConfig).source == "cloud":
            raise ConfigError(
                "semantics.enabled needs depth images, which masks can be laid over: set source to "
                "depth, or semantics.enabled to false"
            )
        self._node = node
        self._mapper = mapper
        self._cameras = [camera.strip("/") for camera in cameras]
        self._header = Header(frame_id=frame_id)
        self._version = 0
        palette = load_bundle(settings.palette).palette if settings.palette else None
        self._classes = ClassMap(mapper, node.config(SemanticsConfig), settings.slop, palette)
        self._label_info = node.advertise(LabelInfo, "~/label_info", LATCHED)
        self._topics: list[tuple[LifecyclePublisher[Any], Callable[[LabelledCells], Any]]] = [
            (node.advertise(kind, topic, LATCHED), make)
            for kind, topic, make in (
                (MarkerArray, "semantic_cells_vis_array", self._markers),
                (PointCloud2, "semantic_point_cloud", self._cloud),
                (Octomap, "color_octomap", self._octomap),
            )
        ]
        self._sent = [0] * len(self._topics)
        self._learn(settings.names)
        self._timer = create_steady_timer(node, 1.0 / rate, self._tick)

    def close(self) -> None:
        """End the timer; the node withdraws the topics."""
        self._node.destroy_timer(self._timer)

    def listen(self) -> None:
        """Subscribe to masks and, unless their names are a setting, to label_info."""
        node, settings = self._node, self._node.config(MaskConfig)
        self._classes.stop_waiting()
        for camera in self._cameras:
            topic = f"{camera}/mask" if camera else "mask"
            take = partial(self._post, self._take_mask, camera)
            node.listen_images(topic, take, transport=settings.transport)
        if labels := self._classes.layer.labels:
            self._label_info.publish(encode.label_info(labels, 0.0))
        if not settings.names:
            node.listen(LabelInfo, "label_info", partial(self._post, self._take_labels), LATCHED)

    def mapped(self, header: Any, scan: DepthScan, camera: str) -> None:
        """Let the mask of a depth image vote, now or when it comes: the image is in the map."""
        self.changed(header.stamp)
        self._report(self._classes.add_depth(decode_header(header), scan, camera))

    def changed(self, stamp: Any) -> None:
        """Note that the map changed."""
        self._header.stamp = stamp
        self._version += 1

    def forget(self) -> None:
        """Forget all classes: the map was reset or loaded."""
        self._classes.layer.clear()
        self._version += 1

    def forget_box(self, low: Float32Array, high: Float32Array) -> None:
        """Forget the classes in a box that was cleared; (3,) metres."""
        self._classes.layer.clear_box(low, high)
        self._version += 1

    def reconfigure(self) -> None:
        """Take over changed live settings of the node and of the map."""
        self._classes.layer.config = self._node.config(SemanticsConfig)
        self._version += 1

    def describe(self) -> Mapping[str, str]:
        """Return the account of masks: received = fused + waiting + dropped."""
        # Masks may be in work meanwhile: the sum is taken of the numbers that are told.
        fused, waiting, dropped = self._classes.fused, self._classes.waiting, self._classes.dropped
        return {
            "masks_received": str(fused + waiting + sum(dropped.values())),
            "masks_fused": str(fused),
            "masks_waiting": str(waiting),
            **{f"masks_dropped.{reason}": str(n) for reason, n in dropped.items()},
            "classified_cells": str(len(self._classes.layer)),
        }

    def color_octomap(self) -> Octomap:
        """Return the whole map as a ColorOcTree, occupied cells in the colours of their classes."""
        return self._octomap(self._classes.labelled())

    # --- inputs, on the worker

    def _post(self, take: Callable[..., None], *arguments: Any) -> None:
        self._node.post(lambda: take(*arguments))

    def _take_mask(self, camera: str, message: Any) -> None:
        self._report(self._classes.add_mask(message, camera))

    def _take_labels(self, message: LabelInfo) -> None:
        try:
            names = decode_label_info(message)
        except MessageError as error:
            self._node.log_rarely("label_info", f"label_info refused: {error}")
        else:
            self._learn(names)

    def _learn(self, names: dict[int, str]) -> None:
        layer = self._classes.layer
        if names == layer.labels:
            return
        layer.labels = names
        self._version += 1
        unknown = sorted(set(layer.config.ignore) - set(names.values()) - {"", "background"})
        if unknown:
            self._node.log_rarely(
                "ignore", f"semantics.ignore names {', '.join(unknown)}, which label_info does not"
            )
        if self._node.active:
            self._label_info.publish(encode.label_info(names, 0.0))

    def _report(self, result: MaskResult | None) -> None:
        if result is None:
            return
        if result.report is None:
            self._node.log_rarely("mask", f"mask refused: {result.error}")
            return
        self._version += 1
        if result.report.unknown:
            named = len(self._classes.layer.labels)
            self._node.log_rarely(
                "classes",
                f"{result.report.unknown} of {result.report.pixels} pixels of a mask have class "
                f"ids that label_info does not name (it names {named}): they are not mapped; "
                "publish the label_info of the model that makes the masks",
            )

    # --- outputs

    def _tick(self) -> None:
        if self._node.active:
            self._node.post(self.publish)

    def publish(self) -> None:
        """Send the classes on every topic that is read and not yet up to date."""
        stale = [
            i
            for i, (publisher, _) in enumerate(self._topics)
            if self._sent[i] != self._version and publisher.get_subscription_count()
        ]
        if not stale:
            return
        cells = self._classes.labelled()
        for i in stale:
            publisher, make = self._topics[i]
            publisher.publish(make(cells))
            self._sent[i] = self._version

    def _markers(self, cells: LabelledCells) -> Any:
        layer = self._classes.layer
        names = {i: name for i, name in layer.labels.items() if name not in layer.config.ignore}
        visible, resolution = self._visible(cells), self._mapper.config.resolution
        return labelled_markers(self._header, visible, resolution, self._classes.colors, names)

    def _cloud(self, cells: LabelledCells) -> PointCloud2:
        visible, resolution = self._visible(cells), self._mapper.config.resolution
        return labelled_cloud(self._header, visible, resolution, self._classes.colors)

    def _octomap(self, cells: LabelledCells) -> Octomap:
        payload, resolution = self._classes.color_payload(cells), self._mapper.config.resolution
        return encode.octomap(self._header, payload, resolution, binary=False, kind=COLOR_TREE)

    def _visible(self, cells: LabelledCells) -> LabelledCells:
        config = self._mapper.config
        return cells.between(config.resolution, config.occupancy_min_z, config.occupancy_max_z)
