"""The detector: images in; 2D detections, and 3D ones where depth is given, out."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from cnn_perception.components.component import Done, Event, Frame, Input, Output, Setup, Topic
from cnn_perception.components.model import LABEL_INFO, ModelComponent
from cnn_perception.config import DetectorConfig, SessionConfig
from cnn_perception.detection.boxes3d import boxes_from_depth, scaled_to
from cnn_perception.detection.detector import Detector
from cnn_perception.errors import MessageError
from cnn_perception.image.draw import draw_detections, palette
from cnn_perception.messages.decode import check_frames, decode_camera_info, decode_header
from cnn_perception.messages.sync import MessageCache
from cnn_perception.parameters import DETECTOR, DepthConfig, NodeParameters
from cnn_perception.runtime.inference import Inference
from cnn_perception.types import Detections

__all__ = ["DetectorComponent"]

_IN_SPACE = (
    Topic("~/detections_3d", "vision_msgs/msg/Detection3DArray"),
    Topic("~/markers", "visualization_msgs/msg/MarkerArray", recorded=False),
)


class DetectorComponent(ModelComponent):
    """Publishes Detection2DArray for every image it processes, also when nothing was found.

    With `use_depth` what was found waits for the nearest depth image, which is known when one of
    the image's stamp or later is there, and follows as Detection3DArray.
    """

    kind: ClassVar[str] = "detector"
    parameters: ClassVar[NodeParameters] = DETECTOR
    core: Detector

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        shipped = self.bundle.palette
        self._colors = palette(len(self.core.labels)) if shipped is None else shipped
        self._use_depth = self.config(DepthConfig).use_depth
        self._depths: MessageCache[Frame] = MessageCache()
        self._infos: MessageCache[Any] = MessageCache()
        self._waiting: deque[tuple[Frame, Detections]] = deque()
        self._without_depth = 0
        self._found: Counter[int] = Counter()
        self._frames: Counter[int] = Counter()

    def make_core(self, session: SessionConfig, inference: Inference) -> Detector:
        """Build the detector."""
        return Detector(self.bundle, self.config(DetectorConfig), session, inference)

    def inputs(self) -> Sequence[Input]:
        """See Component."""
        if not self._use_depth:
            return super().inputs()
        partner: dict[str, Any] = {"counted": False, "lazy": True}
        info = Input("depth/camera_info", "sensor_msgs/msg/CameraInfo", self._take_info, **partner)
        depth = self.image_input(
            "depth/image", self._take_depth, suffix="compressedDepth", decode=Frame.depth, **partner
        )
        return (*super().inputs(), info, depth)

    def outputs(self) -> Sequence[Topic]:
        """See Component."""
        flat = (
            Topic("~/detections", "vision_msgs/msg/Detection2DArray"),
            Topic("~/overlay", "sensor_msgs/msg/Image", recorded=False),
            LABEL_INFO,
        )
        return flat + (_IN_SPACE if self._use_depth else ())

    def announce(self) -> Iterator[Output]:
        """Name the classes."""
        yield self.labels(self.core.score_threshold)

    def take(self, frame: Frame) -> Iterator[Event]:
        """Detect in one image."""
        image, header, labels = frame.color(), frame.message.header, self.core.labels
        start = time.perf_counter()
        detections = self.core.detect(image)
        compute_s = time.perf_counter() - start
        yield Output("~/detections", self.encode.detections_2d(header, detections, labels))
        if self.reads("~/overlay"):
            overlay = draw_detections(image, detections, labels, self._colors)
            yield Output("~/overlay", self.encode.image(header, overlay))
        ids = detections.class_ids.tolist()
        self._found.update(ids)
        self._frames.update(set(ids))
        yield Done(frame, len(detections), compute_s)
        if self._use_depth:
            self._waiting.append((frame, detections))
            yield from self.advance(frame.received_ns)

    def _take_depth(self, frame: Frame) -> Iterator[Event]:
        self._depths.add(frame.header.stamp_ns, frame)
        yield from self.advance(frame.received_ns)

    def _take_info(self, frame: Frame) -> Iterator[Event]:
        self._infos.add(frame.header.stamp_ns, frame.message)
        yield from self.advance(frame.received_ns)

    # --- boxes in space

    @property
    def deadline_ns(self) -> int | None:
        """When the patience with the depth of the oldest image ends."""
        return self._waiting[0][0].received_ns + self._patience_ns if self._waiting else None

    @property
    def _patience_ns(self) -> int:
        return self.patience_ns(self.config(DepthConfig).depth_timeout)

    def advance(self, now_ns: int) -> Iterator[Event]:
        """Lift the images whose depth is there, or has been waited for long enough."""
        while self._waiting:
            frame, detections = self._waiting[0]
            patient = now_ns - frame.received_ns < self._patience_ns
            complete = len(self._infos) and self._depths.reaches(frame.header.stamp_ns)
            if patient and not complete:
                return
            self._waiting.popleft()
            yield from self._lift(frame, detections)

    def finish(self) -> Iterator[Event]:
        """Lift what still waits for a better depth image."""
        while self._waiting:
            yield from self._lift(*self._waiting.popleft())

    def rewind(self, stamp_ns: int) -> Iterator[Event]:
        """Lift what waits, for its depth will not come any more; forget depth from the future."""
        yield from self.finish()
        self._depths.rewind(stamp_ns)

    def stop(self) -> Sequence[Frame]:
        """Forget depth; the images themselves were processed."""
        self._waiting.clear()
        self._depths, self._infos = MessageCache(), MessageCache()
        return ()

    def _lift(self, frame: Frame, detections: Detections) -> Iterator[Event]:
        """Yield 3D boxes from the depth of the same moment; count them as missing without it."""
        header, labels = frame.message.header, self.core.labels
        try:
            slop_ns = round(self.config(DepthConfig).depth_slop * 1e9)
            found = self._depths.nearest(frame.header.stamp_ns, slop_ns)
            info = self._infos.nearest(frame.header.stamp_ns)
            if found is None or info is None:
                raise MessageError("no_match", self._missing(frame, found is None))
            depth = found[1]
            check_frames(depth.header, decode_header(info[1].header), "camera_info")
            check_frames(depth.header, frame.header, "color image")
            pixels = depth.depth()
            boxes = boxes_from_depth(
                pixels,
                decode_camera_info(info[1]),
                scaled_to(detections, frame.color().shape[:2], pixels.shape),
            )
        except MessageError as error:
            # The image itself was processed; only its 3D boxes are missing.
            self._without_depth += 1
            self.warn_rarely("depth", f"no 3D boxes: {error}")
            return
        message = self.encode.detections_3d(header, detections, boxes, labels)
        yield Output("~/detections_3d", message, frame)
        if self.reads("~/markers"):
            markers = self.encode.box_markers(header, detections, boxes, labels, self._colors)
            yield Output("~/markers", markers, frame)

    def _missing(self, frame: Frame, lacks_depth: bool) -> str:
        if not lacks_depth:
            return "no camera_info came on depth/camera_info: check its name and QoS"
        nearest = self._depths.nearest(frame.header.stamp_ns)
        if nearest is None:
            return "nothing came on depth/image: check its name and QoS"
        gap_s = abs(nearest[0] - frame.header.stamp_ns) * 1e-9
        slop_s = self.config(DepthConfig).depth_slop
        return (
            f"the nearest depth image is {gap_s:.3f} s away: synchronise the camera's streams or "
            f"raise depth_slop above {slop_s:g} s"
        )

    # --- settings and diagnostics

    def reconfigure(self) -> None:
        """Take over the thresholds."""
        self.core.config = self.config(DetectorConfig)

    def describe(self) -> dict[str, Any]:
        """Add the images whose depth did not come."""
        extra = {"without_depth": self._without_depth} if self._use_depth else {}
        return {**super().describe(), **extra}

    def summarise(self) -> dict[str, Any]:
        """Add what was found of each class."""
        labels = self.core.labels
        classes = {
            labels[k]: {"count": self._found[k], "frames": self._frames[k]}
            for k in sorted(self._found)
        }
        return {**self.describe(), "classes": classes}
