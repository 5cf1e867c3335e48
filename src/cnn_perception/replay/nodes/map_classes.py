"""The classes of a map in a replay: the segmenter's masks vote on the cells of their depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnn_perception.config import SemanticsConfig
from cnn_perception.mapping.files.color_codec import COLOR_TREE, encode_color
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.mapping.scans import DepthScan
from cnn_perception.mapping.semantic.class_colors import class_colors, color_leaves
from cnn_perception.mapping.semantic.mask_fusion import MaskFusion, MaskResult
from cnn_perception.mapping.semantic.semantics import SemanticLayer
from cnn_perception.messages.decode import decode_label_info
from cnn_perception.parameters import MaskConfig, read
from cnn_perception.recording.bag import BagMessage
from cnn_perception.recording.compose import encode
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.types import Header

__all__ = ["MapClasses"]


class MapClasses:
    """What the live mapper does with masks, here with the replayed segmenter's.

    values: the mapper's parameters; masks: topics of masks by depth topic.
    """

    def __init__(
        self, values: Mapping[str, Any], mapper: Mapper, frame_id: str, masks: Mapping[str, str]
    ) -> None:
        settings = read(values, MaskConfig)
        self._mapper = mapper
        self._frame_id = frame_id
        self._masks = {mask: depth for depth, mask in masks.items()}
        self._infos = {f"{mask.rpartition('/')[0]}/label_info" for mask in self._masks}
        self._layer = SemanticLayer(mapper.config.resolution, read(values, SemanticsConfig))
        self._layer.warm_up()
        self._fusion = MaskFusion(self._layer, mapper.config, settings.slop)
        self._palette = load_bundle(settings.palette).palette if settings.palette else None
        if any(settings.labels):
            self._layer.labels = dict(enumerate(settings.labels))
            self._infos = set()

    @property
    def topics(self) -> frozenset[str]:
        """Topics of the results that `take` wants."""
        return frozenset(self._masks) | self._infos

    def take(self, item: BagMessage) -> None:
        """Take a mask, or the names of its classes."""
        if item.topic in self._infos:
            self._layer.labels = decode_label_info(item.message)
        else:
            self._voted(self._fusion.add_mask(item.message, self._masks[item.topic]))

    def mapped(self, topic: str, header: Header, scan: DepthScan) -> None:
        """Let the mask of a depth image vote: the image is in the map."""
        self._voted(self._fusion.add_depth(header, scan, topic))

    def forget(self) -> None:
        """Forget all classes."""
        self._layer.clear()

    def octomap(self, header: Any) -> Any:
        """Return the map as a ColorOcTree, occupied cells in the colours of their classes."""
        leaves = self._mapper.leaves()
        colors = class_colors(self._layer.labels, self._palette)
        payload = encode_color(color_leaves(leaves, self._layer.labelled(leaves), colors))
        resolution = self._layer.resolution
        return encode.octomap(header, payload, resolution, binary=False, kind=COLOR_TREE)

    def describe(self) -> dict[str, Any]:
        """Return the account of masks."""
        return {
            "masks_fused": self._fusion.fused,
            "masks_waiting": self._fusion.waiting,
            "masks_dropped": self._fusion.dropped,
            "classified_cells": len(self._layer),
        }

    def _voted(self, result: MaskResult | None) -> None:
        if result is not None and result.report is not None and self._layer.wants_pruning:
            self._layer.prune(self._mapper.leaves())
