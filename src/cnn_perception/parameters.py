"""What each node can be told: its parameters, live and in a replay.

The mapper's names and defaults are octomap_server's (octomap_mapping, ros2 branch) wherever it has
the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.config import (
    DetectorConfig,
    ExplainerConfig,
    MapperConfig,
    SegmenterConfig,
    SemanticsConfig,
    SessionConfig,
)
from cnn_perception.mapping.crop import CropConfig
from cnn_perception.mapping.ground import GroundConfig
from cnn_perception.mapping.output_filters import OutputConfig
from cnn_perception.settings import Config, NodeConfig, NodeParameters, read, setting

__all__ = [
    "DETECTOR",
    "EXPLAINER",
    "MAPPER",
    "SEGMENTER",
    "DepthConfig",
    "MapColors",
    "MapperNodeConfig",
    "MaskConfig",
    "ModelConfig",
    "NodeConfig",
    "NodeParameters",
    "RateConfig",
    "read",
]


@dataclass(frozen=True, slots=True)
class ModelConfig(Config):
    """Which network a node runs."""

    model: str = setting("", "Name of a model bundle, or the path of its folder or model.yaml")


@dataclass(frozen=True, slots=True)
class DepthConfig(Config):
    """Whether detections are lifted into space."""

    use_depth: bool = setting(
        False, "Fit 3D boxes from depth/image and depth/camera_info, registered to the image"
    )
    depth_slop: float = setting(
        0.02, "Most seconds between an image and its depth", between=(0.0, 1.0), live=True
    )
    depth_timeout: float = setting(
        0.1, "Most seconds to wait for the depth of an image", between=(0.0, 2.0), live=True
    )


@dataclass(frozen=True, slots=True)
class RateConfig(Config):
    """How often the node explains."""

    max_rate: float = setting(
        0.0,
        "Most images per second of their stamps that are explained; 0: every one",
        between=(0.0, 1000.0),
        live=True,
    )


@dataclass(frozen=True, slots=True)
class MapperNodeConfig(Config):
    """What the node maps, when it publishes, and where it keeps files."""

    frame_id: str = setting("map", "Frame of the map")
    base_frame_id: str = setting("base_footprint", "Frame in which the ground is looked for, z up")
    source: str = setting(
        "depth",
        "What is mapped: depth/image with depth/camera_info, cloud_in, or both",
        choices=("depth", "cloud", "both"),
    )
    cameras: tuple[str, ...] = setting(
        ("",),
        "Prefixes of the inputs, one for each camera or lidar: '' is depth/image or cloud_in, "
        "'front' is front/depth/image or front/cloud_in",
    )
    transform_timeout: float = setting(
        0.5,
        "Most seconds to wait for a transform or a camera_info before a frame is skipped",
        between=(0.0, 10.0),
        live=True,
    )
    silence_timeout: float = setting(
        5.0,
        "Seconds without a mapped frame after which log and diagnostics say what is missing",
        between=(0.1, 3600.0),
        live=True,
    )
    time_jump: str = setting(
        "keep",
        "What becomes of the map when time goes back: keep, or reset",
        choices=("keep", "reset"),
        live=True,
    )
    publish_rate: float = setting(
        1.0, "Most often, per second, that the map is published", between=(0.01, 100.0)
    )
    latch: bool = setting(True, "Keep the last map of each topic for readers that come later")
    publish_free_space: bool = setting(
        False, "Publish free cells on free_cells_vis_array", live=True
    )
    octomap_path: str = setting(
        "", "Map file that is loaded at configure: .bt, .ot or .vox; empty: none"
    )
    save_path: str = setting("map.bt", "File that ~/save writes: .bt, .ot or .vox", live=True)
    load_path: str = setting("", "File that ~/load reads; empty: save_path", live=True)
    autosave_period: float = setting(
        0.0,
        "Seconds between saves to save_path, which is written at deactivate too; 0: only ~/save",
        between=(0.0, 86400.0),
    )
    clear_to: str = setting(
        "free",
        "What ~/clear_bbox makes of known cells: free, as octomap_server does, or unknown",
        choices=("free", "unknown"),
        live=True,
    )


def _channel(name: str, default: float, cells: str, parameter: str) -> float:
    channel: float = setting(
        default, f"{name} of {cells} cells", between=(0.0, 1.0), live=True, parameter=parameter
    )
    return channel


@dataclass(frozen=True, slots=True)
class MapColors(Config):
    """How cells are colored in the marker topics."""

    use_height_map: bool = setting(False, "Color occupied cells by their height", live=True)
    color_factor: float = setting(
        0.8,
        "Part of the color circle that use_height_map spans, from red at the top",
        between=(0.0, 1.0),
        live=True,
    )
    colored_map: bool = setting(
        False,
        "Make octomap_full a ColorOcTree in the colors of classes; needs semantics.enabled",
        live=True,
    )
    red: float = _channel("Red", 0.0, "occupied", "color.r")
    green: float = _channel("Green", 0.0, "occupied", "color.g")
    blue: float = _channel("Blue", 1.0, "occupied", "color.b")
    alpha: float = _channel("Opacity", 1.0, "occupied", "color.a")
    free_red: float = _channel("Red", 0.0, "free", "color_free.r")
    free_green: float = _channel("Green", 1.0, "free", "color_free.g")
    free_blue: float = _channel("Blue", 0.0, "free", "color_free.b")
    free_alpha: float = _channel("Opacity", 1.0, "free", "color_free.a")

    @property
    def occupied(self) -> tuple[float, float, float, float]:
        """Color of occupied cells, RGBA in [0, 1]."""
        return self.red, self.green, self.blue, self.alpha

    @property
    def free(self) -> tuple[float, float, float, float]:
        """Color of free cells, RGBA in [0, 1]."""
        return self.free_red, self.free_green, self.free_blue, self.free_alpha


@dataclass(frozen=True, slots=True)
class MaskConfig(Config):
    """Whether masks are mapped, and how they find their depth images and their names."""

    enabled: bool = setting(
        False,
        "Give cells classes from the topics mask and label_info",
        parameter="semantics.enabled",
    )
    transport: str = setting(
        "raw",
        "Subscribe to raw masks, or to <mask>/compressed, which must be PNG; apart from "
        "image_transport, since a segmenter beside the mapper publishes raw masks of any images",
        choices=("raw", "compressed"),
        parameter="semantics.transport",
    )
    slop: float = setting(
        0.01,
        "Most seconds between the stamps of a mask and of its depth image",
        between=(0.0, 1.0),
        parameter="semantics.slop",
    )
    labels: tuple[str, ...] = setting(
        ("",),
        "Names of class ids 0, 1, ... for masks without label_info; ['']: wait for label_info",
        parameter="semantics.labels",
    )
    palette: str = setting(
        "",
        "Model bundle whose palette colors the classes; empty: the colors that the segmenter "
        "gives to models without one",
        parameter="semantics.palette",
    )

    @property
    def names(self) -> dict[int, str]:
        """The labels by class id; none where label_info is waited for."""
        return dict(enumerate(self.labels)) if any(self.labels) else {}


DETECTOR = NodeParameters(
    (ModelConfig, SessionConfig, DetectorConfig, DepthConfig), {"model": "rooms_ssdlite"}
)
SEGMENTER = NodeParameters((ModelConfig, SessionConfig, SegmenterConfig), {"model": "rooms_fcn"})
EXPLAINER = NodeParameters(
    (ModelConfig, SessionConfig, ExplainerConfig, RateConfig), {"model": "rooms_ssdlite"}
)
MAPPER = NodeParameters(
    (
        MapperConfig,
        CropConfig,
        GroundConfig,
        MapperNodeConfig,
        OutputConfig,
        MapColors,
        SemanticsConfig,
        MaskConfig,
    ),
    # octomap_server's, where they are not those of OctoMap itself.
    {"max_range": -1.0, "clamp_min": 0.12, "clamp_max": 0.97},
)
