"""The mapper node: depth images or clouds, and transforms, in; an OctoMap out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sensor_msgs.msg import CameraInfo, PointCloud2
from tf2_msgs.msg import TFMessage

from cnn_perception.config import Config, MapperConfig, SemanticsConfig, setting
from cnn_perception.errors import MessageError
from cnn_perception.mapping.mapper import Mapper
from cnn_perception.mapping.transforms import TransformBuffer
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_depth,
    decode_point_cloud,
    decode_transforms,
)
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.ros.base_node import BACKWARD_JUMP_NS, PerceptionNode
from cnn_perception.ros.map_interface import MapInterface
from cnn_perception.ros.qos import TRANSFORM, TRANSFORM_STATIC
from cnn_perception.ros.query_interface import serve_queries
from cnn_perception.ros.recent import Recent
from cnn_perception.ros.run import run
from cnn_perception.ros.semantic_interface import MaskConfig, SemanticInterface
from cnn_perception.types import RigidTransform

__all__ = ["MapperNode", "MapperNodeConfig", "main"]


@dataclass(frozen=True, slots=True)
class MapperNodeConfig(Config):
    """What the node adds to the map itself."""

    frame_id: str = setting("map", "Frame of the map")
    source: str = setting(
        "depth",
        "What is mapped: depth/image with depth/camera_info, or cloud_in",
        choices=("depth", "cloud"),
    )
    transform_timeout: float = setting(
        0.5,
        "Most seconds to wait for a transform or a camera_info before a frame is skipped",
        minimum=0.0,
        maximum=10.0,
        live=True,
    )
    publish_rate: float = setting(
        1.0, "Most often, per second, that the map is published", minimum=0.01, maximum=100.0
    )
    save_path: str = setting("map.bt", "File that ~/save writes: .bt or .ot", live=True)


class MapperNode(PerceptionNode):
    """Keeps an occupancy map under octomap_server's topic and service names."""

    configs: ClassVar[tuple[type[Config], ...]] = (
        MapperConfig,
        MapperNodeConfig,
        SemanticsConfig,
        MaskConfig,
    )

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._transforms = TransformBuffer(jump_ns=BACKWARD_JUMP_NS)
        self._camera: Recent[Any] = Recent()
        self._map: Any = None  # a MapInterface while configured
        self._semantics: SemanticInterface | None = None
        self._queries: Any = None  # a QueryInterface while configured, where there is one

    def load(self) -> None:
        """Make an empty map and announce it."""
        settings = self.config(MapperNodeConfig)
        self._frame_id, self._source = settings.frame_id.lstrip("/"), settings.source
        self._mapper = Mapper(self.config(MapperConfig))
        self.get_logger().info(f"warming up the engine {self.config(MapperConfig).engine}")
        self._mapper.warm_up()
        self._refused_transforms = 0
        self._map = MapInterface(
            self,
            self._mapper,
            self._frame_id,
            settings.publish_rate,
            lambda: self.config(MapperNodeConfig).save_path,
        )
        if self.config(MaskConfig).enabled:
            self._semantics = SemanticInterface(
                self, self._mapper, self._frame_id, settings.publish_rate
            )
            self._map.semantics = self._semantics
        self._queries = serve_queries(
            self,
            self._mapper,
            self._transforms,
            self._frame_id,
            lambda: self.config(MapperNodeConfig).transform_timeout,
        )

    def unload(self) -> None:
        """Forget the map."""
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._semantics is not None:
            self._semantics.close()
            self._semantics = None
        if self._queries is not None:
            self._queries.close()
            self._queries = None

    def subscribe(self) -> None:
        """Listen to transforms and to depth or clouds."""
        self._transforms.resume()
        self._camera.reset()
        self.listen(TFMessage, "/tf_static", lambda m: self._learn(m, True), TRANSFORM_STATIC)
        self.listen(TFMessage, "/tf", lambda m: self._learn(m, False), TRANSFORM)
        if self._source == "cloud":
            self.listen(PointCloud2, "cloud_in", self.offer)
        else:
            self.listen(CameraInfo, "depth/camera_info", self._camera.add)
            self.listen_images("depth/image", self.offer, "compressedDepth")
        if self._semantics is not None:
            self._semantics.listen()

    def process(self, message: Any) -> float:
        """Put one depth image or cloud into the map."""
        if self._source == "cloud":
            points = decode_point_cloud(message)
            pose = self._pose(message.header)
            start = time.monotonic()
            self._mapper.integrate_cloud(points, pose)
        else:
            depth = decode_depth(message)
            timeout_s = self.config(MapperNodeConfig).transform_timeout
            camera = self._camera.near(message.header, timeout_s)
            if camera.header.frame_id not in ("", message.header.frame_id):
                raise MessageError(
                    "frame_mismatch",
                    f"the depth image is of {message.header.frame_id}, its camera_info of "
                    f"{camera.header.frame_id}: give each camera topics of its own",
                )
            intrinsics = decode_camera_info(camera)
            pose = self._pose(message.header)
            start = time.monotonic()
            self._mapper.integrate_depth(depth, intrinsics, pose)
            if self._semantics is not None:
                self._semantics.mapped(message.header, depth, intrinsics, pose)
        compute_s = time.monotonic() - start
        self._map.changed(message.header.stamp)
        return compute_s

    def _pose(self, header: Any) -> RigidTransform:
        """Return map_from_sensor at the header's stamp, waiting for it; raises TransformError."""
        return self._transforms.wait(
            self._frame_id,
            header.frame_id,
            stamp_to_ns(header.stamp),
            self.config(MapperNodeConfig).transform_timeout,
        )

    def _learn(self, message: TFMessage, static: bool) -> None:
        refused: list[MessageError] = []
        for transform in decode_transforms(message, refused):
            try:
                self._transforms.add(transform, static)
            except MessageError as error:
                refused.append(error)
        self._refused_transforms += len(refused)
        for refusal in refused:
            self.log_rarely("tf", f"transform refused: {refusal}")

    def reconfigure(self) -> None:
        """Take over ranges and limits."""
        self._mapper.config = self.config(MapperConfig)
        if self._semantics is not None:
            self._semantics.reconfigure()

    def rewind(self, stamp_ns: int) -> None:
        """Forget transforms from the future; the map itself is kept."""
        self._transforms.rewind(stamp_ns)

    def cancel(self) -> None:
        """Stop to wait for a transform or a camera_info."""
        self._transforms.cancel()
        self._camera.cancel()

    def describe(self) -> Mapping[str, str]:
        """Name the engine, and the size of the map when it was last published."""
        pairs = {"model": "octomap", "provider": self.config(MapperConfig).engine}
        if self._refused_transforms:
            pairs["refused_transforms"] = str(self._refused_transforms)
        if self._semantics is not None:
            pairs |= self._semantics.describe()
        if (size := self._map.statistics) is not None:
            pairs |= {
                "resolution": f"{size.resolution:g}",
                "occupied": str(size.occupied),
                "free": str(size.free),
                "bytes": str(size.memory_bytes),
            }
        return pairs


def main() -> None:
    """Run the node."""
    run([lambda: MapperNode("mapper")])


if __name__ == "__main__":
    main()
