"""The classes of a mapper's cells: masks and their labels in, as the mapper's scans are mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from cnn_perception.components.component import Component, Event, Frame, Input, Output
from cnn_perception.config import SemanticsConfig
from cnn_perception.errors import ConfigError, MessageError
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.class_map import ClassMap, MaskResult
from cnn_perception.messages.decode import decode_label_info
from cnn_perception.parameters import MapperNodeConfig, MaskConfig
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.types import Float32Array, Header

__all__ = ["MapClasses"]


class MapClasses:
    """Feeds a ClassMap and says what is wrong with what comes. version: counts its changes.

    Raises ModelError for a bundle that cannot be read, ConfigError where clouds are mapped.
    """

    def __init__(self, component: Component, occupancy: OccupancyMap) -> None:
        settings = component.config(MaskConfig)
        if component.config(MapperNodeConfig).source == "cloud":
            raise ConfigError(
                "semantics.enabled needs depth images, which masks can be laid over: set source to "
                "depth, or semantics.enabled to false"
            )
        palette = load_bundle(settings.palette).palette if settings.palette else None
        self._component = component
        self.map = ClassMap(occupancy, component.config(SemanticsConfig), settings.slop, palette)
        self.version = 0
        self._learn(settings.names)

    def mask_input(self, prefix: str) -> Input:
        """Return the input of a camera's masks."""
        return self._component.image_input(
            f"{prefix}mask",
            partial(self._take_mask, f"{prefix}depth/image"),
            counted=False,
            transport=self._component.config(MaskConfig).transport,
        )

    def label_inputs(self) -> Sequence[Input]:
        """Return the input of class names, unless they are a setting."""
        if self._component.config(MaskConfig).names:
            return ()
        kind = "vision_msgs/msg/LabelInfo"
        return (Input("label_info", kind, self._take_labels, counted=False, latched=True),)

    def announce(self) -> Iterator[Output]:
        """Yield the class names, if they are known."""
        if labels := self.map.layer.labels:
            yield Output("~/label_info", self._component.encode.label_info(labels, 0.0))

    def add_depth(self, header: Header, scan: DepthScan, camera: str) -> None:
        """Let the mask of a depth image vote, now or when it comes: the image is in the map."""
        self._report(self.map.add_depth(header, scan, camera))

    def clear(self) -> None:
        """Forget all classes."""
        self.map.layer.clear()
        self.version += 1

    def clear_box(self, low: Float32Array, high: Float32Array) -> None:
        """Forget the classes in a box that was cleared; (3,) metres."""
        self.map.layer.clear_box(low, high)
        self.version += 1

    def stop_waiting(self) -> None:
        """Let go of all that waits for a partner."""
        self.map.stop_waiting()

    def reconfigure(self) -> None:
        """Take over changed settings."""
        self.map.layer.config = self._component.config(SemanticsConfig)
        self.version += 1

    def describe(self) -> dict[str, Any]:
        """Return the statistics of masks: received = fused + waiting + dropped."""
        fused, waiting, dropped = self.map.fused, self.map.waiting, self.map.dropped
        return {
            "masks_received": fused + waiting + sum(dropped.values()),
            "masks_fused": fused,
            "masks_waiting": waiting,
            "masks_dropped": dropped,
            "classified_cells": len(self.map.layer),
        }

    def _take_mask(self, camera: str, frame: Frame) -> Iterator[Event]:
        self._report(self.map.add_mask(frame.message, camera))
        yield from ()

    def _take_labels(self, frame: Frame) -> Iterator[Event]:
        try:
            names = decode_label_info(frame.message)
        except MessageError as error:
            self._component.warn_rarely("label_info", f"label_info refused: {error}")
            return
        if self._learn(names):
            yield from self.announce()

    def _learn(self, names: dict[int, str]) -> bool:
        layer = self.map.layer
        if names == layer.labels:
            return False
        layer.labels = names
        self.version += 1
        unknown = sorted(set(layer.config.ignore) - set(names.values()) - {"", "background"})
        if unknown:
            self._component.warn_rarely(
                "ignore", f"semantics.ignore names {', '.join(unknown)}, which label_info does not"
            )
        return True

    def _report(self, result: MaskResult | None) -> None:
        if result is None:
            return
        if result.report is None:
            self._component.warn_rarely("mask", f"mask refused: {result.error}")
            return
        self.version += 1
        if result.report.unknown:
            named = len(self.map.layer.labels)
            self._component.warn_rarely(
                "classes",
                f"{result.report.unknown} of {result.report.pixels} pixels of a mask have class "
                f"ids that label_info does not name (it names {named}): they are not mapped; "
                "publish the label_info of the model that makes the masks",
            )
